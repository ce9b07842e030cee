"""AIStore's protocol, sans-IO: requests out as plain values, responses in as bytes and headers.

Facts: `docs/aistore-wire.md`.
"""

from __future__ import annotations

from ._auth import bearer, encode_login, parse_login, parse_token
from ._errors import NO_SUCH_RANGE, parse_error
from ._getbatch import (
    MISSING,
    check_batch,
    encode_batch,
    fault_of,
    member_name,
    member_names,
    names_objects_only,
    public_name,
)
from ._metadata import BatchMetadata, parse_metadata
from ._names import check_bucket_name, check_text
from ._objects import (
    ObjectInfo,
    bucket_path,
    bucket_query,
    encode_action,
    encode_listing,
    object_path,
    parse_buckets,
    parse_listing,
    parse_object_headers,
)
from ._request import WireRequest

__all__ = [
    "MISSING",
    "NO_SUCH_RANGE",
    "BatchMetadata",
    "ObjectInfo",
    "WireRequest",
    "bearer",
    "bucket_path",
    "bucket_query",
    "check_batch",
    "check_bucket_name",
    "check_text",
    "encode_action",
    "encode_batch",
    "encode_listing",
    "encode_login",
    "fault_of",
    "member_name",
    "member_names",
    "names_objects_only",
    "object_path",
    "parse_buckets",
    "parse_error",
    "parse_listing",
    "parse_login",
    "parse_metadata",
    "parse_object_headers",
    "parse_token",
    "public_name",
]
