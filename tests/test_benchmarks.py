"""The benchmarks run, say what they should, and take nobody's word for what was done. No times are judged."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# Benchmarks are not installed; what is installed stands before them.
sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.data import Items
from benchmarks.runner import Contender, Delivered, Expected, Row, measure
from benchmarks.sender import chunk_sizes

if TYPE_CHECKING:
    from benchmarks.runner import Check

ROOT = Path(__file__).parents[1]
KEYS = ["work", "what", "rival", "settings", "ratio", "ours", "theirs", "items", "bytes", "rounds"]


def run(*arguments: str) -> list[str]:
    command = [sys.executable, "-W", "error", "-m", "benchmarks", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def run_json(benchmark: str) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in run(benchmark, "--json", "--rounds", "1", "--scale", "0.001")]
    for row in rows:
        assert [key for key in row if key != "of_curl"] == KEYS
        assert row["ratio"] > 0
        assert row["ours"] > 0
        assert row["theirs"] > 0
        assert row["items"] > 0
        assert row["bytes"] >= row["items"] * 1024
        assert row["rounds"] == 1
    found = {row["work"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def test_tar() -> None:
    rows = run_json("tar")
    assert set(rows) == {
        f"{name} {size}{what}"
        for name in ("tar", "tar.gz", "tar.lz4", "tar.zst")
        for size in ("4KiB", "100KiB", "20MiB")
        for what in ("", ", open_archive")
    }
    for work, row in rows.items():
        assert row["what"] == ("open_archive" if work.endswith("open_archive") else "codec")
        assert row["rival"] == "tarfile r|*"
        assert "bufsize=" in row["settings"]
    assert rows["tar 4KiB"]["items"] == 20
    assert rows["tar 4KiB"]["bytes"] == 20 * 4096


def test_e2e() -> None:
    rows = run_json("e2e")
    assert {work: row["what"] for work, row in rows.items()} == {
        "e2e 1KiB": "get_batch",
        "e2e 4KiB": "get_batch",
        "e2e 10KiB": "get_batch",
        "e2e 100KiB": "get_batch",
        "e2e 20MiB": "get_batch",
        "e2e 20MiB, members, chunk by chunk": "members",
    }
    for row in rows.values():
        assert row["rival"].startswith("aistore SDK ")
        assert row.get("of_curl", 1) > 0


def test_table() -> None:
    _, _, heading, *rows = run("tar", "--rounds", "1", "--scale", "0.001", "--only", "tar 4")
    assert heading.split()[:4] == ["work", "ratio", "ours", "theirs"]
    assert [row[:22].strip() for row in rows] == ["tar 4KiB", "tar 4KiB, open_archive"]


def contender(*delivered: bytes, says: Delivered | None = None) -> Contender:
    """Make one that should deliver b"one" and b"two"."""

    def work(check: Check) -> Delivered:
        if check:
            for data in delivered:
                check(data)
        return says or Delivered(len(delivered), sum(map(len, delivered)))

    return Contender(work, Expected(2, 6, hashlib.blake2b(b"onetwo").hexdigest()))


def test_honest_work_is_timed() -> None:
    assert measure({"honest": contender(b"one", b"two")}, rounds=3)["honest"] > 0


def test_the_clock_of_a_contender_counts() -> None:
    times = measure({"curl": contender(b"one", b"two", says=Delivered(2, 6, 1.5))}, rounds=3)
    assert times == {"curl": 1.5}


@pytest.mark.parametrize(
    "cheat",
    [
        contender(b"one"),
        contender(b"one", b"tw"),
        contender(b"one", b"owt"),
        contender(b"two", b"one"),
        contender(says=Delivered(2, 6)),
    ],
)
def test_work_not_done_is_an_error(cheat: Contender) -> None:
    with pytest.raises(RuntimeError, match="delivered"):
        measure({"cheat": cheat}, rounds=1)


def test_work_not_done_in_a_timed_round_is_an_error() -> None:
    lazy = contender(b"one", b"two")
    once = Contender(lambda check: lazy.run(check) if check else Delivered(0, 0), lazy.expected)
    with pytest.raises(RuntimeError, match="instead of"):
        measure({"lazy": once}, rounds=1)


def test_row() -> None:
    row = Row(work="w", what="a", rival="r", ours=0.5, theirs=2.0, of_curl=0.25, items=1, bytes=2, rounds=3)
    assert row.as_dict() == {
        "work": "w",
        "what": "a",
        "rival": "r",
        "settings": "",
        "ratio": 4.0,
        "ours": 0.5,
        "theirs": 2.0,
        "of_curl": 0.25,
        "items": 1,
        "bytes": 2,
        "rounds": 3,
    }


def test_items_are_all_different_and_always_the_same() -> None:
    items = Items("1KiB", 1024, 2000).scaled(0.5)
    assert items.count == 1000
    assert len({name for name, _ in items}) == len({data for _, data in items}) == 1000
    assert list(items) == list(items)


# As seen on a real cluster; of 1 KiB to 1 MiB.
@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        (1024, {2048}),
        (10_240, {2048, 8704}),
        (102_400, {2048, 31_232, 32_768, 4096}),
        (1 << 20, {2048, 31_232, 32_768}),
    ],
)
def test_the_sender_cuts_chunks_as_aistore_does(size: int, sizes: set[int]) -> None:
    *chunks, last = chunk_sizes(Items("", size, 4))
    assert set(chunks) == sizes
    assert last <= 2048
    assert sum(chunks) + last == 4 * (size + 512) + 1024
