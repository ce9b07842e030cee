"""Compressors: what they write, others read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import shutil
import subprocess
from typing import TYPE_CHECKING

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch.codecs._bzip2 import Bzip2Compressor, Bzip2Decompressor
from asyncbatch.codecs._gzip import GzipCompressor, GzipDecompressor
from asyncbatch.codecs._lz4 import Lz4Compressor, Lz4Decompressor
from asyncbatch.codecs._xz import XzCompressor, XzDecompressor
from asyncbatch.codecs._zstd import ZstdCompressor, ZstdDecompressor
from asyncbatch.errors import FormatError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncbatch.codecs._compress import Compressor
    from asyncbatch.codecs._decompress import Decompressor


def _unzstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


every_compressor = pytest.mark.parametrize(
    ("compressor", "read"),
    [
        (GzipCompressor, gzip.decompress),
        (Lz4Compressor, lz4.frame.decompress),
        (ZstdCompressor, _unzstd),
        (Bzip2Compressor, bz2.decompress),
        (XzCompressor, lzma.decompress),
    ],
    ids=["gzip", "lz4", "zstd", "bzip2", "xz"],
)
DATA = b"".join(b"line %d of a text\n" % number for number in range(2000)) + random.Random(1).randbytes(
    400_000
)


def compress(compressor: Compressor, chunks: Iterable[bytes]) -> bytes:
    return b"".join([compressor.feed(chunk) for chunk in chunks]) + compressor.finish()


@every_compressor
@given(chunks=st.lists(st.binary(max_size=1000), max_size=5))
def test_others_read_what_was_written(
    compressor: Callable[[], Compressor], read: Callable[[bytes], bytes], chunks: list[bytes]
) -> None:
    assert read(compress(compressor(), chunks)) == b"".join(chunks)


@every_compressor
def test_views_and_large_chunks(compressor: Callable[[], Compressor], read: Callable[[bytes], bytes]) -> None:
    writer = compressor()
    stream = writer.feed(memoryview(DATA)) + writer.feed(bytearray(DATA)) + writer.finish()

    assert read(stream) == DATA * 2
    assert len(stream) < 2 * len(DATA)


@every_compressor
def test_equal_data_gives_equal_bytes(
    compressor: Callable[[], Compressor], read: Callable[[bytes], bytes]
) -> None:
    assert compress(compressor(), [DATA]) == compress(compressor(), [DATA])


@every_compressor
def test_output_comes_while_feeding(
    compressor: Callable[[], Compressor], read: Callable[[bytes], bytes]
) -> None:
    writer = compressor()
    early = b"".join([writer.feed(random.Random(seed).randbytes(100_000)) for seed in range(10)])

    assert len(early) > 500_000


@every_compressor
def test_finished_is_finished(compressor: Callable[[], Compressor], read: Callable[[bytes], bytes]) -> None:
    writer = compressor()
    assert read(writer.finish()) == b""
    with pytest.raises(UsageError):
        writer.feed(b"x")
    with pytest.raises(UsageError):
        writer.finish()


@pytest.mark.parametrize(
    ("compressor", "decompressor"),
    [
        (GzipCompressor, GzipDecompressor),
        (Lz4Compressor, Lz4Decompressor),
        (ZstdCompressor, ZstdDecompressor),
        (Bzip2Compressor, Bzip2Decompressor),
        (XzCompressor, XzDecompressor),
    ],
    ids=["gzip", "lz4", "zstd", "bzip2", "xz"],
)
def test_a_checksum_guards_the_content(
    compressor: Callable[[], Compressor], decompressor: Callable[[], Decompressor]
) -> None:
    stream = bytearray(compress(compressor(), [DATA]))
    stream[-100_000] ^= 1  # in the noise, which is stored as it is: nothing else can tell
    reader = decompressor()
    reader.feed(stream)
    with pytest.raises(FormatError):
        list(reader)


@pytest.mark.parametrize("level", range(10))
def test_gzip_levels(level: int) -> None:
    stream = compress(GzipCompressor(level=level), [DATA])

    assert gzip.decompress(stream) == DATA
    assert stream[4:8] == bytes(4)  # RFC 1952: no modification time


@pytest.mark.parametrize("level", [1, 3, 19])
def test_zstd_levels(level: int) -> None:
    assert _unzstd(compress(ZstdCompressor(level=level), [DATA])) == DATA


def test_a_higher_level_makes_less() -> None:
    numbers = random.Random(1)
    words = [b"%x " % numbers.getrandbits(40) for _ in range(500)]
    text = b"".join(numbers.choices(words, k=20_000))

    assert len(compress(GzipCompressor(level=9), [text])) < len(compress(GzipCompressor(level=1), [text]))
    assert len(compress(ZstdCompressor(level=19), [text])) < len(compress(ZstdCompressor(level=1), [text]))


@pytest.mark.parametrize("level", [1, 5, 9])
def test_bzip2_levels(level: int) -> None:
    stream = compress(Bzip2Compressor(level=level), [DATA])

    assert bz2.decompress(stream) == DATA
    assert stream.startswith(b"BZh%d" % level)


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_xz_levels(level: int) -> None:
    stream = compress(XzCompressor(level=level), [DATA])

    assert lzma.decompress(stream) == DATA
    assert stream[7] == lzma.CHECK_CRC64


@pytest.mark.parametrize("level", [0, 10])
def test_bzip2_has_no_other_levels(level: int) -> None:
    with pytest.raises(UsageError, match="1 to 9"):
        Bzip2Compressor(level=level)


@pytest.mark.parametrize("level", [-1, 10])
def test_xz_has_no_other_levels(level: int) -> None:
    with pytest.raises(UsageError, match="0 to 9"):
        XzCompressor(level=level)


@pytest.mark.parametrize("level", [-1, 10])
def test_gzip_has_no_other_levels(level: int) -> None:
    with pytest.raises(UsageError, match="0 to 9"):
        GzipCompressor(level=level)


@pytest.mark.parametrize("level", [0, -1, 23])
def test_zstd_has_no_other_levels(level: int) -> None:
    with pytest.raises(UsageError, match="1 to 22"):
        ZstdCompressor(level=level)


@pytest.mark.parametrize(
    ("compressor", "tool"),
    [
        (GzipCompressor, "gzip"),
        (Lz4Compressor, "lz4"),
        (ZstdCompressor, "zstd"),
        (Bzip2Compressor, "bzip2"),
        (XzCompressor, "xz"),
    ],
    ids=["gzip", "lz4", "zstd", "bzip2", "xz"],
)
def test_the_command_line_tools_read_what_was_written(
    compressor: Callable[[], Compressor], tool: str
) -> None:
    if (path := shutil.which(tool)) is None:
        pytest.skip(f"the command line tool {tool!r} is not installed; this test needs it")
    stream = compress(compressor(), [DATA, DATA]) + compress(compressor(), [])
    result = subprocess.run([path, "-dc"], input=stream, capture_output=True, check=True)  # noqa: S603

    assert result.stdout == DATA * 2
