"""What is on its way to a reader: requests in their order, and of each the items that have come."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from ..batch import BatchStats
from ..errors import UsageError
from ._plan import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..batch import BatchItem, BatchRequest
    from ._lane import Lane
    from ._scheduler import Scheduler

__all__ = ["CLOSED", "Delivery", "Line", "Sink"]

CLOSED: Final = "this loader was closed, or what was asked of it, and with that what it was still loading"


class Sink:
    """Items of some entries in a row of one request: a lane puts them in, and a reader takes them out.

    Attributes:
        delivery: Of the request.
        first: Index of the first of the entries.
        count: How many there are.
        ready: Items that were not taken.
        arrived: Items that were put in.
        held: Bytes of `ready` that the budget counts.
        ended: Whether nothing more will be put in.
        error: What it ended with.
        dropped: Whether nobody wants it any more.
        lane: What fills it; None before that begins.
        waiting: Its reader, if it waits for the next item.
    """

    __slots__ = (
        "arrived",
        "bytes",
        "count",
        "delivery",
        "dropped",
        "ended",
        "error",
        "first",
        "held",
        "lane",
        "missing",
        "ready",
        "waiting",
    )

    def __init__(self, delivery: Delivery, first: int, count: int) -> None:
        self.delivery = delivery
        self.first = first
        self.count = count
        self.ready: deque[BatchItem] = deque()
        self.arrived = 0
        self.bytes = 0
        self.missing = 0
        self.held = 0
        self.ended = False
        self.error: Exception | None = None
        self.dropped = False
        self.lane: Lane | None = None
        self.waiting: asyncio.Future[None] | None = None

    def count_in(self, items: int, size: int, missing: int) -> None:
        """Count items that were put in.

        Args:
            items: How many.
            size: Bytes of their data.
            missing: How many of them do not exist.
        """
        if not self.arrived and items:
            self.delivery.begin()
        self.arrived += items
        self.bytes += size
        self.missing += missing
        self.delivery.line.scheduler.arrived(self.delivery.kind, items, missing, size)

    def end(self, error: Exception | None = None) -> None:
        """Take down that nothing more comes."""
        self.ended = True
        self.error = error
        self.wake()

    def wake(self) -> None:
        """Let the reader go on, if it waits."""
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)
        self.waiting = None
        self.delivery.line.changed()

    async def wait(self) -> None:
        """Wait until there is an item, or the end."""
        waiting = self.waiting = asyncio.get_running_loop().create_future()
        try:
            await waiting
        finally:
            if self.waiting is waiting:
                self.waiting = None


class Delivery:
    """One request on its way to its reader.

    Args:
        line: That it is in.
        request: As the caller gave it.
        now: By the loop's clock.

    Attributes:
        entries: Of the request, as they were then.
        kind: Of the first of them, for what it weighs.
        sinks: Of the entries, in order; those that were read to their end are removed.
        dropped: Whether nobody wants it any more.
    """

    def __init__(self, line: Line, request: BatchRequest, now: float) -> None:
        self.line = line
        self.request = request
        self.entries = request.entries
        self.kind = kind_of(self.entries[0]) if self.entries else None
        self.sinks: deque[Sink] = deque()
        self.dropped = False
        self._all_sinks: list[Sink] = []
        self._began_at = now
        self._first_at: float | None = None
        self._ended_at: float | None = None

    @property
    def is_ready(self) -> bool:
        """Whether its reader would not have to wait."""
        return not self.sinks or bool(self.sinks[0].ready) or self.sinks[0].ended

    def add(self, first: int, count: int) -> Sink:
        """Add a sink for the next entries."""
        sink = Sink(self, first, count)
        self._all_sinks.append(sink)
        self.sinks.append(sink)
        return sink

    def begin(self) -> None:
        """Take down that an item has come."""
        if self._first_at is None:
            self._first_at = asyncio.get_running_loop().time()

    def end(self) -> None:
        """Take down that it was read to its end, or that nobody wants the rest."""
        if self._ended_at is None:
            self._ended_at = asyncio.get_running_loop().time()

    @property
    def stats(self) -> BatchStats:
        """Its figures, as of now: what has arrived, and not only what was handed out."""
        sinks = self._all_sinks
        lanes = {sink.lane for sink in sinks if sink.lane is not None}
        efforts = [lane.efforts for lane in lanes]
        first, ended = self._first_at, self._ended_at
        return BatchStats(
            items=sum(sink.arrived for sink in sinks),
            bytes=sum(sink.bytes for sink in sinks),
            missing=sum(sink.missing for sink in sinks),
            resumes=sum(resumes for _, _, resumes in efforts),
            requests=sum(requests for requests, _, _ in efforts),
            seconds_to_first_item=None if first is None else first - self._began_at,
            seconds=(asyncio.get_running_loop().time() if ended is None else ended) - self._began_at,
        )


class Line:
    """Deliveries in order: those of one reader.

    Args:
        scheduler: Admits what is under way.
        ordered: Whether they are handed out in order, or as they are ready.
        closed: Called when it is closed, perhaps more than once.

    Attributes:
        deliveries: That the reader has not come to.
        current: The one that it reads.
        ended: Whether no more will come.
        error: What the caller's iterable has raised.
        waiting: The reader, if it waits for whichever delivery has something.
    """

    def __init__(
        self, scheduler: Scheduler, *, ordered: bool, closed: Callable[[Line], object] = bool
    ) -> None:
        self._closed = closed
        self.scheduler = scheduler
        self.ordered = ordered
        self.deliveries: deque[Delivery] = deque()
        self.current: Delivery | None = None
        self.ended = False
        self.error: Exception | None = None
        self.waiting: asyncio.Future[None] | None = None

    def _pending(self) -> Iterator[Sink]:
        """Iterate over what the reader still wants, in its order."""
        if self.current is not None:
            yield from self.current.sinks
        for delivery in self.deliveries:
            yield from delivery.sinks

    def is_head(self, lane: Lane) -> bool:
        """Whether a lane fills what the reader takes next."""
        for sink in self._pending():
            if sink.ready or not sink.ended:
                return sink.lane is lane
        return False  # nobody wants what it fills

    @property
    def has_ready(self) -> bool:
        """Whether the reader has something to take next."""
        for sink in self._pending():
            if sink.ready or not sink.ended:
                return bool(sink.ready)
        return False

    @property
    def wants_a_head(self) -> bool:
        """Whether there is nothing that the reader could take or wait for."""
        for sink in () if self.current is None else self.current.sinks:
            if not sink.ended or sink.ready:
                return sink.lane is None
        for delivery in self.deliveries:
            return any(sink.lane is None for sink in list(delivery.sinks)[:1])
        return True

    def add(self, delivery: Delivery) -> None:
        """Add one behind all others."""
        self.deliveries.append(delivery)
        self.changed()

    def changed(self) -> None:
        """Let the reader go on, if it waits for any delivery."""
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)

    async def next_delivery(self) -> Delivery | None:
        """Wait for the delivery that is next, and make it the current one; None if there are no more.

        Raises:
            Exception: what the caller's iterable has raised, behind all that it gave before.
        """
        self.scheduler.check_loop()
        while True:
            for delivery in self.deliveries:
                if self.ordered or delivery.is_ready:
                    self.deliveries.remove(delivery)
                    self.current = delivery
                    self.scheduler.wake()
                    return delivery
            if self.ended and not self.deliveries:
                if self.error is not None:
                    raise self.error
                return None
            self.waiting = asyncio.get_running_loop().create_future()
            self.scheduler.wake()
            try:
                await self.waiting
            finally:
                self.waiting = None

    async def wait_for(self, sink: Sink) -> None:
        """Wait for the next item of a sink, or its end."""
        self.scheduler.check_loop()
        self.scheduler.wake()  # it may go on now that nothing of it is left
        await sink.wait()

    def end(self, error: Exception | None = None) -> None:
        """Take down that no more deliveries come; the first reason is the one that is told."""
        if not self.ended:
            self.ended = True
            self.error = error
        self.changed()

    def drop(self, delivery: Delivery) -> None:
        """Forget a delivery: what has come is released, and what is under way ended."""
        delivery.dropped = True
        delivery.end()
        while delivery.sinks:
            sink = delivery.sinks.popleft()
            sink.dropped = True
            sink.ready.clear()
            self.scheduler.release(sink.held)
            sink.held = 0
            if sink.lane is None:
                sink.end(UsageError(CLOSED))  # for who waits for it
            else:
                sink.lane.drop()
                sink.wake()  # who waits for it: the lane may go on, for the sake of others
        if self.current is delivery:
            self.current = None

    def close(self) -> None:
        """Forget everything."""
        if self.deliveries or not self.ended:
            self.ended = True
            self.error = UsageError(CLOSED)
            self.changed()
        if self.current is not None:
            self.drop(self.current)
        while self.deliveries:
            self.drop(self.deliveries.popleft())
        self._closed(self)
