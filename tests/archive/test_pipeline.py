"""Decoding in a worker while more is read: the same members, errors behind what was sound, nothing left."""

from __future__ import annotations

import asyncio
import bz2
import gc
import gzip
import io
import lzma
import random
import threading
import time
import zipfile
from typing import TYPE_CHECKING, Any

import lz4.frame
import pytest
import zstandard

from asyncbatch import LimitExceededError, Limits, TransportError, TruncatedArchiveError, open_archive
from asyncbatch.archive import _pipeline
from asyncbatch.archive._pipeline import Pipeline
from asyncbatch.codecs import MemberData

from ..support.batches import split, tar
from ..support.leaks import nothing_left_open, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

    from asyncbatch.codecs import Event

pytestmark = pytest.mark.anyio

RNG = random.Random(5)
MEMBERS = [(f"m{index}", RNG.randbytes(RNG.choice([0, 100, 5000, 300_000]))) for index in range(40)]
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".tar.gz": gzip.compress,
    ".tar.lz4": lz4.frame.compress,
    ".tar.zst": zstandard.ZstdCompressor().compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def pack(form: str, members: Sequence[tuple[str, bytes]]) -> bytes:
    if form != ".zip":
        return COMPRESSORS[form](tar(members))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


async def arriving(chunks: Iterable[Any], *, pause: bool = False) -> AsyncIterator[bytes]:
    """Give chunks one after the other; raise an exception in its turn, and wait for ever at `...`."""
    for chunk in chunks:
        if pause:
            await asyncio.sleep(0)
        if chunk is ...:
            await asyncio.sleep(3600)
        if isinstance(chunk, BaseException):
            raise chunk
        yield chunk


async def read(source: Any, **options: Any) -> list[tuple[str, bytes]]:  # noqa: ANN401
    async with open_archive(source, **options) as archive:
        return [(member.name, await member.read()) async for member in archive]


@pytest.mark.parametrize("pause", [False, True])
@pytest.mark.parametrize("chunk_size", [1000, 65_536, 10**7])
@pytest.mark.parametrize("form", [*COMPRESSORS, ".zip"])
async def test_members_are_the_same(form: str, chunk_size: int, *, pause: bool) -> None:
    chunks = split(pack(form, MEMBERS), chunk_size)
    async with nothing_left_open():
        assert await read(arriving(chunks, pause=pause), format=form) == MEMBERS
        assert await read(arriving(chunks, pause=pause)) == MEMBERS


async def test_large_slices_are_decoded_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    decode = _pipeline._decode

    def noting(*arguments: Any) -> Any:  # noqa: ANN401
        threads.append(threading.get_ident())
        return decode(*arguments)

    monkeypatch.setattr(_pipeline, "_decode", noting)
    packed = pack(".tar.gz", MEMBERS)
    await read(split(packed, 100_000), format=".tar.gz")
    assert set(threads) - {threading.get_ident()}
    threads.clear()
    await read(arriving(split(packed, 1000), pause=True), format=".tar.gz")
    assert (
        threads.count(threading.get_ident()) > len(threads) / 2
    )  # a slow source is decoded where it is read


async def test_members_come_while_the_source_is_silent() -> None:
    """What has arrived is handed out, however long the rest takes."""
    packed = pack(".tar.gz", [("first", b"x"), ("rest", RNG.randbytes(200_000))])
    async with nothing_left_open():
        async with open_archive(arriving([packed[:400], ...])) as archive:
            assert (await anext(archive)).name == "first"
        noise = [("a", RNG.randbytes(400_000)), ("b", RNG.randbytes(200_000))]
        packed = pack(".tar.gz", noise)
        async with open_archive(arriving([*split(packed[:-100_000], 100_000), ...])) as archive:
            member = await anext(archive)
            assert await member.read() == noise[0][1]


async def test_a_failing_source_takes_nothing_of_what_came_before() -> None:
    packed = pack(".tar.gz", MEMBERS)
    seen = []
    lost = TransportError("reset", retryable=True)
    with pytest.raises(TransportError, match="reset") as caught:  # noqa: PT012 - the last round of the loop
        async with open_archive(arriving([*split(packed[:-20_000], 65_536), lost])) as archive:
            async for member in archive:
                seen.append((member.name, await member.read()))  # noqa: PERF401 - those before an error are kept
    assert caught.value is lost
    assert len(seen) > 20
    assert seen == MEMBERS[: len(seen)]


async def test_a_cut_archive_is_truncated_behind_its_members() -> None:
    packed = pack(".tar.zst", MEMBERS)
    seen = []
    with pytest.raises(TruncatedArchiveError):  # noqa: PT012 - the last round of the loop
        async with open_archive(split(packed[: len(packed) // 2], 65_536)) as archive:
            async for member in archive:
                seen.append((member.name, await member.read()))  # noqa: PERF401 - those before an error are kept
    assert len(seen) > 10
    assert seen == MEMBERS[: len(seen)]


async def test_a_small_chunk_that_becomes_large_is_left_to_the_worker() -> None:
    """A step of a bomb is taken in place, and no more than that."""
    packed = gzip.compress(tar([("zeros", bytes(8 << 20))]))
    assert len(packed) < _pipeline._IN_PLACE
    assert [len(data) for _, data in await read([packed])] == [8 << 20]
    with pytest.raises(LimitExceededError):
        await read([packed], limits=Limits(max_total_size=4 << 20))


class Counting:
    """A decoder whose data are the numbers of its chunks; it can be slow, or have a bug."""

    decompresses = True

    def __init__(self, *, error: Exception | None = None, seconds: float = 0) -> None:
        self.fed = 0
        self.ended = False
        self._error = error
        self._seconds = seconds
        self._events: list[Event] = []

    def feed(self, _: object, /) -> None:
        self.fed += 1
        self._events.append(MemberData(b"%d" % self.fed))

    def __iter__(self) -> Iterator[Event]:
        time.sleep(self._seconds)  # in a worker
        if self._error is not None:
            raise self._error
        events, self._events = self._events, []
        return iter(events)

    def feed_eof(self) -> None:
        self.ended = True


async def test_the_source_waits_for_the_consumer() -> None:
    given = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield bytes(100_000)
            await asyncio.sleep(0)

    decoder = Counting()
    pipeline = Pipeline(source(), decoder)
    assert await pipeline.pull() is not None
    before = -1
    while given != before:  # until it stands still
        before = given
        await asyncio.sleep(0.05)
    # Two steps wait, each of what may lie ahead at most; and so much lies ahead.
    assert 6 <= given <= 4 * 6
    assert decoder.fed < given
    for _ in range(10):
        assert await pipeline.pull() is not None
    assert given > before
    await pipeline.aclose()


async def test_a_bug_in_a_decoder_is_raised_and_not_waited_for() -> None:
    for size in (10, 100_000):
        step = None
        pipeline = Pipeline(arriving([bytes(size), ...]), Counting(error=ZeroDivisionError()))
        step = await pipeline.pull()
        assert step is not None
        assert step[0] == []
        assert isinstance(step[1], ZeroDivisionError)
        assert await pipeline.pull() is None
        await pipeline.aclose()


async def test_closing_waits_for_no_thread() -> None:
    decoder = Counting(seconds=0.3)
    pipeline = Pipeline(arriving([bytes(100_000)] * 3), decoder)
    pulling = asyncio.create_task(pipeline.pull())
    await asyncio.sleep(0.05)
    pulling.cancel()
    await asyncio.wait([pulling])
    assert pulling.cancelled()
    await pipeline.aclose()
    assert await pipeline.pull() is None
    await asyncio.sleep(0.5)  # what the thread still made is dropped
    assert await pipeline.pull() is None
    assert not decoder.ended


async def test_a_pull_that_was_cancelled_loses_nothing() -> None:
    pipeline = Pipeline(arriving([bytes(100_000), bytes(100_000)]), Counting(seconds=0.05))
    seen = []
    while True:
        try:
            async with asyncio.timeout(0.02):
                step = await pipeline.pull()
        except TimeoutError:
            continue
        if step is None:
            break
        seen += [event.data for event in step[0] if isinstance(event, MemberData)]
    assert seen == [b"1", b"2"]
    await pipeline.aclose()


async def test_a_source_that_cancels_itself_is_not_waited_for() -> None:
    with pytest.raises(asyncio.CancelledError):
        await read(arriving([asyncio.CancelledError()]), format=".tar.gz")


async def test_an_archive_that_was_dropped_stops_reading() -> None:
    packed = pack(".tar.gz", MEMBERS)
    async with nothing_left_open():
        archive = open_archive(arriving([packed[:100_000], ...]), format=".tar.gz")
        await anext(archive)
        tasks = asyncio.all_tasks()
        del archive
        gc.collect()
        await until(lambda: asyncio.all_tasks() < tasks)


def test_a_loop_that_is_gone_stops_nobody() -> None:
    async def begin() -> Any:  # noqa: ANN401
        archive = open_archive(arriving([pack(".tar.gz", MEMBERS)[:100_000], ...]), format=".tar.gz")
        await anext(archive)
        return archive

    archive = asyncio.run(begin())
    del archive
    gc.collect()
