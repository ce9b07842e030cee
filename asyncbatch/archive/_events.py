"""The pull between an async source of bytes and a push decoder: nothing is read until somebody asks."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from ..codecs._events import MemberData
from ..codecs._formats import OBJECT
from ..codecs._pipeline import open_decoder
from ..errors import AsyncBatchError, LimitExceededError, UsageError
from ..limits import DEFAULT_LIMITS
from ._pipeline import Pipeline, own
from ._sources import close_source, iterate_source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from ..codecs._events import Buffer, Decoder, Event, MemberStart, WholeMember
    from ..codecs._formats import ArchiveFormat
    from ..codecs._zip_events import ZipRecord
    from ..limits import Limits

__all__ = ["EventStream", "PassableDecoder", "PassingSource", "ReadyEventStream"]

# Bytes of a buffer that are asked for at once. More would be lent to whoever writes a large number in a
# header; beyond this, allocators grow a block without a copy.
_RESERVED: Final = 32 << 20
# Bytes of a member that may be held twice for a moment.
_SMALL: Final = 1 << 20


@runtime_checkable
class PassingSource(Protocol):
    """A source of chunks that also has views of them."""

    async def pass_on(self, keep: Callable[[memoryview], object], maximum: int, /) -> int:
        """Hand the next chunk to `keep`, as views that are valid until it returns; return how many bytes.

        0, and nothing handed on, if it may have more than `maximum` bytes, at the end, and where there are no
        views: then it is to be awaited as any chunk.
        """
        ...


@runtime_checkable
class PassableDecoder(Protocol):
    """A decoder that data of a large member can pass by."""

    @property
    def passable(self) -> int:
        """How many bytes may."""
        ...

    def pass_by(self, size: int, /) -> None:
        """Hear that so many did."""
        ...


class EventStream:
    """Feeds a decoder from an async iterator of chunks, one chunk per `pull`.

    The reader walks `events` and, when they run out, awaits `pull`: small members cost neither a task, nor a
    queue, nor an await of their own.

    Attributes:
        events: What is complete and was not taken yet. Iterating over it may raise what the decoder met.
        max_item_size: The limit of that name, for whoever holds a member whole.
        current: Whoever may read the data of the member that is open.
        gate: Awaited before anything is read, if it is set, by whoever has to see to memory: with the stream,
            and the bytes that are about to be asked for at once.
        kept: Bytes that `collect` has so far, or has asked for.

    Args:
        chunks: The bytes of the archive. Closed by `aclose` if it has that method.
        archive_format: What the bytes are; None to tell by the first of them.
        source_name: What their source is called; None where they are an archive of many members for sure.
        limits: Bounds for the decoder.
        strict: Whether the archive must end as its format says.
        sizes: Bytes of each member, if they are known from elsewhere.
        decoder: What to feed, instead of a decoder of that format.
    """

    __slots__ = (
        "_chunks",
        "_closed",
        "_decoder",
        "_ended",
        "_passing",
        "_pipeline",
        "_pulling",
        "current",
        "events",
        "gate",
        "kept",
        "max_item_size",
    )

    def __init__(
        self,
        chunks: AsyncIterator[Buffer],
        archive_format: ArchiveFormat | None,
        *,
        source_name: str | None = None,
        limits: Limits = DEFAULT_LIMITS,
        strict: bool = True,
        sizes: Sequence[int] | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self._chunks = chunks
        self._decoder = decoder or open_decoder(
            archive_format, source_name=source_name, limits=limits, strict=strict, sizes=sizes
        )
        self.max_item_size = limits.max_item_size
        # Who could hand data of a large member from one to the other, past the decoder.
        self._passing: tuple[PassingSource, PassableDecoder] | None = None
        if isinstance(chunks, PassingSource) and isinstance(self._decoder, PassableDecoder):
            self._passing = chunks, self._decoder
        self._pipeline: Pipeline | None = None  # once there is something to decompress
        self._ended = False
        self._closed = False
        self._pulling = False
        self.events: Iterator[Event] = iter(())
        self.current: object = None
        self.gate: Callable[[EventStream, int], Awaitable[None]] | None = None
        self.kept = 0

    @property
    def directory(self) -> tuple[ZipRecord, ...] | None:
        """What the central directory of a zip told, at its end; None before that, and for other formats."""
        return getattr(self._decoder, "directory", None)

    async def pull(self) -> bool:
        """Read one chunk, or the end of the input, and renew `events`; False where the end was read before.

        The end, too, may complete events: whoever stops at the first False has seen them all.

        Raises:
            UsageError: if another pull is under way: a stream has one consumer. Or after `aclose`.
            AsyncBatchError: what the decoder says about the bytes, or about their end.
        """
        if self._closed:
            raise UsageError("this stream was closed; open it again to read more")
        if self._pulling:
            raise UsageError("this stream is being read by another task already; it has one consumer")
        if self._ended:
            return False
        self._pulling = True
        try:
            if self.gate is not None:
                await self.gate(self, 0)
            await self._renew()
        except UsageError:  # of the source itself, and not of a second reader, whom our callers let go on
            await self.aclose()
            raise
        finally:
            self._pulling = False
        return True

    async def _renew(self) -> None:
        """Renew `events`."""
        try:
            fed = not self._decoder.decompresses
            if fed:
                chunk = await self._chunks.__anext__()
                self._decoder.feed(own(chunk))
            if self._decoder.decompresses:  # a first chunk may have told it
                await self._pull_decompressed(fed=fed)
            else:
                self.events = iter(self._decoder)
        except StopAsyncIteration:
            self._ended = True
            with suppress(AsyncBatchError):  # which is raised again, behind what was sound
                self._decoder.feed_eof()
            self.events = iter(self._decoder)

    async def _pull_decompressed(self, *, fed: bool) -> None:
        """Renew `events` with what a worker has decoded."""
        if self._pipeline is None:
            self._pipeline = Pipeline(self._chunks, self._decoder, fed=fed)
        step = await self._pipeline.pull()
        if step is None:
            self._ended = True
            self.events = iter(())
        else:
            events, error = step
            self.events = iter(events) if error is None else _then_raise(events, error)

    async def collect(self, start: MemberStart | WholeMember) -> bytes:
        """Return all the data of the member whose start was just taken from `events`.

        Raises:
            LimitExceededError: if it is larger than `max_item_size`, before that much is held.
        """
        size = start.size
        if size is not None and size > self.max_item_size:
            raise self.item_too_large(start.name, size)
        # Joining parts is fastest, but holds the data twice. What is large, or may be, is written into a
        # buffer, which then is handed out. Pages of it that nothing was written to take no memory yet.
        parts: list[Buffer] = []
        keep: Callable[[Buffer], object] = parts.append
        buffer: BytesIO | None = None
        written = 0
        try:
            if size is None or size > _SMALL:
                reserved = min(size or 0, _RESERVED)
                if self.gate is not None and reserved:
                    await self.gate(self, reserved)
                self.kept = reserved
                buffer = BytesIO(bytes(reserved))
                keep = buffer.write
            while True:
                for event in self.events:
                    if type(event) is not MemberData:
                        return b"".join(parts) if buffer is None else buffer.getvalue()
                    keep(event.data)
                    written += len(event.data)
                    self.kept = max(self.kept, written)
                    if size is None and self.kept > self.max_item_size:
                        raise self.item_too_large(start.name, self.kept)
                passed = 0 if buffer is None else await self._pass_on(buffer.write)
                written += passed
                if not passed:
                    await self.pull()
        except UsageError:  # of a second reader: the first one goes on
            raise
        except BaseException:  # cancellation too: nobody can go on behind half a member
            await self.aclose()
            raise
        finally:
            self.kept = 0

    async def _pass_on(self, keep: Callable[[memoryview], object]) -> int:
        """Hand data of the open member on past the decoder, which saves a copy; return its size.

        It can be done if the source has views to give and the chunk ends inside the member. Otherwise, and
        where something is wrong, that is 0, and `pull` tells.
        """
        if self._passing is None or self._pulling or self._closed:
            return 0
        source, decoder = self._passing
        self._pulling = True
        try:
            if self.gate is not None:
                await self.gate(self, 0)
            passed = await source.pass_on(keep, decoder.passable)
        except UsageError:  # as in pull()
            await self.aclose()
            raise
        finally:
            self._pulling = False
        decoder.pass_by(passed)
        return passed

    def item_too_large(self, name: str, size: int) -> LimitExceededError:
        """Make the error for a member that is larger than what may be held in memory."""
        return LimitExceededError(
            "max_item_size", size, self.max_item_size, what=f"member {name!r}, to be held in memory"
        )

    async def next_data(self) -> bytes | None:
        """Return the next data of the member that is open, or None behind its last."""
        try:
            while True:
                for event in self.events:
                    return bytes(event.data) if type(event) is MemberData else None
                await self.pull()
        except UsageError:  # as in collect()
            raise
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Drop what was not taken and close the source. May be called again."""
        self._closed = True
        self.current = None
        self.events = iter(())
        if self._pipeline is not None:
            self._pipeline.close()
        await close_source(self._chunks)


class ReadyEventStream(EventStream):
    """A stream of events that nobody has to decode: they come as they are.

    Args:
        batches: The events, some at a time. Closed by `aclose` if it has that method.
        limits: `max_item_size` is for whoever holds a member whole.
    """

    __slots__ = ("_batches",)

    def __init__(self, batches: AsyncIterator[Sequence[Event]], *, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(iterate_source(b""), OBJECT, limits=limits)
        self._batches = batches

    async def _renew(self) -> None:
        try:
            self.events = iter(await self._batches.__anext__())
        except StopAsyncIteration:
            self._ended = True
            self.events = iter(())

    async def aclose(self) -> None:
        """Drop what was not taken and close where it comes from. May be called again."""
        await super().aclose()
        await close_source(self._batches)


def _then_raise(events: Sequence[Event], error: Exception) -> Iterator[Event]:
    yield from events
    raise error
