"""asyncbatch bench, and what it shares with ``python -m benchmarks getbatch``."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch.aistore import Bucket, Client, Object
from asyncbatch.cli import _bench, _measure
from asyncbatch.cli._measure import Cell, for_each, parse_numbers, parse_sizes, plan, size_label
from asyncbatch.errors import AsyncBatchError, TransportError, UsageError

from .conftest import MANY, OBJECTS, call, spawn, tree

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run

QUICK = ["--sizes", "1KiB", "--batch", "20", "--rounds", "1"]


def buckets(root: Path) -> set[str]:
    """What a server has; but for its own folder, which comes and goes."""
    return {path.name for path in root.iterdir()} - {".asyncbatch"}


# -- what is measured ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("1KiB", [1024]),
        ("1kib, 10 MiB,2GIB", [1024, 10 << 20, 2 << 30]),
        ("1kB,2MB,3GB", [1000, 2_000_000, 3_000_000_000]),
        ("512,7B,512", [512, 7]),
    ],
)
def test_sizes(text: str, sizes: list[int]) -> None:
    assert parse_sizes(text) == sizes


@pytest.mark.parametrize("text", ["", "0", "1KiB,", "-1", "1.5KiB", "1TiB", "KiB", "9" * 13, "\u0661"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        parse_sizes(text)


def test_numbers_come_in_order() -> None:
    assert parse_numbers("1000, 10,100,10") == [10, 100, 1000]


@pytest.mark.parametrize("text", ["", "0", "1,", "-1", "1e3", "9" * 10, "\u0661"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(UsageError, match="is no number"):
        parse_numbers(text)


@pytest.mark.parametrize(
    ("size", "label"),
    [(1, "1B"), (1000, "1000B"), (1024, "1KiB"), (1536, "1536B"), (10 << 20, "10MiB"), (3 << 30, "3GiB")],
)
def test_labels(size: int, label: str) -> None:
    assert size_label(size) == label
    assert parse_sizes(label) == [size]


@pytest.mark.parametrize(
    ("sizes", "cells", "left_out"),
    [
        ([10] * 1000, [(10, 10), (100, 100), (1000, 1000)], []),
        ([100] * 1000, [(10, 10), (100, 100)], [1000]),
        ([500] * 1000, [(10, 10), (100, 20)], [1000]),
        ([1000] * 1000, [(10, 10)], [100, 1000]),
        ([9000] * 1000, [(10, 1)], [100, 1000]),
        ([90_000] * 3, [(10, 1)], [100, 1000]),  # one is fetched, whatever its size
        ([1] * 50, [(10, 10), (100, 50)], [1000]),
        ([1, 9000, 999, 1], [(10, 3)], [100, 1000]),
    ],
)
def test_batches_are_cut_down_to_a_bound(
    sizes: list[int], cells: list[tuple[int, int]], left_out: list[int]
) -> None:
    assert plan(sizes, [10, 100, 1000], max_bytes=10_000) == ([Cell(*cell) for cell in cells], left_out)


async def _fail(_one: int) -> None:
    raise AsyncBatchError("no")


def test_work_ends_with_the_first_error() -> None:
    with pytest.raises(AsyncBatchError, match="no"):
        asyncio.run(for_each(range(100), _fail))


# -- the command --------------------------------------------------------------------------------------------


def records(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def check(record: dict[str, Any]) -> None:
    assert list(record) == [
        "object_size",
        "batch_size",
        "objects",
        "bytes",
        "one_by_one",
        "at_once",
        "batch",
        "speedup_over_one_by_one",
        "speedup_over_at_once",
        "connections",
        "format",
        "rounds",
    ]
    for way in ("one_by_one", "at_once", "batch"):
        assert set(record[way]) == {"objects_per_second", "bytes_per_second"}
        assert all(rate > 0 for rate in record[way].values())
    assert record["speedup_over_one_by_one"] > 0
    assert record["speedup_over_at_once"] > 0


def test_a_table_for_people(run: Run, endpoint: str, root: Path) -> None:
    before = tree(root)
    result = run("bench", endpoint, "--sizes", "1KiB,100", "--batch", "2,40", "--rounds", "2")

    assert (result.status, result.err) == (0, "")
    for text in ("2 x 1KiB", "40 x 1KiB", "40 x 100B", "GETs one by one", "64 GETs at once", "one batch"):
        assert text in result.out
    assert "Medians of 2 rounds" in result.out
    assert tree(root) == before


def test_a_process_does_the_same_for_programs(endpoint: str, root: Path) -> None:
    before = tree(root)
    options = (
        "--sizes",
        "1KiB,2KiB",
        "--batch",
        "5,10",
        "--rounds",
        "1",
        "--connections",
        "4",
        "--format",
        ".tgz",
    )
    result = call("bench", endpoint, *options, "--json")

    assert (result.status, result.err) == (0, "")
    found = records(result.out)
    for record in found:
        check(record)
        assert record["bytes"] == record["objects"] * record["object_size"]
        assert (record["connections"], record["format"], record["rounds"]) == (4, ".tgz", 1)
    assert [(record["object_size"], record["batch_size"], record["objects"]) for record in found] == [
        (1024, 5, 5),
        (1024, 10, 10),
        (2048, 5, 5),
        (2048, 10, 10),
    ]
    assert tree(root) == before


def test_the_objects_of_a_bucket(
    run: Run, endpoint: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIS_ENDPOINT", endpoint)
    before = tree(root)
    options = "--bucket", "ais://many", "--rounds", "1", "--json"
    result = run("bench", *options, "--batch", "10,5000")

    assert (result.status, result.err) == (0, "")
    few, all_ = records(result.out)
    check(few)
    check(all_)
    assert (few["object_size"], few["objects"], few["bytes"]) == (None, 10, 5000)
    assert (all_["batch_size"], all_["objects"]) == (5000, len(MANY))

    (first,) = records(run("bench", *options, "--batch", "7").out)
    assert (first["objects"], first["bytes"]) == (7, 3500)
    assert tree(root) == before


def test_what_does_not_fit_is_said(run: Run, endpoint: str) -> None:
    result = run("bench", endpoint, "--bucket", "b", "--batch", "3,100,1000", "--rounds", "1")

    count = len(OBJECTS) + 1
    assert result.status == 0
    assert f"the batch of 100 is one of {count} (" in result.err
    assert "a batch of 1,000 objects is left out" in result.err
    assert result.err.endswith(f"it would be the one of {count}\n")


@pytest.mark.parametrize(
    ("arguments", "status", "match"),
    [
        ([], 2, "no endpoint"),
        (["host:80"], 2, "'host:80' is no endpoint"),
        (["http://"], 2, "endpoint 'http://'"),
        (["URL", "--sizes", "large"], 2, "'large' is no size"),
        (["URL", "--batch", "many"], 2, "'many' is no number"),
        (["URL", "--format", ".rar"], 2, "no known archive format"),
        (["URL", "--bucket", "b", "--sizes", "1KiB"], 2, "exclude each other"),
        (["URL", "--bucket", "s3://b"], 2, "a bucket is like ais://bucket"),
        (["URL", "--bucket", "http://b"], 2, "is an endpoint"),
        (["URL", "--bucket", "none"], 3, "bucket 'none' is empty"),
        (["URL", "--bucket", "nowhere"], 3, "HTTP 404"),
        (["http://127.0.0.1:1"], 3, "cannot connect"),
    ],
)
def test_what_cannot_be_done(
    run: Run, endpoint: str, root: Path, arguments: list[str], status: int, match: str
) -> None:
    before = tree(root)
    result = run("bench", *[endpoint if one == "URL" else one for one in arguments])

    assert (result.status, result.out) == (status, "")
    assert match in result.err
    assert result.err.count("\n") == 1
    assert tree(root) == before


@pytest.mark.parametrize("option", [["--connections", "0"], ["--rounds", "0"]])
def test_numbers_that_make_no_sense(run: Run, endpoint: str, option: list[str]) -> None:
    assert run("bench", endpoint, *option).status == 2


@pytest.mark.parametrize("size", [-1, 0])
def test_wrong_bytes_are_found(
    run: Run, endpoint: str, root: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    get = Object.get

    async def wrong(self: Object) -> bytes:
        data = await get(self)
        return data[:size] if size else bytes(len(data))

    monkeypatch.setattr(Object, "get", wrong)
    before = buckets(root)
    result = run("bench", endpoint, *QUICK)

    assert result.status == 3
    wrong_size = "object 'object-000000' has 1024 bytes, and 1023 came"
    assert (wrong_size if size else "other bytes than were stored") in result.err
    assert result.err.count("\n") == 1
    assert buckets(root) == before


def test_a_bucket_that_cannot_be_removed_is_named(
    run: Run, endpoint: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destroy = Bucket.destroy

    async def fail(self: Bucket, *, missing_ok: bool = False) -> None:
        await destroy(self, missing_ok=missing_ok)
        raise TransportError("the connection broke", retryable=True)

    monkeypatch.setattr(Bucket, "destroy", fail)
    before = buckets(root)
    result = run("bench", endpoint, *QUICK, "--json")

    assert result.status == 0
    check(*records(result.out))
    assert result.err.startswith("asyncbatch: bucket asyncbatch-bench-")
    assert result.err.endswith(" is left behind, remove it yourself: the connection broke\n")
    assert buckets(root) == before


def test_a_removal_does_not_take_for_ever(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    destroy = Bucket.destroy

    async def hang(self: Bucket, *, missing_ok: bool = False) -> None:
        await destroy(self, missing_ok=missing_ok)
        await asyncio.Event().wait()

    async def work() -> None:
        async with Client(endpoint) as client, _measure.temporary_bucket(client):
            pass

    monkeypatch.setattr(Bucket, "destroy", hang)
    monkeypatch.setattr(_measure, "_REMOVAL_PATIENCE", 0.2)
    asyncio.run(work())
    assert capsys.readouterr().err.endswith(" is left behind, remove it yourself: no answer\n")


def test_one_by_one_is_measured_with_the_first_objects(
    run: Run, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []
    get = Object.get

    async def count(self: Object) -> bytes:
        fetched.append(self.name)
        return await get(self)

    monkeypatch.setattr(Object, "get", count)
    monkeypatch.setattr(_bench, "_MAX_ONE_BY_ONE", 3)
    assert run("bench", endpoint, *QUICK).status == 0
    assert len(fetched) == 2 * _bench._WARM_UP + 3 + 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_removes_what_was_made(endpoint: str, root: Path, number: signal.Signals) -> None:
    before = buckets(root)
    options = "--sizes", "1KiB", "--batch", "10,1000", "--rounds", "500", "--json"
    with spawn("bench", endpoint, *options, "--rounds", "2") as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["objects"] == 10
        assert buckets(root) > before
        process.send_signal(number)
        out, err = process.communicate(timeout=60)

    assert (process.returncode, out, err) == (128 + number, b"", b"")
    assert buckets(root) == before
