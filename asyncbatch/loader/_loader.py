"""The loader: what a client's `batch_loader()` returns."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Self, TypedDict

from ..batch import DEFAULT_MAX_RESUMES, BatchRequest, BatchStream
from ..errors import UsageError
from ..limits import DEFAULT_LIMITS
from ..transport import DEFAULT_RETRY
from ._batches import LoadedBatches, LoadedItems
from ._feeder import Feeder
from ._lane import Lane
from ._line import CLOSED, Line
from ._load import Coalescer
from ._plan import Planner, Sizes
from ._scheduler import Scheduler
from ._singly import SinglySource
from ._sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Sequence
    from types import TracebackType

    from ..batch import BatchSource, Entry, ObjectRef
    from ..limits import Limits
    from ..transport import RetryPolicy
    from ._line import Sink
    from ._plan import Plan, Way
    from ._statistics import LoaderStatistics

__all__ = ["DEFAULT_MAX_CONCURRENCY", "DEFAULT_MAX_MEMORY", "BatchLoader", "LoaderOptions"]

DEFAULT_MAX_CONCURRENCY: Final = 8
DEFAULT_MAX_MEMORY: Final = "256MiB"

# Seconds that a batch may wait for room. AIStore hangs up on who does not read for 30.
_STALL: Final = 20.0
_LOAD_WINDOW: Final = 0.002
_MAX_BATCH: Final = 512
_PROGRESS_INTERVAL: Final = 0.5

_logger: Final = logging.getLogger("asyncbatch.loader")


class LoaderOptions(TypedDict, total=False):
    """The keyword options of `BatchLoader`, but for those that a client has, for calls that pass them on."""

    max_concurrency: int
    max_memory: int | str
    max_pause: float | None
    load_window: float
    max_batch: int
    way: Way
    split_above: int
    join_below: int
    item_size: int | str | None
    hedging: float
    progress: Callable[[LoaderStatistics], object] | None
    progress_interval: float


class BatchLoader:
    """Loads batches from a source: one by `get_batch`, and within its ``async with``, many at once.

    What it holds is bounded by one budget for all batches: items that were not handed out, and what has come
    of the next ones. The batch that is read has a right to one item more, of whatever size; later ones are
    read ahead with what is left, and wait where there is none.

    How many batches are received at once adapts to the server: it is halved where that has too much to do
    (429, 503, timeouts), grows again as batches are answered, and shrinks where more at once do not help.

    Args:
        source: A client's, or whatever else batches can be asked of.
        max_concurrency: Batches that are received at once, at most.
        max_memory: Bytes that may be held, or a text such as ``"64MiB"``.
        limits: Bounds on what is accepted.
        retry: When a request that had no answer is sent again.
        max_resumes: How often in a row a batch that broke off is asked for again where that brings nothing.
        max_pause: Seconds that a batch may wait for room before its transfer is ended, and the rest asked
            for again when there is room: a server may hang up on who does not read, as AIStore does after 30.
            None for no end.
        load_window: Seconds that `load` waits for other callers, to share a request.
        max_batch: Entries with which it waits no longer.
        way: ``"batch"`` to ask for everything in batches; ``"gets"`` for a request for each object, many at
            once; ``"auto"`` for the latter where objects are large, which is faster then (see `explain`).
        split_above: Requests of more entries are split into several batches, which are received at once.
        join_below: Requests of fewer entries are joined with those behind them into one batch, if these are
            of the same kind and need not be waited for. 0 for never.
        item_size: Bytes of an object, about, if that is known, as from a listing; it is learnt from what is
            seen else.
        hedging: Second requests that may be sent for each request, such as 0.05: for the rest of a batch that
            takes longer than 95 % of the others did. The one that brings the next item first goes on.
        progress: Called with the statistics again and again, and once more at the end. It must not block;
            what it raises is logged.
        progress_interval: Seconds between two calls of that.

    Raises:
        UsageError: for bounds below 1, and what is no size.
    """

    def __init__(
        self,
        source: BatchSource,
        *,
        max_concurrency: int = DEFAULT_MAX_CONCURRENCY,
        max_memory: int | str = DEFAULT_MAX_MEMORY,
        limits: Limits = DEFAULT_LIMITS,
        retry: RetryPolicy = DEFAULT_RETRY,
        max_resumes: int = DEFAULT_MAX_RESUMES,
        max_pause: float | None = _STALL,
        load_window: float = _LOAD_WINDOW,
        max_batch: int = _MAX_BATCH,
        way: Way = "auto",
        split_above: int = 4096,
        join_below: int = 32,
        item_size: int | str | None = None,
        hedging: float = 0.0,
        progress: Callable[[LoaderStatistics], object] | None = None,
        progress_interval: float = _PROGRESS_INTERVAL,
    ) -> None:
        if max_concurrency < 1:
            raise UsageError(f"max_concurrency={max_concurrency}: it is at least 1")
        if way not in {"auto", "batch", "gets"} or split_above < 1 or join_below < 0:
            raise UsageError(
                f"way={way!r}, split_above={split_above}, join_below={join_below}: it is 'auto', 'batch' "
                "or 'gets'; at least 1; at least 0"
            )
        if not 0 <= hedging <= 1:
            raise UsageError(f"hedging={hedging}: it is a share of the requests, from 0 to 1")
        if progress_interval <= 0:
            raise UsageError(f"progress_interval={progress_interval}: it is a number of seconds")
        if load_window < 0 or max_batch < 1:
            raise UsageError(
                f"load_window={load_window}, max_batch={max_batch}: at least 0 seconds and 1 entry"
            )
        if max_pause is not None and max_pause <= 0:
            raise UsageError(f"max_pause={max_pause}: it is a number of seconds, or None for no end")
        self._max_memory = parse_size(max_memory, "max_memory")
        self._max_concurrency = max_concurrency
        self._source = source
        self._limits = limits
        self._retry = retry
        self._max_resumes = max_resumes
        self._max_pause = max_pause
        self._planner = Planner(way=way, split_above=split_above, join_below=join_below)
        self._item_size = None if item_size is None else parse_size(item_size, "item_size")
        self._hedging = hedging
        self._progress = progress
        self._progress_interval = progress_interval
        self._load_window = load_window
        self._max_batch = max_batch
        self._coalescer: Coalescer | None = None
        self._group: asyncio.TaskGroup | None = None
        self._scheduler: Scheduler | None = None
        self._lines: set[Line] = set()  # of readers that did not come to their end
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    # -- opening and closing ------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise UsageError("this loader was entered before; make another one")
        if self._closed:
            raise UsageError(CLOSED)
        self._scheduler = Scheduler(
            self._max_memory, self._max_concurrency, item_size=self._item_size, hedging=self._hedging
        )
        self._group = await asyncio.TaskGroup().__aenter__()
        self._coalescer = Coalescer(
            self._scheduler,
            self._source,
            self._group,
            window=self._load_window,
            max_batch=self._max_batch,
            send=self._send,
            open_stream=self._open_stream,
        )
        if self._progress is not None:
            self._keep(self._group.create_task(self._report_again(), name="progress"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End all transfers and drop what was not read. May be called again."""
        group, closed, self._closed = self._group, self._closed, True
        if group is None or closed:
            return
        for line in list(self._lines):
            line.close()
        assert self._coalescer is not None  # noqa: S101 - for the type checker: it came with the group
        self._coalescer.close()
        for task in self._tasks:
            task.cancel()
        # Whatever the block was left with is none of the group's business, and no task of it ever fails.
        try:
            await group.__aexit__(None, None, None)
        finally:
            self._report()

    def _entered(self) -> tuple[asyncio.TaskGroup, Scheduler]:
        if self._group is None or self._scheduler is None:
            raise UsageError("only get_batch() works without `async with`: enter the loader first")
        if self._closed:
            raise UsageError(CLOSED)
        self._scheduler.check_loop()
        return self._group, self._scheduler

    # -- batches ------------------------------------------------------------------------------------------

    def get_batch(self, request: BatchRequest) -> BatchStream:
        """Return one batch, to be read with ``async with`` and ``async for``.

        It is outside of the budget: nothing is read of it before that is asked for.

        Raises:
            UsageError: if the request could never work, or the loader was closed; nothing is sent then.
        """
        if self._closed:
            raise UsageError(CLOSED)
        return self._open_stream(self._source, request)

    def _open_stream(self, source: BatchSource, request: BatchRequest) -> BatchStream:
        return BatchStream(
            source, request, limits=self._limits, retry=self._retry, max_resumes=self._max_resumes
        )

    def get_batches(
        self, requests: AsyncIterable[BatchRequest] | Iterable[BatchRequest], *, ordered: bool = True
    ) -> LoadedBatches:
        """Return an async iterator over the batches of many requests, of which several are received at once.

        Args:
            requests: Pulled as they can be admitted, and no faster. An async generator is closed in the end.
            ordered: Whether batches come in the order of their requests; else as they have something to read.

        Raises:
            UsageError: if the loader was not entered, or was closed, or belongs to another event loop.
        """
        group, scheduler = self._entered()
        line = Line(scheduler, ordered=ordered, closed=self._lines.discard)
        feeder = Feeder(line, requests, planner=self._planner, sizes=scheduler.sizes, send=self._send)
        self._lines.add(line)
        task = group.create_task(feeder.run(), name="requests")
        self._keep(task)
        return LoadedBatches(line, task)

    def stream(self, requests: AsyncIterable[BatchRequest] | Iterable[BatchRequest]) -> LoadedItems:
        """Return an async iterator over the items of many requests, strictly in order.

        Args:
            requests: As for `get_batches`.

        Raises:
            UsageError: if the loader was not entered, or was closed, or belongs to another event loop.
        """
        return LoadedItems(self.get_batches(requests))

    # -- objects ------------------------------------------------------------------------------------------

    async def load(
        self, obj: ObjectRef, *, archpath: str | None = None, start: int = 0, length: int | None = None
    ) -> bytes:
        """Return an object, a file inside it, or a range of either, in one batch with what others want.

        Args:
            obj: The object.
            archpath: A file inside it.
            start: First byte wanted.
            length: Bytes wanted; None for all from `start`.

        Raises:
            ObjectNotFoundError: if it does not exist; nobody else's call fails for that.
            RemoteError: if the server refuses it.
            IncompleteBatchError, TransportError, LimitExceededError: as for any batch.
            UsageError: if no server could have it; or if the loader was not entered, or was closed.
        """
        return await self._want(obj, archpath=archpath, start=start, length=length)

    async def load_many(self, objs: Iterable[ObjectRef]) -> list[bytes]:
        """Return objects, in order. Raises as `load` does, for the first that fails.

        All of them are held: for more than that, there is `stream`.
        """
        wanted: list[asyncio.Future[bytes]] = []
        try:
            for obj in objs:
                wanted.append(self._want(obj))  # noqa: PERF401 - those before an error are not wanted any more
            return await asyncio.gather(*wanted)
        finally:
            for future in wanted:
                future.cancel()

    def _want(
        self, obj: ObjectRef, *, archpath: str | None = None, start: int = 0, length: int | None = None
    ) -> asyncio.Future[bytes]:
        self._entered()
        assert self._coalescer is not None  # noqa: S101 - for the type checker: it came with the group
        request = BatchRequest(continue_on_err=True)
        request.add_object_request(obj, archpath=archpath, start=start, length=length)
        return self._coalescer.want(request)

    # -- figures ------------------------------------------------------------------------------------------

    @property
    def is_entered(self) -> bool:
        """Whether it was entered, and has statistics."""
        return self._scheduler is not None

    def statistics(self) -> LoaderStatistics:
        """Return figures as of now.

        Raises:
            UsageError: if the loader was not entered.
        """
        if self._scheduler is None:
            raise UsageError("a loader that was not entered has no statistics")
        return self._scheduler.statistics()

    def explain(self, request: BatchRequest) -> Plan:
        """Return how a request would be carried out, and why, as far as is known now. Nothing is sent."""
        if self._scheduler is None:
            sizes, beside = Sizes(self._item_size), 0
        else:
            sizes, beside = self._scheduler.sizes, self._scheduler.running
        return self._planner.plan(max(len(request), 1), sizes.of_entries(request.entries), beside=beside)

    async def _report_again(self) -> None:
        while True:
            await asyncio.sleep(self._progress_interval)
            self._report()

    def _report(self) -> None:
        if self._progress is not None:
            try:
                self._progress(self.statistics())
            except Exception:
                _logger.exception("the progress of a loader could not be shown")

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self, line: Line, sinks: Sequence[Sink], way: Way) -> None:
        """Put entries on their way, in one request or in one for each of them."""
        group, scheduler = self._group, self._scheduler
        assert group is not None  # noqa: S101 - for the type checker: it was entered
        assert scheduler is not None  # noqa: S101
        entries: list[Entry] = []
        for sink in sinks:
            entries += sink.delivery.entries[sink.first : sink.first + sink.count]
        request = sinks[0].delivery.request.with_entries(entries)
        source = self._source
        if way == "gets":
            if scheduler.singly is None:
                scheduler.singly = SinglySource(source, scheduler, self._retry)
            source = scheduler.singly
        lane = Lane(
            scheduler,
            source,
            line,
            sinks,
            request,
            open_stream=self._open_stream,
            stall=self._max_pause,
        )
        self._keep(lane.begin(group))
