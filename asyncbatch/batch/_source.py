"""The seam between batches and protocols: what a client brings so that a batch can be asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ..codecs import ArchiveFormat
    from ..codecs._events import Buffer
    from ._request import BatchRequest

__all__ = ["BatchAnswer", "BatchRefusedError", "BatchSource", "Server"]


class BatchRefusedError(RemoteError):
    """An answer that refuses a whole batch for some of its entries, without saying for which."""


class BatchAnswer(Protocol):
    """A server's answer to a batch request: an archive on its way."""

    @property
    def archive_format(self) -> ArchiveFormat | None:
        """What the archive is; None to tell by its first bytes."""
        ...

    @property
    def chunks(self) -> AsyncIterator[Buffer]:
        """The archive's bytes. Closed through `aclose`, if it has that method."""
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

    async def open_batch(self, request: BatchRequest) -> BatchAnswer:
        """Send a request, which is not empty, once, and return when the answer begins.

        Raises:
            BatchRefusedError: if a smaller batch may be answered where this one is not.
            RemoteError: if the answer is another error.
            TransportError: if there is none.
            TruncatedArchiveError: if it ends before its archive begins.
        """
        ...

    async def open_entry(self, request: BatchRequest) -> BatchAnswer:
        """Ask for the one entry of a request by itself, outside of any batch, so that its own error is known.

        Returns:
            An answer whose chunks are the object, or the part of it, as a ``bare`` archive. Reading them may
            raise RemoteError as well.

        Raises:
            RemoteError: if the answer is an error: the entry's own, if it is not retryable.
            TransportError: if there is none.
        """
        ...
