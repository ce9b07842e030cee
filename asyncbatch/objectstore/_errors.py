"""What obstore raises, put into the terms of this library.

obstore tells most of it by text: the class of an error says whether something is missing or forbidden, and
the message has the status, the server's words, and what the system said. The message ends with obstore's own
view of the error, for those who debug it.
"""

from __future__ import annotations

import errno
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ..errors import (
    AuthenticationError,
    BucketNotFoundError,
    ObjectNotFoundError,
    OverloadedError,
    RemoteError,
    TransportError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..errors import AsyncBatchError

__all__ = ["NO_SUCH_RANGE", "cause_of", "explain", "is_of_obstore", "no_such_range", "translating"]

NO_SUCH_RANGE: Final = "InvalidRange"
"""The code of an error about a range that is not in the object; S3's own."""

_DEBUG: Final = "\n\nDebug source:"
_STATUS: Final = re.compile(r"status code: ([0-9]{3}) ?([^:\n]*)(?:: ?(.*))?", re.DOTALL)
# S3, Google and Azure write their errors alike.
_CODE: Final = re.compile(r"<Code>([^<]{1,100})</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]{1,500})")
_OS_ERROR: Final = re.compile(r"\(os error ([0-9]+)\)")
_KIND: Final = re.compile(r"kind: (Connect|Timeout|Interrupted|Request|Decode)\b")
_CAUSE: Final = re.compile(r'(?:message|error): "([^"]{1,200})"')
_QUERY: Final = re.compile(r"(https?://[^\s?]{0,4096})\?[^\s,]+")
_SIGNATURE: Final = re.compile(r"\b(?:sig|X-\w+-Signature|X-\w+-Credential)=", re.IGNORECASE)
_MAX_SHOWN: Final = 500  # characters of a server's words

_NO_BUCKET: Final = frozenset({"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"})
# With status 400, where 401 or 403 were to be expected.
_NO_ACCESS: Final = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestExpired"})
_RETRYABLE: Final = frozenset({408, 409, 500, 502, 504})
_OVERLOADED: Final = frozenset({429, 503})
# What the system says of a path under which there can be no file.
_NO_FILE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP})
_NO_RIGHT: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE})
# Where instances of clouds have their credentials from: asked when there are no others.
_METADATA_HOSTS: Final = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")


def is_of_obstore(error: Exception) -> bool:
    """Whether an error is one that obstore raises, and not a mistake of ours."""
    return type(error).__module__.startswith("obstore") or isinstance(error, OSError | ValueError)


def cause_of(error: Exception) -> Exception | None:
    """Return an error to be chained as a cause, or None if it shows a signature that gives access."""
    return None if _SIGNATURE.search(str(error)) else error


@contextmanager
def translating(url: str, *, bucket: str, name: str | None = None) -> Iterator[None]:
    """Raise what `explain` makes of an error of obstore inside the ``with``."""
    try:
        yield
    except Exception as error:
        if not is_of_obstore(error):
            raise
        raise explain(error, url, bucket=bucket, name=name) from cause_of(error)


def explain(error: Exception, url: str, *, bucket: str, name: str | None = None) -> AsyncBatchError:
    """Return an error of this library for one that obstore raised.

    Args:
        error: What obstore raised.
        url: What was asked, for the error.
        bucket: The bucket concerned.
        name: The object concerned, if it is one.
    """
    text, _, debug = str(error).partition(_DEBUG)
    text = _QUERY.sub(r"\1", text)
    if any(host in text for host in _METADATA_HOSTS):
        return AuthenticationError(
            status=401, message=f"there are no credentials: {text[:_MAX_SHOWN]}", url=url, bucket=bucket
        )
    status, code, message = _read_status(error, text)
    if status == 404 and not code:  # of no server: the words of a system, or of obstore
        message = f"{url} does not exist"
    if status:
        about = {"status": status, "code": code, "message": message, "url": url}
        return _explain_answer(about, bucket, name)
    if isinstance(error, ValueError):
        return UsageError(f"{url}: {text}")
    if "BadScheme" in debug:
        return UsageError(
            f"{url}: the endpoint is plain http, which has to be allowed: "
            "client_options={'allow_http': True}, or AWS_ALLOW_HTTP=true"
        )
    if "HTTP error" in text:
        return _explain_loss(text, debug, url)
    return RemoteError(status=500, message=text[:_MAX_SHOWN], url=url)


def _explain_answer(about: dict[str, Any], bucket: str, name: str | None) -> RemoteError:
    """Return what an answer means that is an error, or would be one of a server."""
    status, code = about["status"], about["code"]
    if status == 404:
        if name is None or code in _NO_BUCKET:
            return BucketNotFoundError(**about, bucket=bucket)
        return ObjectNotFoundError(**about, name=name, bucket=bucket)
    if status in {401, 403} or (status == 400 and code in _NO_ACCESS):
        return AuthenticationError(**about, name=name, bucket=bucket)
    if status in _OVERLOADED:
        return OverloadedError(**about, name=name, bucket=bucket, retryable=True)
    if status == 416:
        return RemoteError(**about | {"code": NO_SUCH_RANGE})
    return RemoteError(**about, retryable=status in _RETRYABLE)


def _read_status(error: Exception, text: str) -> tuple[int, str, str]:
    """Return status, code and message; status 0 if there was no answer, or nobody to give one."""
    if (match := _STATUS.search(text)) is not None:
        body = match[3] or ""
        code, words = _CODE.search(body), _MESSAGE.search(body)
        message = words[1] if words else body or match[2]
        return int(match[1]), code[1] if code else "", message.strip()[:_MAX_SHOWN]
    kinds = {kind.__name__ for kind in type(error).__mro__}
    system = _OS_ERROR.search(text)
    number = int(system[1]) if system else getattr(error, "errno", None) or 0
    status = 0
    if "FileNotFoundError" in kinds or number in _NO_FILE:
        status = 404
    elif "PermissionDeniedError" in kinds or number in _NO_RIGHT:
        status = 403
    elif "UnauthenticatedError" in kinds:
        status = 401
    elif "PreconditionError" in kinds:
        status = 412
    elif "NotSupportedError" in kinds:
        status = 501
    elif number in _NO_DESCRIPTOR:
        status = 503
    elif "range was invalid" in text or "Invalid range" in text or "Out of range" in text:
        status = 416
    elif "non-partial response" in text:
        status = 200
    return status, "", text.strip()[:_MAX_SHOWN]


def _explain_loss(text: str, debug: str, url: str) -> TransportError:
    """Return what a lost connection, or none at all, means."""
    kind, cause = _KIND.search(debug), _CAUSE.search(debug)
    reason = cause[1] if cause else kind[1].lower() if kind else text[:_MAX_SHOWN]
    return TransportError(f"{url}: {reason}", retryable=kind is not None)


def no_such_range(url: str, start: int, length: int | None, size: int) -> RemoteError:
    """Return the error about a range that is not wholly in an object of `size` bytes."""
    wanted = "all" if length is None else f"{length} bytes"
    return RemoteError(
        status=416,
        code=NO_SUCH_RANGE,
        message=f"{wanted} from byte {start} on cannot be had: it has {size} bytes",
        url=url,
    )
