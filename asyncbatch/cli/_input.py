"""What commands read: files and standard input, in chunks, and the names in them."""

from __future__ import annotations

import os
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ..errors import UsageError
from ._daemon import in_daemon

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

__all__ = ["STDIN", "Transfer", "Wanted", "check_transfer", "read_chunks", "read_names"]

STDIN: Final = "-"
_READ_SIZE: Final = 262_144
_MAX_LINE: Final = 65_536


class Wanted(NamedTuple):
    """One thing to be fetched.

    Attributes:
        name: The object.
        archpath: A file inside it, or None.
    """

    name: str
    archpath: str | None = None


class Transfer(Protocol):
    """The options that commands which fetch have in common."""

    @property
    def names(self) -> list[str]: ...

    @property
    def names_from(self) -> str: ...

    @property
    def output(self) -> str: ...

    @property
    def archive(self) -> str: ...

    @property
    def as_json(self) -> bool: ...


def check_transfer(options: Transfer, *, what: str) -> None:
    """Check that there is something to fetch, and one place for it.

    Args:
        options: As they were typed.
        what: What the names are called, such as ``"names"``.

    Raises:
        UsageError: if not.
    """
    if not (options.names or options.names_from):
        raise UsageError(f"no {what}: pass some, or --from FILE, or - to read them from standard input")
    if options.output and options.archive:
        raise UsageError("--output and --archive exclude each other: files in a folder, or one archive")
    if options.archive == STDIN and options.as_json:
        raise UsageError("--json and --archive - both want standard output: name a file for the archive")


async def read_chunks(path: str) -> AsyncGenerator[bytes]:
    """Yield the content of a file, or for `STDIN` what comes in there."""
    fd = sys.stdin.fileno() if path == STDIN else await in_daemon(os.open, path, os.O_RDONLY)
    try:
        while chunk := await in_daemon(os.read, fd, _READ_SIZE):
            yield chunk
    finally:
        if path != STDIN:
            os.close(fd)


async def read_names(names: Sequence[str], path: str) -> AsyncGenerator[Wanted]:
    """Yield what is to be fetched: names of the command line, then those of a file.

    Args:
        names: Names, and `STDIN` where they are to be read from there.
        path: A file of names, `STDIN`, or ``""`` for none.

    Raises:
        UsageError: for a line that has no name.
    """
    for name in names:
        if name != STDIN:
            yield Wanted(name)
    if STDIN in names:
        async with aclosing(_read_lines(STDIN)) as lines:
            async for wanted in lines:
                yield wanted
    if path and not (path == STDIN and STDIN in names):
        async with aclosing(_read_lines(path)) as lines:
            async for wanted in lines:
                yield wanted


async def _read_lines(path: str) -> AsyncGenerator[Wanted]:
    number = 0
    rest = b""
    async with aclosing(read_chunks(path)) as chunks:
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                number += 1
                if wanted := _parse_line(line, path, number):
                    yield wanted
            if len(rest) > _MAX_LINE:
                raise UsageError(f"{path}, line {number + 1}: this is no list of names, one a line")
    if wanted := _parse_line(rest, path, number + 1):
        yield wanted


def _parse_line(line: bytes, path: str, number: int) -> Wanted | None:
    """Read ``object`` or ``object<TAB>path inside it``; None for an empty line."""
    text = os.fsdecode(line.removesuffix(b"\r"))
    if not text:
        return None
    name, tab, archpath = text.partition("\t")
    if not name or (tab and not archpath):
        raise UsageError(
            f"{path}, line {number}: a line is an object, or an object, a TAB and a path inside it"
        )
    return Wanted(name, archpath or None)
