"""Archives from any source of bytes: members through an async iterator, one at a time, as they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from .._closing import AsyncCloseable
from ..codecs._events import MemberStart, WholeMember
from ..codecs._formats import parse_format
from ..errors import UsageError
from ..limits import DEFAULT_LIMITS
from ._events import EventStream
from ._extract import extract
from ._sources import iterate_source, name_of_source

if TYPE_CHECKING:
    import os

    from ..codecs._events import MemberKind
    from ..codecs._zip_events import ZipRecord
    from ..limits import Limits
    from ._extract import ExtractResult
    from ._sources import Source

__all__ = ["Archive", "ArchiveMember", "open_archive"]


def open_archive(
    source: Source,
    *,
    format: str | None = None,  # noqa: A002 - the field's word
    limits: Limits = DEFAULT_LIMITS,
    strict: bool = True,
) -> Archive:
    """Open an archive for reading, member by member, while it arrives.

    Args:
        source: A path, bytes, or an iterable or async iterable of bytes, such as ``response.aiter_raw()``.
        format: ``".tar"``, ``".tar.gz"``, ``".tgz"``, ``".tar.lz4"``, ``".tar.zst"``, ``".tar.bz2"``,
            ``".tar.xz"`` or ``".zip"``. Or a bare compression, such as ``".gz"``: one member, named as the
            file without that extension, or ``"data"`` where the source has no name. None to tell by the
            first bytes: what a compression holds is a tar if it begins as one (or the file's name says so),
            else one member.
        limits: Bounds on what is accepted.
        strict: Whether the archive must end as its format says. False accepts a tar that ends at a member's
            boundary without its closing blocks, and anything behind the end. Cut members raise in both.

    Returns:
        An archive to iterate over, best in an ``async with``. Nothing is read until it is asked for a member.

    Raises:
        UsageError: if the format, or the kind of source, is not known.
    """
    archive_format = None if format is None else parse_format(format)
    chunks, source_name = iterate_source(source), name_of_source(source)
    stream = EventStream(chunks, archive_format, source_name=source_name, limits=limits, strict=strict)
    return Archive(stream)


class Archive(AsyncCloseable):
    """An async iterator over the members of an archive. Made by `open_archive`.

    A member can be read until the next one is asked for; what is not read is skipped. The archive closes
    its source at its end, on an error, and on leaving an ``async with``. One task may read it.

    Iterating raises, behind the members that were sound, `FormatError` (`TruncatedArchiveError` if the
    input ended early, `UnsupportedFormatError`), `LimitExceededError`, and what the source raises.
    """

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._ended = False

    async def aclose(self) -> None:
        """Close the source; nothing more can be read. May be called again."""
        await self._stream.aclose()

    @property
    def directory(self) -> tuple[ZipRecord, ...] | None:
        """What only the end of a zip tells of all its members, in their order: modes and symbolic links.

        None before the end, and for other formats.
        """
        return self._stream.directory

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ArchiveMember:
        # Small members take one turn of this loop and no await. Data of a member that was not read to its
        # end passes by here, which is how it is skipped.
        stream = self._stream
        more = not self._ended
        try:
            while more:
                for event in stream.events:
                    if isinstance(event, WholeMember):
                        stream.current = member = ArchiveMember(stream, event, event.data)
                        return member
                    if isinstance(event, MemberStart):
                        stream.current = member = ArchiveMember(stream, event, None)
                        return member
                more = await stream.pull()
        except UsageError:  # of a second reader: the first one goes on
            raise
        except BaseException:  # cancellation too: nothing may stay open behind a reader that was told to stop
            await self.aclose()
            raise
        self._ended = True
        await self.aclose()
        raise StopAsyncIteration

    async def extract_all(self, destination: str | os.PathLike[str]) -> ExtractResult:
        """Write the members that are still to come into a folder, and nothing outside of it.

        Whatever the members' names and links say, and whatever links are in the folder or are put there
        meanwhile: no link is followed on the way to a file, and links that would lead outside are not made.
        Files have their names when they are whole, and replace what has their name already. Owners, and
        permissions beyond ``rwx`` and the umask, are not taken over; folders get no time.

        When it fails, or is cancelled, what was extracted stays, whole, and nothing half-written does.

        Args:
            destination: Made if it does not exist. Best an empty folder.

        Raises:
            FormatError: For a damaged archive, and for a member that leads outside of the destination.
            UnsupportedFormatError: For devices and FIFOs: to skip them, iterate over the members.
            UsageError: If a folder of the destination has a file's name.
            LimitExceededError: If a limit of `Limits` was met.
            OSError: What the system says, such as that the disk is full.
        """
        return await extract(self, destination)


class ArchiveMember:
    """A member of an open archive; iterate over it for its data in chunks, or `read` it whole."""

    __slots__ = ("_data", "_event", "_stream", "_taken")

    def __init__(self, stream: EventStream, event: MemberStart | WholeMember, data: bytes | None) -> None:
        self._stream = stream
        self._event = event
        self._data = data  # None while there may be more of it in the stream
        self._taken = False

    def __repr__(self) -> str:
        return f"<ArchiveMember {self.name!r} {self.kind} size={self.size}>"

    @property
    def name(self) -> str:
        """Path as stored, ``/``-separated. Undecodable bytes are surrogates. Never trust it as a path."""
        return self._event.name

    @property
    def size(self) -> int | None:
        """Bytes of data; None where the format tells only at the member's end."""
        return self._event.size

    @property
    def kind(self) -> MemberKind:
        """What the member is: ``"file"``, ``"dir"``, ``"symlink"``, ``"hardlink"`` and so on."""
        return self._event.kind

    @property
    def offset(self) -> int:
        """Where its data begins, in bytes from the start of the archive, decompressed."""
        return self._event.offset

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self._event.kind == "file"

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self._event.kind == "dir"

    @property
    def is_symlink(self) -> bool | None:
        """Whether it is a symbolic link; None in a zip, which tells only at its end (`Archive.directory`)."""
        return self._event.is_symlink

    @property
    def mode(self) -> int | None:
        """Permission bits; None where the format has not told them."""
        return self._event.mode

    @property
    def mtime(self) -> float | None:
        """Modification time in seconds since the epoch; None where the format has not told it."""
        return self._event.mtime

    @property
    def linkname(self) -> str:
        """Target of a link, else ``""``."""
        return self._event.linkname

    async def read(self) -> bytes:
        """Return the member's data, all of it.

        Raises:
            LimitExceededError: if it is larger than `max_item_size`.
            UsageError: if it was read before, or the archive has moved on.
            FormatError: if the archive is damaged or cut inside the member.
        """
        if self._taken or self._stream.current is not self:
            raise self._refusal()
        self._taken = True
        data = self._data
        if data is None:
            data = await self._stream.collect(self._event)
        elif len(data) > self._stream.max_item_size:
            raise self._stream.item_too_large(self.name, len(data))
        self._data = b""  # there is no more
        return data

    def __aiter__(self) -> Self:
        if self._taken or self._stream.current is not self:
            raise self._refusal()
        self._taken = True
        return self

    async def __anext__(self) -> bytes:
        if self._stream.current is not self:
            raise self._refusal()
        self._taken = True  # also by who iterates without aiter()
        data = self._data
        if data is None:
            data = await self._stream.next_data()
        if data is None or self._data is not None:
            self._data = b""  # there is no more
        if not data:
            raise StopAsyncIteration
        return data

    def _refusal(self) -> UsageError:
        if self._stream.current is self:
            return UsageError(f"member {self.name!r} was read already")
        return UsageError(
            f"member {self.name!r} is no longer current: read a member before asking for the next"
        )
