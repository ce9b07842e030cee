"""A loop, or a process, ends while threads of obstore are still in the interpreter."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Final

import pytest

import asyncbatch
from asyncbatch.objectstore import _calls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# A thread that hands over a result takes its time, in front of that and behind. So does the end.
_PROGRAM: Final = """
import asyncio
import sys
from time import sleep

import asyncbatch

class Loop(asyncio.SelectorEventLoop):
    def call_soon_threadsafe(self, *arguments, **options):
        sleep({before})
        handle = super().call_soon_threadsafe(*arguments, **options)
        sleep({behind})
        return handle

class Slow:
    def __del__(self):
        sleep(0.5)

sys.slow = Slow()

async def main():
    store = asyncbatch.connect("memory:///")
    async with store.get_batch(["a", "b"], bucket="none", continue_on_err=True) as batch:
        {read}
    {close}

with asyncio.Runner(loop_factory=Loop) as runner:
    runner.run(main())
"""
_ALL: Final = {
    "before": 0,
    "behind": 0.2,
    "read": "assert [m.missing async for m, _ in batch] == [True, True]",
}
_NONE: Final = {
    "before": 0.2,
    "behind": 0.2,
    "read": """try:
            async with asyncio.timeout(0.1):
                await anext(batch)
        except TimeoutError:
            pass""",
}


@pytest.mark.parametrize("read", [_ALL, _NONE], ids=["read", "cancelled"])
@pytest.mark.parametrize("close", ["await store.aclose()", "pass"], ids=["closed", "left open"])
def test_a_process_ends_behind_the_threads(read: dict[str, object], close: str) -> None:
    result = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-W", "error", "-c", _PROGRAM.format(**read, close=close)],
        env=os.environ | {"PYTHONPATH": str(Path(asyncbatch.__file__).parents[1])},
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    errors = result.stderr.decode()
    if close == "pass" and read is _NONE:  # what a thread says that has no loop any more
        errors = errors.rpartition("Event loop is closed\n")[2].strip()
    assert (result.returncode, errors) == (0, "")


async def at_close() -> None:
    await _calls.left_by_threads()


async def at_exit() -> None:
    _calls._wait_for_threads()


@pytest.mark.anyio
@pytest.mark.parametrize("wait", [at_close, at_exit])
async def test_it_is_waited_until_a_thread_lets_go(wait: Callable[[], Awaitable[None]]) -> None:
    held = [_calls.under_way(asyncio.get_running_loop().create_future())]
    held[0].cancel()
    timer = Timer(0.05, held.clear)
    timer.start()
    await wait()
    assert held == []
    timer.join()


@pytest.mark.anyio
@pytest.mark.parametrize("wait", [at_close, at_exit])
async def test_what_is_held_for_ever_is_not_waited_for(
    wait: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_calls, "_PATIENCE", 0.01)
    held = _calls.under_way(asyncio.get_running_loop().create_future())
    held.set_result(None)
    await wait()
    assert held.done()


@pytest.mark.anyio
async def test_closing_one_client_does_not_wait_for_calls_of_another() -> None:
    held = _calls.under_way(asyncio.get_running_loop().create_future())
    async with asyncio.timeout(0.5), asyncbatch.connect("memory:///"):
        pass
    assert not held.done()


@pytest.mark.anyio
async def test_what_an_error_left_in_a_cycle_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_calls, "_PATIENCE", 60)
    cycle: list[object] = [_calls.under_way(asyncio.get_running_loop().create_future())]
    cycle.append(cycle)
    del cycle
    for _ in range(2):
        _calls._wait_for_threads()
        assert not _calls._futures


@pytest.mark.anyio
@pytest.mark.parametrize("locked", [False, True])
async def test_a_forked_process_does_not_wait_for_calls_of_its_parent(locked: bool) -> None:  # noqa: FBT001
    held = _calls.under_way(asyncio.get_running_loop().create_future())
    if locked:
        _calls._lock.acquire()
    _calls._forget()
    assert not _calls._futures
    assert not _calls._lock.locked()
    assert not held.done()
