"""One request to an AIStore cluster: through the proxy's redirect to the target, errors typed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar

import httpx

from ..errors import RemoteError, TransportError, UsageError
from ..transport import parse_retry_after, public_url, read_body, read_start, retried, send
from .wire import parse_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable

    from ..limits import Limits
    from ..transport import RetryPolicy
    from .wire import WireRequest

__all__ = ["Connection"]

_T = TypeVar("_T")

_REDIRECTS: Final = frozenset({301, 302, 307, 308})
# A proxy sends to a target; a proxy that is not the primary may send to the primary first.
_MAX_REDIRECTS: Final = 2
# Doing them twice is doing them once. DELETE would be, but for its answer: what is gone cannot be found.
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT"})
_MAX_ERROR_BODY: Final = 65_536  # bytes; what is behind them says nothing more


class Connection:
    """Sends requests to an AIStore endpoint.

    AIStore's redirects are followed here, by hand: a GET's body must be sent again, each redirect is good for
    one use, and none may be remembered.

    Args:
        endpoint: URL of a proxy.
        http: What sends.
        limits: Bounds on what is held in memory.
        retry: When to try again.

    Raises:
        UsageError: if the endpoint is no http or https URL.
    """

    def __init__(self, endpoint: str, http: httpx.AsyncClient, *, limits: Limits, retry: RetryPolicy) -> None:
        try:
            url = httpx.URL(endpoint)
            usable = _is_usable(url)
        except (httpx.InvalidURL, UnicodeError) as error:  # UnicodeError: of a host that only looks like IDNA
            raise UsageError(f"endpoint {endpoint!r} is no URL: {error}") from error
        if not usable:
            raise UsageError(f"endpoint {endpoint!r}: it is like http://localhost:8080")
        self.endpoint = url.copy_with(query=None, fragment=None)
        self.limits = limits
        self._retry = retry
        self._http = http
        self._loop: asyncio.AbstractEventLoop | None = None  # that of the first request

    async def open(self, request: WireRequest) -> httpx.Response:
        """Send a request and return its answer, the body still to be read and the response to be closed.

        Raises:
            RemoteError: if the answer is an error, after all that the retry policy allows.
            TransportError: if there is none.
        """
        return await self._retried(request, lambda: self._open(request))

    async def _retried(self, request: WireRequest, attempt: Callable[[], Awaitable[_T]]) -> _T:
        what = f"{request.method} {public_url(self._url(request))}"
        return await retried(attempt, self._retry, what=what, idempotent=request.method in _IDEMPOTENT)

    async def _open(self, request: WireRequest) -> httpx.Response:
        response = await self._send(self._make(request, self._url(request), request.body))
        for _ in range(_MAX_REDIRECTS):
            if response.status_code not in _REDIRECTS:
                break
            url = await self._target(response)
            response = await self._send(self._make(request, url, request.body))
        await self._raise_for_status(request, response)
        return response

    async def read(self, request: WireRequest) -> tuple[httpx.Response, bytes]:
        """Send a request and return its answer, closed, and the whole of its body.

        Raises:
            LimitExceededError: if the body is larger than `max_item_size`.
            RemoteError, TransportError: as `open` does.
        """
        return await self._retried(request, lambda: self._read(request))

    async def _read(self, request: WireRequest) -> tuple[httpx.Response, bytes]:
        response = await self._open(request)
        maximum = self.limits.max_item_size
        return response, await read_body(response, maximum=maximum, what=f"answer to {request.path}")

    async def upload(
        self, request: WireRequest, body: bytes | AsyncIterable[bytes], size: int | None
    ) -> None:
        """Send a request whose body may be large or a stream: once, to the target that the proxy names.

        Args:
            request: Without its body.
            body: To be read once.
            size: Bytes of the body if it is a stream of known length.

        Raises:
            RemoteError, TransportError: as `open` does. A stream is read once, and so is not sent again.
        """
        if not isinstance(body, bytes):
            await self._upload(request, await self._place(request), body, size)
            return
        redirects = True

        async def attempt() -> None:
            nonlocal redirects
            # Where nobody is redirected, the empty body of the question would replace what was stored.
            url = await self._place(request) if redirects else self._url(request)
            redirects = url != self._url(request)
            await self._upload(request, url, body, None)

        await self._retried(request, attempt)

    async def _place(self, request: WireRequest) -> httpx.URL:
        """Ask the proxy where a body is to go."""
        url = self._url(request)
        response = await self._send(self._make(request, url, b""))
        if response.status_code in _REDIRECTS:
            return await self._target(response)
        # A server that redirects nobody took the empty body for the object; the real one replaces it.
        await self._raise_for_status(request, response)
        await response.aclose()
        return url

    async def _upload(
        self, request: WireRequest, url: httpx.URL, body: bytes | AsyncIterable[bytes], size: int | None
    ) -> None:
        upload = self._make(request, url, body)
        if size is not None:
            upload.headers["content-length"] = str(size)
            upload.headers.pop("transfer-encoding", None)
        response = await self._send(upload)
        await self._raise_for_status(request, response)
        await response.aclose()

    async def _send(self, request: httpx.Request) -> httpx.Response:
        loop = asyncio.get_running_loop()
        if self._loop not in {None, loop}:
            # Connections that were kept belong to the first loop, and fail in any other in ways of their own.
            raise UsageError("this client was used in another event loop; make one in each asyncio.run()")
        self._loop = loop
        return await send(self._http, request)

    def _url(self, request: WireRequest) -> httpx.URL:
        path = self.endpoint.raw_path.decode("ascii").rstrip("/") + request.path
        if request.query:
            path = f"{path}?{httpx.QueryParams(request.query)}"
        return self.endpoint.copy_with(raw_path=path.encode("ascii"))

    def _make(
        self, request: WireRequest, url: httpx.URL, body: bytes | AsyncIterable[bytes] | None
    ) -> httpx.Request:
        # A user's client may be httpx2's, which has a URL class of its own.
        same = isinstance(self._http, httpx.AsyncClient)
        place = url if same else str(url)
        return self._http.build_request(request.method, place, headers=dict(request.headers), content=body)

    async def _target(self, response: httpx.Response) -> httpx.URL:
        """Return where a redirect leads; read the rest of it, so that its connection can be used again."""
        await read_start(response, _MAX_ERROR_BODY)
        location = response.headers.get("location")
        # What cannot be parsed at all, httpx refused.
        if location and _is_usable(url := httpx.URL(str(response.url)).join(location)):
            return url
        raise RemoteError(
            status=response.status_code,
            message=f"redirected to {location!r}, which is no URL to go to",
            url=public_url(response.url),
        )

    async def _raise_for_status(self, request: WireRequest, response: httpx.Response) -> None:
        if response.is_success:
            return
        try:
            body = await read_start(response, _MAX_ERROR_BODY)
        except TransportError:
            body = b""  # the status says enough
        raise parse_error(
            response.status_code,
            response.headers,
            body,
            url=public_url(response.url),
            name=request.name,
            bucket=request.bucket,
            retry_after=parse_retry_after(response.headers.get("retry-after"), now=time.time()),
        )


def _is_usable(url: httpx.URL) -> bool:
    """Whether a request can be sent there: httpx itself finds out too late, and in as many ways as it has."""
    return url.scheme in {"http", "https"} and bool(url.host) and (url.port is None or 0 < url.port < 65_536)
