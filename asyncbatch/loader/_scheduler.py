"""Who may go on: the budget and the number of batches at once, shared by all that a loader receives."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ._budget import Budget
from ._concurrency import AdaptiveConcurrency, is_overload
from ._hedge import Peers
from ._plan import Sizes
from ._statistics import LoaderStatistics

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ..errors import RemoteError, TransportError
    from ._lane import Lane
    from ._line import Line
    from ._singly import SinglySource

__all__ = ["Scheduler"]

# How many deliveries may be under way for one reader, in multiples of the batches at once: some that have
# come wait for one that is slow.
_DELIVERIES: Final = 4


class Scheduler:
    """Admits lanes to opening and to pulling.

    Attributes:
        budget: Of bytes.
        concurrency: Of lanes at once.
        running: Lanes that receive, those that wait for room not counted.
        paused: Lanes that wait for room, and whom to tell; in the order in which they began to.
        peers: How long batches take.
        sizes: What objects weigh.
        singly: Asks for large ones, once there are any.
        lanes: All that were begun and have not ended.
        requests: That were sent.
        items: That have arrived.
        hedges: Second requests for what was slow.

    Args:
        max_memory: Bytes.
        max_concurrency: Lanes at once, at most.
        item_size: Bytes of an object, about, if that is known.
        hedging: Second requests for each request, at most.

    Raises:
        RuntimeError: outside of an event loop, of which it is.
    """

    def __init__(
        self, max_memory: int, max_concurrency: int, *, item_size: int | None = None, hedging: float = 0.0
    ) -> None:
        self.peers = Peers(hedging)
        self._loop = asyncio.get_running_loop()
        self.budget = Budget(max_memory)
        self.concurrency = AdaptiveConcurrency(max_concurrency)
        self.running = 0
        self.paused: dict[Lane, asyncio.Future[bool]] = {}
        self.sizes = Sizes(item_size)
        self.singly: SinglySource | None = None
        self.lanes: set[Lane] = set()
        self.requests = 0
        self.items = 0
        self._retries = 0
        self._resumes = 0
        self.hedges = 0
        self._openers: deque[tuple[Line, asyncio.Future[None]]] = deque()
        self._max_deliveries = _DELIVERIES * max_concurrency

    def check_loop(self) -> None:
        """Raise UsageError in another event loop than the loader's."""
        if asyncio.get_running_loop() is not self._loop:
            raise UsageError("this loader was entered in another event loop; make one for each")

    # -- opening ------------------------------------------------------------------------------------------

    def may_open(self, line: Line) -> bool:
        """Whether one more lane may be opened for a line."""
        if self.running >= self.concurrency.limit:
            return False
        if line.wants_a_head:
            return True
        return self.budget.held < self.budget.ahead and len(line.deliveries) < self._max_deliveries

    async def opening(self, line: Line) -> None:
        """Wait until one more lane may be opened. It has to be begun at once."""
        while not self.may_open(line):
            opener = asyncio.get_running_loop().create_future()
            self._openers.append((line, opener))
            try:
                await opener
            except BaseException:  # it was cancelled: its turn is another's
                self._openers.remove((line, opener))
                self.wake()
                raise
            self._openers.remove((line, opener))

    def begun(self, lane: Lane) -> None:
        """Count a lane that receives from now on."""
        self.running += 1
        self.lanes.add(lane)
        self.wake()

    def left(self, lane: Lane) -> None:
        """Count a lane that receives nothing any more."""
        self.lanes.discard(lane)
        _, retries, resumes = lane.efforts
        self._retries += retries
        self._resumes += resumes
        self._stopped()

    def _stopped(self) -> None:
        self.running -= 1
        self.concurrency.disturbed()
        self.wake()

    @property
    def is_crowded(self) -> bool:
        """Whether more lanes run than may."""
        return self.running > self.concurrency.limit

    # -- pulling ------------------------------------------------------------------------------------------

    def may_pull(self, lane: Lane) -> bool:
        """Whether a lane that was paused may go on."""
        if lane.is_head:
            return self.budget.admits(is_head=True, has_ready=lane.has_ready, wanted=lane.wanted)
        if self.running >= self.concurrency.limit:
            return False
        if lane.dropped:  # it is not asked for again and again, only to wait as it did before
            return self.budget.held + lane.dropped < self.budget.ahead // 2
        return self.budget.admits(is_head=False, has_ready=True, wanted=lane.wanted)

    async def pause(self, lane: Lane, seconds: float | None) -> bool:
        """Wait until a lane may go on, and return True; or False when that took too long.

        Args:
            lane: Which does not count as running meanwhile.
            seconds: After which it is too long; None for never.
        """
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[bool] = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, _tell, waiting, False)
        self.paused[lane] = waiting
        self._stopped()
        try:
            return await waiting
        finally:
            if self.paused.pop(lane, None) is not None:  # who was let go on runs already
                self.running += 1
            if timer is not None:
                timer.cancel()

    # -- memory -------------------------------------------------------------------------------------------

    def arrived(self, kind: Hashable, items: int, missing: int, size: int) -> None:
        """Count items that came, and learn from those that exist what their kind weighs."""
        self.items += items
        if items > missing:
            self.sizes.saw(kind, items - missing, size)

    def received(self, size: int) -> None:
        """Count bytes that are held from now on, or, if negative, that are not any more."""
        self.budget.hold(size)
        if self.running >= self.concurrency.limit:
            self.concurrency.received(max(size, 0), asyncio.get_running_loop().time())

    def release(self, size: int) -> None:
        """Count bytes that are no longer held."""
        self.budget.hold(-size)
        self.wake()

    def wake(self) -> None:
        """Let go on whoever may."""
        for lane, waiting in list(self.paused.items()):
            if not waiting.done() and self.may_pull(lane):
                del self.paused[lane]
                self.running += 1
                waiting.set_result(True)
        for line, opener in self._openers:
            if not opener.done() and self.may_open(line):
                opener.set_result(None)
                break

    # -- figures ------------------------------------------------------------------------------------------

    def statistics(self) -> LoaderStatistics:
        """Return the figures as of now."""
        efforts = [lane.efforts for lane in self.lanes]
        return LoaderStatistics(
            held_bytes=self.budget.held + (0 if self.singly is None else self.singly.held),
            peak_held_bytes=self.budget.peak + (0 if self.singly is None else self.singly.peak),
            running=self.running,
            waiting=len(self.paused) + len(self._openers),
            concurrency=self.concurrency.limit,
            requests=self.requests,
            items=self.items,
            retries=self._retries + sum(retries for _, retries, _ in efforts),
            resumes=self._resumes + sum(resumes for _, _, resumes in efforts),
            hedges=self.hedges,
        )

    # -- requests -----------------------------------------------------------------------------------------

    async def before_request(self) -> float:
        """Wait until the server is to be asked; return the loop's time."""
        loop = asyncio.get_running_loop()
        while (seconds := self.concurrency.pause(loop.time())) > 0:  # noqa: ASYNC110 - others may prolong it
            await asyncio.sleep(seconds)
        self.asked()
        return loop.time()

    def asked(self) -> None:
        """Count a request that is sent."""
        self.requests += 1

    def failed(self, error: RemoteError | TransportError, asked_at: float) -> None:
        """Take down that there was no answer to a request."""
        if is_overload(error):
            now = asyncio.get_running_loop().time()
            self.concurrency.overloaded(error, asked_at=asked_at, now=now)


def _tell(waiting: asyncio.Future[bool], value: bool) -> None:  # noqa: FBT001 - called by the loop
    if not waiting.done():
        waiting.set_result(value)
