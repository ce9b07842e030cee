"""What commands print: lines for people, JSON lines for programs, progress on a terminal."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from ._run import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import ProgressColumn, TaskID

__all__ = ["Output", "in_units"]

_TELL_EVERY: Final = 0.1  # seconds


class Output:
    """Standard output and standard error of a command.

    Args:
        as_json: Whether programs read it: then standard output has JSON lines, standard error errors only.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def record(self, **facts: object) -> None:
        """Print an object, if programs read."""
        if self.as_json:
            sys.stdout.write(json.dumps(facts) + "\n")
            sys.stdout.flush()  # whoever reads it may wait for it

    def line(self, text: str) -> None:
        """Print a line, if people read."""
        if not self.as_json:
            # What the encoding lacks Python escapes on standard error, but refuses on standard output.
            encoding = sys.stdout.encoding
            sys.stdout.write(printable(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")

    def note(self, text: str) -> None:
        """Tell people how it went, beside the output itself."""
        if not self.as_json:
            sys.stderr.write(printable(text) + "\n")

    @contextmanager
    def progress(
        self,
        what: str,
        total: int | None,
        *,
        in_bytes: bool = False,
        status: Callable[[], str] | None = None,
    ) -> Iterator[Callable[[int], None]]:
        """Show a bar, if people look on; what is yielded moves it on.

        Args:
            what: Is done.
            total: Of how many; None if that is not known.
            in_bytes: Whether bytes are counted.
            status: Tells how it goes, behind the bar.
        """
        if self.as_json or not sys.stderr.isatty():
            yield _ignore
            return
        amount = DownloadColumn() if in_bytes else MofNCompleteColumn()
        columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(), amount]
        columns.append(TimeElapsedColumn())
        if status is not None:
            columns.append(TextColumn("{task.fields[status]}"))
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            bar = bars.add_task(what, total=total, status="")
            yield _advancing(bars, bar, status)


def _advancing(bars: Progress, bar: TaskID, status: Callable[[], str] | None) -> Callable[[int], None]:
    """Return what moves a bar on, and tells now and then how it goes."""
    told_at = 0.0

    def advance(step: int) -> None:
        nonlocal told_at
        bars.advance(bar, step)
        now = time.monotonic()
        if status is not None and now - told_at > _TELL_EVERY:
            told_at = now
            bars.update(bar, status=status())

    return advance


def _ignore(_step: int) -> None:
    pass


def in_units(size: float) -> str:
    """Write a number of bytes for people, in units of 1,000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.{0 if unit == 'bytes' else 1}f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
