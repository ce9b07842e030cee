"""GetBatch: the request, and the names under which its answer's members come."""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ...errors import ObjectNotFoundError, UnsupportedFormatError, UsageError
from ._names import check_bucket_name, check_object_names, check_text
from ._request import WireRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...batch import BatchRequest, Entry

__all__ = ["check_batch", "encode_batch", "fault_of", "member_names"]

_PATH: Final = "/v1/ml/moss"
_MISSING: Final = "__404__/"
# What AIStore can answer with and we can read; always its extension, never a media type: it takes
# "application/gzip" for a zip.
_FORMATS: Final = {".tar": ".tar", ".tar.gz": ".tgz", ".tar.lz4": ".tar.lz4"}


def check_batch(request: BatchRequest) -> None:
    """Check that a request can be sent.

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
    """Make the HTTP request of a batch that `check_batch` lets pass."""
    entries = request.entries
    query, bucket = _address(entries)
    if request.colocation:
        query["coloc"] = str(request.colocation)
    options = {
        "mime": _FORMATS[request.output_format],
        "coer": request.continue_on_err,
        "onob": request.only_obj_name,
        "strm": request.streaming,
    }
    plain = bucket is not None and not any(
        entry.archpath is not None or entry.start or entry.length is not None for entry in entries
    )
    encoded = _encode_names(entries) if plain else _dump([_describe(entry) for entry in entries])
    return WireRequest(
        method="GET",
        path=_PATH if bucket is None else f"{_PATH}/{quote(bucket, safe='')}",
        query=query,
        headers={"Content-Type": "application/json"},
        body=f'{_dump(options)[:-1]},"in":{encoded}}}'.encode(),
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
    buckets = [entry.bucket for entry in entries]
    for bucket in dict.fromkeys(buckets):
        check_bucket_name(bucket, index=buckets.index(bucket))
    check_object_names([entry.name for entry in entries])
    for index, entry in enumerate(entries):
        if entry.archpath is not None:
            check_text(entry.archpath, index=index)


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _encode_names(entries: Sequence[Entry]) -> str:
    """Return the JSON of entries that are whole objects of one bucket.

    They differ in nothing but their names: what stands between those is one text. It takes a tenth of the
    time of a dictionary for each (benchmark `e2e`).
    """
    before, _, behind = _dump([_describe(entries[0]._replace(name=""))]).partition('""')
    between = behind[:-1] + "," + before[1:]
    return before + between.join([encode_basestring(entry.name) for entry in entries]) + behind


def _describe(entry: Entry) -> dict[str, Any]:
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


def member_names(entries: Iterable[Entry], *, only_obj_name: bool) -> list[str]:
    """Return the names under which the entries' items come."""
    return [
        (entry.name if only_obj_name else f"{entry.bucket}/{entry.name}")
        + ("" if entry.archpath is None else f"/{entry.archpath}")
        for entry in entries
    ]


def fault_of(entry: Entry, name: str, *, only_obj_name: bool) -> ObjectNotFoundError | None:
    """Return the error that a member named `name` stands for in place of the entry's item.

    A missing entry comes as ``__404__/`` and its name; of a file in a missing shard, AIStore may name the
    shard alone.
    """
    if not name.startswith(_MISSING):
        return None
    (expected,) = member_names([entry], only_obj_name=only_obj_name)
    shard = expected if entry.archpath is None else expected[: -len(entry.archpath) - 1]
    if name[len(_MISSING) :] not in {expected, shard}:
        return None
    what = f"{entry.provider}://{entry.bucket}/{entry.name}"
    if entry.archpath is not None:
        what = f"{entry.archpath} in {what}"
    return ObjectNotFoundError(
        status=404, message=f"{what} does not exist", name=entry.name, bucket=entry.bucket
    )
