"""What an archive can be read from, and what becomes of it."""

from __future__ import annotations

import array
import asyncio
import io
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiofiles
import anyio
import pytest

from asyncbatch import TruncatedArchiveError, UsageError, open_archive
from asyncbatch.archive._sources import iterate_source
from asyncbatch.codecs import TarEncoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.anyio

FILES = {"a.txt": b"first", "big.bin": bytes(range(256)) * 4000, "z.txt": b"last"}


def make_tar() -> bytes:
    encoder = TarEncoder()
    return b"".join([*(encoder.encode(name, data) for name, data in FILES.items()), encoder.finish()])


TAR = make_tar()


def chop(size: int) -> Iterator[bytes]:
    return (TAR[start : start + size] for start in range(0, len(TAR), size))


async def chop_async(size: int) -> AsyncIterator[bytes]:
    for chunk in chop(size):
        await asyncio.sleep(0)
        yield chunk


class Stream:
    """An async iterable that is no iterator, as a response body can be."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return chop_async(1000)


async def read_all(source: Any) -> dict[str, bytes]:  # noqa: ANN401 - whatever is under test
    async with open_archive(source) as archive:
        return {member.name: await member.read() async for member in archive}


@pytest.mark.parametrize(
    "make",
    [
        lambda: TAR,
        lambda: bytearray(TAR),
        lambda: memoryview(TAR),
        lambda: memoryview(array.array("Q", TAR)),
        lambda: [TAR],
        lambda: deque(chop(1000)),
        lambda: chop(1000),
        lambda: (bytearray(chunk) for chunk in chop(1000)),
        lambda: (memoryview(chunk) for chunk in chop(1000)),
        lambda: io.BytesIO(TAR).getbuffer(),
        lambda: chop_async(1000),
        Stream,
    ],
    ids=[
        "bytes",
        "bytearray",
        "memoryview",
        "wide-memoryview",
        "list",
        "deque",
        "generator",
        "bytearrays",
        "memoryviews",
        "buffer",
        "async-generator",
        "async-iterable",
    ],
)
async def test_every_kind_of_source_is_read(make: Callable[[], object]) -> None:
    assert await read_all(make()) == FILES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "archive.tar"
    path.write_bytes(TAR)
    return path


def open_files(path: Path) -> int:
    """How many descriptors of this process are open on a file; Linux only."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("needs /proc/self/fd")
    links = []
    for entry in descriptors.iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            links.append(entry.readlink())
    return links.count(path)


async def test_a_path_is_read_and_closed(path: Path) -> None:
    assert await read_all(path) == FILES
    assert await read_all(str(path)) == FILES
    assert open_files(path) == 0


async def test_a_file_is_not_opened_before_the_first_member_is_asked_for(path: Path) -> None:
    archive = open_archive(path)
    assert open_files(path) == 0
    await anext(archive)
    assert open_files(path) == 1
    await archive.aclose()
    assert open_files(path) == 0


async def test_a_file_left_early_is_closed(path: Path) -> None:
    async with open_archive(path) as archive:
        async for _ in archive:
            break
    assert open_files(path) == 0


@pytest.mark.parametrize("steps", range(8))
async def test_a_file_is_closed_wherever_its_reader_is_cancelled(path: Path, steps: int) -> None:
    async def read() -> None:
        async with open_archive(path) as archive:
            while True:  # members and chunks, over and over, until cancelled
                async for member in archive:
                    async for _ in member:
                        pass

    task = asyncio.ensure_future(read())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert open_files(path) == 0


async def test_a_file_is_closed_in_a_scope_that_was_cancelled(path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with open_archive(path) as archive:
            await anext(archive)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert open_files(path) == 0


async def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await read_all(tmp_path / "missing.tar")


async def test_an_empty_file_is_truncated(tmp_path: Path) -> None:
    (tmp_path / "empty.tar").write_bytes(b"")
    with pytest.raises(TruncatedArchiveError):
        await read_all(tmp_path / "empty.tar")


async def test_a_buffer_that_is_used_again_does_no_harm() -> None:
    async def reuse() -> AsyncIterator[memoryview]:
        buffer = bytearray(700)
        for chunk in chop(700):
            buffer[: len(chunk)] = chunk
            yield memoryview(buffer)[: len(chunk)]
            buffer[:] = b"\xff" * 700

    assert await read_all(reuse()) == FILES


@pytest.mark.parametrize(
    "source",
    [io.BytesIO(TAR), io.StringIO("text"), None, 42, object()],
    ids=["file", "text-file", "none", "number", "object"],
)
async def test_what_cannot_be_read_is_refused_at_once(source: Any) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match=f"from {type(source).__name__}: pass a path"):
        open_archive(source)


async def test_an_open_file_is_refused_since_it_would_block(path: Path) -> None:
    with path.open("rb") as file, pytest.raises(UsageError, match="BufferedReader"):
        open_archive(file)  # a file is an iterable of bytes to the type checker


async def test_an_async_file_is_read_as_the_iterable_that_it_is(path: Path) -> None:
    async with aiofiles.open(path, "rb") as file:
        assert await read_all(file) == FILES


@pytest.mark.parametrize("chunk", ["text", 1024, None], ids=["text", "number", "none"])
async def test_a_chunk_that_is_no_buffer_is_a_type_error(chunk: Any) -> None:  # noqa: ANN401
    with pytest.raises(TypeError, match="bytes-like"):
        await read_all([chunk, chunk])


async def test_large_bytes_come_in_pieces() -> None:
    data = bytes(1_000_000)
    pieces = [bytes(piece) async for piece in iterate_source(data)]
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) < len(data)


async def test_errors_of_an_iterable_pass_through() -> None:
    def broken() -> Iterator[bytes]:
        yield TAR[:1000]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await read_all(broken())


async def test_closing_a_generator_that_another_task_waits_for_is_refused() -> None:
    closed = False
    waiting = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            yield TAR[:100]
            waiting.set()
            await asyncio.Event().wait()
        finally:
            closed = True

    archive = open_archive(source())
    reader = asyncio.ensure_future(anext(archive))
    await waiting.wait()
    with pytest.raises(UsageError, match="cancel that"):
        await archive.aclose()
    reader.cancel()
    await asyncio.wait([reader])
    assert reader.cancelled()
    assert closed
