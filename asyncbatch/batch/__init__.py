"""Batches, whatever protocol carries them: requests, entries and items; pairing and completeness."""

from __future__ import annotations

from ._item import BatchItem, BatchStats, ItemMetadata
from ._members import BatchMember, BatchMembers
from ._request import BatchOptions, BatchRequest, BucketRef, Entry, ObjectRef, make_request
from ._source import BatchAnswer, BatchRefusedError, BatchSource
from ._stream import BatchStream

__all__ = [
    "BatchAnswer",
    "BatchItem",
    "BatchMember",
    "BatchMembers",
    "BatchOptions",
    "BatchRefusedError",
    "BatchRequest",
    "BatchSource",
    "BatchStats",
    "BatchStream",
    "BucketRef",
    "Entry",
    "ItemMetadata",
    "ObjectRef",
    "make_request",
]
