"""One batch request on its way in, read ahead of its readers as far as there is room."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ..errors import IncompleteBatchError, UsageError
from ._budget import ITEM_COST
from ._gate import GatedSource
from ._hedge import Hedge
from ._line import CLOSED
from ._singly import SinglySource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..archive._events import EventStream
    from ..batch import BatchItem, BatchRequest, BatchSource, BatchStream
    from ..errors import RemoteError, TransportError
    from ._line import Line, Sink
    from ._scheduler import Scheduler

__all__ = ["Lane", "PausedError"]

_NOTHING: Final = (0, 0, 0)
# Seconds behind which it is looked again whether a batch is slow, at least: where batches take a millisecond,
# a pause would keep the processor busy.
_LEAST_WAIT: Final = 0.05


class PausedError(Exception):
    """Nobody read for so long that the server may hang up: we do, and ask for the rest when there is room."""


class Lane:
    """Fills the sinks of one request, or of several that are asked for as one.

    Attributes:
        dropped: What it had of an item, and dropped when its transfer was ended to be taken up later; 0 if it
            was not.
        wanted: Bytes that it waits to have room for at once.

    Args:
        scheduler: Admits it.
        source: What is asked.
        line: Whose sinks these are.
        sinks: What is to be filled, in order.
        request: For the entries of all the sinks.
        open_stream: Makes a batch of a source and a request.
        stall: Seconds after which a pause is too long for the server; None for never.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        source: BatchSource,
        line: Line,
        sinks: Sequence[Sink],
        request: BatchRequest,
        *,
        open_stream: Callable[[BatchSource, BatchRequest], BatchStream],
        stall: float | None,
    ) -> None:
        self._scheduler = scheduler
        self._is_singly = isinstance(source, SinglySource)
        self._source = GatedSource(source, self, asks=not self._is_singly)
        self._plain_source = source
        self._line = line
        self._sinks = list(sinks)
        self._request = request
        self._open_stream = open_stream
        self._stall = stall
        self._at = 0  # of the sinks, which one is filled
        self._delivered = 0  # entries that were answered, in the streams before this one
        self._stream: BatchStream | None = None
        self._kept = 0  # bytes of the item that is being received
        self._counted = _NOTHING  # items, bytes and missing ones of this stream that were counted
        self._efforts = _NOTHING  # requests, retries and resumes of the streams before
        self._unsettled = 0  # items that were put into a sink, and not counted there
        self._hedge: Hedge | None = None
        self._hedge_task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None  # until the batch is slow
        self._began_at = 0.0  # of the stream, later by each pause
        self._has_left = False
        self.dropped = 0
        self.wanted = 0
        self.task: asyncio.Task[None] | None = None
        for sink in self._sinks:
            sink.lane = self

    # -- what others ask ----------------------------------------------------------------------------------

    @property
    def is_head(self) -> bool:
        """Whether it fills what a reader wants next."""
        return self._line.is_head(self)

    @property
    def has_ready(self) -> bool:
        """Whether the reader has something to take."""
        return self._line.has_ready

    @property
    def efforts(self) -> tuple[int, int, int]:
        """How many requests were sent, how many of them again, and how often for the rest of a batch."""
        requests, retries, resumes = self._efforts
        if self._stream is None:
            return self._efforts
        stats = self._stream.stats
        again = max(stats.requests - stats.resumes - 1, 0)
        return requests + stats.requests, retries + again, resumes + stats.resumes

    def drop(self) -> None:
        """Hear that a sink was dropped: end, if it was the last that anybody wanted."""
        if self.task is not None and all(sink.dropped or sink.ended for sink in self._sinks):
            self.task.cancel()

    # -- receiving ----------------------------------------------------------------------------------------

    def begin(self, group: asyncio.TaskGroup) -> asyncio.Task[None]:
        """Begin to fill the sinks, in a task of a group."""
        self._scheduler.begun(self)
        self._group = group
        self.task = group.create_task(self._run(), name=f"batch of {len(self._request)} entries")
        self.task.add_done_callback(self._end)
        return self.task

    async def _run(self) -> None:
        """Fill the sinks. What goes wrong is theirs, and not the task's."""
        try:
            while self._at < len(self._sinks):
                await self._fill()
        finally:
            self._leave()

    async def _fill(self) -> None:
        try:
            await self._receive()
        except PausedError:
            requests, retries, resumes = self._efforts
            self._efforts = requests, retries, resumes + 1
            await self._scheduler.pause(self, None)
            self.dropped = 0
        except asyncio.CancelledError:
            if self._hedge is None or self._hedge.first is None:
                raise
            if self._uncancel():  # not by the hedge alone, which has won
                await self._hedge.stream.aclose()
                raise
        except Exception as error:  # noqa: BLE001 - it is raised where the batch is consumed
            self._fail(error)
        else:
            self._end_sink()
            self._scheduler.concurrency.answered()

    def _end(self, _task: asyncio.Task[None]) -> None:
        """End what was not filled, also of a task that was cancelled before its first step."""
        self._leave()
        while self._at < len(self._sinks):
            self._end_sink(UsageError(CLOSED))

    def _leave(self) -> None:
        if not self._has_left:
            self._has_left = True
            self._scheduler.left(self)

    async def _receive(self) -> None:
        """Read an answer to what was not delivered, to its end."""
        request = self._request
        if self._delivered:
            request = request.with_entries(request.entries[self._delivered :])
        first, stream = self._take_hedge(request)
        self._stream = stream
        self._counted = _NOTHING
        self._watch()
        try:
            sink = self._sinks[self._at]
            if len(self._sinks) == 1 and not self._delivered and not sink.first and first is None:
                # The hot path: an item costs no more than the iteration itself.
                append, line = sink.ready.append, self._line
                async for item in stream:
                    append(item)
                    if sink.waiting is not None or line.waiting is not None:
                        sink.wake()
            else:
                await self._distribute(stream, first)
            self._scheduler.peers.took(self._seconds)
        finally:
            self._unwatch()
            self._settle(0)
            self._efforts = self.efforts
            self._delivered += stream.stats.items
            self._stream = None
            await stream.aclose()  # at last: who is cancelled again here has counted everything

    async def _distribute(self, stream: BatchStream, first: BatchItem | None) -> None:
        """Read a stream, and put its items into the sinks, one after the other.

        Args:
            stream: The stream.
            first: Its first item, if that was read already.
        """
        if first is not None:
            self._put(first)
        async for item in stream:
            self._put(item)

    def _put(self, item: BatchItem) -> None:
        sink = self._sinks[self._at]
        index = item.metadata.index = sink.first + sink.arrived + self._unsettled
        self._unsettled += 1
        if not sink.dropped:
            sink.ready.append(item)
            if sink.waiting is not None or self._line.waiting is not None:
                sink.wake()
        if index + 1 == sink.first + sink.count and self._at + 1 < len(self._sinks):
            self._settle(0)  # nothing is kept of the next one yet
            self._end_sink()

    def _end_sink(self, error: Exception | None = None) -> None:
        sink = self._sinks[self._at]
        self._at += 1
        sink.end(error)

    def _fail(self, error: Exception) -> None:
        """End a sink with an error. The others are asked for without it."""
        sink = self._sinks[self._at]
        if isinstance(error, IncompleteBatchError):
            error = _moved(error, sink)
        self._delivered = sum(sink.count for sink in self._sinks[: self._at + 1])
        self._end_sink(error)

    # -- a second request for what is slow ----------------------------------------------------------------

    @property
    def _seconds(self) -> float:
        """Since the stream was begun, pauses not counted."""
        return asyncio.get_running_loop().time() - self._began_at

    def _take_hedge(self, request: BatchRequest) -> tuple[BatchItem | None, BatchStream]:
        """Return the stream that has won, and its first item; or a new one."""
        hedge, self._hedge = self._hedge, None
        if hedge is None or hedge.first is None:
            return None, self._open_stream(self._source, request)
        return hedge.first, hedge.stream

    def _uncancel(self) -> bool:
        """Forget the cancellation by which a hedge has ended the first stream; True if there is another."""
        assert self.task is not None  # noqa: S101 - for the type checker: it runs
        return self.task.uncancel() > 0

    def _watch(self) -> None:
        """Begin to look whether a stream is slow."""
        loop = asyncio.get_running_loop()
        self._began_at = loop.time()
        patience = self._scheduler.peers.patience()
        if patience is not None and self._hedge_task is None and not self._is_singly:
            self._timer = loop.call_later(patience, self._suspect, patience)

    def _suspect(self, patience: float) -> None:
        scheduler = self._scheduler
        left = patience - self._seconds
        if self in scheduler.paused or left > 0.01 * patience:  # clocks are not exact
            wait = max(left, 0.1 * patience, _LEAST_WAIT)
            self._timer = asyncio.get_running_loop().call_later(wait, self._suspect, patience)
            return
        assert self._stream is not None  # noqa: S101 - for the type checker: the timer is for it
        at = self._delivered + self._stream.stats.items
        rest = self._request.entries[at:]
        if not rest or not scheduler.peers.allows(requests=scheduler.requests, hedges=scheduler.hedges):
            return
        scheduler.hedges += 1
        stream = self._stream
        hedge = self._hedge = Hedge(
            self._plain_source,
            self._request.with_entries(rest),
            self,
            self._open_stream,
            scheduler.asked,
        )

        def win() -> bool:
            task = self.task
            assert task is not None  # noqa: S101 - for the type checker: it runs
            if task.cancelling() or self._delivered + stream.stats.items > at:
                return False
            return task.cancel()

        self._hedge_task = self._group.create_task(hedge.run(win), name="hedge")

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._hedge_task is not None and not self._hedge_task.done():
            self._hedge_task.cancel()

    # -- the gate -----------------------------------------------------------------------------------------

    async def before_request(self) -> float:
        """Wait until the server is to be asked: of fewer at once than there are now, some step back.

        Raises:
            PausedError: if that took so long that it would look like a server that does not answer.
        """
        while self._scheduler.is_crowded and not self.is_head:
            await self._pause()
        return await self._scheduler.before_request()

    def failed(self, error: RemoteError | TransportError, asked_at: float) -> None:
        """Take down that there was no answer."""
        self._scheduler.failed(error, asked_at)

    async def before_pull(self, stream: EventStream, wanted: int) -> None:
        """Count what has come, and wait until there is room for more.

        Raises:
            PausedError: if that took so long that the server may hang up.
        """
        self._settle(stream.kept)
        budget = self._scheduler.budget
        if budget.held + wanted >= budget.ahead and not self._is_complete:
            self.wanted = wanted
            while not budget.admits(is_head=self.is_head, has_ready=self.has_ready, wanted=wanted):
                await self._pause()
            self.wanted = 0
        if wanted:
            self._settle(wanted)

    async def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        paused_at = loop.time()
        may_go_on = await self._scheduler.pause(self, self._stall)
        self._began_at += loop.time() - paused_at
        if not may_go_on:
            assert self._stream is not None  # noqa: S101 - for the type checker: it is what is read
            self.dropped = max(self._kept, self.wanted) + 1
            self.wanted = 0
            await self._stream.aclose()
            raise PausedError

    @property
    def _is_complete(self) -> bool:
        """Whether every entry was answered: then there is nothing to come but the archive's end."""
        return self._delivered + self._counted[0] == len(self._request)

    def _settle(self, kept: int) -> None:
        """Count what the stream has brought since the last time.

        Args:
            kept: Bytes that it has of the next item.
        """
        assert self._stream is not None  # noqa: S101 - for the type checker: there is one as long as it is read
        stats = self._stream.stats
        items, size, missing = self._counted
        self._unsettled = 0
        self._counted = stats.items, stats.bytes, stats.missing
        items, size, missing = stats.items - items, stats.bytes - size, stats.missing - missing
        more = kept - self._kept
        self._kept = kept
        if items:
            sink = self._sinks[self._at]
            sink.count_in(items, size, missing)
            if not sink.dropped:
                sink.held += items * ITEM_COST + size
                more += items * ITEM_COST + size
        self._scheduler.received(more)


def _moved(error: IncompleteBatchError, sink: Sink) -> IncompleteBatchError:
    """Make the error of a part that of the whole batch."""
    entries, delivered = sink.delivery.entries, sink.first + sink.arrived
    if error.delivered == delivered and len(error.missing) == len(entries) - delivered:
        return error
    reason = str(error).rpartition("; ")[0]
    moved = IncompleteBatchError(reason, delivered=delivered, missing=entries[delivered:])
    moved.__cause__ = error.__cause__
    return moved
