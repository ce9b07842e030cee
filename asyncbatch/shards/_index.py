"""Indexes of shards: where each file lies, and the latest indexes, kept within a bound.

What learns them, and what opens a file by them, are generators that do no I/O: they yield the offset and the
length of what they want to read, and are sent the bytes. So one knowledge of formats serves event loops and
threads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, TypeVar

from ..errors import TruncatedArchiveError, UnsupportedFormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

__all__ = [
    "MAX_INDEXED",
    "NOTHING",
    "Index",
    "IndexCache",
    "Packed",
    "Place",
    "Steps",
    "TooManyFilesError",
    "Window",
    "drive",
    "key_of",
    "keys_of",
    "read",
]

MAX_INDEXED: Final = 1_000_000
"""Files that one index holds, and all that are kept together: some 200 bytes each in a tar, 400 in a zip."""

# Characters of a name from which on a file counts for more than one: bytes are what is bounded in the end.
_LONG_NAME: Final = 256

_T = TypeVar("_T")

Steps: TypeAlias = Generator[tuple[int, int], bytes, _T]
"""Yields offset and length of what is to be read next, all of it inside the object, and is sent the bytes.

`NOTHING` may come between: there is more to do, but whoever drives this may do something else before.
"""

NOTHING: Final = (0, 0)


class Packed(NamedTuple):
    """What a zip's central directory says of a file's data, beyond its size.

    Attributes:
        method: Compression method.
        size: Bytes of compressed data.
        crc: CRC-32 of the data.
    """

    method: int
    size: int
    crc: int


class Place(NamedTuple):
    """Where a file lies in a shard.

    Attributes:
        offset: Of its data; in a zip, of its local header.
        size: Bytes of its data.
        packed: None in a tar.
        problem: Why it cannot be read, or ``""``.
    """

    offset: int
    size: int
    packed: Packed | None = None
    problem: str = ""


class TooManyFilesError(UnsupportedFormatError):
    """A shard that is too large for an index."""


class Index:
    """Where the files of a shard are: of files with one name the first, as for whoever reads on.

    Args:
        codec: The archive's format, for errors.
        maximum: What `cost` may be.

    Attributes:
        cost: How many files it holds; those with long names count for more.
    """

    __slots__ = ("_codec", "_maximum", "_places", "cost")

    def __init__(self, codec: str, maximum: int = MAX_INDEXED) -> None:
        self._codec = codec
        self._maximum = maximum
        self._places: dict[str, Place] = {}
        self.cost = 0

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def get(self, archpath: str) -> Place | None:
        """Return where a file is, or None if there is none; a leading slash makes no difference."""
        return next((self._places[key] for key in keys_of(archpath) if key in self._places), None)

    def add(self, name: str, place: Place) -> None:
        """Take down a file, unless one of that name is there.

        Raises:
            TooManyFilesError: if these are too many.
        """
        key = key_of(name)
        if key in self._places:
            return
        self.cost += 1 + len(key) // _LONG_NAME
        if self.cost > self._maximum:
            raise TooManyFilesError(
                f"it holds more than {self._maximum} files (each {_LONG_NAME} characters of a name count for "
                "one more), too many for an index",
                codec=self._codec,
                offset=place.offset,
            )
        self._places[key] = place


class IndexCache:
    """The latest indexes, for as long as they are not too large together. Not for several threads at once.

    Args:
        maximum: What their costs may amount to.
    """

    def __init__(self, maximum: int = MAX_INDEXED) -> None:
        self._maximum = maximum
        self._indexes: OrderedDict[Hashable, Index] = OrderedDict()
        self._cost = 0

    def __len__(self) -> int:
        return len(self._indexes)

    @property
    def entries(self) -> int:
        """How many files they hold together."""
        return sum(map(len, self._indexes.values()))

    def get(self, version: Hashable) -> Index | None:
        """Return the index of a version of a shard, which is the latest then; None if it is not kept."""
        index = self._indexes.get(version)
        if index is not None:
            self._indexes.move_to_end(version)
        return index

    def put(self, version: Hashable, index: Index) -> None:
        """Keep an index, and no longer those for which there is no room beside it."""
        if version not in self._indexes:
            self._indexes[version] = index
            self._cost += index.cost
        while self._cost > self._maximum:
            self._cost -= self._indexes.popitem(last=False)[1].cost


class Window:
    """A range, to be cut out of what can only be had from its beginning.

    Args:
        start: Where it begins.
        length: Bytes of it.

    Attributes:
        start: The same.
        length: The same.
    """

    __slots__ = ("_end", "_position", "length", "start")

    def __init__(self, start: int, length: int) -> None:
        self.start = start
        self.length = length
        self._end = start + length
        self._position = 0

    @property
    def is_passed(self) -> bool:
        """Whether nothing more is needed. What ends with the last byte is read on: a check may follow it."""
        return self._position > self._end

    def cut(self, piece: bytes | bytearray | memoryview) -> bytes:
        """Return what the next piece has of the range: a copy, since a decoder's piece is valid only once."""
        part = memoryview(piece)[max(self.start - self._position, 0) : max(self._end - self._position, 0)]
        self._position += len(piece)
        return bytes(part)


def key_of(name: str) -> str:
    """Return that by which a file is found: its name without a leading slash."""
    return name.removeprefix("/")


def keys_of(archpath: str) -> tuple[str, ...]:
    """Return what a file may be found by that is asked for by this name.

    Info-ZIP, for one, writes names in UTF-8 and does not say so: to us they are in CP437 then, and to readers
    that compare bytes, as AIStore is, they are what was asked for.
    """
    key = key_of(archpath)
    return (key,) if key.isascii() else (key, key.encode("utf-8", "surrogatepass").decode("cp437"))


def read(offset: int, length: int, what: str, codec: str) -> Steps[bytes]:
    """Read exactly so many bytes, which belong to `what`.

    Raises:
        TruncatedArchiveError: if there are fewer.
    """
    data = yield offset, length
    if len(data) < length:
        raise TruncatedArchiveError(
            f"the object ends inside {what}, before its stated size", codec=codec, offset=offset + len(data)
        )
    return data


def drive(steps: Steps[_T], read_at: Callable[[int, int], bytes]) -> _T:
    """Run steps to their end with a function that reads, and return what they return."""
    try:
        wanted = next(steps)
        while True:
            wanted = steps.send(b"" if wanted == NOTHING else read_at(*wanted))
    except StopIteration as done:
        result: _T = done.value
        return result
