"""Opening ahead: while one entry of a batch is encoded, the next ones are opened and, if small, read.

Where an object is milliseconds away, a batch that asks for one after another takes the sum of them. Here a
window of entries is under way at any time, in threads that all batches share, and they are handed on in
order.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from ._stream import CHUNK_SIZE, CutError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future

    from ._source import Source

__all__ = ["Ahead", "nothing", "whole"]

# However many batches there are, a store is asked for no more than so many objects at once.
_THREADS: Final = 64
# Larger parts are read when their turn comes; at most a first piece of them is there by then. So with a
# remote store's window, 32, a batch holds up to 8 MiB.
_MAX_HELD: Final = CHUNK_SIZE

EntryT = TypeVar("EntryT")


def whole(_entry: object, size: int) -> tuple[int, int]:
    """Say that all of an entry will be read."""
    return 0, size


def nothing(_entry: object, _size: int) -> tuple[int, int]:
    """Say that nothing of an entry will be read."""
    return 0, 0


class Ahead:
    """Opens what batches will read.

    Args:
        window: Entries of one batch that are open or being opened ahead of the one in use. With 0 each is
            opened when it is wanted, in the thread that wants it: as for files, which are near enough.
        threads: For all batches. They are started as needed.
    """

    def __init__(self, window: int, threads: int = _THREADS) -> None:
        self._window = window
        self._pool = ThreadPoolExecutor(threads, "asyncbatch-ahead")

    def open(
        self,
        open_one: Callable[[EntryT], Source],
        entries: Iterable[EntryT],
        part: Callable[[EntryT, int], tuple[int, int]] = whole,
    ) -> Generator[tuple[EntryT, Callable[[], Source]]]:
        """Yield each entry, in order, and what returns its source or raises what `open_one` did.

        That is to be called once, before the next entry is asked for; the source is then the caller's to
        close. Closing the generator does not wait: what is being opened then is closed as soon as it is open.

        Args:
            open_one: Called in other threads, for several entries at once.
            entries: Iterated in the caller's thread, no further than the window.
            part: Says by an entry and its size in bytes what will be read: a start and a length. If that is
                little it is read at once, and `Source.pieces` costs nothing.
        """
        if not self._window:
            for entry in entries:
                yield entry, partial(open_one, entry)
            return
        left = iter(entries)
        opening: deque[tuple[EntryT, Future[Source]]] = deque()
        try:
            while True:
                for entry in islice(left, self._window - len(opening)):
                    opening.append((entry, self._pool.submit(_open_and_hold, open_one, entry, part)))
                if not opening:
                    return
                entry, future = opening.popleft()
                yield entry, future.result
        finally:
            for _, future in opening:
                if not future.cancel():
                    future.add_done_callback(_close)


def _open_and_hold(
    open_one: Callable[[EntryT], Source], entry: EntryT, part: Callable[[EntryT, int], tuple[int, int]]
) -> Source:
    source = open_one(entry)
    try:
        start, length = part(entry, source.size)
        if 0 < length <= _MAX_HELD:
            # What cannot be read now is tried again when its turn comes, and is then an error in its place.
            with suppress(CutError):
                source.hold(start, length)
    except BaseException:
        source.close()
        raise
    return source


def _close(future: Future[Source]) -> None:
    if future.exception() is None:
        future.result().close()
