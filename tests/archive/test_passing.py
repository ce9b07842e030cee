"""Data of large members that goes past the decoder: what comes out, and what goes wrong, stays the same."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Self

import pytest

from asyncbatch import FormatError, LimitExceededError, Limits, TruncatedArchiveError, UsageError
from asyncbatch.archive import Archive
from asyncbatch.archive._events import EventStream
from asyncbatch.codecs import TarEncoder
from asyncbatch.codecs._formats import parse_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

pytestmark = pytest.mark.anyio

SIZE = (1 << 20) + 1000  # of a member that is collected in a buffer
BIG = random.Random(8).randbytes(SIZE)
FILES = {"a": b"first", "big": BIG, "also-big": BIG[::-1], "z": b"last"}


@pytest.fixture
def anyio_backend() -> Any:  # noqa: ANN401 - what anyio takes
    return "asyncio", {"use_uvloop": False}


def make_tar(files: dict[str, bytes]) -> bytes:
    encoder = TarEncoder()
    return b"".join([*(encoder.encode(name, data) for name, data in files.items()), encoder.finish()])


TAR = make_tar(FILES)


class Source:
    """A source of chunks that also passes them on, as views of a buffer that is used again.

    Args:
        chunks: What it gives. An exception is raised, and `...` waits until the reader is cancelled.
    """

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks = list(chunks)
        self.passed = 0  # bytes
        self.has_passed = asyncio.Event()
        self.closed = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks:
            raise StopAsyncIteration
        chunk: bytes = await self._take()
        return chunk

    async def pass_on(self, keep: Callable[[memoryview], object], maximum: int) -> int:
        if not self._chunks or (isinstance(self._chunks[0], bytes) and len(self._chunks[0]) > maximum):
            return 0
        buffer = bytearray(await self._take())
        with memoryview(buffer) as view:
            keep(view[:10])
            keep(view[10:])
        buffer[:] = b"\xff" * len(buffer)
        self.passed += len(buffer)
        self.has_passed.set()
        return len(buffer)

    async def _take(self) -> Any:  # noqa: ANN401 - as given
        await asyncio.sleep(0)
        if self._chunks[0] is ...:
            await asyncio.get_running_loop().create_future()
        chunk = self._chunks.pop(0)
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk

    async def aclose(self) -> None:
        self.closed += 1


def chop(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def open_source(source: Source, form: str | None = ".tar", limits: Limits | None = None) -> Archive:
    archive_format = None if form is None else parse_format(form)
    return Archive(EventStream(source, archive_format, limits=limits or Limits()))


@pytest.mark.parametrize("size", [700, 4096, 100_000, 600_000, 3 << 20])
async def test_members_come_whole_and_what_surely_is_theirs_is_passed_on(size: int) -> None:
    source = Source(chop(TAR, size))
    found = {member.name: await member.read() async for member in open_source(source)}
    assert found == FILES
    # All of both but the chunks that they begin and end in.
    assert source.passed >= 2 * (SIZE - 2 * size)
    assert source.closed


async def test_a_member_that_was_passed_on_may_be_left_or_read_by_chunks() -> None:
    async with open_source(Source(chop(TAR, 4096))) as archive:
        await anext(archive)
        assert b"".join([chunk async for chunk in await anext(archive)]) == BIG
        assert (await anext(archive)).name == "also-big"
        assert await (await anext(archive)).read() == b"last"


async def test_a_format_that_is_told_by_the_first_bytes_is_decoded_as_ever() -> None:
    source = Source(chop(TAR, 4096))
    assert {member.name: await member.read() async for member in open_source(source, None)} == FILES
    assert not source.passed


async def test_a_cut_member_is_truncated_at_the_same_place() -> None:
    reasons = []
    for size in (4096, 100_000, 3 << 20):
        source = Source(chop(TAR[:1_000_000], size))
        archive = open_source(source)
        await anext(archive)
        with pytest.raises(TruncatedArchiveError) as caught:
            await (await anext(archive)).read()
        assert source.closed
        reasons.append((str(caught.value), caught.value.offset, caught.value.member))
    assert reasons[0][1:] == (1_000_000, "big")
    assert reasons[1:] == reasons[:-1]


async def test_what_follows_a_member_that_was_passed_on_has_its_place() -> None:
    damaged = bytearray(TAR)
    damaged[-2000] ^= 1
    offsets = []
    for size in (4096, 3 << 20):
        archive = open_source(Source(chop(bytes(damaged), size)))
        for name in ("a", "big", "also-big"):
            member = await anext(archive)
            assert (member.name, len(await member.read())) == (name, len(FILES[name]))
        with pytest.raises(FormatError) as caught:
            await anext(archive)
        offsets.append(caught.value.offset)
    assert offsets == [len(TAR) - 2048, offsets[0]]


@pytest.mark.parametrize("size", [4096, 100_000])
async def test_max_total_size_is_met_as_ever(size: int) -> None:
    limits = Limits(max_total_size=500_000)
    source = Source(chop(TAR, size))
    archive = open_source(source, limits=limits)
    await anext(archive)
    with pytest.raises(LimitExceededError) as caught:
        await (await anext(archive)).read()
    assert (caught.value.limit, caught.value.maximum) == ("max_total_size", 500_000)
    assert source.passed <= 500_000
    assert source.closed


async def test_max_item_size_is_asked_before_anything_is_passed_on() -> None:
    source = Source(chop(TAR, 4096))
    archive = open_source(source, limits=Limits(max_item_size=SIZE - 1))
    await anext(archive)
    with pytest.raises(LimitExceededError, match="max_item_size"):
        await (await anext(archive)).read()
    assert not source.passed


@pytest.mark.parametrize("error", [OSError("gone"), UsageError("closed elsewhere"), asyncio.CancelledError()])
async def test_the_source_is_closed_on_its_own_error(error: BaseException) -> None:
    source = Source([*chop(TAR[:40_960], 4096), error])
    archive = open_source(source)
    await anext(archive)
    with pytest.raises(type(error)) as caught:
        await (await anext(archive)).read()
    assert caught.value is error
    assert source.passed
    assert source.closed


async def test_a_second_reader_is_refused_and_closing_ends_the_first() -> None:
    source = Source([*chop(TAR[:40_960], 4096), ..., *chop(TAR[40_960:], 4096)])
    archive = open_source(source)
    await anext(archive)
    reading = asyncio.ensure_future((await anext(archive)).read())
    await source.has_passed.wait()
    with pytest.raises(UsageError, match="being read by another task"):
        await anext(archive)
    assert not reading.done()
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()
    assert source.closed


async def test_an_archive_that_was_closed_meanwhile_is_read_no_further() -> None:
    source = Source(chop(TAR, 4096))
    archive = open_source(source)
    await anext(archive)
    reading = asyncio.ensure_future((await anext(archive)).read())
    await source.has_passed.wait()
    await archive.aclose()
    with pytest.raises(UsageError, match="was closed"):
        await reading
