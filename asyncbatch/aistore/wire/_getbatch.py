"""GetBatch: the request, and the names under which its answer's members come."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ...errors import ObjectNotFoundError, RemoteError, UnsupportedFormatError, UsageError
from ._names import check_archpath, check_bucket_name, check_object_names, check_text
from ._request import WireRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...batch import BatchRequest, Entry

__all__ = [
    "MISSING",
    "check_batch",
    "encode_batch",
    "fault_of",
    "member_name",
    "member_names",
    "names_objects_only",
    "public_name",
]

MISSING: Final = "__404__/"
"""What the names of members begin with that stand for an error."""

_PATH: Final = "/v1/ml/moss"
# What AIStore can answer with; always its extension, never a media type: it takes "application/gzip" for a
# zip.
_FORMATS: Final = {".tar": ".tar", ".tar.gz": ".tgz", ".tar.lz4": ".tar.lz4", ".zip": ".zip"}
_MAX_OFFSET: Final = (1 << 63) - 1  # bytes: AIStore counts in int64
_MAX_ZIP_NAME: Final = 0xFFFF - len(MISSING)  # APPNOTE.TXT, 4.4.10: a length of 16 bits
_NOT_FOUND: Final = re.compile(r"does(?: not|n't) exist|not found|no ?such|\b404\b", re.IGNORECASE)


def check_batch(request: BatchRequest) -> None:
    """Check that a request can be sent.

    Raises:
        UsageError: for what AIStore would refuse: a name that it forbids, a range beyond what it counts in, a
            name that the archive has no room for.
        UnsupportedFormatError: if AIStore does not make such archives.
    """
    if request.output_format not in _FORMATS:
        raise UnsupportedFormatError(
            f"output_format={request.output_format!r} is not supported in batches; "
            f"ask for one of {', '.join(_FORMATS)}",
            codec="aistore",
            offset=0,
        )
    for (bucket, provider, namespace), index in request.traits.buckets.items():
        check_bucket_name(bucket, index=index)
        check_text(f"{provider}{namespace}", index=index)
        if "/" in f"{provider}{namespace}":
            raise UsageError(f"bucket {bucket!r}: a provider or namespace has no slash", index=index)
    check_object_names(request.names)
    if request.traits.has_parts:
        for index, entry in enumerate(request.entries):
            _check_part(entry, index)
    if request.output_format == ".zip":
        _check_zip_names(request)
    if not request.streaming and request.traits.has_opaque:
        _check_opaque(request.entries)


def _check_part(entry: Entry, index: int) -> None:
    if entry.archpath is not None:
        check_archpath(entry.archpath, index=index)
    start, length = entry.start, 1 if entry.length is None else entry.length
    if type(start) is not int or type(length) is not int:
        raise UsageError(
            f"object {entry.name!r}: start={start!r}, length={length!r}: they are integers", index=index
        )
    if start < 0 or length <= 0:
        raise UsageError(
            f"object {entry.name!r}: start={start}, length={entry.length} is no range: start is not "
            "negative, and length positive, or None for all from start",
            index=index,
        )
    if start + length > _MAX_OFFSET:
        raise UsageError(
            f"object {entry.name!r}: start={start}, length={entry.length} goes beyond {_MAX_OFFSET} bytes, "
            "which is all that AIStore counts",
            index=index,
        )


def _check_zip_names(request: BatchRequest) -> None:
    for index, name in enumerate(member_names(request)):
        if len(name) * 4 > _MAX_ZIP_NAME < len(name.encode()):
            raise UsageError(f"a zip has no room for a name of {len(name.encode())} bytes", index=index)


def _check_opaque(entries: tuple[Entry, ...]) -> None:
    for index, entry in enumerate(entries):
        if not isinstance(entry.opaque, bytes | bytearray | memoryview | None):
            raise UsageError(
                f"object {entry.name!r}: opaque is {type(entry.opaque).__name__}; it is bytes", index=index
            )


def encode_batch(request: BatchRequest) -> WireRequest:
    """Make the HTTP request of a batch that `check_batch` lets pass."""
    query, bucket = _address(request)
    if request.colocation:
        query["coloc"] = str(request.colocation)
    options = {
        "mime": _FORMATS[request.output_format],
        "coer": request.continue_on_err,
        "onob": names_objects_only(request),
        "strm": request.streaming,
    }
    # Only multipart answers give it back, and there it shows that entry and answer belong together.
    with_opaque = not request.streaming
    traits = request.traits
    encoded = (
        _dump([_describe(entry, in_path=bucket is not None, opaque=with_opaque) for entry in request.entries])
        if bucket is None or traits.has_parts or (with_opaque and traits.has_opaque)
        else _encode_names(request.names)
    )
    return WireRequest(
        method="GET",
        path=_PATH if bucket is None else f"{_PATH}/{quote(bucket, safe='')}",
        query=query,
        headers={"Content-Type": "application/json"},
        body=f'{_dump(options)[:-1]},"in":{encoded}}}'.encode(),
        bucket=bucket,
    )


def _address(request: BatchRequest) -> tuple[dict[str, str], str | None]:
    """Return the query and the bucket of the path: the entries' own, if they have one in common."""
    buckets = request.traits.buckets
    if len(buckets) > 1:
        return {}, None
    ((bucket, provider, namespace),) = buckets
    return {"provider": provider} | ({"namespace": namespace} if namespace else {}), bucket


def names_objects_only(request: BatchRequest) -> bool:
    """Whether the members are named without their buckets.

    So they are if that was asked for. But also where one of several buckets is in a namespace: what names
    such a bucket (`_uname`) leaves AIStore without a name for members that have one.
    """
    buckets = request.traits.buckets
    return request.only_obj_name or (len(buckets) > 1 and any(namespace for _, _, namespace in buckets))


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _encode_names(names: Sequence[str]) -> str:
    """Return the JSON of entries that are whole objects of the path's bucket, and so nothing but `names`.

    As `_describe` has it, in a tenth of the time of a dictionary for each (benchmark `e2e`).
    """
    together = "".join(names)
    if len(encode_basestring(together)) == len(together) + 2:  # the quotes: nothing has to be escaped
        quoted = '"},{"objname":"'.join(names)
        return f'[{{"objname":"{quoted}"}}]'
    quoted = '},{"objname":'.join(map(encode_basestring, names))
    return f'[{{"objname":{quoted}}}]'


def _describe(entry: Entry, *, in_path: bool, opaque: bool) -> dict[str, Any]:
    """Return the JSON of an entry; `in_path` says whether the request's path and query name its bucket."""
    encoded: dict[str, Any] = {"objname": entry.name}
    # A bucket that the path names is not named again: it would double the request, and if it is in a
    # namespace, would here be the bucket of that name in the global one.
    if not in_path and entry.namespace:
        encoded["uname"] = _uname(entry, entry.namespace)
    elif not in_path:
        encoded["bucket"] = entry.bucket
        encoded["provider"] = entry.provider  # AIStore takes "ais" for granted where only the bucket is named
    if entry.archpath is not None:
        encoded["archpath"] = _relative(entry.archpath)
    if entry.start or entry.length is not None:
        encoded["start"] = entry.start
        encoded["length"] = -1 if entry.length is None else entry.length
    if opaque and entry.opaque:
        encoded["opaque"] = b64encode(entry.opaque).decode("ascii")
    return encoded


def _uname(entry: Entry, namespace: str) -> str:
    """Return an object's name with all that its bucket is: ``provider/@uuid#namespace/bucket/object``."""
    uuid, _, name = namespace.removeprefix("@").partition("#")
    return f"{entry.provider}/@{uuid}#{name}/{entry.bucket}/{entry.name}"


def _relative(archpath: str) -> str:
    """Return an archpath without the slash at its beginning, which means nothing in a shard.

    With it, whether the member's name has one slash there or two is up to the server.
    """
    return archpath.lstrip("/")


def member_names(request: BatchRequest) -> list[str]:
    """Return the names under which the entries' items come."""
    only_obj_name = names_objects_only(request)
    buckets = request.traits.buckets
    if request.traits.has_parts or (len(buckets) > 1 and not only_obj_name):
        return [member_name(entry, only_obj_name=only_obj_name) for entry in request.entries]
    # As below, in half of the time.
    ((bucket, _, _), *_) = buckets
    before = "" if only_obj_name else f"{bucket}/"
    return [before + name for name in request.names]


def member_name(entry: Entry, *, only_obj_name: bool) -> str:
    """Return the name under which an entry's item comes."""
    name = entry.name if only_obj_name else f"{entry.bucket}/{entry.name}"
    return name if entry.archpath is None else f"{name}/{_relative(entry.archpath)}"


def fault_of(
    entry: Entry, name: str, *, only_obj_name: bool, message: str | None = None
) -> RemoteError | None:
    """Return the error that a member named `name` stands for in place of the entry's item.

    A missing entry comes as ``__404__/`` and its name; of a file in a missing shard, AIStore may name the
    shard alone. So comes, too, what another target could not send; then `message` says so.

    Args:
        entry: What was asked for.
        name: What came.
        only_obj_name: Whether members are named without their buckets.
        message: The server's own words, if it has some.
    """
    if not name.startswith(MISSING):
        return None
    expected = member_name(entry, only_obj_name=only_obj_name)
    shard = expected if entry.archpath is None else expected[: -len(_relative(entry.archpath)) - 1]
    if name[len(MISSING) :] not in {expected, shard}:
        return None
    if message is not None and not _NOT_FOUND.search(message):
        return RemoteError(status=500, message=message, retryable=True)
    message = message or f"{public_name(entry)} does not exist"
    return ObjectNotFoundError(status=404, message=message, name=entry.name, bucket=entry.bucket)


def public_name(entry: Entry) -> str:
    """Return for people what an entry asks for, whatever the part of it."""
    name = f"{entry.provider}://{entry.bucket}/{entry.name}"
    return name if entry.archpath is None else f"{entry.archpath} in {name}"
