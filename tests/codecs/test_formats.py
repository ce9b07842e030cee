"""The table of formats: by name, by media type, and by the first bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch.codecs._compress import StreamCompressor
from asyncbatch.codecs._decompress import StreamDecompressor
from asyncbatch.codecs._formats import (
    DETECT_SIZE,
    FORMATS,
    detect_format,
    format_of_mime,
    format_of_name,
    open_compressor,
    open_decompressor,
    parse_format,
)
from asyncbatch.errors import FormatError, LimitExceededError, TruncatedArchiveError, UsageError
from asyncbatch.limits import Limits

if TYPE_CHECKING:
    from asyncbatch.codecs._formats import Compression

# -- the table itself ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.name)
def test_rows_are_found_by_all_they_say(row: object) -> None:
    assert row in FORMATS
    for known in FORMATS:
        if known is row:
            assert known.name == known.extensions[0]
            assert {parse_format(extension) for extension in known.extensions} == {known}
            assert {format_of_name("a" + extension) for extension in known.extensions} == {known}
            assert {format_of_mime(mime_type) for mime_type in known.mime_types} <= {known}
            assert {detect_format(magic + bytes(600)) for magic in known.magics} <= {known}


def test_no_two_rows_claim_the_same() -> None:
    for claims in (
        [extension for row in FORMATS for extension in row.extensions],
        [mime_type for row in FORMATS for mime_type in row.mime_types],
        [magic for row in FORMATS for magic in row.magics],
    ):
        assert len(claims) == len(set(claims))


def test_bare_compressions_are_those_of_tars() -> None:
    tars = [row.compression for row in FORMATS if row.container == "tar" and row.compression]

    assert [row.compression for row in FORMATS if row.container == "bare"] == tars


# -- names and media types -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("shard.tar", ".tar"),
        ("a/b.c/shard-000.TAR.GZ", ".tar.gz"),
        (".tgz", ".tar.gz"),
        ("x.tar.lz4", ".tar.lz4"),
        ("x.tar.zst", ".tar.zst"),
        ("x.tzst", ".tar.zst"),
        ("x.tar.bz2", ".tar.bz2"),
        ("x.tbz", ".tar.bz2"),
        ("x.TBZ2", ".tar.bz2"),
        ("x.tar.xz", ".tar.xz"),
        ("x.txz", ".tar.xz"),
        ("x.zip", ".zip"),
        ("x.gz", ".gz"),
        ("x.tar.GZ", ".tar.gz"),
        ("words.txt.lz4", ".lz4"),
        ("x.zst", ".zst"),
        ("x.bz2", ".bz2"),
        ("x.xz", ".xz"),
        ("x.gzip", None),
        ("x.tar.txt", None),
        ("tar", None),
        ("", None),
    ],
)
def test_format_of_name(name: str, found: str | None) -> None:
    row = format_of_name(name)

    assert (row and row.name) == found


@pytest.mark.parametrize(("name", "found"), [(".tar", ".tar"), (".TGZ", ".tar.gz"), (".tar.gz", ".tar.gz")])
def test_parse_format(name: str, found: str) -> None:
    assert parse_format(name).name == found


@pytest.mark.parametrize("name", ["", "tar", "x.tar", ".rar"])
def test_parse_format_lists_what_is_known(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_format(name)

    assert f"{name!r} is no known archive format; known are .tar, .tar.gz, .tgz, " in str(caught.value)


@pytest.mark.parametrize(
    ("content_type", "found"),
    [
        ("application/x-tar", ".tar"),
        ("application/gzip", ".tar.gz"),
        ("Application/GZIP ; charset=binary", ".tar.gz"),
        ("application/x-lz4", ".tar.lz4"),
        ("application/zstd;q=1", ".tar.zst"),
        ("application/x-bzip2", ".tar.bz2"),
        ("application/x-xz", ".tar.xz"),
        ("application/zip", ".zip"),
        ("text/html; charset=utf-8", None),
        ("", None),
    ],
)
def test_format_of_mime(content_type: str, found: str | None) -> None:
    row = format_of_mime(content_type)

    assert (row and row.name) == found


# -- the first bytes -----------------------------------------------------------------------------------------


def tar(tar_format: int, name: str = "member.txt") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as archive:
        member = tarfile.TarInfo(name)
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))
    return buffer.getvalue()


def v7_header() -> bytes:
    head = bytearray(tar(tarfile.USTAR_FORMAT)[:512])
    head[257:] = bytes(255)
    head[148:156] = b"        "
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def zip_of(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"hello")
    return buffer.getvalue()


SKIPPABLE = b"\x50\x2a\x4d\x18\x0c\x00\x00\x00" + b"x" * 12
LONG_SKIPPABLE = b"\x5f\x2a\x4d\x18\x00\x10\x00\x00" + b"x" * 4096
LZ4: bytes = lz4.frame.compress(b"data")
ZSTD = zstandard.compress(b"data")


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (tar(tarfile.USTAR_FORMAT), ".tar"),
        (tar(tarfile.GNU_FORMAT), ".tar"),
        (tar(tarfile.PAX_FORMAT, "ünïcode"), ".tar"),
        (v7_header(), ".tar"),
        (bytes(10_240), ".tar"),
        (gzip.compress(b"data", mtime=0), ".tar.gz"),
        (LZ4, ".tar.lz4"),
        (b"\x02\x21\x4c\x18" + bytes(20), ".tar.lz4"),
        (ZSTD, ".tar.zst"),
        (b"\x27\xb5\x2f\xfd" + bytes(20), ".tar.zst"),
        (bz2.compress(b"data", 1), ".tar.bz2"),
        (bz2.compress(b""), ".tar.bz2"),
        (lzma.compress(b"data"), ".tar.xz"),
        (lzma.compress(b"data", lzma.FORMAT_ALONE), ".tar.xz"),
        (SKIPPABLE + ZSTD, ".tar.zst"),
        (SKIPPABLE * 2 + LZ4, ".tar.lz4"),
        (LONG_SKIPPABLE + ZSTD, ".tar.zst"),
        (SKIPPABLE, ".tar.zst"),
        (SKIPPABLE[:5], ".tar.zst"),
        (zip_of("a", "b"), ".zip"),
        (zip_of(), ".zip"),
    ],
)
def test_archives_are_told_by_their_first_bytes(head: bytes, found: str) -> None:
    row = detect_format(head[:DETECT_SIZE], at_eof=len(head) < DETECT_SIZE)

    assert row is not None
    assert row.name == found


@pytest.mark.parametrize(
    ("head", "enough"),
    [
        (gzip.compress(b"data" * 500, mtime=0), 2),
        (LZ4, 4),
        (ZSTD, 4),
        (bz2.compress(b"data"), 4),
        (lzma.compress(b"data"), 6),
        (zip_of("a"), 4),
        (tar(tarfile.USTAR_FORMAT), 262),
        (v7_header(), 512),
        (bytes(512), 512),
        (SKIPPABLE + LZ4, len(SKIPPABLE) + 4),
        (LONG_SKIPPABLE, 512),
    ],
)
def test_more_bytes_are_asked_for_until_they_tell(head: bytes, enough: int) -> None:
    for size in range(enough):
        assert detect_format(head[:size]) is None
    assert detect_format(head[:enough]) is not None


HTML = b"\n<!DOCTYPE html>\n<html><head><title>404</title></head></html>"


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (HTML, "this is an HTML page, not an archive: is the URL right?"),
        (b"<HTML>" * 200, "this is an HTML page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "this is XML, not an archive"),
        (
            b'{"error": "no such bucket"}',
            """this is JSON, not an archive, and perhaps a server's message: '{"error""",
        ),
        (b'[{"a": 1}]', "this is JSON"),
        (b"404 page not found\n", "this is text, not an archive, and perhaps a server's message: '404 page"),
        (("é" * 300).encode()[: DETECT_SIZE - 1], "this is text"),
        (b"x" + ("é" * 300).encode(), "this is text"),
        (b"   \n", "this is no archive that is known"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "begins with 7f 45 4c 46 02 01 01 00"),
        (
            b"caf\xe9 au lait",
            ".tar.zst, .tar.bz2, .tar.xz, .zip, .gz, .lz4, .zst, .bz2, .xz): it begins with 63 61 66",
        ),
        (bytes(100), "begins with 00 00"),
        (b"\x1f", "begins with 1f"),
        (b"\x01" * 600, "begins with 01 01"),
    ],
)
def test_what_is_no_archive_is_named(head: bytes, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        detect_format(head[:DETECT_SIZE], at_eof=True)

    assert (caught.value.codec, caught.value.offset) == ("archive", 0)
    assert reason in caught.value.reason
    assert len(caught.value.reason) < 250


def test_what_is_no_archive_is_refused_without_an_end_as_well() -> None:
    assert detect_format(b"text" * 100) is None
    with pytest.raises(FormatError):
        detect_format(b"text" * 128)


def test_empty_input_is_truncated() -> None:
    assert detect_format(b"") is None
    with pytest.raises(TruncatedArchiveError) as caught:
        detect_format(b"", at_eof=True)
    assert (caught.value.codec, caught.value.offset) == ("archive", 0)


@given(head=st.binary(max_size=600) | st.text(max_size=600).map(str.encode))
def test_whole_heads_are_always_decided(head: bytes) -> None:
    try:
        assert detect_format(head, at_eof=True) in FORMATS
    except FormatError as error:
        assert error.reason  # noqa: PT017 - either is fine, None or another error is not


# -- compressors and decompressors ---------------------------------------------------------------------------

COMPRESSIONS: list[Compression] = ["gzip", "lz4", "zstd", "bzip2", "xz"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_one_opens_the_other_reads(compression: Compression) -> None:
    compressor = open_compressor(compression)
    assert isinstance(compressor, StreamCompressor)
    stream = compressor.feed(b"data") + compressor.finish()
    row = detect_format(stream)
    assert row is not None
    assert row.compression == compression

    decompressor = open_decompressor(compression)
    assert isinstance(decompressor, StreamDecompressor)
    decompressor.feed(stream)
    decompressor.feed_eof()
    assert b"".join(decompressor) == b"data"


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_decompressors_get_their_options(compression: Compression) -> None:
    compressor = open_compressor(compression)
    assert compressor is not None
    stream = compressor.feed(b"data") + compressor.finish() + b"garbage"
    decompressor = open_decompressor(compression, limits=Limits(max_total_size=4), strict=False)
    decompressor.feed(stream)
    assert list(decompressor) == [b"data"]

    decompressor = open_decompressor(compression, limits=Limits(max_total_size=3))
    decompressor.feed(stream)
    with pytest.raises(LimitExceededError):
        list(decompressor)


def test_nothing_is_needed_to_compress_nothing() -> None:
    assert open_compressor(None) is None


@pytest.mark.parametrize("opener", [open_compressor, open_decompressor])
def test_an_unknown_compression_is_a_mistake_of_the_caller(opener: type) -> None:
    with pytest.raises(
        UsageError, match="'brotli' is no known compression; known are gzip, lz4, zstd, bzip2, xz"
    ):
        opener("brotli")


def test_libraries_are_loaded_when_first_used() -> None:
    code = (
        "import sys\n"
        "from asyncbatch.codecs._formats import open_decompressor\n"
        "assert not {'lz4', 'zstandard'} & set(sys.modules)\n"
        "open_decompressor('lz4')\n"
        "assert 'lz4' in sys.modules and 'zstandard' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
