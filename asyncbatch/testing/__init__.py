"""A server that fails on request, to test what you do when yours does.

`FaultyServer` serves a folder as `asyncbatch.server` does, on loopback, and answers each batch with the fault
that its script has for it. Needs the extra ``server``; the faults themselves are plain values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from ._faults import (
        Cut,
        DroppedRange,
        Duplicate,
        Empty,
        Expired,
        Fault,
        HangUp,
        Missing,
        OtherTarget,
        Short,
        Stall,
        Status,
        Trickle,
        WrongName,
    )
    from ._random import DEFAULT_WEIGHTS, random_faults
    from ._script import Asked, FaultScript
    from ._server import FaultyServer

__all__ = [
    "DEFAULT_WEIGHTS",
    "Asked",
    "Cut",
    "DroppedRange",
    "Duplicate",
    "Empty",
    "Expired",
    "Fault",
    "FaultScript",
    "FaultyServer",
    "HangUp",
    "Missing",
    "OtherTarget",
    "Short",
    "Stall",
    "Status",
    "Trickle",
    "WrongName",
    "random_faults",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "_faults": (
            "Cut",
            "DroppedRange",
            "Duplicate",
            "Empty",
            "Expired",
            "Fault",
            "HangUp",
            "Missing",
            "OtherTarget",
            "Short",
            "Stall",
            "Status",
            "Trickle",
            "WrongName",
        ),
        "_random": ("DEFAULT_WEIGHTS", "random_faults"),
        "_script": ("Asked", "FaultScript"),
        "_server": ("FaultyServer",),
    },
)
