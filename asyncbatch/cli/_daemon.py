"""Calls that may wait for ever, such as reads from a terminal, and that Ctrl-C is not to wait for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["in_daemon"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_V = TypeVar("_V")


async def in_daemon(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call `function` in a thread that nobody waits for when this is cancelled, nor when the process ends.

    It should hold no lock of Python's, such as that of a buffered file, which the end of the process needs.

    Raises:
        OSError: what it raises; it is to raise nothing else.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[_T] = loop.create_future()

    def work() -> None:
        try:
            value = function(*args, **kwargs)
        except OSError as error:
            settle(result.set_exception, error)
        else:
            settle(result.set_result, value)

    def settle(setter: Callable[[_V], None], value: _V) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(lambda: None if result.done() else setter(value))

    Thread(target=work, daemon=True).start()
    return await result
