"""What the environment says about timeouts and connections, by the names that the official SDK has for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import httpx

from ..errors import UsageError
from ..transport import DEFAULT_TIMEOUT, open_http_client
from ._tls import ssl_context_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

__all__ = ["max_connections_of", "open_http_client_of", "timeout_of"]


def open_http_client_of(
    environment: Mapping[str, str],
    *,
    timeout: float | httpx.Timeout | None,
    ssl_context: ssl.SSLContext | None,
    max_connections: int | None = None,
) -> httpx.AsyncClient:
    """Make an HTTP client as a user asks for it, and for the rest as the environment does.

    Args:
        environment: The variables.
        timeout: The user's; `DEFAULT_TIMEOUT` itself if there is none.
        ssl_context: The user's, if there is one.
        max_connections: As `open_http_client` takes it.

    Raises:
        UsageError: for variables that make no sense.
    """
    return open_http_client(
        timeout=timeout_of(environment) if timeout is DEFAULT_TIMEOUT else timeout,
        ssl_context=ssl_context or ssl_context_of(environment),
        max_connections=max_connections,
    )


def timeout_of(environment: Mapping[str, str]) -> httpx.Timeout:
    """Return the timeouts that ``AIS_CONNECT_TIMEOUT`` and ``AIS_READ_TIMEOUT`` ask for, in seconds.

    0 stands for no limit. What they do not say is as in `DEFAULT_TIMEOUT`.

    Raises:
        UsageError: for what is no number of seconds; it names the variable.
    """
    return httpx.Timeout(
        connect=_seconds(environment, "AIS_CONNECT_TIMEOUT", DEFAULT_TIMEOUT.connect),
        read=_seconds(environment, "AIS_READ_TIMEOUT", DEFAULT_TIMEOUT.read),
        write=DEFAULT_TIMEOUT.write,
        pool=DEFAULT_TIMEOUT.pool,
    )


def _seconds(environment: Mapping[str, str], name: str, default: float | None) -> float | None:
    text = environment.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise UsageError(f"{name}={text!r}: it is a number of seconds, or 0 for no limit")
    return seconds or None


def max_connections_of(environment: Mapping[str, str]) -> int | None:
    """Return how many connections ``AIS_MAX_CONN_POOL`` allows; None if it says nothing.

    Raises:
        UsageError: for what is no such number; it names the variable.
    """
    text = environment.get("AIS_MAX_CONN_POOL")
    if not text:
        return None
    try:
        maximum = int(text)
    except ValueError:
        maximum = 0
    if maximum < 1:
        raise UsageError(f"AIS_MAX_CONN_POOL={text!r}: it is a number of connections, at least 1")
    return maximum
