"""The benchmarks run, say what they should, and take nobody's word for what was done. No times are judged."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# Benchmarks are not installed; what is installed stands before them.
sys.path.append(str(Path(__file__).parents[1]))

from benchmarks import http, rivals
from benchmarks.data import ZIP_KINDS, Items, make_zip
from benchmarks.http_sender import CHUNKINGS
from benchmarks.runner import Contender, Delivered, Expected, Row, measure
from benchmarks.sender import chunk_sizes

if TYPE_CHECKING:
    from benchmarks.runner import Check

ROOT = Path(__file__).parents[1]
KEYS = ["work", "what", "rival", "settings", "ratio", "ours", "theirs", "items", "bytes", "rounds"]
OPTIONAL_KEYS = {"of_curl", "beside", "overhead_ns"}


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "benchmarks", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "AIS_ENDPOINT"}
    return subprocess.run(  # noqa: S603
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def run(*arguments: str) -> list[str]:
    done = call(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def run_json(*benchmarks: str) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in run(*benchmarks, "--json", "--rounds", "1", "--scale", "0.001")]
    for row in rows:
        assert [key for key in row if key not in OPTIONAL_KEYS] == KEYS
        assert row["ratio"] > 0
        assert row["ours"] > 0
        assert row["theirs"] > 0
        assert row["items"] > 0
        assert row["bytes"] >= row["items"] * 1024
        assert row["rounds"] == 1
    found = {row["work"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def check_archive_row(work: str, row: dict[str, Any], beside: set[str]) -> None:
    assert row["what"] == ("open_archive" if work.endswith("open_archive") else "codec")
    assert ("overhead_ns" in row) == work.endswith("open_archive")
    # Others are shown if they are installed.
    assert set(row.get("beside", ())) <= beside
    assert all(ratio > 0 for ratio in row.get("beside", {}).values())


def test_tar() -> None:
    rows = run_json("tar")
    assert set(rows) == {
        f"{name} {size}{what}"
        for name in ("tar", "tar.gz", "tar.lz4", "tar.lz4 without checksum", "tar.zst")
        for size in ("4KiB", "100KiB", "20MiB")
        for what in ("", ", open_archive")
    }
    for work, row in rows.items():
        check_archive_row(work, row, {"libarchive-c", "webdataset"})
        assert row["rival"] == "tarfile r|*"
        assert "bufsize=" in row["settings"]
    assert rows["tar 4KiB"]["items"] == 20
    assert rows["tar 4KiB"]["bytes"] == 20 * 4096


def test_stalls() -> None:
    rows = run_json("stalls")
    formats = ("tar.gz", "tar.lz4", "tar.zst", "tar.bz2", "tar.xz")
    assert set(rows) == {f"stalls {name} {size}" for name in formats for size in ("4KiB", "100KiB")}
    assert {row["rival"] for row in rows.values()} == {"decoded in place"}


def test_zip_and_compression_in_one_run() -> None:
    rows = run_json("zip", "compression")
    compressions = ["gzip", "lz4", "lz4 without checksum", "zstd", "bzip2", "xz"]
    assert set(rows) == {
        f"zip {kind} {size}{what}"
        for kind in ("stored", "stored with descriptors", "deflate", "deflate with descriptors")
        for size in ("4KiB", "100KiB", "20MiB")
        for what in ("", ", open_archive")
    } | set(compressions)
    assert list(rows)[-6:] == compressions
    for work, row in rows.items():
        if work in compressions:
            assert row["what"] == "codec"
            assert row["settings"].startswith("read(")
            assert row["bytes"] >= 1 << 20
        else:
            check_archive_row(work, row, {"libarchive-c", "stream-unzip"})
            assert row["rival"] == "zipfile on the buffered body"
    assert "stream-unzip" not in rows["zip stored with descriptors 4KiB"].get("beside", ())


def test_a_rival_that_is_not_installed_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "stream_unzip", None)
    rivals._load.cache_clear()
    assert rivals.stream_unzip_reader([]) == {}
    assert rivals.stream_unzip_reader([]) == {}
    assert capsys.readouterr().err.count("stream-unzip is left out") == 1
    rivals._load.cache_clear()


@pytest.mark.parametrize("kind", ZIP_KINDS)
def test_zips_are_as_their_kind_says(kind: str) -> None:
    items = Items("", 5000, 3)
    raw = make_zip(items, kind)
    method, streamed = ZIP_KINDS[kind]
    assert raw[6:10] == bytes((8 * streamed, 0, method, 0))
    assert (raw[14:26] == bytes(12)) == streamed
    assert raw.count(b"PK\7\x08") == 3 * streamed
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert [(info.filename, archive.read(info)) for info in archive.infolist()] == list(items)


def test_http() -> None:
    rows = run_json("http")
    nginx = {"http nginx length", "http nginx TLS"}
    plain = {work for work in rows if "," not in work}
    assert plain - nginx == {"http length", *(f"http chunks {name}" for name in CHUNKINGS)}
    assert not nginx.intersection(plain) or nginx <= plain  # if it is installed
    assert set(rows) == plain | {f"{work}, aiohttp" for work in plain}
    for work, row in rows.items():
        assert row["what"] == "StreamingTransport"
        assert row["rival"].split()[0] == ("aiohttp" if work.endswith("aiohttp") else "httpx")


def test_what_comes_from_nginx_is_left_out_where_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.nginx._NGINX", None)
    assert list(http.rows(rounds=1, scale=0, only="http nginx")) == []
    assert capsys.readouterr().err.splitlines() == [
        "http nginx length is left out: nginx is not installed",
        "http nginx TLS is left out: nginx is not installed",
    ]


def test_held() -> None:
    command = [sys.executable, "-W", "error", "-m", "benchmarks.held", "--seconds", "1", "--responses", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.stdout.startswith("2 responses, nobody reads for 1 s: at most ")


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


def test_stores() -> None:
    rows = run_json("stores")
    assert {work.partition(",")[0]: row["rival"].split()[0] for work, row in rows.items()} == {
        "stores file": "open().read()",
        "stores s3": "aiobotocore",
        "stores gateway": "GETs,",
    }
    assert len(rows["stores s3, 16KiB x 2"]["beside"]) == 3


def test_bundle_memory() -> None:
    command = [sys.executable, "-W", "error", "-m", "benchmarks.bundle_memory", "--gigabytes", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1.6 GB in ")


def test_getbatch() -> None:
    rows = run_json("getbatch")
    fitting = {"1KiB": 3, "10KiB": 3, "100KiB": 3, "1MiB": 2, "10MiB": 1}
    works = [
        f"getbatch {size} x {10**power}" for size, count in fitting.items() for power in range(2, 2 + count)
    ]
    assert list(rows) == [f"{work}{suffix}" for work in works for suffix in ("", ", 64 at once")]
    for work, row in rows.items():
        assert row["what"] == "get_batch"
        assert row["rival"].endswith("GETs 64 at once" if work.endswith("at once") else "GETs one by one")
        assert [name.split()[:2] for name in row["beside"]] == [["aistore", "SDK"]]
        assert row.get("of_curl", 1) > 0
    assert rows["getbatch 1KiB x 10000"]["items"] == 10
    assert rows["getbatch 100KiB x 10000"]["settings"] == "2048 objects, no more fit"


def test_getbatch_says_what_does_not_fit_and_draws_the_rest(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    chart = tmp_path / "chart.svg"
    options = "--rounds", "1", "--scale", "0.001", "--only", "getbatch 10MiB", "--plot", str(chart)
    done = call("getbatch", *options)

    assert done.returncode == 0, done.stderr
    assert [line.split(" is left out: ")[0] for line in done.stderr.splitlines()] == [
        "getbatch 10MiB x 1000",
        "getbatch 10MiB x 10000",
    ]
    assert "</svg>" in chart.read_text(encoding="utf-8")


def test_a_chart_of_other_benchmarks_is_refused() -> None:
    done = call("tar", "--plot", "chart.png")
    assert done.returncode == 2
    assert "what getbatch measures" in done.stderr


def test_a_chart_without_matplotlib_is_refused_before_anything_is_measured() -> None:
    code = (
        "import runpy, sys; sys.modules['matplotlib'] = None;"
        "sys.argv[1:] = ['getbatch', '--plot', 'chart.png'];"
        "runpy.run_module('benchmarks', run_name='__main__')"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("--plot: it needs matplotlib; install it: pip install matplotlib\n")


def test_table() -> None:
    _, _, heading, *rows = run("tar", "zip", "--rounds", "1", "--scale", "0.001", "--only", "tar 4")
    assert heading.split()[:4] == ["work", "ratio", "ours", "theirs"]
    assert [row[:22].strip() for row in rows] == ["tar 4KiB", "tar 4KiB, open_archive"]


def test_an_unknown_benchmark_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks", "tar", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.returncode == 2
    assert "nonsense" in done.stderr


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
    row = Row(
        work="w",
        what="a",
        rival="r",
        ours=0.5,
        theirs=2.0,
        of_curl=0.25,
        beside={"other": 1.5},
        overhead_ns=40,
        items=1,
        bytes=2,
        rounds=3,
    )
    assert row.as_dict() == {
        "work": "w",
        "what": "a",
        "rival": "r",
        "settings": "",
        "ratio": 4.0,
        "ours": 0.5,
        "theirs": 2.0,
        "of_curl": 0.25,
        "beside": {"other": 3.0},
        "overhead_ns": 40,
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


def test_loader() -> None:
    rows = run_json("loader")
    assert list(rows) == [
        "loader load 1KiB x 1000",
        "loader load 10KiB x 1000",
        "loader 8 batches, 50 ms to the first byte",
        "loader 8 batches, budget of 64 MiB",
        "loader one batch",
    ]
    assert {row["rival"].split()[0] for row in rows.values()} == {"aiohttp", "one", "without", "get_batch"}
    assert "overhead_ns" in rows["loader one batch"]


def test_loader_memory() -> None:
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "benchmarks.loader_memory",
        "--batches",
        "5",
        "--items",
        "20",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.stdout.startswith("100 items of 10240 bytes: grew by at most ")
