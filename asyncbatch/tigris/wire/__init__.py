"""Tigris's protocol, S3's and bundles, sans-IO: requests out as plain values, answers in as bytes."""

from __future__ import annotations

from ._bundle import (
    BUNDLE_COMPRESSION_GZIP,
    BUNDLE_COMPRESSION_NONE,
    BUNDLE_COMPRESSION_ZSTD,
    BUNDLE_FORMAT_TAR,
    BUNDLE_ON_ERROR_FAIL,
    BUNDLE_ON_ERROR_SKIP,
    ERRORS_NAME,
    MAX_BUNDLE_KEYS,
    PROVIDER,
    BundleCounts,
    Encoding,
    SkippedKey,
    check_batch,
    compression_of,
    encode_bundle,
    is_bundle,
    parse_report,
    parse_trailers,
    reach,
)
from ._bundle_decoder import MISSING, BundleDecoder
from ._errors import EXPIRED, NO_SUCH_RANGE, BundleError, bundle_error_of, parse_error
from ._names import check_bucket_name, check_key, check_keys, object_path
from ._objects import (
    ObjectInfo,
    ObjectPage,
    encode_creation,
    encode_listing,
    parse_buckets,
    parse_listing,
    parse_object_headers,
)
from ._request import WireRequest
from ._sigv4 import UNSIGNED_PAYLOAD, Credentials, payload_hash, sign
from ._sigv4_verify import SignatureError, check_payload, verify
from ._xml import Element, parse_xml

__all__ = [
    "BUNDLE_COMPRESSION_GZIP",
    "BUNDLE_COMPRESSION_NONE",
    "BUNDLE_COMPRESSION_ZSTD",
    "BUNDLE_FORMAT_TAR",
    "BUNDLE_ON_ERROR_FAIL",
    "BUNDLE_ON_ERROR_SKIP",
    "ERRORS_NAME",
    "EXPIRED",
    "MAX_BUNDLE_KEYS",
    "MISSING",
    "NO_SUCH_RANGE",
    "PROVIDER",
    "UNSIGNED_PAYLOAD",
    "BundleCounts",
    "BundleDecoder",
    "BundleError",
    "Credentials",
    "Element",
    "Encoding",
    "ObjectInfo",
    "ObjectPage",
    "SignatureError",
    "SkippedKey",
    "WireRequest",
    "bundle_error_of",
    "check_batch",
    "check_bucket_name",
    "check_key",
    "check_keys",
    "check_payload",
    "compression_of",
    "encode_bundle",
    "encode_creation",
    "encode_listing",
    "is_bundle",
    "object_path",
    "parse_buckets",
    "parse_error",
    "parse_listing",
    "parse_object_headers",
    "parse_report",
    "parse_trailers",
    "parse_xml",
    "payload_hash",
    "reach",
    "sign",
    "verify",
]
