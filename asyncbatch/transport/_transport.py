"""A transport for httpx with one copy between the socket's buffer and the consumer."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, cast

import httpcore
import httpx

from ..errors import UsageError
from ._connection import Connection
from ._dial import dial
from ._exchange import Exchange, ResponseStream
from ._head import Messages
from ._pool import ConnectionPool
from ._trace import traced

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable
    from types import TracebackType

    from ._trace import Trace

__all__ = ["DEFAULT_LIMITS", "STREAM", "StreamingTransport"]

DEFAULT_LIMITS: Final = httpx.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=5.0)

# Where our own clients find a response's `ResponseStream`, past httpx's layers around it.
STREAM: Final = "asyncbatch.stream"

# Sent again, these have the same effect (RFC 9110, section 9.2.2) and the same answer, unlike a DELETE:
# what one has removed, another does not find.
_REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT"})
_PORTS: Final = {b"http": 80, b"https": 443}


class StreamingTransport(httpx.AsyncHTTPTransport):
    """HTTP/1.1 for `httpx.AsyncClient(transport=…)`, for large bodies and for many small chunks.

    A consumer that stops reading stops the server, and at most 1 MiB of its response is held. A response that
    is closed before its end closes its connection.

    ``response.extensions["trailers"]`` is a list of the fields that came behind a chunked body, names in
    lower case and values, both as bytes. It is empty until the body was read to its end.

    It belongs to the event loop in which its first request is made, asyncio's or uvloop's. It knows no
    proxies: for those that the environment names, `proxy_mounts` mounts httpx's own transport beside it.

    A request that fails on a connection that was kept, before any byte of an answer, is sent once more on a
    fresh one, if it is a GET, HEAD, OPTIONS, TRACE or PUT, and its body no stream.

    Args:
        verify: Whether to verify certificates, or how, as httpx takes it.
        cert: The client's certificate, as httpx takes it.
        trust_env: Whether ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` count.
        limits: How many connections there may be, how many are kept, and for how long.
        uds: Path of a Unix socket to which all requests go.
        local_address: Address to connect from.

    Raises:
        httpx.RequestError: as httpx's own transport does: timeouts, network errors, broken protocol.
        UsageError: if it is used in another event loop, or after `aclose`.
    """

    def __init__(
        self,
        *,
        verify: ssl.SSLContext | str | bool = True,
        cert: Any = None,  # noqa: ANN401 - httpx has a name for its type, but not a public one
        trust_env: bool = True,
        limits: httpx.Limits = DEFAULT_LIMITS,
        uds: str | None = None,
        local_address: str | None = None,
    ) -> None:
        # Instrumentation, such as OpenTelemetry's, patches `handle_async_request` of httpx's own transport
        # class. It sees the requests that pass through that method, and all the method does is to hand them
        # to this attribute. So here is what speaks HTTP. `super().__init__` would only make another one.
        self._pool = _Engine(  # type: ignore[assignment]
            httpx.create_ssl_context(verify=verify, cert=cert, trust_env=trust_env),
            limits,
            uds=uds,
            local_address=local_address,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its response with the body still to be read."""
        try:
            response = await super().handle_async_request(request)
        except httpx.RequestError as error:
            error.request = request
            raise
        # Past the layer that turns httpcore's errors into httpx's: ours are.
        stream = response.extensions.get(STREAM)
        if isinstance(
            stream, ResponseStream
        ):  # else somebody has answered in our place, a test's mock perhaps
            stream.request = request
            response.stream = stream
        return response

    async def aclose(self) -> None:
        """Close all connections. Requests that are under way fail. May be called again."""
        await self._pool.aclose()


class _Engine:
    """What httpx's transport takes for a pool of httpcore: the same call, with httpx's own errors."""

    def __init__(
        self, ssl_context: ssl.SSLContext, limits: httpx.Limits, *, uds: str | None, local_address: str | None
    ) -> None:
        self._ssl_context = ssl_context
        self._limits = limits
        self._uds = uds
        self._local_address = local_address
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._pool = ConnectionPool(limits)

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        loop = asyncio.get_running_loop()
        if self._loop not in {None, loop}:
            raise UsageError("this transport was used in another event loop; make one in each asyncio.run()")
        if self._closed:
            raise UsageError("the transport was closed; make another one")
        self._loop = loop
        scheme = request.url.scheme
        if scheme not in _PORTS:
            raise httpx.UnsupportedProtocol(f"the URL's scheme is {scheme.decode()!r}, not http or https")
        for fresh in (False, True):
            messages = Messages(request.method, request.url.target, request.headers)
            connection = await self._acquire(request, fresh=fresh)
            try:
                return await self._exchange(request, messages, connection)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                if connection.used == 1 or connection.answered or not _is_repeatable(request):
                    raise
                # The server closed the connection, as it may at any time, while the request was on its way.
        raise AssertionError(
            "a fresh connection is not used before"
        )  # pragma: no cover - for the type checker

    async def _exchange(
        self, request: httpcore.Request, messages: Messages, connection: Connection
    ) -> httpcore.Response:
        timeouts, trace = request.extensions.get("timeout", {}), request.extensions.get("trace")
        body = cast("AsyncIterable[bytes]", request.stream)
        exchange = Exchange(connection, messages, body, timeouts=timeouts, trace=trace)
        try:
            head = await exchange.run()
        except BaseException:
            self._pool.release(connection, reusable=False)
            raise
        stream = ResponseStream(
            connection,
            head,
            seconds=timeouts.get("read"),
            trace=trace,
            release=lambda reusable: self._pool.release(connection, reusable=reusable),
        )
        return httpcore.Response(
            head.status,
            headers=head.headers,
            content=stream,
            extensions={
                "http_version": head.version,
                "reason_phrase": head.reason,
                "network_stream": connection,
                "trailers": stream.trailers,
                STREAM: stream,
            },
        )

    async def _acquire(self, request: httpcore.Request, *, fresh: bool) -> Connection:
        url, extensions = request.url, request.extensions
        timeouts, trace = extensions.get("timeout", {}), extensions.get("trace")
        host = url.host.decode("ascii")
        server_hostname = extensions.get("sni_hostname") or host
        port = url.port or _PORTS[url.scheme]
        connect = partial(
            self._connect,
            host,
            port,
            server_hostname=server_hostname if url.scheme == b"https" else None,
            seconds=timeouts.get("connect"),
            trace=trace,
        )
        origin = (url.scheme, host, port, server_hostname)
        return await self._pool.acquire(origin, timeouts.get("pool"), connect, fresh=fresh)

    async def _connect(
        self, host: str, port: int, *, server_hostname: str | None, seconds: float | None, trace: Trace
    ) -> Connection:
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {}
        if server_hostname is not None:
            options = {"ssl": self._ssl_context, "server_hostname": server_hostname}
        connection = Connection(loop, self._pool.forget)
        try:
            async with asyncio.timeout(seconds) as connecting:
                if self._uds is not None:
                    async with traced(
                        trace, "connection.connect_unix_socket", path=self._uds, timeout=seconds
                    ):
                        await loop.create_unix_connection(lambda: connection, self._uds, **options)
                else:
                    async with traced(trace, "connection.connect_tcp", host=host, port=port, timeout=seconds):
                        opened = await dial(host, port, local_address=self._local_address)
                        await loop.create_connection(lambda: connection, sock=opened, **options)
        except BaseException as error:
            connection.abort()
            if not isinstance(error, OSError | UnicodeError):  # UnicodeError: of a host that IDNA refuses
                raise
            if connecting.expired():
                raise httpx.ConnectTimeout(f"no connection to {host}:{port} within {seconds} s") from error
            raise httpx.ConnectError(str(error) or type(error).__name__) from error
        return connection

    async def aclose(self) -> None:
        if self._loop is not None and not self._loop.is_closed():  # connections end with their loop
            self._pool.close()
        self._closed = True


def _is_repeatable(request: httpcore.Request) -> bool:
    return request.method in _REPEATABLE and isinstance(request.stream, httpx.ByteStream)
