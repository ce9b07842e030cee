"""A store that can be watched and disturbed, and ways to speak HTTP as no client library would."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from asyncbatch.server._folder import FolderStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType
    from typing import Self

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from asyncbatch.server._folder import _File


class WatchedObject:
    """A stored object that counts, and lets the test do something before each read."""

    def __init__(self, store: WatchedStore, name: str, inner: _File) -> None:
        self._store = store
        self._name = name
        self._inner = inner
        self.size, self.mtime, self.atime_ns, self.etag = inner.size, inner.mtime, inner.atime_ns, inner.etag

    def read(self, offset: int, size: int, /) -> bytes:
        with self._store.lock:
            self._store.reads += 1
        self._store.on_read(self._name, offset)
        return self._inner.read(offset, size)

    def is_changed(self) -> bool:
        return self._inner.is_changed()

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


class WatchedStore(FolderStore):
    """A folder whose objects are watched."""

    def __init__(
        self, root: str | os.PathLike[str], on_read: Callable[[str, int], None] = lambda _name, _offset: None
    ) -> None:
        super().__init__(root)
        self.on_read = on_read
        self.lock = Lock()
        self.opened = 0
        self.reads = 0

    def open_object(self, bucket: str, name: str, /) -> WatchedObject:  # type: ignore[override]
        opened = super().open_object(bucket, name)
        with self.lock:
            self.opened += 1
        return WatchedObject(self, name, opened)


class Gate:
    """Middleware that stops an application at the `count`-th piece of its body, until it is opened."""

    def __init__(self, app: ASGIApp, count: int = 1) -> None:
        self._app = app
        self._left = count
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stop_and_send(message: Message) -> None:
            if message["type"] == "http.response.body":
                self._left -= 1
                if self._left == 0:
                    self.reached.set()
                    await self.opened.wait()
            await send(message)

        await self._app(scope, receive, stop_and_send)


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def exchange(url: str, request: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes."""
    async with asyncio.timeout(30), connection(url) as (reader, writer):
        writer.write(request)
        return await reader.read()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what the tests wait for sets no event
            await asyncio.sleep(0)


def open_files() -> set[str]:
    """Return what this process has open besides sockets and the loop's own."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115
        except OSError:
            continue
        if target.startswith("/") and not target.startswith(("/dev/", "/proc/")):
            found.add(target)
    return found
