"""Single files out of shards: objects that are archives.

Of a tar and of a zip an index is learnt once for each version, and kept: any file of it is then one seek
away. A compressed tar can only be read from its beginning until the file is found.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections import OrderedDict
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

from ..codecs import TarDecoder
from ..codecs._backends import crc32, raw_decompressobj
from ..codecs._events import MemberData, MemberStart, WholeMember
from ..codecs._gzip import GzipDecompressor
from ..codecs._lz4 import Lz4Decompressor
from ..errors import AsyncBatchError
from ..limits import DEFAULT_LIMITS
from ._source import Source, read_range
from ._store import NoSuchObjectError, ShardError
from ._stream import CHUNK_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..codecs._decompress import Decompressor
    from ..codecs._events import Buffer, Event
    from ._store import StoredObject

__all__ = ["Shards"]

_MAX_INDEXED: Final = 1_000_000
"""Files that one index holds, and all that are kept together: some 200 bytes each."""

_MAX_DIRECTORY: Final = 256 << 20
_ZIP_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")  # APPNOTE 4.3.7: signature, …, lengths of name and extra
_ENCRYPTED: Final = 0x1


class _Place(NamedTuple):
    """Where a file lies in a shard.

    Attributes:
        offset: Of its data, or of its local header in a zip.
        size: Of its data.
        packed: None in a tar, else what a zip's central directory says of it.
        problem: Why it cannot be read, or ``""``.
    """

    offset: int
    size: int
    packed: zipfile.ZipInfo | None = None
    problem: str = ""


class Shards:
    """Opens files in shards; keeps the indexes of the latest ones."""

    def __init__(self, max_indexed: int = _MAX_INDEXED) -> None:
        self._max_indexed = max_indexed
        self._indexes: OrderedDict[tuple[str, str, str], Mapping[str, _Place]] = OrderedDict()
        self._indexed = 0
        self._lock = Lock()  # requests are served from many threads

    def open(self, stored: StoredObject, bucket: str, name: str, archpath: str) -> Source:
        """Return the file at `archpath`; a leading slash makes no difference.

        Raises:
            NoSuchObjectError: if the shard has no such file.
            ShardError: if it cannot be read.
        """
        key = _key(archpath)
        try:
            if name.endswith((".tgz", ".tar.gz")):
                source = _search(stored, GzipDecompressor(), key)
            elif name.endswith(".tar.lz4"):
                source = _search(stored, Lz4Decompressor(), key)
            elif name.endswith((".tar", ".zip")):
                place = self._index(stored, bucket, name).get(key)
                source = None if place is None else _open_place(stored, place)
            else:
                raise ShardError("its name ends in none of .tar, .tgz, .tar.gz, .tar.lz4, .zip")
        except (ShardError, AsyncBatchError) as error:
            raise ShardError(f"ais://{bucket}/{name} cannot be read as an archive: {error}") from error
        if source is None:
            raise NoSuchObjectError(bucket, name, archpath)
        return source

    def _index(self, stored: StoredObject, bucket: str, name: str) -> Mapping[str, _Place]:
        version = bucket, name, stored.etag
        with self._lock:
            if (index := self._indexes.get(version)) is not None:
                self._indexes.move_to_end(version)
                return index
        index = _learn(stored, _zip_places if name.endswith(".zip") else _tar_places, self._max_indexed)
        with self._lock:
            if version not in self._indexes:
                self._indexes[version] = index
                self._indexed += len(index)
            while self._indexed > self._max_indexed:
                self._indexed -= len(self._indexes.popitem(last=False)[1])
        return index


class _Reader(io.RawIOBase):
    """A stored object as a file, for the parsers of the standard library.

    They read as many bytes as an archive's headers tell them to, hence the bound, and go where these lead
    them: a header of negative size, to itself, for ever.

    Args:
        stored: The object.
        max_read: Bytes of one read.
        forward: Whether to refuse to go back behind what was read.
    """

    def __init__(self, stored: StoredObject, max_read: int, *, forward: bool = False) -> None:
        self._stored = stored
        self._max_read = max_read
        self._forward = forward
        self._at = 0
        self._lowest = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._stored.size}[whence]
        if self._at < self._lowest:
            raise ValueError(f"a header leads back to byte {self._at}")
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(self._stored.size - self._at, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > self._max_read:
            raise ShardError(f"a header of {wanted} bytes; at most {self._max_read} are read")
        data = self._stored.read(self._at, wanted)
        self._at += len(data)
        self._lowest = self._at if self._forward else 0
        return data


def _key(name: str) -> str:
    return name.removeprefix("/")


def _learn(
    stored: StoredObject, places: Callable[[StoredObject], Iterator[tuple[str, _Place]]], limit: int
) -> dict[str, _Place]:
    """Return where everything is: of files with one name the first, as for a reader."""
    index: dict[str, _Place] = {}
    try:
        for name, place in places(stored):
            index.setdefault(_key(name), place)
            if len(index) > limit:
                raise ShardError(f"it holds more than {limit} files")
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        EOFError,
        LookupError,
        NotImplementedError,
        OverflowError,
        RecursionError,
        ValueError,
        struct.error,
    ) as error:
        # What the standard library raises over bytes that are no such archive, or a hostile one.
        raise ShardError(f"{type(error).__name__}: {error}") from error
    return index


def _tar_places(stored: StoredObject) -> Iterator[tuple[str, _Place]]:
    reader = _Reader(stored, DEFAULT_LIMITS.max_header_size, forward=True)
    with tarfile.open(fileobj=reader, mode="r:", encoding="utf-8") as archive:
        while (member := archive.next()) is not None:
            if member.isreg() and member.size >= 0:
                problem = "it is a sparse file" if member.sparse is not None else ""
                yield member.name, _Place(member.offset_data, member.size, problem=problem)
            archive.members.clear()  # type: ignore[attr-defined] # it would keep them all


def _zip_places(stored: StoredObject) -> Iterator[tuple[str, _Place]]:
    with zipfile.ZipFile(_Reader(stored, _MAX_DIRECTORY)) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                problem = "it is encrypted" if member.flag_bits & _ENCRYPTED else ""
                if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                    problem = f"it is compressed with method {member.compress_type}; 0 and 8 are supported"
                yield member.filename, _Place(member.header_offset, member.file_size, member, problem)


def _open_place(stored: StoredObject, place: _Place) -> Source:
    if place.problem:
        raise ShardError(f"of the file that was asked for: {place.problem}")
    packed, offset = place.packed, place.offset
    if packed is not None:
        head = stored.read(offset, _ZIP_LOCAL_HEADER.size)
        if len(head) < _ZIP_LOCAL_HEADER.size or not head.startswith(b"PK\3\4"):
            raise ShardError(f"no local header at byte {offset}")
        _, name_length, extra_length = _ZIP_LOCAL_HEADER.unpack(head)
        offset += _ZIP_LOCAL_HEADER.size + name_length + extra_length
        if packed.compress_type == zipfile.ZIP_DEFLATED:
            return _whole_only(stored, place.size, lambda: _inflate(stored, offset, packed))
    return Source(stored, size=place.size, mtime=0, read=lambda at, n: read_range(stored, offset + at, n))


def _whole_only(stored: StoredObject, size: int, read: Callable[[], Iterator[Buffer]]) -> Source:
    """Return a source whose ranges are cut out of what can only be read from its beginning."""
    return Source(stored, size=size, mtime=0, read=lambda at, n: _cut_out(read(), at, n))


def _cut_out(pieces: Iterator[Buffer], start: int, length: int) -> Iterator[Buffer]:
    position = 0
    for piece in pieces:
        part = memoryview(piece)[max(start - position, 0) : start + length - position]
        position += len(piece)
        # A copy: a decoder's piece is valid until the next one.
        if part:
            yield bytes(part)
        # What ends with the last piece is read on: a check may come behind it.
        if position > start + length:
            return


def _inflate(stored: StoredObject, offset: int, packed: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield a deflated member of a zip, checked against the central directory's size and CRC."""
    inflater = raw_decompressobj()
    compressed = read_range(stored, offset, packed.compress_size)
    unread, size, checksum = b"", 0, 0
    while True:
        if not unread:
            unread = next(compressed, b"")
        data = inflater.decompress(unread, CHUNK_SIZE)
        size += len(data)
        if (not data and not unread) or size > packed.file_size:
            break
        unread = inflater.unconsumed_tail if not inflater.eof else b""
        checksum = crc32(data, checksum)
        yield data
    if (size, checksum) != (packed.file_size, packed.CRC):
        raise ShardError(f"{packed.filename!r}: size and CRC are not those of the central directory")


def _search(stored: StoredObject, decompressor: Decompressor, key: str) -> Source | None:
    """Read a compressed tar until the file is found."""
    events = _decode(stored, decompressor)
    for event in events:
        if isinstance(event, (WholeMember, MemberStart)) and event.kind == "file" and _key(event.name) == key:
            return _whole_only(stored, event.size or 0, partial(_member_data, event, events))
    return None


def _member_data(first: WholeMember | MemberStart, events: Iterator[Event]) -> Iterator[Buffer]:
    if isinstance(first, WholeMember):
        yield first.data
        return
    for event in events:
        if not isinstance(event, MemberData):
            return
        yield event.data


def _decode(stored: StoredObject, decompressor: Decompressor) -> Iterator[Event]:
    decoder = TarDecoder()
    for chunk in read_range(stored, 0, stored.size):
        decompressor.feed(chunk)
        for data in decompressor:
            decoder.feed(data)
            yield from decoder
    decompressor.feed_eof()
    decoder.feed_eof()
