"""The zip encoder: what it writes, others read."""

from __future__ import annotations

import array
import io
import random
import shutil
import stat
import struct
import subprocess
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch.codecs import ZipEncoder
from asyncbatch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asyncbatch.codecs._zip_encoder import ZipCompression

COMPRESSIONS: list[ZipCompression] = ["stored", "deflate"]
every_compression = pytest.mark.parametrize("compression", COMPRESSIONS)
NOISE = random.Random(6).randbytes(300_000)
TEXT = b"words that compress\n" * 500
MAX_32 = 0xFFFF_FFFF
LOCAL = struct.Struct("<4s5H3I2H")


def run(*command: str | Path, stdin: bytes | None = None) -> bytes:
    """What a program says, which must be installed and content."""
    name, *arguments = command
    if (path := shutil.which(name)) is None:
        pytest.skip(f"the command line tool {name!r} is not installed; this test needs it")
    return subprocess.run([path, *arguments], input=stdin, capture_output=True, check=True).stdout  # noqa: S603


def read(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def infos(data: bytes) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.infolist()


def encode_in_chunks(encoder: ZipEncoder, name: str, chunks: Sequence[bytes], size: int | None) -> bytes:
    return b"".join(
        [encoder.start(name, size), *(bytes(encoder.feed(chunk)) for chunk in chunks), encoder.end()]
    )


def everything(compression: ZipCompression) -> tuple[bytes, list[tuple[str, bytes]]]:
    """An archive with a member of every kind, and its files."""
    encoder = ZipEncoder(compression=compression)
    pieces = [
        encoder.encode("whole.txt", TEXT),
        encoder.encode("whole.bin", NOISE),
        encoder.encode("empty", b""),
        encoder.encode("d", b"", kind="dir", mode=0o750),
        encoder.start("d/e/", kind="dir") + encoder.end(),
        encode_in_chunks(encoder, "d/known.txt", [TEXT, b"", TEXT], 2 * len(TEXT)),
        encode_in_chunks(encoder, "d/known.bin", [NOISE[:100_000], NOISE[100_000:]], len(NOISE)),
        encode_in_chunks(encoder, "d/known empty", [b""], 0),
        encode_in_chunks(encoder, "d/unknown.txt", [TEXT] * 3, None),
        encode_in_chunks(encoder, "d/unknown.bin", [NOISE], None),
        encode_in_chunks(encoder, "d/unknown empty", [], None),
        encoder.encode("ünïcode/名", b"name"),
        encoder.encode("whole.txt", b"the second of its name"),
        encoder.finish(),
    ]
    files = [
        ("whole.txt", TEXT),
        ("whole.bin", NOISE),
        ("empty", b""),
        ("d/", b""),
        ("d/e/", b""),
        ("d/known.txt", TEXT * 2),
        ("d/known.bin", NOISE),
        ("d/known empty", b""),
        ("d/unknown.txt", TEXT * 3),
        ("d/unknown.bin", NOISE),
        ("d/unknown empty", b""),
        ("ünïcode/名", b"name"),
        ("whole.txt", b"the second of its name"),
    ]
    return b"".join(pieces), files


# -- others read it -----------------------------------------------------------------------------------------


@every_compression
def test_python_reads_it(compression: ZipCompression) -> None:
    archive, files = everything(compression)

    assert read(archive) == files
    methods = {info.compress_type for info in infos(archive)}
    assert methods == ({0} if compression == "stored" else {0, 8})


@every_compression
@pytest.mark.parametrize("command", ["unzip -t", "7z t", "bsdtar -tvf", "zip -T"])
def test_other_tools_find_no_fault(compression: ZipCompression, command: str, tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    path.write_bytes(everything(compression)[0])
    name, option = command.split()
    output = run(name, option, path)

    assert b"arning" not in output
    assert b"rror" not in output.replace(b"No errors", b"")


@every_compression
def test_streamed_bsdtar_reads_it_by_its_local_headers(compression: ZipCompression) -> None:
    archive, files = everything(compression)

    assert run("bsdtar", "-xOf", "-", stdin=archive) == b"".join(data for _, data in files)


@every_compression
def test_extracted_by_unzip_it_is_what_went_in(compression: ZipCompression, tmp_path: Path) -> None:
    encoder = ZipEncoder(compression=compression)
    pieces = [
        encoder.encode("d", b"", kind="dir", mode=0o750),
        encoder.encode("d/tool", TEXT, mode=0o755, mtime=1_700_000_001),
        encoder.encode("d/link", b"", kind="symlink", mode=0o777, linkname="tool"),
        encoder.start("d/second", kind="symlink", mode=0o777, linkname="/ünïcode") + encoder.end(),
        encode_in_chunks(encoder, "d/streamed", [NOISE], None),
        encoder.finish(),
    ]
    (tmp_path / "archive.zip").write_bytes(b"".join(pieces))
    run("unzip", "-q", tmp_path / "archive.zip", "-d", tmp_path)

    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750
    tool = tmp_path / "d/tool"
    assert (tool.read_bytes(), stat.S_IMODE(tool.stat().st_mode)) == (TEXT, 0o755)
    assert tool.stat().st_mtime == 1_700_000_001
    assert (tmp_path / "d/link").readlink().name == "tool"
    assert str((tmp_path / "d/second").readlink()) == "/ünïcode"
    assert (tmp_path / "d/streamed").read_bytes() == NOISE


@given(
    members=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1),
            st.lists(st.binary(max_size=2000), max_size=4),
            st.sampled_from(["whole", "known", "unknown"]),
        ),
        max_size=6,
    ),
    compression=st.sampled_from(COMPRESSIONS),
)
def test_round_trip(members: list[tuple[str, list[bytes], str]], compression: ZipCompression) -> None:
    encoder = ZipEncoder(compression=compression)
    archive = b""
    for name, chunks, how in members:
        data = b"".join(chunks)
        if how == "whole":
            archive += encoder.encode(name, data)
        else:
            archive += encode_in_chunks(encoder, name, chunks, len(data) if how == "known" else None)
    archive += encoder.finish()

    assert read(archive) == [(name, b"".join(chunks)) for name, chunks, _ in members]
    infos(archive)


# -- what exactly it writes ---------------------------------------------------------------------------------


def test_an_empty_archive_is_its_end_record() -> None:
    assert ZipEncoder().finish() == b"PK\5\6" + bytes(18)


@every_compression
def test_equal_members_give_equal_bytes(compression: ZipCompression) -> None:
    assert everything(compression) == everything(compression)


def test_a_whole_member_has_everything_in_front() -> None:
    head, data = ZipEncoder().encode_parts("name", TEXT)
    fields = LOCAL.unpack(head[:30])

    assert data is TEXT
    assert fields == (b"PK\3\4", 10, 0, 0, 0, 0x21, zlib.crc32(TEXT), len(TEXT), len(TEXT), 4, 0)
    assert head[30:] == b"name"


def test_a_member_of_known_size_has_a_descriptor() -> None:
    encoder = ZipEncoder()
    head = encoder.start("name", 3)
    assert LOCAL.unpack(head[:30]) == (b"PK\3\4", 10, 8, 0, 0, 0x21, 0, 0, 0, 4, 0)
    chunk = bytearray(b"abc")
    assert encoder.feed(chunk) is chunk
    assert encoder.end() == struct.pack("<4s3I", b"PK\7\10", zlib.crc32(b"abc"), 3, 3)


def test_a_member_of_unknown_size_may_turn_out_large() -> None:
    encoder = ZipEncoder()
    head = encoder.start("ü")
    assert LOCAL.unpack(head[:30]) == (b"PK\3\4", 45, 0x808, 0, 0, 0x21, 0, MAX_32, MAX_32, 2, 20)
    assert head[32:] == b"\1\0\x10\0" + bytes(16)
    encoder.feed(b"abc")
    end = encoder.end()
    assert end == struct.pack("<4sI2Q", b"PK\7\10", zlib.crc32(b"abc"), 3, 3)
    (info,) = infos(head + b"abc" + end + encoder.finish())
    assert (info.extract_version, info.extra) == (45, b"")  # where it did not, the directory needs none


def test_views_are_taken_as_bytes() -> None:
    words = array.array("I", range(1000))
    encoder = ZipEncoder()
    encoder.start("n", 1000)
    with pytest.raises(UsageError, match="longer"):
        encoder.feed(memoryview(words))
    encoder = ZipEncoder(compression="deflate")
    archive = encoder.start("n", 4000) + encoder.feed(memoryview(words)) + encoder.end() + encoder.finish()

    assert read(bytes(archive)) == [("n", words.tobytes())]


def test_what_deflate_does_not_shrink_is_stored() -> None:
    encoder = ZipEncoder(compression="deflate")
    archive = encoder.encode("n", NOISE[:1000]) + encoder.encode("t", TEXT) + encoder.finish()
    noise, text = infos(archive)

    assert (noise.compress_type, noise.compress_size, noise.extract_version) == (0, 1000, 10)
    assert (text.compress_type, text.extract_version) == (8, 20)
    assert text.compress_size < 1000


@pytest.mark.parametrize("level", range(10))
def test_levels(level: int) -> None:
    encoder = ZipEncoder(compression="deflate", level=level)
    archive = encode_in_chunks(encoder, "n", [TEXT, NOISE], None) + encoder.finish()

    assert read(archive) == [("n", TEXT + NOISE)]


def test_output_comes_while_feeding() -> None:
    encoder = ZipEncoder(compression="deflate")
    encoder.start("n")

    assert sum(len(encoder.feed(NOISE)) for _ in range(4)) > 1_000_000


@pytest.mark.parametrize(
    ("mtime", "dos", "extra"),
    [
        (0, (1980, 1, 1, 0, 0, 0), None),
        (1_700_000_001.9, (2023, 11, 14, 22, 13, 20), 1_700_000_001),
        (1, (1980, 1, 1, 0, 0, 0), 1),
        (-1.5, (1980, 1, 1, 0, 0, 0), -2),
        (2**31 - 1, (2038, 1, 19, 3, 14, 6), 2**31 - 1),
        (2**31, (2038, 1, 19, 3, 14, 8), None),
        (10**16, (2107, 12, 31, 23, 59, 58), None),
        (-(10**16), (1980, 1, 1, 0, 0, 0), None),
    ],
)
def test_times(mtime: float, dos: tuple[int, ...], extra: int | None) -> None:
    encoder = ZipEncoder()
    head = encoder.encode("n", b"", mtime=mtime)
    (info,) = infos(head + encoder.finish())

    expected = b"" if extra is None else struct.pack("<2HBi", 0x5455, 5, 1, extra)
    assert info.date_time == dos
    assert info.extra == expected
    assert head == head[:31] + expected


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [
        ({}, (stat.S_IFREG | 0o644) << 16),
        ({"mode": 0o104755}, (stat.S_IFREG | 0o4755) << 16),
        ({"kind": "dir", "mode": 0o755}, (stat.S_IFDIR | 0o755) << 16 | 0x10),
        ({"kind": "symlink", "mode": 0o777, "linkname": "t"}, (stat.S_IFLNK | 0o777) << 16),
    ],
)
def test_modes_and_kinds_are_those_of_unix(fields: dict[str, Any], attributes: int) -> None:
    for whole in (True, False):
        encoder = ZipEncoder(compression="deflate")
        head = encoder.encode("n", b"", **fields) if whole else encoder.start("n", **fields) + encoder.end()
        (info,) = infos(head + encoder.finish())
        assert (info.create_system, info.external_attr) == (3, attributes)
        assert info.filename == ("n/" if fields.get("kind") == "dir" else "n")


@pytest.mark.parametrize(
    ("name", "raw", "flag"),
    [
        ("plain", b"plain", 0),
        ("ü", "ü".encode(), 0x800),
        ("n\udcff", b"n\xff", 0),
        ("ü\udcff", b"\xc3\xbc\xff", 0),
        ("n" * 65_535, b"n" * 65_535, 0),
        ("back\\slash", b"back\\slash", 0),
    ],
)
def test_names(name: str, raw: bytes, flag: int) -> None:
    encoder = ZipEncoder()
    head = encoder.encode(name, b"")
    flags, length = LOCAL.unpack(head[:30])[2], LOCAL.unpack(head[:30])[9]

    assert (flags, head[30 : 30 + length]) == (flag, raw)
    assert raw in encoder.finish()


# -- ZIP64 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [65_534, 65_535])
def test_more_members_than_16_bits_can_count(count: int, tmp_path: Path) -> None:
    encoder = ZipEncoder()
    archive = b"".join([*(encoder.encode(f"{number}", b"") for number in range(count)), encoder.finish()])
    assert archive[-14:-10] == struct.pack("<2H", count, count)
    assert (b"PK\6\6" in archive) == (count == 65_535)

    path = tmp_path / "archive.zip"
    path.write_bytes(archive)
    with zipfile.ZipFile(path) as opened:
        assert opened.namelist() == [str(number) for number in range(count)]
    assert run("unzip", "-Z1", path).count(b"\n") == count
    assert b"Everything is Ok" in run("7z", "t", path)


CHUNK = bytes(64 << 20)


@pytest.mark.parametrize("size", [MAX_32 - 1, MAX_32, MAX_32 + 1000, None], ids=str)
def test_members_of_4_gib(size: int | None, tmp_path: Path) -> None:
    # In a file with holes, so that neither memory nor disk need hold them.
    path = tmp_path / "archive.zip"
    encoder = ZipEncoder()
    length = MAX_32 + 1000 if size is None else size
    with path.open("wb") as file:
        file.write(encoder.start("large", size))
        for start in range(0, length, len(CHUNK)):
            chunk = memoryview(CHUNK)[: length - start]
            assert encoder.feed(chunk) is chunk
            file.seek(len(chunk), io.SEEK_CUR)
        file.write(encoder.end())
        file.write(encoder.encode("behind", TEXT))
        file.write(encoder.finish())

    with zipfile.ZipFile(path) as archive:
        large, behind = archive.infolist()
        assert (large.file_size, large.compress_size) == (length, length)
        assert behind.header_offset > MAX_32
        assert archive.read(behind) == TEXT
        with archive.open(large) as member:
            assert member.read(1000) == bytes(1000)
    for command in (["unzip", "-Z", "-l"], ["7z", "l"], ["bsdtar", "-tvf"]):
        if command[0] == "unzip" and length == MAX_32:
            continue  # Info-ZIP's zipinfo takes this very size, though ZIP64 tells it, for a mark of ZIP64
        listing = run(*command, path).decode()
        assert str(length) in listing
        assert "behind" in listing
    assert b"Everything is Ok" in run("7z", "t", path, "behind")


def test_a_member_of_4_gib_deflated() -> None:
    encoder = ZipEncoder(compression="deflate")
    pieces = [encoder.start("large")]
    pieces += [bytes(encoder.feed(CHUNK)) for _ in range(65)]
    pieces += [encoder.end(), encoder.encode("behind", TEXT), encoder.finish()]
    large, behind = infos(b"".join(pieces))

    assert large.file_size == 65 * len(CHUNK)
    assert large.compress_size < 50_000_000
    assert (large.extract_version, behind.extract_version) == (45, 20)


def test_whole_members_know_zip64_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncbatch.codecs._zip_encoder._MAX_32", 1000)  # nobody holds 4 GiB for a test
    encoder = ZipEncoder()
    head = encoder.encode("n", b"x" * 1000)
    assert LOCAL.unpack(head[:30])[1:2] == (45,)
    assert head[31:51] == struct.pack("<2H2Q", 1, 16, 1000, 1000)


# -- mistakes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fields", "match"),
    [
        ("", {}, "needs a name"),
        ("a\0b", {}, "no NUL"),
        ("n" * 65_536, {}, "1 to 65535 bytes"),
        ("\ud800", {}, "only os.fsdecode makes such names"),
        ("d/", {}, "slash at its end"),
        ("n", {"kind": "fifo"}, "cannot encode a fifo; known: file, dir, symlink"),
        ("n", {"kind": "hardlink", "linkname": "t"}, "cannot encode a hardlink"),
        ("n", {"kind": "symlink"}, "a link's target, has 1 to"),
        ("n", {"kind": "symlink", "linkname": "a\0b"}, "no NUL"),
        ("n", {"mtime": float("nan")}, "mtime=nan"),
        ("n", {"mtime": float("inf")}, "mtime=inf"),
    ],
)
def test_members_that_zip_cannot_hold(name: str, fields: dict[str, Any], match: str) -> None:
    encoder = ZipEncoder()
    with pytest.raises(UsageError, match=match):
        encoder.encode(name, b"", **fields)
    with pytest.raises(UsageError, match=match):
        encoder.start(name, **fields)

    assert read(encoder.encode("good", b"x") + encoder.finish()) == [("good", b"x")]


@pytest.mark.parametrize("kind", ["dir", "symlink"])
def test_only_files_have_data(kind: Any) -> None:  # noqa: ANN401
    encoder = ZipEncoder()
    with pytest.raises(UsageError, match="cannot have 1 bytes"):
        encoder.encode("n", b"x", kind=kind, linkname="t")
    with pytest.raises(UsageError, match="cannot have 1 bytes"):
        encoder.start("n", 1, kind=kind, linkname="t")
    with pytest.raises(UsageError, match="cannot have -1 bytes"):
        encoder.start("n", -1)
    encoder.start("n", kind=kind, linkname="t")
    with pytest.raises(UsageError, match="longer"):
        encoder.feed(b"x")
    assert encoder.feed(b"") == b""
    assert encoder.end() == b""


def test_data_of_another_size() -> None:
    encoder = ZipEncoder()
    encoder.start("n", 3)
    encoder.feed(b"ab")
    with pytest.raises(UsageError, match="'n': data is 1 bytes short"):
        encoder.end()
    with pytest.raises(UsageError, match="'n': data is longer"):
        encoder.feed(b"cd")


def test_calls_out_of_order() -> None:
    encoder = ZipEncoder()
    with pytest.raises(UsageError, match="fed outside"):
        encoder.feed(b"")
    with pytest.raises(UsageError, match="not started"):
        encoder.end()
    encoder.start("n", 0)
    with pytest.raises(UsageError, match="'m' was started before end"):
        encoder.start("m")
    with pytest.raises(UsageError, match="'m' was started before end"):
        encoder.encode("m", b"")
    with pytest.raises(UsageError, match="member open"):
        encoder.finish()
    encoder.end()
    encoder.finish()
    with pytest.raises(UsageError, match="second time"):
        encoder.finish()
    with pytest.raises(UsageError, match="after finish"):
        encoder.start("m")


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match=r"'lzma' is no compression .* known are stored, deflate"):
        ZipEncoder(compression="lzma")  # type: ignore[arg-type]
    for level in (-1, 10):
        with pytest.raises(UsageError, match="0 to 9"):
            ZipEncoder(level=level)
