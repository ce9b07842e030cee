"""Which bucket and object a request is about, and what it asks of a bucket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ._errors import ApiError
from ._store import InvalidNameError, NoSuchBucketError
from ._stream import read_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

__all__ = ["bucket_of", "check_path", "object_of", "provider_of", "read_action"]

_ALIASES: Final = {"": "ais", "s3": "aws", "gs": "gcp", "az": "azure", "oc": "oci"}
_GLOBAL: Final = {"", "#", "@#"}
_MAX_ACTION: Final = 1 << 20


def provider_of(name: str) -> str:
    """Return the provider that AIStore knows by this name, or alias, or no name at all."""
    return _ALIASES.get(name, name)


def bucket_of(request: Request) -> str:
    """Return the bucket of the request's path.

    Raises:
        NoSuchBucketError: for other providers and namespaces, of which there are none here.
        InvalidNameError: if it is not UTF-8.
    """
    bucket: str = request.path_params["bucket"]
    provider = provider_of(request.query_params.get("provider", ""))
    if provider != "ais":
        raise NoSuchBucketError(bucket, provider)
    namespace = request.query_params.get("namespace", "")
    if namespace not in _GLOBAL:
        raise NoSuchBucketError(f"{namespace}/{bucket}")
    check_path(request)
    return bucket


def check_path(request: Request) -> None:
    """Do nothing if the request's path says what was asked for.

    Raises:
        InvalidNameError: if it is not UTF-8.
    """
    # Bytes that are not UTF-8 have become U+FFFD: the same for all, and no longer what was asked for.
    if "\ufffd" in request.scope["path"] and b"%EF%BF%BD" not in request.scope.get("raw_path", b"").upper():
        raise InvalidNameError("a name in a URL is UTF-8")


def object_of(request: Request) -> tuple[str, str]:
    """Return the bucket and the object of the request's path."""
    return bucket_of(request), request.path_params["name"]


async def read_action(request: Request) -> tuple[str, Mapping[str, Any]]:
    """Return the action that the request's body names, and its value.

    Raises:
        ApiError: 400 if the body is no such thing.
    """
    body = await read_body(request, _MAX_ACTION)
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"invalid JSON in the body: {error}") from None
    action = message.get("action") if isinstance(message, dict) else None
    if not isinstance(action, str):
        raise ApiError(400, 'the body is not {"action": …}')
    value = message.get("value") or {}
    if not isinstance(value, dict):
        raise ApiError(400, f"the value of {action!r} is not an object")
    return action, value
