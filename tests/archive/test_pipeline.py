"""Decoding in a worker while more is read: the same members, errors behind what was sound, nothing left."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import lz4.frame
import pytest
import zstandard

import asyncbatch
from asyncbatch import LimitExceededError, Limits, TransportError, TruncatedArchiveError, open_archive
from asyncbatch.archive import _pipeline
from asyncbatch.archive._pipeline import Pipeline
from asyncbatch.codecs import MemberData

from ..support.batches import split, tar
from ..support.leaks import nothing_left_open

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

    def noting(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        threads.append(threading.get_ident())
        return decode(*arguments, **options)

    monkeypatch.setattr(_pipeline, "_decode", noting)
    packed = pack(".tar.bz2", MEMBERS)
    await read(split(packed, 100_000), format=".tar.bz2")
    assert set(threads) - {threading.get_ident()}
    threads.clear()
    await read(split(pack(".tar.gz", MEMBERS), 100_000), format=".tar.gz")
    assert set(threads) == {threading.get_ident()}  # which is faster than waking another


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


@pytest.mark.parametrize("form", [".tar", ".tar.gz", ".tar.bz2"])
async def test_an_iterable_that_fails_takes_nothing_of_what_came_before(form: str) -> None:
    """Though it is read ahead."""
    data = tar(MEMBERS) if form == ".tar" else pack(form, MEMBERS)

    def chunks() -> Iterator[bytes]:
        yield from split(data[:-20_000], 65_536)
        raise ZeroDivisionError

    seen = []
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the last round of the loop
        async with open_archive(chunks(), format=form) as archive:
            async for member in archive:
                seen.append((member.name, await member.read()))  # noqa: PERF401 - those before an error are kept
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


async def test_a_small_chunk_that_becomes_large_leaves_the_loop_its_turns() -> None:
    packed = gzip.compress(tar([("zeros", bytes(8 << 20))]))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    assert [len(data) for _, data in await read([packed])] == [8 << 20]
    counting.cancel()
    assert turns >= 30
    with pytest.raises(LimitExceededError):
        await read([packed], limits=Limits(max_total_size=4 << 20))


class Counting:
    """A decoder whose data are the numbers of its chunks; it can be slow, or have a bug."""

    decompresses = is_slow = True

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


class Ready:
    """A source without an end that always has a chunk at once."""

    def __init__(self, size: int) -> None:
        self.given = 0
        self._chunk = bytes(size)

    def __aiter__(self) -> Ready:
        return self

    async def __anext__(self) -> bytes:
        return self.take_ready()

    def take_ready(self) -> bytes:
        self.given += 1
        return self._chunk


@pytest.mark.parametrize(("size", "most"), [(100_000, 6), (1, 10_000)])
async def test_what_is_ready_is_read_ahead_up_to_a_bound(size: int, most: int) -> None:
    source = Ready(size)
    pipeline = Pipeline(source, Counting())
    for _ in range(10):
        before = source.given
        assert await pipeline.pull() is not None
        assert source.given - before <= 2 * most  # for the step that is handed out, and for the next one
        given = source.given
        await asyncio.sleep(0.01)
        assert source.given == given  # nobody asked
    assert source.given > 10 * most / 2
    pipeline.close()


async def test_a_source_is_read_by_whoever_pulls_and_by_nobody_else() -> None:
    """What is around a generator's `yield` belongs to the task that began it."""
    variable: ContextVar[int] = ContextVar("variable", default=0)
    tasks = set()

    async def careful() -> AsyncIterator[bytes]:
        token = variable.set(1)
        try:
            with anyio.fail_after(60):
                async with asyncio.timeout(60), anyio.create_task_group():
                    for chunk in split(pack(".tar.gz", MEMBERS), 50_000):
                        tasks.add(asyncio.current_task())
                        yield chunk
                        await asyncio.sleep(0)
        finally:
            variable.reset(token)

    assert await read(careful()) == MEMBERS
    assert tasks == {asyncio.current_task()}


async def test_an_archive_inside_another_can_be_left_early() -> None:
    inner = pack(".tar.gz", MEMBERS)
    outer = tar([("1", inner), ("2", inner[:1000]), ("3", inner)])
    left = []
    async with open_archive(split(outer, 10_000)) as archive:
        async for member in archive:
            with suppress(TruncatedArchiveError):
                async with open_archive(member) as nested:
                    await anext(nested)
            left.append(member.name)
    assert left == ["1", "2", "3"]


async def test_threads_that_wait_for_the_archive_do_not_hinder_it() -> None:
    """The event loop's own threads may all be busy."""
    waiting = threading.Event()
    loop = asyncio.get_running_loop()
    busy = [loop.run_in_executor(None, waiting.wait) for _ in range(100)]
    try:
        async with asyncio.timeout(30):
            assert await read(arriving(split(pack(".tar.bz2", MEMBERS), 65_536))) == MEMBERS
    finally:
        waiting.set()
        await asyncio.wait(busy)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_a_fork_has_threads_of_its_own() -> None:
    program = """
import asyncio, gzip, io, os, sys, tarfile
from asyncbatch import open_archive

file = io.BytesIO()
with tarfile.open(fileobj=file, mode="w:bz2") as tar:
    info = tarfile.TarInfo("a")
    info.size = 1_000_000
    tar.addfile(info, io.BytesIO(os.urandom(info.size)))

async def read():
    async with open_archive(file.getvalue()) as archive:
        return [member.size async for member in archive]

assert asyncio.run(read()) == [1_000_000]
child = os.fork()
if not child:
    os._exit(0 if asyncio.run(read()) == [1_000_000] else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    package = str(Path(asyncbatch.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": package}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environment)  # noqa: S603


async def test_a_bug_in_a_decoder_is_raised_and_not_waited_for() -> None:
    for size in (10, 100_000):
        step = None
        pipeline = Pipeline(arriving([bytes(size), ...]), Counting(error=ZeroDivisionError()))
        step = await pipeline.pull()
        assert step is not None
        assert step[0] == []
        assert isinstance(step[1], ZeroDivisionError)
        assert await pipeline.pull() is None
        pipeline.close()


async def test_closing_waits_for_no_thread() -> None:
    decoder = Counting(seconds=0.3)
    pipeline = Pipeline(arriving([bytes(100_000)] * 3), decoder)
    pulling = asyncio.create_task(pipeline.pull())
    await asyncio.sleep(0.05)
    pulling.cancel()
    await asyncio.wait([pulling])
    assert pulling.cancelled()
    pipeline.close()
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
    pipeline.close()


async def test_a_source_that_cancels_itself_is_not_waited_for() -> None:
    with pytest.raises(asyncio.CancelledError):
        await read(arriving([asyncio.CancelledError()]), format=".tar.gz")
