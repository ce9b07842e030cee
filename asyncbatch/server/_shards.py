"""Single files out of shards: objects that are archives.

Of a tar and of a zip an index is learnt once for each version, and kept: any file of it is then one seek
away. A compressed tar can only be read from its beginning until the file is found.
"""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final

from ..codecs._events import MemberData, MemberStart, WholeMember
from ..codecs._formats import format_of_name
from ..codecs._pipeline import open_decoder
from ..codecs._zip_header import STORED
from ..errors import AsyncBatchError
from ..limits import DEFAULT_LIMITS
from ..shards._index import MAX_INDEXED, Index, IndexCache, Window, drive, key_of
from ..shards._member import check_place, find_data, open_data
from ..shards._tar import learn_tar
from ..shards._zip import learn_zip
from ._source import Source, read_range
from ._store import NoSuchObjectError, ShardError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..codecs._events import Buffer, Event
    from ..codecs._formats import ArchiveFormat
    from ..shards._index import Packed, Place
    from ._store import StoredObject

__all__ = ["Shards"]

_SUPPORTED: Final = (
    ".tar",
    ".tgz",
    ".tar.gz",
    ".tar.lz4",
    ".zip",
)  # AIStore's, by the names it knows them by


class Shards:
    """Opens files in shards; keeps the indexes of the latest ones."""

    def __init__(self, max_indexed: int = MAX_INDEXED) -> None:
        self._max_indexed = max_indexed
        self._indexes = IndexCache(max_indexed)
        self._turns: dict[tuple[str, str, str], Lock] = {}  # of those who want an index that nobody has
        self._lock = Lock()  # requests are served from many threads

    def open(self, stored: StoredObject, bucket: str, name: str, archpath: str) -> Source:
        """Return the file at `archpath`; a leading slash makes no difference.

        Raises:
            NoSuchObjectError: if the shard has no such file.
            ShardError: if it cannot be read.
        """
        try:
            source = self._open(stored, bucket, name, archpath)
        except (ShardError, AsyncBatchError) as error:
            raise ShardError(f"ais://{bucket}/{name} cannot be read as an archive: {error}") from error
        if source is None:
            raise NoSuchObjectError(bucket, name, archpath)
        return source

    def _open(self, stored: StoredObject, bucket: str, name: str, archpath: str) -> Source | None:
        archive_format = format_of_name(name)
        if archive_format is None or not name.endswith(_SUPPORTED):
            raise ShardError(f"its name ends in none of {', '.join(_SUPPORTED)}")
        if archive_format.compression is not None:
            return _search(stored, archive_format, key_of(archpath))
        place = self._index(stored, archive_format.container, (bucket, name, stored.etag)).get(archpath)
        if place is None:
            return None
        check_place(place, archpath, DEFAULT_LIMITS)
        if place.packed is not None:
            return _open_packed(stored, archpath, place, place.packed)
        return _source(stored, place.size, partial(_read_from, stored, place.offset))

    def _index(self, stored: StoredObject, container: str, version: tuple[str, str, str]) -> Index:
        with self._lock:
            if (index := self._indexes.get(version)) is not None:
                return index
            turn = self._turns.setdefault(version, Lock())
        # Files of one shard are opened in many threads at once: the first of them learns for all.
        with turn:
            with self._lock:
                index = self._indexes.get(version)
            try:
                return self._learn(stored, container, version) if index is None else index
            finally:
                with self._lock:
                    self._turns.pop(version, None)

    def _learn(self, stored: StoredObject, container: str, version: tuple[str, str, str]) -> Index:
        index = Index(container, self._max_indexed)
        learn = learn_zip if container == "zip" else learn_tar
        drive(learn(stored.size, index, DEFAULT_LIMITS), stored.read)
        with self._lock:
            self._indexes.put(version, index)
        return index


def _source(stored: StoredObject, size: int, read: Callable[[int, int], Iterator[Buffer]]) -> Source:
    return Source(stored, size=size, mtime=0, read=read)


def _read_from(stored: StoredObject, offset: int, start: int, length: int) -> Iterator[bytes]:
    return read_range(stored, offset + start, length)


def _open_packed(stored: StoredObject, archpath: str, place: Place, packed: Packed) -> Source:
    """Return a file of a zip, checked against its central directory where it is read to its end."""
    offset, _ = drive(find_data(place, packed, archpath, stored.size, 0), stored.read)

    def read(start: int, length: int) -> Iterator[Buffer]:
        if packed.method == STORED and length < place.size:
            return read_range(stored, offset + start, length)
        return _cut_out(_unpack(stored, archpath, place, packed, offset), start, length)

    return _source(stored, place.size, read)


def _unpack(
    stored: StoredObject, archpath: str, place: Place, packed: Packed, offset: int
) -> Iterator[Buffer]:
    source, pieces = open_data(place, packed, archpath, offset, DEFAULT_LIMITS)
    compressed = read_range(stored, offset, packed.size)
    for piece in pieces:
        if piece:
            yield piece
        elif chunk := next(compressed, b""):
            source.append(chunk)
        else:
            source.ended = True


def _cut_out(pieces: Iterator[Buffer], start: int, length: int) -> Iterator[bytes]:
    window = Window(start, length)
    for piece in pieces:
        if part := window.cut(piece):
            yield part
        if window.is_passed:
            return


def _search(stored: StoredObject, archive_format: ArchiveFormat, key: str) -> Source | None:
    """Read a compressed tar until the file is found."""
    events = _decode(stored, archive_format)
    for event in events:
        if (
            isinstance(event, (WholeMember, MemberStart))
            and event.kind == "file"
            and key_of(event.name) == key
        ):
            return _source(stored, event.size or 0, partial(_cut_member, event, events))
    return None


def _cut_member(
    first: WholeMember | MemberStart, events: Iterator[Event], start: int, length: int
) -> Iterator[bytes]:
    return _cut_out(_member_data(first, events), start, length)


def _member_data(first: WholeMember | MemberStart, events: Iterator[Event]) -> Iterator[Buffer]:
    if isinstance(first, WholeMember):
        yield first.data
        return
    for event in events:
        if not isinstance(event, MemberData):
            return
        yield event.data


def _decode(stored: StoredObject, archive_format: ArchiveFormat) -> Iterator[Event]:
    decoder = open_decoder(archive_format)
    for chunk in read_range(stored, 0, stored.size):
        decoder.feed(chunk)
        yield from decoder
    decoder.feed_eof()
    yield from decoder
