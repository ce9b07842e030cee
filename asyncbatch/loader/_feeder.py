"""Requests from the caller's iterable, pulled as they can be admitted, and put on their way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..batch import BatchRequest
from ..errors import UsageError
from ._line import Delivery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from ._line import Line, Sink
    from ._plan import Planner, Sizes, Way

__all__ = ["Feeder"]

_CANCELLED: Final = "the iterable of requests has raised CancelledError: what it waited for was cancelled"

_logger: Final = logging.getLogger("asyncbatch.loader")


def _iterate(
    requests: AsyncIterable[BatchRequest] | Iterable[BatchRequest],
) -> AsyncIterator[BatchRequest]:
    """Iterate over requests.

    Raises:
        UsageError: for what is no iterable of them.
    """
    if isinstance(requests, AsyncIterable):
        return aiter(requests)
    if isinstance(requests, BatchRequest) or not isinstance(requests, Iterable):
        raise UsageError(f"pass an iterable of requests, not {type(requests).__name__}")
    return _Iterator(iter(requests))


class _Iterator:
    """An iterator as an async one, that also tells what is next."""

    def __init__(self, requests: Iterator[BatchRequest]) -> None:
        self._requests = requests
        self._ahead: list[BatchRequest] = []
        self._error: Exception | None = None  # that was met ahead of its turn

    def __aiter__(self) -> _Iterator:
        return self

    async def __anext__(self) -> BatchRequest:
        if self._ahead:
            return self._ahead.pop()
        if self._error is not None:
            raise self._error
        for request in self._requests:
            return request
        raise StopAsyncIteration

    def peek(self) -> BatchRequest | None:
        """Return the next request, which stays the next; None at the end, and where the iterator raises."""
        try:
            self._ahead = self._ahead or list(islice(self._requests, 1))
        except Exception as error:  # noqa: BLE001 - it is raised in its turn
            self._error = error
        return self._ahead[0] if self._ahead else None

    def skip(self) -> None:
        """Pass over what `peek` returned."""
        self._ahead.clear()


class Feeder:
    """Puts requests on their way, one after the other, as they can be admitted.

    Args:
        line: Where the deliveries go.
        requests: Of the caller. Closed in the end, if it is an async generator.
        planner: Decides how each is asked for.
        sizes: What objects weigh.
        send: Puts the entries of sinks on their way: that are to be had in one request.
    """

    def __init__(
        self,
        line: Line,
        requests: AsyncIterable[BatchRequest] | Iterable[BatchRequest],
        *,
        planner: Planner,
        sizes: Sizes,
        send: Callable[[Line, Sequence[Sink], Way], None],
    ) -> None:
        self._line = line
        self._requests = aiter(_iterate(requests))
        self._planner = planner
        self._sizes = sizes
        self._send = send

    async def run(self) -> None:
        """Go on until there are no more requests, or the iterator raises: that is for who reads the line."""
        line = self._line
        try:
            while True:
                await line.scheduler.opening(line)
                line.scheduler.wake()  # others may open while the iterator takes its time
                request = await anext(self._requests)
                if line.ended:  # it was closed, and the iterator has swallowed our cancellation
                    return
                await self._feed(request)
        except StopAsyncIteration:
            line.end()
        except asyncio.CancelledError:
            line.end(UsageError(_CANCELLED))  # unless it was closed, and we are cancelled for that
            raise
        except Exception as error:  # noqa: BLE001 - the caller's own, for whoever reads the batches
            line.end(error)
        finally:
            await self._close()

    async def _close(self) -> None:
        """Close the caller's iterator. What it raises then is nobody's: all that it gave was taken."""
        aclose = getattr(self._requests, "aclose", None)
        if aclose is not None:
            try:
                await aclose()
            except Exception:
                _logger.exception("the iterable of requests could not be closed")

    async def _feed(self, request: BatchRequest) -> None:
        line = self._line
        delivery = self._delivery(request)
        if not delivery.entries:
            line.add(delivery)
            return
        entries = delivery.entries
        size = self._sizes.of_entries(entries)
        plan = self._planner.plan(len(entries), size, beside=line.scheduler.running)
        if plan.joins:
            await line.scheduler.opening(line)  # the iterator may have taken its time
            sinks = [delivery.add(0, len(delivery.entries))]
            line.add(delivery)
            self._join(sinks)
            self._send(line, sinks, "batch")
            return
        sinks = [delivery.add(part.first, part.until - part.first) for part in plan.parts]
        line.add(delivery)
        for sink, part in zip(sinks, plan.parts, strict=True):
            await line.scheduler.opening(line)
            if delivery.dropped:
                break
            self._send(line, [sink], part.way)

    def _join(self, sinks: list[Sink]) -> None:
        """Add the sinks of the next requests, as far as these are there already and may be joined."""
        first = sinks[0].delivery.request
        ahead = self._requests
        if not isinstance(ahead, _Iterator):
            return  # nobody knows when the next one comes
        while isinstance(request := ahead.peek(), BatchRequest) and len(request):
            entries = request.entries
            count = sum(sink.count for sink in sinks) + len(entries)
            size = self._sizes.of_entries(entries)
            joins = self._planner.plan(len(entries), size).joins
            if not joins or not self._planner.may_join(first, request, count=count, size=size):
                break
            ahead.skip()
            delivery = self._delivery(request)
            sinks.append(delivery.add(0, len(entries)))
            self._line.add(delivery)

    def _delivery(self, request: BatchRequest) -> Delivery:
        if not isinstance(request, BatchRequest):
            raise UsageError(f"pass requests, not {type(request).__name__}")
        return Delivery(self._line, request, asyncio.get_running_loop().time())
