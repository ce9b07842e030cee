"""What the clients that speak HTTP do alike with every request, and with every answer that is an error."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

import httpx

from ..errors import TransportError, UsageError
from ._http import public_url, read_start, send
from ._retry import parse_retry_after

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping

__all__ = ["Sender", "read_error", "retry_after_of"]

_MAX_ERROR_BODY: Final = 65_536  # bytes; what is behind them says nothing more
_SHOWN: Final = 100  # characters of what is too long


class Sender:
    """Sends a client's requests to its server, all in one event loop, and tells the log of each.

    Args:
        http: What sends.
        endpoint: URL of the server, as `parse_endpoint` returns it.
        logger: The client's.
    """

    def __init__(self, http: httpx.AsyncClient, endpoint: httpx.URL, *, logger: logging.Logger) -> None:
        self._http = http
        self._endpoint = endpoint
        self._logger = logger
        self._loop: asyncio.AbstractEventLoop | None = None  # that of the first request

    def url(self, path: str, query: str) -> httpx.URL:
        """Return a URL at the server.

        Args:
            path: Quoted, from the endpoint on.
            query: Quoted; ``""`` for none.

        Raises:
            UsageError: if it is too long for any.
        """
        target = self._endpoint.raw_path.decode("ascii").rstrip("/") + path
        if query:
            target = f"{target}?{query}"
        try:
            return self._endpoint.copy_with(raw_path=target.encode("ascii"))
        except httpx.InvalidURL as error:  # longer than 64 KiB
            raise UsageError(f"{path[:_SHOWN]}…: {error}") from error

    def make(
        self,
        method: str,
        url: httpx.URL,
        *,
        headers: Mapping[str, str],
        body: bytes | AsyncIterable[bytes] | None,
    ) -> httpx.Request:
        """Make a request, with what the client `http` adds to each."""
        # A user's client may be httpx2's, which has a URL class of its own.
        same = isinstance(self._http, httpx.AsyncClient)
        place = url if same else str(url)
        return self._http.build_request(method, place, headers=headers, content=body)

    async def send(self, request: httpx.Request, *, anonymous: bool = False) -> httpx.Response:
        """Send a request as `transport.send` does, and raise what it raises.

        Raises:
            UsageError: also if the first request was sent in another event loop.
        """
        loop = asyncio.get_running_loop()
        if self._loop not in {None, loop}:
            # Connections that were kept belong to the first loop, and fail in any other in ways of their own.
            raise UsageError("this client was used in another event loop; make one in each asyncio.run()")
        self._loop = loop
        begin = time.perf_counter()
        response = await send(self._http, request, anonymous=anonymous)
        if self._logger.isEnabledFor(logging.DEBUG):
            seconds = time.perf_counter() - begin
            url = public_url(request.url)
            self._logger.debug("%s %s: %d after %.3f s", request.method, url, response.status_code, seconds)
        return response


async def read_error(response: httpx.Response, maximum: int = _MAX_ERROR_BODY) -> bytes:
    """Read the body of an error, up to about `maximum` bytes of it; nothing if it breaks off."""
    try:
        return await read_start(response, maximum)
    except TransportError:
        return b""  # the status says enough


def retry_after_of(response: httpx.Response) -> float | None:
    """Return how many seconds an answer asks to wait before the request is sent again, if it does."""
    return parse_retry_after(response.headers.get("retry-after"), now=time.time())
