"""One batch on its way in: members paired with entries, one at a time, until every entry is answered.

A batch is complete when, and only when, each entry was answered, in order and under its own name. An archive
that ends sooner, however cleanly, or that goes astray, is a broken answer: what was not delivered is asked
for again, and the stream goes on where it stopped.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self, TypeGuard, cast

from .._closing import AsyncCloseable
from ..archive import ArchiveMember
from ..archive._events import EventStream
from ..archive._sources import iterate_source
from ..codecs._backends import crc32
from ..codecs._events import MemberStart, WholeMember
from ..codecs._formats import OBJECT
from ..errors import (
    FormatError,
    IncompleteBatchError,
    RemoteError,
    TransportError,
    TruncatedArchiveError,
    UsageError,
)
from ..limits import DEFAULT_LIMITS
from ..transport import DEFAULT_RETRY
from ._asker import CLOSED, Asked, Asker, FaultAnswer, is_of_the_entry
from ._item import BatchItem, BatchStats
from ._members import BatchMember, BatchMembers
from ._pairing import Pairing
from ._resume import DEFAULT_MAX_RESUMES, AstrayError
from ._telemetry import begin_batch

if TYPE_CHECKING:
    from ..limits import Limits
    from ..transport import RetryPolicy
    from ._item import ItemMetadata
    from ._request import BatchRequest
    from ._source import BatchAnswer, BatchSource
    from ._telemetry import BatchTelemetry

__all__ = ["BatchStream"]

_make_tuple: Final = tuple.__new__


class BatchStream(AsyncCloseable):
    """An async iterator over the items of one batch, in the order of the request.

    Items come whole by iterating, all at once by `read_all`, or in chunks by `members`. The request is sent
    when the ``async with`` is entered or the first item is asked for; the batch closes itself at its end and
    on an error. One task may read it.

    An answer that breaks off, ends too early or goes astray is followed by a request for the entries that
    were not delivered.

    Args:
        source: What is asked.
        request: For what; copied.
        limits: Bounds on what is accepted.
        retry: When a request that had no answer is sent again. Its deadline also bounds for how long the
            batch is asked for again while that brings nothing.
        max_resumes: How often in a row it is asked for again where that brings nothing; 0 to ask only once.

    Raises (while iterating; what was delivered before is whole):
        RemoteError: The server refused the request, or, without `continue_on_err`, an entry: then
            `ObjectNotFoundError` and so on.
        IncompleteBatchError: Not every entry was answered, whatever was tried.
        TransportError: There was no answer.
        FormatError: The answer is no sound archive.
        LimitExceededError: A limit of `Limits` was met.
    """

    def __init__(
        self,
        source: BatchSource,
        request: BatchRequest,
        *,
        limits: Limits = DEFAULT_LIMITS,
        retry: RetryPolicy = DEFAULT_RETRY,
        max_resumes: int = DEFAULT_MAX_RESUMES,
    ) -> None:
        if max_resumes < 0:
            raise UsageError(f"max_resumes={max_resumes} is negative; 0 asks only once")
        source.check_batch(request)
        request = request.copy()
        self._source = source
        self._request = request
        self._limits = limits
        self._asker = Asker(source, request, retry=retry, max_resumes=max_resumes)
        self._pairing = Pairing(request, resumes=max_resumes > 0)
        self._asked: Asked | None = None  # the answer that is read
        self._stream: EventStream | None = None  # its archive
        self._asked_at = (0, 0)  # items, and bytes of the open one, that there were when it was asked for
        self._telemetry: BatchTelemetry | None = None
        self._state = "new"  # then "open", and at last "complete", "failed" or "closed"
        self._started_at: float | None = None
        self._ended_at: float | None = None

    def __repr__(self) -> str:
        kind, count = type(self).__name__, len(self._request)
        return f"<{kind} {self._state}, {self._pairing.delivered} of {count} items delivered>"

    @property
    def stats(self) -> BatchStats:
        """Figures of the batch, as of now."""
        pairing, started = self._pairing, self._started_at
        first = pairing.first_at
        ended = self._ended_at if self._ended_at is not None else time.perf_counter()
        return BatchStats(
            items=pairing.delivered,
            bytes=pairing.bytes,
            missing=pairing.missing,
            resumes=max(self._asker.asks - self._asker.parts, 0),
            requests=self._asker.requests,
            seconds_to_first_item=None if started is None or first is None else first - started,
            seconds=0.0 if started is None else ended - started,
        )

    # -- opening and closing ------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._stream is None:
            await self._open()
        return self

    async def aclose(self) -> None:
        """Drop what was not read and end the transfer. May be called again."""
        await self._close("closed")

    async def _close(self, state: str, error: BaseException | None = None) -> None:
        if self._state in {"new", "open"}:
            self._state = state
            self._ended_at = time.perf_counter()
            self._asker.close()
            if self._telemetry is not None:
                self._telemetry.end(self.stats, error)
        await self._drop_answer()

    async def _drop_answer(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()
        elif self._asked is not None:  # it came, and will not be read
            await self._asked.answer.aclose()

    async def _open(self) -> EventStream:
        """Send the first request."""
        if self._state != "new":
            raise UsageError(f"this batch is {self._state} already, or has another reader; make another one")
        self._state = "open"
        self._started_at = time.perf_counter()
        if not self._request:  # nothing to ask for, and an end that nobody waits for
            self._stream = EventStream(iterate_source(b""), None)
            return self._stream
        self._telemetry = begin_batch(self._request, self._source.server)
        try:
            return await self._ask()
        except BaseException as error:  # cancellation too: this batch will never have an answer
            await self._close("failed", error)
            raise

    async def _ask(self) -> EventStream:
        """Ask for what was not delivered, and begin to read the answer."""
        pairing = self._pairing
        self._stream = self._asked = None
        self._asked_at = pairing.delivered, pairing.given
        self._check_open()
        assert self._telemetry is not None  # noqa: S101 - for the type checker: it began before
        try:
            with self._telemetry.active():
                self._asked = asked = await self._asker.ask(pairing.delivered)
        except TruncatedArchiveError as error:
            raise pairing.incomplete("the answer broke off") from error
        except (RemoteError, TransportError) as error:
            if self._asker.asks == 1:
                raise
            raise pairing.incomplete("the rest could not be asked for") from error
        self._check_open()
        return self._read(asked)

    def _read(self, asked: Asked) -> EventStream:
        """Make an answer the one that is read."""
        self._asked = asked
        self._pairing.expect(asked)
        self._stream = asked.answer.open_stream(self._limits)
        return self._stream

    def _check_open(self) -> None:
        if self._state != "open":
            raise UsageError(CLOSED)

    # -- reading ------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchItem:
        # The hot path: a small item takes one turn of the inner loop and no await.
        pairing = self._pairing
        while self._state == "open" or self._is_readable():
            stream = self._stream or await self._open()
            try:
                for event in stream.events:
                    if isinstance(event, WholeMember):
                        data = event.data
                        if len(data) > stream.max_item_size:
                            raise stream.item_too_large(event.name, len(data))
                        metadata = pairing.take(event)
                    elif isinstance(event, MemberStart):
                        metadata, data = await self._collect(stream, event)
                    else:
                        self._skip(stream, event)
                        continue
                    return _make_tuple(BatchItem, (metadata, data))  # as BatchItem(…), in half of the time
                ended = not await stream.pull()
            except UsageError:  # of a second reader: the first one goes on
                raise
            except BaseException as error:  # noqa: BLE001 - cancellation too; raised again unless resumed
                await self._recover(error)
            else:
                if ended:
                    await self._go_on_behind_end()
        raise StopAsyncIteration

    async def read_all(self) -> list[BatchItem]:
        """Return all items that were not read yet.

        Raises:
            IncompleteBatchError: whose `items` are those that were received; and what iterating raises.
        """
        items: list[BatchItem] = []
        try:
            async for item in self:
                items.append(item)  # noqa: PERF401 - those before an error are kept
        except IncompleteBatchError as error:
            error.items = tuple(items)
            raise
        return items

    def members(self) -> BatchMembers:
        """Return an async iterator over the items that hands out their data in chunks, as it arrives."""
        return BatchMembers(self)

    async def _next_member(self) -> BatchMember:
        pairing = self._pairing
        while self._state == "open" or self._is_readable():
            stream = self._stream or await self._open()
            try:
                for event in stream.events:
                    if isinstance(event, WholeMember):
                        metadata = pairing.take(event)
                        stream.current = member = ArchiveMember(stream, event, event.data)
                        return BatchMember(self, pairing, metadata, member)
                    if isinstance(event, MemberStart):
                        return await self._open_member(stream, event)
                    self._skip(stream, event)
                ended = not await stream.pull()
            except UsageError:  # as in __anext__()
                raise
            except BaseException as error:  # noqa: BLE001 - as in __anext__()
                await self._recover(error)
            else:
                if ended:
                    await self._go_on_behind_end()
        raise StopAsyncIteration

    async def _open_member(self, stream: EventStream, event: MemberStart) -> BatchMember:
        pairing, data = self._pairing, None
        if pairing.is_open_range(event):
            # Of an object that came in its place nobody is to be given the beginning.
            metadata, data = await self._collect(stream, event)
        else:
            metadata = pairing.open(event)
        stream.current = member = ArchiveMember(stream, event, data)
        return BatchMember(self, pairing, metadata, member)

    async def _collect(self, stream: EventStream, event: MemberStart) -> tuple[ItemMetadata, bytes]:
        """Hold an item whole that did not come so."""
        metadata = self._pairing.begin(event)
        data = await stream.collect(event)
        metadata.size = len(data)
        self._pairing.end(metadata)
        return metadata, data

    def _skip(self, stream: EventStream, event: object) -> None:
        """Pass over the rest of an item that was handed out in chunks and not read to its end."""
        self._pairing.skip(event)
        stream.current = None  # whoever still has the member must not read the next one's data

    def _is_readable(self) -> bool:
        if self._state in {"closed", "failed"}:
            raise UsageError(f"this batch is {self._state}; make another one for what is still wanted")
        return self._state != "complete"

    # -- the end of an answer -----------------------------------------------------------------------------

    async def _go_on_behind_end(self) -> None:
        try:
            await self._end_of_answer()
        except BaseException as error:  # noqa: BLE001 - as in __anext__()
            await self._recover(error)

    async def _end_of_answer(self) -> None:
        """Go on behind an archive that was read to its end, if that was not too early."""
        if self._pairing.delivered < self._pairing.until:
            raise AstrayError("the archive ended before every entry was answered")
        await self._go_on()

    async def _go_on(self) -> None:
        """Behind all that an answer was to bring: ask for the rest, or end the batch if there is none."""
        if self._asked is not None:
            self._asker.answered(self._asked)
        if self._pairing.delivered == len(self._request):
            await self._close("complete")
        else:
            await self._drop_answer()
            await self._ask()

    async def _recover(self, error: BaseException, *, in_item: bool = False) -> None:
        """Go on behind a failure by another request; where that is of no use, close, and raise what it means.

        Behind the last item nothing is missing: that the archive's end does not come is no failure, though a
        contradiction is.

        Args:
            error: The failure.
            in_item: Whether the item that is open is still wanted.
        """
        pairing = self._pairing
        try:
            await self._drop_answer()
            self._stream = None  # another reader must not meet it
            if self._request.continue_on_err and not in_item and self._is_of_one(error):
                if pairing.open_item is None:
                    due = pairing.delivered
                    self._read(Asked(FaultAnswer(error), due, due + 1, alone=True))
                    return
            elif not self._is_broken_off(error):
                raise error
            elif pairing.delivered < pairing.until:
                await self._wait_to_resume(error, in_item=in_item)
            if not in_item:
                pairing.leave(ended=False)  # nobody asked for the rest of it
            if pairing.delivered < pairing.until:
                await self._ask()
            else:
                await self._go_on()
        except BaseException as failure:
            await self._close("failed", failure)
            raise

    def _is_of_one(self, error: BaseException) -> TypeGuard[RemoteError]:
        """Whether an error is that of the entry that is due, which may show while it is read by itself."""
        asked = self._asked
        if asked is None or not isinstance(error, RemoteError):
            return False
        # What answers with objects as they are reads each by itself.
        return asked.alone or (asked.answer.archive_format is OBJECT and is_of_the_entry(error))

    def _is_broken_off(self, error: BaseException) -> TypeGuard[Exception]:
        """Whether an error means that more should have come, or other things: what another answer may."""
        if isinstance(error, TruncatedArchiveError | TransportError | AstrayError):
            return True
        if isinstance(error, RemoteError):  # of one request of many, such as that there were too many
            return error.retryable and not (self._asked and self._asked.alone)
        # Where its metadata disagrees with a zip, that is read by sizes that are not its own.
        answer = self._asked.answer if self._asked is not None else None
        return isinstance(error, FormatError) and bool(answer and answer.sizes and _is_zip(answer))

    async def _wait_to_resume(self, error: Exception, *, in_item: bool) -> None:
        """Wait until it is time to ask again; raise what an answer that broke off means if that is never."""
        pairing = self._pairing
        passed_over = pairing.open_item is not None and not in_item  # which then counts as delivered
        gained = passed_over or (pairing.delivered, pairing.given) > self._asked_at
        items = pairing.delivered - self._asked_at[0] + passed_over
        if not await self._asker.recover(error, items, gained=gained, delivered=pairing.delivered):
            if isinstance(error, AstrayError):
                raise pairing.incomplete(str(error)) from None
            raise pairing.incomplete("the answer broke off") from error
        _forget_frames(error)

    async def _reopen(self, item: ItemMetadata, error: BaseException) -> tuple[ArchiveMember, bytes]:
        """Ask again for the item that was open when an answer broke off, and go to where it stopped.

        Returns:
            The item's data, and of it what was taken too much.

        Raises:
            IncompleteBatchError: if the item is another one now, or asking again is of no use.
        """
        while True:
            await self._recover(error, in_item=True)
            stream = self._stream
            assert stream is not None  # noqa: S101 - for the type checker: it was asked for again
            try:
                while True:
                    for event in stream.events:  # the first of which is a member's beginning
                        return await self._pass_over(stream, cast("WholeMember | MemberStart", event), item)
                    if not await stream.pull():
                        await self._end_of_answer()
            except RemoteError as gone:
                failure = (
                    self._pairing.changed(item)
                    if gone.status == 404
                    else self._pairing.incomplete(
                        f"entry {item.index}: the rest of object {item.name!r} cannot be had"
                    )
                )
                await self._close("failed", failure)
                raise failure from gone
            except BaseException as again:  # noqa: BLE001 - as in __anext__()
                error = again

    async def _pass_over(
        self, stream: EventStream, event: WholeMember | MemberStart, item: ItemMetadata
    ) -> tuple[ArchiveMember, bytes]:
        """Begin the open item again, behind what was handed out of it.

        No answer tells which version of an object it has. So what was handed out is held against what comes
        now: nobody is to be given the one half of one version and the other half of another.
        """
        pairing = self._pairing
        pairing.reopen(item, event)
        member = ArchiveMember(stream, event, event.data if isinstance(event, WholeMember) else None)
        stream.current = member
        crc, left, chunk = 0, pairing.given, b""
        while left:
            chunk = await anext(member, b"")
            crc = crc32(chunk[:left], crc)
            if not chunk or (len(chunk) >= left and not pairing.is_same(crc)):
                raise pairing.changed(item)
            chunk, left = chunk[left:], max(left - len(chunk), 0)
        if isinstance(event, WholeMember):  # it ended as it began
            pairing.close(event.size)
        return member, chunk


def _is_zip(answer: BatchAnswer) -> bool:
    return answer.archive_format is not None and answer.archive_format.container == "zip"


def _forget_frames(error: BaseException | None) -> None:
    """Let go of what the frames of an error hold: half an item, and the batch, in a cycle."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
