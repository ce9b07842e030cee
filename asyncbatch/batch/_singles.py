"""A batch where no server has a call for it: a request per entry, many at once, delivered in order.

What is read ahead is bounded by a count of requests and by bytes, over all the batches of a client together.
The entry that is due needs no room of anybody's, so that no batch can hold up another for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from ..archive._events import ReadyEventStream
from ..archive._sources import close_source
from ..codecs._events import MemberData, MemberEnd, MemberStart, WholeMember
from ..codecs._formats import OBJECT
from ..errors import RemoteError, TransportError, UsageError
from ..transport import DEFAULT_RETRY
from ._asker import is_of_the_entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..codecs._events import Event
    from ..limits import Limits
    from ..transport import RetryPolicy
    from ._request import BatchRequest
    from ._source import EntryAnswer

__all__ = ["DEFAULT_MAX_CONCURRENCY", "DEFAULT_MAX_MEMORY", "Singles", "SinglesAnswer"]

DEFAULT_MAX_CONCURRENCY: Final = 64
DEFAULT_MAX_MEMORY: Final = 64 << 20

# Bytes up to which an object is handed out whole; a larger one in chunks, as they come.
_SMALL: Final = 1 << 20
# Bytes that an object is expected to have before one was seen, and the least weight of each that is. Who has
# little room is not to begin with many requests for large objects, and learns of small ones by the first.
_FIRST_GUESS: Final = 1 << 20
_WEIGHT: Final = 0.1
# The name of what comes in place of an entry that has an error. No object is called so.
_FAULT: Final = ""


class Singles:
    """Answers batches by a request for each entry. Belongs to one client.

    Attributes:
        running: Requests that are under way.
        starting: Tasks that are about to send one.
        held: Bytes that were read, or are being read, ahead of their turn.

    Args:
        open_entry: Asks for one entry (see `BatchSource.open_entry`).
        retry: When a request that failed is sent again.
        max_concurrency: Requests that may be under way ahead of their turn.
        max_memory: Bytes that may be held ahead of their turn. Where answers do not tell their sizes, each
            request may exceed it by one chunk.

    Raises:
        UsageError: for bounds below 1.
    """

    def __init__(
        self,
        open_entry: Callable[[BatchRequest], Awaitable[EntryAnswer]],
        *,
        retry: RetryPolicy = DEFAULT_RETRY,
        max_concurrency: int = DEFAULT_MAX_CONCURRENCY,
        max_memory: int = DEFAULT_MAX_MEMORY,
    ) -> None:
        for name, value in (("max_concurrency", max_concurrency), ("max_memory", max_memory)):
            if value < 1:
                raise UsageError(f"{name}={value}: it is at least 1")
        self.open_entry = open_entry
        self.retry = retry
        self.running = 0
        self.starting = 0
        self.held = 0
        self._max_concurrency = max_concurrency
        self._max_memory = max_memory
        self._opening = 0  # requests whose answers have not told their sizes
        self._expected: float = _FIRST_GUESS  # bytes of an object, as far as was seen
        self._seen = 0

    def open(self, request: BatchRequest) -> SinglesAnswer:
        """Return the answer to a batch. Nothing is asked for before it is read."""
        return SinglesAnswer(self, request)

    def may_send(self) -> bool:
        """Whether one more request may be sent ahead of its turn."""
        to_come = self._expected * (self._opening + self.starting + 1)
        at_once = self.running + self.starting
        return at_once < self._max_concurrency and self.held + to_come <= self._max_memory

    def may_hold(self, size: int) -> bool:
        """Whether so many more bytes may be held ahead of their turn."""
        return self.held + size <= self._max_memory

    def sent(self) -> None:
        """Count a request that is under way."""
        self.running += 1
        self._opening += 1

    def told(self, size: int | None) -> None:
        """Count an answer that begins, and learn of its size."""
        self._opening -= 1
        if size is not None:
            self._seen += 1
            self._expected += max(_WEIGHT, 1 / self._seen) * (size - self._expected)

    def ended(self, *, was_told: bool) -> None:
        """Count a request that is over."""
        self.running -= 1
        self._opening -= not was_told


class _Single:
    """One entry on its way.

    Attributes:
        parts: What was read of it and not handed out.
        received: Bytes that were read.
        counted: Bytes that room was taken for.
        held: Of these, what was not handed out.
        size: Bytes, if the answer told; None before that as well.
        handed: Whether its beginning was handed out.
        ended: Whether nothing more will come.
        fault: The entry's own error.
        error: Another, which ends the answer.
        started: Whether that has begun.
        task: Reads it.
    """

    __slots__ = (
        "counted",
        "ended",
        "error",
        "fault",
        "handed",
        "held",
        "parts",
        "received",
        "size",
        "started",
        "task",
    )

    def __init__(self) -> None:
        self.parts: deque[bytes] = deque()
        self.received = 0
        self.counted = 0
        self.held = 0
        self.size: int | None = None
        self.handed = False
        self.ended = False
        self.fault: RemoteError | None = None
        self.error: Exception | None = None
        self.started = False
        self.task: asyncio.Task[None] | None = None


class SinglesAnswer:
    """The answer to a batch that is many: an async iterator of events, some at a time."""

    archive_format = OBJECT
    sizes = None

    def __init__(self, singles: Singles, request: BatchRequest) -> None:
        self._singles = singles
        self._request = request
        self._entries = request.entries
        self.member_names = [
            entry.name if entry.archpath is None else f"{entry.name}/{entry.archpath}"
            for entry in self._entries
        ]
        self._faults: dict[int, RemoteError] = {}
        self._due = 0  # index of the entry that is handed out next
        self._ahead: deque[_Single] = deque()  # that one, if it was asked for, and those behind it
        self._closed = False
        self._reader: asyncio.Future[None] | None = None  # waits for the one that is due
        self._paused: list[asyncio.Future[None]] = []  # wait for their turn, or for room
        self._waiting = 0  # entries that do

    def fault(self, position: int, member_name: str) -> RemoteError | None:
        """Return the error that came in place of an entry, or None if there was none."""
        return self._faults.get(position) if member_name == _FAULT else None

    def open_stream(self, limits: Limits) -> ReadyEventStream:
        """Begin to read."""
        return ReadyEventStream(self, limits=limits)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Event]:
        while not self._closed:
            self._send()
            if events := self._take():
                return events
            if self._due == len(self._entries):
                break
            single = self._ahead[0]
            if single.ended and single.error is not None:
                raise single.error
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End all requests. May be called again."""
        self._closed = True
        _wake(self._reader)
        tasks = [single.task for single in self._ahead if single.task is not None and not single.ended]
        for single in self._ahead:
            self._release(single, single.held)
            self._start(single)  # a task that is cancelled before its first turn has none
        self._ahead.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # -- handing out --------------------------------------------------------------------------------------

    def _take(self) -> list[Event]:
        """Return the events of what is complete, from the entry that is due on, and of what is too large."""
        events: list[Event] = []
        taken = 0
        while self._ahead and taken < _SMALL:
            single = self._ahead[0]
            if not single.handed and not single.ended:
                if not _is_large(single):
                    break
                single.handed = True
                events.append(_Start(self.member_names[self._due], single.size))
            taken += sum(map(len, single.parts))
            if single.handed:
                events += map(MemberData, single.parts)
            elif single.error is not None:
                break
            elif single.fault is not None:
                self._faults[self._due] = single.fault
                events.append(_Whole(_FAULT, b""))
            else:
                events.append(_Whole(self.member_names[self._due], b"".join(single.parts)))
            self._release(single, sum(map(len, single.parts)))
            single.parts.clear()
            if not single.ended or single.error is not None:
                break
            if single.handed:
                events.append(MemberEnd())
            self._advance(single)
        return events

    def _advance(self, single: _Single) -> None:
        self._release(single, single.held)
        self._ahead.popleft()
        self._due += 1
        self._send()

    def _release(self, single: _Single, size: int) -> None:
        size = min(size, single.held)
        single.held -= size
        self._singles.held -= size
        for paused in self._paused:
            _wake(paused)
        self._paused.clear()

    # -- reading ------------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Ask for the entry that is due, and for as many behind it as there is room for."""
        while (at := self._due + len(self._ahead)) < len(self._entries):
            # Whoever waits for room has a connection, in whose buffers data waits too.
            if self._ahead and (self._waiting or not self._singles.may_send()):
                break
            single = _Single()
            self._singles.starting += 1
            self._ahead.append(single)
            request = self._request.part(at, at + 1)
            single.task = asyncio.create_task(self._fetch(single, request), name=f"entry {at}")

    def _start(self, single: _Single) -> None:
        """Take down that a task has its first turn, or will have none."""
        self._singles.starting -= not single.started
        single.started = True

    async def _fetch(self, single: _Single, request: BatchRequest) -> None:
        """Read an entry, again if it breaks off and nothing of it was handed out."""
        self._start(single)
        loop = asyncio.get_running_loop()
        begin, attempts = loop.time(), 0
        try:
            while True:
                try:
                    await self._read(single, request)
                    break
                except (RemoteError, TransportError) as error:
                    attempts += 1
                    delay = self._singles.retry.delay(attempts, error, elapsed=loop.time() - begin)
                    if single.handed or delay is None:
                        raise
                    self._forget(single)
                await asyncio.sleep(delay)
        except RemoteError as error:
            if single.handed or not is_of_the_entry(error):
                single.error = error
            else:
                single.fault = error
                self._forget(single)
        except Exception as error:  # noqa: BLE001 - whoever reads the batch is to see it, in its turn
            single.error = error
        except BaseException:
            single.error = TransportError("the request was cancelled", retryable=False)
            raise
        finally:
            single.ended = True
            if not self._closed:
                self._wake_reader(single)
                self._send()

    async def _read(self, single: _Single, request: BatchRequest) -> None:
        singles = self._singles
        singles.sent()
        was_told = False
        try:
            answer = await singles.open_entry(request)
            try:
                single.size = answer.size
                singles.told(answer.size)
                was_told = True
                await self._receive(single, answer)
            finally:
                await close_source(answer.chunks)
        finally:
            singles.ended(was_told=was_told)

    async def _receive(self, single: _Single, answer: EntryAnswer) -> None:
        if single.size is not None:
            await self._pause(single, single.size)
            if self._singles.may_hold(single.size):
                self._count(single, single.size)
        chunks = aiter(answer.chunks)
        while True:
            if single.received >= single.counted:
                await self._pause(single, 1)
            chunk = await anext(chunks, None)
            if chunk is None:
                return
            single.parts.append(chunk if type(chunk) is bytes else bytes(chunk))
            single.received += len(chunk)
            self._count(single, single.received)
            if self._ahead and self._ahead[0] is single and _is_large(single):
                self._wake_reader(single)

    def _count(self, single: _Single, size: int) -> None:
        """Take room for the first `size` bytes of an entry, as far as that was not done."""
        more = max(size - single.counted, 0)
        single.counted += more
        single.held += more
        self._singles.held += more

    async def _pause(self, single: _Single, size: int) -> None:
        """Wait until there is room for bytes of an entry, or it is due and nothing of it could be taken."""
        if self._singles.may_hold(size):
            return
        self._waiting += 1
        try:
            while not self._singles.may_hold(size) and (single is not self._ahead[0] or _is_large(single)):
                paused = asyncio.get_running_loop().create_future()
                self._paused.append(paused)
                await paused
        finally:
            self._waiting -= 1

    def _forget(self, single: _Single) -> None:
        """Drop what was read of an entry."""
        single.parts.clear()
        single.received = single.counted = 0
        single.size = None
        self._release(single, single.held)

    def _wake_reader(self, single: _Single) -> None:
        if self._ahead and self._ahead[0] is single:
            _wake(self._reader)


def _is_large(single: _Single) -> bool:
    """Whether an entry is too large to be handed out whole, as far as one can tell, and has begun."""
    if not single.parts:
        return False
    return single.received > _SMALL if single.size is None else single.size > _SMALL


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


class _Whole(WholeMember):
    __slots__ = ("data", "name", "offset", "size")

    def __init__(self, name: str, data: bytes) -> None:
        self.name, self.data, self.size, self.offset = name, data, len(data), 0


class _Start(MemberStart):
    __slots__ = ("name", "offset", "size")

    def __init__(self, name: str, size: int | None) -> None:
        self.name, self.size, self.offset = name, size, 0
