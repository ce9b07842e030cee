"""One object's data on its way: read once, by one task; and what may be stored."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import pytest

from asyncbatch import UsageError
from asyncbatch.batch import ObjectReader, check_data, check_range, read_file

if TYPE_CHECKING:
    from pathlib import Path

    from asyncbatch.batch import ObjectData, OpenedObject
    from asyncbatch.codecs._events import Buffer


class Chunks:
    """Data that never ends: each chunk is awaited until it may come."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.closed = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Buffer:
        await self.ready.wait()
        return bytearray(b"data")  # as some decoders have them

    async def aclose(self) -> None:
        self.closed += 1


class Reader(ObjectReader[int]):
    @property
    def info(self) -> int:
        return self._told()


def reader_of(chunks: Chunks) -> Reader:
    async def ask() -> OpenedObject[int]:
        return chunks, lambda: 4

    return Reader("o", ask)


@pytest.mark.anyio
async def test_chunks_are_bytes_and_the_source_is_closed() -> None:
    chunks = Chunks()
    chunks.ready.set()
    async with reader_of(chunks) as body:
        assert body.info == 4
        async for chunk in body:
            assert type(chunk) is bytes
            break
    assert chunks.closed == 1
    with pytest.raises(UsageError, match="object 'o': this body is closed already"):
        await anext(body)
    with pytest.raises(UsageError, match="is closed already"):
        await body.__aenter__()
    await body.aclose()


@pytest.mark.anyio
async def test_nothing_is_read_outside_of_async_with() -> None:
    body = reader_of(Chunks())
    for use in (lambda: body.info, lambda: aiter(body)):
        with pytest.raises(UsageError, match="inside an 'async with'"):
            use()
    with pytest.raises(UsageError, match="inside an 'async with'"):
        await anext(body)
    await body.aclose()
    with pytest.raises(UsageError, match="is closed already"):
        await body.__aenter__()


@pytest.mark.anyio
@pytest.mark.parametrize("closed", [False, True])
async def test_one_task_reads_and_another_may_close(*, closed: bool) -> None:
    chunks = Chunks()
    async with reader_of(chunks) as body:
        first = asyncio.ensure_future(anext(body))
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="being read already"):
            await anext(body)
        if closed:
            await body.aclose()
        chunks.ready.set()
        assert await first == b"data"
        if closed:
            with pytest.raises(UsageError, match="is closed already"):
                await anext(body)
        else:
            assert await anext(body) == b"data"


@pytest.mark.parametrize(("start", "length"), [(-1, None), (0, 0), (3, -1)])
def test_what_is_no_range(start: int, length: int | None) -> None:
    with pytest.raises(UsageError, match=f"object 'o': start={start}, length={length} is no range"):
        check_range("o", start, length)
    check_range("o", 3, 1)
    check_range("o", 0, None)


def test_what_can_be_stored(tmp_path: Path) -> None:
    data: ObjectData
    for data in (b"", bytearray(), memoryview(b""), "path", tmp_path, reader_of(Chunks())):
        check_data("o", data)
    wrong: Any
    for wrong in (None, 1, [b"data"], iter(())):
        with pytest.raises(UsageError, match=f"object 'o': cannot store {type(wrong).__name__}"):
            check_data("o", wrong)


@pytest.mark.anyio
@pytest.mark.parametrize("size", [0, 3, 5])
async def test_a_file_that_changed_is_not_stored(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    assert b"".join([chunk async for chunk in read_file(path, 4)]) == b"data"
    with pytest.raises(OSError, match=f"changed while it was read: it had {size} bytes at first"):
        _ = [chunk async for chunk in read_file(path, size)]
