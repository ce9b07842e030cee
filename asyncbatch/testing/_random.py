"""Faults by chance, the same for the same seed."""

from __future__ import annotations

import math
import random
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ._faults import (
    Cut,
    DroppedRange,
    Duplicate,
    Empty,
    Expired,
    HangUp,
    Missing,
    OtherTarget,
    Short,
    Stall,
    Status,
    Trickle,
    WrongName,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from random import Random

    from ._faults import Fault, Hop

__all__ = ["DEFAULT_WEIGHTS", "random_faults"]

DEFAULT_WEIGHTS: Final[Mapping[type[Fault] | None, float]] = MappingProxyType(
    {
        None: 5,
        Cut: 5,
        Short: 3,
        Status: 3,
        HangUp: 2,
        Empty: 1,
        Expired: 1,
        Stall: 1,
        Trickle: 1,
        WrongName: 1,
        Duplicate: 1,
        DroppedRange: 1,
        OtherTarget: 1,
    }
)
"""How often `random_faults` draws each kind, if not told otherwise.

All of these pass: who asks again gets everything in the end. `Missing` is not among them: that an object is
missing is an answer, to be believed.
"""

_STATUSES: Final = (409, 429, 500, 503)
_HOPS: Final[tuple[Hop, ...]] = ("proxy", "target")


def random_faults(
    seed: int,
    *,
    weights: Mapping[type[Fault] | None, float] = DEFAULT_WEIGHTS,
    entries: int = 50,
    size: int = 100_000,
    pause: float = 0.001,
) -> Iterator[Fault | None]:
    """Return faults without end, drawn by chance: the same for the same arguments.

    Args:
        seed: Of the generator.
        weights: How often each kind is drawn, relative to the others; None stands for no fault.
        entries: Of a batch, about: positions are drawn from these.
        size: Of an answer in bytes, about: places are drawn from these, the early ones more often.
        pause: Seconds that a pause of `Stall` or `Trickle` takes at most.

    Raises:
        UsageError: if there is nothing to be drawn, or from.
    """
    kinds = list(weights)
    if unknown := [kind for kind in kinds if kind is not None and kind not in _DRAW]:
        raise UsageError(f"not a kind of fault: {unknown[0]!r}")
    if any(weight < 0 for weight in weights.values()) or not any(weights.values()):
        raise UsageError("weights are 0 or more, and not all 0")
    if entries < 1 or size < 1 or not 0 <= pause < math.inf:
        raise UsageError("entries and size are 1 or more, and pause is 0 or more")
    chance = _Chance(random.Random(seed), entries, size, pause)  # noqa: S311 - to be had again, and no secret
    return _draw(chance, kinds, list(weights.values()))


def _draw(chance: _Chance, kinds: list[type[Fault] | None], weights: list[float]) -> Iterator[Fault | None]:
    while True:
        (kind,) = chance.random.choices(kinds, weights)
        yield None if kind is None else _DRAW[kind](chance)


class _Chance:
    def __init__(self, generator: Random, entries: int, size: int, pause: float) -> None:
        self.random = generator
        self._entries = entries
        self._size = size
        self._pause = pause

    def position(self) -> int:
        return self.random.randrange(self._entries)

    def offset(self) -> int:
        """As likely from 10 to 100 as from 1,000 to 10,000: what begins an answer differs the most."""
        return int((self._size + 1) ** self.random.random()) - 1

    def seconds(self) -> float:
        return self.random.uniform(0, self._pause)

    def hop(self) -> Hop:
        return self.random.choice(_HOPS)


_DRAW: Final[Mapping[type[Fault], Callable[[_Chance], Fault]]] = {
    Cut: lambda chance: Cut(chance.offset(), chance.random.choice(("reset", "close", "end"))),
    Short: lambda chance: Short(chance.position(), chance.random.choice((None, chance.position()))),
    Status: lambda chance: Status(
        chance.random.choice(_STATUSES), chance.random.choice((None, 0)), hop=chance.hop()
    ),
    HangUp: lambda chance: HangUp(chance.random.choice(("reset", "close")), chance.hop()),
    Empty: lambda _: Empty(),
    Expired: lambda _: Expired(),
    Stall: lambda chance: Stall(chance.seconds(), chance.random.choice((None, chance.offset()))),
    Trickle: lambda chance: Trickle(100 + chance.offset(), chance.seconds()),
    WrongName: lambda chance: WrongName(chance.position()),
    Duplicate: lambda chance: Duplicate(chance.position()),
    DroppedRange: lambda chance: DroppedRange(chance.random.choice((None, chance.position()))),
    OtherTarget: lambda chance: OtherTarget(chance.random.choice((None, chance.position()))),
    Missing: lambda chance: Missing(
        chance.position(), 1 + chance.position(), remote=chance.random.random() < 0.5
    ),
}
