"""Batches by GetBatch: what AIStore brings to `BatchStream`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ..batch import ArchiveAnswer, BatchRefusedError, Server
from ..codecs._formats import format_of_mime, parse_format
from ..errors import BucketNotFoundError, ObjectNotFoundError, RemoteError
from ..transport import Body
from ._entry import open_entry
from ._multipart import open_parts
from .wire import (
    MISSING,
    NO_SUCH_RANGE,
    check_batch,
    encode_batch,
    fault_of,
    member_names,
    names_objects_only,
    parse_metadata,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..batch import BatchRequest, EntryAnswer
    from ..codecs import ArchiveFormat
    from ..codecs._events import Buffer
    from ._http import Connection
    from .wire import BatchMetadata

__all__ = ["GetBatchSource"]

# What refuses a batch for some of its entries: one is missing, or has no such range, or too many are missing.
_REFUSALS: Final = frozenset({400, 404, 416})
# Where AIStore's words begin with the job, they are about that and not about an entry: it ended, its redirect
# was used, or another target did not answer it in time. But one limit on entries is the job's as well.
_OF_THE_JOB: Final = re.compile(r'x-get-batch\[|wid="')
_TOO_MANY: Final = "soft-errors limit"
_UNKNOWN_FORMAT: Final = "errUnknownMime"
_NOT_FOUND: Final = "ErrNotFound"


class GetBatchSource:
    """An AIStore cluster as a `BatchSource`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def server(self) -> Server:
        """The proxy that is asked first."""
        endpoint = self._connection.endpoint
        return Server("aistore", endpoint.host, endpoint.port)

    def check_batch(self, request: BatchRequest) -> None:
        """Raise `UsageError` or `UnsupportedFormatError` for a batch that AIStore would refuse."""
        check_batch(request)

    def reach(self, request: BatchRequest, first: int) -> int:  # noqa: ARG002 - as any source takes it
        """Return the request's length: one may ask for any number of entries."""
        return len(request)

    async def open_batch(self, request: BatchRequest) -> GetBatchAnswer:
        """Send a batch request, at the proxy, and return the target's answer.

        Raises:
            BatchRefusedError: if a multipart answer is refused as a whole for some of the entries, or for the
                range of the only one.
            ObjectNotFoundError: if it is for the only one, which is missing.
            RemoteError: if the answer is another error; one that says that the redirect has expired is
                retryable.
            TransportError: if there is none, or, in multipart, if it breaks off before its archive.
            TruncatedArchiveError: in multipart, if the answer ends before its archive, or its metadata tells
                that it is not whole.
            FormatError: in multipart, if the answer is no such, or not to this request.
            LimitExceededError: in multipart, if its metadata is larger than `max_item_size`.
        """
        wire = encode_batch(request)
        try:
            response = await self._connection.open_once(wire)
        except RemoteError as error:
            meant = _explain(error, request, wire.path)
            if meant is None:
                raise
            raise meant from error
        body = Body(response)
        if request.streaming:
            return GetBatchAnswer(request, body, format_of_mime(body.headers.get("content-type", "")))
        try:
            text, archive = await open_parts(body, limits=self._connection.limits)
            metadata = parse_metadata(text, request.entries)
        except BaseException:  # cancellation too: nobody else knows of the answer
            await body.aclose()
            raise
        return GetBatchAnswer(request, archive, parse_format(request.output_format), metadata)

    async def open_entry(self, request: BatchRequest) -> EntryAnswer:
        """Ask for the one entry of a request by a GET of its own.

        Raises:
            RemoteError: if the answer is an error, or the range is not in the object (416). The size of a
                file inside a shard may show while it is read: then reading raises it.
            TransportError: if there is no answer.
        """
        (entry,) = request.entries
        return await open_entry(self._connection, entry)


class GetBatchAnswer(ArchiveAnswer):
    """The answer to a GetBatch request: an archive on its way, and in multipart what is known before."""

    def __init__(
        self,
        request: BatchRequest,
        chunks: AsyncIterator[Buffer],
        archive_format: ArchiveFormat | None,
        metadata: BatchMetadata | None = None,
    ) -> None:
        self.chunks = chunks
        self.archive_format = archive_format
        self.sizes = None if metadata is None else metadata.sizes
        self._errors = {} if metadata is None else metadata.errors
        self._request = request
        self._only_obj_name = names_objects_only(request)
        self.member_names = member_names(request)
        for index in self._errors:
            # An item that has an error, and comes under its own name all the same, is not to be taken for an
            # empty one. No member is called this.
            self.member_names[index] = MISSING

    def fault(self, position: int, member_name: str) -> RemoteError | None:
        """Return the error that a member of another name stands for, or None if it stands for none."""
        return fault_of(
            self._request.entry(position),
            member_name,
            only_obj_name=self._only_obj_name,
            message=self._errors.get(position),
        )


def _explain(error: RemoteError, request: BatchRequest, path: str) -> RemoteError | None:
    """Return what an error answer means to a batch, or None if that is what it says.

    Args:
        error: The answer.
        request: What was asked for.
        path: Whereto, at the proxy; a target has other paths.
    """
    if error.status not in _REFUSALS or isinstance(error, BucketNotFoundError):
        return None
    about: dict[str, Any] = {
        "status": error.status,
        "code": error.code,
        "message": error.message,
        "url": error.url,
    }
    at_target = not urlsplit(error.url).path.endswith(path)
    too_many = _TOO_MANY in error.message
    if request.streaming or (not too_many and _OF_THE_JOB.search(error.message)):
        of_the_job = not request.streaming or (error.status == 404 and at_target)
        return RemoteError(**about, retryable=True) if of_the_job else None
    if error.code == _UNKNOWN_FORMAT:
        return None
    if error.status == 404 and not at_target and error.code != _NOT_FOUND:
        return None  # a proxy without batches, or a gateway: neither knows of any object
    # That a range is not in its object, the object tells by itself, whatever the mode.
    if len(request) > 1 or too_many or error.status == 416 or error.code == NO_SUCH_RANGE:
        return BatchRefusedError(**about)
    if error.status == 404:
        (entry,) = request.entries
        return ObjectNotFoundError(**about, name=entry.name, bucket=entry.bucket)
    return None
