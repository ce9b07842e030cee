"""AIStore's error answers, made into typed errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ...errors import (
    AuthenticationError,
    BucketNotFoundError,
    ObjectNotFoundError,
    OverloadedError,
    RemoteError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NO_SUCH_RANGE", "parse_error"]

NO_SUCH_RANGE: Final = "ErrRangeNotSatisfiable"
"""The code of the error for a range that is not in its object."""

_MAX_MESSAGE: Final = 500  # characters, of an answer that is not AIStore's
# 409: the job that should have answered ended meanwhile, and the next request starts another.
_RETRYABLE: Final = frozenset({408, 409, 429, 500, 502, 503, 504})


def parse_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    url: str,
    name: str | None = None,
    bucket: str | None = None,
    retry_after: float | None = None,
) -> RemoteError:
    """Make the error that an answer of status 400 or more stands for.

    Args:
        status: HTTP status.
        headers: Of the answer; `Hdr-Error` has the error where a HEAD leaves no body.
        body: Of the answer: AIStore's JSON, or whatever a proxy in between has to say.
        url: What was asked, without query.
        name: The object concerned, if it is one.
        bucket: The bucket concerned, if it is one.
        retry_after: Seconds to wait, if the answer says so.
    """
    facts = _parse_json(headers.get("hdr-error") or body)
    code = str(facts.get("tcode") or "")
    message = str(facts.get("message") or _as_text(body) or "the server gave no reason")
    about: dict[str, Any] = {"status": status, "code": code, "message": message, "url": url}
    if status == 404 and code == "ErrBckNotFound":
        return BucketNotFoundError(**about, bucket=bucket)
    # A gateway's own page of status 404 says nothing of an object. An empty body is that of a HEAD.
    if status == 404 and name is not None and (facts or not body):
        return ObjectNotFoundError(**about, name=name, bucket=bucket)
    if status in {401, 403}:
        return AuthenticationError(**about, name=name, bucket=bucket)
    if status in {429, 503}:
        return OverloadedError(**about, retryable=True, retry_after=retry_after, name=name, bucket=bucket)
    return RemoteError(**about, retryable=status in _RETRYABLE, retry_after=retry_after)


def _parse_json(text: str | bytes) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):  # not JSON, or made to be nested without end
        return {}
    return facts if isinstance(facts, dict) else {}


def _as_text(body: bytes) -> str:
    text = " ".join(body.decode("utf-8", "replace").split())
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}…"
