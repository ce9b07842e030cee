"""GetBatch: the request, and the names under which its answer's members come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ...errors import ObjectNotFoundError, UnsupportedFormatError, UsageError
from ._names import check_bucket_name, check_object_name, check_text
from ._request import WireRequest

if TYPE_CHECKING:
    from ...batch import BatchRequest, Entry

__all__ = ["check_batch", "encode_batch", "fault_of", "member_name"]

_PATH: Final = "/v1/ml/moss"
_MISSING: Final = "__404__/"
# What AIStore can answer with and we can read; always its extension, never a media type: it takes
# "application/gzip" for a zip.
_FORMATS: Final = {".tar": ".tar", ".tar.gz": ".tgz", ".tar.lz4": ".tar.lz4"}


def check_batch(request: BatchRequest) -> None:
    """Raise what `encode_batch` would raise, without the cost of encoding.

    Raises:
        UsageError: for what AIStore would refuse: an object name that it forbids, or several buckets one of
            which is in a namespace. Also for the multipart mode, which is not supported yet.
        UnsupportedFormatError: if AIStore does not make such archives, or they cannot be read yet.
    """
    if request.output_format not in _FORMATS:
        raise UnsupportedFormatError(
            f"output_format={request.output_format!r} is not supported in batches; "
            f"ask for one of {', '.join(_FORMATS)}",
            codec="aistore",
            offset=0,
        )
    if not request.streaming:
        raise UsageError("streaming=False is not supported yet; leave it out")
    _address(request.entries)
    _check_names(request.entries)


def encode_batch(request: BatchRequest) -> WireRequest:
    """Make the HTTP request of a batch.

    Raises:
        UsageError, UnsupportedFormatError: as `check_batch` does.
    """
    check_batch(request)
    query, bucket = _address(request.entries)
    if request.colocation:
        query["coloc"] = str(request.colocation)
    body = {
        "mime": _FORMATS[request.output_format],
        "in": [_encode_entry(entry) for entry in request.entries],
        "coer": request.continue_on_err,
        "onob": request.only_obj_name,
        "strm": request.streaming,
    }
    return WireRequest(
        method="GET",
        path=_PATH if bucket is None else f"{_PATH}/{quote(bucket, safe='')}",
        query=query,
        headers={"Content-Type": "application/json"},
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        bucket=bucket,
    )


def _address(entries: tuple[Entry, ...]) -> tuple[dict[str, str], str | None]:
    """Return the query and the bucket of the path: the entries' own, if they have one in common."""
    buckets = {(entry.bucket, entry.provider, entry.namespace) for entry in entries}
    if len(buckets) == 1:
        ((bucket, provider, namespace),) = buckets
        query = {"provider": provider}
        if namespace:
            query["namespace"] = namespace
        return query, bucket
    for index, entry in enumerate(entries):
        if entry.namespace:
            raise UsageError(
                f"object {entry.name!r}: a bucket in a namespace cannot share a batch with other buckets",
                index=index,
            )
    return {}, None


def _check_names(entries: tuple[Entry, ...]) -> None:
    buckets: set[str] = set()  # which are few, and so checked once
    for index, entry in enumerate(entries):
        if entry.bucket not in buckets:
            check_bucket_name(entry.bucket, index=index)
            buckets.add(entry.bucket)
        check_object_name(entry.name, index=index)
        if entry.archpath is not None:
            check_text(entry.archpath, index=index)


def _encode_entry(entry: Entry) -> dict[str, Any]:
    encoded: dict[str, Any] = {
        "objname": entry.name,
        "bucket": entry.bucket,
        "provider": entry.provider,  # AIStore takes "ais" for granted where only the bucket is named
    }
    if entry.archpath is not None:
        encoded["archpath"] = entry.archpath
    if entry.start or entry.length is not None:
        encoded["start"] = entry.start
        encoded["length"] = -1 if entry.length is None else entry.length
    return encoded


def member_name(entry: Entry, *, only_obj_name: bool) -> str:
    """Return the name under which an entry's item comes."""
    name = entry.name if only_obj_name else f"{entry.bucket}/{entry.name}"
    return name if entry.archpath is None else f"{name}/{entry.archpath}"


def fault_of(entry: Entry, name: str, *, only_obj_name: bool) -> ObjectNotFoundError | None:
    """Return the error that a member named `name` stands for in place of the entry's item.

    A missing entry comes as ``__404__/`` and its name; of a file in a missing shard, AIStore may name the
    shard alone.
    """
    if not name.startswith(_MISSING):
        return None
    expected = member_name(entry, only_obj_name=only_obj_name)
    shard = expected if entry.archpath is None else expected[: -len(entry.archpath) - 1]
    if name[len(_MISSING) :] not in {expected, shard}:
        return None
    what = f"{entry.provider}://{entry.bucket}/{entry.name}"
    if entry.archpath is not None:
        what = f"{entry.archpath} in {what}"
    return ObjectNotFoundError(
        status=404, message=f"{what} does not exist", name=entry.name, bucket=entry.bucket
    )
