"""Batches, whatever protocol carries them: requests, entries and items; pairing and completeness."""

from __future__ import annotations

from ._item import BatchItem, BatchStats, ItemMetadata
from ._members import BatchMember, BatchMembers
from ._object_data import ObjectData, ObjectReader, OpenedObject, check_data, check_range, read_file
from ._request import BatchOptions, BatchRequest, BucketRef, Entry, ObjectRef, make_request
from ._resume import DEFAULT_MAX_RESUMES
from ._singles import DEFAULT_MAX_CONCURRENCY, DEFAULT_MAX_MEMORY, Singles
from ._source import ArchiveAnswer, BatchAnswer, BatchRefusedError, BatchSource, EntryAnswer, Server
from ._stream import BatchStream

__all__ = [
    "DEFAULT_MAX_CONCURRENCY",
    "DEFAULT_MAX_MEMORY",
    "DEFAULT_MAX_RESUMES",
    "ArchiveAnswer",
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
    "EntryAnswer",
    "ItemMetadata",
    "ObjectData",
    "ObjectReader",
    "ObjectRef",
    "OpenedObject",
    "Server",
    "Singles",
    "check_data",
    "check_range",
    "make_request",
    "read_file",
]
