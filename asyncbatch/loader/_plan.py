"""How entries are asked for, by values alone: in one batch or several, joined with others, or one by one."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from ..batch import BatchRequest, Entry

__all__ = ["Part", "Plan", "Planner", "Sizes", "Way", "kind_of"]

Way: TypeAlias = Literal["auto", "batch", "gets"]

# Bytes of an object from which on requests for each, many at once, are as fast as a batch. On a small real
# AIStore a batch is 4 times as fast as 64 GETs at once at 10 KiB, and half as fast at 1 MiB: by powers, that
# meets at 220 KiB.
_LARGE: Final = 262_144
# Fewer objects than that gain nothing by requests of their own.
_FEW: Final = 4
# Bytes that a batch should bring at most, and several that are joined.
_MAX_PART: Final = 256 << 20
_MAX_JOINED: Final = 4 << 20
# Objects of a kind that have to be seen before their sizes are believed, and what each is worth then.
_SEEN_ENOUGH: Final = 8
_MEMORY: Final = 1000


class Part(NamedTuple):
    """Some entries in a row.

    Attributes:
        first: Index of the first.
        until: Index behind the last.
        way: ``"batch"``, or ``"gets"`` for a request for each of them.
    """

    first: int
    until: int
    way: Way


@dataclass(frozen=True, slots=True)
class Plan:
    """How a request is carried out.

    Attributes:
        parts: That are asked for, several at once; they come in order all the same.
        joins: Whether it may be asked for together with the requests beside it.
        reason: Why so, for people.
    """

    parts: tuple[Part, ...]
    joins: bool
    reason: str


def kind_of(entry: Entry) -> Hashable:
    """Return what entries have in common that weigh about the same.

    Of a bucket of shards, files in them and ranges of them tell nothing of the shards, nor these of those.
    """
    is_range = entry.start > 0 or entry.length is not None
    return entry.bucket, entry.archpath is not None, is_range


class Sizes:
    """What objects weigh, as far as it was seen: a mean for each kind of entry, in which older ones fade.

    Args:
        expected: Bytes of an object, of a kind that nothing was seen of; None if nobody knows.
    """

    def __init__(self, expected: int | None = None) -> None:
        self._expected = expected
        self._seen: dict[Hashable, tuple[float, float]] = {}  # objects and bytes

    def saw(self, kind: Hashable, items: int, size: int) -> None:
        """Take down objects that came, at least one, and their bytes together."""
        count, total = self._seen.get(kind, (0.0, 0.0))
        fade = min(_MEMORY / (count + items), 1.0)
        self._seen[kind] = (count + items) * fade, (total + size) * fade

    def of(self, kind: Hashable) -> float | None:
        """Return the bytes that an object of a kind has in the mean; None if nobody knows."""
        count, total = self._seen.get(kind, (0.0, 0.0))
        return total / count if count >= _SEEN_ENOUGH else self._expected

    def of_entries(self, entries: Sequence[Entry]) -> float | None:
        """Return the same for entries, which are taken to be of the first one's kind.

        Of ranges it is their length.
        """
        if not entries:
            return None
        lengths = [entry.length for entry in entries if entry.length is not None]
        if len(lengths) == len(entries):
            return sum(lengths) / len(entries)
        return self.of(kind_of(entries[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Decides how requests are carried out.

    Attributes:
        way: ``"batch"`` or ``"gets"`` to have all of them so; ``"auto"`` to decide by sizes.
        split_above: Entries that one batch has at most.
        join_below: A request of fewer entries is joined with others of its kind; 0 for never.
    """

    way: Way = "auto"
    split_above: int = 4096
    join_below: int = 32

    def plan(self, count: int, size: float | None, *, beside: int = 0) -> Plan:
        """Decide how to ask for entries.

        Args:
            count: How many, at least 1.
            size: Bytes of each in the mean, as far as that is known.
            beside: Batches that are being received. Several at once make up for what a single one leaves: on
                that AIStore, 8 of them are by a fifth faster than GETs at 1 MiB.
        """
        large = _LARGE * (beside + 1)
        told = "sizes are not known" if size is None else f"objects of about {size:.0f} bytes"
        if self.way == "gets":
            return Plan((Part(0, count, "gets"),), joins=False, reason="a request for each: as was asked for")
        if self.way == "auto" and size is not None and size >= large and count >= _FEW:
            reason = f"{told}: from {large} on, a request for each, many at once, is faster than a batch"
            return Plan((Part(0, count, "gets"),), joins=False, reason=reason)
        parts = max(ceil(count / self.split_above), ceil(min(count, count * (size or 0) / _MAX_PART)))
        if parts > 1:
            return Plan(
                tuple(
                    Part(count * part // parts, count * (part + 1) // parts, "batch") for part in range(parts)
                ),
                joins=False,
                reason=f"{count} entries, {told}: {parts} batches, several at once",
            )
        joins = count < self.join_below and count * (size or 0) <= _MAX_JOINED
        joined = ", with the requests beside it if there are any" if joins else ""
        return Plan((Part(0, count, "batch"),), joins, f"{count} entries, {told}: one batch{joined}")

    def may_join(self, request: BatchRequest, other: BatchRequest, *, count: int, size: float | None) -> bool:
        """Decide whether a request may be asked for together with one before it.

        Args:
            request: The first of those that are joined already.
            other: The next one, for which `plan` says that it joins.
            count: Entries of all together.
            size: Bytes of each in the mean.
        """
        if count > 8 * self.join_below or count * (size or 0) > _MAX_JOINED:
            return False
        return _kind(request) == _kind(other)


def _kind(request: BatchRequest) -> tuple[object, ...]:
    """Return what requests have to have in common to be one."""
    return (
        request.output_format,
        request.continue_on_err,
        request.only_obj_name,
        request.streaming,
        request.colocation,
        tuple(request.traits.buckets),
    )
