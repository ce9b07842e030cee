"""Decompression that leaves the event loop its turns: by steps, and if it is slow, in a worker thread.

What gzip, LZ4 and zstd take for a step is less than what it costs to wake a thread and to move the data from
one processor's cache to another's: it is decoded in place, and the loop has its turn behind each step. bzip2
and xz take ten times as long. They are decoded in a worker while the step before is consumed, but for small
chunks. Decompressor and container run together there, so that a small member costs no hand-over of its own.

The source is read by whoever pulls, and by nobody else: a generator with a timeout, a cancel scope or a
context variable around its `yield` has to be resumed by the task that began it. So it is read ahead only if
it can hand out what is there already (`ReadySource`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

from ..codecs._events import MemberData, WholeMember
from ..errors import AsyncBatchError
from ._threads import decoding_threads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ..codecs._events import Buffer, Decoder, Event

__all__ = ["Pipeline", "ReadySource", "own"]

# Bytes of a slow compression, of which less is decoded in place as well: a millisecond or two.
_IN_PLACE: Final = 16_384
# Bytes that are read ahead, where that is possible; tiny chunks count for more than they are.
_AHEAD: Final = 524_288
_CHUNK_COST: Final = 64
# Bytes of output of a step, or a little more: what a bomb has for each turn of the limits and of the loop.
_STEP: Final = 262_144
# Steps that wait for the consumer, while another one is worked at.
_DEPTH: Final = 2
# What an event without data counts for.
_EVENT_COST: Final = 512


@runtime_checkable
class ReadySource(Protocol):
    """A source of chunks that also tells what it has without waiting."""

    def take_ready(self) -> Buffer | None:
        """Return the next chunk if it is there; None if not, at the end, and where there is an error."""
        ...


class _Step(NamedTuple):
    """What one turn of the decoder gave.

    Attributes:
        events: In order.
        error: What it raised behind them.
        size: Bytes of data that came out, about.
        more: Whether it has more to give before it is fed again.
    """

    events: Sequence[Event]
    error: Exception | None
    size: int
    more: bool


def own(chunk: Buffer) -> bytes:
    """Return a chunk that stays as it is: parts of members are kept, and views of a buffer in use change."""
    return chunk if type(chunk) is bytes else bytes(memoryview(chunk))


class Pipeline:
    """Decodes a source, and hands out what came of it, a step at a time.

    At most two steps wait for the consumer, and half a mebibyte of input for the worker.

    Args:
        chunks: The source, which is not closed.
        decoder: What decodes. From now on it is the pipeline's.
        fed: Whether it was fed what was not iterated over yet.
    """

    def __init__(self, chunks: AsyncIterator[Buffer], decoder: Decoder, *, fed: bool = False) -> None:
        self._chunks = chunks
        self._in_thread = decoder.is_slow
        self._ready = chunks if self._in_thread and isinstance(chunks, ReadySource) else None
        self._decoder = decoder
        self._decoded = 0  # bytes, in place, since the loop had its turn
        self._input: list[bytes] = []
        self._size = 0  # of the input; about
        self._job: asyncio.Future[_Step] | None = None
        self._steps: deque[_Step] = deque()
        self._more = fed  # the decoder has more to give before it is fed again
        self._at_end = False  # it was told that no more comes
        self._ended = False  # nothing is left to be done

    async def pull(self) -> tuple[Sequence[Event], Exception | None] | None:
        """Return the next events, and the error behind them; None at the end.

        Raises:
            Exception: what the source raised, behind all that came of it.
        """
        while not self._steps:
            if self._ended:
                return None
            self._begin_job()
            if self._job is None:
                await self._work_in_place()
            else:
                # Not the job itself: a cancellation must not cancel what a thread is working at.
                await asyncio.wait([self._job])
        step = self._steps.popleft()
        self._read_ready()
        self._begin_job()
        return step.events, step.error

    def close(self) -> None:
        """Drop what was not taken. A step that is worked at ends by itself."""
        self._end()
        self._steps.clear()

    async def _work_in_place(self) -> None:
        """Take the next step here and now; read, if there is nothing for it."""
        if self._more or self._size:
            step = _decode(self._decoder, b"" if self._more else self._take_input())
            self._take(step)
            self._decoded += step.size
            if self._decoded >= _STEP:
                self._decoded = 0
                await asyncio.sleep(0)
            return
        try:
            self._keep(await self._chunks.__anext__())
        except StopAsyncIteration:
            self._at_end = True
            self._take(_decode(self._decoder, b"", at_end=True))
        else:
            self._read_ready()

    def _read_ready(self) -> None:
        """Read what is there already."""
        while self._ready is not None and self._size < _AHEAD and not self._ended:
            chunk = self._ready.take_ready()
            if chunk is None:
                break
            self._keep(chunk)

    def _keep(self, chunk: Buffer) -> None:
        self._input.append(own(chunk))
        self._size += len(chunk) + _CHUNK_COST

    def _take_input(self) -> bytes:
        chunks = self._input
        self._input, self._size = [], 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _begin_job(self) -> None:
        """Begin the next step in a worker, if it is worth it and not too many wait."""
        worth_it = self._in_thread and (self._more or self._size > _IN_PLACE)
        if worth_it and self._job is None and len(self._steps) < _DEPTH:
            data = b"" if self._more else self._take_input()
            loop = asyncio.get_running_loop()
            self._job = loop.run_in_executor(decoding_threads(), _decode, self._decoder, data)
            self._job.add_done_callback(self._take_result)

    def _take_result(self, job: asyncio.Future[_Step]) -> None:
        self._job = None
        if not self._ended:
            self._take(job.result())
            self._begin_job()

    def _take(self, step: _Step) -> None:
        self._steps.append(step)
        self._more = step.more
        if step.error is not None or (self._at_end and not step.more):
            self._end()

    def _end(self) -> None:
        self._ended = True
        self._more = False
        self._take_input()


def _decode(decoder: Decoder, data: bytes, *, at_end: bool = False) -> _Step:
    """Feed a decoder and take one step's worth of events."""
    events: list[Event] = []
    size = 0
    try:
        with suppress(AsyncBatchError):  # which it raises again, behind what was sound
            if data:
                decoder.feed(data)
            if at_end:
                decoder.feed_eof()
        for event in decoder:
            events.append(event)
            size += len(event.data) if isinstance(event, WholeMember | MemberData) else _EVENT_COST
            if size >= _STEP:
                return _Step(events, None, size, more=True)
    except Exception as error:  # noqa: BLE001 - whoever pulls gets it
        return _Step(events, error, size, more=False)
    return _Step(events, None, size, more=False)
