"""Decompression off the event loop: a worker thread decodes one slice while the next is read.

Handing every chunk to a thread costs more than it saves. So it is slices that are handed over: what the
source gave while the worker was busy with the one before. A slow source is decoded in place, a fast one
makes slices large. What decompresses releases the GIL; container and decompressor run together, so that a
small member costs no hand-over of its own.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from ..codecs._events import MemberData, WholeMember
from ..errors import AsyncBatchError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ..codecs._events import Buffer, Decoder, Event

__all__ = ["Pipeline", "own"]

# Less is decoded in place: a tenth of a millisecond for most formats, one or two for bzip2 and xz.
_IN_PLACE: Final = 16_384
# Bytes that are read ahead, beyond which the source has to wait.
_AHEAD: Final = 524_288
# Bytes of output of a step, or a little more: what a bomb has for each turn of the limits and of the loop.
_STEP: Final = 262_144
# Steps that wait for the consumer, while another one is worked at.
_DEPTH: Final = 2
# What an event without data counts for.
_EVENT_COST: Final = 512


class _Step(NamedTuple):
    """What one turn of the decoder gave.

    Attributes:
        events: In order.
        error: What it raised behind them.
        more: Whether it has more to give before it is fed again.
    """

    events: Sequence[Event]
    error: Exception | None
    more: bool


def own(chunk: Buffer) -> bytes:
    """Return a chunk that stays as it is: parts of members are kept, and views of a buffer in use change."""
    return chunk if type(chunk) is bytes else bytes(memoryview(chunk))


class Pipeline:
    """Reads a source, decodes in a worker thread, and hands out what came of it, a step at a time.

    At most two steps wait for the consumer, and half a mebibyte of input for the worker.

    Args:
        chunks: The source. It is read by a task of the pipeline's own, and not closed.
        decoder: What decodes. From now on it is the pipeline's; what it was fed already is not lost.
    """

    def __init__(self, chunks: AsyncIterator[Buffer], decoder: Decoder) -> None:
        self._decoder = decoder
        self._input = _ReadAhead(chunks)
        self._reading = asyncio.create_task(self._input.run(), name="asyncbatch: read ahead")
        # Whoever drops an archive in the middle has no reader any more, but the task would wait on.
        weakref.finalize(self, _cancel, self._reading).atexit = False
        self._job: asyncio.Future[_Step] | None = None
        self._steps: deque[_Step] = deque()
        self._more = True  # the decoder has more to give: it may have been fed
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
            self._work_ahead()
            if self._job is None:
                await self._work_in_place()
            else:
                # Not the job itself: a cancellation must not cancel what a thread is working at.
                await asyncio.wait([self._job])
        step = self._steps.popleft()
        self._work_ahead()
        return step.events, step.error

    async def aclose(self) -> None:
        """Stop reading, and drop what was not taken. A step that is worked at ends by itself."""
        self._end()
        self._steps.clear()
        self._reading.cancel()
        await asyncio.wait([self._reading])

    def _work_ahead(self) -> None:
        """Begin the next step in the worker, if it is worth it and not too many wait."""
        worth_it = self._more or self._input.size > _IN_PLACE
        if worth_it and self._job is None and len(self._steps) < _DEPTH:
            loop = asyncio.get_running_loop()
            self._job = loop.run_in_executor(None, _decode, self._decoder, *self._next_input())
            self._job.add_done_callback(self._take_result)

    async def _work_in_place(self) -> None:
        """Take the next step here and now, or wait for what it may be made of."""
        source = self._input
        if source.size or source.ended:
            self._take(_decode(self._decoder, *self._next_input()))
        elif source.error is not None:
            raise source.error
        else:
            await source.wait()

    def _next_input(self) -> tuple[Sequence[bytes], bool]:
        """Return what the decoder is to be fed, and whether to say that it is the last."""
        if self._more:
            return (), False
        self._at_end = self._input.ended
        return self._input.take(), self._at_end

    def _take_result(self, job: asyncio.Future[_Step]) -> None:
        self._job = None
        if not (self._ended or job.cancelled()):
            self._take(job.result())
            self._work_ahead()

    def _take(self, step: _Step) -> None:
        self._steps.append(step)
        self._more = step.more
        if step.error is not None or (self._at_end and not step.more):
            self._end()

    def _end(self) -> None:
        self._ended = True
        self._more = False
        self._input.take()


class _ReadAhead:
    """Reads a source, and stops while too much of it lies there.

    It knows nothing of the pipeline, so that a pipeline that was dropped does not live on in the task.

    Attributes:
        size: Bytes that lie there.
        ended: Whether the source has ended.
        error: What it raised.
    """

    def __init__(self, chunks: AsyncIterator[Buffer]) -> None:
        self._source = chunks
        self._chunks: list[bytes] = []
        self._news = asyncio.Event()
        self._space = asyncio.Event()
        self.size = 0
        self.ended = False
        self.error: BaseException | None = None

    async def run(self) -> None:
        """Read to the end, or until it is cancelled."""
        try:
            while True:
                chunk = own(await self._source.__anext__())
                self._chunks.append(chunk)
                self.size += len(chunk)
                self._news.set()
                while self.size >= _AHEAD:
                    self._space.clear()
                    await self._space.wait()
        except StopAsyncIteration:
            self.ended = True
        except Exception as error:  # noqa: BLE001 - whoever pulls gets it, behind what was read
            self.error = error
        except BaseException as error:  # cancellation: by the source itself, it may be
            self.error = error
            raise
        finally:
            self._news.set()

    def take(self) -> list[bytes]:
        """Return all that lies there."""
        chunks, self._chunks = self._chunks, []
        self.size = 0
        self._space.set()
        return chunks

    async def wait(self) -> None:
        """Wait until there is something new: bytes, the end, or an error."""
        self._news.clear()
        await self._news.wait()


def _decode(decoder: Decoder, chunks: Sequence[bytes], at_end: bool) -> _Step:  # noqa: FBT001 - by an executor
    """Feed a decoder and take one step's worth of events."""
    events: list[Event] = []
    size = 0
    try:
        with suppress(AsyncBatchError):  # which it raises again, behind what was sound
            for chunk in chunks:
                decoder.feed(chunk)
            if at_end:
                decoder.feed_eof()
        for event in decoder:
            events.append(event)
            size += len(event.data) if isinstance(event, WholeMember | MemberData) else _EVENT_COST
            if size >= _STEP:
                return _Step(events, None, more=True)
    except Exception as error:  # noqa: BLE001 - whoever pulls gets it
        return _Step(events, error, more=False)
    return _Step(events, None, more=False)


def _cancel(reading: asyncio.Task[None]) -> None:
    """Cancel a task from wherever the garbage collector runs."""
    with suppress(RuntimeError):  # the loop was closed
        reading.get_loop().call_soon_threadsafe(reading.cancel)
