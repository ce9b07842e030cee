"""The seam between batches and protocols: what a client brings so that a batch can be asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..archive._events import EventStream
from ..archive._sources import close_source
from ..codecs._bare import NAMELESS
from ..codecs._formats import OBJECT
from ..errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ..codecs import ArchiveFormat
    from ..codecs._events import Buffer
    from ..limits import Limits
    from ._request import BatchRequest

__all__ = [
    "ArchiveAnswer",
    "BatchAnswer",
    "BatchRefusedError",
    "BatchSource",
    "EntryAnswer",
    "Server",
]


class BatchRefusedError(RemoteError):
    """An answer that refuses a whole batch for some of its entries, without saying for which."""


class BatchAnswer(Protocol):
    """A server's answer to a batch request: members on their way."""

    @property
    def archive_format(self) -> ArchiveFormat | None:
        """What they come in; None if it is told by its first bytes."""
        ...

    @property
    def member_names(self) -> Sequence[str]:
        """The name under which each entry comes if it exists, in order."""
        ...

    @property
    def sizes(self) -> Sequence[int] | None:
        """Bytes of each member, 0 for what stands for an error; None if the answer does not tell ahead."""
        ...

    def fault(self, position: int, member_name: str) -> RemoteError | None:
        """Return the error that a member of another name stands for, or None if the name means nothing.

        Args:
            position: Of the entry, in the request that was answered.
            member_name: What came in its place.
        """
        ...

    def open_stream(self, limits: Limits) -> EventStream:
        """Begin to read, once. Closing the stream closes the answer."""
        ...

    async def aclose(self) -> None:
        """End the transfer, if it was not read at all. May be called again."""
        ...


class ArchiveAnswer:
    """What is common to answers that are an archive: the base class of most.

    Attributes:
        chunks: The archive's bytes. Closed through `aclose`, if they have that method.
        archive_format: What it is; None to tell by its first bytes.
        sizes: As `BatchAnswer` has them.
    """

    chunks: AsyncIterator[Buffer]
    archive_format: ArchiveFormat | None
    sizes: Sequence[int] | None = None

    def open_stream(self, limits: Limits) -> EventStream:
        """Begin to read the archive."""
        return EventStream(self.chunks, self.archive_format, limits=limits, sizes=self.sizes)

    async def aclose(self) -> None:
        """End the transfer."""
        await close_source(self.chunks)


class EntryAnswer(ArchiveAnswer):
    """The data of one entry, on its way, as an archive of one member: what `open_entry` returns.

    Attributes:
        chunks: The data. Closed through `aclose`, if they have that method.
        size: How many bytes, or None if only the end will tell.
    """

    archive_format = OBJECT
    member_names: Sequence[str] = (NAMELESS,)

    def __init__(self, chunks: AsyncIterator[Buffer], size: int | None) -> None:
        self.chunks = chunks
        self.size = size
        self.sizes = None if size is None else [size]

    def fault(self, position: int, member_name: str) -> RemoteError | None:  # noqa: ARG002 - as any answer's
        """Return None: an error is raised when the data is asked for."""
        return None


class Server(NamedTuple):
    """Who is asked, for spans and figures.

    Attributes:
        system: What it is, such as ``"aistore"``.
        address: Its host, if it has one.
        port: Its port, if it has one.
    """

    system: str
    address: str | None = None
    port: int | None = None


class BatchSource(Protocol):
    """What batches can be asked of: a protocol's client."""

    @property
    def server(self) -> Server:
        """Who is asked."""
        ...

    def check_batch(self, request: BatchRequest) -> None:
        """Raise `UsageError` or `UnsupportedFormatError` for a request that the protocol cannot express."""
        ...

    def reach(self, request: BatchRequest, first: int) -> int:
        """Return the index behind the last entry that one request may ask for which begins at `first`.

        What lies behind is asked for by another request, when that one was answered.
        """
        ...

    async def open_batch(self, request: BatchRequest) -> BatchAnswer:
        """Send a request, which is not empty, once, and return when the answer begins.

        Raises:
            BatchRefusedError: if a smaller batch may be answered where this one is not.
            RemoteError: if the answer is another error.
            TransportError: if there is none.
            TruncatedArchiveError: if it ends before its archive begins.
        """
        ...

    async def open_entry(self, request: BatchRequest) -> EntryAnswer:
        """Ask for the one entry of a request by itself, outside of any batch, so that its own error is known.

        Returns:
            The object, or the part of it. Reading it may raise RemoteError as well.

        Raises:
            RemoteError: if the answer is an error: the entry's own, if it is not retryable.
            TransportError: if there is none.
        """
        ...
