"""The error tree, branched by who must act.

=========================== =============================================================
`UsageError`                the caller: the request could never work; nothing was sent
`FormatError`               the producer of the bytes: malformed, truncated or unsupported
`LimitExceededError`        the caller or the producer: raise the limit, or distrust the input
`RemoteError`               the server answered with an error
`TransportError`            the network: no answer, or half of one
`IncompleteBatchError`      a batch that could not be completed
=========================== =============================================================

Every error carries its facts as attributes and pickles with them; causes are chained (`__cause__`) but,
since a cause may hold sockets, not pickled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AsyncBatchError",
    "AuthenticationError",
    "BucketNotFoundError",
    "FormatError",
    "IncompleteBatchError",
    "LimitExceededError",
    "ObjectNotFoundError",
    "OverloadedError",
    "RemoteError",
    "TransportError",
    "TruncatedArchiveError",
    "UnsupportedFormatError",
    "UsageError",
]


_MAX_SHOWN = 200  # characters of a name


def _rebuild(
    cls: type[AsyncBatchError], args: tuple[object, ...], attributes: dict[str, Any]
) -> AsyncBatchError:
    """Make an error again from its pickle, without calling an `__init__` whose arguments are gone."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(attributes)
    return error


def _shown(name: str) -> str:
    """Quote a member's name for a message; it may be of any length."""
    return repr(name) if len(name) <= _MAX_SHOWN else f"{name[:_MAX_SHOWN]!r}…"


class AsyncBatchError(Exception):
    """Base of every error that this library raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class UsageError(AsyncBatchError, ValueError):
    """A call that could never work, refused before anything was sent.

    Attributes:
        index: Position of the offending entry in the request, or None if no entry is to blame.
    """

    def __init__(self, message: str, *, index: int | None = None) -> None:
        super().__init__(message if index is None else f"entry {index}: {message}")
        self.index = index


class FormatError(AsyncBatchError):
    """Bytes that are not what their format says.

    Attributes:
        codec: The decoder that refused them, such as ``"tar"`` or ``"gzip"``.
        offset: Where, in bytes from the start of that decoder's input.
        reason: What is wrong, without the place.
        member: Name of the archive member concerned, or None.
    """

    def __init__(self, reason: str, *, codec: str, offset: int, member: str | None = None) -> None:
        where = f" (member {_shown(member)})" if member is not None else ""
        super().__init__(f"{codec}: {reason} at byte {offset}{where}")
        self.codec = codec
        self.offset = offset
        self.reason = reason
        self.member = member


class TruncatedArchiveError(FormatError):
    """Input that ended before its format says it may: what was delivered is good, more is missing."""


class UnsupportedFormatError(FormatError):
    """Well-formed input that this library does not decode, such as a sparse tar member."""


class LimitExceededError(AsyncBatchError):
    """A bound of `Limits` was met: before anything was allocated for the value that exceeds it.

    Attributes:
        limit: Name of the field of `Limits`.
        value: What the input asked for.
        maximum: What the limit allows.
    """

    def __init__(self, limit: str, value: float, maximum: float, *, what: str) -> None:
        super().__init__(
            f"{what}: {value} exceeds {limit}={maximum}; if you trust this input, pass Limits({limit}=…)"
        )
        self.limit = limit
        self.value = value
        self.maximum = maximum


class RemoteError(AsyncBatchError):
    """An error answer of the server.

    Attributes:
        status: HTTP status.
        code: The server's own code for the error, such as ``"ErrBckNotFound"``; ``""`` if it gave none.
        message: The server's own words.
        url: What was asked, without query.
        retryable: Whether the same request may succeed later.
        retry_after: Seconds after which, if the server said so.
    """

    def __init__(
        self,
        *,
        status: int,
        message: str,
        code: str = "",
        url: str = "",
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            f"HTTP {status}{f' {code}' if code else ''}{f' from {url}' if url else ''}: {message}"
        )
        self.status = status
        self.code = code
        self.message = message
        self.url = url
        self.retryable = retryable
        self.retry_after = retry_after


class _NamedRemoteError(RemoteError):
    """A `RemoteError` about a bucket, or about an object in it.

    Attributes:
        name: The object, or None if the error concerns the bucket or the whole request.
        bucket: The bucket, or None if the request named none.
    """

    def __init__(
        self,
        *,
        status: int,
        message: str,
        code: str = "",
        url: str = "",
        retryable: bool = False,
        retry_after: float | None = None,
        name: str | None = None,
        bucket: str | None = None,
    ) -> None:
        super().__init__(
            status=status,
            message=message,
            code=code,
            url=url,
            retryable=retryable,
            retry_after=retry_after,
        )
        self.name = name
        self.bucket = bucket


class ObjectNotFoundError(_NamedRemoteError):
    """404: the object, or the file inside a shard, does not exist."""


class BucketNotFoundError(_NamedRemoteError):
    """404: the bucket does not exist."""


class AuthenticationError(_NamedRemoteError):
    """401 or 403: no credentials, wrong ones, or not enough rights."""


class OverloadedError(_NamedRemoteError):
    """429 or 503: the server asks for less, or is not up yet. Always retryable."""


class TransportError(AsyncBatchError):
    """The connection failed or timed out; its cause is the `httpx` error.

    Attributes:
        retryable: Whether trying again may help (not so for a URL that cannot be parsed, say).
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class IncompleteBatchError(AsyncBatchError):
    """A batch that could not be completed. What was delivered before is whole and right.

    Attributes:
        delivered: Number of items that were handed out: the first `delivered` entries of the request.
        missing: The entries of the request that were not delivered, in order.
        items: From `BatchStream.read_all()`, the items that were received; else empty.
    """

    def __init__(
        self, reason: str, *, delivered: int, missing: Sequence[Any], items: Sequence[Any] = ()
    ) -> None:
        super().__init__(
            f"{reason}; {delivered} of {delivered + len(missing)} items were delivered: "
            "ask again for the rest, which `missing` lists"
        )
        self.delivered = delivered
        self.missing = tuple(missing)
        self.items = tuple(items)
