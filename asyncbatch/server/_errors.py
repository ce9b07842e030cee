"""Answers to requests that fail: AIStore's JSON, as its clients parse it."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ._json import dump_json
from ._redirect import PROXY, TARGET, is_redirected
from ._store import (
    BucketExistsError,
    InvalidNameError,
    NameConflictError,
    NoSuchBucketError,
    NoSuchObjectError,
    ShardError,
    StoreError,
    UnsupportedError,
    UpstreamError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

__all__ = ["HANDLERS", "ApiError", "as_api_error"]

_STORE_ERRORS: Final[Mapping[type[StoreError], tuple[int, str]]] = {
    InvalidNameError: (400, ""),
    BucketExistsError: (409, "ErrBucketAlreadyExists"),
    NameConflictError: (409, ""),
    NoSuchBucketError: (404, "ErrBckNotFound"),
    NoSuchObjectError: (404, "ErrNotFound"),
    ShardError: (400, ""),
    UnsupportedError: (501, ""),
    UpstreamError: (502, ""),
}
_SYSTEM_ERRORS: Final = {
    errno.EACCES: 403,
    errno.EPERM: 403,
    errno.ENAMETOOLONG: 400,
    errno.ENOSPC: 507,
    errno.EDQUOT: 507,
}


class ApiError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status.
        message: For a human.
        code: AIStore's name for the error (its ``tcode``), or ``""``.
        headers: To be sent with it.
    """

    def __init__(
        self, status: int, message: str, *, code: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}


def as_api_error(error: StoreError | OSError) -> ApiError:
    """Return how a store's or the system's error is answered."""
    if isinstance(error, OSError):
        return ApiError(_SYSTEM_ERRORS.get(error.errno or 0, 500), f"{error.strerror or error}")
    status, code = _STORE_ERRORS[type(error)]
    # AIStore names the node in front of what is missing in it, and nowhere else.
    node = f"{TARGET}: " if isinstance(error, NoSuchObjectError) else ""
    return ApiError(status, f"{node}{error}", code=code)


async def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, (StoreError, OSError)):
        error = as_api_error(error)
    if not isinstance(error, ApiError):
        error = ApiError(500, f"internal error: {type(error).__name__}")
    facts = {
        "tcode": error.code,
        "message": error.message,
        "method": request.method,
        "url_path": request.scope["path"],
        "remote_addr": "{}:{}".format(*request.client) if request.client is not None else "",
        "caller": "",
        "node": TARGET if is_redirected(request) else PROXY,
        "status": error.status,
    }
    if not error.code:
        del facts["tcode"]
    headers = {"X-Content-Type-Options": "nosniff", **error.headers}
    if request.method == "HEAD":
        # A body is not allowed. A header is, but holds ASCII only.
        headers["Hdr-Error"] = json.dumps(facts, separators=(",", ":"))
    return Response(dump_json(facts), error.status, headers, "application/json")


async def _answer_unrouted(request: Request, _error: Exception) -> Response:
    return await _answer(request, ApiError(404, f"invalid URL path {request.scope['path']!r}"))


async def _answer_nobody(_request: Request, _error: Exception) -> Response:
    """Nobody is there to be answered: the client went away while it sent its request."""
    return Response(status_code=400)


HANDLERS: Final[Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]] = {
    ApiError: _answer,
    StoreError: _answer,
    OSError: _answer,
    HTTPException: _answer_unrouted,
    ClientDisconnect: _answer_nobody,
    Exception: _answer,
}
