"""What a container decoder says: small event classes, one vocabulary for every format.

A member that lay whole in what was fed is one `WholeMember`; a larger one is a `MemberStart`, any number of
`MemberData` and a `MemberEnd`. Nothing else follows a start but the data and the end of the same member.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Buffer",
    "Decoder",
    "Event",
    "MemberData",
    "MemberEnd",
    "MemberKind",
    "MemberStart",
    "WholeMember",
]

Buffer: TypeAlias = bytes | bytearray | memoryview
MemberKind: TypeAlias = Literal[
    "file", "dir", "symlink", "hardlink", "char_device", "block_device", "fifo", "other"
]


class _Member:
    """What a decoder knows of a member when its data begins.

    Attributes:
        name: Path as stored, ``/``-separated; undecodable bytes are surrogates (`os.fsencode` restores them).
        size: Bytes of data, or None where only the end of the member will tell.
        offset: Where its data begins, in bytes from the start of the decoder's input.
    """

    # Subclasses lay out these slots themselves: slots of two base classes cannot be combined.
    __slots__ = ()

    name: str
    size: int | None
    offset: int

    @property
    def kind(self) -> MemberKind:
        """What the member is, as far as the format tells before the data."""
        return "file"

    @property
    def is_symlink(self) -> bool | None:
        """Whether it is a symbolic link, or None where the format has not told that yet."""
        return self.kind == "symlink"

    @property
    def mode(self) -> int | None:
        """Permission bits, or None where the format has not told them yet."""
        return None

    @property
    def mtime(self) -> float | None:
        """Modification time in seconds since the epoch, or None if not told."""
        return None

    @property
    def linkname(self) -> str:
        """Target of a link, ``""`` for everything else."""
        return ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} size={self.size}>"


class WholeMember(_Member):
    """A member that lay whole in what was fed.

    Attributes:
        data: All of its bytes.
    """

    __slots__ = ()

    size: int
    data: bytes


class MemberStart(_Member):
    """The head of a member whose data follows in `MemberData` events."""

    __slots__ = ()


class MemberData:
    """The next bytes of the member that is open.

    Attributes:
        data: Never empty. May be a view of the chunk that was fed: valid until the next `feed`.
    """

    __slots__ = ("data",)

    def __init__(self, data: Buffer) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"<MemberData {len(self.data)} bytes>"


class MemberEnd:
    """The open member is complete: its size, and its checksum where the format has one, were right."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<MemberEnd>"


Event: TypeAlias = WholeMember | MemberStart | MemberData | MemberEnd


class Decoder(Protocol):
    """A push decoder of a container format: bytes in, events out, no I/O.

    After `feed`, iterating yields the events that became complete; a decoder that met malformed input
    yields the events before it and then raises, and from then on every call raises the same error.
    """

    @property
    def decompresses(self) -> bool:
        """Whether there is something to decompress, as far as is known."""
        ...

    @property
    def is_slow(self) -> bool:
        """Whether decompressing takes so long that it is better done in a thread."""
        ...

    def feed(self, chunk: Buffer, /) -> None:
        """Give the next bytes of the input."""
        ...

    def __iter__(self) -> Iterator[Event]:
        """Iterate over what is complete; a loop that was left early is continued by the next one."""
        ...

    def feed_eof(self) -> None:
        """Say that no more bytes come.

        Raises:
            TruncatedArchiveError: if the archive is not whole.
        """
        ...
