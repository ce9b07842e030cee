"""One request to an AIStore cluster: through the proxy's redirect to the target, errors typed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, TypeVar

import httpx

from ..errors import AuthenticationError, RemoteError
from ..transport import (
    Sender,
    Told,
    is_usable,
    public_url,
    read_body,
    read_error,
    read_start,
    retried,
    retry_after_of,
    shown_url,
)
from .wire import parse_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable

    from ..limits import Limits
    from ..transport import RetryPolicy
    from ._auth import Credentials
    from .wire import WireRequest

__all__ = ["Connection"]

_T = TypeVar("_T")

_logger: Final = logging.getLogger("asyncbatch.aistore")

_REDIRECTS: Final = frozenset({301, 302, 307, 308})
# A proxy sends to a target; a proxy that is not the primary may send to the primary first.
_MAX_REDIRECTS: Final = 2
# Doing them twice is doing them once. DELETE would be, but for its answer: what is gone cannot be found.
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT"})
_MAX_REDIRECT_BODY: Final = 65_536  # bytes; a longer one is not worth its connection


class Connection:
    """Sends requests to an AIStore endpoint.

    AIStore's redirects are followed here, by hand: a GET's body must be sent again, each redirect is good for
    one use, and none may be remembered.

    Args:
        endpoint: URL of a proxy, as `parse_endpoint` returns it.
        http: What sends.
        limits: Bounds on what is held in memory.
        retry: When to try again.
        credentials: What to show to the endpoint's host.
        max_redirects: How many redirects to follow.
    """

    def __init__(
        self,
        endpoint: httpx.URL,
        http: httpx.AsyncClient,
        *,
        limits: Limits,
        retry: RetryPolicy,
        credentials: Credentials,
        max_redirects: int = _MAX_REDIRECTS,
    ) -> None:
        # A password that is part of each URL would be part of what httpx logs.
        self.endpoint = endpoint.copy_with(userinfo=b"")
        self.limits = limits
        self._credentials = credentials
        self._max_redirects = max_redirects
        self._retry = retry
        self._sender = Sender(http, self.endpoint, logger=_logger)

    async def open(self, request: WireRequest) -> httpx.Response:
        """Send a request and return its answer, the body still to be read and the response to be closed.

        Raises:
            RemoteError: if the answer is an error, after all that the retry policy allows.
            TransportError: if there is none.
        """
        url = self._url(request)
        return await self._retried(request, url, lambda: self._open(request, url))

    async def open_once(self, request: WireRequest) -> httpx.Response:
        """Do as `open` does without trying again, for whoever decides on that himself.

        Raises:
            RemoteError: if the answer is an error.
            TransportError: if there is none.
        """
        url = self._url(request)
        return await self._authorized(lambda: self._open(request, url))

    async def _retried(
        self,
        request: WireRequest,
        url: httpx.URL,
        attempt: Callable[[], Awaitable[_T]],
        *,
        idempotent: bool = False,
    ) -> _T:
        what = Told(request.method, url)
        idempotent = idempotent or request.method in _IDEMPOTENT
        return await retried(lambda: self._authorized(attempt), self._retry, what=what, idempotent=idempotent)

    async def _authorized(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Await an attempt, and another one if its token was refused and has been replaced meanwhile."""
        used = self._credentials.authorization
        try:
            return await attempt()
        except AuthenticationError as error:
            # 401 is about the token, 403 about the rights that come with it.
            if error.status != 401 or not await self._credentials.renew(used):
                raise
        _logger.info("the server refused the token, and there is another one in its file: trying that")
        return await attempt()

    async def _open(self, request: WireRequest, url: httpx.URL) -> httpx.Response:
        response = await self._send(self._make(request, url, request.body))
        for _ in range(self._max_redirects):
            if response.status_code not in _REDIRECTS:
                break
            url = await self._target(response)
            response = await self._send(self._make(request, url, request.body))
        await self._raise_for_status(request, response)
        return response

    async def read(self, request: WireRequest, *, idempotent: bool = False) -> tuple[httpx.Response, bytes]:
        """Send a request and return its answer, closed, and the whole of its body.

        Args:
            request: What is sent.
            idempotent: Whether it may be done twice, which a GET, HEAD or PUT always may.

        Raises:
            LimitExceededError: if the body is larger than `max_item_size`.
            RemoteError, TransportError: as `open` does.
        """
        url = self._url(request)
        return await self._retried(request, url, lambda: self._read(request, url), idempotent=idempotent)

    async def _read(self, request: WireRequest, url: httpx.URL) -> tuple[httpx.Response, bytes]:
        response = await self._open(request, url)
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
        proxy = self._url(request)
        if not isinstance(body, bytes):
            url = await self._authorized(lambda: self._place(request, proxy))
            await self._upload(request, url, body, size)
            return
        redirects = True

        async def attempt() -> None:
            nonlocal redirects
            # Where nobody is redirected, the empty body of the question would replace what was stored.
            url = await self._place(request, proxy) if redirects else proxy
            redirects = url != proxy
            await self._upload(request, url, body, None)

        await self._retried(request, proxy, attempt)

    async def _place(self, request: WireRequest, url: httpx.URL) -> httpx.URL:
        """Ask the proxy where a body is to go."""
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
        is_downgraded = self.endpoint.scheme == "https" and request.url.scheme == "http"
        return await self._sender.send(request, anonymous=is_downgraded)

    def _url(self, request: WireRequest) -> httpx.URL:
        return self._sender.url(request.path, str(httpx.QueryParams(request.query)))

    def _make(
        self, request: WireRequest, url: httpx.URL, body: bytes | AsyncIterable[bytes] | None
    ) -> httpx.Request:
        headers = dict(request.headers)
        # `_auth` has the reasons. From https to http nothing of the kind is sent at all, see `_send`.
        if url.host == self.endpoint.host and self._credentials.authorization is not None:
            headers["Authorization"] = self._credentials.authorization
        return self._sender.make(request.method, url, headers=headers, body=body)

    async def _target(self, response: httpx.Response) -> httpx.URL:
        """Return where a redirect leads; read the rest of it, so that its connection can be used again."""
        await read_start(response, _MAX_REDIRECT_BODY)
        location = response.headers.get("location")
        # What cannot be parsed at all, httpx refused.
        if location and is_usable(url := httpx.URL(str(response.url)).join(location)):
            return url
        raise RemoteError(
            status=response.status_code,
            message=f"redirected to {location and shown_url(location)!r}, which is no URL to go to",
            url=public_url(response.url),
        )

    async def _raise_for_status(self, request: WireRequest, response: httpx.Response) -> None:
        if response.is_success:
            return
        body = await read_error(response)
        hide = self._credentials.hide  # a gateway may quote what it was sent
        raise parse_error(
            response.status_code,
            {"hdr-error": hide(response.headers.get("hdr-error", ""))},
            hide(body.decode("utf-8", "replace")).encode(),
            url=public_url(response.url),
            name=request.name,
            bucket=request.bucket,
            retry_after=retry_after_of(response),
        )
