"""Fair comparisons: interleaved rounds, medians, and proof that everybody did the work."""

from __future__ import annotations

import gc
import hashlib
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncbatch.codecs._events import Buffer

__all__ = ["Check", "Contender", "Delivered", "Expected", "Row", "measure"]

Check: TypeAlias = "Callable[[Buffer], object] | None"


class Delivered(NamedTuple):
    """What a contender says it has delivered.

    Attributes:
        items: How many.
        bytes: Their data.
        seconds: How long it took by the contender's own clock, if it has one.
    """

    items: int
    bytes: int
    seconds: float | None = None


class Expected(NamedTuple):
    """What a contender must deliver.

    Attributes:
        items: How many.
        bytes: Their data.
        digest: BLAKE2b of all data in order; None for a contender that throws it away.
    """

    items: int
    bytes: int
    digest: str | None


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who does the work.

    Attributes:
        run: Does it once. In timed rounds its argument is None; else it is to be called with all data.
        expected: What must come out.
    """

    run: Callable[[Check], Delivered]
    expected: Expected

    def verify(self) -> None:
        """Do the work once and check every byte.

        Raises:
            RuntimeError: if it was not done.
        """
        digest = hashlib.blake2b()
        self._compare(self.run(digest.update))
        if self.expected.digest not in {None, digest.hexdigest()}:
            raise RuntimeError("the data that was delivered is not what was sent")

    def time(self) -> float:
        """Return how many seconds the work takes, the better of two runs; what came out is counted.

        The first run of a turn may pay for the memory that the contender before it has given back.

        Raises:
            RuntimeError: if it was not done.
        """
        return min(self._time_once(), self._time_once())

    def _time_once(self) -> float:
        gc.collect()
        start = time.perf_counter()
        delivered = self.run(None)
        seconds = time.perf_counter() - start
        self._compare(delivered)
        return seconds if delivered.seconds is None else delivered.seconds

    def _compare(self, delivered: Delivered) -> None:
        if delivered[:2] != self.expected[:2]:
            raise RuntimeError(f"delivered {delivered[:2]} items and bytes instead of {self.expected[:2]}")


def measure(contenders: Mapping[str, Contender], rounds: int) -> dict[str, float]:
    """Return the median seconds of each contender.

    Each is verified once, which also warms it up. Then everybody has a turn in each round.

    Raises:
        RuntimeError: if one of them does not deliver what it must.
    """
    for contender in contenders.values():
        contender.verify()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            seconds[name].append(contender.time())
    return {name: statistics.median(of_all) for name, of_all in seconds.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison.

    Attributes:
        work: What was done.
        what: Which of our calls did it.
        rival: Who else did.
        settings: Those with which the rival was fastest.
        ours: Our median seconds.
        theirs: The rival's.
        of_curl: curl's seconds, for nothing but draining the same body, in parts of ours.
        beside: Seconds of further rivals, by their names.
        overhead_ns: Nanoseconds that an item costs us more than with the codec alone.
        items: Delivered in each round, by both.
        bytes: Their data.
        rounds: How many the medians are of.
    """

    work: str
    what: str
    rival: str
    settings: str = ""
    ours: float
    theirs: float
    of_curl: float | None = None
    beside: Mapping[str, float] = field(default_factory=dict)
    overhead_ns: int | None = None
    items: int
    bytes: int
    rounds: int

    @property
    def ratio(self) -> float:
        """How many times as fast as the rival we are."""
        return self.theirs / self.ours

    def as_dict(self) -> dict[str, Any]:
        """Return the row for JSON."""
        row: dict[str, Any] = {
            "work": self.work,
            "what": self.what,
            "rival": self.rival,
            "settings": self.settings,
            "ratio": round(self.ratio, 2),
            "ours": round(self.ours, 6),
            "theirs": round(self.theirs, 6),
        }
        if self.of_curl is not None:
            row["of_curl"] = round(self.of_curl, 2)
        if self.beside:
            row["beside"] = {name: round(seconds / self.ours, 2) for name, seconds in self.beside.items()}
        if self.overhead_ns is not None:
            row["overhead_ns"] = self.overhead_ns
        return row | {"items": self.items, "bytes": self.bytes, "rounds": self.rounds}
