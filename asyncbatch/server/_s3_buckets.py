"""Buckets as S3 has them: list, create, delete, head; and the listing of their objects."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from anyio.to_thread import run_sync
from starlette.responses import Response

from ._s3_errors import S3Error
from ._s3_xml import NAMESPACE, answer_xml, can_carry, element, leaf
from ._store import InvalidNameError
from ._stream import read_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from ._signed import Signatures
    from ._store import ObjectInfo, Page, Store

__all__ = ["S3Buckets"]

_MAX_PAGE: Final = 1000
_MAX_CONFIGURATION: Final = 1 << 20
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


class S3Buckets:
    """The handlers for ``/`` and ``/{bucket}``.

    Args:
        store: Where they are.
        signatures: Check what is asked.
    """

    def __init__(self, store: Store, signatures: Signatures) -> None:
        self._store = store
        self._signatures = signatures

    async def list_all(self, _request: Request) -> ASGIApp:
        """Answer with the names of the buckets; when they were made nobody knows."""
        names = await run_sync(self._store.list_buckets)
        buckets = element("Buckets", *(element("Bucket", leaf("Name", name)) for name in names))
        return answer_xml(element("ListAllMyBucketsResult", buckets, namespace=NAMESPACE))

    async def head(self, request: Request) -> ASGIApp:
        """Answer whether there is a bucket."""
        await run_sync(self._store.check_bucket, request.path_params["bucket"])
        return Response()

    async def create(self, request: Request) -> ASGIApp:
        """Create a bucket."""
        bucket = request.path_params["bucket"]
        # Where it is to be, which is here.
        self._signatures.check_body(request, await read_body(request, _MAX_CONFIGURATION))
        try:
            await run_sync(self._store.create_bucket, bucket)
        except InvalidNameError as error:
            raise S3Error(400, "InvalidBucketName", str(error)) from None
        return Response(headers={"Location": f"/{quote(bucket)}"})

    async def destroy(self, request: Request) -> ASGIApp:
        """Delete a bucket, if it is empty."""
        await run_sync(self._destroy, request.path_params["bucket"])
        return Response(status_code=204)

    def _destroy(self, bucket: str) -> None:
        # An object that is put between the two goes with the bucket: no store can do both at once.
        if self._store.list_objects(bucket, prefix="", after="", limit=1).objects:
            raise S3Error(409, "BucketNotEmpty", "the bucket you tried to delete is not empty")
        self._store.destroy_bucket(bucket)

    async def list_objects(self, request: Request) -> ASGIApp:
        """Answer with a page of a bucket's objects."""
        bucket = request.path_params["bucket"]
        listing = _parse(request.query_params)
        page = await run_sync(listing.read, self._store, bucket)
        return answer_xml(_describe(bucket, listing, page))


class _Listing(NamedTuple):
    """A request for a page.

    Attributes:
        prefix: What the names begin with.
        start_after: The name behind which the listing begins.
        token: What the client has from the page before, or ``""``.
        after: The name behind which this page begins.
        limit: Of objects in it.
        quoted: Whether names are quoted as in URLs.
    """

    prefix: str
    start_after: str
    token: str
    after: str
    limit: int
    quoted: bool

    def read(self, store: Store, bucket: str) -> Page:
        """Return the page. Blocks."""
        # Of none at all, whether more follow is to be known, and S3 says that none do.
        page = store.list_objects(bucket, prefix=self.prefix, after=self.after, limit=max(self.limit, 1))
        return page if self.limit else page._replace(objects=[], more=False)


def _parse(query: Mapping[str, str]) -> _Listing:
    if query.get("list-type") != "2":
        raise S3Error(501, "NotImplemented", "of what can be asked of a bucket, this server has list-type=2")
    if query.get("delimiter"):
        raise S3Error(501, "NotImplemented", "listing with a delimiter is not supported by this server")
    encoding = query.get("encoding-type", "")
    if encoding not in {"", "url"}:
        raise S3Error(400, "InvalidArgument", "encoding-type can only be url")
    limit = query.get("max-keys") or str(_MAX_PAGE)
    if _NUMBER.fullmatch(limit) is None:
        raise S3Error(400, "InvalidArgument", "max-keys is a number")
    token = query.get("continuation-token", "")
    start_after = query.get("start-after", "")
    return _Listing(
        query.get("prefix", ""),
        start_after,
        token,
        _name_of(token) if token else start_after,
        min(int(limit), _MAX_PAGE),
        encoding == "url",
    )


def _token_of(name: str) -> str:
    """Return the token that is good for what comes behind a name: for ever, and after any change."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def _name_of(token: str) -> str:
    try:
        return base64.b64decode(token, b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise S3Error(400, "InvalidArgument", "the continuation token is none of ours") from None


def _describe(bucket: str, listing: _Listing, page: Page) -> str:
    facts = [
        leaf("Name", bucket),
        leaf("Prefix", _spelt(listing.prefix, listing)),
        leaf("KeyCount", str(len(page.objects))),
        leaf("MaxKeys", str(listing.limit)),
        leaf("IsTruncated", "true" if page.more else "false"),
    ]
    if listing.quoted:
        facts.append(leaf("EncodingType", "url"))
    if listing.token:
        facts.append(leaf("ContinuationToken", listing.token))
    if listing.start_after:
        facts.append(leaf("StartAfter", _spelt(listing.start_after, listing)))
    if page.more:
        facts.append(leaf("NextContinuationToken", _token_of(page.objects[-1].name)))
    objects = (_describe_object(info, listing) for info in page.objects)
    return element("ListBucketResult", *facts, *objects, namespace=NAMESPACE)


def _describe_object(info: ObjectInfo, listing: _Listing) -> str:
    facts = [
        leaf("Key", _spelt(info.name, listing)),
        leaf("Size", str(info.size)),
        leaf("StorageClass", "STANDARD"),
    ]
    if info.mtime is not None:
        modified = datetime.fromtimestamp(info.mtime, UTC).isoformat(timespec="milliseconds")
        facts.append(leaf("LastModified", modified.replace("+00:00", "Z")))
    return element("Contents", *facts)


def _spelt(name: str, listing: _Listing) -> str:
    """Return a name as the answer has it."""
    if listing.quoted:
        return quote(name, safe="/")
    if not can_carry(name):
        # A listing with another name in its place would lie.
        raise S3Error(400, "InvalidArgument", f"no XML can hold the name {name!r}: ask for encoding-type=url")
    return name
