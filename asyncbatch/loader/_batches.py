"""What a loader's readers hold: batches, one after the other, and the items of each, or of all."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Self

from .._closing import AsyncCloseable
from ..errors import IncompleteBatchError, UsageError
from ._budget import ITEM_COST
from ._line import CLOSED

if TYPE_CHECKING:
    import asyncio

    from ..batch import BatchItem, BatchRequest, BatchStats
    from ._line import Delivery, Line, Sink

__all__ = ["LoadedBatch", "LoadedBatches", "LoadedItems"]

_MOVED_ON: Final = (
    "this batch is closed, or the loader has moved on to the next; what was not read is dropped"
)
_TWO_READERS: Final = "another task reads this already; it has one reader"


class LoadedBatch(AsyncCloseable):
    """An async iterator over the items of one batch of a loader, in the order of its request.

    It can be read until the next batch is asked for, by one task. Made by `BatchLoader.get_batches`.

    Raises (while iterating; what was delivered before is whole):
        AsyncBatchError: what `BatchStream` raises.
        UsageError: if the batch was closed, or the loader.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._sink: Sink | None = None
        self._ready: deque[BatchItem] = deque()
        self._quantum = delivery.line.scheduler.budget.quantum
        self._taken = 0  # bytes that were handed out and not released
        self._reading = False
        self._state = "open"  # then "complete", "failed" or "closed"
        if delivery.sinks:
            self._turn_to(delivery.sinks[0])

    def __repr__(self) -> str:
        return f"<LoadedBatch {self._state}, of {len(self._delivery.entries)} entries>"

    @property
    def request(self) -> BatchRequest:
        """What it answers: the request that was given to the loader."""
        return self._delivery.request

    @property
    def stats(self) -> BatchStats:
        """Figures of the batch, as of now; its items are those that have arrived."""
        return self._delivery.stats

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchItem:
        # The hot path: an item that is there takes no await.
        while True:
            try:
                item = self._ready.popleft()
            except IndexError:
                if not await self._more():
                    raise StopAsyncIteration from None
            else:
                self._taken += len(item[1]) + ITEM_COST
                if self._taken > self._quantum:
                    self._release()
                return item

    async def read_all(self) -> list[BatchItem]:
        """Return all items that were not read yet.

        Raises:
            IncompleteBatchError: whose `items` are those that were received; and what iterating raises.
        """
        items: list[BatchItem] = []
        try:
            async for item in self:
                items.append(item)  # noqa: PERF401 - those before an error are kept
        except IncompleteBatchError as error:
            error.items = tuple(items)
            raise
        return items

    async def aclose(self) -> None:
        """Drop what was not read and end its transfer. May be called again."""
        self._close("closed")

    def _close(self, state: str) -> None:
        if self._state == "open":
            self._state = state
            self._release()
            self._delivery.line.drop(self._delivery)
            self._ready = deque()

    def _turn_to(self, sink: Sink) -> None:
        self._sink = sink
        self._ready = sink.ready

    def _release(self) -> None:
        """Release what was handed out."""
        if self._sink is not None and not self._sink.dropped:
            size, self._taken = self._taken, 0
            self._sink.held -= size
            self._delivery.line.scheduler.release(size)

    async def _more(self) -> bool:
        """Wait for an item; False at the end."""
        if self._reading:
            raise UsageError(_TWO_READERS)
        self._reading = True
        try:
            while True:
                if self._state == "complete":
                    return False
                if self._state != "open":
                    raise UsageError(_MOVED_ON)
                if self._delivery.dropped:
                    self._close("closed")
                    raise UsageError(CLOSED)
                self._release()
                sink = self._sink
                if sink is None:
                    self._finish()
                elif sink.ready:
                    return True
                elif not sink.ended:
                    await self._delivery.line.wait_for(sink)
                elif sink.error is not None:
                    self._close("failed")
                    raise sink.error
                else:
                    self._next_sink()
        finally:
            self._reading = False

    def _next_sink(self) -> None:
        sinks = self._delivery.sinks
        sinks.popleft()
        if sinks:
            self._turn_to(sinks[0])
        else:
            self._finish()

    def _finish(self) -> None:
        self._state = "complete"
        self._delivery.end()


class LoadedBatches(AsyncCloseable):
    """An async iterator over the batches of a loader. Made by `BatchLoader.get_batches`.

    Asking for the next batch closes the one before. A batch that fails raises where it is read, and not here.

    Raises (while iterating):
        Exception: what the iterable of requests has raised, behind all batches that it gave before.
        UsageError: if the loader was closed.
    """

    def __init__(self, line: Line, feeder: asyncio.Task[None]) -> None:
        self._line = line
        self._feeder = feeder
        self._batch: LoadedBatch | None = None
        self._reading = False
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LoadedBatch:
        if self._reading:
            raise UsageError(_TWO_READERS)
        if self._closed:
            raise UsageError("these batches were closed; ask the loader for others")
        self._reading = True
        try:
            if self._batch is not None:
                await self._batch.aclose()
            delivery = await self._line.next_delivery()
        finally:
            self._reading = False
        if delivery is None:
            self._line.close()  # the loader need not do it
            raise StopAsyncIteration
        self._batch = LoadedBatch(delivery)
        return self._batch

    async def aclose(self) -> None:
        """Drop what was not read and end all transfers. May be called again."""
        self._closed = True
        self._feeder.cancel()
        if self._batch is not None:
            await self._batch.aclose()
        self._line.close()


class LoadedItems(AsyncCloseable):
    """An async iterator over the items of many batches, strictly in order. Made by `BatchLoader.stream`.

    `metadata.index` counts within each request. The first batch that fails ends it.

    Raises (while iterating; what was delivered before is whole):
        AsyncBatchError: what `BatchStream` raises.
        Exception: what the iterable of requests has raised.
        UsageError: if the loader was closed.
    """

    def __init__(self, batches: LoadedBatches) -> None:
        self._batches = batches
        self._batch: LoadedBatch | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchItem:
        while True:
            batch = self._batch
            if batch is None:
                batch = self._batch = await anext(self._batches)
            try:
                item = batch._ready.popleft()  # noqa: SLF001 - the hot path: no await of its own
            except IndexError:
                if not await self._more(batch):
                    self._batch = None
            else:
                batch._taken += len(item[1]) + ITEM_COST  # noqa: SLF001
                if batch._taken > batch._quantum:  # noqa: SLF001
                    batch._release()  # noqa: SLF001
                return item

    async def _more(self, batch: LoadedBatch) -> bool:
        try:
            return await batch._more()  # noqa: SLF001
        except Exception:
            if batch._state == "failed":  # noqa: SLF001 - and not because of a second reader
                await self.aclose()
            raise

    async def aclose(self) -> None:
        """Drop what was not read and end all transfers. May be called again."""
        await self._batches.aclose()
