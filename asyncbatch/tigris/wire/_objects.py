"""Objects and buckets by S3: ranges, listings and headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus
from xml.sax.saxutils import escape

from ...errors import FormatError
from ._names import object_path
from ._request import WireRequest
from ._xml import parse_xml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._xml import Element

__all__ = [
    "ObjectInfo",
    "ObjectPage",
    "encode_creation",
    "encode_listing",
    "parse_buckets",
    "parse_listing",
    "parse_object_headers",
]

# Where a bucket is made without saying where: S3's first region, and the only one that Tigris has.
_NO_LOCATION: Final = frozenset({"auto", "us-east-1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a listing or a HEAD tells of an object.

    Attributes:
        name: The object.
        size: Bytes.
        etag: What changes with its content, without quotes, or None if not told.
        version: The object's version, or None if not told.
    """

    name: str
    size: int
    etag: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPage:
    """A page of a listing.

    Attributes:
        objects: In the order of their names.
        token: Where the next page begins; None if there is none.
    """

    objects: list[ObjectInfo]
    token: str | None


def encode_listing(bucket: str, *, prefix: str, page_size: int, token: str | None) -> WireRequest:
    """Make the request for a page of a listing (Amazon S3 API Reference, "ListObjectsV2").

    Args:
        bucket: Whose objects.
        prefix: What the names must begin with.
        page_size: Objects of a page at most; 0 for the server's own choice.
        token: Where to go on, from the page before; None for the first page.
    """
    # Quoted names come through XML whatever they are.
    query = {"list-type": "2", "encoding-type": "url"}
    if prefix:
        query["prefix"] = prefix
    if page_size:
        query["max-keys"] = str(page_size)
    if token is not None:
        query["continuation-token"] = token
    return WireRequest(method="GET", path=object_path(bucket), query=query, bucket=bucket)


def parse_listing(body: bytes, *, before: str | None = None) -> ObjectPage:
    """Read a page of a listing.

    Args:
        body: The answer.
        before: The token that the page was asked for with.

    Raises:
        FormatError: if it is none, or goes on where it is already.
    """
    page = _document(body, "ListBucketResult")
    is_quoted = page.text_of("EncodingType") == "url"
    try:
        objects = [_object_of(contents, is_quoted=is_quoted) for contents in page.all("Contents")]
    except ValueError as error:
        raise _malformed("listing of objects", error) from error
    is_cut = page.text_of("IsTruncated") == "true"
    token = page.text_of("NextContinuationToken") if is_cut else None
    if is_cut and (not token or token == before):
        raise _malformed("listing of objects", f"it goes on, and says that it does so at {token!r}")
    return ObjectPage(objects=objects, token=token)


def _object_of(contents: Element, *, is_quoted: bool) -> ObjectInfo:
    name, size = contents.text_of("Key"), contents.text_of("Size")
    if not name or size is None or not size.isascii() or not size.isdigit():
        raise ValueError(f"an object is called {name!r} and has {size!r} bytes")
    return ObjectInfo(
        name=unquote_plus(name, errors="strict") if is_quoted else name,
        size=int(size),
        etag=_unquoted(contents.text_of("ETag")),
    )


def parse_buckets(body: bytes) -> list[str]:
    """Read a list of buckets.

    Raises:
        FormatError: if it is none.
    """
    document = _document(body, "ListAllMyBucketsResult")
    buckets = document.find("Buckets")
    names = [] if buckets is None else [bucket.text_of("Name") for bucket in buckets.all("Bucket")]
    if not all(names):
        raise _malformed("list of buckets", "one has no name")
    return [name for name in names if name]


def _document(body: bytes, name: str) -> Element:
    root = parse_xml(body)
    if root.name != name:
        raise _malformed(name, f"it is called {root.name[:100]!r}")
    return root


def _malformed(what: str, reason: object) -> FormatError:
    return FormatError(f"not a {what} ({reason})", codec="tigris", offset=0)


def encode_creation(region: str) -> bytes:
    """Return the body of the request for a bucket: where it is to be, if that has to be said."""
    if region in _NO_LOCATION:
        return b""
    location = f"<LocationConstraint>{escape(region)}</LocationConstraint>"
    xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<CreateBucketConfiguration xmlns="{xmlns}">{location}</CreateBucketConfiguration>'.encode()


def parse_object_headers(name: str, headers: Mapping[str, str]) -> ObjectInfo:
    """Read the headers of a HEAD or GET of an object.

    Raises:
        FormatError: if they do not tell its size.
    """
    size = headers.get("content-length", "")
    if not (size.isascii() and size.isdigit()):
        raise FormatError(f"the answer about object {name!r} has no Content-Length", codec="tigris", offset=0)
    etag, version = _unquoted(headers.get("etag")), headers.get("x-amz-version-id")
    return ObjectInfo(name=name, size=int(size), etag=etag, version=version)


def _unquoted(etag: str | None) -> str | None:
    return None if etag is None else etag.removeprefix("W/").strip('"')
