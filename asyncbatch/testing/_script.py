"""Which request gets which fault, and what was asked."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ._faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Asked", "FaultScript"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that the server got.

    Attributes:
        method: ``"GET"``, and for objects others.
        path: Unquoted.
        query: As it came.
        body: The JSON of a batch. Empty for objects, whose content is not kept.
        fault: What it got; None as well while a function is asked for that.
    """

    method: str
    path: str
    query: str
    body: bytes = field(default=b"", repr=False)
    fault: Fault | None = None

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What a batch asks for, as its JSON has it: each with an ``"objname"``. Empty for what is none."""
        try:
            entries = json.loads(self.body)["in"]
        except (ValueError, RecursionError, KeyError, TypeError):
            return []
        return entries if isinstance(entries, list) else []


class FaultScript:
    """Says which fault the next request gets: those of its list in order, and then none.

    Args:
        faults: One per request, None for none; perhaps without end, as from `random_faults`. Or a function
            that is asked about each request.

    Raises:
        UsageError: if one of a list is no fault.
    """

    def __init__(self, faults: Iterable[Fault | None] | Callable[[Asked], Fault | None] = ()) -> None:
        self._sources: deque[Iterator[Fault | None] | Callable[[Asked], Fault | None]] = deque()
        self.extend(faults)

    def append(self, fault: Fault | None) -> None:
        """Add one behind all others.

        Raises:
            UsageError: if it is no fault.
        """
        self.extend((fault,))

    def extend(self, faults: Iterable[Fault | None] | Callable[[Asked], Fault | None]) -> None:
        """Add several, or a function, behind all others. A function, once reached, is asked from then on.

        Raises:
            UsageError: if one of a list is no fault.
        """
        if isinstance(faults, Sequence):
            faults = tuple(map(_checked, faults))
        self._sources.append(faults if callable(faults) else iter(faults))

    def clear(self) -> None:
        """Forget all that is left: from now on, all is well."""
        self._sources.clear()

    def take(self, asked: Asked) -> Fault | None:
        """Return the fault for a request, which counts as answered.

        Raises:
            UsageError: if what the function or the iterator gave is no fault.
        """
        while self._sources:
            source = self._sources[0]
            if not isinstance(source, Iterator):
                return _checked(source(asked))
            try:
                return _checked(next(source))
            except StopIteration:
                self._sources.popleft()
        return None


def _checked(fault: Fault | None) -> Fault | None:
    if fault is not None and not isinstance(fault, Fault):
        raise UsageError(f"neither a fault nor None: {fault!r}")
    return fault
