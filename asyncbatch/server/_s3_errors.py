"""Answers to requests of S3's that fail: its XML, and its names for what went wrong.

Source: AWS's S3 API Reference, "Error responses".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from ..tigris.wire import SignatureError
from ._errors import ApiError, as_api_error
from ._s3_xml import answer_xml, element, leaf
from ._store import (
    BucketExistsError,
    NameConflictError,
    NoSuchBucketError,
    NoSuchObjectError,
    StoreError,
)
from ._stream import CutError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from starlette.requests import Request

__all__ = ["FAILURES", "S3Error", "answer_error"]

# What the store says of it names AIStore's buckets.
_STORE_CODES: Final[Mapping[type[Exception], tuple[str, str]]] = {
    BucketExistsError: ("BucketAlreadyOwnedByYou", "the bucket exists already"),
    # Where keys are paths. S3 has no such thing, and no name for it.
    NameConflictError: ("KeyConflict", "a/b and a exclude each other here: another key stands in the way"),
    NoSuchBucketError: ("NoSuchBucket", "the specified bucket does not exist"),
    NoSuchObjectError: ("NoSuchKey", "the specified key does not exist"),
}
_CODES: Final = {
    400: "InvalidArgument",
    403: "AccessDenied",
    413: "EntityTooLarge",
    416: "InvalidRange",
    429: "SlowDown",
    501: "NotImplemented",
    503: "ServiceUnavailable",
    507: "InsufficientStorage",
}


class S3Error(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status.
        code: S3's name for it.
        message: For a human.
        headers: To be sent with it.
        details: Elements that its XML has besides.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        details: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}
        self.details = details


FAILURES: Final = (S3Error, ApiError, CutError, SignatureError, StoreError, OSError)
"""What `answer_error` answers."""

if TYPE_CHECKING:
    Failure: TypeAlias = S3Error | ApiError | CutError | SignatureError | StoreError | OSError


def answer_error(request: Request, error: Failure) -> Response:
    """Return the answer to a request that failed."""
    known = _as_s3_error(error)
    if request.method == "HEAD" or known.status == 304:
        return Response(status_code=known.status, headers=known.headers)
    facts = (
        leaf("Code", known.code),
        leaf("Message", known.message),
        leaf("Resource", request.scope["path"]),
        known.details,
    )
    return answer_xml(element("Error", *facts), known.status, known.headers)


def _as_s3_error(error: Failure) -> S3Error:
    if isinstance(error, S3Error):
        return error
    if isinstance(error, CutError):  # before anything was sent
        error = ApiError(503, f"try again: {error}")
    if isinstance(error, SignatureError):
        return S3Error(error.status, error.code, error.message)
    known = error if isinstance(error, ApiError) else as_api_error(error)
    code = _CODES.get(known.status, "InternalError")
    code, message = _STORE_CODES.get(type(error), (code, known.message))
    # S3 says 400 of what is too large.
    status = 400 if known.status == 413 else known.status
    return S3Error(status, code, message, headers=known.headers)
