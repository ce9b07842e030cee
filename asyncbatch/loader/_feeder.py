"""Requests from the caller's iterable, pulled as they can be admitted, and put on their way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING

from ..batch import BatchRequest
from ..errors import UsageError
from ._line import Delivery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from ._line import Line, Sink

__all__ = ["feed", "iterate_requests"]


def iterate_requests(
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
    """An iterator as an async one."""

    def __init__(self, requests: Iterator[BatchRequest]) -> None:
        self._requests = requests

    def __aiter__(self) -> _Iterator:
        return self

    async def __anext__(self) -> BatchRequest:
        for request in self._requests:
            return request
        raise StopAsyncIteration


async def feed(line: Line, requests: AsyncIterator[BatchRequest], send: Callable[[Sink], None]) -> None:
    """Put requests on their way, one after the other, until there are no more or the iterator raises.

    Args:
        line: Where the deliveries go.
        requests: Closed in the end, if it is an async generator.
        send: Puts the entries of a sink on their way.
    """
    scheduler = line.scheduler
    loop = asyncio.get_running_loop()
    try:
        while True:
            await scheduler.opening(line)
            request = await anext(requests, None)
            if request is None:
                break
            if not isinstance(request, BatchRequest):
                raise UsageError(f"pass requests, not {type(request).__name__}")
            delivery = Delivery(line, request, loop.time())
            if delivery.entries:
                await scheduler.opening(line)  # the iterator may have taken its time
                sink = delivery.add(0, len(delivery.entries))
                send(sink)
            line.add(delivery)
    except Exception as error:  # noqa: BLE001 - the caller's own, for whoever reads the batches
        line.end(error)
    else:
        line.end()
    finally:
        aclose = getattr(requests, "aclose", None)
        if aclose is not None:
            await aclose()
