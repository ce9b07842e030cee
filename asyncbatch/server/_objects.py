"""Single objects: get, head, put, delete."""

from __future__ import annotations

import re
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from anyio import CancelScope
from anyio.to_thread import run_sync
from starlette.responses import Response

from ._errors import ApiError
from ._redirect import is_redirected, redirect
from ._source import Source
from ._store import NoSuchObjectError
from ._stream import CHUNK_SIZE, Body, CutError, StreamResponse
from ._target import object_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from ..codecs._events import Buffer
    from ._shards import Shards
    from ._store import Store, StoredObject, Upload

__all__ = ["Objects", "open_source", "parse_range", "read_and_close", "receive"]

# Each makes another request of the same path: served without it, we would read or overwrite amiss.
_UNSUPPORTED: Final = (
    "append_handle",
    "append_type",
    "archmime",
    "archregx",
    "etl_name",
    "object_to",
    "partNumber",
    "uploadId",
)
# Python makes no number of more than 4,300 digits; no object is that large.
_RANGE: Final = re.compile(r"bytes=([0-9]{0,100})-([0-9]{0,100})")


class Objects:
    """The handlers for ``/v1/objects``.

    Args:
        store: Where the objects are.
        shards: Opens files in them.
        redirects: Whether a request must have been redirected.
    """

    def __init__(self, store: Store, shards: Shards, *, redirects: bool) -> None:
        self._store = store
        self._shards = shards
        self._redirects = redirects

    async def get(self, request: Request) -> ASGIApp:
        """Answer with an object, a range of it, or a file in it."""
        bucket, name = self._checked(request)
        if self._must_redirect(request):
            return redirect(request, 301)
        return await run_sync(self._start_get, request, bucket, name)

    async def head(self, request: Request) -> ASGIApp:
        """Answer with what is known of an object."""
        bucket, name = self._checked(request)
        if self._must_redirect(request):
            return redirect(request, 307)
        headers = await run_sync(self._describe, bucket, name, request.query_params.get("archpath", ""))
        return Response(headers=headers)

    async def put(self, request: Request) -> ASGIApp:
        """Write an object: nobody sees it before all of it has come."""
        bucket, name = self._checked(request)
        if "archpath" in request.query_params:
            raise ApiError(501, "writing into a shard is not supported by this server")
        if self._must_redirect(request):
            return redirect(request, 307)
        upload = await run_sync(self._store.put_object, bucket, name)
        try:
            etag = await receive(request, upload)
        except BaseException:
            with CancelScope(shield=True):
                await run_sync(upload.abort)
            raise
        return Response(headers={"ETag": f'"{etag}"'})

    async def delete(self, request: Request) -> ASGIApp:
        """Delete an object."""
        bucket, name = self._checked(request)
        if self._must_redirect(request):
            return redirect(request, 307)
        try:
            await run_sync(self._store.delete_object, bucket, name)
        except NoSuchObjectError as error:
            raise ApiError(404, f"{error.uri} doesn't exist") from None  # the words are AIStore's
        return Response()

    def _checked(self, request: Request) -> tuple[str, str]:
        for parameter in _UNSUPPORTED:
            if request.query_params.get(parameter):
                raise ApiError(501, f'"{parameter}" is not supported by this server')
        return object_of(request)

    def _must_redirect(self, request: Request) -> bool:
        return self._redirects and not is_redirected(request)

    def _describe(self, bucket: str, name: str, archpath: str) -> dict[str, str]:
        with open_source(self._store, self._shards, bucket, name, archpath, part=(0, 0)) as source:
            headers = _version_headers(source.stored) | {
                "Ais-Bucket-Name": bucket,
                "Ais-Bucket-Provider": "ais",
                "Ais-Name": name,
                "Ais-Present": "true",
                "Content-Length": str(source.size),
            }
        # Go writes UTF-8 into headers. What they cannot hold is left out.
        return {
            key: value.encode().decode("latin-1") for key, value in headers.items() if value.isprintable()
        }

    def _start_get(self, request: Request, bucket: str, name: str) -> StreamResponse:
        """Open the object and read the first chunk: for a small one, all that there is to do in a thread."""
        archpath = request.query_params.get("archpath", "")
        source = open_source(self._store, self._shards, bucket, name, archpath)
        start, length, status = 0, source.size, 200
        headers = {"Content-Type": "application/octet-stream"}
        try:
            if not archpath:
                headers |= _version_headers(source.stored)
                if (wanted := _wanted_range(request, source, headers["ETag"])) is not None:
                    start, length = wanted
                    status = 206
                    headers["Accept-Ranges"] = "bytes"
                    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{source.size}"
            headers["Content-Length"] = str(length)
            body = Body(read_and_close(source, start, length))
            return StreamResponse(body, headers=headers, status=status, first=body.fill())
        except CutError as error:
            raise ApiError(503, f"try again: {error}") from None
        except BaseException:
            source.close()
            raise


def open_source(
    store: Store,
    shards: Shards,
    bucket: str,
    name: str,
    archpath: str,
    *,
    part: tuple[int, int] | None = None,
) -> Source:
    """Open an object, or a file in it.

    Args:
        store: Where the object is.
        shards: Opens files in objects.
        bucket: The object's.
        name: The object.
        archpath: The file in it, or ``""`` for itself.
        part: The start and length of what will be read, or None for all.
    """
    if archpath:
        part = 0, 0  # where in the object the file is, `shards` find out
    stored = store.open_object(bucket, name) if part is None else store.open_part(bucket, name, *part)
    if not archpath:
        return Source.whole(stored)
    try:
        return shards.open(stored, bucket, name, archpath)
    except BaseException:
        stored.close()
        raise


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the start and length that a Range header asks for (RFC 9110 section 14).

    None means all: forms that are not understood, and several ranges at once, may be ignored.

    Raises:
        ApiError: 416 if there is no such range.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = (int(digits) if digits else None for digits in match.groups())
    if first is None:
        start, end = max(size - (last or 0), 0), size
    elif last is not None and last < first:
        return None
    else:
        start, end = first, size if last is None else min(last + 1, size)
    if start >= end:
        raise ApiError(
            416,
            f"size={size}: not satisfiable range [{header.strip().removeprefix('bytes=')}]",
            code="ErrRangeNotSatisfiable",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end - start


def _wanted_range(request: Request, source: Source, etag: str) -> tuple[int, int] | None:
    header = request.headers.get("range")
    # A range of another version than the one that the client has a part of would be spliced (section 13.1.5).
    if header is None or request.headers.get("if-range", etag) != etag:
        return None
    return parse_range(header, source.size)


def _version_headers(stored: StoredObject) -> dict[str, str]:
    headers = {"ETag": f'"{stored.etag}"', "Last-Modified": formatdate(stored.mtime, usegmt=True)}
    if stored.atime_ns is not None:
        headers["Ais-Atime"] = str(stored.atime_ns)
    return headers


def read_and_close(source: Source, start: int, length: int) -> Generator[Buffer]:
    """Yield a part of a source, and close it, however that ends."""
    with source:
        yield from source.pieces(start, length)


async def receive(request: Request, upload: Upload) -> str:
    """Write the request's body, a chunk's worth per hop to a thread, and commit."""
    pending: list[bytes] = []
    size = total = 0
    async for chunk in request.stream():
        pending.append(chunk)
        size += len(chunk)
        total += len(chunk)
        if size >= CHUNK_SIZE:
            await run_sync(upload.write, b"".join(pending))
            pending.clear()
            size = 0
    # The ASGI server should have seen to it; not all do when a connection breaks.
    if total != int(request.headers.get("content-length", total)):
        raise ApiError(400, f"the body ended after {total} bytes")
    return await run_sync(_finish, upload, b"".join(pending))


def _finish(upload: Upload, rest: bytes) -> str:
    upload.write(rest)
    return upload.commit()
