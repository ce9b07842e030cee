"""A source whose batches are a request for each entry, many at once: for objects that are large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..batch._singles import Singles
from ..errors import RemoteError, TransportError

if TYPE_CHECKING:
    from ..batch import BatchAnswer, BatchRequest, BatchSource, EntryAnswer, Server
    from ..transport import RetryPolicy
    from ._scheduler import Scheduler

__all__ = ["SinglySource"]

_AT_ONCE: Final = 64
# What they may hold together ahead of their turn, of the budget.
_SHARE: Final = 4


class SinglySource:
    """Answers batches by a request for each entry, within a share of the budget that is its own.

    Args:
        source: What is asked.
        scheduler: Whose budget it is, from which the share is taken.
        retry: When a request that failed is sent again.
    """

    def __init__(self, source: BatchSource, scheduler: Scheduler, retry: RetryPolicy) -> None:
        self._source = source
        self._scheduler = scheduler
        share = max(scheduler.budget.maximum // _SHARE, 1)
        scheduler.budget.reserve(share)
        self._singles = Singles(self.open_entry, retry=retry, max_concurrency=_AT_ONCE, max_memory=share)
        self._peak = 0
        self.check_batch = source.check_batch

    @property
    def server(self) -> Server:
        """Who is asked."""
        return self._source.server

    @property
    def held(self) -> int:
        """Bytes that are held of its share."""
        return self._singles.held

    @property
    def peak(self) -> int:
        """The most that were seen."""
        self._peak = max(self._peak, self._singles.held)
        return self._peak

    def reach(self, request: BatchRequest, first: int) -> int:  # noqa: ARG002 - as any source takes it
        """Return the request's length."""
        return len(request)

    async def open_batch(self, request: BatchRequest) -> BatchAnswer:
        """Return an answer, for which nothing is asked before it is read."""
        return self._singles.open(request)

    async def open_entry(self, request: BatchRequest) -> EntryAnswer:
        """Ask for one entry. Raises as the source does."""
        self._peak = max(self._peak, self._singles.held)
        asked_at = await self._scheduler.before_request()
        try:
            return await self._source.open_entry(request)
        except (RemoteError, TransportError) as error:
            self._scheduler.failed(error, asked_at)
            raise
