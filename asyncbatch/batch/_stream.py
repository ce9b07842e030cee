"""One batch on its way in: members paired with entries, one at a time, until every entry is answered.

A batch is complete when, and only when, each entry was answered, in order and under its own name. An archive
that ends sooner, however cleanly, is a broken batch.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from .._closing import AsyncCloseable
from ..archive import ArchiveMember
from ..archive._events import EventStream
from ..archive._sources import close_source, iterate_source
from ..codecs._events import MemberData, MemberStart, WholeMember
from ..errors import (
    BucketNotFoundError,
    FormatError,
    IncompleteBatchError,
    ObjectNotFoundError,
    TransportError,
    TruncatedArchiveError,
    UsageError,
)
from ..limits import DEFAULT_LIMITS
from ._item import BatchItem, BatchStats, ItemMetadata

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from ..codecs._events import Buffer
    from ..limits import Limits
    from ._request import BatchRequest
    from ._source import BatchAnswer, BatchSource

__all__ = ["BatchMember", "BatchMembers", "BatchStream"]

_make_object: Final = object.__new__
_make_tuple: Final = tuple.__new__

# That more should have come, and did not.
_BROKEN_OFF: Final = (TruncatedArchiveError, TransportError)


class BatchStream(AsyncCloseable):
    """An async iterator over the items of one batch, in the order of the request.

    Items come whole by iterating, all at once by `read_all`, or in chunks by `members`. The request is sent
    when the ``async with`` is entered or the first item is asked for; the batch closes itself at its end and
    on an error. One task may read it.

    Raises (while iterating; what was delivered before is whole):
        RemoteError: The server refused the request, or, without `continue_on_err`, an entry: then
            `ObjectNotFoundError` and so on.
        IncompleteBatchError: The answer ended, broke off, or went astray before every entry was answered.
        TransportError: There was no answer.
        FormatError: The answer is no sound archive.
        LimitExceededError: A limit of `Limits` was met.
    """

    def __init__(
        self, source: BatchSource, request: BatchRequest, *, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        source.check_batch(request)
        self._source = source
        self._request = request.copy()
        self._entries = request.entries
        self._limits = limits
        self._answer: BatchAnswer | None = None
        self._stream: EventStream | None = None
        self._names: Sequence[str] = ()  # under which the entries come
        self._delivered = 0  # items handed out whole, which are the first entries
        self._open_item: ItemMetadata | None = None  # begun and handed out in chunks
        self._is_sized = True  # whether its beginning told the size of the last item
        self._state = "new"  # then "open", and at last "complete", "failed" or "closed"

        self._requests = 0
        self._bytes = 0
        self._missing = 0
        self._started_at: float | None = None
        self._first_at: float | None = None
        self._ended_at: float | None = None

    def __repr__(self) -> str:
        return f"<BatchStream {self._state}, {self._delivered} of {len(self._entries)} items delivered>"

    @property
    def stats(self) -> BatchStats:
        """Figures of the batch, as of now."""
        started, first = self._started_at, self._first_at
        ended = self._ended_at if self._ended_at is not None else time.perf_counter()
        return BatchStats(
            items=self._delivered,
            bytes=self._bytes,
            missing=self._missing,
            resumes=max(self._requests - 1, 0),
            requests=self._requests,
            seconds_to_first_item=None if started is None or first is None else first - started,
            seconds=0.0 if started is None else ended - started,
        )

    # -- opening and closing ------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def aclose(self) -> None:
        """Drop what was not read and end the transfer. May be called again."""
        await self._close("closed")

    async def _close(self, state: str) -> None:
        if self._state in {"new", "open"}:
            self._state = state
            self._ended_at = time.perf_counter()
        if self._stream is not None:
            await self._stream.aclose()
        elif self._answer is not None:  # it came, and will not be read
            await close_source(self._answer.chunks)

    async def _open(self) -> EventStream:
        """Send the request unless that was done."""
        if self._stream is not None:
            return self._stream
        if self._state != "new":
            raise UsageError(f"this batch is {self._state} already, or has another reader; make another one")
        self._state = "open"
        self._started_at = time.perf_counter()
        if not self._entries:  # nothing to ask for, and an end that nobody waits for
            self._stream = EventStream(iterate_source(b""), None)
            return self._stream
        self._requests += 1
        try:
            self._answer = answer = await self._source.open_batch(self._request)
            self._names = answer.member_names
            if self._state != "open":
                raise UsageError("this batch was closed while it was opened")
            self._stream = EventStream(
                answer.chunks, answer.archive_format, limits=self._limits, sizes=answer.sizes
            )
        except BaseException:  # cancellation too: this batch will never have an answer
            await self._close("failed")
            raise
        return self._stream

    # -- reading ------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchItem:
        # The hot path: a small item takes one turn of the inner loop and no await.
        stream = self._stream or await self._open()
        try:
            while self._state == "open" or self._is_readable():
                for event in stream.events:
                    if isinstance(event, WholeMember):
                        metadata = self._begin(event)
                        data = event.data
                        if len(data) > stream.max_item_size:
                            raise stream.item_too_large(event.name, len(data))
                    elif isinstance(event, MemberStart):
                        metadata = self._begin(event)
                        data = await stream.collect(event)
                        metadata.size = len(data)
                    else:
                        self._skip(event)
                        continue
                    self._end(metadata)
                    return _make_tuple(BatchItem, (metadata, data))  # as BatchItem(…), in half of the time
                await self._advance(stream)
        except UsageError:  # of a second reader: the first one goes on
            raise
        except BaseException as error:  # noqa: BLE001 - cancellation too; _fail() raises it again
            await self._fail(error)
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
        stream = self._stream or await self._open()
        try:
            while self._is_readable():
                for event in stream.events:
                    if isinstance(event, WholeMember):
                        metadata = self._begin(event)
                        self._end(metadata)
                        return self._hand_out(metadata, ArchiveMember(stream, event, event.data))
                    if isinstance(event, MemberStart):
                        self._open_item = metadata = self._begin(event)
                        return self._hand_out(metadata, ArchiveMember(stream, event, None))
                    self._skip(event)
                await self._advance(stream)
        except UsageError:  # as in __anext__()
            raise
        except BaseException as error:  # noqa: BLE001 - as in __anext__()
            await self._fail(error)
        raise StopAsyncIteration

    def _hand_out(self, metadata: ItemMetadata, member: ArchiveMember) -> BatchMember:
        assert self._stream is not None  # noqa: S101 - for the type checker: the member came out of it
        self._stream.current = member
        return BatchMember(self, metadata, member)

    def _is_readable(self) -> bool:
        if self._state in {"closed", "failed"}:
            raise UsageError(f"this batch is {self._state}; make another one for what is still wanted")
        return self._state == "open"

    async def _advance(self, stream: EventStream) -> None:
        """Get more events, or find out that there will be none."""
        if not await stream.pull():
            if self._delivered < len(self._entries):
                raise self._incomplete("the archive ended before every entry was answered")
            await self._close("complete")

    async def _fail(self, error: BaseException) -> None:
        """Close the batch and raise what a failure means; return if it means nothing.

        Behind the last item nothing is missing: that the archive's end does not come is no failure, though a
        contradiction is.
        """
        if isinstance(error, _BROKEN_OFF) and self._delivered == len(self._entries):
            await self._close("complete")
        else:
            raise await self._failure(error)

    async def _failure(self, error: BaseException) -> BaseException:
        """Close the batch, an item of which is outstanding, and return what an error means."""
        await self._close("failed")
        if not isinstance(error, _BROKEN_OFF):
            return error
        incomplete = self._incomplete("the answer broke off")
        incomplete.__cause__ = error
        return incomplete

    # -- pairing ------------------------------------------------------------------------------------------

    def _begin(self, member: MemberStart | WholeMember) -> ItemMetadata:
        """Pair a member with the entry that is due, or raise what it stands for."""
        index = self._delivered
        if index == len(self._entries):
            raise FormatError(
                f"the archive goes on behind the {index} members that were asked for",
                codec="batch",
                offset=member.offset,
                member=member.name,
            )
        entry = self._entries[index]
        size = member.size
        self._is_sized = size is not None
        # As ItemMetadata(…), in half of the time.
        metadata = _make_object(ItemMetadata)
        metadata.index = index
        metadata.name, metadata.bucket, metadata.provider, _, metadata.archpath, _, length, opaque = entry
        metadata.size = size or 0
        metadata.opaque = opaque
        metadata.missing = False
        metadata.error = None
        metadata.member_name = name = member.name
        if name != self._names[index]:
            self._explain_other_name(metadata, self._names[index])
        elif not size and member.kind != "file":
            raise self._incomplete(f"entry {index}: a {member.kind} came for object {entry.name!r}")
        elif length is not None and size is not None:
            self._check_length(metadata)
        return metadata

    def _check_length(self, metadata: ItemMetadata) -> None:
        index, size = metadata.index, metadata.size
        length = self._entries[index].length
        if metadata.error is not None and size:
            raise self._incomplete(f"entry {index}: its item stands for an error, and has {size} bytes")
        if metadata.error is None and length is not None and size != length:
            raise self._incomplete(
                f"entry {index}: a range of {length} bytes was asked for, and {size} bytes came"
            )

    def _explain_other_name(self, metadata: ItemMetadata, expected: str) -> None:
        """Mark the item of a member that stands for an error; raise what it means unless that is wanted."""
        assert self._answer is not None  # noqa: S101 - for the type checker: a member came out of it
        index, name = metadata.index, metadata.member_name or ""
        fault = self._answer.fault(index, name)
        if fault is None or metadata.size:
            raise self._incomplete(f"entry {index}: member {expected!r} was due, and {name!r} came")
        if not self._request.continue_on_err:
            raise fault
        metadata.missing = isinstance(fault, ObjectNotFoundError | BucketNotFoundError)
        metadata.error = fault.message

    def _skip(self, event: object) -> None:
        """Pass over the rest of an item that was handed out in chunks and not read to its end."""
        if isinstance(event, MemberData):
            self._count_data(event.data)
        else:
            self._end_open_item()
            assert self._stream is not None  # noqa: S101 - for the type checker: the event came out of it
            self._stream.current = None  # whoever still has the member must not read the next one's data

    def _count_data(self, data: Buffer) -> None:
        """Count what came of an item whose size only its end tells, as in a zip."""
        if self._open_item is not None and not self._is_sized:
            self._open_item.size += len(data)

    def _end_open_item(self) -> None:
        if self._open_item is not None:
            self._end(self._open_item)
            self._open_item = None

    def _end(self, item: ItemMetadata) -> None:
        """Count an item as delivered."""
        if not self._is_sized:
            self._check_length(item)
        if self._first_at is None:
            self._first_at = time.perf_counter()
        self._delivered += 1
        self._bytes += item.size
        self._missing += item.missing

    def _incomplete(self, reason: str) -> IncompleteBatchError:
        return IncompleteBatchError(
            reason, delivered=self._delivered, missing=self._entries[self._delivered :]
        )


class BatchMembers(AsyncCloseable):
    """An async iterator over the members of a batch. Made by `BatchStream.members`.

    A member can be read until the next one is asked for; what is not read is skipped. Iterating raises what
    iterating over the batch does.
    """

    def __init__(self, batch: BatchStream) -> None:
        self._batch = batch

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchMember:
        return await self._batch._next_member()  # noqa: SLF001 - the two make one reader

    async def aclose(self) -> None:
        """Close the batch."""
        await self._batch.aclose()


class BatchMember:
    """An item whose data comes in chunks: iterate over it, or `read` it whole.

    Attributes:
        metadata: What is known of the item; its `size` before the data, unless only its end tells that, as
            in a zip: then it counts what came.
    """

    __slots__ = ("_batch", "_member", "metadata")

    def __init__(self, batch: BatchStream, metadata: ItemMetadata, member: ArchiveMember) -> None:
        self._batch = batch
        self._member = member
        self.metadata = metadata

    async def read(self) -> bytes:
        """Return all of the data.

        Raises:
            LimitExceededError: if it is larger than `max_item_size`.
            UsageError: if it was read before, or the batch has moved on.
            IncompleteBatchError: if the answer breaks off.
        """
        data = await self._guarded(self._member.read())
        self._batch._count_data(data)  # noqa: SLF001 - the two make one reader
        await self._end()
        return data

    def __aiter__(self) -> Self:
        aiter(self._member)
        return self

    async def __anext__(self) -> bytes:
        try:
            data = await self._guarded(self._member.__anext__())
        except StopAsyncIteration:
            await self._end()
            raise
        self._batch._count_data(data)  # noqa: SLF001 - the two make one reader
        return data

    async def _end(self) -> None:
        try:
            self._batch._end_open_item()  # noqa: SLF001 - the two make one reader
        except IncompleteBatchError as error:
            raise await self._batch._failure(error)  # noqa: B904, SLF001 - it is the same error

    async def _guarded(self, reading: Awaitable[bytes]) -> bytes:
        try:
            return await reading
        except (UsageError, StopAsyncIteration):
            raise
        except BaseException as error:  # noqa: BLE001 - as in BatchStream.__anext__()
            raise await self._batch._failure(error)  # noqa: B904, SLF001 - it has its cause; one reader
