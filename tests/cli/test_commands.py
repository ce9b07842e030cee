"""asyncbatch list, extract, serve and demo; and what all commands have in common."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import queue
import runpy
import signal
import socket
import subprocess
import sys
import tarfile
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asyncbatch import __version__
from asyncbatch.cli import _demo, _leave, main
from asyncbatch.cli._output import Output, in_units
from asyncbatch.cli._run import Status, _execute, printable
from asyncbatch.errors import AsyncBatchError

from .conftest import COMMAND, NOISE, OBJECTS, call, environment, spawn, tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Run


# -- in common ----------------------------------------------------------------------------------------------


def test_version_and_help(run: Run) -> None:
    assert run("--version") == (0, f"asyncbatch {__version__}\n", "")
    assert call("--version") == (0, f"asyncbatch {__version__}\n", "")
    assert "demo" in run("--help").out
    assert run().status == 2
    assert run("no-such-command").status == 2


def test_python_m_is_the_same(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    left: list[int] = []
    monkeypatch.setattr("asyncbatch.cli._leave", left.append)
    monkeypatch.setattr("sys.argv", ["asyncbatch", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("asyncbatch", run_name="__main__")
    assert (caught.value.code, left) == (0, [0])
    assert capfd.readouterr().out == f"asyncbatch {__version__}\n"


def test_a_process_that_is_held_up_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    left: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr("asyncbatch.cli._PATIENCE", 0)
    monkeypatch.setattr("os._exit", left.put)
    _leave(3)
    assert left.get(timeout=30) == 3


def test_a_store_that_does_not_answer_holds_up_no_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
        command = [*COMMAND, "serve", "s3://bucket", "--port", "0"]
        with subprocess.Popen(  # noqa: S603
            command, env=environment() | settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as server:
            try:
                assert server.stdout
                assert server.stderr
                port = int(server.stdout.readline().rsplit(b":", 1)[1])
                with socket.create_connection(("127.0.0.1", port)) as client:
                    client.sendall(b"GET /bucket/object HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    upstream, _ = silent.accept()
                    with upstream:
                        assert upstream.recv(3) == b"GET"
                        server.send_signal(signal.SIGTERM)
                        assert server.wait(20) == 0  # the store's own time is 30 s
                assert server.stderr.read() == b""
            finally:
                server.kill()


def test_help_waits_for_no_library_that_it_does_not_need() -> None:
    code = (
        "import sys; from asyncbatch.cli import main; assert main(['--help']) == 0;"
        "sys.exit(not {'httpx', 'uvicorn', 'asyncbatch.aistore'}.isdisjoint(sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, capture_output=True)  # noqa: S603


def without(library: str, arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process that cannot import a library."""
    code = (
        f"import sys; sys.modules[{library!r}] = None;"
        f"from asyncbatch.cli import main; sys.exit(main({arguments}))"
    )
    return subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=False)  # noqa: S603


@pytest.mark.parametrize("library", ["typer", "rich"])
def test_without_its_libraries_it_says_what_to_install(library: str) -> None:
    result = without(library, ["list"])

    assert result.returncode == 2
    assert result.stderr.startswith(f"asyncbatch: the command line needs {library}; ".encode())
    assert b"pip install 'asyncbatch[cli]'" in result.stderr


def test_without_typer_in_this_process(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asyncbatch.cli._app", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)
    assert run("list").status == 2

    monkeypatch.setitem(sys.modules, "asyncbatch.cli._app", None)
    with pytest.raises(ModuleNotFoundError):
        run("list")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, Status.INTERRUPTED), (signal.SIGTERM, Status.TERMINATED)]
)
def test_signals_end_a_command_behind_its_clean_up(number: signal.Signals, status: Status) -> None:
    cleaned_up = []

    async def command() -> Status:
        signal.raise_signal(number)
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.append(True)
        return Status.OK

    before = signal.getsignal(signal.SIGTERM)
    assert _execute(command()) is status
    assert cleaned_up
    assert signal.getsignal(signal.SIGTERM) is before


def test_any_signal_wakes_the_loop_while_a_command_runs() -> None:
    descriptors = []

    async def command() -> Status:
        descriptors.append(signal.set_wakeup_fd(-1))
        signal.set_wakeup_fd(descriptors[0], warn_on_full_buffer=False)
        return Status.OK

    assert _execute(command()) is Status.OK
    assert descriptors[0] >= 0
    assert signal.set_wakeup_fd(-1) == -1


def test_a_closed_standard_output_is_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    async def command() -> Status:
        raise BrokenPipeError

    assert _execute(command()) is Status.FAILED
    os.write(1, b"goes nowhere")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_whoever_reads_a_listing_may_stop(endpoint: str, option: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with spawn("list", "many", "--endpoint", endpoint, *option, stdout=writer) as process:
        os.close(writer)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (3, b"")


def test_ctrl_c_while_it_still_starts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_app(_arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("asyncbatch.cli._app.run_app", run_app)
    assert run("list") == (Status.INTERRUPTED, "", "")


def test_names_that_standard_output_cannot_encode(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, "ascii"))
    Output(as_json=False).line("üñ")
    sys.stdout.flush()
    assert written.getvalue() == b"\\xfc\\xf1\n"


def test_names_that_would_speak_to_the_terminal() -> None:
    assert printable("a\x1b[2Jb\udcff") == "a\\x1b[2Jb\\udcff"
    assert printable("ünï") == "ünï"


def test_sizes_for_people() -> None:
    sizes = (0, 999, 1000, 1_500_000, 2e9, 3.25e12, 5e15)
    assert [in_units(size) for size in sizes] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "1.5 MB",
        "2.0 GB",
        "3.2 TB",
        "5000.0 TB",
    ]


def test_on_a_terminal_there_is_a_bar(endpoint: str, tmp_path: Path) -> None:
    reader, terminal = pty.openpty()
    arguments = ["get", "b", "a.txt", "nothing", "--endpoint", endpoint, "--output", tmp_path]
    with spawn(*arguments, stderr=terminal) as process:
        os.close(terminal)
        seen = b""
        while chunk := _read(reader):
            seen += chunk
        assert process.wait(20) == 1
    os.close(reader)
    assert b"fetching" in seen
    assert b"2/2" in seen
    assert b"objects/s, " in seen
    assert b"missing: nothing" in seen


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65_536)
    except OSError:  # how a terminal's end reads on Linux
        return b""


def test_on_a_terminal_of_this_process(
    run: Run, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert "fetching" in run("get", "b", "a.txt", "--endpoint", endpoint, "--output", tmp_path).err


def test_a_bar_tells_now_and_then_how_it_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    asked = iter(("well", "not asked"))
    output = Output(as_json=False)
    with output.progress("counting", 3, status=lambda: next(asked)) as advance:
        monkeypatch.setattr("asyncbatch.cli._output._TELL_EVERY", -1)
        advance(1)
        monkeypatch.setattr("asyncbatch.cli._output._TELL_EVERY", 1e9)
        advance(1)
    with output.progress("without a word", 3) as advance:
        advance(1)
    assert next(asked) == "not asked"
    assert "counting" in capsys.readouterr().err


# -- list ---------------------------------------------------------------------------------------------------


def test_objects_are_listed_with_their_sizes(run: Run, endpoint: str) -> None:
    result = run("list", "ais://b", "--prefix", "dir/", "--endpoint", endpoint)
    assert result == (0, "         100000 dir/b.bin\n        3000000 dir/deep/large.bin\n", "")

    result = run("list", "b/", "--json", "--endpoint", endpoint)
    assert {line["name"]: line["size"] for line in map(json.loads, result.out.splitlines())} == {
        name: len(data) for name, data in OBJECTS.items()
    } | {"shard.tar": 10240}
    assert run("list", "none", "--endpoint", endpoint) == (0, "", "")


def test_buckets_are_listed(run: Run, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("list", endpoint) == (0, "ais://b\nais://many\nais://none\n", "")
    assert run("list", "--endpoint", endpoint, "--json").out.startswith('{"name": "b", "provider": "ais"}\n')
    monkeypatch.setenv("AIS_ENDPOINT", endpoint)
    assert run("list", "ais://") == (0, "ais://b\nais://many\nais://none\n", "")


def test_a_bucket_that_is_not_there(run: Run, endpoint: str) -> None:
    result = run("list", "nothing", "--endpoint", endpoint)
    assert result.status == 3
    assert result.err.startswith("asyncbatch: HTTP 404")


# -- extract ------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "archive.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in (("d/a", b"1"), ("large", NOISE)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_an_archive_is_extracted(run: Run, archive: Path, tmp_path: Path) -> None:
    result = run("extract", archive, "-C", tmp_path / "out")
    assert result == (0, "", f"2 files, 3.0 MB, are in {tmp_path / 'out'}\n")
    assert tree(tmp_path / "out") == {"d/a": b"1", "large": NOISE}

    result = run("extract", archive, "-C", tmp_path / "out", "--json")
    assert json.loads(result.out) == {"files": 2, "bytes": 3_000_001, "dirs": 0, "links": 0}
    assert result.err == ""


def test_an_archive_from_standard_input_into_the_current_folder(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    result = call("extract", "-", stdin=archive.read_bytes(), cwd=tmp_path / "out")
    assert (result.status, result.out) == (0, "")
    assert tree(tmp_path / "out") == {"d/a": b"1", "large": NOISE}


def test_an_archive_from_standard_input_of_this_process(
    run: Run, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with archive.open("rb") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert run("extract", "-", "-C", tmp_path / "out").status == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "empty"), (b"<html>", "HTML page"), (b'{"error": 404}', "JSON")],
)
def test_what_is_no_archive(run: Run, tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "archive"
    path.write_bytes(data)
    result = run("extract", path, "-C", tmp_path / "out")
    assert result.status == 3
    assert message in result.err
    assert result.err.count("\n") == 1


def test_an_archive_that_is_not_there(run: Run, tmp_path: Path) -> None:
    assert run("extract", tmp_path / "nothing") == (
        3,
        "",
        f"asyncbatch: [Errno 2] No such file or directory: '{tmp_path / 'nothing'}'\n",
    )


def test_ctrl_c_leaves_what_was_whole(archive: Path, tmp_path: Path) -> None:
    with spawn("extract", "-", "-C", tmp_path / "out", stdin=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(archive.read_bytes()[:2_000_000])  # far more than the pipe holds
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        process.stdin.close()
    assert tree(tmp_path / "out") == {"d/a": b"1"}


# -- serve --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_says_where_it_listens_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with spawn("serve", tmp_path, "--port", "0") as server:
        assert server.stdout
        endpoint = server.stdout.readline().decode().removeprefix("listening on ").strip()
        assert call("list", endpoint) == (0, "", "")

        port = endpoint.rpartition(":")[2]
        second = call("serve", tmp_path, "--port", port)
        assert second.status == 3
        assert "in use" in second.err
        assert second.err.count("\n") == 1

        server.send_signal(number)
        out, err = server.communicate(timeout=20)
    assert (server.returncode, out, err) == (0, b"", b"")


def test_a_server_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Listening(io.StringIO):
        def flush(self) -> None:
            if not said:
                said.append(self.getvalue())
                signal.raise_signal(signal.SIGTERM)

    said: list[str] = []
    monkeypatch.setattr("sys.stdout", Listening())
    assert main(["serve", str(tmp_path), "--port", "0"]) == 0
    assert said[0].startswith("listening on http://127.0.0.1:")


def test_a_server_with_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Listening(io.StringIO):
        def flush(self) -> None:
            if not said:
                said.append(self.getvalue().removeprefix("listening on ").strip())
                Thread(target=ask).start()

    def ask() -> None:
        asked.extend(httpx.get(said[0] + path).status_code for path in ("/", "/v1/buckets"))
        os.kill(os.getpid(), signal.SIGTERM)

    said: list[str] = []
    asked: list[int] = []
    monkeypatch.setattr("sys.stdout", Listening())
    monkeypatch.setenv("ASYNCBATCH_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("ASYNCBATCH_SECRET_ACCESS_KEY", "secret")
    assert main(["serve", str(tmp_path), "--port", "0"]) == 0
    assert asked == [403, 401]


@pytest.mark.parametrize(("key", "secret"), [("key", None), (None, "secret"), ("", ""), ("key", "")])
def test_half_of_a_servers_credentials(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None, secret: str | None
) -> None:
    for name, value in (("ASYNCBATCH_ACCESS_KEY_ID", key), ("ASYNCBATCH_SECRET_ACCESS_KEY", secret)):
        if value is not None:
            monkeypatch.setenv(name, value)
    result = run("serve", tmp_path)
    assert (result.status, "go together" in result.err) == (2, True)


def test_a_server_without_a_folder(run: Run, tmp_path: Path) -> None:
    result = run("serve", tmp_path / "nothing")
    assert result.status == 2
    assert "is not a folder" in result.err


def test_a_server_without_its_libraries(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = without("uvicorn", ["serve", "."])
    assert result.returncode == 2
    assert b"the server needs uvicorn; install it: pip install 'asyncbatch[server]'" in result.stderr

    monkeypatch.setitem(sys.modules, "asyncbatch.server", None)
    assert run("serve", tmp_path).status == 2


# -- demo ---------------------------------------------------------------------------------------------------


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go, of this process and others; in the end there are none."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    yield folder
    assert list(folder.iterdir()) == []


def test_the_demo_tells_how_much_faster_batches_are(temporary: Path) -> None:
    result = call("demo", "--json", "--objects", "100")
    assert (result.status, result.err) == (0, "")
    figures = json.loads(result.out)
    assert figures["objects"] == 100
    assert 100 * 4096 < figures["bytes"] < 100 * 65_536
    assert figures["speedup"] == pytest.approx(figures["single_seconds"] / figures["batch_seconds"], rel=0.05)
    assert figures["speedup"] > 2


def test_the_demo_in_this_process(run: Run, temporary: Path) -> None:
    result = run("demo", "--objects", "20")
    assert result.status == 0
    assert "20 objects" in result.out
    assert "one GET each" in result.out
    assert json.loads(run("demo", "--objects", "20", "--json").out)["objects"] == 20


def test_the_demo_finds_wrong_bytes(run: Run, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = _demo._Demo.write

    async def spoil(demo: Any) -> None:  # noqa: ANN401
        await write(demo)
        await demo.bucket.object("object-000007").put(b"spoilt")

    monkeypatch.setattr(_demo._Demo, "write", spoil)
    result = run("demo", "--objects", "20")
    assert result.status == 3
    assert "'object-000007' came back with other bytes" in result.err


def test_the_demo_stops_at_an_error_of_one_request(
    run: Run, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def destroyed(demo: Any) -> None:  # noqa: ANN401
        await demo.bucket.destroy()
        await demo.fetch_one_by_one()

    monkeypatch.setattr(_demo._Demo, "measure", destroyed)
    result = run("demo", "--objects", "20")
    assert result.status == 3
    assert result.err.startswith("asyncbatch: HTTP 404")


@pytest.mark.parametrize("code", ["print('something else')", "pass"])
def test_a_server_that_does_not_start(
    run: Run, temporary: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(_demo, "_SERVE", (sys.executable, "-c", code))
    result = run("demo", "--objects", "20")
    assert result.status == 3
    assert "the demo's server did not start" in result.err


def test_a_server_that_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('listening on http://x', flush=True); signal.pause()"
    )
    monkeypatch.setattr(_demo, "_SERVE", (sys.executable, "-c", code))
    monkeypatch.setattr(_demo, "_STOP_PATIENCE", 0.1)

    async def start_and_stop() -> str:
        async with _demo._started_server("folder") as url:
            return url

    assert asyncio.run(start_and_stop()) == "http://x"


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are looked up in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_stops_what_it_started(temporary: Path, number: signal.Signals) -> None:
    with spawn("demo", "--objects", "100000") as process:
        while not any(temporary.glob("*/demo/*")):  # until it writes
            assert process.poll() is None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert children
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (128 + number, b"", b"")
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def test_a_bug_is_a_failure_and_shows_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Python's own status, 1, would say that something is missing."""

    async def command() -> Status:
        raise ZeroDivisionError

    assert _execute(command()) is Status.FAILED
    assert capsys.readouterr().err.startswith("Traceback ")


def test_errors_of_ours_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    async def command() -> Status:
        raise AsyncBatchError("two\nlines")

    assert _execute(command()) is Status.FAILED
    assert capsys.readouterr().err == "asyncbatch: two lines\n"
