"""How a command runs and ends: exit statuses, errors as one line, signals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import traceback
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, NoReturn

import typer

from ..errors import AsyncBatchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from types import FrameType

__all__ = ["MissingExtraError", "Status", "complain", "printable", "run"]


class Status(IntEnum):
    """Exit statuses; those of signals are 128 and the signal's number, as shells have it."""

    OK = 0
    MISSING = 1
    USAGE = 2
    FAILED = 3
    INTERRUPTED = 128 + signal.SIGINT
    TERMINATED = 128 + signal.SIGTERM


class MissingExtraError(Exception):
    """A command needs what was not installed; the message says how to."""


def run(command: Coroutine[None, None, Status]) -> NoReturn:
    """Run a command to its end and leave with its status."""
    raise typer.Exit(_execute(command))


def _execute(command: Coroutine[None, None, Status]) -> Status:
    try:
        status = asyncio.run(_terminable(command))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return Status.INTERRUPTED
    except asyncio.CancelledError:  # by _terminable, and nobody else
        return Status.TERMINATED
    except BrokenPipeError:
        # Whoever read our output has had enough. Python flushes it at its exit: into nothing, then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Status.FAILED
    except (UsageError, MissingExtraError) as error:
        complain(str(error))
        return Status.USAGE
    except (AsyncBatchError, OSError) as error:
        complain(str(error))
        return Status.FAILED
    except Exception:  # noqa: BLE001 - a bug of ours; Python's own status would say that something is missing
        traceback.print_exc()
        return Status.FAILED
    return status


async def _terminable(command: Coroutine[None, None, Status]) -> Status:
    """Let SIGTERM end a command as Ctrl-C does, so that it cleans up behind it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type checker: this is a coroutine

    def handle(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(task.cancel)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        with _woken_by_signals(loop):
            return await command
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _woken_by_signals(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Have every signal wake the loop, Ctrl-C too.

    Python runs a signal's handler between two steps of its own. Of one that comes between the last step and
    the system call in which the loop sleeps, it would hear at the next event: never, perhaps.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        loop.add_reader(reader, reader.recv, 4096)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(reader)


def complain(text: str) -> None:
    """Say on standard error what went wrong, in one line."""
    sys.stderr.write(f"asyncbatch: {printable(' '.join(text.split()))}\n")


def printable(text: str) -> str:
    r"""Return anybody's text for a terminal: what that would obey, or cannot show, as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
