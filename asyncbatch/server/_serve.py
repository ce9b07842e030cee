"""Running an application on uvicorn: on a free port if asked, stopping at once when told, with trailers."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ._app import create_app
from ._trailers import TrailerConnection, Trailers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import FrameType

    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["running", "serve", "transport_of"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
# Rounds of the loop, more than pass between asyncio's accept() and the beginning of a connection.
_ROUNDS_OF_ACCEPT: Final = 5
# Seconds. Clients give up idle connections sooner, and so never meet a closed one.
_KEEP_ALIVE: Final = 75
_TRANSPORT: Final = "asyncbatch.transport"
_CONNECTION: Final = "asyncbatch.connection"


async def serve(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    on_listening: Callable[[str], None],
    grace: float = 1.0,
) -> None:
    """Serve until SIGINT or SIGTERM, then return.

    Args:
        app: The application. It gets no lifespan events.
        host: Name or address to listen on.
        port: 0 for a free one.
        on_listening: Called with ``http://HOST:PORT`` as soon as requests are answered.
        grace: Seconds that running requests have to finish after the signal; then their connections are cut.

    Raises:
        OSError: if the address cannot be had.
    """
    stop = asyncio.Event()
    with _stopped_by_signals(stop):
        async with running(app, host=host, port=port, grace=grace) as url:
            on_listening(url)
            await stop.wait()


@asynccontextmanager
async def running(
    root: str | os.PathLike[str] | ASGIApp, *, host: str = "127.0.0.1", port: int = 0, grace: float = 0
) -> AsyncIterator[str]:
    """Serve a folder or an application in this event loop, for as long as the block runs.

    Args:
        root: A folder, as for `create_app`, or an application. It gets no lifespan events.
        host: Name or address to listen on.
        port: 0 for a free one.
        grace: Seconds that running requests have to finish when the block ends.

    Yields:
        The server's URL, ``http://HOST:PORT``.
    """
    app = create_app(root) if isinstance(root, (str, os.PathLike)) else root
    server = _Server(app, grace)
    listener = _listen(host, port)
    address = f"[{host}]" if ":" in host else host
    url = f"http://{address}:{listener.getsockname()[1]}"
    task = asyncio.create_task(server.serve(sockets=[listener]), name=f"server at {url}")
    task.add_done_callback(lambda _: server.listening.set())  # should it ever fail before it listens
    try:
        await server.listening.wait()
        yield url
    finally:
        server.stopping.set()
        await task


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY where the protocol is named, and only there. Without it each answer that is
    # written in two parts takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener


def transport_of(scope: Scope) -> asyncio.Transport:
    """Return the connection that a request came by, for an application that `running` serves."""
    transport: asyncio.Transport = scope["state"][_TRANSPORT]
    return transport


class _Protocol(H11Protocol):
    """A connection that its requests can be asked for: to break it off, and to send trailers by it.

    All that uvicorn has to do with HTTP/1.1 goes through `conn`, which is of h11.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.conn = TrailerConnection()
        super().connection_made(transport)
        self.app_state = {**self.app_state, _TRANSPORT: transport, _CONNECTION: self.conn}


def _quietly(app: ASGIApp) -> ASGIApp:
    """Keep it from uvicorn's log that a request was cancelled, which nobody does but `_Server.shutdown`."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return run


class _Server(uvicorn.Server):
    """uvicorn's server without its polling and its signal handling.

    Its own `main_loop` and `shutdown` look every 0.1 s whether there is something to do, and wait for clients
    that have stopped reading for as long as they like.
    """

    def __init__(self, app: ASGIApp, grace: float) -> None:
        config: dict[str, Any] = {
            "http": _Protocol,
            "ws": "none",
            "lifespan": "off",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "timeout_keep_alive": _KEEP_ALIVE,
        }
        super().__init__(uvicorn.Config(_quietly(Trailers(app, _CONNECTION)), **config))
        self.listening = asyncio.Event()
        self.stopping = asyncio.Event()
        self._grace = grace

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        stopped = asyncio.create_task(self.stopping.wait())
        while not stopped.done():
            await self.on_tick(0)  # the Date header, once a second
            self.listening.set()
            await asyncio.wait([stopped], timeout=1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        for server in self.servers:
            server.close()
        for _ in range(_ROUNDS_OF_ACCEPT):
            await asyncio.sleep(0)
        connections, tasks = self.server_state.connections, self.server_state.tasks
        for connection in list(connections):
            connection.shutdown()  # closes idle ones; busy ones close after their answer
        await _wait(tasks, self._grace)
        for connection in list(connections):
            # Also those that only wait for their last bytes to be taken. To requests, their clients are gone.
            connection.transport.abort()
        await _wait(tasks, self._grace + 1)
        for task in list(tasks):
            task.cancel()
        await _wait(tasks, None)
        while connections:  # noqa: ASYNC110 - the loop tells a connection of its end in its next round
            await asyncio.sleep(0)
        for server in self.servers:
            await server.wait_closed()


async def _wait(tasks: set[asyncio.Task[None]], timeout: float | None) -> None:  # noqa: ASYNC109 - of a wait
    if tasks:
        await asyncio.wait(tasks, timeout=timeout)


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` at SIGINT and SIGTERM, instead of whatever they did before and will do afterwards."""
    in_main = threading.current_thread() is threading.main_thread()  # no other thread may handle signals
    loop = asyncio.get_running_loop()

    def handle(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.set)

    before = {number: signal.signal(number, handle) for number in _SIGNALS if in_main}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
