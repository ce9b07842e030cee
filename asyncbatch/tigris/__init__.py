"""The client for Tigris: buckets and objects by S3, and batches by the Bundle API.

The names of `bundle_objects` and what belongs to it are those of Tigris's own SDK. They are loaded when first
used: the server needs nothing of this package but `wire`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from ..transport import Listing
    from ._bucket import Bucket
    from ._bundle import BundleResponse, RawBundle, bundle_objects
    from ._client import Client
    from ._object import Object, ObjectBody
    from .wire import (
        BUNDLE_COMPRESSION_GZIP,
        BUNDLE_COMPRESSION_NONE,
        BUNDLE_COMPRESSION_ZSTD,
        BUNDLE_FORMAT_TAR,
        BUNDLE_ON_ERROR_FAIL,
        BUNDLE_ON_ERROR_SKIP,
        MAX_BUNDLE_KEYS,
        BundleError,
        Credentials,
        ObjectInfo,
        SignatureError,
        SkippedKey,
    )

__all__ = [
    "BUNDLE_COMPRESSION_GZIP",
    "BUNDLE_COMPRESSION_NONE",
    "BUNDLE_COMPRESSION_ZSTD",
    "BUNDLE_FORMAT_TAR",
    "BUNDLE_ON_ERROR_FAIL",
    "BUNDLE_ON_ERROR_SKIP",
    "MAX_BUNDLE_KEYS",
    "Bucket",
    "BundleError",
    "BundleResponse",
    "Client",
    "Credentials",
    "Listing",
    "Object",
    "ObjectBody",
    "ObjectInfo",
    "RawBundle",
    "SignatureError",
    "SkippedKey",
    "bundle_objects",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "_bucket": ("Bucket",),
        "_bundle": ("BundleResponse", "RawBundle", "bundle_objects"),
        "_client": ("Client", "Listing"),
        "_object": ("Object", "ObjectBody"),
        "wire": (
            "BUNDLE_COMPRESSION_GZIP",
            "BUNDLE_COMPRESSION_NONE",
            "BUNDLE_COMPRESSION_ZSTD",
            "BUNDLE_FORMAT_TAR",
            "BUNDLE_ON_ERROR_FAIL",
            "BUNDLE_ON_ERROR_SKIP",
            "MAX_BUNDLE_KEYS",
            "BundleError",
            "Credentials",
            "ObjectInfo",
            "SignatureError",
            "SkippedKey",
        ),
    },
)
