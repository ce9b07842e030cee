"""Batches by GetBatch: what AIStore brings to `BatchStream`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..codecs._formats import format_of_mime
from ..transport import Body
from .wire import check_batch, encode_batch, fault_of, member_names

if TYPE_CHECKING:
    from ..batch import BatchRequest
    from ..codecs import ArchiveFormat
    from ..errors import RemoteError
    from ._http import Connection

__all__ = ["GetBatchSource"]


class GetBatchSource:
    """An AIStore cluster as a `BatchSource`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def check_batch(self, request: BatchRequest) -> None:
        """Raise `UsageError` or `UnsupportedFormatError` for a batch that AIStore would refuse."""
        check_batch(request)

    async def open_batch(self, request: BatchRequest) -> GetBatchAnswer:
        """Send a batch request, at the proxy, and return the target's answer."""
        response = await self._connection.open(encode_batch(request))
        body = Body(response)
        return GetBatchAnswer(request, body, format_of_mime(body.headers.get("content-type", "")))

    async def open_entry(self, request: BatchRequest) -> GetBatchAnswer:
        """Ask for the one entry of a request by a GET of its own."""
        raise NotImplementedError


class GetBatchAnswer:
    """The answer to a GetBatch request in streaming mode: an archive, on its way."""

    def __init__(self, request: BatchRequest, body: Body, archive_format: ArchiveFormat | None) -> None:
        self.chunks = body
        self.archive_format = archive_format
        self.sizes = None
        self._entries = request.entries
        self._only_obj_name = request.only_obj_name
        self.member_names = member_names(request.entries, only_obj_name=request.only_obj_name)

    def fault(self, position: int, member_name: str) -> RemoteError | None:
        """Return the error that a member of another name stands for, or None if it stands for none."""
        return fault_of(self._entries[position], member_name, only_obj_name=self._only_obj_name)
