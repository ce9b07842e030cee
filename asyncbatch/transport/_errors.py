"""httpx's errors in our tree, each keeping the original as its cause."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx

from ..errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["translated_errors"]

# What trying again cannot mend: the request itself, or the way it is sent, is wrong.
_PERMANENT: Final = (
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.DecodingError,
    httpx.TooManyRedirects,
    httpx.InvalidURL,
)
_HINTS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (httpx.ConnectTimeout, "no connection within the connect timeout: is the server up and reachable?"),
    (httpx.ConnectError, "cannot connect: is the server up, and the endpoint right?"),
    (httpx.PoolTimeout, "no connection of the pool became free within the pool timeout"),
    (httpx.ReadTimeout, "the server sent nothing within the read timeout"),
    (httpx.WriteTimeout, "the server took nothing within the write timeout"),
    (httpx.RemoteProtocolError, "the server broke off or broke HTTP"),
    (httpx.InvalidURL, "the URL is malformed"),
    (httpx.UnsupportedProtocol, "the URL's scheme is not http or https"),
)


@contextmanager
def translated_errors(what: str) -> Iterator[None]:
    """Raise httpx's errors as `TransportError`, telling `what` was being done."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        hint = next((text for kind, text in _HINTS if isinstance(error, kind)), "the transfer failed")
        detail = str(error) or type(error).__name__
        raise TransportError(
            f"{what}: {hint} ({detail})", retryable=not isinstance(error, _PERMANENT)
        ) from error
