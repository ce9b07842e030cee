"""The examples run as their docstrings say, against a server, and print what they should."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import pytest

import asyncbatch
from asyncbatch.codecs import TarEncoder
from asyncbatch.server import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PACKAGE: Final = str(Path(asyncbatch.__file__).parents[1])  # the one that is tested, not another
EXAMPLES: Final = Path(__file__).parents[1] / "examples"

# Arguments, and what is printed.
RUNS: Final[dict[str, tuple[list[str], list[str]]]] = {
    "one_batch.py": (
        [],
        [
            "one-batch/000.txt: this is one-batch/000.txt",
            "one-batch/075.txt: this is one-batch/075.txt",
            "100 items, 2500 bytes, 1 request, ",
        ],
    ),
    "missing_objects.py": (
        [],
        [
            "raised: nowhere.txt does not exist",
            "there.txt: 9 bytes",
            "empty.txt: 0 bytes",
            "nowhere.txt: ais://example/nowhere.txt does not exist",
        ],
    ),
    "ranges_and_shards.py": (
        [],
        [
            "shard.tar 042.txt b'my own mark' b'sample 42'",
            "shard.tar 099.txt None b'99'",
            "alphabet.txt None None b'xyz'",
        ],
    ),
    "large_objects.py": (["."], ["large-1.bin: 33554432 bytes", "large-2.bin: 33554432 bytes"]),
    "pipeline.py": ([], ["50 objects, checksum so far ", "20 objects, checksum", "120 items in 3 requests"]),
    "inference_service.py": (
        [],
        ["44, 184, no such image: image/20", "21 calls, 22 objects, 1 request"],
    ),
    "fastapi_handler.py": (
        [],
        ["['page 0', 'page 1', 'page 2'] 404", "51 requests came in, 1 went out"],
    ),
    "repack.py": (
        ["out.tar.zst"],
        [
            "000000.txt b'this is repack/one'",
            "000001.txt b'this is repack/two'",
            "000002.txt b'this is repack/three'",
        ],
    ),
    "extract_download.py": (["out"], ["5 files, 50000 bytes"]),
    "list_tar.py": (["given.tar"], ["file                 5 a", "file             70000 b"]),
    "zip_to_tar.py": (
        ["given.zip", "out.tar.zst"],
        ["a: 5000 bytes, ", "b: 5 bytes, 7 in the zip"],
    ),
    "own_http_client.py": ([], ["GET /v1/ml/moss/example 307", "[b'hello']"]),
    "secured_cluster.py": (
        [],
        ["asyncbatch.aistore: PUT http://", "/v1/ml/moss/example: 307 after ", "[b'hello']"],
    ),
    "any_store.py": (["memory:///", "example", "a", "b"], ["a: missing", "b: missing"]),
    "tigris_bundle.py": (
        ["URL", "bundles", "saved.tar.gz"],
        ["100 objects, 2200 bytes, 1 skipped", "bundle/gone.txt: NoSuchKey"],
    ),
    "server_in_a_test.py": ([], ["1 passed"]),
    "faulty_server.py": (
        [],
        [
            "20000 bytes\n",
            "20 entries asked for, answered with: Status(status=503, retry_after=0, ",
            "20 entries asked for, answered with: Expired()\n",
            "20 entries asked for, answered with: None\n",
        ],
    ),
}


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    root = anyio.Path(tmp_path, "root")
    await root.mkdir()
    async with running(root) as url:
        yield url


def test_every_example_is_run_and_listed() -> None:
    programs = {path.name for path in EXAMPLES.glob("*.py")}
    assert programs == set(RUNS)
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"]({name})" in listed for name in programs)


@pytest.mark.anyio
@pytest.mark.parametrize("name", RUNS)
async def test_an_example_runs(name: str, url: str, tmp_path: Path) -> None:
    arguments, printed = RUNS[name]
    encoder = TarEncoder()
    tar = encoder.encode("a", bytes(5)) + encoder.encode("b", bytes(70_000)) + encoder.finish()
    await anyio.Path(tmp_path, "given.tar").write_bytes(tar)
    with zipfile.ZipFile(tmp_path / "given.zip", "w", zipfile.ZIP_DEFLATED) as given:
        given.writestr("a", bytes(5000))
        given.writestr("b", b"12345")
    runner = ["-m", "pytest", "-p", "no:cacheprovider"] if "test" in name else ["-W", "error"]
    result = await anyio.run_process(
        [
            *(sys.executable, *runner, str(EXAMPLES / name)),
            *(url if argument == "URL" else argument for argument in arguments),
        ],
        env=os.environ
        | {"AIS_ENDPOINT": url, "PYTHONPATH": PACKAGE}
        | {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"},
        cwd=tmp_path,
        check=False,
    )
    assert (result.returncode, result.stderr.decode()) == (0, "")
    output = result.stdout.decode()
    assert [text for text in printed if text not in output] == []
