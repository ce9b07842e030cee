"""Batches by bundles, and by GETs for what no bundle can bring: what Tigris brings to `BatchStream`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..archive._events import EventStream
from ..batch import ArchiveAnswer, BatchRefusedError, Server, Singles
from ..codecs._formats import format_of_mime, parse_format
from ..errors import ObjectNotFoundError
from ..transport import Body
from ._entry import open_entry
from .wire import (
    BUNDLE_ON_ERROR_SKIP,
    MISSING,
    PROVIDER,
    BundleDecoder,
    BundleError,
    check_batch,
    compression_of,
    encode_bundle,
    is_bundle,
    reach,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import httpx

    from ..batch import BatchAnswer, BatchRequest, EntryAnswer
    from ..limits import Limits
    from ..shards import Shards
    from ._http import Connection
    from .wire import BundleCounts, Encoding, SkippedKey

__all__ = ["BundleAnswer", "BundleSource", "trailers_of"]


class BundleSource:
    """An endpoint that makes bundles, as a `BatchSource`.

    Attributes:
        answer: The latest bundle that was opened.

    Args:
        connection: Whom to ask.
        shards: What reads files inside objects.
        on_error: What the server does about keys that it cannot read.
        encoding: Of the request.
        record: Called with what a bundle has told of itself, when it has ended well.
    """

    def __init__(
        self,
        connection: Connection,
        shards: Shards,
        *,
        on_error: str = BUNDLE_ON_ERROR_SKIP,
        encoding: Encoding = "json",
        record: Callable[[Sequence[SkippedKey], BundleCounts], object] | None = None,
    ) -> None:
        self._connection = connection
        self._shards = shards
        self._on_error = on_error
        self._encoding = encoding
        self._record = record
        self._singles = Singles(self.open_entry, retry=connection.retry)
        self.answer: BundleAnswer | None = None

    @property
    def server(self) -> Server:
        """The endpoint."""
        endpoint = self._connection.endpoint
        return Server("tigris", endpoint.host, endpoint.port)

    def check_batch(self, request: BatchRequest) -> None:
        """Raise `UsageError` or `UnsupportedFormatError` for a batch that cannot be asked for."""
        check_batch(request, self._encoding)

    def reach(self, request: BatchRequest, first: int) -> int:
        """Return the index behind the last entry of one bundle, or of one row of GETs."""
        return reach(request.entries, first, self._encoding)

    async def open_batch(self, request: BatchRequest) -> BatchAnswer:
        """Ask for a bundle, or for a row of objects, ranges and files that are no bundle.

        Raises:
            BatchRefusedError: if the request is too large for the server, or for what is in between.
            BundleError: if the bundle is refused.
            RemoteError: if the answer is another error.
            TransportError: if there is none.
        """
        if not is_bundle(request):
            return self._singles.open(request)
        ((bucket, _, _),) = request.traits.buckets
        keys = [entry.name for entry in request.entries]
        wire = encode_bundle(
            bucket,
            keys,
            on_error=self._on_error,
            compression=compression_of(request.output_format),
            encoding=self._encoding,
        )
        try:
            response = await self._connection.open_once(wire)
        except BundleError as error:
            if error.status != 413 or self._on_error != BUNDLE_ON_ERROR_SKIP:
                raise
            # What is in between may have limits of its own.
            raise BatchRefusedError(
                status=413, code=error.code, message=error.message, url=error.url
            ) from error
        self.answer = BundleAnswer(response, bucket, keys, request.output_format, self._record)
        return self.answer

    async def open_entry(self, request: BatchRequest) -> EntryAnswer:
        """Ask for the one entry of a request by a GET of its own.

        Raises:
            RemoteError: if the answer is an error, or the range is not in the object (416).
            TransportError: if there is no answer.
        """
        (entry,) = request.entries
        return await open_entry(self._connection, self._shards, entry)


class BundleAnswer(ArchiveAnswer):
    """A bundle on its way.

    Attributes:
        response: The answer.
    """

    def __init__(
        self,
        response: httpx.Response,
        bucket: str,
        keys: Sequence[str],
        output_format: str,
        record: Callable[[Sequence[SkippedKey], BundleCounts], object] | None = None,
    ) -> None:
        self.response = response
        self.chunks = Body(response)
        asked = parse_format(output_format)
        told = format_of_mime(response.headers.get("content-type", ""))
        # A server that says that it has compressed otherwise, or not, is not believed before its bytes are.
        self.archive_format = asked if told in {None, asked} else None
        self.member_names = keys
        self._bucket = bucket
        self._record = record

    def fault(self, position: int, member_name: str) -> ObjectNotFoundError | None:
        """Return the error of a key that is not in the bundle; None for a member of any name."""
        if member_name != MISSING:
            return None
        key = self.member_names[position]
        return ObjectNotFoundError(
            status=404,
            message=f"{PROVIDER}://{self._bucket}/{key} does not exist, or may not be read: it was skipped",
            name=key,
            bucket=self._bucket,
        )

    def open_stream(self, limits: Limits) -> EventStream:
        """Begin to read the bundle."""
        decoder = BundleDecoder(
            self.member_names,
            self.archive_format,
            limits=limits,
            trailers=lambda: trailers_of(self.response),
            record=self._record,
        )
        return EventStream(self.chunks, self.archive_format, limits=limits, decoder=decoder)


def trailers_of(response: httpx.Response) -> Iterable[tuple[bytes, bytes]]:
    """Return the fields that came behind a body that was read; none where the transport drops them."""
    trailers: Iterable[tuple[bytes, bytes]] = response.extensions.get("trailers", ())
    return trailers
