"""Blocking work off the event loop, which is never left behind."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from anyio import CancelScope

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["decoding_threads", "in_thread"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_thread(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call `function` in a worker thread and return what it returns.

    A thread cannot be interrupted, and what it works on must not be closed under it: when this is cancelled,
    the cancellation goes on as soon as the thread is done. So `function` is to take a moment only.
    """
    work = asyncio.get_running_loop().run_in_executor(None, partial(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        with CancelScope(shield=True):
            while not work.done():
                with suppress(asyncio.CancelledError):  # the first one is raised, when it may be
                    await asyncio.wait([work])
        work.exception()  # nobody else will ask for it
        raise


@cache
def decoding_threads() -> ThreadPoolExecutor:
    """Return the threads that decode: as many as there are processors.

    They are not the event loop's, which may all be waiting for what is to be decoded.
    """
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="asyncbatch-decode")


if hasattr(os, "register_at_fork"):  # pragma: no branch - on Windows, where nothing forks
    os.register_at_fork(after_in_child=decoding_threads.cache_clear)  # a child has none of the threads
