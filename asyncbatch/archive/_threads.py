"""Blocking work off the event loop, which is never left behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from anyio import CancelScope

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["in_thread"]

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
