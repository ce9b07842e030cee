"""Files out of shards of every format, and shards that are none."""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import tarfile
import zipfile
from typing import TYPE_CHECKING

import lz4.frame
import pytest

from asyncbatch.server._folder import FolderStore
from asyncbatch.server._shards import Shards
from asyncbatch.server._store import NoSuchObjectError, ShardError
from asyncbatch.server._stream import CutError

from .doubles import WatchedStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from asyncbatch.server._source import Source

MEMBERS = {
    "a.txt": b"alpha",
    "empty": b"",
    "dir/large": random.Random(1).randbytes(700_000),
    "zeros": bytes(600_000),
    "long/" + "n" * 200: b"long name",
    "日本.txt": b"unicode",
    "/leading": b"slash",
    "last": b"omega",
}


def _tar(members: Mapping[str, bytes] = MEMBERS) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo("dir")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "a.txt"
        archive.addfile(link)
    return buffer.getvalue()


def _zip(method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO(b"a stub in front, as of a self-extracting archive")
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("dir/", b"")
        for name, data in MEMBERS.items():
            archive.writestr(name, data)
    return buffer.getvalue()


SHARDS = {
    "s.tar": _tar(),
    "s.tgz": gzip.compress(_tar()),
    "s.tar.gz": gzip.compress(_tar(), 0),
    "s.tar.lz4": lz4.frame.compress(_tar()),
    "s.zip": _zip(),
    "deflated.zip": _zip(zipfile.ZIP_DEFLATED),
}


@pytest.fixture
def shards() -> Shards:
    return Shards()


def _open(shards: Shards, root: Path, name: str, archpath: str, data: bytes | None = None) -> Source:
    (root / "b" / name).write_bytes(SHARDS[name] if data is None else data)
    stored = FolderStore(root).open_object("b", name)
    try:
        return shards.open(stored, "b", name, archpath)
    except BaseException:
        stored.close()
        raise


@pytest.mark.parametrize("name", SHARDS)
def test_every_file_of_every_shard(shards: Shards, root: Path, name: str) -> None:
    for archpath, data in MEMBERS.items():
        for asked in (archpath, archpath.removeprefix("/"), "/" + archpath.removeprefix("/")):
            with _open(shards, root, name, asked) as source:
                assert source.size == len(data)
                assert b"".join(source.pieces(0, source.size)) == data


@pytest.mark.parametrize("name", SHARDS)
@pytest.mark.parametrize(("start", "length"), [(0, 10), (699_990, 10), (262_140, 8), (1, 699_999), (5, 0)])
def test_ranges_inside_a_file(shards: Shards, root: Path, name: str, start: int, length: int) -> None:
    with _open(shards, root, name, "dir/large") as source:
        assert b"".join(source.pieces(start, length)) == MEMBERS["dir/large"][start : start + length]


@pytest.mark.parametrize("name", SHARDS)
@pytest.mark.parametrize("archpath", ["nope", "dir", "dir/", "link", "", "a.txt/", "../a.txt"])
def test_what_is_no_file_of_the_shard(shards: Shards, root: Path, name: str, archpath: str) -> None:
    with pytest.raises(NoSuchObjectError, match="does not exist") as caught:
        _open(shards, root, name, archpath)
    assert caught.value.uri.endswith(f"ais://b/{name}")


@pytest.mark.parametrize("name", ["s.tar", "s.tgz", "s.zip"])
def test_of_files_with_one_name_it_is_the_first(shards: Shards, root: Path, name: str) -> None:
    if name == "s.zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("x", b"first")
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr("x", b"second")
        data = buffer.getvalue()
    else:
        first = _tar({"x": b"first"})
        data = first[: first.rindex(b"link") // 512 * 512] + _tar({"x": b"second"})
        data = gzip.compress(data) if name == "s.tgz" else data
    with _open(shards, root, name, "x", data) as source:
        assert b"".join(source.pieces(0, source.size)) == b"first"


@pytest.mark.parametrize("name", ["o", "s.TAR", "s.tar.zst", "tar"])
def test_what_its_name_calls_no_shard(shards: Shards, root: Path, name: str) -> None:
    with pytest.raises(ShardError, match="ends in none of"):
        _open(shards, root, name, "x", _tar())


@pytest.mark.parametrize("name", [name for name in SHARDS if name != "s.tar.gz"])
@pytest.mark.parametrize("damage", ["empty", "junk", "half"])
def test_what_is_no_archive(shards: Shards, root: Path, name: str, damage: str) -> None:
    data = {"empty": b"", "junk": b"junk" * 5000, "half": SHARDS[name][: len(SHARDS[name]) // 2]}[damage]
    with pytest.raises(ShardError, match=f"ais://b/{name} cannot be read as an archive"):
        _open(shards, root, name, "last", data)


def _zip_of_one(**facts: int) -> bytes:
    """Return a zip whose only member's central header says something else."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x", b"0123456789" * 100, zipfile.ZIP_DEFLATED)
    data = bytearray(buffer.getvalue())
    at = data.index(b"PK\1\2")
    for field, (offset, form) in {
        "flags": (8, "<H"),
        "method": (10, "<H"),
        "crc": (16, "<L"),
        "size": (24, "<L"),
    }.items():
        if field in facts:
            struct.pack_into(form, data, at + offset, facts[field])
    if "local" in facts:
        data[0] = facts["local"]
    return bytes(data)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [({"flags": 1}, "encrypted"), ({"method": 12}, "method 12"), ({"local": 0}, "no local header at byte 0")],
)
def test_files_of_a_zip_that_cannot_be_read(
    shards: Shards, root: Path, facts: dict[str, int], reason: str
) -> None:
    with pytest.raises(ShardError, match=reason):
        _open(shards, root, "s.zip", "x", _zip_of_one(**facts))


@pytest.mark.parametrize("facts", [{"crc": 1}, {"size": 999}, {"size": 1001}])
def test_a_zip_that_contradicts_itself_is_cut(shards: Shards, root: Path, facts: dict[str, int]) -> None:
    with (
        _open(shards, root, "s.zip", "x", _zip_of_one(**facts)) as source,
        pytest.raises(CutError, match="central directory"),
    ):
        list(source.pieces(0, source.size))


def test_damaged_deflate_is_cut(shards: Shards, root: Path) -> None:
    data = bytearray(SHARDS["deflated.zip"])
    start = data.index(b"dir/large") + 100_000
    data[start : start + 100] = b"\xff" * 100
    with _open(shards, root, "deflated.zip", "dir/large", bytes(data)) as source, pytest.raises(CutError):
        list(source.pieces(0, source.size))


@pytest.mark.parametrize("name", ["s.zip", "deflated.zip"])
def test_a_zip_that_becomes_shorter_is_cut(shards: Shards, root: Path, name: str) -> None:
    with _open(shards, root, name, "dir/large") as source:
        os.truncate(root / "b" / name, 100_000)
        with pytest.raises(CutError):
            list(source.pieces(0, source.size))


def test_damage_behind_the_beginning_of_a_file_is_cut(shards: Shards, root: Path) -> None:
    data = SHARDS["s.tgz"][:400_000]
    with _open(shards, root, "s.tgz", "dir/large", data) as source, pytest.raises(CutError, match="gzip"):
        list(source.pieces(0, source.size))


def test_a_sparse_file_is_refused_and_its_neighbours_are_not(shards: Shards, root: Path) -> None:
    data = bytearray(_tar({"sparse": b"x" * 512, "other": b"other"}))
    header = bytearray(data[512:1024])
    header[156:157] = b"S"
    header[386:410] = b"00000000000\0" + b"00000001000\0"
    header[483:495] = b"00000001000\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data[512:1024] = header
    with pytest.raises(ShardError, match="sparse"):
        _open(shards, root, "s.tar", "sparse", bytes(data))
    with _open(shards, root, "s.tar", "other", bytes(data)) as source:
        assert b"".join(source.pieces(0, 5)) == b"other"


def test_hostile_headers_are_not_obeyed(shards: Shards, root: Path) -> None:
    """A PAX header of gigabytes, in a file that really is that large: all holes."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 3 << 30
    path = root / "b" / "s.tar"
    path.write_bytes(info.tobuf(tarfile.USTAR_FORMAT))
    os.truncate(path, (3 << 30) + 2048)
    with (
        FolderStore(root).open_object("b", "s.tar") as stored,
        pytest.raises(ShardError, match="max_header_size=1048576"),
    ):
        shards.open(stored, "b", "s.tar", "x")


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a header of any size, negative ones too: in base-256."""
    info = tarfile.TarInfo(name)
    info.type = kind
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (size % 256**12).to_bytes(12, "big") if size < 0 else b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


_PAX = b"21 GNU.sparse.size=5\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_header("x", -512), id="to the beginning"),
        pytest.param(_header("a", 0) + _header("x", -512), id="to itself"),
        pytest.param(
            _header("a", 0)
            + _header("pax", len(_PAX), tarfile.XHDTYPE)
            + _PAX.ljust(512, b"\0")
            + _header("x", -1536),
            id="to its PAX header, which gives it another size",
        ),
    ],
)
def test_sizes_that_lead_back(shards: Shards, root: Path, data: bytes) -> None:
    """Python's parser followed them round for ever, up to the versions that refuse them themselves."""
    with pytest.raises((ShardError, NoSuchObjectError)):
        _open(shards, root, "s.tar", "x", data + bytes(1024))


def test_long_names_without_end(shards: Shards, root: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2
    data = (info.tobuf(tarfile.GNU_FORMAT) + b"n\0".ljust(512, b"\0")) * 2100
    with pytest.raises(ShardError, match="max_header_size=1048576"):
        _open(shards, root, "s.tar", "x", data + _tar())


def _counting(root: Path, names: list[str]) -> WatchedStore:
    for name in names:
        (root / "b" / name).write_bytes(_tar({f"f{n}": b"x" for n in range(10)}))
    return WatchedStore(root)


def _read(store: WatchedStore, shards: Shards, name: str) -> int:
    """Return how many reads it took to open a file."""
    before = store.reads
    with store.open_object("b", name) as stored:
        shards.open(stored, "b", name, "f9").close()
    return store.reads - before


def test_an_index_is_learnt_once_for_each_version(root: Path) -> None:
    store, shards = _counting(root, ["s.tar"]), Shards()
    assert _read(store, shards, "s.tar") == 1
    assert _read(store, shards, "s.tar") == 0
    (root / "b" / "s.tar").write_bytes(_tar({f"f{n}": b"yy" for n in range(10)}))
    os.utime(root / "b" / "s.tar", (1, 1))
    assert _read(store, shards, "s.tar") == 1


def test_the_oldest_indexes_are_forgotten(root: Path) -> None:
    store, shards = _counting(root, ["a.tar", "b.tar", "c.tar"]), Shards(max_indexed=20)
    assert _read(store, shards, "a.tar") > 0
    assert _read(store, shards, "b.tar") > 0
    assert _read(store, shards, "a.tar") == 0  # and is now the latest
    assert _read(store, shards, "c.tar") > 0
    assert _read(store, shards, "a.tar") == 0
    assert _read(store, shards, "b.tar") > 0


def test_a_shard_with_too_many_files(root: Path) -> None:
    store = _counting(root, ["s.tar"])
    with store.open_object("b", "s.tar") as stored, pytest.raises(ShardError, match="more than 9 files"):
        Shards(max_indexed=9).open(stored, "b", "s.tar", "f0")


def test_whoever_comes_after_one_that_failed_learns_anew(root: Path) -> None:
    store, shards = _counting(root, ["s.tar"]), Shards(max_indexed=10)

    def fail(_name: str, _offset: int) -> None:
        raise OSError("lost")

    store.on_read, quiet = fail, store.on_read
    with pytest.raises(OSError, match="lost"):
        _read(store, shards, "s.tar")
    store.on_read = quiet
    assert _read(store, shards, "s.tar") > 0
    assert _read(store, shards, "s.tar") == 0
