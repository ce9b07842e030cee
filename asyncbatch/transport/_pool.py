"""Connections that are kept, and a bound on how many there are."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

from ..errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable

    from ._connection import Connection

__all__ = ["ConnectionPool"]


class ConnectionPool:
    """Lends a connection to each request, in the order in which they ask.

    A slot is lent with each, so that no more are busy than there may be. Those at rest take none: they are
    closed, the one that rested longest first, when a busy one needs their place.

    Args:
        limits: How many there may be, how many at rest, and for how long.
    """

    def __init__(self, limits: httpx.Limits) -> None:
        self._maximum = sys.maxsize if limits.max_connections is None else limits.max_connections
        resting = limits.max_keepalive_connections
        self._max_resting = self._maximum if resting is None else min(resting, self._maximum)
        self._expiry = limits.keepalive_expiry
        self._slots = asyncio.Semaphore(self._maximum)
        self._busy: set[Connection] = set()
        self._opening = 0
        self._resting: list[Connection] = []  # the one that rested longest is the first
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: set[asyncio.Timeout] = set()  # for a slot, or for a connection to be made
        self._closed = False

    async def acquire(
        self,
        origin: Hashable,
        seconds: float | None,
        connect: Callable[[], Awaitable[Connection]],
        *,
        fresh: bool = False,
    ) -> Connection:
        """Lend a connection, to be given back by `release`.

        Args:
            origin: What it must lead to.
            seconds: To wait for a slot; None is no limit.
            connect: Makes one if none rests.
            fresh: Whether to make one in any case.

        Raises:
            httpx.PoolTimeout: if no slot became free.
            httpx.RequestError: as `connect` does.
            UsageError: if the pool was closed.
        """
        self._check_open()
        try:
            async with self._ended_by_close(seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("no connection became free") from None
        self._opening += 1
        try:
            connection = None if fresh else self._take(origin)
            if connection is None:
                while self._resting and len(self._resting) + len(self._busy) + self._opening > self._maximum:
                    self._resting.pop(0).abort()
                async with self._ended_by_close(None):
                    connection = await connect()
                connection.origin = origin
        except BaseException:
            self._slots.release()
            raise
        finally:
            self._opening -= 1
        self._busy.add(connection)
        return connection

    @asynccontextmanager
    async def _ended_by_close(self, seconds: float | None) -> AsyncIterator[None]:
        """Do not wait beyond the pool's end, nor for longer than so many seconds.

        Raises:
            UsageError: if the pool was closed meanwhile.
            TimeoutError: if the seconds are over.
        """
        try:
            async with asyncio.timeout(seconds) as waiting:
                self._waiting.add(waiting)
                yield
        except TimeoutError:
            self._check_open()
            raise
        finally:
            self._waiting.discard(waiting)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the transport was closed; make another one")

    def _take(self, origin: Hashable) -> Connection | None:
        """Return the connection to an origin that rests for the shortest time."""
        for connection in reversed(self._resting.copy()):
            if connection.origin == origin:
                self._resting.remove(connection)
                if connection.is_alive():
                    return connection
                connection.abort()
        return None

    def release(self, connection: Connection, *, reusable: bool) -> None:
        """Take a connection back."""
        self._busy.discard(connection)
        if reusable and not self._closed and self._max_resting and connection.rest():
            if len(self._resting) == self._max_resting:
                self._resting.pop(0).abort()
            self._resting.append(connection)
            self._set_timer()
        else:
            connection.abort()
        self._slots.release()

    def forget(self, connection: Connection) -> None:
        """Drop a resting connection, which its server has closed or should not have written to."""
        self._resting.remove(connection)
        connection.abort()

    def _set_timer(self) -> None:
        if self._timer is None and self._resting and self._expiry is not None:
            when = self._resting[0].rested + self._expiry
            self._timer = asyncio.get_running_loop().call_at(when, self._expire, self._expiry)

    def _expire(self, expiry: float) -> None:
        """Close what has rested for too long."""
        self._timer = None
        past = asyncio.get_running_loop().time() - expiry
        while self._resting and self._resting[0].rested <= past:
            self._resting.pop(0).abort()
        self._set_timer()

    def close(self) -> None:
        """Close all connections; requests that are under way fail. May be called again."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in [*self._busy, *self._resting]:
            connection.abort(ConnectionAbortedError("the transport was closed"))
        self._resting.clear()
        now = asyncio.get_running_loop().time()
        for waiting in self._waiting:
            waiting.reschedule(now)
