"""Objects and buckets: paths, queries, listings and headers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ...errors import FormatError
from ._names import check_bucket_name, check_object_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ObjectInfo",
    "bucket_path",
    "bucket_query",
    "encode_action",
    "encode_listing",
    "object_path",
    "parse_buckets",
    "parse_listing",
    "parse_object_headers",
]

# What reading JSON of another shape runs into: also numbers without end, and nesting without end.
_MISFITS: Final = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a listing or a HEAD tells of an object.

    Attributes:
        name: The object.
        size: Bytes.
        checksum: Its value, in hexadecimal, or None if not told.
        checksum_type: Its kind, such as ``"xxhash2"``, or None if not told.
        version: The object's version, or None if not told.
    """

    name: str
    size: int
    checksum: str | None = None
    checksum_type: str | None = None
    version: str | None = None


def bucket_path(bucket: str | None = None) -> str:
    """Return the path of a bucket, or of all buckets.

    Raises:
        UsageError: for a name that no bucket has.
    """
    if bucket is None:
        return "/v1/buckets"
    check_bucket_name(bucket)
    return f"/v1/buckets/{quote(bucket, safe='')}"


def object_path(bucket: str, name: str) -> str:
    """Return the path of an object, whose slashes stay slashes.

    Raises:
        UsageError: for a name that AIStore refuses.
    """
    check_bucket_name(bucket)
    check_object_name(name)
    return f"/v1/objects/{quote(bucket, safe='')}/{quote(name, safe='/')}"


def bucket_query(provider: str, namespace: str | None) -> dict[str, str]:
    """Return the query that says where a bucket lives."""
    return {"provider": provider} | ({"namespace": namespace} if namespace else {})


def encode_action(action: str, value: Any = None) -> bytes:  # noqa: ANN401 - any JSON
    """Encode the body that tells AIStore what to do."""
    return json.dumps({"action": action} | ({} if value is None else {"value": value})).encode()


def encode_listing(*, prefix: str, page_size: int, token: str, uuid: str) -> bytes:
    """Encode the request for a page of a listing.

    Args:
        prefix: What the names must begin with.
        page_size: Entries of a page at most; 0 for the server's own choice.
        token: Where to go on, from the page before; ``""`` for the first page.
        uuid: The listing that the pages belong to, from the first one.
    """
    value = {
        "prefix": prefix,
        "pagesize": page_size,
        "uuid": uuid,
        "props": "name,size,checksum,version",
        "continuation_token": token,
        "flags": "0",
    }
    return encode_action("list", value)


def parse_listing(body: bytes) -> tuple[list[ObjectInfo], str, str]:
    """Read a page of a listing.

    Returns:
        Its objects, the token of the next page (``""`` if there is none), and the listing's uuid.

    Raises:
        FormatError: if it is no listing.
    """
    try:
        page = json.loads(body)
        # AIStore leaves out what is zero, and writes 64-bit numbers as strings.
        objects = [
            ObjectInfo(
                name=entry["name"],
                size=int(entry.get("size", 0)),
                checksum=entry.get("checksum"),
                version=entry.get("version"),
            )
            for entry in page["entries"] or ()
        ]
        return objects, page.get("continuation_token") or "", page.get("uuid") or ""
    except _MISFITS as error:
        raise FormatError(f"not a listing of objects ({error!r})", codec="aistore", offset=0) from error


def parse_buckets(body: bytes) -> list[tuple[str, str, str | None]]:
    """Read a list of buckets: name, provider and namespace of each.

    Raises:
        FormatError: if it is no such list.
    """
    try:
        return [
            (bucket["name"], bucket["provider"], _namespace(bucket.get("namespace") or {}))
            for bucket in json.loads(body) or ()
        ]
    except _MISFITS as error:
        raise FormatError(f"not a list of buckets ({error!r})", codec="aistore", offset=0) from error


def _namespace(namespace: Mapping[str, str]) -> str | None:
    """Return a namespace as queries write it, ``@uuid#name``, or None for the global one."""
    uuid, name = namespace.get("uuid"), namespace.get("name")
    return f"{f'@{uuid}' if uuid else ''}{f'#{name}' if name else ''}" or None


def parse_object_headers(name: str, headers: Mapping[str, str]) -> ObjectInfo:
    """Read the headers of a HEAD or GET of an object.

    Raises:
        FormatError: if they do not tell its size.
    """
    size = headers.get("content-length", "")
    if (
        not size
        and "transfer-encoding" not in headers
        and any(key.lower().startswith("ais-") for key in headers)
    ):
        size = "0"  # AIStore's HEAD of an empty object says so by saying nothing
    if not size.isdecimal():
        raise FormatError(
            f"the answer about object {name!r} has no Content-Length", codec="aistore", offset=0
        )
    return ObjectInfo(
        name=name,
        size=int(size),
        checksum=headers.get("ais-checksum-value"),
        checksum_type=headers.get("ais-checksum-type"),
        version=headers.get("ais-version"),
    )
