"""Calls of obstore, and their end: neither a client nor the process ends before obstore's threads are done.

A thread of obstore enters the interpreter to hand over each result, also that of a call that was
cancelled. If the loop is closed by then, it prints a traceback. If the interpreter ends, it ends the
thread too (before Python 3.14), and that aborts the process: see
https://github.com/PyO3/pyo3-async-runtimes/issues/40. Until it has done its part, the thread holds the
call's future: by that it is told.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import time
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["call", "left_by_threads", "under_way"]

_Call = TypeVar("_Call", bound="Awaitable[object]")

# Seconds to wait at most: a future may also be held by what is left of the program.
_PATIENCE: Final = 1.0
_STEP: Final = 0.001

_futures: Final[WeakSet[asyncio.Future[object]]] = WeakSet()
_lock: Final = Lock()  # there may be loops in several threads


async def call(name: str, store: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - obstore's
    """Call an async function of obstore, and return what it returns."""
    import obstore  # noqa: PLC0415 - an extra

    return await under_way(getattr(obstore, name)(store, *arguments, **options))


def under_way(called: _Call) -> _Call:
    """Return what was called; if it is a future of obstore, its end is waited for."""
    if isinstance(called, asyncio.Future):
        with _lock:
            _futures.add(called)
    return called


async def left_by_threads() -> None:
    """Wait until the threads have done their part of all calls that are over."""
    with _lock:
        over = WeakSet(future for future in _futures if future.done())
    end = time.monotonic() + _PATIENCE
    while over and time.monotonic() < end:
        await asyncio.sleep(_STEP)
        _drop()


@atexit.register
def _wait_for_threads() -> None:
    if _futures:
        gc.collect()  # those that only what is left of an error holds
    end = time.monotonic() + _PATIENCE
    while _futures and time.monotonic() < end:
        time.sleep(_STEP)  # meanwhile they can enter
        _drop()


def _drop() -> None:
    """Let go of what threads dropped while they were not in the interpreter: any call of theirs does."""
    from obstore.store import MemoryStore  # noqa: PLC0415 - an extra

    MemoryStore()


def _forget() -> None:
    """Forget the calls of the process that was forked: their threads are not here."""
    _futures.clear()
    if _lock.locked():  # by a thread that is not here either
        _lock.release()


if hasattr(os, "register_at_fork"):  # pragma: no branch - on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget)
