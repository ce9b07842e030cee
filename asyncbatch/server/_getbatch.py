"""What a GetBatch request says: its JSON as plain values, and every way in which it can be wrong.

Nothing here does any I/O.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from ._errors import ApiError
from ._target import provider_of

__all__ = ["Batch", "Entry", "RangeError", "parse_batch"]

_FORMATS: Final = (".tar", ".tgz", ".tar.gz", ".zip", ".tar.lz4")
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/=]")
_TO_THE_END: Final = -1
_MAX_ZIP_NAME: Final = 0xFFFF - len("__404__/")
_SHOWN: Final = 100


class RangeError(Exception):
    """A range that goes beyond the end of an object."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object, or file in a shard, that a batch asks for.

    Attributes:
        bucket: Its bucket.
        provider: The bucket's provider; there are buckets of ``"ais"`` only.
        name: The object.
        archpath: The file in it, or ``""`` for itself.
        start: Where to begin.
        length: How many bytes; -1 for all from `start`.
        opaque: The client's own mark in base64, or ``""``.
        member: Its name in the archive.
        missing: Whether to take it for missing: ``""`` if not. ``"elsewhere"`` means by another target: that
            AIStore learns too late to stop, and marks even in a strict batch.
    """

    bucket: str
    provider: str
    name: str
    archpath: str
    start: int
    length: int
    opaque: str
    member: str
    missing: Literal["", "here", "elsewhere"] = ""

    def cut(self, size: int) -> tuple[int, int]:
        """Return the start and length of what is asked for, out of `size` bytes.

        Raises:
            RangeError: if it is not all there.
        """
        length = size - self.start if self.length == _TO_THE_END else self.length
        if length < 0 or self.start + length > size:
            wanted = f"[start={self.start},length={self.length}]"
            raise RangeError(f"{self.bucket}/{self.name}: size={size}: not satisfiable range {wanted}")
        return self.start, length


@dataclass(frozen=True, slots=True)
class Batch:
    """A valid request.

    Attributes:
        entries: In order, at least one.
        format: Of the archive: ``".tar"``, ``".tgz"``, ``".tar.lz4"`` or ``".zip"``.
        continue_on_error: Whether what is missing is marked, rather than ending the batch.
        streaming: Whether the archive comes alone, rather than behind metadata.
    """

    entries: list[Entry]
    format: str
    continue_on_error: bool
    streaming: bool


def parse_batch(body: bytes, bucket: str | None) -> Batch:
    """Parse a request's body.

    Args:
        body: JSON.
        bucket: Of entries that name none, or None if all must.

    Raises:
        ApiError: 400 with AIStore's words, as far as they do not tell of its parser.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"invalid JSON in the body: {error}") from None
    if not isinstance(request, dict):
        raise ApiError(400, "invalid JSON in the body: not an object")
    entries = _field(request, "in", list)
    archive = _parse_format(_field(request, "mime", str))
    if not entries:
        raise ApiError(400, "moss: empty input")
    short = _field(request, "onob", bool)
    parsed = [_parse_entry(entry, bucket, short=short) for entry in entries]
    if archive == ".zip":
        for entry in parsed:
            _check_zip_name(entry.member)
    return Batch(
        parsed,
        archive,
        continue_on_error=_field(request, "coer", bool),
        streaming=_field(request, "strm", bool),
    )


def _parse_format(mime: str) -> str:
    # What is not an extension is taken for a MIME type, in which AIStore looks for an extension: there is a
    # "zip" in application/gzip.
    if mime and mime not in _FORMATS and not mime.startswith("."):
        mime = next((known for known in _FORMATS if known[1:] in mime), mime)
    match mime:
        case "":
            return ".tar"
        case ".tar.gz":
            return ".tgz"
        case ".tar" | ".tgz" | ".tar.lz4" | ".zip":
            return mime
        case _:
            raise ApiError(400, f'unknown mime type "{mime}"', code="errUnknownMime")


def _parse_entry(entry: object, default: str | None, *, short: bool) -> Entry:
    if not isinstance(entry, dict):
        raise _invalid("an entry is not an object")
    name, bucket, provider = (_field(entry, key, str) for key in ("objname", "bucket", "provider"))
    if uname := _field(entry, "uname", str):
        provider, bucket, name = _parse_uname(uname)
    elif not bucket:
        if default is None:
            raise ApiError(400, f'moss: no bucket for "{name}": neither the entry nor the URL names one')
        bucket = default
    archpath = _field(entry, "archpath", str)
    _check_name(name)
    if "/" in bucket or bucket in {".", ".."}:
        raise _invalid(f'invalid bucket name "{bucket}"')
    _check_text(bucket, archpath)
    start, length = _parse_range(entry, name)
    path = f"{name}/{archpath}" if archpath else name
    return Entry(
        bucket,
        provider_of(provider),
        name,
        archpath,
        start,
        length,
        _parse_opaque(_field(entry, "opaque", str)),
        path if short else f"{bucket}/{path}",
    )


def _parse_uname(uname: str) -> tuple[str, str, str]:
    """Split ``provider/@uuid#namespace/bucket/object``."""
    match uname.split("/", 3):
        case [provider, "@#", bucket, name]:
            return provider, bucket, name
        case _:
            raise _invalid(f'invalid uname "{uname}"')


def _parse_range(entry: dict[str, Any], name: str) -> tuple[int, int]:
    start, length = _field(entry, "start", int), _field(entry, "length", int)
    if start < 0 or length < _TO_THE_END or (start and not length):
        raise _invalid(f'not satisfiable range [start={start},length={length} (oname: "{name}")]')
    return start, length or _TO_THE_END


def _parse_opaque(opaque: str) -> str:
    try:
        base64.b64decode(opaque, validate=True)
    except (ValueError, binascii.Error):
        wrong = _NOT_BASE64.search(opaque)
        at = len(opaque) // 4 * 4 if wrong is None else wrong.start()
        raise _invalid(f"illegal base64 data at input byte {at}") from None
    return opaque


def _check_name(name: str) -> None:
    """Refuse what AIStore refuses, and what could be no file's name."""
    if name.startswith("~/") or not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise _invalid(f'invalid object name "{name}"')
    _check_text(name)


def _check_zip_name(member: str) -> None:
    """Refuse what no zip can name, before anything is sent (APPNOTE.TXT 4.4.10: a length has 16 bits)."""
    if member.endswith("/") or len(member.encode()) > _MAX_ZIP_NAME:
        raise ApiError(400, f'moss: a zip cannot have a file "{member[:_SHOWN]}"')


def _check_text(*names: str) -> None:
    for name in names:
        if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise _invalid(f"invalid name {name!a}")


def _field(message: dict[str, Any], key: str, kind: type[Any]) -> Any:  # noqa: ANN401 - `kind` says what it is
    """Return a field of JSON, or its type's zero if it is absent or null, as Go decodes it."""
    value = message.get(key)
    if value is None:
        return kind()
    if type(value) is not kind:  # a bool is an int, but not here
        raise _invalid(f'"{key}" is not a JSON {_JSON_NAMES[kind]}')
    return value


_JSON_NAMES: Final[dict[type[Any], str]] = {bool: "boolean", int: "integer", list: "array", str: "string"}


def _invalid(message: str) -> ApiError:
    return ApiError(400, f"unmarshalerDecoder: {message}")
