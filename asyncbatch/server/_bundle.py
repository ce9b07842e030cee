"""Tigris's Bundle API: many objects in one tar, under their own keys, with the counts behind it.

A bundle is never held: it is made while it is sent. What cannot be had is left out and listed in the last
member, or, if the client says so, is looked for in everything before anything is sent. It is cut, so that
nobody takes it for whole, where an object changes while it is read; where not even the first one can be had,
the answer is an error.
"""

from __future__ import annotations

import errno
import json
import logging
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Final

from anyio.to_thread import run_sync
from starlette.responses import Response

from ..codecs import TarEncoder
from ..codecs._gzip import GzipCompressor
from ..codecs._zstd import ZstdCompressor
from ._ahead import Ahead, nothing
from ._alteration import alteration_of
from ._bundle_request import MAX_BODY, parse_keys, parse_options
from ._encode import compressed, encode_member
from ._getbatch import Entry
from ._s3_errors import S3Error
from ._s3_xml import element, leaf
from ._source import Source
from ._store import InvalidNameError, MissingError, NoSuchObjectError, StoreError
from ._stream import Body, CutError, StreamResponse, read_body, watching

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from ..codecs._compress import Compressor
    from ..codecs._events import Buffer
    from ._bundle_request import Options
    from ._signed import Signatures
    from ._store import Store

__all__ = ["Bundles"]

_ERRORS: Final = "__bundle_errors.json"
_LOOKED_AT_PER_HOP: Final = 512
# Tigris names no other media types. There is no Content-Encoding: its clients decompress by themselves.
_FORMATS: Final[Mapping[str, tuple[str, Callable[[], Compressor | None]]]] = {
    "none": ("application/x-tar", lambda: None),
    "gzip": ("application/gzip", lambda: GzipCompressor(level=1)),
    "zstd": ("application/zstd", ZstdCompressor),
}
_DENIED: Final = {errno.EACCES, errno.EPERM}

_logger: Final = logging.getLogger("asyncbatch.server")


class _Tally:
    """What a bundle turned out to hold."""

    def __init__(self) -> None:
        self._count = 0
        self._bytes = 0
        self.skipped: list[dict[str, str]] = []

    def add(self, size: int) -> None:
        self._count += 1
        self._bytes += size

    def trailers(self) -> dict[str, str]:
        # To Tigris's documentation the bytes are "total bytes streamed", to its SDK's "total bytes of object
        # data". We follow the latter: it is the same for each compression, and a client can compare it with
        # what it got. The count is of objects, and the list of what was skipped is none.
        return {
            "x-tigris-bundle-count": str(self._count),
            "x-tigris-bundle-bytes": str(self._bytes),
            "x-tigris-bundle-skipped": str(len(self.skipped)),
        }


class Bundles:
    """The handler for ``POST /{bucket}?bundle``.

    Args:
        store: Where the objects are.
        signatures: Check what was asked.
    """

    def __init__(self, store: Store, signatures: Signatures) -> None:
        self._store = store
        self._signatures = signatures
        self._ahead = Ahead(store.read_ahead)

    async def ask(self, request: Request) -> ASGIApp:
        """Answer with a bundle."""
        if "bundle" not in request.query_params:
            raise S3Error(501, "NotImplemented", "of what can be sent to a bucket, this server has ?bundle")
        bucket = request.path_params["bucket"]
        options = parse_options(request.headers)
        body = await read_body(request, MAX_BODY)
        keys = await run_sync(self._check, request, bucket, body, options)
        alteration = alteration_of(request.scope)
        entries = alteration.entries(
            [Entry(bucket, "ais", key, "", 0, -1, opaque="", member=key) for key in keys]
        )
        if not options.skips:
            lacking = self._lacking(entries)
            missing: list[str] = []
            async with watching(request.receive) as gone:
                while some := await run_sync(list, islice(lacking, _LOOKED_AT_PER_HOP)):
                    missing += [entry.name for entry, reason in some if reason]
                    if gone.done():
                        return Response()
            if missing:
                raise _not_found(missing)
        tally = _Tally()
        media_type, open_compressor = _FORMATS[options.compression]
        tar = self._encode(alteration.sent(entries), tally, skips=options.skips)
        bundle = Body(compressed(tar, open_compressor()))
        try:
            # Whoever gets nothing at all is told why. Behind the first chunk, all that can be done is to cut.
            first = await run_sync(bundle.fill)
        except BaseException:
            bundle.close()
            raise
        return StreamResponse(
            bundle, headers={"Content-Type": media_type}, first=first, trailers=tally.trailers
        )

    def _check(self, request: Request, bucket: str, body: bytes, options: Options) -> list[str]:
        """Return the keys. In a thread: up to some megabytes are hashed and parsed."""
        self._signatures.check_body(request, body)
        keys = parse_keys(body, is_xml=options.is_xml)
        self._store.check_bucket(bucket)
        return keys

    def _open(self, entry: Entry) -> Source:
        """Open an object, to read it."""
        _check_entry(entry)
        return Source.whole(self._store.open_object(entry.bucket, entry.name))

    def _look_at(self, entry: Entry) -> Source:
        """Open an object, to know that it can be."""
        _check_entry(entry)
        return Source.whole(self._store.open_part(entry.bucket, entry.name, 0, 0))

    def _lacking(self, entries: list[Entry]) -> Generator[tuple[Entry, str]]:
        """Yield each entry and why it cannot be had, ``""`` if it can."""
        for entry, opened in self._ahead.open(self._look_at, entries, nothing):
            try:
                opened().close()
            except (StoreError, OSError) as error:
                yield entry, _reason(error)
            else:
                yield entry, ""

    def _encode(self, entries: list[Entry], tally: _Tally, *, skips: bool) -> Generator[Buffer]:
        encoder = TarEncoder()
        with closing(self._ahead.open(self._open, entries)) as opening:
            for entry, opened in opening:
                try:
                    source = opened()
                except (StoreError, OSError) as error:
                    if not skips:
                        raise CutError(f"what was there is no longer: {error}") from error
                    reason = _reason(error)
                    _logger.info("%s: left out of a bundle: %s", entry.name, error)
                    tally.skipped.append({"key": entry.name, "reason": reason})
                    continue
                with source:
                    start, length = entry.cut(source.size)
                    yield from encode_member(encoder, entry.member, source, start, length)
                    tally.add(length)
        if tally.skipped:
            yield encoder.encode(_ERRORS, json.dumps({"skipped": tally.skipped}).encode())
        yield encoder.finish()


def _check_entry(entry: Entry) -> None:
    # A tar cannot have such a name, and nor has any object.
    if entry.missing or not entry.name or "\0" in entry.name:
        raise NoSuchObjectError(entry.bucket, entry.name)


def _reason(error: StoreError | OSError) -> str:
    """Return why an object is left out.

    Raises:
        CutError: if it may be there: who is told that it is not would not ask again.
    """
    if isinstance(error, (MissingError, InvalidNameError)):
        return "NoSuchKey"
    if isinstance(error, OSError) and error.errno in _DENIED:
        return "AccessDenied"
    raise CutError(f"opening failed: {error}") from error


def _not_found(missing: list[str]) -> S3Error:
    keys = element("MissingKeys", *(leaf("Key", key) for key in missing))
    return S3Error(404, "BundleKeyNotFound", "One or more keys could not be resolved", details=keys)
