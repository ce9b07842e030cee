"""A source as a loader asks it: requests are sent when they may be, and bytes pulled when there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from ..errors import RemoteError, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..archive._events import EventStream
    from ..batch import BatchAnswer, BatchRequest, BatchSource, EntryAnswer, Server
    from ..codecs import ArchiveFormat
    from ..errors import RemoteError as Fault
    from ..limits import Limits

__all__ = ["Gate", "GatedSource"]

_T = TypeVar("_T")


class Gate(Protocol):
    """Who says when."""

    async def before_request(self) -> float:
        """Wait until a request may be sent; return the loop's time."""
        ...

    def failed(self, error: RemoteError | TransportError, asked_at: float) -> None:
        """Hear that there was no answer to the request that was sent at a time."""
        ...

    async def before_pull(self, stream: EventStream, wanted: int) -> None:
        """Wait until bytes may be pulled, and so many be asked for at once."""
        ...


class GatedSource:
    """Another source, behind a gate.

    Args:
        source: The other.
        gate: Says when.
        asks: Whether the gate is told of requests; not where the source sees to them by itself.
    """

    def __init__(self, source: BatchSource, gate: Gate, *, asks: bool = True) -> None:
        self._asks = asks
        self._source = source
        self._gate = gate
        self.check_batch = source.check_batch
        self.reach = source.reach

    @property
    def server(self) -> Server:
        """Who is asked."""
        return self._source.server

    async def open_batch(self, request: BatchRequest) -> GatedAnswer:
        """Send a request when it may be. Raises as the source does."""
        return GatedAnswer(await self._ask(self._source.open_batch, request), self._gate)

    async def open_entry(self, request: BatchRequest) -> EntryAnswer:
        """Ask for one entry when it may be asked for. Raises as the source does."""
        answer = await self._ask(self._source.open_entry, request)
        answer.open_stream = GatedAnswer(answer, self._gate).open_stream  # type: ignore[method-assign]
        return answer

    async def _ask(self, send: Callable[[BatchRequest], Awaitable[_T]], request: BatchRequest) -> _T:
        if not self._asks:
            return await send(request)
        asked_at = await self._gate.before_request()
        try:
            return await send(request)
        except (RemoteError, TransportError) as error:
            self._gate.failed(error, asked_at)
            raise


class GatedAnswer:
    """Another answer, behind a gate."""

    def __init__(self, answer: BatchAnswer, gate: Gate) -> None:
        self._open_stream = answer.open_stream
        self._gate = gate
        self.archive_format: ArchiveFormat | None = answer.archive_format
        self.member_names: Sequence[str] = answer.member_names
        self.sizes: Sequence[int] | None = answer.sizes
        self.aclose = answer.aclose
        self._fault = answer.fault

    def fault(self, position: int, member_name: str) -> Fault | None:
        """Return the error that a member of another name stands for."""
        return self._fault(position, member_name)

    def open_stream(self, limits: Limits) -> EventStream:
        """Begin to read; pulling waits at the gate."""
        stream = self._open_stream(limits)
        stream.gate = self._gate.before_pull
        return stream
