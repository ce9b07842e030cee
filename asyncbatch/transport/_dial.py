"""A socket to a host of several addresses, which are raced as "happy eyeballs" are (RFC 8305).

asyncio does that too, but forgets, and so leaks, a socket that is connected at the moment of a cancellation.
"""

from __future__ import annotations

import asyncio
import socket
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["dial"]

_Address: TypeAlias = "tuple[int, int, int, str, Any]"  # as `socket.getaddrinfo` returns them

_DELAY: Final = 0.25  # seconds for an address to answer before the next is tried as well (section 5)


async def dial(host: str, port: int, *, local_address: str | None) -> socket.socket:
    """Return a socket that is connected to the first address that answers.

    Raises:
        OSError: if none does; that of the last one.
    """
    loop = asyncio.get_running_loop()
    try:
        # An address needs no look-up, and so no thread for it.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    waiting = _alternate(found)
    attempts: set[asyncio.Task[socket.socket]] = set()
    error: BaseException | None = None
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(loop.create_task(_connect(waiting.pop(0), local_address)))
            seconds = _DELAY if waiting else None
            done, _ = await asyncio.wait(attempts, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempts.remove(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
        raise error or OSError(f"{host} has no address")
    finally:
        # Not awaited: whoever is cancelled here once more would lose the socket that is returned.
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close)


def _alternate(addresses: Sequence[_Address]) -> list[_Address]:
    """Return addresses of the two families by turns, beginning with that of the first (section 4)."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    others = [address for address in addresses if address[0] != addresses[0][0]]
    return [address for address in chain(*zip_longest(first, others)) if address is not None]


async def _connect(address: _Address, local_address: str | None) -> socket.socket:
    opened = socket.socket(*address[:3])
    try:
        opened.setblocking(False)
        if local_address is not None:
            opened.bind((local_address, 0))
        await asyncio.get_running_loop().sock_connect(opened, address[4])
    except BaseException:
        opened.close()
        raise
    return opened


def _close(attempt: asyncio.Task[socket.socket]) -> None:
    """Close what came second."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
