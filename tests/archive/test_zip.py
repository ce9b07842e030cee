"""Zips through open_archive: members whose size, mode and kind only the end tells."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from asyncbatch import FormatError, TruncatedArchiveError, open_archive

from ..support.zips import VECTORS, Entry, build, split

if TYPE_CHECKING:
    from pathlib import Path

    from asyncbatch.archive import Archive
    from asyncbatch.codecs import ZipRecord

pytestmark = pytest.mark.anyio

DATA = bytes(range(256)) * 400
LARGE = [Entry(name, DATA, 0, 0, "signed") for name in (b"a", b"b", b"c")]
LINK = {"attributes": 0o120777 << 16}
EXECUTABLE = {"attributes": 0o100755 << 16}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def umask() -> int:
    """What the umask of the process is, which can only be asked by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("format_", [None, ".zip"])
@pytest.mark.parametrize("chunk_size", [1000, 1 << 20])
async def test_members_are_read_and_skipped(format_: str | None, chunk_size: int) -> None:
    chunks = split(build([*LARGE, Entry(b"dir/")]), chunk_size)
    async with open_archive(chunks, format=format_) as archive:
        assert _directory(archive) is None
        first = await anext(archive)
        assert first.size == (None if chunk_size == 1000 else len(DATA))
        assert (first.kind, first.is_file, first.is_symlink, first.mode) == ("file", True, None, None)
        await anext(archive)
        third = await anext(archive)
        assert b"".join([chunk async for chunk in third]) == DATA
        last = await anext(archive)
        assert (last.kind, last.is_symlink, last.size) == ("dir", False, 0)
        assert [member async for member in archive] == []
        assert [(one.name, one.mode) for one in _directory(archive) or ()] == [
            ("a", 0o644), ("b", 0o644), ("c", 0o644), ("dir/", 0o644),
        ]  # fmt: skip


def _directory(archive: Archive) -> tuple[ZipRecord, ...] | None:
    return archive.directory


async def test_other_formats_have_no_directory() -> None:
    async with open_archive([bytes(1024)]) as archive:
        assert [member async for member in archive] == []
        assert archive.directory is None
    async with open_archive([bytes(1024)], format=".tar") as archive:
        assert archive.directory is None


async def test_a_contradiction_raises_behind_the_members() -> None:
    async with open_archive(VECTORS / "contradiction-crc.zip") as archive:
        assert [(await anext(archive)).name, (await anext(archive)).name] == ["a.txt", "b.txt"]
        with pytest.raises(FormatError, match="CRC-32"):
            await anext(archive)


async def test_a_cut_zip_is_truncated() -> None:
    with pytest.raises(TruncatedArchiveError):
        async with open_archive([build(LARGE)[:-1]]) as archive:
            assert len([member async for member in archive]) == 3


# -- extraction ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_size", [1000, 1 << 20])
async def test_modes_and_links_are_applied_at_the_end(tmp_path: Path, umask: int, chunk_size: int) -> None:
    entries = [
        Entry(b"run", DATA, 8, 0, "signed", central=EXECUTABLE),
        Entry(b"link", b"run", central=LINK),
        Entry(b"plain", b"1", central={"made_by": 20, "attributes": 0}),
        Entry(b"private", b"1", central={"attributes": 0o100400 << 16}),
        Entry(b"dir/", central={"attributes": 0o40700 << 16}),
        Entry(b"dir/up", b"../run", central=LINK),
    ]
    result = await open_archive(split(build(entries), chunk_size)).extract_all(tmp_path)

    assert (result.files, result.dirs, result.links, result.bytes) == (3, 1, 2, len(DATA) + 2)
    assert (tmp_path / "run").read_bytes() == DATA
    assert _target(tmp_path / "link") == "run"
    assert _target(tmp_path / "dir" / "up") == "../run"
    assert (tmp_path / "dir" / "up").read_bytes() == DATA
    assert _mode(tmp_path / "run") == 0o755 & ~umask
    assert _mode(tmp_path / "plain") == 0o666 & ~umask
    assert _mode(tmp_path / "private") == 0o600


def _target(path: Path) -> str:
    return str(path.readlink())


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def test_what_was_read_before_is_not_extracted(tmp_path: Path) -> None:
    entries = [
        Entry(b"first", b"1", central=EXECUTABLE),
        Entry(b"second", b"2"),
        Entry(b"link", b"second", central=LINK),
    ]
    archive = open_archive([build(entries)])
    await anext(archive)
    result = await archive.extract_all(tmp_path)

    assert not (tmp_path / "first").exists()
    assert (tmp_path / "link").is_symlink()
    assert (result.files, result.links) == (1, 1)


async def test_the_last_of_a_name_counts(tmp_path: Path) -> None:
    entries = [Entry(b"a", b"no link", central=LINK), Entry(b"./a", b"file")]
    await open_archive([build(entries)]).extract_all(tmp_path)

    assert (tmp_path / "a").read_bytes() == b"file"


@pytest.mark.parametrize(
    "target", [b"/etc/passwd", b"../outside", b"dir/../../outside", b"", b"a\0b", b"x" * 5000]
)
async def test_links_that_lead_outside_are_not_made(tmp_path: Path, target: bytes) -> None:
    (tmp_path / "outside").write_text("untouched")
    entries = [Entry(b"link", target, central=LINK), Entry(b"after", b"1")]
    with pytest.raises((FormatError, OSError)):
        await open_archive([build(entries)]).extract_all(tmp_path / "in")

    assert not (tmp_path / "in" / "link").is_symlink()
    assert (tmp_path / "in" / "after").read_bytes() == b"1"


async def test_nothing_is_written_through_a_link_of_the_archive(tmp_path: Path) -> None:
    entries = [Entry(b"dir", b"elsewhere", central=LINK), Entry(b"dir/file", b"1")]
    with pytest.raises(FormatError, match="not followed"):
        await open_archive([build(entries)]).extract_all(tmp_path)
