"""extract_all: everything inside, nothing outside, nothing half-written."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import random
import shutil
import stat
import subprocess
import tarfile
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncbatch import EncodeMember, encode_archive, open_archive
from asyncbatch.archive import ExtractResult
from asyncbatch.archive._folder import Folder
from asyncbatch.archive._plan import Plan, explain, plan_member, split_path
from asyncbatch.archive._threads import in_thread
from asyncbatch.errors import (
    FormatError,
    LimitExceededError,
    TruncatedArchiveError,
    UnsupportedFormatError,
    UsageError,
)
from asyncbatch.limits import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio

NOISE = random.Random(5).randbytes(1_000_000)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder beside the destination that nothing may happen to."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_text("untouched")
    yield folder
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert (folder / "file").read_text() == "untouched"
    assert (folder / "file").stat().st_nlink == 1


@pytest.fixture
def inside(tmp_path: Path, outside: Path) -> Path:
    """The destination, which does not exist yet; what is around it is watched."""
    return tmp_path / "inside"


async def encoded(*members: Any) -> bytes:  # noqa: ANN401
    return b"".join([chunk async for chunk in encode_archive(members)])


async def extract(destination: Path, *members: Any) -> ExtractResult:  # noqa: ANN401
    async with open_archive(await encoded(*members)) as archive:
        return await archive.extract_all(destination)


def tree(folder: Path) -> dict[str, Any]:
    """What is in a folder: text of files, targets of links, None for folders."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = path.readlink()
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def make_folder(folder: Path) -> None:
    folder.mkdir()


def link(name: str, target: str) -> EncodeMember:
    return EncodeMember(name, kind="symlink", linkname=target)


def hard(name: str, target: str) -> EncodeMember:
    return EncodeMember(name, kind="hardlink", linkname=target)


# -- what is extracted --------------------------------------------------------------------------------------


async def test_everything_lands_where_it_belongs(inside: Path) -> None:
    result = await extract(
        inside,
        EncodeMember("./", kind="dir"),
        EncodeMember("d/", kind="dir"),
        ("./d//small", b"small"),
        ("made/on/the/way", b""),
        ("large", NOISE),
        link("d/link", "../large"),
        link("d/dangling", "./nothing/yet"),
        link("root", "."),
        hard("d/hard", "./large"),
        ("D/small", b"another case"),
        ("ünï\udcff", b"bytes that are no text"),
    )
    assert result == ExtractResult(files=5, bytes=1_000_039, dirs=2, links=4)
    assert tree(inside) == {
        "D": None,
        "D/small": b"another case",
        "d": None,
        "d/dangling": Path("nothing/yet"),
        "d/hard": NOISE,
        "d/link": Path("../large"),
        "d/small": b"small",
        "large": NOISE,
        "made": None,
        "made/on": None,
        "made/on/the": None,
        "made/on/the/way": b"",
        "root": Path(),
        "ünï\udcff": b"bytes that are no text",
    }
    assert (inside / "large").samefile(inside / "d/hard")


async def test_many_small_members(inside: Path) -> None:
    members = [(f"{number % 7}/{number}", NOISE[number : number + 1500]) for number in range(700)]
    assert (await extract(inside, *members)).files == 700
    assert {name: data for name, data in tree(inside).items() if data is not None} == dict(members)


async def test_what_was_there_is_replaced_and_the_last_of_one_name_wins(inside: Path) -> None:
    make_folder(inside)
    (inside / "a").write_text("a longer text than the new one")
    (inside / "a").chmod(0o444)
    await extract(inside, ("a", b"1"), ("b", b"1"), ("b", b"2"), link("c", "a"), ("c", b"3"), link("c", "b"))
    assert tree(inside) == {"a": b"1", "b": b"2", "c": Path("b")}


async def test_again_into_the_same_folder(inside: Path) -> None:
    members = [
        EncodeMember("d/", kind="dir"),
        ("d/a", b"1"),
        hard("b", "d/a"),
        hard("b", "b"),
        link("l", "b"),
    ]
    for _ in range(2):
        await extract(inside, *members)
        assert tree(inside) == {"d": None, "d/a": b"1", "b": b"1", "l": Path("b")}


async def test_members_that_were_read_already_are_left_out(inside: Path) -> None:
    async with open_archive(await encoded(("a", b"1"), ("b", b"2"))) as archive:
        await anext(archive)
        assert (await archive.extract_all(inside)).files == 1
    assert tree(inside) == {"b": b"2"}


async def test_an_empty_archive_makes_the_folder(inside: Path) -> None:
    assert await extract(inside / "deep") == ExtractResult(0, 0, 0, 0)
    assert names(inside) == ["deep"]


async def test_the_destination_itself_may_be_a_link(inside: Path, tmp_path: Path) -> None:
    make_folder(tmp_path / "real")
    inside.symlink_to("real")  # noqa: ASYNC240 - a link, at once
    await extract(inside, ("a", b"1"))
    assert tree(tmp_path / "real") == {"a": b"1"}


async def test_permissions_are_masked(inside: Path) -> None:
    before = os.umask(0o022)
    try:
        await extract(
            inside,
            EncodeMember("suid", b"", mode=0o6777),
            EncodeMember("locked", b"", mode=0o000),
            EncodeMember("program", NOISE, mode=0o755, mtime=1_234_567_890.5),
            EncodeMember("sticky/", kind="dir", mode=0o1000),
            ("sticky/in/it", b""),
        )
    finally:
        os.umask(before)
    assert modes(inside) == {
        "suid": 0o755,
        "locked": 0o600,
        "program": 0o755,
        "sticky": 0o700,
        "in": 0o755,
        "it": 0o644,
    }
    assert (inside / "program").stat().st_mtime == 1_234_567_890.5


@pytest.mark.parametrize("format_", [".tar", ".tar.gz"])
def test_bsdtar_extracts_the_same(inside: Path, tmp_path: Path, format_: str) -> None:
    bsdtar = shutil.which("bsdtar")
    if bsdtar is None:
        pytest.skip("bsdtar is not installed")
    source = str(Path(__file__).parents[1])
    archive = tmp_path / f"archive{format_}"
    flags = ["-cz"] if format_ == ".tar.gz" else ["-c"]
    here = ["-C", source, "archive", "codecs"]
    subprocess.run([bsdtar, *flags, "--exclude", "*.pyc", "-f", archive, *here], check=True)  # noqa: S603
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    options = ["--no-same-owner", "--no-same-permissions"]
    subprocess.run([bsdtar, "-x", *options, "-f", archive, "-C", theirs], check=True)  # noqa: S603

    async def ours() -> None:
        async with open_archive(archive) as opened:
            await opened.extract_all(inside)

    asyncio.run(ours())
    assert tree(inside) == tree(theirs)
    assert "archive/test_extract.py" in tree(inside)
    for path in inside.rglob("*"):
        facts, their_facts = path.stat(), (theirs / path.relative_to(inside)).stat()
        assert facts.st_mode == their_facts.st_mode, path
        assert path.is_dir() or abs(facts.st_mtime - their_facts.st_mtime) < 1e-5, path


async def test_memory_is_constant(inside: Path) -> None:
    size = 40_000_000

    async def zeros() -> AsyncIterator[bytes]:
        for _ in range(size // 40_000):
            yield bytes(40_000)

    tracemalloc.start()
    try:
        members = [EncodeMember("zeros", zeros(), size), EncodeMember("after", b"1")]
        async with open_archive(encode_archive(members)) as archive:
            assert (await archive.extract_all(inside)).bytes == size + 1
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
    assert (inside / "zeros").stat().st_size == size


# -- tricks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "/etc/asyncbatch",
        "//etc/asyncbatch",
        "..",
        "../outside/file",
        "a/../../outside/file",
        "a/..",
        "a/../b",
        "C:\\file",
        "c:/file",
        "\\file",
        "\\\\host\\share\\file",
        "..\\outside\\file",
        "a\\..\\b",
    ],
)
@pytest.mark.parametrize("kind", ["file", "dir", "symlink", "hardlink"])
async def test_names_that_lead_outside_are_refused(inside: Path, name: str, kind: Any) -> None:  # noqa: ANN401
    linkname = "good" if kind.endswith("link") else ""
    with pytest.raises(FormatError, match="name") as caught:
        await extract(
            inside, ("good", b"1"), EncodeMember(name, kind=kind, linkname=linkname), ("after", b"")
        )
    assert caught.value.member == name
    assert caught.value.codec == "extract"
    assert caught.value.offset == 1536
    assert tree(inside) == {"good": b"1"}


@pytest.mark.parametrize("name", ["a\\b", "..a", "a..", "c:d", "...", " "])
async def test_odd_names_that_lead_nowhere_else_are_good(inside: Path, name: str) -> None:
    await extract(inside, (name, b"1"))
    assert tree(inside) == {name: b"1"}


@pytest.mark.parametrize(
    ("name", "match"),
    [("", "empty"), ("a\0b", "NUL"), ("\ud800", "encoded"), (".", "slash"), ("./", "slash"), ("a/", "slash")],
)
def test_names_that_no_file_can_have(name: str, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        plan_member(name, "file")


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "../outside/file",
        "..",
        "",
        "a/../../outside/file",
        "d/../b",
        "./../x",
        "..\\x",
        "c:\\x",
        "/",
        "a\0b",
    ],
)
def test_symbolic_links_that_lead_outside_are_refused(target: str) -> None:
    with pytest.raises(FormatError, match="symbolic link"):
        plan_member("link", "symlink", linkname=target)


@pytest.mark.parametrize("target", ["../../../outside", "../../..", "../.././../x", "../../x/.."])
def test_symbolic_links_may_climb_as_far_as_the_destination(target: str) -> None:
    with pytest.raises(FormatError, match="symbolic link"):
        plan_member("a/b/link", "symlink", linkname=target)
    assert plan_member("a/b/link", "symlink", linkname="../../x").target == "../../x"
    assert plan_member("./a//b/link", "symlink", linkname=".././..").target == ".././.."


async def test_links_cannot_be_chained_to_lead_outside(inside: Path) -> None:
    # Each looks harmless by itself: "up" is the destination, and up/../x is not what it says.
    with pytest.raises(FormatError, match=r"'\.\.' in it"):
        await extract(inside, link("a/b/up", "../.."), link("out", "a/b/up/../outside"))
    assert tree(inside) == {"a": None, "a/b": None, "a/b/up": Path("../..")}


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside/file", "", "a\0b", "..", ".", "C:\\x"])
def test_hard_links_that_lead_outside_are_refused(target: str) -> None:
    with pytest.raises(FormatError, match="hard link"):
        plan_member("link", "hardlink", linkname=target)


@pytest.mark.parametrize("kind", ["file", "dir", "symlink", "hardlink"])
async def test_links_of_the_archive_are_not_written_through(inside: Path, kind: Any) -> None:  # noqa: ANN401
    member = EncodeMember("d/new", kind=kind, linkname="good" if kind.endswith("link") else "")
    with pytest.raises(FormatError, match="leads through a symbolic link") as caught:
        await extract(inside, ("good", b"1"), EncodeMember("e/", kind="dir"), link("d", "e"), member)
    assert caught.value.member == "d/new"
    assert isinstance(caught.value.__cause__, OSError)
    assert tree(inside) == {"good": b"1", "e": None, "d": Path("e")}


async def test_links_that_were_there_before_are_not_written_through(inside: Path, outside: Path) -> None:
    make_folder(inside)
    (inside / "d").symlink_to(outside)
    (inside / "f").symlink_to(outside / "file")
    for member in (
        ("d/file", b"1"),
        ("d/sub/file", NOISE),
        EncodeMember("d", kind="dir"),
        hard("x", "d/file"),
    ):
        with pytest.raises(FormatError, match="leads through a symbolic link"):
            await extract(inside, member)
    await extract(inside, ("f", b"1"))
    assert tree(inside) == {"d": outside, "f": b"1"}


def test_links_that_are_planted_meanwhile_are_not_written_through(inside: Path, outside: Path) -> None:
    folder = Folder(inside)
    folder.open()
    try:
        folder.write_file(("d", "a"), [b"1"])
        (inside / "d").rename(inside / "moved")
        (inside / "d").symlink_to(outside)
        folder.write_file(("d", "file"), [b"2"])  # goes where the folder went
        folder.write_file(("b",), [b"3"])
        with pytest.raises(NotADirectoryError):
            folder.write_file(("d", "file"), [b"4"])
    finally:
        folder.close()
    assert tree(inside) == {"b": b"3", "d": outside, "moved": None, "moved/a": b"1", "moved/file": b"2"}


def test_a_folder_that_another_makes_at_the_same_time_is_used(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = os.mkdir

    def slow(*arguments: Any, **options: Any) -> None:  # noqa: ANN401
        mkdir(*arguments, **options)
        raise FileExistsError

    folder = Folder(inside)
    folder.open()
    monkeypatch.setattr(os, "mkdir", slow)
    folder.write_file(("d", "a"), [b"1"])
    folder.close()
    assert tree(inside) == {"d": None, "d/a": b"1"}


async def test_a_hard_link_is_not_written_through(inside: Path) -> None:
    await extract(inside, ("a", b"1"), hard("b", "a"), ("b", b"2"))
    assert tree(inside) == {"a": b"1", "b": b"2"}


async def test_a_hard_link_to_a_symbolic_link_would_lead_elsewhere(inside: Path) -> None:
    with pytest.raises(FormatError, match="hard link to 'a/b/up', which is no file"):
        await extract(inside, link("a/b/up", "../.."), hard("out", "a/b/up"))
    assert tree(inside) == {"a": None, "a/b": None, "a/b/up": Path("../..")}


@pytest.mark.parametrize(
    ("target", "match"), [("d", "no file"), ("nothing", "does not exist"), ("no/thing", "does not exist")]
)
async def test_hard_links_need_a_file(inside: Path, target: str, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        await extract(inside, EncodeMember("d/", kind="dir"), hard("h", target))
    assert tree(inside) == {"d": None}


@pytest.mark.parametrize("type_", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"V"])
async def test_devices_are_refused(inside: Path, type_: bytes) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("odd")
        info.type = type_
        tar.addfile(info)
    with pytest.raises(UnsupportedFormatError, match=r"iterate over the members.*'odd'"):
        await open_archive(buffer.getvalue()).extract_all(inside)
    assert tree(inside) == {}


@pytest.mark.parametrize("member", [("d", b"1"), link("d", "good"), hard("d", "good"), ("d", NOISE)])
async def test_a_folder_in_the_way_stays(inside: Path, member: Any) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match="'d': a folder has its name"):
        await extract(inside, ("good", b"1"), ("d/a", b"2"), member)
    assert tree(inside) == {"good": b"1", "d": None, "d/a": b"2"}


async def test_a_file_in_the_way_of_a_folder_stays(inside: Path) -> None:
    with pytest.raises(FormatError, match="symbolic link or a file"):
        await extract(inside, ("d", b"1"), ("d/a", b"2"))
    assert tree(inside) == {"d": b"1"}


async def test_a_name_too_long_for_the_disk(inside: Path) -> None:
    with pytest.raises(FormatError, match="too long"):
        await extract(inside, ("n" * 300, b"1"))


def test_what_only_the_system_knows_stays_its_error() -> None:
    plan = plan_member("a/b", "file")
    error = explain(OSError(errno.ENOSPC, "No space left on device"), plan)
    assert str(error) == "[Errno 28] No space left on device: 'a/b'"
    assert isinstance(explain(OSError(errno.EACCES, "no"), plan), PermissionError)


def test_plans_are_values() -> None:
    assert plan_member("a/./b", "file", mode=0o7111, mtime=1.5, offset=512) == Plan(
        "a/./b", 512, "file", ("a", "b"), 0o711, 1.5
    )
    assert plan_member("a", "file", mtime=1e18).mtime is None
    assert plan_member("a", "file").mode == 0o666
    assert plan_member("./", "dir") == Plan("./", 0, "dir", (), 0o777, None)
    assert plan_member("b", "hardlink", linkname="./a").target_parts == ("a",)
    assert split_path("./a//b/") == ("a", "b")


# -- failures -----------------------------------------------------------------------------------------------


async def test_a_cut_archive_leaves_what_was_whole(inside: Path) -> None:
    data = await encoded(("a", b"1"), ("b", NOISE), ("c", NOISE))
    with pytest.raises(TruncatedArchiveError):
        await open_archive(data[:-300_000]).extract_all(inside)
    assert tree(inside) == {"a": b"1", "b": NOISE}

    with pytest.raises(TruncatedArchiveError):
        await open_archive(data[:300]).extract_all(inside / "cut early")
    assert tree(inside / "cut early") == {}


async def test_limits_hold(inside: Path) -> None:
    data = await encoded(("a", b"1"), ("b", NOISE))
    with pytest.raises(LimitExceededError):
        await open_archive(data, limits=Limits(max_member_size=1000)).extract_all(inside)
    assert tree(inside) == {"a": b"1"}
    # This one is about what is held in memory, and nothing is.
    await open_archive(data, limits=Limits(max_item_size=1)).extract_all(inside)
    assert tree(inside) == {"a": b"1", "b": NOISE}


async def test_a_destination_that_cannot_be_made(inside: Path, outside: Path) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b""

    chunks = source()
    with pytest.raises(FileExistsError):
        await open_archive(chunks, format=".tar").extract_all(outside / "file")
    assert await anext(chunks, None) is None  # it was closed


async def test_a_full_disk(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = await encoded(("a", b"1"), ("b", NOISE))
    write = os.write

    def limited(fd: int, piece: memoryview) -> int:
        if len(piece) > 200_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, piece[:7])  # a short write is no error

    monkeypatch.setattr(os, "write", limited)
    with pytest.raises(OSError, match="'b'") as caught:
        await open_archive(data).extract_all(inside)
    assert caught.value.errno == errno.ENOSPC
    assert tree(inside) == {"a": b"1"}


async def test_a_temporary_file_that_somebody_removed(inside: Path) -> None:
    folder = Folder(inside)
    folder.open()
    folder.begin(("a",))
    (temporary,) = names(inside)
    (inside / temporary).unlink()
    with pytest.raises(FileNotFoundError):
        folder.commit()
    folder.close()
    folder.close()
    assert tree(inside) == {}


@pytest.mark.parametrize("how", ["task", "scope"])
async def test_a_cancelled_extraction_leaves_nothing_half_written(inside: Path, how: str) -> None:
    data = await encoded(("a", NOISE), ("b", b"1"), ("c", NOISE))
    stuck = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield data[:-300_000]
        stuck.set()
        await asyncio.Event().wait()

    extraction = open_archive(source()).extract_all(inside)
    if how == "task":
        task = asyncio.create_task(extraction)
        await stuck.wait()
        assert len(names(inside)) == 3  # one of them temporary
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    else:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: extraction)
            await stuck.wait()
            group.cancel_scope.cancel()
    assert tree(inside) == {"a": NOISE, "b": b"1"}


async def test_a_thread_is_waited_for_however_often_it_is_cancelled() -> None:
    started, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    done = []

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)
        done.append(True)

    task = asyncio.create_task(in_thread(work))
    await started.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert done
