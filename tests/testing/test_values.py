"""What a fault can be, and what it cannot."""

from __future__ import annotations

import math
import pickle
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import testing
from asyncbatch.errors import UsageError
from asyncbatch.testing import (
    DEFAULT_WEIGHTS,
    Asked,
    Cut,
    DroppedRange,
    Duplicate,
    Empty,
    Expired,
    Fault,
    FaultScript,
    HangUp,
    Missing,
    OtherTarget,
    Short,
    Stall,
    Status,
    Trickle,
    WrongName,
    random_faults,
)

from ..test_import import modules_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_public = [
    getattr(testing, name) for name in testing.__all__ if name[0].isupper() and name != "DEFAULT_WEIGHTS"
]
KINDS: list[type[Fault]] = [kind for kind in _public if issubclass(kind, Fault) and kind is not Fault]


def _wrong(kind: Callable[..., Fault], *arguments: Any, **more: Any) -> Any:  # noqa: ANN401
    said = ", ".join([*map(repr, arguments), *(f"{key}={value!r}" for key, value in more.items())])
    return pytest.param(kind, arguments, more, id=f"{getattr(kind, '__name__', kind)}({said})"[:60])


@pytest.mark.parametrize(
    ("kind", "arguments", "more"),
    [
        _wrong(Cut, -1),
        _wrong(Cut, 1.5),
        _wrong(Cut, True),
        _wrong(Cut, 1, "gently"),
        _wrong(HangUp, "end"),
        _wrong(HangUp, hop="client"),
        _wrong(Status, 399),
        _wrong(Status, 600),
        _wrong(Status, "503"),
        _wrong(Status, 503, -1),
        _wrong(Status, 503, 0.5),
        _wrong(Status, 503, "a\r\nb"),
        _wrong(Status, 503, "mañana"),
        _wrong(Status, 503, hop="both"),
        _wrong(Stall, -1),
        _wrong(Stall, math.nan),
        _wrong(Stall, 1, -1),
        _wrong(Trickle, 0),
        _wrong(Trickle, 1, -1),
        _wrong(Trickle, 1, math.inf),
        _wrong(Short),
        _wrong(Short, -1),
        _wrong(Short, 1, -1),
        _wrong(Missing, -1),
        _wrong(Missing, 0, 0),
        _wrong(WrongName, -1),
        _wrong(WrongName, 0, ""),
        _wrong(WrongName, 0, "a\0b"),
        _wrong(WrongName, 0, "folder/"),
        _wrong(WrongName, 0, "\ud800"),
        _wrong(WrongName, 0, "n" * 65_528),
        _wrong(Duplicate, -1),
        _wrong(DroppedRange, -1),
        _wrong(OtherTarget, -1),
        _wrong(OtherTarget, "first"),
    ],
)
def test_what_is_refused(
    kind: Callable[..., Fault], arguments: tuple[Any, ...], more: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=r"\w+\(.*\): "):
        kind(*arguments, **more)


@pytest.mark.parametrize(
    "fault",
    [Cut(5), Status(503, 1), Expired(), Empty(), Stall(math.inf), Short(out=3), WrongName(0, "n" * 65_527)],
)
def test_they_are_values(fault: Fault) -> None:
    twin = pickle.loads(pickle.dumps(fault))  # noqa: S301 - ours
    assert twin == fault
    assert len({twin, fault}) == 1
    with pytest.raises((AttributeError, TypeError)):
        fault.at = 3  # type: ignore[attr-defined]  # most have it; none lets it be changed


def _asked(name: str = "x") -> Asked:
    return Asked("GET", "/v1/ml/moss/b", "", b'{"in":[{"objname":"%s"}]}' % name.encode())


def test_a_script_is_followed_in_order_and_then_all_is_well() -> None:
    script = FaultScript([Empty(), None, Cut(1)])
    assert [script.take(_asked()) for _ in range(5)] == [Empty(), None, Cut(1), None, None]
    script.append(Cut(2))
    script.extend([Cut(3), Cut(4)])
    assert [script.take(_asked()) for _ in range(2)] == [Cut(2), Cut(3)]
    script.clear()
    assert script.take(_asked()) is None


def test_a_script_without_end() -> None:
    def endless() -> Iterator[Fault]:
        while True:
            yield Empty()

    script = FaultScript([Cut(1)])
    script.extend(endless())
    assert [script.take(_asked()) for _ in range(3)] == [Cut(1), Empty(), Empty()]


def test_a_script_that_is_a_function() -> None:
    script = FaultScript(lambda asked: Empty() if asked.entries[0]["objname"] == "bad" else None)
    assert [script.take(_asked(name)) for name in ("bad", "good", "bad")] == [Empty(), None, Empty()]


def test_what_is_no_fault_is_refused() -> None:
    wrong: Any = 503
    for script in ([Empty(), wrong], (wrong,)):
        with pytest.raises(UsageError, match="neither a fault nor None: 503"):
            FaultScript(script)
    with pytest.raises(UsageError):
        FaultScript().append(wrong)
    # These are not asked before their time.
    for late in (FaultScript(iter([wrong])), FaultScript(lambda _: wrong)):
        with pytest.raises(UsageError):
            late.take(_asked())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b'{"in": 3}', b'{"out": []}', b"[" * 100_000])
def test_what_is_no_batch_has_no_entries(body: bytes) -> None:
    assert Asked("GET", "/", "", body).entries == []


def test_chance_is_the_same_for_the_same_seed() -> None:
    first, second, other = (list(islice(random_faults(seed), 500)) for seed in (1, 1, 2))
    assert first == second != other
    drawn = {None if fault is None else type(fault) for fault in first}
    assert drawn == set(DEFAULT_WEIGHTS)
    assert set(KINDS) - drawn == {Missing}


def test_chance_can_be_weighted_and_bounded() -> None:
    weights: dict[type[Fault] | None, float] = {**DEFAULT_WEIGHTS, Missing: 1}
    del weights[None]
    drawn = list(islice(random_faults(3, weights=weights, entries=4, size=50, pause=0), 1000))
    assert {type(fault) for fault in drawn} == set(KINDS)
    assert {fault.at for fault in drawn if isinstance(fault, Duplicate)} == {0, 1, 2, 3}
    cuts = [fault.at for fault in drawn if isinstance(fault, Cut)]
    assert (min(cuts), max(cuts) < 50) == (0, True)
    assert all(fault.seconds == 0 for fault in drawn if isinstance(fault, Stall))
    assert set(islice(random_faults(3, weights={Empty: 1}), 5)) == {Empty()}


@pytest.mark.parametrize(
    "arguments",
    [
        {"weights": {}},
        {"weights": {Empty: 0}},
        {"weights": {Empty: -1}},
        {"weights": {Fault: 1}},
        {"weights": {503: 1}},
        {"entries": 0},
        {"size": 0},
        {"pause": -1},
        {"pause": math.inf},
    ],
)
def test_chance_needs_something_to_draw_from(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        random_faults(1, **arguments)


def test_faults_alone_load_no_server() -> None:
    loaded = modules_after("from asyncbatch.testing import Cut, random_faults; random_faults(1)")
    assert "asyncbatch.testing._faults" in loaded
    assert not loaded.intersection({"asyncio", "starlette", "uvicorn", "asyncbatch.server"})
