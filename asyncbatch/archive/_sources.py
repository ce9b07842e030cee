"""What an archive can be read from, made into one thing: an async iterator of chunks."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..codecs._bare import NAMELESS
from ..errors import UsageError
from ._pipeline import own
from ._threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import Self

    from ..codecs._events import Buffer

__all__ = ["Source", "close_source", "iterate_source", "name_of_source"]

Source: TypeAlias = "AsyncIterable[Buffer] | Iterable[Buffer] | Buffer | str | os.PathLike[str]"

# Large enough for a thread hop per read not to matter, small enough for the caches.
_READ_SIZE: Final = 262_144


def iterate_source(source: object) -> AsyncIterator[Any]:
    """Iterate over the chunks of a source.

    Args:
        source: A `Source`: a path, the bytes themselves, or a sync or async iterable of bytes. An async
            generator is closed with the archive.

    Raises:
        UsageError: for anything else.
    """
    if isinstance(source, str | os.PathLike):
        return _read_file(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return _Iterable(_slice(memoryview(source).cast("B")))
    if isinstance(source, AsyncIterable):
        return aiter(source)
    # A file is an iterable of lines, and its read() would block the event loop.
    if not isinstance(source, Iterable) or hasattr(source, "read"):
        raise UsageError(
            f"cannot read an archive from {type(source).__name__}: pass a path, bytes or an iterable of bytes"
        )
    return _Iterable(source)


async def close_source(chunks: object) -> None:
    """Close what `iterate_source` returned, or an iterator of the caller's own, if it can be closed.

    Raises:
        UsageError: if it is a generator that another task waits for: only a cancellation ends that.
    """
    if getattr(chunks, "ag_running", False):
        raise UsageError("the source is being read by another task: cancel that instead of closing")
    aclose = getattr(chunks, "aclose", None)
    if aclose is not None:
        await aclose()


def name_of_source(source: object) -> str:
    """Return the file name of a path; ``"data"`` for other sources, which have none."""
    if isinstance(source, str | os.PathLike):
        return os.path.basename(os.fsdecode(source)) or NAMELESS  # noqa: PTH119 - a name, not a path
    return NAMELESS


async def _read_file(path: str | os.PathLike[str]) -> AsyncIterator[bytes]:
    # The thread itself hands the open file over, and closing takes no await: whenever this is cancelled, the
    # file is closed. (aiofiles loses a file whose opening, and leaves one open whose closing, is cancelled.)
    with ExitStack() as stack:
        file = await in_thread(lambda: stack.enter_context(open(path, "rb", buffering=0)))  # noqa: PTH123
        while chunk := await in_thread(file.read, _READ_SIZE):
            yield chunk


def _slice(data: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(data), _READ_SIZE):
        yield data[start : start + _READ_SIZE]


class _Iterable:
    """An iterable of chunks as an async iterator, which never has to be waited for."""

    def __init__(self, chunks: Iterable[Buffer]) -> None:
        self._chunks = iter(chunks)
        self._error: Exception | None = None  # that was met ahead of its turn

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Buffer:
        if self._error is not None:
            raise self._error
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration

    def take_ready(self) -> Buffer | None:
        """Return the next chunk; None at the end, and where the iterable raised."""
        try:
            for chunk in self._chunks:
                return own(chunk)
        except Exception as error:  # noqa: BLE001 - it is raised in its turn
            self._error = error
        return None
