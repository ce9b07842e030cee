"""The real command in processes of its own, against the real ``asyncbatch serve``."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

from asyncbatch.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = (sys.executable, "-m", "asyncbatch")
NOISE = random.Random(9).randbytes(3_000_000)
OBJECTS = {
    "a.txt": b"the text of a",
    "dir/b.bin": NOISE[:100_000],
    "dir/deep/large.bin": NOISE,
    "empty": b"",
    "odd\\..\\name": b"odd",
    "üñ": b"unicode",
}
MANY = {f"{number:04}": NOISE[number : number + 500] for number in range(1200)}


def shard() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("in/side.txt")
        info.size = 6
        tar.addfile(info, io.BytesIO(b"inside"))
    return buffer.getvalue()


class Result(NamedTuple):
    status: int
    out: str
    err: str


class Run(Protocol):
    def __call__(self, *arguments: object) -> Result: ...


def environment() -> dict[str, str]:
    """What processes get: the package under test, warnings that fail, and no proxy between us."""
    path = str(Path(__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if name.lower() != "http_proxy"}
    return kept | {"PYTHONPATH": path, "PYTHONWARNINGS": "error", "COLUMNS": "120", "TERM": "xterm"}


@contextmanager
def spawn(
    *arguments: object,
    stdin: int | None = None,
    stdout: int = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command in a process of its own, which does not outlive the block."""
    command = [*COMMAND, *map(str, arguments)]
    with subprocess.Popen(  # noqa: S603
        command, env=environment(), stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def call(*arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> Result:
    """Run the command to its end, in a process of its own."""
    with spawn(*arguments, stdin=subprocess.PIPE, cwd=cwd) as process:
        out, err = process.communicate(stdin, timeout=60)
    return Result(process.returncode, os.fsdecode(out), os.fsdecode(err))


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process, which is faster, and seen by the coverage."""
    monkeypatch.delenv("AIS_ENDPOINT", raising=False)

    def run(*arguments: object) -> Result:
        status = main([str(argument) for argument in arguments])
        return Result(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    for bucket, objects in {"b": OBJECTS | {"shard.tar": shard()}, "many": MANY, "none": {}}.items():
        (root / bucket).mkdir()
        for name, data in objects.items():
            path = root / bucket / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return root


@pytest.fixture(scope="session")
def endpoint(root: Path) -> Iterator[str]:
    with spawn("serve", root, "--port", "0", stderr=None) as server:
        assert server.stdout
        line = server.stdout.readline().decode()
        assert line.startswith("listening on http://127.0.0.1:")
        try:
            yield line.split()[-1]
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(10) == 0


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if not p.is_dir()}
