"""``asyncbatch extract``: an archive into a folder."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..archive import open_archive
from ._input import STDIN, read_chunks
from ._output import Output, in_units
from ._run import Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

__all__ = ["extract"]


async def extract(path: str, destination: str, *, as_json: bool) -> Status:
    """Extract an archive and say how much it was."""
    output = Output(as_json=as_json)
    total = None if path == STDIN else _size(path)
    with output.progress("extracting", total, in_bytes=True) as advance:
        async with aclosing(_counted(path, advance)) as chunks, open_archive(chunks) as archive:
            result = await archive.extract_all(destination)
    output.record(**asdict(result))
    output.note(f"{result.files} files, {in_units(result.bytes)}, are in {destination}")
    return Status.OK


def _size(path: str) -> int:
    return Path(path).stat().st_size


async def _counted(path: str, advance: Callable[[int], None]) -> AsyncGenerator[bytes]:
    async with aclosing(read_chunks(path)) as chunks:
        async for chunk in chunks:
            advance(len(chunk))
            yield chunk
