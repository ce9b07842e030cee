"""A shard in memory that counts what is read of it, and archives to put there."""

from __future__ import annotations

import asyncio
import io
import random
import tarfile
import zipfile
from typing import TYPE_CHECKING

from asyncbatch.limits import DEFAULT_LIMITS
from asyncbatch.shards._index import MAX_INDEXED, Index, drive
from asyncbatch.shards._tar import learn_tar
from asyncbatch.shards._zip import learn_zip

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from asyncbatch.limits import Limits
    from asyncbatch.shards import ShardFile

MEMBERS = {
    "a.txt": b"alpha",
    "empty": b"",
    "dir/large": random.Random(1).randbytes(1_300_000),
    "zeros": bytes(600_000),
    "long/" + "n" * 200: b"long name",
    "日本.txt": b"unicode",
    "/leading": b"slash",
    "last": b"omega",
}


class MemoryShard:
    """Counts requests and bytes. `before` is awaited before each request."""

    def __init__(self, name: str, data: bytes, *, version: str = "1", chunk_size: int = 65_536) -> None:
        self.name = name
        self.key = "bucket", name
        self.data = data
        self.size = len(data)
        self.version = version
        self.requests = 0
        self.bytes = 0
        self.streams = 0  # that are open
        self._chunk_size = chunk_size

    async def before(self) -> None:
        """Make a task that waits really wait."""
        await asyncio.sleep(0)

    def _cut(self, offset: int, length: int) -> bytes:
        assert 0 <= offset < offset + length <= self.size
        return self.data[offset : offset + length]

    async def read(self, offset: int, length: int, /) -> bytes:
        self.requests += 1
        data = self._cut(offset, length)
        await self.before()
        self.bytes += len(data)
        return data

    async def stream(self, offset: int, length: int | None, /) -> AsyncGenerator[bytes]:
        self.requests += 1
        data = self.data if length is None else self._cut(offset, length)
        self.streams += 1
        try:
            for start in range(0, len(data), self._chunk_size):
                await self.before()
                chunk = data[start : start + self._chunk_size]
                self.bytes += len(chunk)
                yield chunk
                yield b""  # is nothing special
        finally:
            self.streams -= 1


async def content(file: ShardFile | None) -> bytes:
    """Read a file that must be there to its end."""
    assert file is not None
    data = b"".join([chunk async for chunk in file.chunks])
    assert len(data) == file.length
    return data


class Reads:
    """What was read of an object by a function, for `drive`."""

    def __init__(self, size: int, read: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._read = read
        self.count = 0
        self.bytes = 0

    def __call__(self, offset: int, length: int) -> bytes:
        assert 0 <= offset < offset + length <= self._size
        self.count += 1
        data = self._read(offset, length)
        self.bytes += len(data)
        return data


def learn(
    data: bytes, codec: str = "tar", *, limits: Limits = DEFAULT_LIMITS, maximum: int = MAX_INDEXED
) -> tuple[Index, Reads]:
    """Learn the index of an archive in memory."""
    return learn_virtual(
        len(data),
        lambda offset, length: data[offset : offset + length],
        codec,
        limits=limits,
        maximum=maximum,
    )


def learn_virtual(
    size: int,
    read: Callable[[int, int], bytes],
    codec: str = "tar",
    *,
    limits: Limits = DEFAULT_LIMITS,
    maximum: int = MAX_INDEXED,
) -> tuple[Index, Reads]:
    """Learn the index of an archive that may be too large to be made."""
    index, reads = Index(codec, maximum), Reads(size, read)
    steps = learn_zip if codec == "zip" else learn_tar
    drive(steps(size, index, limits), reads)
    return index, reads


def make_tar(members: Mapping[str, bytes] = MEMBERS, format_: int = tarfile.DEFAULT_FORMAT) -> bytes:
    """Write a tar with a folder and a link besides."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as archive:
        folder = tarfile.TarInfo("dir")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "a.txt"
        archive.addfile(link)
    return buffer.getvalue()


def make_zip(
    method: int = zipfile.ZIP_STORED, stub: bytes = b"", members: Mapping[str, bytes] = MEMBERS
) -> bytes:
    """Write a zip with a folder besides, behind a stub that its offsets do not count."""
    buffer = io.BytesIO(stub)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("dir/", b"")
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()
