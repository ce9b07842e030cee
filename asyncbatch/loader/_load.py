"""Many callers who want one object each, and share a request."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING

from ..batch import BatchRequest
from ..errors import AsyncBatchError, LimitExceededError, ObjectNotFoundError, UsageError
from ._batches import LoadedBatch
from ._line import CLOSED, Delivery, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..batch import BatchItem, BatchSource, BatchStream, Entry, ItemMetadata
    from ._line import Sink
    from ._plan import Way
    from ._scheduler import Scheduler

__all__ = ["Coalescer"]


class _Group:
    """Entries that are asked for together, and who wants each of them.

    Not any more once they were asked for: who comes then may know of a change that came behind that.
    """

    def __init__(self) -> None:
        self.wanted: dict[Entry, list[asyncio.Future[bytes]]] = {}
        self.task: asyncio.Task[None] | None = None
        self._callers = 0

    def add(self, entry: Entry) -> asyncio.Future[bytes]:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.wanted.setdefault(entry, []).append(future)
        self._callers += 1
        future.add_done_callback(self._gone)
        return future

    def _gone(self, future: asyncio.Future[bytes]) -> None:
        """Take down that a caller does not wait any more; behind the last who was cancelled, stop."""
        self._callers -= 1
        if not self._callers and self.task is not None and future.cancelled():
            self.task.cancel()

    def still_wanted(self) -> list[Entry]:
        """Return the entries that anybody waits for."""
        return [
            entry for entry, futures in self.wanted.items() if not all(future.done() for future in futures)
        ]

    def succeed(self, entry: Entry, data: bytes) -> None:
        for future in self.wanted.pop(entry):
            if not future.done():
                future.set_result(data)

    def fail(self, entry: Entry, error: Exception) -> None:
        """Give each who wants an entry an error of his own."""
        for future in self.wanted.pop(entry):
            if not future.done():
                future.set_exception(_own(error))

    def fail_all(self, error: Exception) -> None:
        for entry in list(self.wanted):
            self.fail(entry, error)


class Coalescer:
    """Collects what is wanted within a short time, and asks for it in one batch.

    Args:
        scheduler: Admits the batches.
        source: What is asked.
        group: Of all tasks.
        window: Seconds that the first caller waits for others.
        max_batch: Entries that are not kept waiting.
        send: Puts the entries of a sink on their way.
        open_stream: Makes a batch of a source and a request.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        source: BatchSource,
        group: asyncio.TaskGroup,
        *,
        window: float,
        max_batch: int,
        send: Callable[[Line, Sequence[Sink], Way], None],
        open_stream: Callable[[BatchSource, BatchRequest], BatchStream],
    ) -> None:
        self._scheduler = scheduler
        self._source = source
        self._tasks = group
        self._window = window
        self._max_batch = max_batch
        self._send = send
        self._open_stream = open_stream
        self._group: _Group | None = None  # that is collected
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[None]] = set()

    def want(self, request: BatchRequest) -> asyncio.Future[bytes]:
        """Return the data, to come, of the one entry of a request.

        Raises:
            UsageError: if the source could not ask for it: that concerns nobody else.
        """
        self._source.check_batch(request)
        (entry,) = request.entries
        if self._group is None:
            self._group = _Group()
            self._timer = asyncio.get_running_loop().call_later(self._window, self._flush)
        future = self._group.add(entry)
        if len(self._group.wanted) >= self._max_batch:
            self._flush()
        return future

    def close(self) -> None:
        """End everything: who still waits is told so."""
        if self._group is not None:
            self._group.fail_all(UsageError(CLOSED))
            self._flush()
        for task in self._running:
            task.cancel()

    def _flush(self) -> None:
        """Ask for what was collected."""
        group, timer = self._group, self._timer
        self._group = self._timer = None
        assert group is not None  # noqa: S101 - for the type checker: the timer is set with it
        assert timer is not None  # noqa: S101
        timer.cancel()
        entries = group.still_wanted()
        if entries:
            group.task = self._tasks.create_task(self._fetch(group, entries), name=f"load {len(entries)}")
            self._running.add(group.task)
            group.task.add_done_callback(self._running.discard)
            group.task.add_done_callback(lambda _: group.fail_all(UsageError(CLOSED)))

    async def _fetch(self, group: _Group, entries: list[Entry]) -> None:
        try:
            while entries:
                entries = await self._fetch_some(group, entries)
        except Exception as error:  # noqa: BLE001 - the callers', each of whom gets one of his own
            group.fail_all(error)

    async def _fetch_some(self, group: _Group, entries: list[Entry]) -> list[Entry]:
        """Ask for entries; return those behind one that is too large to be held, which ends a batch."""
        request = BatchRequest(continue_on_err=True).with_entries(entries)
        line = Line(self._scheduler, ordered=True)
        answered = 0
        try:
            await self._scheduler.opening(line)
            delivery = Delivery(line, request, asyncio.get_running_loop().time())
            line.current = delivery
            self._send(line, [delivery.add(0, len(entries))], "batch")
            async for item in LoadedBatch(delivery):
                await self._answer(group, item)
                answered += 1
        except LimitExceededError as error:
            if error.limit != "max_item_size":
                raise
            group.fail(entries[answered], error)
            return entries[answered + 1 :]
        finally:
            line.close()
        return []

    async def _answer(self, group: _Group, item: BatchItem) -> None:
        metadata, data = item
        if metadata.error is None:
            group.succeed(metadata.entry, data)
        elif metadata.missing:
            group.fail(metadata.entry, _not_found(metadata))
        else:
            group.fail(metadata.entry, await self._error_of(metadata))

    async def _error_of(self, metadata: ItemMetadata) -> Exception:
        """Ask for an entry strictly: an item tells the text of its error, and not what kind it is."""
        strict = BatchRequest(continue_on_err=False).with_entries([metadata.entry])
        try:
            await self._open_stream(self._source, strict).read_all()
        except AsyncBatchError as error:
            return error
        return AsyncBatchError(f"object {metadata.name!r}: {metadata.error}")


def _not_found(metadata: ItemMetadata) -> ObjectNotFoundError:
    message = metadata.error or ""
    return ObjectNotFoundError(status=404, message=message, name=metadata.name, bucket=metadata.bucket)


def _own(error: Exception) -> Exception:
    """Return an error like another one: callers add notes and tracebacks to theirs."""
    mine = copy.copy(error) if isinstance(error, AsyncBatchError) else AsyncBatchError(repr(error))
    mine.__cause__ = error
    return mine
