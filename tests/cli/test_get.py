"""asyncbatch get"""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import threading
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from asyncbatch.batch import Entry, ItemMetadata
from asyncbatch.cli._output import Output
from asyncbatch.cli._run import Status
from asyncbatch.cli._sinks import _explain, _plan
from asyncbatch.cli._tally import Tally
from asyncbatch.codecs import TarEncoder

from .conftest import MANY, NOISE, OBJECTS, call, spawn, tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Run

SOME = ["a.txt", "dir/b.bin", "dir/deep/large.bin", "empty", "üñ"]
EXPECTED = {name: OBJECTS[name] for name in SOME}


def members(data: bytes, mode: str = "r:*") -> dict[str, bytes]:
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(fileobj=io.BytesIO(data), mode=mode) as tar:  # type: ignore[call-overload]
        return {info.name: tar.extractfile(info).read() for info in tar}


# -- into a folder ------------------------------------------------------------------------------------------


def test_objects_become_files(run: Run, endpoint: str, tmp_path: Path) -> None:
    result = run("get", "ais://b", *SOME, "--endpoint", endpoint, "--output", tmp_path / "out")

    assert result.status == 0
    assert result.out == ""
    assert result.err.startswith("5 fetched (3.1 MB) in ")
    assert tree(tmp_path / "out") == EXPECTED


def test_a_process_does_the_same_into_the_current_folder(endpoint: str, tmp_path: Path) -> None:
    result = call("get", "b", *SOME, "--endpoint", endpoint, cwd=tmp_path)

    assert (result.status, result.out) == (0, "")
    assert tree(tmp_path) == EXPECTED


def test_names_from_a_file(run: Run, endpoint: str, tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("\n".join(MANY))
    result = run("get", "many", "--from", names, "--endpoint", endpoint, "--output", tmp_path / "out")

    assert result.status == 0
    assert tree(tmp_path / "out") == MANY


def test_names_from_standard_input_with_paths_inside_archives(endpoint: str, tmp_path: Path) -> None:
    names = "a.txt\r\n\nshard.tar\tin/side.txt\nüñ".encode()
    result = call("get", "b", "empty", "-", "--endpoint", endpoint, stdin=names, cwd=tmp_path)

    assert result.status == 0
    assert tree(tmp_path) == {
        "empty": b"",
        "a.txt": OBJECTS["a.txt"],
        "shard.tar/in/side.txt": b"inside",
        "üñ": OBJECTS["üñ"],
    }


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Write here what this process is to read from its standard input."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as file:
        monkeypatch.setattr("sys.stdin", file)
        yield writer


@pytest.mark.parametrize("how", [["-"], ["--from", "-"], ["-", "--from", "-"]])
def test_names_from_standard_input(
    run: Run, endpoint: str, tmp_path: Path, stdin: int, how: list[str]
) -> None:
    os.write(stdin, b"0001\n\n0002\n")
    os.close(stdin)
    result = run(
        "get",
        "many",
        *how,
        "--endpoint",
        endpoint,
        "--output",
        tmp_path,
        "--format",
        ".tgz",
        "--batch-size",
        "1",
    )

    assert result.status == 0
    assert tree(tmp_path) == {"0001": MANY["0001"], "0002": MANY["0002"]}


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (b"a\n\tb\n", "line 2: a line is an object"),
        (b"a\t\n", "line 1: a line is an object"),
        (b"a\n" + bytes(100_000), "line 2: this is no list of names"),
    ],
)
def test_lists_that_are_none(run: Run, endpoint: str, tmp_path: Path, line: bytes, match: str) -> None:
    names = tmp_path / "names"
    names.write_bytes(line)
    result = run("get", "b", "--from", names, "--endpoint", endpoint, "--output", tmp_path / "out")

    assert result.status == 2
    assert match in result.err


@pytest.mark.parametrize(
    ("arguments", "status", "match"),
    [
        (["b"], 2, "no names"),
        (["b", "a", "--output", "x", "--archive", "x.tar"], 2, "exclude each other"),
        (["b", "a", "--archive", "-", "--json"], 2, "both want standard output"),
        (["b", "a", "--archive", "x.rar"], 2, "must end in one of .tar, .tar.gz"),
        (["b", "a", "--archive", "x.gz"], 2, "must end in one of .tar, .tar.gz"),
        (["b", "a.txt", "--archive", "no/such/folder/x.tar"], 3, "No such file"),
        (["b", "a", "--format", "tarball"], 2, "no known archive format"),
        (["ftp://b", "a"], 2, "its scheme is none of ais://"),
        (["http://b", "a"], 2, "pass --bucket"),
        (["b/c", "a"], 2, "the name of a bucket, and no more"),
        (["b", "../a"], 2, "'..' in it; use --archive"),
        (["b", "/etc/passwd"], 2, "absolute; use --archive"),
        (["b", "odd\\..\\name"], 2, "use --archive"),
        (["b", "a/"], 2, "that of a folder"),
        (["b", "."], 2, "that of a folder"),
        (["b", "--from", "/no/such/file"], 3, "No such file or directory: '/no/such/file'"),
        (["b", "a.txt", "a.txt/x"], 3, "has the name of its folder; use --archive"),
        (["none", "dir/b.bin", "--strict"], 3, "ais://none/dir/b.bin does not exist"),
        (["missing", "a", "--strict"], 3, "HTTP 404"),
    ],
)
def test_what_cannot_be_done(
    run: Run,
    endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    match: str,
) -> None:
    if "a.txt/x" in arguments:
        (tmp_path / "a.txt").write_bytes(b"")
        arguments = ["b", "--batch-size", "1", "a.txt", "--from", str(tmp_path / "names")]
        (tmp_path / "names").write_text("shard.tar\tin/side.txt")
        (tmp_path / "shard.tar").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    before = set(tree(tmp_path))
    result = run("get", *arguments, "--endpoint", endpoint)

    assert result.status == status
    assert match in result.err
    assert result.err.count("\n") == 1
    assert set(tree(tmp_path)) == before


def test_the_system_stops_us(run: Run, endpoint: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    result = run("get", "b", "a.txt", "--endpoint", endpoint, "--output", file)

    assert result.status == 3
    assert "File exists" in result.err


def test_what_failed_otherwise_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally(Output(as_json=False))
    tally.add(ItemMetadata(0, Entry("a", "b", "ais", archpath="in/side"), error="access denied"))
    tally.add(ItemMetadata(1, Entry("b", "b", "ais"), missing=True, error="not there"))

    assert tally.status() is Status.FAILED
    assert tally.summary().endswith(", 1 missing, 1 failed")
    assert capsys.readouterr().err == (
        "asyncbatch: failed: a/in/side: access denied\nasyncbatch: missing: b: not there\n"
    )


def test_a_full_disk_is_the_system_s_to_tell() -> None:
    error = _explain(OSError(errno.ENOSPC, "No space left on device"), _plan("a/b"))
    assert str(error) == "[Errno 28] No space left on device: 'a/b'"


def test_no_endpoint_and_no_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "set AIS_ENDPOINT" in run("get", "b", "a").err

    monkeypatch.setenv("AIS_ENDPOINT", "http://127.0.0.1:1")
    result = run("get", "b", "a")
    assert result.status == 3
    assert result.err.startswith("asyncbatch: ")
    assert "cannot connect" in result.err
    assert result.err.count("\n") == 1


def test_what_is_missing_is_listed_and_the_rest_comes(run: Run, endpoint: str, tmp_path: Path) -> None:
    result = run("get", "b", "nothing", "a.txt", "no\x1bthing", "--endpoint", endpoint, "--output", tmp_path)

    assert result.status == 1
    assert "asyncbatch: missing: nothing: " in result.err
    assert "asyncbatch: missing: no\\x1bthing: " in result.err
    assert "1 fetched (13 bytes)" in result.err
    assert result.err.endswith(" s, 2 missing\n")
    assert tree(tmp_path) == {"a.txt": OBJECTS["a.txt"]}


def test_strict_stops_at_what_is_missing(run: Run, endpoint: str, tmp_path: Path) -> None:
    result = run(
        "get", "b", "a.txt", "nothing", "empty", "--strict", "--endpoint", endpoint, "--output", tmp_path
    )

    assert result.status == 3
    assert "ais://b/nothing does not exist" in result.err
    assert tree(tmp_path) == {"a.txt": OBJECTS["a.txt"]}


def test_json_has_a_line_for_every_item(run: Run, endpoint: str, tmp_path: Path) -> None:
    result = run("get", "b", "a.txt", "nothing", "--json", "--endpoint", endpoint, "--output", tmp_path)

    first, second = map(json.loads, result.out.splitlines())
    assert first == {"name": "a.txt", "archpath": None, "size": 13, "missing": False, "error": None}
    assert second == {
        "name": "nothing",
        "archpath": None,
        "size": 0,
        "missing": True,
        "error": second["error"],
    }
    assert second["error"]
    assert (result.status, result.err) == (1, "")


# -- into one archive ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tgz", ".zip"])
def test_one_archive_of_any_names(run: Run, endpoint: str, tmp_path: Path, ending: str) -> None:
    names = [*SOME, "odd\\..\\name"]
    archive = tmp_path / f"out{ending}"
    for _ in range(2):  # the second time it is replaced
        result = run("get", "b", *names, "nothing", "--endpoint", endpoint, "--archive", archive)
        assert result.status == 1
        assert members(archive.read_bytes()) == {name: OBJECTS[name] for name in names}
        assert os.listdir(tmp_path) == [archive.name]  # noqa: PTH208


def test_an_archive_on_standard_output(endpoint: str) -> None:
    with spawn("get", "b", *SOME, "--endpoint", endpoint, "--archive", "-") as process:
        out, err = process.communicate(timeout=30)

    assert process.returncode == 0
    assert members(out) == EXPECTED
    assert err.startswith(b"5 fetched")


def test_an_archive_on_standard_output_of_this_process(
    endpoint: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from asyncbatch.cli import main  # noqa: PLC0415

    assert main(["get", "b", "dir/deep/large.bin", "--endpoint", endpoint, "--archive", "-"]) == 0
    assert members(capfdbinary.readouterr().out) == {"dir/deep/large.bin": NOISE}


def test_a_device_is_not_replaced(run: Run, endpoint: str, tmp_path: Path) -> None:
    archive = tmp_path / "out.tar"
    archive.mkdir()
    result = run("get", "b", "a.txt", "--endpoint", endpoint, "--archive", archive)

    assert result.status == 2
    assert "this is no file" in result.err


def test_whoever_reads_the_archive_may_stop(endpoint: str) -> None:
    with spawn("get", "b", *["dir/deep/large.bin"] * 5, "--endpoint", endpoint, "--archive", "-") as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(1000)
        process.stdout.close()
        assert process.wait(30) == 3
        assert process.stderr.read() == b""


# -- stopped ------------------------------------------------------------------------------------------------


@pytest.fixture
def stalling() -> Iterator[str]:
    """A server that sends half of an object of 50 MB, and then keeps silent."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(ConnectionError):
            connection.recv(65_536)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: 60000000\r\n\r\n"
            )
            connection.sendall(TarEncoder().encode("b/first", b"1"))
            connection.sendall(TarEncoder().start("b/large", 50_000_000))
            connection.sendall(bytes(25_000_000))
            over.wait(30)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    over.set()
    thread.join()
    listener.close()


@pytest.mark.parametrize("where", ["--output", "--archive"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_half_written(
    stalling: str, tmp_path: Path, where: str, number: signal.Signals
) -> None:
    target = tmp_path if where == "--output" else tmp_path / "out.tar.gz"
    with spawn("get", "b", "first", "large", "--endpoint", stalling, where, target, "--json") as process:
        assert process.stdout
        # The second item is being written when the first is told.
        assert json.loads(process.stdout.readline())["name"] == "first"
        process.send_signal(number)
        out, err = process.communicate(timeout=20)

    assert process.returncode == 128 + number
    assert (out, err) == (b"", b"")
    assert set(tree(tmp_path)) <= {"first"}


def test_a_silent_standard_input_does_not_hold_it(endpoint: str, tmp_path: Path) -> None:
    arguments = [
        "get",
        "many",
        "-",
        "--batch-size",
        "1",
        "--json",
        "--endpoint",
        endpoint,
        "--output",
        tmp_path,
    ]
    with spawn(*arguments, stdin=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"0001\n0002\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["name"] == "0001"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        process.stdin.close()
    assert set(tree(tmp_path)) <= {"0001", "0002"}


def test_a_reader_that_does_not_read_does_not_hold_it(endpoint: str) -> None:
    reader, writer = os.pipe()
    with spawn(
        "get", "b", *["dir/deep/large.bin"] * 5, "--endpoint", endpoint, "--archive", "-", stdout=writer
    ) as process:
        os.close(writer)
        assert os.read(reader, 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    os.close(reader)


def test_compressed_archives_are_what_they_say(run: Run, endpoint: str, tmp_path: Path) -> None:
    archive = tmp_path / "out.tar.gz"
    run("get", "b", "a.txt", "--endpoint", endpoint, "--archive", archive)
    assert members(gzip.decompress(archive.read_bytes()), "r:") == {"a.txt": OBJECTS["a.txt"]}
