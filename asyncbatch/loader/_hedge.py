"""A second request for the rest of a batch that is slow: who is, by values alone, and the race of the two."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ..errors import AsyncBatchError
from ._gate import GatedSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..archive._events import EventStream
    from ..batch import BatchItem, BatchRequest, BatchSource, BatchStream
    from ..errors import RemoteError, TransportError
    from ._gate import Gate

__all__ = ["Hedge", "Peers"]

# Batches that have to be known before any is called slow, and how many are remembered.
_ENOUGH: Final = 10
_REMEMBERED: Final = 200
_PERCENTILE: Final = 0.95
_MARGIN: Final = 1.1


class Peers:
    """How long batches take, and how many second requests there may be.

    Args:
        share: Second requests for each request, at most; 0 for none.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)

    def took(self, seconds: float) -> None:
        """Take down how long a batch took to be received, pauses not counted."""
        if self._share:
            self._seconds.append(seconds)

    def patience(self) -> float | None:
        """Return the seconds behind which a batch is slow; None if nobody can tell.

        That is a little more than 95 % of them took: where all take the same, none is slow.
        """
        if len(self._seconds) < _ENOUGH:
            return None
        return _MARGIN * sorted(self._seconds)[int(_PERCENTILE * len(self._seconds))]

    def allows(self, *, requests: int, hedges: int) -> bool:
        """Whether there may be one more second request."""
        return hedges + 1 <= self._share * requests


class Hedge:
    """A second stream that races a first one for its next item.

    Whoever has that item first goes on; the other is closed, so that no item comes twice.

    Args:
        source: What is asked.
        request: For what the first stream has not delivered.
        gate: Of the first stream, which becomes that of the second one when it has won.
        open_stream: Makes a batch of a source and a request.
        asked: Called when a request is sent that has not waited at the gate.

    Attributes:
        stream: The second stream.
        first: Its first item, once it has won.
    """

    def __init__(
        self,
        source: BatchSource,
        request: BatchRequest,
        gate: Gate,
        open_stream: Callable[[BatchSource, BatchRequest], BatchStream],
        asked: Callable[[], object],
    ) -> None:
        self._gate = gate
        self._asked = asked
        self.stream = open_stream(GatedSource(source, self), request)
        self.first: BatchItem | None = None

    async def run(self, win: Callable[[], bool]) -> None:
        """Wait for the first item. What goes wrong is of no interest: the first stream is still there.

        Args:
            win: Asked then whether it has won.
        """
        try:
            with suppress(AsyncBatchError):
                item = await anext(self.stream)
                if win():
                    self.first = item
        finally:
            if self.first is None:
                await self.stream.aclose()

    async def before_request(self) -> float:
        """Return the loop's time, without waiting: this is for what has waited too long."""
        if self.first is not None:
            return await self._gate.before_request()
        self._asked()
        return asyncio.get_running_loop().time()

    def failed(self, error: RemoteError | TransportError, asked_at: float) -> None:
        """Take down that there was no answer."""
        self._gate.failed(error, asked_at)

    async def before_pull(self, stream: EventStream, wanted: int) -> None:
        """Wait for nothing before the first item, and then as the first stream did."""
        if self.first is not None:
            await self._gate.before_pull(stream, wanted)
