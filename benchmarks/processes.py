"""Senders and servers in processes of their own, while a block runs; and what memory this one has."""

from __future__ import annotations

import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Server", "resident", "running_module", "serving"]


class Server(NamedTuple):
    """An ``asyncbatch serve`` that runs."""

    url: str
    process: int


@contextmanager
def running_module(module: str, *arguments: object) -> Iterator[str]:
    """Run a module that serves, and prints its port first; its URL, until the end of the ``with``.

    It is to end when its standard input is closed, which our own death does too.
    """
    with subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError("the sender did not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            assert process.stdin is not None
            process.stdin.close()


@contextmanager
def serving(target: str) -> Iterator[Server]:
    """Run ``asyncbatch serve`` over a folder or a URL, until the end of the ``with``."""
    command = [sys.executable, "-m", "asyncbatch", "serve", target, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ourselves
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("listening on "):
                raise RuntimeError("the server did not start")
            yield Server(line.split()[-1], process.pid)
        finally:
            process.terminate()


def resident() -> int:
    """Return the bytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
