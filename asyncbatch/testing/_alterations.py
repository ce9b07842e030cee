"""Faults of members, as changes of what the server answers. Plain functions over values."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from ..server._alteration import Alteration
from ._faults import DroppedRange, Duplicate, Missing, OtherTarget, Short, WrongName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..server._alteration import Facts
    from ..server._getbatch import Entry
    from ._faults import Fault

__all__ = ["as_alteration"]


def as_alteration(fault: Fault | None) -> Alteration:
    """Return what a fault does to a batch's members; for one that concerns other things, nothing."""
    match fault:
        case Short(members, out):
            told = members if out is None else out
            return Alteration(sent=lambda things: things[:members], told=lambda facts: islice(facts, told))
        case Duplicate(at):
            return Alteration(sent=lambda things: things[: at + 1] + things[at:])
        case Missing(at, count, remote):
            return _changing(
                range(at, at + count),
                lambda entry: replace(entry, missing="elsewhere" if remote else "here"),
            )
        case WrongName(at, name):
            return _changing(range(at, at + 1), lambda entry: replace(entry, member=name))
        case DroppedRange(at):
            return _changing(_positions(at), lambda entry: replace(entry, start=0, length=-1))
        case OtherTarget(at):
            return Alteration(told=lambda facts: _joined(facts, _positions(at)))
        case _:
            return Alteration()


def _positions(at: int | None) -> range | None:
    return None if at is None else range(at, at + 1)


def _changing(positions: range | None, change: Callable[[Entry], Entry]) -> Alteration:
    def entries(asked: list[Entry]) -> list[Entry]:
        return [
            change(entry) if positions is None or index in positions else entry
            for index, entry in enumerate(asked)
        ]

    return Alteration(entries=entries)


def _joined(facts: Iterator[Facts], positions: range | None) -> Iterable[Facts]:
    for index, told in enumerate(facts):
        if "archpath" in told and (positions is None or index in positions):
            name = f"{told['objname']}/{told['archpath']}"
            rest = {key: value for key, value in told.items() if key not in {"objname", "archpath"}}
            yield {"objname": name, **rest}
        else:
            yield told
