"""Archives that other people's tools made, in every format of theirs: all is read, however it is cut up."""

from __future__ import annotations

import io
import lzma
import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch.codecs import TarDecoder, TarEncoder, WholeMember
from asyncbatch.errors import TruncatedArchiveError, UnsupportedFormatError

from .tars import END, VECTORS, Member, decode, members_of, run_tool, vector

if TYPE_CHECKING:
    from pathlib import Path

LONG = "/".join(["directory"] * 12) + "/long name.txt"  # 133 characters: v7 cannot, ustar splits it
DEEP = "/".join(["größer"] * 45) + "/deep.txt"  # beyond ustar, and not ASCII
MTIME = 1_700_000_000

# Name, data; every size that matters to blocks.
FILES = {
    "empty": b"",
    "one": b"1",
    "block": b"b" * 512,
    "block and one": b"c" * 513,
    "some/path/data.bin": bytes(range(256)) * 40,
}
LONG_FILES = {LONG: b"long"}
DEEP_FILES = {DEEP: b"deep", "naïve.txt": b"not ASCII"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files, a directory, links, and a fifo, all with the same time."""
    root = tmp_path_factory.mktemp("tree")
    for name, data in {**FILES, **LONG_FILES, **DEEP_FILES}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "symlink").symlink_to("some/path")
    os.link(root / "one", root / "two")
    os.mkfifo(root / "fifo")
    for path in root.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (MTIME, MTIME))
    return root


def contents(members: list[Member]) -> dict[str, tuple[str, bytes]]:
    return {member.name: (member.kind, member.data) for member in members}


def check_whole(data: bytes, expected: dict[str, bytes]) -> None:
    """The archive holds the files and the rest of the tree, and any chunking gives the same."""
    members = members_of(data)
    found = {name.removeprefix("./"): told for name, told in contents(members).items()}
    hardlinked = [name for name in ("one", "two") if found[name] == ("hardlink", b"")]
    assert len(hardlinked) == 1
    assert {name: told[1] for name, told in found.items() if told[0] == "file"} == {
        name: body for name, body in {**expected, "two": b"1"}.items() if name not in hardlinked
    }
    assert found["symlink"] == ("symlink", b"")
    assert found["some/path/"] == ("dir", b"")
    assert next(member.linkname for member in members if member.kind == "symlink") == "some/path"
    for size in (1, 333, 512, 10_240, 65_536):
        assert members_of(data, size) == [
            Member(*member.content[:5], member.offset, whole=True) for member in members
        ]


def check_truncations(data: bytes) -> None:
    """Any prefix gives the members before the cut and an error; nothing is silently short."""
    members = members_of(data)
    end = members[-1].offset + (members[-1].size + 511) // 512 * 512 + 1024
    for size in {*range(0, end, 97), *range(0, end, 512), end - 1}:
        got, error = decode(data[:size])
        assert type(error) is TruncatedArchiveError, size
        whole = [member.content for member in got if member.whole]
        assert whole == [member.content for member in members[: len(whole)]]
        assert all(members[len(whole)].data.startswith(member.data) for member in got[len(whole) :])
    assert decode(data[:end])[1] is None


@pytest.mark.parametrize("kind", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_gnu_tar(tree: Path, kind: str) -> None:
    expected = {"v7": FILES, "ustar": {**FILES, **LONG_FILES}}.get(
        kind, {**FILES, **LONG_FILES, **DEEP_FILES}
    )
    excluded = {"v7": ["--exclude=directory", "--exclude=fifo", "--exclude=gr*", "--exclude=na*"]}
    excluded["ustar"] = ["--exclude=gr*", "--exclude=na*"]
    data = run_tool(
        "tar", f"--format={kind}", "--sort=name", "-b1", "-C", tree, "-c", *excluded.get(kind, []), "."
    )
    check_whole(data, expected)
    check_truncations(data)


@pytest.mark.parametrize("kind", ["v7", "ustar", "pax", "gnutar", "oldtar"])
def test_bsdtar(tree: Path, kind: str) -> None:
    small = {"v7": FILES, "oldtar": FILES, "ustar": {**FILES, **LONG_FILES}}
    expected = small.get(kind, {**FILES, **LONG_FILES, **DEEP_FILES})
    excluded = ["--exclude=gr*", "--exclude=na*"] if kind in small else []
    excluded += ["--exclude=directory", "--exclude=fifo"] if kind in {"v7", "oldtar"} else []
    data = run_tool("bsdtar", f"--format={kind}", "-b1", "-C", str(tree), *excluded, "-cf", "-", ".")
    check_whole(data, expected)
    check_truncations(data)


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_python(tree: Path, kind: int) -> None:
    buffer = io.BytesIO()
    expected = (
        {**FILES, **LONG_FILES} if kind == tarfile.USTAR_FORMAT else {**FILES, **LONG_FILES, **DEEP_FILES}
    )

    def chosen(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        info.mtime = MTIME + (0.25 if kind == tarfile.PAX_FORMAT else 0)
        return None if kind == tarfile.USTAR_FORMAT and not info.name.isascii() else info

    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        archive.add(tree, ".", filter=chosen)
    data = buffer.getvalue()
    # tarfile writes directories with a slash behind their names, and reads them without.
    check_whole(data, expected)
    decoder = TarDecoder()
    decoder.feed(data)
    assert {event.mtime for event in decoder if isinstance(event, WholeMember)} == {
        MTIME + (0.25 if kind == tarfile.PAX_FORMAT else 0)
    }


@pytest.mark.parametrize("kind", ["ustar", "pax", "gnu"])
def test_go(kind: str) -> None:
    data = vector(f"go-{kind}")
    members = members_of(data)
    assert [member.kind for member in members] == [
        "dir",
        "file",
        "file",
        "file",
        "symlink",
        "hardlink",
        "fifo",
    ]
    assert members[2].data == b"go\n!" * 175
    assert members[3].name.endswith("/long.txt")
    assert len(members[3].name) > 100
    assert members[4].linkname == members[5].linkname == "dir/data.bin"
    for size in (1, 100, 512, 1000):
        assert [member.content for member in members_of(data, size)] == [member.content for member in members]
    check_truncations(data)


def test_our_own(tree: Path) -> None:
    encoder = TarEncoder()
    data = b"".join(encoder.encode(name, body) for name, body in {**FILES, **DEEP_FILES}.items())
    data += encoder.finish()
    check_truncations(data)


@pytest.mark.parametrize("version", ["gnu", "0.0", "0.1", "1.0"])
def test_sparse_members_of_gnu_tar_are_refused_and_never_misread(tmp_path: Path, version: str) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"data")
        file.truncate(4 << 20)
    (tmp_path / "whole").write_bytes(b"whole")
    kind = ["--format=gnu"] if version == "gnu" else ["--format=posix", f"--sparse-version={version}"]
    data = run_tool("tar", "-S", *kind, "-C", tmp_path, "-c", "whole", "sparse")
    assert len(data) < 1 << 20
    members, error = decode(data)
    assert [member.content for member in members] == [("whole", 5, b"whole", "file", "")]
    assert type(error) is UnsupportedFormatError
    assert "sparse" in error.reason


# -- CPython's own collection --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def collection() -> bytes:
    """testtar.tar of CPython's test-suite: GNU, pax, star, and old formats side by side."""
    return lzma.decompress((VECTORS / "cpython-testtar.tar.xz").read_bytes())


def pieces(collection: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Each member as tarfile sees it, with its headers and data."""
    with tarfile.open(fileobj=io.BytesIO(collection), encoding="utf-8", errors="surrogateescape") as archive:
        infos = archive.getmembers()
        ends = [*(info.offset for info in infos[1:]), infos[-1].offset_data]  # the last one is empty
        return [(info, collection[info.offset : end]) for info, end in zip(infos, ends, strict=True)]


def is_sparse(info: tarfile.TarInfo) -> bool:
    return info.sparse is not None


def test_all_but_sparse_members_of_cpython_are_read(collection: bytes) -> None:
    chosen = [(info, piece) for info, piece in pieces(collection) if not is_sparse(info)]
    data = b"".join(piece for _, piece in chosen) + END
    theirs = [
        (
            info.name,
            collection[info.offset_data :][: info.size] if info.isreg() else b"",
            info.linkname,
            info.mtime,
            info.mode & 0o7777,
            info.uid,
            info.uname or None,
        )
        for info, _ in chosen
    ]
    decoder = TarDecoder()
    decoder.feed(data)
    events: list[Any] = list(decoder)
    ours = [
        (
            event.name.rstrip("/"),
            event.data,
            event.linkname,
            event.mtime,
            event.mode,
            event.uid,
            # An empty record takes away the header's field in tarfile, as in POSIX; not here, nor in Go.
            None if event.pax_headers.get("uname") == "" else event.uname or None,
        )
        for event in events
    ]
    decoder.feed_eof()
    assert len(ours) == len(chosen) > 25
    assert ours == theirs
    for size in (100, 512, 4000):
        assert [member.content for member in members_of(data, size)] == [
            member.content for member in members_of(data)
        ]


def test_every_sparse_member_of_cpython_is_refused(collection: bytes) -> None:
    sparse = [(info, piece) for info, piece in pieces(collection) if is_sparse(info)]
    assert len(sparse) >= 4
    for info, piece in sparse:
        members, error = decode(piece + END)
        assert members == []
        assert type(error) is UnsupportedFormatError, info.name
