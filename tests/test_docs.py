"""What the README and the documentation say is true: what they show runs, and prints what they say it prints.

A page is run from top to bottom, its Python as if it were typed at a prompt that knows `await`. A ``text``
block behind a Python block is what that one prints. Of commands, those run that talk to a server.
"""

from __future__ import annotations

import ast
import contextlib
import gzip
import inspect
import io
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import pytest

import asyncbatch
from asyncbatch import aistore, codecs, objectstore, server, testing, tigris
from asyncbatch.aistore import Client
from asyncbatch.codecs import TarEncoder
from asyncbatch.server import running

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]
PAGES = {
    path: path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
ENDPOINT = "http://localhost:8080"  # as the pages have it

_BLOCK = re.compile(
    r"^```(?P<language>python|console)\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
_COMMANDS = re.compile(r"\basyncbatch (list|get|extract|bundle)\b")


class Block(NamedTuple):
    """Code on a page: what it is, the line that it begins on, and what it is said to print."""

    language: str
    code: str
    line: int
    output: str | None


def blocks(text: str) -> list[Block]:
    return [
        Block(match["language"], match["code"], text.count("\n", 0, match.start("code")), match["output"])
        for match in _BLOCK.finditer(text)
    ]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the pages are in, with the files they speak of and a folder to serve."""
    (tmp_path / "data").mkdir()
    encoder = TarEncoder()
    shard = encoder.encode("cat.txt", b"meow") + encoder.encode("dog.txt", b"woof") + encoder.finish()
    (tmp_path / "shard.tar").write_bytes(shard)
    (tmp_path / "shard.tar.gz").write_bytes(gzip.compress(shard))
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def run_page(path: Path, found: list[Block], names: dict[str, Any], endpoint: str) -> None:
    for block in found:
        code = block.code.replace(ENDPOINT, endpoint)
        if block.language == "console":
            if _COMMANDS.search(code):
                await run_commands(code, endpoint)
            continue
        code = "\n" * block.line + code  # for tracebacks to name the line
        compiled = compile(code, path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            result = eval(compiled, names)  # noqa: S307 - what we wrote ourselves
            if inspect.iscoroutine(result):
                await result
        if block.output is not None:
            assert printed.getvalue() == block.output, f"{path.name}, line {block.line}"


async def run_commands(code: str, endpoint: str) -> None:
    """Run commands in a shell, in which ``asyncbatch`` is the one that is tested."""
    program = f'asyncbatch() {{ "{sys.executable}" -m asyncbatch "$@"; }}\n'
    package = str(Path(asyncbatch.__file__).parents[1])
    result = await anyio.run_process(
        ["sh", "-euc", program + code],
        env=os.environ | {"AIS_ENDPOINT": endpoint, "PYTHONPATH": package},
        check=False,
    )
    assert result.returncode == 0, f"{code}\n{result.stderr.decode()}"


@pytest.mark.anyio
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
async def test_a_page_tells_the_truth(path: Path, place: Path) -> None:
    found = blocks(PAGES[path])
    names: dict[str, Any] = {"__name__": path.stem}
    async with running(place / "data") as url, Client(url) as client:
        if path.stem not in {"README", "getting-started"}:  # these make their own
            example, other = client.bucket("example"), client.bucket("other")
            await example.create()
            await other.create()
            for bucket, name, data in (
                (example, "obj1", b"one"),
                (example, "obj2", b"two"),
                (other, "obj2", b"two"),
                (example, "large.bin", bytes(1 << 20)),
                (example, "shard.tar", place / "shard.tar"),
                (example, "shard.tar.gz", place / "shard.tar.gz"),
            ):
                await bucket.object(name).put(data)
            # As a redirect would have it, so that there is none to follow.
            names["url"] = f"{url}/v1/objects/example/shard.tar.gz?pid=p&utm=1"
            names |= {"client": client, "bucket": example}
        await run_page(path, found, names, url)


@pytest.mark.parametrize(
    "module",
    [asyncbatch, aistore, tigris, objectstore, codecs, server, testing],
    ids=lambda module: module.__name__,
)
def test_every_public_name_is_in_the_reference(module: ModuleType) -> None:
    listed = set(
        re.findall(rf"^::: {module.__name__}\.(\w+)$", PAGES[ROOT / "docs/reference.md"], re.MULTILINE)
    )
    assert listed == set(module.__all__) - {"__version__"}


def test_blocks_are_found_with_their_lines_and_what_they_print() -> None:
    page = "one\n```python\nprint(1)\n```\n\n```text\n1\n```\ntwo\n\n```console\nx\n```\n"
    assert blocks(page) == [Block("python", "print(1)\n", 2, "1\n"), Block("console", "x\n", 11, None)]


def test_what_ci_runs_is_the_readme_s_command() -> None:
    commands = re.findall(r"^python3 -m venv .+$", PAGES[ROOT / "README.md"], re.MULTILINE)
    assert commands[-1] == (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1]
