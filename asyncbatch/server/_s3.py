"""As much of S3's API as its clients need to put, get, list and delete objects, in the path style.

Source: AWS's S3 API Reference. Whatever would make another request of the same path, such as ``?acl`` or a
part of an upload, is refused: served without it, we would answer, or overwrite, amiss.
"""

from __future__ import annotations

import re
from contextlib import suppress
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from anyio import CancelScope
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from ._objects import parse_range, read_and_close, receive
from ._payload import Payload
from ._s3_errors import FAILURES, S3Error, answer_error
from ._source import Source
from ._store import InvalidNameError, NoSuchObjectError
from ._stream import Body, StreamResponse
from ._target import check_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ._bundle import Bundles
    from ._s3_buckets import S3Buckets
    from ._signed import Signatures
    from ._store import Store, StoredObject

__all__ = ["S3"]

_HARMLESS: Final = frozenset({"x-id"})  # which operation the SDK called
_LISTING: Final = _HARMLESS | {
    *("list-type", "prefix", "delimiter", "continuation-token", "start-after", "max-keys"),
    *("encoding-type", "fetch-owner"),
}
# Of an upload. To ignore one would make another object than was meant, or overwrite what was not to be.
_UNSUPPORTED: Final = ("x-amz-copy-source", "if-match", "if-none-match", "x-amz-write-offset-bytes")
_RANGE: Final = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")


if TYPE_CHECKING:
    _Handlers: TypeAlias = dict[str, tuple[frozenset[str], Callable[[Request], Awaitable[ASGIApp]]]]
    """By method: the parameters that the query may have, and what answers."""


class S3:
    """An ASGI application for requests about all buckets, one bucket, or an object of it.

    Args:
        store: Where the objects are.
        signatures: Check what is asked.
        buckets: Answer requests about buckets.
        bundles: Answer requests for bundles.
    """

    def __init__(self, store: Store, signatures: Signatures, buckets: S3Buckets, bundles: Bundles) -> None:
        self._store = store
        self._signatures = signatures
        self._service: _Handlers = {"GET": (_HARMLESS, buckets.list_all)}
        self._bucket: _Handlers = {
            "GET": (_LISTING, buckets.list_objects),
            "HEAD": (_HARMLESS, buckets.head),
            "PUT": (_HARMLESS, buckets.create),
            "DELETE": (_HARMLESS, buckets.destroy),
            "POST": (_HARMLESS | {"bundle"}, bundles.ask),
        }
        self._object: _Handlers = {
            "GET": (_HARMLESS, self._get),
            "HEAD": (_HARMLESS, self._head),
            "PUT": (_HARMLESS, self._put),
            "DELETE": (_HARMLESS, self._delete),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        try:
            self._signatures.check(request)
            answer = await self._handler(request)(request)
        except FAILURES as error:
            answer = answer_error(request, error)
        await answer(scope, receive, send)

    def _handler(self, request: Request) -> Callable[[Request], Awaitable[ASGIApp]]:
        check_path(request)
        if "name" in request.path_params:
            handlers = self._object
        else:
            handlers = self._bucket if "bucket" in request.path_params else self._service
        known, handler = handlers.get(request.method, (_HARMLESS, None))
        if unknown := request.query_params.keys() - known:
            message = f"not supported by this server: {', '.join(sorted(unknown))}"
            raise S3Error(501, "NotImplemented", message)
        if handler is None:
            headers = {"Allow": ", ".join(sorted(handlers))}
            message = f"{request.method} is not allowed against this resource"
            raise S3Error(405, "MethodNotAllowed", message, headers=headers)
        return handler

    async def _get(self, request: Request) -> ASGIApp:
        """Answer with an object, or a range of it."""
        return await run_sync(self._start_get, request)

    async def _head(self, request: Request) -> ASGIApp:
        """Answer with what is known of an object."""
        return await run_sync(self._describe, request)

    async def _put(self, request: Request) -> ASGIApp:
        """Write an object: nobody sees it before all of it has come."""
        for name in _UNSUPPORTED:
            if name in request.headers:
                raise S3Error(501, "NotImplemented", f"not supported by this server: {name}")
        payload = await run_sync(self._open_payload, request)
        try:
            etag = await receive(request, payload)
        except BaseException:
            with CancelScope(shield=True):
                await run_sync(payload.abort)
            raise
        return Response(headers={"ETag": f'"{etag}"'})

    async def _delete(self, request: Request) -> ASGIApp:
        """Delete an object, or find that there is none, which S3 takes for the same."""
        with suppress(NoSuchObjectError, InvalidNameError):
            await run_sync(self._store.delete_object, *_target(request))
        return Response(status_code=204)

    def _open_payload(self, request: Request) -> Payload:
        return Payload(request.headers, self._store.put_object(*_target(request)))

    def _describe(self, request: Request) -> Response:
        with self._open(request, (0, 0)) as stored:
            headers = _checked_headers(request, stored)
            _, length, status = _wanted(request, stored, headers)
            return Response(status_code=status, headers=headers | {"Content-Length": str(length)})

    def _start_get(self, request: Request) -> ASGIApp:
        """Open the object and read the first chunk: for a small one, all that there is to do in a thread."""
        stored = self._open(request, _expected(request.headers.get("range", "")))
        try:
            headers = _checked_headers(request, stored)
            start, length, status = _wanted(request, stored, headers)
            body = Body(read_and_close(Source.whole(stored), start, length))
            return StreamResponse(
                body, headers=headers | {"Content-Length": str(length)}, status=status, first=body.fill()
            )
        except BaseException:
            stored.close()
            raise

    def _open(self, request: Request, part: tuple[int, int] | None) -> StoredObject:
        bucket, key = _target(request)
        try:
            if part is None:
                return self._store.open_object(bucket, key)
            return self._store.open_part(bucket, key, *part)
        except InvalidNameError:  # no object has such a name
            raise NoSuchObjectError(bucket, key) from None


def _target(request: Request) -> tuple[str, str]:
    return request.path_params["bucket"], request.path_params["name"]


def _expected(header: str) -> tuple[int, int] | None:
    """Return what will be read of an object by its Range, before its size is known; None for all."""
    match = _RANGE.fullmatch(header)
    if match is None:
        return None
    first, last = map(int, match.groups())
    return first, max(last + 1 - first, 0)


def _checked_headers(request: Request, stored: StoredObject) -> dict[str, str]:
    """Return what an answer says of the version of an object, if it is one that the client wants."""
    headers = {
        "Content-Type": "application/octet-stream",
        "ETag": f'"{stored.etag}"',
        "Last-Modified": formatdate(stored.mtime, usegmt=True),
        "Accept-Ranges": "bytes",
    }
    if not _matches(request.headers.get("if-match", "*"), stored.etag):
        raise S3Error(412, "PreconditionFailed", "the object's ETag is not one of If-Match")
    if _matches(request.headers.get("if-none-match", ""), stored.etag):
        raise S3Error(304, "NotModified", "", headers=headers)
    return headers


def _matches(header: str, etag: str) -> bool:
    # S3 takes an ETag without its quotes, too.
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")]
    return "*" in tags or etag in tags


def _wanted(request: Request, stored: StoredObject, headers: dict[str, str]) -> tuple[int, int, int]:
    """Return start, length and status; say in `headers` which part of the object it is."""
    # A range of another version than the one that the client has a part of would be spliced (RFC 9110
    # section 13.1.5).
    if not _matches(request.headers.get("if-range", "*"), stored.etag):
        return 0, stored.size, 200
    wanted = parse_range(request.headers.get("range", ""), stored.size)
    if wanted is None:
        return 0, stored.size, 200
    start, length = wanted
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{stored.size}"
    return start, length, 206
