"""Error answers of S3 and of Tigris's bundles, made into typed errors that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...errors import (
    AuthenticationError,
    BucketNotFoundError,
    FormatError,
    ObjectNotFoundError,
    OverloadedError,
    RemoteError,
)
from ._xml import parse_xml

if TYPE_CHECKING:
    from ._xml import Element

__all__ = ["EXPIRED", "NO_SUCH_RANGE", "BundleError", "bundle_error_of", "parse_error"]

NO_SUCH_RANGE: Final = "InvalidRange"
"""The code of the error for a range that is not in its object."""

EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
"""Codes of credentials that were good once, and that others may have taken the place of."""

_MAX_MESSAGE: Final = 500  # characters, of an answer that is no error document
# 409 is OperationAborted, of two changes at a time; the server says which other ones there are by their code.
_RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})
_RETRYABLE_CODES: Final = frozenset({"OperationAborted", "RequestTimeout", "SlowDown", "InternalError"})
# Amazon S3 API Reference, "List of error codes"; and what to do about those that are the user's to mend.
_ADVICE: Final = {
    "RequestTimeTooSkewed": "set this machine's clock, which is more than 15 minutes off",
    "ExpiredToken": "the session token has expired: get new credentials",
    "ExpiredTokenException": "the session token has expired: get new credentials",
    "TokenRefreshRequired": "the session token has expired: get new credentials",
    "InvalidToken": "the session token is malformed, or belongs to another key",
    "InvalidAccessKeyId": "the server knows no such access key: are the credentials those of this endpoint?",
    "SignatureDoesNotMatch": "the secret key is wrong, or something in between has changed the request",
    "AuthorizationHeaderMalformed": "pass region=, as the server's message has it",
    "AccessDenied": "the key lacks a right to this; a bundle takes s3:GetObject",
}
_NO_ADVICE: Final = "check the credentials, and what they are allowed"
_SHOWN_KEYS: Final = 3  # of those that are missing, in an error's text
_REDIRECT: Final = "it is elsewhere: pass endpoint_url= or region= of that place"


class BundleError(RemoteError):
    """A bundle that was refused as a whole, such as one in fail mode for keys that do not exist.

    Attributes:
        body: The answer, as far as it is of use.
        missing_keys: The keys that do not exist, as far as the server names them.
        request_id: What the server calls the request, if it says so.
    """

    def __init__(
        self,
        *,
        body: str,
        missing_keys: tuple[str, ...] = (),
        request_id: str | None = None,
        **about: Any,  # noqa: ANN401 - of RemoteError
    ) -> None:
        super().__init__(**about)
        self.body = body
        self.missing_keys = missing_keys
        self.request_id = request_id

    def __str__(self) -> str:
        names = ", ".join(map(repr, self.missing_keys[:_SHOWN_KEYS]))
        more = len(self.missing_keys) - _SHOWN_KEYS
        missing = f"; missing: {names}{f' and {more} more' if more > 0 else ''}" if names else ""
        return f"{super().__str__()}{missing}"

    @property
    def status_code(self) -> int:
        """HTTP status, by the name that the official SDK has for it."""
        return self.status


def parse_error(
    status: int,
    body: bytes,
    *,
    url: str,
    name: str | None = None,
    bucket: str | None = None,
    retry_after: float | None = None,
    location: str | None = None,
) -> RemoteError:
    """Make the error that an answer of status 300 or more stands for.

    Args:
        status: HTTP status.
        body: Of the answer: an error document, nothing for a HEAD, or whatever a proxy in between has to say.
        url: What was asked, without query.
        name: The object concerned, if it is one.
        bucket: The bucket concerned, if it is one.
        retry_after: Seconds to wait, if the answer says so.
        location: Where a redirect leads, for people; they are not followed, signed as requests are.
    """
    document = _parse_document(body)
    code, message = _facts(document)
    message = message or _as_text(body) or "the server gave no reason"
    about: dict[str, Any] = {"status": status, "code": code, "url": url, "message": message}
    if 300 <= status < 400:
        where = f" ({location})" if location else ""
        return RemoteError(**about | {"message": f"{message}; {_REDIRECT}{where}"})
    if code in _ADVICE or status in {401, 403}:
        # RequestTimeTooSkewed and its like come as 403, ExpiredToken as 400.
        advice = _ADVICE.get(code, _NO_ADVICE)
        return AuthenticationError(**about | {"message": f"{message}; {advice}"}, name=name, bucket=bucket)
    if status == 404 and (code == "NoSuchBucket" or (name is None and not body)):
        return BucketNotFoundError(**about, bucket=bucket)
    # A gateway's own page of status 404 says nothing of an object. An empty body is that of a HEAD.
    if status == 404 and name is not None and (code or not body):
        return ObjectNotFoundError(**about, name=name, bucket=bucket)
    if status in {429, 503} or code == "SlowDown":
        return OverloadedError(**about, retryable=True, retry_after=retry_after, name=name, bucket=bucket)
    retryable = status in _RETRYABLE or code in _RETRYABLE_CODES
    return RemoteError(**about, retryable=retryable, retry_after=retry_after)


def bundle_error_of(error: RemoteError, body: bytes) -> RemoteError:
    """Return what the error of an answer means to the request of a bundle.

    One that says who asks, that the bucket is none, or that the server has too much to do, is what it is
    anywhere; any other is a `BundleError`.

    Args:
        error: As `parse_error` has it.
        body: Of the answer.
    """
    if isinstance(error, AuthenticationError | BucketNotFoundError | OverloadedError) or error.status < 400:
        return error
    document = _parse_document(body)
    missing = None if document is None else document.find("MissingKeys")
    return BundleError(
        status=error.status,
        code=error.code,
        message=error.message,
        url=error.url,
        retryable=error.retryable,
        retry_after=error.retry_after,
        body=body.decode("utf-8", "replace"),
        missing_keys=() if missing is None else tuple(key.text for key in missing.all("Key")),
        request_id=None if document is None else document.text_of("RequestId"),
    )


def _parse_document(body: bytes) -> Element | None:
    """Return the error document that a body is; None if it is none."""
    try:
        document = parse_xml(body)
    except FormatError:
        return None
    # "Error" alone is S3's; other services of the kind put it into a response.
    return document if document.name == "Error" else document.find("Error")


def _facts(document: Element | None) -> tuple[str, str]:
    if document is None:
        return "", ""
    return document.text_of("Code") or "", document.text_of("Message") or ""


def _as_text(body: bytes) -> str:
    text = " ".join(body.decode("utf-8", "replace").split())
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}…"
