"""The seam between batches and protocols: what a client brings so that a batch can be asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ..codecs import ArchiveFormat
    from ..codecs._events import Buffer
    from ..errors import RemoteError
    from ._request import BatchRequest

__all__ = ["BatchAnswer", "BatchSource"]


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

    def fault(self, position: int, member_name: str) -> RemoteError | None:
        """Return the error that a member of another name stands for, or None if the name means nothing.

        Args:
            position: Of the entry, in the request that was answered.
            member_name: What came in its place.
        """
        ...


class BatchSource(Protocol):
    """What batches can be asked of: a protocol's client."""

    def check_batch(self, request: BatchRequest) -> None:
        """Raise `UsageError` or `UnsupportedFormatError` for a request that the protocol cannot express."""
        ...

    async def open_batch(self, request: BatchRequest) -> BatchAnswer:
        """Send a request, which is not empty, and return when the answer begins.

        Raises:
            RemoteError: if the answer is an error.
            TransportError: if there is none.
        """
        ...
