"""Bare compressions: one member, named after the source; and how they are told from compressed tars."""

from __future__ import annotations

import array
import asyncio
import bz2
import gzip
import io
import lzma
import os
import random
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import asyncbatch
from asyncbatch.codecs import MemberData, MemberEnd, MemberStart, WholeMember
from asyncbatch.codecs._bare import BareDecoder, TarOrBareDecoder, bare_name
from asyncbatch.codecs._formats import parse_format
from asyncbatch.codecs._pipeline import open_decoder
from asyncbatch.errors import (
    AsyncBatchError,
    FormatError,
    LimitExceededError,
    TruncatedArchiveError,
    UsageError,
)
from asyncbatch.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncbatch.archive._sources import Source
    from asyncbatch.codecs import Decoder, Event

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".lz4": lz4.frame.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    ".bz2": bz2.compress,
    ".xz": lambda data: lzma.compress(data, preset=0),
}
every_format = pytest.mark.parametrize("extension", COMPRESS)
NOISE = random.Random(5).randbytes(300_000)
TEXT = b"words\n" * 200


def tar_of(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


TAR = tar_of(one=b"first", two=NOISE)


def chop(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def collect(events: Iterable[Event], found: list[tuple[str, bytes]]) -> None:
    for event in events:
        if isinstance(event, WholeMember):
            found.append((event.name, event.data))
        elif isinstance(event, MemberStart):
            found.append((event.name, b""))
        elif isinstance(event, MemberData):
            assert event.data
            found[-1] = (found[-1][0], found[-1][1] + bytes(event.data))


def decode(decoder: Decoder, *chunks: bytes) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for chunk in chunks:
        decoder.feed(chunk)
        collect(decoder, found)
    decoder.feed_eof()
    collect(decoder, found)
    return found


def read(source: Source, format_: str | None = None, **options: bool) -> list[tuple[str, bytes]]:
    async def members() -> list[tuple[str, bytes]]:
        async with asyncbatch.open_archive(source, format=format_, **options) as archive:  # type: ignore[arg-type]
            return [(member.name, await member.read()) async for member in archive]

    return asyncio.run(members())


# -- the decoder alone --------------------------------------------------------------------------------------


def test_all_that_comes_is_one_member() -> None:
    decoder = BareDecoder("name")
    assert list(decoder) == []
    decoder.feed(b"")
    assert list(decoder) == []
    decoder.feed(b"first")
    start, data = decoder
    assert isinstance(start, MemberStart)
    assert (start.name, start.size, start.offset, start.kind) == ("name", None, 0, "file")
    assert isinstance(data, MemberData)
    assert data.data == b"first"
    decoder.feed(memoryview(array.array("H", [1, 2])))
    decoder.feed(NOISE)
    second, third = decoder
    assert isinstance(second, MemberData)
    assert isinstance(third, MemberData)
    assert (len(second.data), third.data is NOISE) == (4, True)
    decoder.feed_eof()
    decoder.feed_eof()
    assert [type(event) for event in decoder] == [MemberEnd]
    assert list(decoder) == []
    with pytest.raises(UsageError):
        decoder.feed(b"x")


def test_nothing_is_an_empty_member() -> None:
    decoder = BareDecoder()
    decoder.feed_eof()
    (member,) = decoder

    assert isinstance(member, WholeMember)
    assert (member.name, member.size, member.data, member.offset) == ("data", 0, b"", 0)


def test_its_size_has_a_limit() -> None:
    decoder = BareDecoder("n", limits=Limits(max_member_size=10))
    decoder.feed(b"0123456789")
    decoder.feed(b"0")
    found: list[tuple[str, bytes]] = []
    with pytest.raises(LimitExceededError, match="size of 'n'") as first:
        collect(decoder, found)
    assert found == [("n", b"0123456789")]
    for call in (lambda: list(decoder), lambda: decoder.feed(b"x"), decoder.feed_eof):
        with pytest.raises(LimitExceededError) as again:
            call()
        assert again.value is first.value


@pytest.mark.parametrize(
    ("source", "member"),
    [
        ("words.txt.gz", "words.txt"),
        ("WORDS.BZ2", "WORDS"),
        ("x.xz", "x"),
        ("x.gz.zst", "x.gz"),
        ("x.tar.gz", "x.tar.gz"),
        ("x.zip", "x.zip"),
        ("dump", "dump"),
        (".gz", ".gz"),
        ("a.lz4", "a"),
    ],
)
def test_names(source: str, member: str) -> None:
    assert bare_name(source) == member


# -- compressions -------------------------------------------------------------------------------------------


@every_format
@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
@pytest.mark.parametrize("data", [b"", b"x", TEXT, NOISE[:5000]], ids=["0", "1", "text", "noise"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "detected"])
def test_any_data_in_chunks_of_any_size(extension: str, size: int, data: bytes, told: bool) -> None:  # noqa: FBT001
    archive_format = parse_format(extension) if told else None
    decoder = open_decoder(archive_format, source_name="words.txt" + extension)

    assert decode(decoder, *chop(COMPRESS[extension](data), size)) == [("words.txt", data)]


@every_format
@given(data=st.binary(max_size=2000), size=st.integers(min_value=1, max_value=700))
def test_whatever_is_no_tar_comes_out(extension: str, data: bytes, size: int) -> None:
    decoder = open_decoder(None, source_name="a" + extension)

    assert decode(decoder, *chop(COMPRESS[extension](data), size)) == [("a", data)]


@every_format
@pytest.mark.parametrize("size", [100, 1 << 20])
def test_a_tar_is_tried_first(extension: str, size: int) -> None:
    stream = COMPRESS[extension](TAR)
    for name in ("a" + extension, "a.tar" + extension, "data"):
        decoder = open_decoder(None, source_name=name)
        assert decode(decoder, *chop(stream, size)) == [("one", b"first"), ("two", NOISE)]


@every_format
def test_told_to_be_bare_a_tar_is_data(extension: str) -> None:
    assert decode(open_decoder(parse_format(extension)), COMPRESS[extension](TAR)) == [("data", TAR)]


@every_format
@pytest.mark.parametrize("strict", [True, False])
def test_every_truncation_is_told(extension: str, strict: bool) -> None:  # noqa: FBT001
    stream = COMPRESS[extension](TEXT)
    for length in range(1, len(stream)):
        decoder = open_decoder(None, source_name="a" + extension, strict=strict)
        with pytest.raises(FormatError) as caught:
            decode(decoder, stream[:length])
        if length >= 6:  # of fewer bytes nobody can say what they are
            assert isinstance(caught.value, TruncatedArchiveError)


def test_only_with_a_name_a_compression_may_be_bare() -> None:
    stream = gzip.compress(b"<html>" + b" " * 600)
    with pytest.raises(FormatError, match="tar"):
        decode(open_decoder(None), stream)


@pytest.mark.parametrize("content", [b"", TEXT, b"x"])
def test_where_the_name_says_tar_it_is_nothing_else(content: bytes) -> None:
    decoder = open_decoder(None, source_name="archive.tgz")
    with pytest.raises(FormatError, match="tar"):
        decode(decoder, gzip.compress(content))


def test_zeros_are_an_empty_tar_unless_the_name_says_otherwise() -> None:
    zeros = bytes(10_240)

    assert decode(open_decoder(None, source_name="disk.img.gz"), gzip.compress(zeros)) == [
        ("disk.img", zeros)
    ]
    assert decode(open_decoder(None, source_name="data"), gzip.compress(zeros)) == []


def test_a_chunk_behind_the_decision_goes_on() -> None:
    decoder = TarOrBareDecoder("n")
    assert list(decoder) == []
    decoder.feed(memoryview(NOISE[:300]))
    assert list(decoder) == []
    assert decode(decoder, NOISE[300:800], NOISE[800:]) == [("n", NOISE)]


def test_errors_stick() -> None:
    decoder = open_decoder(None, source_name="a.gz", limits=Limits(max_member_size=1000))
    decoder.feed(gzip.compress(NOISE))
    decoder.feed_eof()
    with pytest.raises(AsyncBatchError) as first:
        list(decoder)
    for call in (lambda: list(decoder), lambda: decoder.feed(b"x"), decoder.feed_eof):
        with pytest.raises(AsyncBatchError) as again:
            call()
        assert again.value is first.value


# -- through open_archive -----------------------------------------------------------------------------------


@every_format
@pytest.mark.parametrize("data", [b"", b"x", NOISE], ids=["0", "1", "noise"])
def test_files_are_named_without_the_extension(extension: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"words.txt{extension}"
    path.write_bytes(COMPRESS[extension](data))

    for source in (path, str(path)):
        assert read(source) == read(source, extension) == [("words.txt", data)]


@every_format
def test_sources_without_a_name(extension: str) -> None:
    stream = COMPRESS[extension](NOISE)

    assert read(stream) == read(chop(stream, 1000)) == read(stream, extension) == [("data", NOISE)]


def test_the_name_in_a_gzip_header_is_not_used() -> None:
    buffer = io.BytesIO()
    with gzip.GzipFile("../../evil", "wb", fileobj=buffer) as file:
        file.write(b"x")

    assert read(buffer.getvalue()) == [("data", b"x")]


@pytest.mark.parametrize(
    ("tool", "extension"),
    [("gzip", ".gz"), ("lz4", ".lz4"), ("zstd", ".zst"), ("bzip2", ".bz2"), ("xz", ".xz")],
)
def test_what_the_command_line_tools_write(tool: str, extension: str, tmp_path: Path) -> None:
    if (path := shutil.which(tool)) is None:
        pytest.skip(f"the command line tool {tool!r} is not installed; this test needs it")
    source = tmp_path / "noise.bin"
    source.write_bytes(NOISE)
    stream = subprocess.run([path, "-c", source], capture_output=True, check=True).stdout  # noqa: S603
    compressed = Path(os.fspath(source) + extension)
    compressed.write_bytes(stream)

    assert read(compressed) == [("noise.bin", NOISE)]


def test_it_can_be_extracted(tmp_path: Path) -> None:
    (tmp_path / "words.txt.xz").write_bytes(lzma.compress(TEXT))

    async def extract() -> None:
        async with asyncbatch.open_archive(tmp_path / "words.txt.xz") as archive:
            await archive.extract_all(tmp_path / "out")

    asyncio.run(extract())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["words.txt"]
    assert (tmp_path / "out" / "words.txt").read_bytes() == TEXT
