"""Faults of members, and of what a multipart answer's metadata tell of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch.testing import (
    DroppedRange,
    Duplicate,
    FaultyServer,
    Missing,
    OtherTarget,
    Short,
    WrongName,
)

from .asking import NAMES, ask, is_well, members, out

if TYPE_CHECKING:
    from pathlib import Path

    from asyncbatch.testing import Fault

pytestmark = pytest.mark.anyio

MIMES = [".tar", ".tgz", ".tar.lz4", ".zip"]
MODES = pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "multipart"])


@pytest.fixture(params=MIMES)
def mime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@MODES
async def test_a_short_archive(root: Path, mime: str, *, streaming: bool) -> None:
    options: dict[str, Any] = {"mime": mime, "strm": streaming}
    async with FaultyServer(root, [Short(count) for count in (0, 1, 9, 10, 11)]) as server:
        for count in (0, 1, 9, 10, 10):
            short = await ask(server.url, **options)
            assert [name for name, _ in members(short, mime)] == [f"b/{name}" for name in NAMES[:count]]
            if not streaming:
                assert [facts["objname"] for facts in out(short)] == NAMES[:count]
        assert is_well(await ask(server.url, **options), mime)


async def test_metadata_and_archive_that_do_not_agree(root: Path) -> None:
    async with FaultyServer(root, [Short(3, out=5), Short(5, out=0), Short(out=9)]) as server:
        for count, told in ((3, 5), (5, 0), (10, 9)):
            short = await ask(server.url)
            assert [name for name, _ in members(short)] == [f"b/{name}" for name in NAMES[:count]]
            assert [facts["objname"] for facts in out(short)] == NAMES[:told]


async def test_metadata_alone_are_not_short_where_there_are_none(root: Path) -> None:
    async with FaultyServer(root, [Short(out=9)]) as server:
        assert is_well(await ask(server.url, strm=True))


@MODES
@pytest.mark.parametrize("at", [0, 4, 9])
async def test_a_member_twice(root: Path, mime: str, at: int, *, streaming: bool) -> None:
    async with FaultyServer(root, [Duplicate(at)]) as server:
        answer = await ask(server.url, mime=mime, strm=streaming)
        names = [name.removeprefix("b/") for name, _ in members(answer, mime)]
        assert names == [*NAMES[: at + 1], *NAMES[at:]]
        if not streaming:
            assert [facts["objname"] for facts in out(answer)] == NAMES


@MODES
async def test_a_wrong_name(root: Path, mime: str, *, streaming: bool) -> None:
    async with FaultyServer(root, [WrongName(3), WrongName(0, "ü" * 200)]) as server:
        for at, name in ((3, "wrong/name"), (0, "ü" * 200)):
            answer = await ask(server.url, mime=mime, strm=streaming)
            found = members(answer, mime)
            assert [found[at][0], found[at][1]] == [name, f"object {at}\n".encode() * 100]
            assert [one for one, _ in found].count(name) == 1
            if not streaming:
                assert [facts["objname"] for facts in out(answer)] == NAMES


@MODES
async def test_missing_entries_that_are_marked(root: Path, mime: str, *, streaming: bool) -> None:
    async with FaultyServer(root, [Missing(2, count=3)]) as server:
        answer = await ask(server.url, mime=mime, strm=streaming, coer=True)
        found = members(answer, mime)
        assert len(found) == 10
        assert found[2:5] == [(f"__404__/b/o{at}", b"") for at in (2, 3, 4)]
        assert [name for name, data in found if data] == [f"b/{NAMES[at]}" for at in (0, 1, 5, 6, 7, 8, 9)]
        if not streaming:
            told = out(answer)
            assert [facts["size"] for facts in told] == [len(data) for _, data in found]
            assert told[3]["err_msg"] == "t[AsyncbTg]: ais://b/o3 does not exist"
        assert is_well(await ask(server.url, mime=mime, strm=streaming, coer=True), mime)


async def test_a_missing_entry_in_strict_mode(root: Path, mime: str) -> None:
    async with FaultyServer(root, [Missing(2), Missing(2)]) as server:
        stopped = await ask(server.url, mime=mime, strm=True)
        assert [name for name, _ in members(stopped, mime)] == ["b/o0", "b/o1"]
        refused = await ask(server.url, mime=mime)
        assert (refused.status, json.loads(refused.body)["tcode"]) == (404, "ErrNotFound")
        assert refused.message == "t[AsyncbTg]: ais://b/o2 does not exist"


@MODES
async def test_another_targets_missing_entry_in_strict_mode(
    root: Path, mime: str, *, streaming: bool
) -> None:
    """It is marked all the same, and so are others, until one is missing here."""
    async with FaultyServer(root, [Missing(2, 2, remote=True)]) as server:
        answer = await ask(server.url, mime=mime, strm=streaming)
        found = members(answer, mime)
        assert len(found) == 10
        assert found[2:4] == [("__404__/b/o2", b""), ("__404__/b/o3", b"")]
        if not streaming:
            assert ["err_msg" in facts for facts in out(answer)] == [at in {2, 3} for at in range(10)]
        server.faults.append(Missing(1, remote=True))
        answer = await ask(server.url, [*NAMES[:4], "nowhere", "o5"], mime=mime, strm=streaming)
        if streaming:
            names = [name for name, _ in members(answer, mime)]
            assert names == ["b/o0", "__404__/b/o1", "b/o2", "b/o3"]
        else:
            assert (answer.status, answer.message[-23:]) == (404, "/nowhere does not exist")


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize("count", [8, 9])
async def test_more_than_eight_missing_entries(root: Path, mime: str, count: int, *, remote: bool) -> None:
    fault = Missing(1, count, remote=remote)
    async with FaultyServer(root, [fault, fault], max_soft_errors=8) as server:
        found = members(await ask(server.url, mime=mime, strm=True, coer=True), mime)
        refused = await ask(server.url, mime=mime, coer=True)
        if count == 8:
            assert len(found) == 10
            assert found == members(refused, mime)
        else:
            assert [name for name, _ in found] == ["b/o0", *(f"__404__/b/o{at}" for at in range(1, 9))]
            assert refused.status == 400
            assert refused.message.endswith("exceeded soft-errors limit: 9 (max: 8)")


@MODES
async def test_a_range_that_is_dropped(root: Path, mime: str, *, streaming: bool) -> None:
    entries = [
        {"objname": "o1", "start": 10, "length": 20},
        {"objname": "o2", "start": 5, "length": -1},
        {"objname": "s.tar", "archpath": "in/it", "start": 1, "length": 2},
    ]
    async with FaultyServer(root, [DroppedRange(), DroppedRange(1), None]) as server:
        for sizes in ((900, 900, 4), (20, 900, 2), (20, 895, 2)):
            answer = await ask(server.url, entries, mime=mime, strm=streaming)
            assert [len(data) for _, data in members(answer, mime)] == list(sizes)
            if not streaming:
                assert [facts["size"] for facts in out(answer)] == list(sizes)


async def test_entries_that_another_target_answered(root: Path, mime: str) -> None:
    file = {"objname": "s.tar", "archpath": "in/it", "opaque": "bWFyaw=="}
    here = file | {"bucket": "b", "provider": "ais", "size": 4}
    there = {key: value for key, value in here.items() if key != "archpath"} | {"objname": "s.tar/in/it"}
    async with FaultyServer(root, [OtherTarget(), OtherTarget(2), OtherTarget(0), None]) as server:
        for first, second in ((there, there), (here, there), (here, here), (here, here)):
            answer = await ask(server.url, ["o1", file, file], mime=mime)
            assert out(answer)[1:] == [first, second]
            assert out(answer)[0]["objname"] == "o1"
            assert [name for name, _ in members(answer, mime)] == ["b/o1", *["b/s.tar/in/it"] * 2]


@MODES
@pytest.mark.parametrize(
    "fault", [Duplicate(10), Missing(10), WrongName(10), DroppedRange(10), OtherTarget(10), Short(10)]
)
async def test_a_place_behind_the_end_is_no_fault(root: Path, fault: Fault, *, streaming: bool) -> None:
    async with FaultyServer(root, [fault]) as server:
        assert is_well(await ask(server.url, strm=streaming))
        assert server.requests[0].fault == fault
