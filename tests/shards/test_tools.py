"""Files out of shards that other people's programs made, and our own encoders."""

from __future__ import annotations

import random
import zipfile
from typing import TYPE_CHECKING, Final

import pytest

from asyncbatch import encode_archive
from asyncbatch.errors import UnsupportedFormatError
from asyncbatch.shards import Shards
from tests.support.tools import run_tool

from .fakes import MemoryShard, content

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

FILES: Final = {
    "a.txt": b"alpha",
    "empty": b"",
    "dir/noise": random.Random(5).randbytes(1_200_000),
    "dir/zeros": bytes(300_000),
    "dir/" + "n" * 120: b"long name",
    "日本.txt": b"unicode",
}

ARCHIVERS: Final = {
    "gnu.tar": ("tar", "--format=gnu", "-cf", "{}", "."),
    "pax.tar": ("tar", "--format=posix", "-cf", "{}", "."),
    "v7.tar": ("tar", "--format=v7", "--exclude=nnn*", "-cf", "{}", "."),
    "gnu.tgz": ("tar", "-czf", "{}", "."),
    "bsd.tar": ("bsdtar", "-cf", "{}", "."),
    "bsd.tar.zst": ("bsdtar", "--zstd", "-cf", "{}", "."),
    "bsd.zip": ("bsdtar", "--format=zip", "-cf", "{}", "."),
    "bsd-stored.zip": ("bsdtar", "--format=zip", "--options=zip:compression=store", "-cf", "{}", "."),
    "info.zip": ("zip", "-qr", "{}", "."),
    "info-stored.zip": ("zip", "-qr0", "{}", "."),
    "info-zip64.zip": ("zip", "-qrfz", "{}", "."),
    "7z.zip": ("7z", "a", "-tzip", "{}", "."),
    "7z-stored.zip": ("7z", "a", "-tzip", "-mx0", "{}", "."),
    "7z.tar": ("7z", "a", "-ttar", "{}", "."),
}


def _write_files(folder: Path) -> None:
    for name, data in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(data)


async def _check(name: str, data: bytes, prefix: str = "", *, without: str = "\0") -> None:
    shards, shard = Shards(), MemoryShard(name, data)
    for archpath, expected in FILES.items():
        if without not in archpath:
            assert await content(await shards.open(shard, prefix + archpath)) == expected, archpath
            part = await content(await shards.open(shard, prefix + archpath, 3, 70_000))
            assert part == expected[3:70_003]
    assert await shards.open(shard, prefix + "nope") is None
    assert shard.streams == 0


@pytest.mark.parametrize("name", ARCHIVERS)
async def test_archives_of_other_programs(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "files"
    _write_files(folder)
    path = tmp_path / name
    tool, *arguments = ARCHIVERS[name]
    run_tool(tool, *(argument.format(path) for argument in arguments), cwd=folder)
    prefix = "./" if tool in {"tar", "bsdtar"} else ""
    await _check(name, path.read_bytes(), prefix, without="nnn" if name == "v7.tar" else "\0")


async def test_a_zip_that_was_streamed(tmp_path: Path) -> None:
    """Local headers without sizes, and zeros behind the end."""
    _write_files(tmp_path)
    for tool, *arguments in (
        ("bsdtar", "--format=zip", "-cf", "-", *FILES),
        ("zip", "-qr", "-", "."),
        ("zip", "-qr0", "-", "."),
    ):
        await _check("streamed.zip", run_tool(tool, *arguments, cwd=tmp_path))


@pytest.mark.parametrize("format_", ["gnu", "posix"])
async def test_a_tar_with_holes(tmp_path: Path, format_: str) -> None:
    """More of them than fit into one header."""
    _write_files(tmp_path)
    with (tmp_path / "before").open("wb") as file:
        for hole in range(60):
            file.seek(hole * 65_536)
            file.write(b"data")
        file.truncate(5_000_000)
    run_tool("tar", f"--format={format_}", "--sparse", "-cf", "s.tar", "before", *FILES, cwd=tmp_path)
    data = (tmp_path / "s.tar").read_bytes()
    if len(data) > 5_000_000:
        pytest.skip("the file system here has no holes")
    await _check("s.tar", data, without="zeros")
    with pytest.raises(UnsupportedFormatError, match="sparse file"):
        await Shards().open(MemoryShard("s.tar", data), "before")


@pytest.mark.parametrize("format_", [".tar", ".tgz", ".tar.lz4", ".tar.zst", ".zip"])
async def test_what_we_encode(format_: str) -> None:
    data = b"".join([chunk async for chunk in encode_archive(FILES.items(), format=format_)])
    await _check(f"s{format_}", data)


async def test_a_zip_of_zeros_that_are_compressed_as_far_as_limits_let_it(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10 << 20))
    shard = MemoryShard("s.zip", path.read_bytes())
    assert await content(await Shards().open(shard, "zeros", 9 << 20, 10)) == bytes(10)
