"""Errors of httpx, and of httpx2 by the same names, in our tree: each keeps the original as its cause."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ..errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["kinds_of", "translated_errors"]

_PACKAGES: Final = frozenset({"httpx", "httpx2"})
_OURS_TO_TRANSLATE: Final = frozenset({"HTTPError", "InvalidURL", "StreamError"})
# What trying again cannot mend: the request itself, or the way it is sent, is wrong.
_PERMANENT: Final = frozenset(
    {"UnsupportedProtocol", "LocalProtocolError", "DecodingError", "TooManyRedirects", "InvalidURL"}
)
_HINTS: Final = {
    "ConnectTimeout": "no connection within the connect timeout: is the server up and reachable?",
    "ConnectError": "cannot connect: is the server up, and the endpoint right?",
    "PoolTimeout": "no connection of the pool became free within the pool timeout",
    "ReadTimeout": "the server sent nothing within the read timeout",
    "WriteTimeout": "the server took nothing within the write timeout",
    "RemoteProtocolError": "the server broke off or broke HTTP",
    "InvalidURL": "the URL is malformed",
    "UnsupportedProtocol": "the URL's scheme is not http or https",
}


def kinds_of(error: BaseException | None) -> frozenset[str]:
    """Return the names of what an error of httpx is, such as ``"ReadTimeout"`` and ``"TransportError"``.

    A user's own client may be httpx2's, whose classes are others.
    """
    mro = type(error).__mro__
    return frozenset(kind.__name__ for kind in mro if kind.__module__.partition(".")[0] in _PACKAGES)


@contextmanager
def translated_errors(what: object) -> Iterator[None]:
    """Raise httpx's errors as `TransportError`, telling `what` was being done."""
    try:
        yield
    except Exception as error:
        kinds = kinds_of(error)
        if not kinds & _OURS_TO_TRANSLATE:
            raise
        hint = next((text for kind, text in _HINTS.items() if kind in kinds), "the transfer failed")
        detail = str(error) or type(error).__name__
        raise TransportError(f"{what}: {hint} ({detail})", retryable=not kinds & _PERMANENT) from error
