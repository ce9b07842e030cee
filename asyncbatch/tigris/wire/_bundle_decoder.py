"""A bundle's archive, with what Tigris leaves out of it put back: a member for each key, in order.

A key that cannot be read is not in the archive. Its place is seen when a later key comes; at the end, only
the list of skipped keys, the archive's last member, tells a key that was left out from one that was lost.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from ...codecs._events import MemberData, MemberEnd, MemberStart, WholeMember
from ...codecs._pipeline import open_decoder
from ...codecs._tar_decoder import TarDecoder
from ...errors import AsyncBatchError, FormatError, LimitExceededError, TruncatedArchiveError
from ...limits import DEFAULT_LIMITS
from ._bundle import ERRORS_NAME, BundleCounts, parse_report, parse_trailers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ...codecs import ArchiveFormat
    from ...codecs._events import Buffer, Event
    from ...limits import Limits
    from ._bundle import SkippedKey

__all__ = ["MISSING", "BundleDecoder"]

MISSING: Final = ""
"""The name of the member that stands for a key which is not in the bundle. No key is empty."""

_MEMBERS: Final = (WholeMember, MemberStart)
# Bytes that the list of skipped keys may have: for each some words why, and for a character of it what
# JSON has at most. No more, since as objects it takes many times as much.
_MAX_REPORT_PER_KEY: Final = 1024
_MAX_PER_CHARACTER: Final = 12


class _Empty(WholeMember):
    """An object without data, or what comes in the place of a key that is not in the bundle."""

    __slots__ = ("data", "name", "offset", "size")

    def __init__(self, name: str, offset: int) -> None:
        self.name, self.data, self.size, self.offset = name, b"", 0, offset


class _Held:
    """A member that may be the list of skipped keys, held until that is known.

    Attributes:
        start: Its first event.
        data: What came of its data.
        ended: Whether that is all.
    """

    __slots__ = ("data", "ended", "start")

    def __init__(self, start: WholeMember | MemberStart) -> None:
        self.start = start
        self.data = bytearray()
        self.ended = isinstance(start, WholeMember)
        if isinstance(start, WholeMember):
            self.data += start.data

    def events(self) -> tuple[Event, ...]:
        """Return what it is as a member like any other, once it has ended."""
        if isinstance(self.start, WholeMember):
            return (self.start,)
        return self.start, MemberData(bytes(self.data)), MemberEnd()


class BundleDecoder:
    """A push decoder of a bundle that was asked for by `keys`.

    It yields a member for each key, in order: the object, or, for one that is not in the bundle, an empty
    one of the name `MISSING`. Members under names that were not due come out as they are, for whoever pairs
    them to refuse. The list of skipped keys does not come out.

    Where the archive breaks off, nothing is said of the keys behind the last member that came. At its end,
    all that is known must agree: what came, the list of skipped keys, and the trailers.

    Attributes:
        skipped: The keys that are not in the bundle, and why, when it has ended.
        counts: What the trailers tell, when it has ended.

    Args:
        keys: What was asked for.
        archive_format: What the bundle comes in; None to tell by its first bytes.
        limits: Bounds on what is accepted.
        trailers: Returns the fields behind the answer, names in lower case, once that was read to its end.
        record: Called with `skipped` and `counts` when it has ended, and all agrees.

    Raises (while iterating, behind what is sound):
        TruncatedArchiveError: if the archive ends before every key is accounted for.
        FormatError: if it is malformed, or contradicts what comes beside it.
        LimitExceededError: if a limit is met.
    """

    def __init__(
        self,
        keys: Sequence[str],
        archive_format: ArchiveFormat | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        trailers: Callable[[], Iterable[tuple[bytes, bytes]]] = tuple,
        record: Callable[[Sequence[SkippedKey], BundleCounts], object] | None = None,
    ) -> None:
        self._keys = keys
        self._archive = open_decoder(archive_format, limits=limits)
        most = _MAX_REPORT_PER_KEY * (len(keys) + 1) + _MAX_PER_CHARACTER * sum(map(len, keys))
        self._max_held = min(most, limits.max_item_size)
        self._max_item_size = limits.max_item_size
        self._trailers = trailers
        self._record = record
        self._due = 0  # index of the key whose member comes next
        self._absent: Counter[str] = Counter()  # keys that were passed over
        self._objects = 0  # that came
        self._bytes = 0  # of them
        self._fed = 0  # bytes of the archive, as it comes
        self._held: _Held | None = None
        self._events: deque[Event] = deque()  # to come out before the archive's next
        self._offset = 0  # of the last member
        self._at_end = False  # no more will be fed
        self._finished = False
        self._fault: AsyncBatchError | None = None  # what the end has shown, behind what came
        self._error: AsyncBatchError | None = None
        self.skipped: list[SkippedKey] = []
        self.counts = BundleCounts()

    @property
    def decompresses(self) -> bool:
        """Whether there is something to decompress."""
        return self._archive.decompresses

    @property
    def is_slow(self) -> bool:
        """Whether decompressing takes so long that it is better done in a thread."""
        return self._archive.is_slow

    @property
    def passable(self) -> int:
        """Bytes of the open member's data that may go past the decoder, as `TarDecoder` has it."""
        archive = self._archive
        return archive.passable if isinstance(archive, TarDecoder) and self._held is None else 0

    def pass_by(self, size: int) -> None:
        """Tell that the next `size` bytes of the input, which are `passable`, will not be fed."""
        assert isinstance(self._archive, TarDecoder)  # noqa: S101 - for the type checker: else nothing may
        self._archive.pass_by(size)
        self._fed += size

    def feed(self, chunk: Buffer, /) -> None:
        """Give the next bytes.

        Raises:
            AsyncBatchError: what an earlier chunk brought about.
            UsageError: after `feed_eof`.
        """
        self._raise_again()
        self._fed += len(chunk)
        self._archive.feed(chunk)

    def feed_eof(self) -> None:
        """Say that the input has ended. Whether it was whole, iterating tells, behind what was sound.

        Raises:
            TruncatedArchiveError: if the archive ends too early in any case.
            AsyncBatchError: what a chunk brought about.
        """
        self._raise_again()
        self._at_end = True
        self._archive.feed_eof()

    def __iter__(self) -> Iterator[Event]:
        """Iterate over what is complete; a loop that was left early is continued by the next one."""
        self._raise_again()
        events, keys = self._events, self._keys
        try:
            while events:
                yield events.popleft()
            for event in self._archive:
                # The hot path: a member of the key that is due, and nothing that has to be thought of.
                if (
                    isinstance(event, _MEMBERS)
                    and event.size
                    and self._due < len(keys)
                    and event.name == keys[self._due] != ERRORS_NAME
                    and self._held is None
                ):
                    self._due += 1
                    self._objects += 1
                    self._bytes += event.size
                    yield event
                    continue
                self._take(event)
                while events:
                    yield events.popleft()
            if self._at_end and not self._finished:
                self._finish()
            while events:
                yield events.popleft()
            if self._fault is not None:
                raise self._fault
        except AsyncBatchError as error:
            self._error = error
            raise

    def _raise_again(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)

    # -- one event after the other ------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        """Decide what an event means, and append what comes out for it."""
        if isinstance(event, _MEMBERS):
            self._release()  # the list of skipped keys would have been the last
            self._offset = event.offset
            if event.name == ERRORS_NAME and (event.size or 0) <= self._max_held:
                self._held = _Held(event)
            else:
                self._pair(event)
        elif self._held is None or self._held.ended:
            self._events.append(event)
        elif isinstance(event, MemberData):
            self._held.data += event.data
        else:
            self._held.ended = True

    def _release(self) -> None:
        """Let the member out that was held: it is an object after all."""
        if self._held is not None:
            held, self._held = self._held, None
            self._pair(held.start, held.events())

    def _pair(self, member: WholeMember | MemberStart, events: Iterable[Event] = ()) -> None:
        """Let a member out, behind what stands for the keys that were passed over."""
        if member.name == MISSING:
            raise FormatError("a member has no name", codec="tigris", offset=member.offset)
        size, index = member.size or 0, self._find(member.name)
        if index is not None:
            self._pass_over(index)
            self._due += 1
            self._objects += 1
            self._bytes += size
            if not size and member.kind == "dir":
                # A key may end in a slash. The tar writers of some take that for a folder.
                member = _Empty(member.name, member.offset)
        elif member.name == ERRORS_NAME and size > self._max_held:
            raise self._too_large(size)
        elif self._absent:
            # Nobody knows what order this is, so what was passed over may yet come. And whoever asks for the
            # rest alone is not told any more whether it is missing.
            reason = (
                f"{member.name!r} comes behind its place, where it was taken for one that is missing"
                if self._absent[member.name]
                else f"{member.name!r} was not due, and keys before it were taken for missing"
            )
            raise FormatError(reason, codec="tigris", offset=member.offset, member=member.name)
        self._events.extend(events or (member,))

    def _find(self, name: str) -> int | None:
        """Return the index of the next key of a name; None if none is due any more."""
        try:
            return self._keys.index(name, self._due)
        except ValueError:
            return None

    def _pass_over(self, index: int) -> None:
        """Let out what stands for the keys before `index`."""
        absent = self._keys[self._due : index]
        self._absent.update(absent)
        self._events.extend(_Empty(MISSING, self._offset) for _ in absent)
        self._due = index

    def _too_large(self, size: int) -> AsyncBatchError:
        if size > self._max_item_size:
            return LimitExceededError(
                "max_item_size", size, self._max_item_size, what=f"member {ERRORS_NAME!r}, held in memory"
            )
        reason = f"a list of skipped keys has {size} bytes, of {len(self._keys)} keys"
        return FormatError(reason, codec="tigris", offset=self._offset, member=ERRORS_NAME)

    # -- the end ------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Account for all keys, now that the archive has come to its end."""
        self._finished = True
        try:
            self._account()
        except AsyncBatchError as error:
            self._fault = error

    def _account(self) -> None:
        self.counts = parse_trailers(self._trailers())
        report = self._take_report()
        left = Counter(self._keys[self._due :])
        reported = Counter(skipped.key for skipped in report)
        if left - reported:
            # Servers end archives cleanly that lack their rest. Whoever asks again gets it.
            raise TruncatedArchiveError(
                f"the bundle ends behind {self._due} of {len(self._keys)} keys, and does not say that it has "
                "skipped the others,",
                codec="tigris",
                offset=self._offset,
            )
        self._pass_over(len(self._keys))
        self._check_report(reported)
        self._check_counts()
        self.skipped = report
        if self._record is not None:
            self._record(report, self.counts)

    def _take_report(self) -> list[SkippedKey]:
        """Return the list of skipped keys; an object of its name is let out."""
        held = self._held
        if held is None:
            return []
        if self._find(ERRORS_NAME) is not None and not self._is_report(bytes(held.data)):
            self._release()
            return []
        return parse_report(bytes(held.data))

    def _is_report(self, data: bytes) -> bool:
        """Whether the last member is the list of skipped keys, and not an object of that name that is due."""
        if self.counts.objects is not None:
            return self.counts.objects == self._objects
        try:
            reported = Counter(skipped.key for skipped in parse_report(data))
        except FormatError:
            return False
        # Without trailers: as a list, it would have to name the very key that it would be the object of.
        return reported == self._absent + Counter(self._keys[self._due :])

    def _check_report(self, reported: Counter[str]) -> None:
        absent = self._absent
        if absent == reported:
            return
        key = min((absent - reported) + (reported - absent))
        raise FormatError(
            f"{absent.total()} of the keys are not in the bundle, and the server says that it skipped "
            f"{reported.total()}: they do not agree on {key!r}",
            codec="tigris",
            offset=self._offset,
        )

    def _check_counts(self) -> None:
        """Hold what came against what the server has counted."""
        found = BundleCounts(self._objects, self._bytes, self._absent.total())
        for what, came, told in zip(("objects", "bytes", "skipped keys"), found, self.counts, strict=True):
            # The bytes are documented as the objects' in one place, and as those streamed in another.
            if told not in {None, came} and (what, told) != ("bytes", self._fed):
                raise FormatError(
                    f"the bundle has {came} {what}, and its trailers say {told}",
                    codec="tigris",
                    offset=self._offset,
                )
