"""asyncbatch: fetch thousands of objects in one request and await them as they arrive.

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazy_exports
from ._version import __version__

if TYPE_CHECKING:
    from ._connect import connect
    from .archive import EncodeMember, encode_archive, open_archive
    from .batch import BatchItem, BatchRequest, ItemMetadata
    from .errors import (
        AsyncBatchError,
        AuthenticationError,
        BucketNotFoundError,
        FormatError,
        IncompleteBatchError,
        LimitExceededError,
        ObjectNotFoundError,
        OverloadedError,
        RemoteError,
        TransportError,
        TruncatedArchiveError,
        UnsupportedFormatError,
        UsageError,
    )
    from .limits import Limits
    from .loader import BatchLoader

__all__ = [
    "AsyncBatchError",
    "AuthenticationError",
    "BatchItem",
    "BatchLoader",
    "BatchRequest",
    "BucketNotFoundError",
    "EncodeMember",
    "FormatError",
    "IncompleteBatchError",
    "ItemMetadata",
    "LimitExceededError",
    "Limits",
    "ObjectNotFoundError",
    "OverloadedError",
    "RemoteError",
    "TransportError",
    "TruncatedArchiveError",
    "UnsupportedFormatError",
    "UsageError",
    "__version__",
    "connect",
    "encode_archive",
    "open_archive",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "_connect": ("connect",),
        "archive": ("EncodeMember", "encode_archive", "open_archive"),
        "batch": ("BatchItem", "BatchRequest", "ItemMetadata"),
        "errors": (
            "AsyncBatchError",
            "AuthenticationError",
            "BucketNotFoundError",
            "FormatError",
            "IncompleteBatchError",
            "LimitExceededError",
            "ObjectNotFoundError",
            "OverloadedError",
            "RemoteError",
            "TransportError",
            "TruncatedArchiveError",
            "UnsupportedFormatError",
            "UsageError",
        ),
        "limits": ("Limits",),
        "loader": ("BatchLoader",),
    },
)
