"""What a request for a bundle says: its headers and its JSON or XML as plain values, and what can be wrong.

Nothing here does any I/O. The limits and the defaults are those of Tigris's documentation, "Bundle API".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import FormatError
from ..tigris.wire._xml import parse_xml
from ._s3_errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_BODY", "MAX_KEYS", "Options", "parse_keys", "parse_options"]

MAX_KEYS: Final = 5000
MAX_BODY: Final = 5 << 20

_MAX_TAGS: Final = 8 * MAX_KEYS
_PREFIX: Final = "x-tigris-bundle-"
# The values of each header, the default first; None where there is none.
_OPTIONS: Final[Mapping[str, tuple[str | None, ...]]] = {
    "format": (None, "tar"),
    "on-error": ("skip", "fail"),
    "compression": ("none", "gzip", "zstd"),
}


@dataclass(frozen=True, slots=True)
class Options:
    """How a bundle is wanted.

    Attributes:
        skips: Whether what cannot be had is left out, rather than the end of it all.
        compression: ``"none"``, ``"gzip"`` or ``"zstd"``.
        is_xml: Whether the keys come as XML, rather than JSON.
    """

    skips: bool
    compression: str
    is_xml: bool


def parse_options(headers: Mapping[str, str]) -> Options:
    """Read a request's headers.

    Raises:
        S3Error: 400 for values that there are not.
    """
    chosen = {name: _choice(name, headers) for name in _OPTIONS}
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {"application/json", "application/xml"}:
        message = f"Content-Type {media_type!r} is neither application/json nor application/xml"
        raise S3Error(400, "InvalidRequest", message)
    return Options(
        skips=chosen["on-error"] == "skip",
        compression=chosen["compression"],
        is_xml=media_type == "application/xml",
    )


def _choice(name: str, headers: Mapping[str, str]) -> str:
    values = _OPTIONS[name]
    value = headers.get(_PREFIX + name, values[0])
    if value is None or value not in values:
        known = ", ".join(known for known in values if known is not None)
        raise S3Error(400, "InvalidArgument", f"{_PREFIX}{name} is {value!r}; it can be: {known}")
    return value


def parse_keys(body: bytes, *, is_xml: bool) -> list[str]:
    """Read the keys out of a request's body.

    Raises:
        S3Error: 400 if it is none, or has too many of them, or not one.
    """
    keys = _keys_of_xml(body) if is_xml else _keys_of_json(body)
    if not 0 < len(keys) <= MAX_KEYS:
        message = f"a bundle is of 1 to {MAX_KEYS} keys; this would be of {len(keys)}"
        raise S3Error(400, "InvalidRequest", message)
    return keys


def _keys_of_json(body: bytes) -> list[str]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise S3Error(400, "InvalidRequest", f"invalid JSON in the body: {error}") from None
    keys = request.get("keys") if isinstance(request, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise S3Error(400, "InvalidRequest", 'the body is not {"keys": [STRING, …]}')
    return keys


def _keys_of_xml(body: bytes) -> list[str]:
    # A key has four tags. Five megabytes of nothing but tags would take fifty times as much once parsed.
    if body.count(b"<") > _MAX_TAGS:
        raise S3Error(
            400, "InvalidRequest", f"a bundle is of 1 to {MAX_KEYS} keys; this has too many elements"
        )
    try:
        root = parse_xml(body)
    except FormatError as error:
        raise S3Error(400, "MalformedXML", str(error)) from None
    keys = [object_.text_of("Key") for object_ in root.all("Object")]
    if root.name != "Bundle" or None in keys:
        raise S3Error(400, "MalformedXML", "the body is not <Bundle><Object><Key>…</Key></Object>…</Bundle>")
    return [key for key in keys if key is not None]
