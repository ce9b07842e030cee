"""Tigris's bundles: the request, how much one may ask for, and what comes beside the archive.

Facts: https://www.tigrisdata.com/docs/objects/bundle/ and `docs/tigris-wire.md`.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias
from xml.sax.saxutils import escape

from ...errors import FormatError, UnsupportedFormatError, UsageError
from ._names import check_bucket_name, check_keys, object_path
from ._request import WireRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ...batch import BatchRequest, Entry

__all__ = [
    "BUNDLE_COMPRESSION_GZIP",
    "BUNDLE_COMPRESSION_NONE",
    "BUNDLE_COMPRESSION_ZSTD",
    "BUNDLE_FORMAT_TAR",
    "BUNDLE_ON_ERROR_FAIL",
    "BUNDLE_ON_ERROR_SKIP",
    "ERRORS_NAME",
    "MAX_BUNDLE_KEYS",
    "PROVIDER",
    "BundleCounts",
    "Encoding",
    "SkippedKey",
    "check_batch",
    "compression_of",
    "encode_bundle",
    "is_bundle",
    "parse_report",
    "parse_trailers",
    "reach",
]

BUNDLE_FORMAT_TAR: Final = "tar"
BUNDLE_ON_ERROR_SKIP: Final = "skip"
BUNDLE_ON_ERROR_FAIL: Final = "fail"
BUNDLE_COMPRESSION_NONE: Final = "none"
BUNDLE_COMPRESSION_GZIP: Final = "gzip"
BUNDLE_COMPRESSION_ZSTD: Final = "zstd"

MAX_BUNDLE_KEYS: Final = 5000
"""Keys that one request may have. Longer lists take several."""

ERRORS_NAME: Final = "__bundle_errors.json"
"""The name of a bundle's last member, where keys were left out: which, and why."""

PROVIDER: Final = "t3"
"""What the buckets are in, as in ``t3://bucket``."""

_MAX_BODY: Final = 5_000_000  # bytes of a request, "5 MB"
_AROUND_KEY: Final = 32  # bytes of a request for each key beside the key, at most
_AROUND_KEYS: Final = 128  # and beside all of them
# A bundle of fewer objects, between entries that no bundle can bring, takes longer than it saves: their own
# GETs are under way already.
_WORTH_A_BUNDLE: Final = 16
_COMPRESSIONS: Final = {
    ".tar": BUNDLE_COMPRESSION_NONE,
    ".tar.gz": BUNDLE_COMPRESSION_GZIP,
    ".tar.zst": BUNDLE_COMPRESSION_ZSTD,
}
_XMLNS: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
# XML 1.0 (section 2.2) has no way to write these, and reads a carriage return as a line feed (2.11).
_NOT_IN_XML: Final = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COUNT: Final = re.compile("[0-9]{1,20}")
_MISFITS: Final = (ValueError, LookupError, TypeError, RecursionError)

OnError: TypeAlias = Literal["skip", "fail"]
Encoding: TypeAlias = Literal["json", "xml"]


class SkippedKey(NamedTuple):
    """A key that is not in the bundle.

    Attributes:
        key: The key.
        reason: Why not, in the server's words, such as ``"NoSuchKey"``; None if it broke off before it said.
    """

    key: str
    reason: str | None


class BundleCounts(NamedTuple):
    """What a server counted of one bundle, from the trailers; None for what they do not tell.

    Attributes:
        objects: Objects in it.
        bytes: Their data.
        skipped: Keys that are not in it.
    """

    objects: int | None = None
    bytes: int | None = None
    skipped: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of them were told."""
        return None not in self


_TRAILERS: Final = (b"x-tigris-bundle-count", b"x-tigris-bundle-bytes", b"x-tigris-bundle-skipped")


# -- the request ------------------------------------------------------------------------------------------


def check_batch(request: BatchRequest, encoding: Encoding = "json") -> None:
    """Check that a batch can be asked of Tigris, in an encoding.

    Raises:
        UsageError: for names that no bucket or object has, or that the encoding cannot say, objects that are
            elsewhere, and no range.
        UnsupportedFormatError: if bundles do not come in that format.
    """
    compression_of(request.output_format)
    for (bucket, provider, namespace), index in request.traits.buckets.items():
        check_bucket_name(bucket, index=index)
        if provider != PROVIDER or namespace is not None:
            raise UsageError(
                f"bucket {provider}://{namespace or ''}{bucket} is not one of Tigris, which are "
                f"{PROVIDER}://{bucket}; make objects by this client's bucket()",
                index=index,
            )
    entries = request.entries
    check_keys([entry.name for entry in entries])
    if encoding == "xml":
        for index, entry in enumerate(entries):
            _check_xml(entry.name, index)
    if request.traits.has_parts:
        for index, entry in enumerate(entries):
            _check_range(entry, index)


def _check_range(entry: Entry, index: int) -> None:
    start, length = entry.start, 1 if entry.length is None else entry.length
    if type(start) is not int or type(length) is not int or start < 0 or length <= 0:
        raise UsageError(
            f"object {entry.name!r}: start={start!r}, length={entry.length!r} is no range: start is not "
            "negative, and length a positive integer, or None for all from start",
            index=index,
        )


def compression_of(output_format: str) -> str:
    """Return which compression makes a format.

    Raises:
        UnsupportedFormatError: if bundles do not come in it.
    """
    if output_format not in _COMPRESSIONS:
        raise UnsupportedFormatError(
            f"output_format={output_format!r} is not supported in bundles; "
            f"ask for one of {', '.join(_COMPRESSIONS)}",
            codec="tigris",
            offset=0,
        )
    return _COMPRESSIONS[output_format]


def encode_bundle(
    bucket: str,
    keys: Sequence[str],
    *,
    on_error: str = BUNDLE_ON_ERROR_SKIP,
    compression: str = BUNDLE_COMPRESSION_NONE,
    encoding: Encoding = "json",
) -> WireRequest:
    """Make the HTTP request of a bundle.

    Args:
        bucket: Where the keys are.
        keys: What is wanted, in order; as many as `reach` allows.
        on_error: `BUNDLE_ON_ERROR_SKIP` or `BUNDLE_ON_ERROR_FAIL`.
        compression: One of `BUNDLE_COMPRESSION_NONE`, `_GZIP`, `_ZSTD`.
        encoding: ``"json"``, which can say any key, or ``"xml"``.

    Raises:
        UsageError: for a key that XML cannot say.
    """
    return WireRequest(
        method="POST",
        path=object_path(bucket),
        query={"bundle": ""},
        headers={
            "content-type": f"application/{encoding}",
            "x-tigris-bundle-format": BUNDLE_FORMAT_TAR,
            "x-tigris-bundle-on-error": on_error,
            "x-tigris-bundle-compression": compression,
        },
        body=_SYNTAXES[encoding].encode(keys),
        bucket=bucket,
    )


class _Syntax(NamedTuple):
    """How keys are written: what stands before, between and behind them, and what they become."""

    before: str
    between: str
    behind: str
    quote: Callable[[str], str]

    def encode(self, keys: Iterable[str]) -> bytes:
        return f"{self.before}{self.between.join(map(self.quote, keys))}{self.behind}".encode()


def _check_xml(key: str, index: int | None = None) -> None:
    if found := _NOT_IN_XML.search(key):
        raise UsageError(f"key {key!r}: XML cannot say {found[0]!r}; send JSON, which can", index=index)


def _quote_xml(key: str) -> str:
    _check_xml(key)
    return f"<Object><Key>{escape(key)}</Key></Object>"


_SYNTAXES: Final = {
    "json": _Syntax('{"keys":[', ",", "]}", encode_basestring),
    "xml": _Syntax(f'<Bundle xmlns="{_XMLNS}">', "", "</Bundle>", _quote_xml),
}


# -- how much one request may ask for ---------------------------------------------------------------------


def reach(entries: Sequence[Entry], first: int, encoding: Encoding = "json") -> int:
    """Return the index behind the last entry that the request beginning at `first` is to answer.

    That is a bundle, or a row of GETs. A bundle has whole objects of one bucket. Ranges and files inside
    objects take a GET each, and so do short runs of whole objects between them.

    Raises:
        UsageError: for a key that the encoding cannot say.
    """
    end = _end_of_run(entries, first)
    if end - first >= _WORTH_A_BUNDLE or end == len(entries):
        return first + _fitting([entry.name for entry in entries[first:end]], _SYNTAXES[encoding])
    end = max(end, first + 1)
    while end < len(entries):
        behind = _end_of_run(entries, end)
        if behind - end >= _WORTH_A_BUNDLE:
            break
        end = max(behind, end + 1)
    return end


def is_bundle(request: BatchRequest) -> bool:
    """Whether a request's entries go by one bundle, and not by GETs."""
    traits = request.traits
    return not traits.has_parts and len(traits.buckets) == 1


def _end_of_run(entries: Sequence[Entry], first: int) -> int:
    """Return the index behind the whole objects of one bucket that stand in a row from `first` on.

    No further than one bundle can go.
    """
    end, bucket = first, entries[first].bucket
    for entry in entries[first : first + MAX_BUNDLE_KEYS]:
        if entry.bucket != bucket or entry.archpath is not None or entry.start or entry.length is not None:
            break
        end += 1
    return end


def _fitting(keys: Sequence[str], syntax: _Syntax) -> int:
    """Return how many of these keys the body of one request has room for."""
    # No character takes more than six bytes, which is what JSON has for control characters.
    if sum(map(len, keys)) * 6 + len(keys) * _AROUND_KEY <= _MAX_BODY - _AROUND_KEYS:
        return len(keys)
    sizes = (len(syntax.quote(key).encode()) + len(syntax.between) for key in keys)
    ends = accumulate(sizes, initial=len(syntax.before) + len(syntax.behind) - len(syntax.between))
    return sum(end <= _MAX_BODY for end in ends) - 1


# -- what comes beside the archive ------------------------------------------------------------------------


def parse_report(data: bytes) -> list[SkippedKey]:
    """Read ``__bundle_errors.json``.

    Raises:
        FormatError: if it is none.
    """
    try:
        return [
            SkippedKey(_text(skipped["key"]), _text(skipped.get("reason") or ""))
            for skipped in json.loads(data)["skipped"]
        ]
    except (*_MISFITS, AttributeError) as error:
        raise FormatError(
            f"this is no list of skipped keys ({error!r})", codec="tigris", offset=0, member=ERRORS_NAME
        ) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text is due")
    return value


def parse_trailers(trailers: Iterable[tuple[bytes, bytes]]) -> BundleCounts:
    """Read the fields that came behind an answer, names in lower case.

    Raises:
        FormatError: for a count that is no number.
    """
    fields = dict(trailers)
    return BundleCounts(*[_count(name, fields.get(name)) for name in _TRAILERS])


def _count(name: bytes, value: bytes | None) -> int | None:
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if not _COUNT.fullmatch(text):
        raise FormatError(
            f"the trailer {name.decode()} is no number: {text[:60]!r}", codec="tigris", offset=0
        )
    return int(text)
