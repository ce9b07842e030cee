"""A multipart answer to a batch: metadata, which is read whole, then the archive, as it comes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from ..codecs import MultipartDecoder, parse_boundary
from ..codecs._events import MemberData, MemberEnd, WholeMember
from ..errors import AsyncBatchError, FormatError, LimitExceededError, TruncatedArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..codecs._events import Buffer, MemberStart
    from ..limits import Limits
    from ..transport import Body

__all__ = ["ArchivePart", "open_parts"]

_METADATA: Final = "metadata"
_ARCHIVE: Final = "archive"
_SHOWN: Final = 100  # characters of what is wrong


async def open_parts(body: Body, *, limits: Limits) -> tuple[bytes, ArchivePart]:
    """Read the first part of a multipart answer.

    Args:
        body: The answer, to be closed by whoever gets an error.
        limits: `max_item_size` bounds the first part.

    Returns:
        The metadata; and the archive, whose closing closes the answer.

    Raises:
        TruncatedArchiveError: if the answer ends before its second part begins.
        FormatError: if it is no such answer.
        LimitExceededError: if a limit is met.
        TransportError: if it breaks off.
    """
    content_type = body.headers.get("content-type", "")
    try:
        boundary = parse_boundary(content_type)
    except FormatError as error:
        if not await anext(body, b""):
            # An aborted job leaves an answer of status 200 without anything in it.
            raise TruncatedArchiveError("the answer is empty", codec="aistore", offset=0) from error
        raise FormatError(
            f"a multipart answer was asked for by streaming=False, and {content_type[:_SHOWN]!r} came: "
            f"{error.reason}",
            codec="aistore",
            offset=0,
        ) from error
    archive = ArchivePart(body, MultipartDecoder(boundary, limits=_limits_of_parts(limits)))
    return await archive.read_metadata(limits.max_item_size), archive


def _limits_of_parts(limits: Limits) -> Limits:
    """Return limits for the decoder, to which archive and metadata are members."""
    most = limits.max_total_size
    return replace(limits, max_member_size=most, max_total_size=most + limits.max_item_size, max_members=3)


class ArchivePart:
    """The archive in a multipart answer: an async iterator of chunks, none of which is held.

    Raises (while iterating):
        TruncatedArchiveError: if the answer ends cleanly, and too soon.
        FormatError: if it is malformed, or goes on behind the archive.
        LimitExceededError: if a limit is met.
        TransportError: if the answer breaks off.
    """

    def __init__(self, body: Body, decoder: MultipartDecoder) -> None:
        self._body = body
        self._decoder = decoder
        self._parts = iter((_METADATA, _ARCHIVE))
        self._part: str | None = None  # the one that began last
        self._ended = False  # the body
        self._error: FormatError | None = None

    async def read_metadata(self, maximum: int) -> bytes:
        """Return the first part, which has to be the metadata. To be called once, and first.

        Args:
            maximum: Bytes that it may have: the limit `max_item_size`.
        """
        metadata = bytearray()
        while True:
            for data in self._walk():
                if data is None:
                    return bytes(metadata)
                size = len(metadata) + len(data)
                if size > maximum:
                    raise LimitExceededError("max_item_size", size, maximum, what="metadata of a batch")
                metadata += data
            await self._pull()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Buffer:
        while True:
            for data in self._walk():
                if data:
                    return data
            await self._pull()

    def take_ready(self) -> Buffer | None:
        """Return a chunk that is there already; None if there is none, and where there is an error."""
        try:
            while True:
                for data in self._walk():
                    if data:
                        return data
                chunk = self._body.take_ready()
                if chunk is None:
                    return None
                self._decoder.feed(chunk)
        except AsyncBatchError:
            return None  # whoever awaits the next chunk gets it again

    async def aclose(self) -> None:
        """Close the answer."""
        await self._body.aclose()

    async def _pull(self) -> None:
        """Read a chunk, or the end, and raise `StopAsyncIteration` behind it."""
        if self._ended:
            if self._part == _ARCHIVE:
                raise StopAsyncIteration
            missing = _METADATA if self._part is None else _ARCHIVE
            raise TruncatedArchiveError(f"the answer ends without its {missing}", codec="aistore", offset=0)
        try:
            chunk = await self._body.__anext__()
        except StopAsyncIteration:
            self._ended = True
            with suppress(AsyncBatchError):  # which is raised again, behind what was sound
                self._decoder.feed_eof()
        else:
            self._decoder.feed(chunk)

    def _walk(self) -> Iterator[Buffer | None]:
        """Yield the data that is there, and None behind each part; goes on where it was left."""
        if self._error is not None:
            raise self._error.with_traceback(None)
        for event in self._decoder:
            if isinstance(event, MemberData):
                yield event.data
            elif isinstance(event, MemberEnd):
                yield None
            else:
                self._begin(event)
                if isinstance(event, WholeMember):
                    yield event.data
                    yield None

    def _begin(self, part: MemberStart | WholeMember) -> None:
        expected = next(self._parts, None)
        if part.name != expected:
            self._error = FormatError(
                f"a part is called {part.name[:_SHOWN]!r} where the name is to be {expected!r}"
                if expected
                else "a part follows the archive",
                codec="multipart",
                offset=part.offset,
            )
            raise self._error
        self._part = expected
