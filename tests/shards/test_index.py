"""Indexes of tars and zips, learnt by reads of any size, of archives that are cut, hostile or very large."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import zipfile
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from asyncbatch import Limits
from asyncbatch.codecs import MemberStart, TarDecoder, WholeMember
from asyncbatch.errors import AsyncBatchError, FormatError, LimitExceededError, TruncatedArchiveError
from asyncbatch.shards import _tar, _zip
from asyncbatch.shards._index import Index, IndexCache, Place, Window
from tests.codecs.tars import VECTORS as TARS
from tests.support.zips import TIME, Entry, build, field_of
from tests.support.zips import VECTORS as ZIPS
from tests.support.zips import read as read_zip

from .fakes import MEMBERS, learn, learn_virtual, make_tar, make_zip

if TYPE_CHECKING:
    from collections.abc import Iterable

END = bytes(1024)


def _names(index: Index) -> list[str]:
    return list(index)


def _tar_contents(data: bytes, index: Index) -> dict[str, bytes]:
    places = {name: index.get(name) for name in index}
    return {name: data[place.offset : place.offset + place.size] for name, place in places.items() if place}


EXPECTED = {name.removeprefix("/"): data for name, data in MEMBERS.items()}


# -- reads of every size ----------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("block", [1, 100, 511, 512, 513, 1000, 4096, 65_537, 10_000_000])
def test_a_tar_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch, format_: int, block: int) -> None:
    members = {name: data[:3000] if block < 500 else data for name, data in MEMBERS.items() if name.isascii()}
    if format_ == tarfile.USTAR_FORMAT:
        members.pop("long/" + "n" * 200)
    data = make_tar(members, format_)
    monkeypatch.setattr(_tar, "_FIRST_BLOCK", block)
    for last, slice_, seek in (
        (block, 1 << 20, 1 << 30),
        (4 * block, max(block // 3, 1), 1),
        (1 << 20, 600, 100_000),
    ):
        monkeypatch.setattr(_tar, "_LAST_BLOCK", last)
        monkeypatch.setattr(_tar, "_SLICE", slice_)
        monkeypatch.setattr(_tar, "_WORTH_A_SEEK", seek)
        index, reads = learn(data)
        assert _tar_contents(data, index) == {name.removeprefix("/"): data for name, data in members.items()}
        assert reads.bytes <= len(data)


@pytest.mark.parametrize("block", [1, 45, 46, 47, 100, 1000, 10_000])
@pytest.mark.parametrize("tail", [22, 50, 65_633])
def test_a_directory_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch, block: int, tail: int) -> None:
    monkeypatch.setattr(_zip, "_BLOCK", block)
    monkeypatch.setattr(_zip, "_SLICE", max(block // 3, 1))
    monkeypatch.setattr(_zip, "_TAIL", tail)
    data = make_zip(zipfile.ZIP_DEFLATED, b"stub")
    index, reads = learn(data, "zip")
    assert _names(index) == list(EXPECTED)
    assert reads.bytes < 2000 + tail
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                place = index.get(info.filename)
                assert place is not None
                assert place.packed is not None
                assert (place.size, *place.packed) == (
                    info.file_size,
                    info.compress_type,
                    info.compress_size,
                    info.CRC,
                )
                assert place.offset == info.header_offset


# -- archives that are cut --------------------------------------------------------------------------------


def _cuts(size: int, count: int = 120) -> Iterable[int]:
    yield from range(0, size, max(size // count, 1))
    yield from range(max(size - 60, 0), size)


def test_a_tar_that_is_cut_is_refused_or_has_what_is_whole() -> None:
    data = make_tar({name: data[:3000] for name, data in MEMBERS.items()})
    expected = {name: data[:3000] for name, data in EXPECTED.items()}
    for cut in _cuts(data.rindex(b"link") + 512):
        try:
            index, _ = learn(data[:cut])
        except TruncatedArchiveError:
            continue
        found = _tar_contents(data, index)
        assert found == {name: expected[name] for name in found}
        assert list(expected)[: len(found)] == list(found)


def test_a_zip_that_is_cut_is_refused() -> None:
    data = make_zip(zipfile.ZIP_DEFLATED)
    for cut in _cuts(len(data)):
        with pytest.raises(FormatError):
            learn(data[:cut], "zip")


@pytest.mark.parametrize("codec", ["tar", "zip"])
def test_an_object_that_becomes_shorter_while_it_is_read(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_zip, "_TAIL", 22)
    data = make_tar() if codec == "tar" else make_zip()
    for short in (0, 1000, 700_000):
        cut = data[:short]
        with pytest.raises(FormatError):
            learn_virtual(len(data), partial(_slice_of, cut), codec)


def test_an_object_that_ends_between_two_members_while_it_is_read() -> None:
    data = make_tar({str(number): b"" for number in range(300)})
    with pytest.raises(TruncatedArchiveError, match="before its stated size at byte 65536"):
        learn_virtual(len(data), partial(_slice_of, data[:65_536]))


def _slice_of(data: bytes, offset: int, length: int) -> bytes:
    return data[offset : offset + length]


# -- tars -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in TARS.glob("*.tar")))
def test_every_vector_is_read_as_the_decoder_reads_it(name: str) -> None:
    data = (TARS / f"{name}.tar").read_bytes()
    decoder = TarDecoder(strict=False)
    decoder.feed(data)
    expected: dict[str, int] = {}
    error = None
    try:
        for event in decoder:
            if isinstance(event, WholeMember | MemberStart) and event.kind == "file":
                expected.setdefault(event.name.removeprefix("/"), event.offset)
        decoder.feed_eof()
    except AsyncBatchError as caught:
        error = caught
    if "sparse" in name or "volume" in name:
        return
    if error is not None:
        with pytest.raises(type(error)) as found:
            learn(data)
        assert str(found.value) == str(error)
    else:
        index, _ = learn(data)
        assert {key: index.get(key).offset for key in index} == expected  # type: ignore[union-attr]


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE, **fields: bytes) -> bytes:
    """Return a header of any size, negative ones too: in base-256."""
    info = tarfile.TarInfo(name)
    info.type = kind
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (size % 256**12).to_bytes(12, "big") if size < 0 else b"%011o\0" % size
    if "digits" in fields:
        header[124:135] = fields["digits"]
    if "extended" in fields:
        header[482:483] = fields["extended"]
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _pax(*records: tuple[str, str]) -> bytes:
    body = b""
    for key, value in records:
        text = f" {key}={value}\n".encode()
        length = len(text) + 2 if len(text) < 98 else len(text) + 3
        body += b"%d" % length + text
    return _header("pax", len(body), tarfile.XHDTYPE) + body + bytes(-len(body) % 512)


FIRST = _header("first", 3) + b"one".ljust(512, b"\0")
LAST = _header("last", 3) + b"two".ljust(512, b"\0")
DATA = b"x" * 512
MAP = bytes(504) + b"\1" + bytes(7)

SPARSE = {
    "old GNU": _header("sparse", 512, b"S") + DATA,
    "old GNU with a longer map": _header("sparse", 512, b"S", extended=b"\1") + MAP + bytes(512) + DATA,
    "PAX 0.1": _pax(("GNU.sparse.size", "9"), ("path", "sparse")) + _header("other", 512) + DATA,
    "PAX 1.0": _pax(
        ("GNU.sparse.major", "1"), ("GNU.sparse.name", "sparse"), ("path", "GNUSparseFile.0/sparse")
    )
    + _header("other", 512)
    + DATA,
    "PAX with its size": _pax(("GNU.sparse.size", "9"), ("size", "1000")) + _header("sparse", 0) + DATA * 2,
    "old GNU with a long name": _header("long", 7, b"L")
    + b"sparse\0".ljust(512, b"\0")
    + _header("", 5, b"S")
    + DATA,
}


@pytest.mark.parametrize("kind", SPARSE)
def test_a_sparse_file_has_a_problem_and_its_neighbours_have_none(kind: str) -> None:
    data = FIRST + SPARSE[kind] * 3 + LAST
    for archive in (data + END, data, FIRST + SPARSE[kind], FIRST + SPARSE[kind] + END):
        index, _ = learn(archive)
        assert _names(index) == ["first", "sparse", "last"][: 3 if archive.startswith(data) else 2]
        place = index.get("sparse")
        assert place is not None
        assert place.problem == "it is a sparse file"
        assert {name: text for name, text in _tar_contents(archive, index).items() if name != "sparse"} == (
            {"first": b"one", "last": b"two"} if archive.startswith(data) else {"first": b"one"}
        )


def test_the_rest_of_a_file_that_began_on_another_tape_is_passed_by() -> None:
    index, _ = learn(FIRST + _header("rest", 512, b"M") + DATA + LAST + END)
    assert _names(index) == ["first", "last"]


def test_faults_behind_a_sparse_file_are_where_they_are() -> None:
    data = FIRST + SPARSE["old GNU"] + _header("x", -1) + END
    with pytest.raises(FormatError, match="negative") as caught:
        learn(data)
    assert caught.value.offset == len(data) - 1536


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_pax(("SCHILY.realsize", "5000")) + LAST, id="star's"),
        pytest.param(_pax(("GNU.sparse.size", "9")) + _header("x", 7, b"L") + LAST, id="with a name behind"),
        pytest.param(_pax(("GNU.sparse.size", "9")) + b"junk" * 128, id="with junk behind"),
        pytest.param(_pax(("GNU.sparse.size", "9")) + _header("x", -512), id="with a size that leads back"),
        pytest.param(_pax(("GNU.sparse.size", "9")) + _header("x", 0, digits=b"9" * 11), id="without a size"),
        pytest.param(_header("x", 2000, b"S") + DATA, id="that is cut"),
        pytest.param(_pax(("GNU.sparse.size", "9")), id="with nothing behind"),
        pytest.param(_header("x", 0, b"S", extended=b"\1"), id="without its map"),
        pytest.param(_header("x", 0, b"S", extended=b"\1") + MAP * 2049, id="with a map without end"),
    ],
)
def test_sparse_files_whose_end_nobody_knows(data: bytes) -> None:
    with pytest.raises(FormatError):
        learn(FIRST + data)


@pytest.mark.parametrize("codec", ["tar", "zip"])
@pytest.mark.parametrize("seed", range(4))
def test_damage_is_told_or_does_no_harm(codec: str, seed: int) -> None:
    members = {name: data[:700] for name, data in MEMBERS.items()}
    whole = make_zip(zipfile.ZIP_DEFLATED, members=members)
    if codec == "tar":
        whole = FIRST + b"".join(SPARSE.values()) + make_tar(members)
    chance = random.Random(seed)
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 0x53, 0x7F, 0x80, 0xFF))
        with suppress(FormatError, LimitExceededError):
            index, reads = learn(bytes(data), codec)
            assert reads.bytes <= 2 * len(data)
            for name in index:
                place = index.get(name)
                assert place is not None
                assert (
                    place.problem
                    or 0 <= place.offset <= place.offset + place.size <= len(data)
                    or codec == "zip"
                )


def test_sparse_files_without_end_are_not_read_again_and_again() -> None:
    data = SPARSE["old GNU"] * 3000 + END
    index, reads = learn(data)
    assert len(index) == 1
    assert reads.bytes <= len(data)


def test_hostile_headers_are_not_obeyed() -> None:
    """A PAX header of gigabytes, in an object that really is that large."""
    header = _header("pax", 3 << 30, tarfile.XHDTYPE)

    def read(offset: int, length: int) -> bytes:
        return (header[offset:] + bytes(length))[:length] if offset < 512 else bytes(length)

    with pytest.raises(LimitExceededError, match="max_header_size=1048576"):
        learn_virtual((3 << 30) + 2048, read)


@pytest.mark.parametrize("size", [-512, -1, -1536])
def test_sizes_that_lead_back(size: int) -> None:
    for before in (b"", FIRST, _pax(("comment", "x"))):
        with pytest.raises(FormatError, match="negative"):
            learn(before + _header("x", size) + END)


def test_a_member_larger_than_the_object() -> None:
    for size in (2000, 5 << 20, 1 << 32):
        with pytest.raises(TruncatedArchiveError):
            learn(FIRST + _header("x", size) + DATA)


def test_nothing_is_read_behind_the_end() -> None:
    index, reads = learn(FIRST + END + bytes(10 << 20) + LAST)
    assert _names(index) == ["first"]
    assert reads.count == 1


def test_a_large_member_is_passed_by() -> None:
    """Of 100 GiB, a hundred times: what nobody could make."""
    size = 100 << 30
    step = 512 + size
    headers = []
    for number in range(100):
        info = tarfile.TarInfo(f"m{number}")
        info.size = size
        headers.append(info.tobuf(tarfile.GNU_FORMAT))

    def read(offset: int, length: int) -> bytes:
        data = bytearray(length)
        for number in range(offset // step, min((offset + length) // step + 1, 100)):
            at = number * step - offset
            header = headers[number][max(-at, 0) : max(length - at, 0)]
            data[max(at, 0) : max(at, 0) + len(header)] = header
        return bytes(data)

    index, reads = learn_virtual(100 * step + 1024, read)
    assert len(index) == 100
    assert index.get("m99") == Place(99 * step + 512, size)
    assert reads.bytes < 100 << 17


def test_of_files_with_one_name_it_is_the_first() -> None:
    data = _header("x", 3) + b"one".ljust(512, b"\0") + _header("/x", 3) + b"two".ljust(512, b"\0") + END
    index, _ = learn(data)
    assert _tar_contents(data, index) == {"x": b"one"}


# -- zips -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in ZIPS.glob("*.zip")))
def test_every_zip_vector_has_the_members_that_the_decoder_finds(name: str) -> None:
    data = (ZIPS / f"{name}.zip").read_bytes()
    result = read_zip([data])
    if result.error is not None:
        with suppress(FormatError, LimitExceededError):  # what it makes of those is its own affair
            learn(data, "zip")
        return
    index, _ = learn(data, "zip")
    assert set(index) == {
        member.removeprefix("/") for member, _ in result.members if not member.endswith("/")
    }


def test_what_the_index_does_without() -> None:
    entries = [Entry(b"a", b"alpha", 8), Entry(b"b", b"beta")]
    for archive in (
        build(entries, comment=b"a comment"),
        build(entries, comment=b"PK\5\6, as it begins"),
        build(entries, comment=b"x" * 65_535),
        build(entries, prefix=b"stub" * 100),
        build(entries, zip64={}),
        build(entries) + bytes(10_240),
        build(entries, central_order=[1, 0]),
    ):
        index, _ = learn(archive, "zip")
        assert sorted(index) == ["a", "b"]


def test_a_zip64_behind_a_stub() -> None:
    data = b"stub" + build([Entry(b"a", b"alpha")], zip64={})
    index, _ = learn(data, "zip")
    place = index.get("a")
    assert place is not None
    assert data[place.offset :].startswith(b"PK\3\4")


def test_numbers_of_a_member_that_need_64_bits() -> None:
    extra = field_of(1, struct.pack("<QQ", 5, 5))
    data = build(
        [Entry(b"a", b"alpha", central={"size": 0xFFFF_FFFF, "packed": 0xFFFF_FFFF}, central_extra=extra)]
    )
    index, _ = learn(data, "zip")
    place = index.get("a")
    assert place is not None
    assert place.size == 5


@pytest.mark.parametrize(
    ("end", "zip64", "reason"),
    [
        ({"size": 1 << 30}, None, "cannot be"),
        ({"size": 60}, None, "cannot be|is not the"),
        ({"offset": 1 << 30}, None, "cannot be"),
        ({"entries": 2, "here": 2}, None, "is not the 2 headers"),
        ({"entries": 0, "here": 0}, None, "is not the 0 headers"),
        ({"here": 0}, None, "several disks"),
        ({"disk": 1}, None, "several disks"),
        ({"comment": 1}, None, "there is no end of central directory record"),
        ({}, {"record": 50}, "no ZIP64 end"),
        ({}, {"at_disk": 1}, "several disks"),
        ({}, {"disks": 2}, "several disks"),
        ({}, {"at": 1}, "cannot be"),
        ({}, {"size": 1 << 60}, "cannot be"),
        ({}, {"entries": 1 << 60, "here": 1 << 60}, "max_members"),
        ({"entries": 3}, {}, "contradict"),
    ],
)
def test_ends_that_lie(end: dict[str, int], zip64: dict[str, int] | None, reason: str) -> None:
    data = build([Entry(b"a", b"alpha")], end=end, zip64=zip64)
    with pytest.raises((FormatError, LimitExceededError), match=reason):
        learn(data, "zip")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (Entry(b"a\nb"), "control character"),
        (Entry(b""), "no name"),
        (Entry(b"a", central_extra=b"\1\0\xff\xff"), "longer than what is there"),
        (Entry(b"a", central={"size": 0xFFFF_FFFF}), "ZIP64"),
    ],
)
def test_headers_that_are_none(entry: Entry, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        learn(build([Entry(b"first"), entry]), "zip")


def test_limits_of_names_and_headers() -> None:
    data = build([Entry(b"a" * 300, central_extra=field_of(9, bytes(500)))])
    with pytest.raises(LimitExceededError, match="max_name_length"):
        learn(data, "zip", limits=Limits(max_name_length=299))
    with pytest.raises(LimitExceededError, match="max_header_size"):
        learn(data, "zip", limits=Limits(max_header_size=499))
    with pytest.raises(LimitExceededError, match="max_members"):
        learn(build([Entry(b"a"), Entry(b"b")]), "zip", limits=Limits(max_members=1))


def test_a_directory_that_is_too_large_is_not_read() -> None:
    size = 300 << 20
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 1000, 1000, size, 0, 0)

    def read(offset: int, length: int) -> bytes:
        assert offset + length == size + 22
        return bytes(length - 22) + end

    with pytest.raises(FormatError, match="is too large; at most 268435456 are read"):
        learn_virtual(size + 22, read, "zip")


def test_a_directory_of_more_files_than_are_indexed_is_not_read_on() -> None:
    """Millions of entries: the reading stops where there are too many."""

    def record(number: int) -> bytes:
        fields = (b"PK\1\2", 20, 20, 0, 0, TIME, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0)
        return struct.pack("<4sHHHHLLLLHHHHHLL", *fields) + b"%08d" % number

    count, offset = 1_000_000, 64
    size = count * 54
    end = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    end += struct.pack("<4sLQL", b"PK\6\7", 0, offset + size, 1)
    end += struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFF_FFFF, offset, 0)

    def read(at: int, length: int) -> bytes:
        if at >= offset + size - 65_633:
            return (bytes(length) + end)[-length:]
        first, skip = divmod(at - offset, 54)
        return b"".join(map(record, range(first, first + length // 54 + 2)))[skip : skip + length]

    with pytest.raises(FormatError, match="more than 5000 files"):
        learn_virtual(offset + size + len(end), read, "zip", maximum=5000)


# -- values -----------------------------------------------------------------------------------------------


def test_the_cache_forgets_the_oldest() -> None:
    cache = IndexCache(3)
    for version in ("a", "b", "c"):
        index = Index("tar", 3)
        index.add(version, Place(0, 0))
        cache.put(version, index)
        cache.put(version, index)
    assert cache.get("a") is not None
    two = Index("tar", 3)
    two.add("x", Place(0, 0))
    two.add("y", Place(0, 0))
    cache.put("d", two)
    assert [name for name in "abcd" if cache.get(name)] == ["a", "d"]
    assert (len(cache), cache.entries) == (2, 3)


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize(("start", "length"), [(0, 10), (3, 4), (0, 0), (9, 1), (10, 0), (12, 3)])
def test_a_window_in_pieces_of_any_size(size: int, start: int, length: int) -> None:
    window, out = Window(start, length), b""
    for at in range(0, 10, size):
        assert not window.is_passed or at > start + length
        out += window.cut(b"0123456789"[at : at + size])
    assert out == b"0123456789"[start : start + length]
