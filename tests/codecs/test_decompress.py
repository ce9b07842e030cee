"""Decompressors: what all formats share first, then each format's own."""

from __future__ import annotations

import array
import bz2
import gc
import gzip
import lzma
import random
import shutil
import subprocess
import weakref
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import lz4.frame
import pytest
import xxhash
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from asyncbatch.codecs import _gzip
from asyncbatch.codecs._backends import Backend, raw_decompressobj
from asyncbatch.codecs._bzip2 import Bzip2Decompressor
from asyncbatch.codecs._decompress import MAX_OUTPUT, RATIO_FREE
from asyncbatch.codecs._gzip import GzipDecompressor
from asyncbatch.codecs._lz4 import Lz4Decompressor
from asyncbatch.codecs._xz import XzDecompressor
from asyncbatch.codecs._zstd import MAX_WINDOW, ZstdDecompressor
from asyncbatch.errors import (
    AsyncBatchError,
    FormatError,
    LimitExceededError,
    TruncatedArchiveError,
    UnsupportedFormatError,
    UsageError,
)
from asyncbatch.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncbatch.codecs._decompress import StreamDecompressor

# -- what the tests use -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    name: str
    decompressor: Callable[..., StreamDecompressor]
    compress: Callable[[bytes], bytes]  # by somebody else's code, with every checksum there is

    def __repr__(self) -> str:
        return self.name


def _lz4(data: bytes) -> bytes:
    frame: bytes = lz4.frame.compress(data, content_checksum=True, block_checksum=True, store_size=True)
    return frame


GZIP = Format("gzip", GzipDecompressor, lambda data: gzip.compress(data, 6, mtime=0))
LZ4 = Format("lz4", Lz4Decompressor, _lz4)
ZSTD = Format("zstd", ZstdDecompressor, zstandard.ZstdCompressor(write_checksum=True).compress)
BZIP2 = Format("bzip2", Bzip2Decompressor, bz2.compress)
XZ = Format("xz", XzDecompressor, lambda data: lzma.compress(data, preset=1))
ALL = [GZIP, LZ4, ZSTD, BZIP2, XZ]
every_format = pytest.mark.parametrize("fmt", ALL, ids=repr)
framed_format = pytest.mark.parametrize("fmt", [LZ4, ZSTD], ids=repr)

TEXT = b"".join(b"line %d of a text that compresses\n" % number for number in range(400))
NOISE = random.Random(1).randbytes(300_000)
SKIPPABLE = b"\x5a\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"


def chop(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def run(decompressor: StreamDecompressor, chunks: Iterable[bytes]) -> tuple[bytes, AsyncBatchError | None]:
    """What comes out, and the error that ended it, if one did."""
    pieces: list[bytes] = []
    try:
        for chunk in chunks:
            decompressor.feed(chunk)
            pieces.extend(decompressor)
        decompressor.feed_eof()
    except AsyncBatchError as error:
        return b"".join(pieces), error
    finally:
        assert all(type(piece) is bytes and 0 < len(piece) <= MAX_OUTPUT for piece in pieces)
    return b"".join(pieces), None


def decompress(decompressor: StreamDecompressor, *chunks: bytes) -> bytes:
    output, error = run(decompressor, chunks)
    if error is not None:
        raise error
    return output


def fault(decompressor: StreamDecompressor, *chunks: bytes) -> tuple[bytes, FormatError]:
    output, error = run(decompressor, chunks)
    assert isinstance(error, FormatError)
    return output, error


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


# -- any input, any chunking ---------------------------------------------------------------------------------


@every_format
@given(
    parts=st.lists(st.binary(max_size=2000), min_size=1, max_size=4),
    places=st.lists(st.integers(min_value=0), max_size=20),
)
def test_frames_in_a_row_come_out_whole_however_they_were_cut(
    fmt: Format, parts: list[bytes], places: list[int]
) -> None:
    stream = b"".join(map(fmt.compress, parts))

    assert decompress(fmt.decompressor(), *cut(stream, places)) == b"".join(parts)


@every_format
@pytest.mark.parametrize("size", [1, 7, 4096, 65_536, 1 << 20])
def test_large_data_comes_out_whole_from_chunks_of_any_size(fmt: Format, size: int) -> None:
    data = (TEXT + NOISE[: 20_000 if size < 4096 else None]) * (1 if size < 4096 else 5)

    assert decompress(fmt.decompressor(), *chop(fmt.compress(data), size)) == data


@every_format
@pytest.mark.parametrize(
    "size", [0, 1, MAX_OUTPUT - 1, MAX_OUTPUT, MAX_OUTPUT + 1, 2 * MAX_OUTPUT, 5_000_000]
)
def test_data_of_every_size_around_a_step_comes_out_whole(fmt: Format, size: int) -> None:
    stream = fmt.compress(bytes(size)) + fmt.compress(b"more")

    assert decompress(fmt.decompressor(), stream) == bytes(size) + b"more"


@every_format
def test_what_can_come_out_does_so_before_the_end(fmt: Format) -> None:
    data = bytes(9_000_000)
    stream = fmt.compress(data)[: -4 if fmt is ZSTD else -8]  # all but the trailer
    decompressor = fmt.decompressor()
    decompressor.feed(stream)

    assert b"".join(decompressor) == data


def test_gzip_what_can_come_out_does_so_wherever_a_chunk_ends() -> None:
    stream = gzip.compress(bytes(600_000), 6, mtime=0)
    for length in range(200, len(stream) - 8):
        decompressor = GzipDecompressor()
        decompressor.feed(stream[:length])
        whole = raw_decompressobj().decompress(stream[10:length], 1 << 20)
        assert b"".join(decompressor) == whole, length


@every_format
def test_thousands_of_tiny_frames(fmt: Format) -> None:
    parts = [b"%d" % number for number in range(3000)]

    assert decompress(fmt.decompressor(), b"".join(map(fmt.compress, parts))) == b"".join(parts)


@every_format
def test_a_chunk_is_let_go_of_when_the_loop_ends(fmt: Format) -> None:
    decompressor = fmt.decompressor()
    stream = fmt.compress(TEXT)
    output = b""
    buffer = bytearray()
    for chunk in chop(stream, 100):
        buffer[:] = chunk
        decompressor.feed(memoryview(buffer))
        output += b"".join(decompressor)
        buffer.clear()  # raises BufferError if anything still looks at it
    decompressor.feed_eof()

    assert output == TEXT


@every_format
def test_a_view_of_items_larger_than_a_byte_is_read_as_bytes(fmt: Format) -> None:
    stream = fmt.compress(b"abcd" * 100)
    whole = len(stream) // 4 * 4
    words = array.array("I", stream[:whole])
    decompressor = fmt.decompressor()
    decompressor.feed(memoryview(words))
    output = b"".join(decompressor)

    assert output + decompress(decompressor, stream[whole:]) == b"abcd" * 100


@every_format
def test_a_dropped_decompressor_is_freed_at_once(fmt: Format) -> None:
    decompressor = fmt.decompressor()
    decompressor.feed(fmt.compress(NOISE)[:-8])
    next(iter(decompressor))
    gc.disable()
    try:
        reference = weakref.ref(decompressor)
        del decompressor
        assert reference() is None
    finally:
        gc.enable()


# -- the protocol: loops left early, pending output, the end -------------------------------------------------


@every_format
def test_a_loop_left_early_is_continued_by_the_next(fmt: Format) -> None:
    decompressor = fmt.decompressor()
    decompressor.feed(fmt.compress(NOISE * 3))
    output = b""
    steps = 0
    while piece := next(iter(decompressor), b""):
        output += piece
        steps += 1
    decompressor.feed_eof()

    assert output == NOISE * 3
    assert steps > 3


@every_format
def test_feeding_while_output_is_pending_loses_nothing(fmt: Format) -> None:
    decompressor = fmt.decompressor()
    output = b""
    for chunk in chop(fmt.compress(NOISE * 3), 100_000):
        decompressor.feed(chunk)
        output += next(iter(decompressor), b"")
    decompressor.feed_eof()
    output += b"".join(decompressor)

    assert output == NOISE * 3


@every_format
def test_the_end_is_judged_behind_pending_output(fmt: Format) -> None:
    decompressor = fmt.decompressor()
    stream = fmt.compress(TEXT)
    decompressor.feed(stream[:-1])
    decompressor.feed_eof()  # says nothing yet: there is output to come
    pieces: list[bytes] = []
    with pytest.raises(TruncatedArchiveError) as caught:
        pieces.extend(decompressor)

    assert caught.value.offset == len(stream) - 1
    assert TEXT.startswith(b"".join(pieces))


@every_format
def test_pending_output_behind_the_end_is_not_lost(fmt: Format) -> None:
    decompressor = fmt.decompressor()
    decompressor.feed(fmt.compress(TEXT))
    decompressor.feed_eof()
    decompressor.feed_eof()

    assert b"".join(decompressor) == TEXT
    assert list(decompressor) == []


@every_format
def test_feeding_behind_the_end_is_a_mistake_of_the_caller(fmt: Format) -> None:
    decompressor = fmt.decompressor()
    decompressor.feed(fmt.compress(b""))
    assert list(decompressor) == []
    decompressor.feed_eof()
    decompressor.feed_eof()
    with pytest.raises(UsageError):
        decompressor.feed(b"x")


@every_format
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("chunks", [[], [b""], [b"", b""]])
def test_empty_input_is_truncated_in_strict_and_not_strict(
    fmt: Format,
    strict: bool,  # noqa: FBT001
    chunks: list[bytes],
) -> None:
    output, error = fault(fmt.decompressor(strict=strict), *chunks)

    assert output == b""
    assert isinstance(error, TruncatedArchiveError)
    assert (error.codec, error.offset) == (fmt.name, 0)


@every_format
def test_errors_stick(fmt: Format) -> None:
    decompressor = fmt.decompressor()
    decompressor.feed(b"this is no such thing" + bytes(1000))
    with pytest.raises(FormatError) as first:
        list(decompressor)
    for call in (lambda: list(decompressor), lambda: decompressor.feed(b"x"), decompressor.feed_eof):
        with pytest.raises(FormatError) as again:
            call()
        assert again.value is first.value


@every_format
def test_a_repeated_error_does_not_grow(fmt: Format) -> None:
    decompressor = fmt.decompressor()
    depths = []
    for _ in range(3):
        with pytest.raises(FormatError) as caught:
            decompressor.feed_eof()
        depths.append(len(caught.traceback))

    assert depths[1] == depths[2]


@every_format
def test_what_was_queued_is_let_go_of_on_an_error(fmt: Format) -> None:
    decompressor = fmt.decompressor()
    queued = bytearray(b"more of it")
    decompressor.feed(b"this is no such thing")
    decompressor.feed(queued)
    with pytest.raises(FormatError):
        list(decompressor)

    queued.clear()  # raises BufferError if anything still looks at it


@every_format
def test_an_error_at_the_end_sticks(fmt: Format) -> None:
    decompressor = fmt.decompressor()
    with pytest.raises(TruncatedArchiveError) as first:
        decompressor.feed_eof()
    with pytest.raises(TruncatedArchiveError) as again:
        list(decompressor)
    assert again.value is first.value


# -- damage --------------------------------------------------------------------------------------------------


@every_format
def test_every_truncation_is_told_and_yields_a_prefix(fmt: Format) -> None:
    first, second = fmt.compress(TEXT[:3000]), fmt.compress(TEXT[:100])
    stream = first + second
    for length in range(1, len(stream)):
        output, error = run(fmt.decompressor(), chop(stream[:length], 50))
        if length == len(first):
            assert (output, error) == (TEXT[:3000], None)
        else:
            assert isinstance(error, TruncatedArchiveError), length
            assert (error.codec, error.offset) == (fmt.name, length)
            assert (TEXT[:3000] + TEXT[:100]).startswith(output)


@every_format
def test_a_flipped_bit_is_an_error_or_changes_nothing(fmt: Format) -> None:
    data = TEXT[:120]
    stream = fmt.compress(data)
    errors = 0
    for position in range(len(stream)):
        for bit in range(8):
            damaged = bytearray(stream)
            damaged[position] ^= 1 << bit
            output, error = run(fmt.decompressor(), [bytes(damaged)])
            assert error is not None or output == data, (position, bit)
            assert error is None or isinstance(error, FormatError)
            errors += error is not None
    assert errors > 8 * len(stream) * 0.5  # most bits do mean something


@every_format
@given(tail=st.binary(max_size=300), places=st.lists(st.integers(min_value=0), max_size=5))
def test_nonsense_raises_format_errors_and_nothing_else(fmt: Format, tail: bytes, places: list[int]) -> None:
    stream = fmt.compress(b"")[:4] + tail
    first, error = run(fmt.decompressor(), cut(stream, places))
    second, same = run(fmt.decompressor(), [stream])

    assert error is None or isinstance(error, FormatError)
    assert type(error) is type(same)
    if fmt is GZIP:  # how much deflate data comes out before a fault in it depends on the chunks
        assert first.startswith(second) or second.startswith(first)
    else:
        assert first == second


@every_format
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("head", [b"<!DOCTYPE html>", b"PK\x03\x04", bytes(100), b"\x00", b"\x1f\x8a", b"("])
def test_other_bytes_are_refused_at_the_first(fmt: Format, strict: bool, head: bytes) -> None:  # noqa: FBT001
    output, error = fault(fmt.decompressor(strict=strict), head)

    assert (output, error.codec) == (b"", fmt.name)
    if isinstance(error, TruncatedArchiveError):
        assert fmt.compress(b"").startswith(head)
    else:
        assert error.offset == 0
        assert error.reason.startswith(f"this is not {fmt.name}: it begins with {head[:2].hex(' ')}")


GARBAGE = [b"x", b"garbage", b"x" * 1_000_000, b"\x00\x00x"]


@every_format
@pytest.mark.parametrize("garbage", GARBAGE, ids=["1", "7", "1M", "zeros"])
def test_trailing_garbage_is_an_error_behind_all_output(fmt: Format, garbage: bytes) -> None:
    stream = fmt.compress(TEXT)
    output, error = fault(fmt.decompressor(), stream + garbage)

    assert output == TEXT
    assert type(error) is FormatError
    zeros = garbage.startswith(b"\0")
    assert error.offset == len(stream) + (2 if fmt is not XZ and zeros else 0)
    assert ("stream padding" if fmt is XZ and zeros else "trailing garbage") in error.reason


@every_format
@pytest.mark.parametrize("garbage", GARBAGE, ids=["1", "7", "1M", "zeros"])
def test_not_strict_ignores_trailing_garbage(fmt: Format, garbage: bytes) -> None:
    decompressor = fmt.decompressor(strict=False)

    assert decompress(decompressor, *chop(fmt.compress(TEXT) + garbage, 5000)) == TEXT


@every_format
@pytest.mark.parametrize("strict", [True, False])
def test_a_frame_that_was_cut_in_its_magic_number_is_truncated_not_garbage(fmt: Format, strict: bool) -> None:  # noqa: FBT001
    stream = fmt.compress(TEXT)
    output, error = fault(fmt.decompressor(strict=strict), stream + stream[:1])

    assert output == TEXT
    assert isinstance(error, TruncatedArchiveError)


@every_format
def test_damage_in_a_later_frame_does_not_cost_the_frames_before(fmt: Format) -> None:
    good = fmt.compress(TEXT)
    damaged = bytearray(fmt.compress(NOISE[:1000]))
    damaged[-2] ^= 1  # the last bits of bzip2 are padding
    output, error = fault(fmt.decompressor(), good + bytes(damaged))

    assert output.startswith(TEXT)
    assert error.offset >= len(good)


@pytest.mark.parametrize("fmt", [GZIP, LZ4, ZSTD], ids=repr)  # others verify in the step of the last bytes
def test_a_wrong_checksum_is_told_behind_the_output(fmt: Format) -> None:
    stream = bytearray(fmt.compress(TEXT))
    place = len(stream) - (8 if fmt is GZIP else 4)
    stream[place] ^= 0x40
    output, error = fault(fmt.decompressor(), bytes(stream))

    assert output == TEXT
    assert type(error) is FormatError
    assert error.offset == place


# -- limits --------------------------------------------------------------------------------------------------


@every_format
def test_a_bomb_costs_one_step_at_a_time(fmt: Format) -> None:
    stream = fmt.compress(bytes(50_000_000))
    decompressor = fmt.decompressor(limits=Limits(max_total_size=1_000_000))
    output, error = run(decompressor, [stream])

    assert isinstance(error, LimitExceededError)
    assert (error.limit, error.maximum) == ("max_total_size", 1_000_000)
    assert 1_000_000 - MAX_OUTPUT <= len(output) <= 1_000_000
    with pytest.raises(LimitExceededError) as again:
        decompressor.feed(b"x")
    assert again.value is error


@every_format
def test_output_of_just_the_limit_is_accepted(fmt: Format) -> None:
    stream = fmt.compress(bytes(1_000_000))

    assert len(decompress(fmt.decompressor(limits=Limits(max_total_size=1_000_000)), stream)) == 1_000_000


@every_format
def test_the_ratio_is_enforced_once_64_mib_came_out(fmt: Format) -> None:
    stream = fmt.compress(bytes(8_000_000)) * 10
    decompressor = fmt.decompressor(limits=Limits(max_ratio=20))
    output, error = run(decompressor, chop(stream, 65_536))

    assert isinstance(error, LimitExceededError)
    assert error.limit == "max_ratio"
    assert error.value > 20
    assert RATIO_FREE - MAX_OUTPUT <= len(output) < RATIO_FREE


@every_format
def test_a_low_ratio_passes(fmt: Format) -> None:
    stream = fmt.compress(bytes(7_000_000) + random.Random(2).randbytes(500_000)) * 9

    assert len(decompress(fmt.decompressor(limits=Limits(max_ratio=20)), stream)) > RATIO_FREE


# -- gzip ----------------------------------------------------------------------------------------------------


def gzip_member(flags: int, extra: bytes, data: bytes = b"data") -> bytes:
    compress = zlib.compressobj(wbits=-15)
    head = bytes((0x1F, 0x8B, 8, flags, 0, 0, 0, 0, 0, 255)) + extra
    trailer = zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")
    return head + compress.compress(data) + compress.flush() + trailer


def gzip_header(flags: int, extra: bytes) -> bytes:
    return bytes((0x1F, 0x8B, 8, flags, 0, 0, 0, 0, 0, 255)) + extra


def crc16(header: bytes) -> bytes:
    return (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")


ALL_FIELDS = b"\x03\x00abc" + b"name\0" + b"comment\0"


@pytest.mark.parametrize(
    ("flags", "extra"),
    [
        (0x01, b""),  # FTEXT means nothing here
        (0x04, b"\x00\x00"),
        (0x04, b"\x03\x00abc"),
        (0x08, b"name.txt\0"),
        (0x08, b"n" * 10_000 + b"\0"),
        (0x10, b"\0"),
        (0x02, crc16(gzip_header(0x02, b""))),
        (0x1E, ALL_FIELDS + crc16(gzip_header(0x1E, ALL_FIELDS))),
    ],
)
@pytest.mark.parametrize("size", [1, 100_000])
def test_gzip_header_fields_are_skipped(flags: int, extra: bytes, size: int) -> None:
    assert decompress(GzipDecompressor(), *chop(gzip_member(flags, extra), size)) == b"data"


@pytest.mark.parametrize(
    ("stream", "offset", "reason"),
    [
        (b"\x1f\x8b\x07" + bytes(20), 2, "compression method 7"),
        (gzip_member(0x20, b""), 3, "reserved"),
        (gzip_member(0x1E, ALL_FIELDS + b"\x12\x34"), 10 + len(ALL_FIELDS), "checksum of a gzip header"),
    ],
)
def test_gzip_header_faults(stream: bytes, offset: int, reason: str) -> None:
    output, error = fault(GzipDecompressor(), stream)

    assert output == b""
    assert error.offset == offset
    assert reason in error.reason


def test_gzip_length_is_verified() -> None:
    stream = bytearray(gzip_member(0, b""))
    stream[-1] ^= 1
    output, error = fault(GzipDecompressor(), bytes(stream))

    assert output == b"data"
    assert error.offset == len(stream) - 4
    assert "length" in error.reason


def test_gzip_damaged_deflate_data_chains_the_cause() -> None:
    output, error = fault(GzipDecompressor(), gzip_header(0, b"") + b"\xff" * 50)

    assert (output, error.offset) == (b"", 10)
    assert error.__cause__ is not None


@every_format
def test_zeros_behind_the_end_are_padding(fmt: Format) -> None:
    stream = fmt.compress(TEXT) + bytes(300_000)

    assert decompress(fmt.decompressor(), stream) == TEXT
    assert decompress(fmt.decompressor(), *chop(stream, 1000)) == TEXT


def test_gzip_a_member_behind_padding_is_garbage() -> None:
    member = gzip_member(0, b"")
    output, error = fault(GzipDecompressor(), member + bytes(10) + member)

    assert output == b"data"
    assert error.offset == len(member) + 10


@given(
    data=st.binary(max_size=3000),
    repeat=st.sampled_from([1, 1, 1, 500]),
    places=st.lists(st.integers(min_value=0), max_size=10),
)
@example(data=bytes(1), repeat=MAX_OUTPUT + 1, places=[])
def test_gzip_is_the_same_with_every_backend(data: bytes, repeat: int, places: list[int]) -> None:
    stream = gzip.compress(data * repeat, 6, mtime=0) * 2
    damaged = bytearray(stream)
    damaged[len(stream) // 3] ^= 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_gzip, "raw_decompressobj", lambda: raw_decompressobj(Backend("zlib", zlib, 9)))
        patch.setattr(_gzip, "crc32", zlib.crc32)
        patch.setattr(_gzip, "inflate_error", zlib.error)
        assert decompress(GzipDecompressor(), *cut(stream, places)) == data * repeat * 2
        _, with_zlib = run(GzipDecompressor(), [bytes(damaged)])
    _, with_default = run(GzipDecompressor(), [bytes(damaged)])

    assert (with_zlib is None) == (with_default is None)


# -- skippable frames ----------------------------------------------------------------------------------------


@framed_format
@pytest.mark.parametrize("size", [1, 1000])
def test_skippable_frames_are_skipped_wherever_they_stand(fmt: Format, size: int) -> None:
    stream = SKIPPABLE + fmt.compress(b"one") + SKIPPABLE * 2 + fmt.compress(b"two") + SKIPPABLE

    assert decompress(fmt.decompressor(), *chop(stream, size)) == b"onetwo"


@framed_format
@pytest.mark.parametrize("number", range(16))
def test_skippable_frames_alone_hold_nothing_and_are_whole(fmt: Format, number: int) -> None:
    empty = bytes((0x50 + number, 0x2A, 0x4D, 0x18)) + bytes(4)

    assert decompress(fmt.decompressor(), empty) == b""


@framed_format
def test_a_skippable_frame_can_be_truncated(fmt: Format) -> None:
    for length in range(1, len(SKIPPABLE)):
        _, error = fault(fmt.decompressor(), SKIPPABLE[:length])
        assert isinstance(error, TruncatedArchiveError)
        assert error.offset == length


# -- lz4 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_size", [4, 5, 6, 7])
@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("checks", [True, False])
def test_lz4_frames_of_every_kind(block_size: int, linked: bool, checks: bool) -> None:  # noqa: FBT001
    data = bytes(5_000_000) + NOISE
    stream = lz4.frame.compress(
        data, block_size=block_size, block_linked=linked, content_checksum=checks, block_checksum=checks
    )

    assert decompress(Lz4Decompressor(), *chop(stream, 40_000)) == data


def test_lz4_all_of_a_large_block_comes_out_before_the_next() -> None:
    stream = lz4.frame.compress(bytes(3_000_000), block_size=7, content_checksum=True)
    decompressor = Lz4Decompressor()
    decompressor.feed(stream[:-8])  # all but the end mark and the checksum

    assert b"".join(decompressor) == bytes(3_000_000)


def lz4_header(flags: int, descriptor: int = 0x40, fields: bytes = b"") -> bytes:
    rest = bytes((flags, descriptor)) + fields
    return b"\x04\x22\x4d\x18" + rest + bytes((xxhash.xxh32_intdigest(rest) >> 8 & 0xFF,))


def test_lz4_an_empty_uncompressed_block_is_no_end_mark() -> None:
    stream = lz4_header(0x60) + b"\x00\x00\x00\x80" + b"\x03\x00\x00\x80abc" + bytes(4)

    assert decompress(Lz4Decompressor(), stream) == b"abc"


def test_lz4_dictionaries_are_unsupported() -> None:
    _, error = fault(Lz4Decompressor(), lz4_header(0x61, fields=b"\1\2\3\4") + bytes(4))

    assert isinstance(error, UnsupportedFormatError)
    assert (error.codec, error.offset) == ("lz4", 0)
    assert "dictionary" in error.reason


@pytest.mark.parametrize("strict", [True, False])
def test_lz4_legacy_frames_are_unsupported(strict: bool) -> None:  # noqa: FBT001
    good = LZ4.compress(b"data")
    output, error = fault(Lz4Decompressor(strict=strict), good + b"\x02\x21\x4c\x18" + bytes(20))

    assert output == b"data"
    assert isinstance(error, UnsupportedFormatError)
    assert error.offset == len(good)
    assert "legacy" in error.reason


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (lz4_header(0x20), "headerVersion_wrong"),
        (lz4_header(0x62), "reservedFlag_set"),
        (lz4_header(0x60, 0x30), "maxBlockSize_invalid"),
        (lz4_header(0x60)[:-1] + b"\0", "headerChecksum_invalid"),
    ],
)
def test_lz4_header_faults(header: bytes, reason: str) -> None:
    output, error = fault(Lz4Decompressor(), header + bytes(20))

    assert (output, error.offset) == (b"", 0)
    assert reason in error.reason
    assert isinstance(error.__cause__, RuntimeError)


def test_lz4_content_size_is_verified() -> None:
    stream = lz4_header(0x68, fields=(9).to_bytes(8, "little")) + b"\x03\x00\x00\x80abc" + bytes(4)
    output, error = fault(Lz4Decompressor(), stream)

    assert output == b"abc"
    assert (error.offset, error.reason) == (len(stream) - 4, "damaged LZ4 data (frameSize_wrong)")


@pytest.mark.parametrize("size", [65_537, 4 << 20, (4 << 20) + 1, 0x7FFF_FFFF])
def test_lz4_blocks_larger_than_their_frame_allows(size: int) -> None:
    head = lz4_header(0x60)
    output, error = fault(Lz4Decompressor(), head + size.to_bytes(4, "little") + bytes(100))

    assert (output, error.offset) == (b"", len(head))
    assert not isinstance(error, TruncatedArchiveError)


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_lz4_damage_is_told_by_the_block_and_costs_no_other(size: int) -> None:
    head, good = lz4_header(0x60), b"\x03\x00\x00\x80abc"
    bad = b"\x05\x00\x00\x00\xff\xff\xff\xff\xff"
    output, error = fault(Lz4Decompressor(), *chop(head + good + bad + good + bytes(4), size))

    assert (output, error.offset) == (b"abc", len(head) + len(good))


# -- zstd ----------------------------------------------------------------------------------------------------

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def zstd_block(kind: int, size: int, content: bytes, *, last: bool = False) -> bytes:
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + content


def zstd_single_segment(content_size: bytes) -> bytes:
    """The head of a frame without a window descriptor."""
    code = {1: 0, 2: 1, 4: 2, 8: 3}[len(content_size)]
    return ZSTD_MAGIC + bytes((code << 6 | 0x20,)) + content_size


WINDOW_1M = b"\x00\x50"  # descriptor without flags, window of 1 MiB


def test_zstd_blocks_of_every_type() -> None:
    compressed = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)
    stream = ZSTD_MAGIC + WINDOW_1M
    stream += zstd_block(0, 3, b"abc") + zstd_block(1, 131_072, b"z") + zstd_block(0, 0, b"")
    stream += zstd_block(0, 1, b"d", last=True)

    assert (
        decompress(ZstdDecompressor(), *chop(stream + compressed, 3)) == b"abc" + b"z" * 131_072 + b"d" + TEXT
    )


@pytest.mark.parametrize(
    ("field", "size"),
    [(b"\x05", 5), (b"\x2c\x01", 556), (b"\x05\0\0\0", 5), (b"\x05" + bytes(7), 5), (b"\0", 0)],
)
def test_zstd_content_size_fields_of_every_length(field: bytes, size: int) -> None:
    stream = zstd_single_segment(field) + zstd_block(0, size, b"x" * size, last=True)

    assert decompress(ZstdDecompressor(), stream) == b"x" * size


def test_zstd_content_size_is_verified() -> None:
    head = zstd_single_segment(b"\x09")
    output, error = fault(ZstdDecompressor(), head + zstd_block(0, 5, b"hello", last=True))

    assert error.offset == len(head)
    assert b"hello".startswith(output)
    assert isinstance(error.__cause__, zstandard.ZstdError)


@pytest.mark.parametrize(
    "head", [ZSTD_MAGIC + b"\x01\x50\x07", ZSTD_MAGIC + b"\x02\x50\x07\0", ZSTD_MAGIC + b"\x23\0\0\0\x07\0"]
)
def test_zstd_dictionaries_are_unsupported(head: bytes) -> None:
    good = ZSTD.compress(b"data")
    output, error = fault(ZstdDecompressor(), good + head + bytes(20))

    assert output == b"data"
    assert isinstance(error, UnsupportedFormatError)
    assert (error.codec, error.offset) == ("zstd", len(good))
    assert "dictionary" in error.reason


def test_zstd_a_dictionary_of_number_0_is_none() -> None:
    stream = ZSTD_MAGIC + b"\x01\x50\x00" + zstd_block(0, 3, b"abc", last=True)

    assert decompress(ZstdDecompressor(), stream) == b"abc"


@pytest.mark.parametrize("low", range(0x22, 0x28))
def test_zstd_legacy_frames_are_unsupported(low: int) -> None:
    _, error = fault(ZstdDecompressor(), bytes((low, 0xB5, 0x2F, 0xFD)) + bytes(20))

    assert isinstance(error, UnsupportedFormatError)
    assert error.offset == 0


def test_zstd_a_window_of_the_bound_is_accepted_and_a_larger_one_is_not() -> None:
    exponent = MAX_WINDOW.bit_length() - 1 - 10
    block = zstd_block(0, 3, b"abc", last=True)
    bound, larger = (ZSTD_MAGIC + bytes((0, exponent << 3 | mantissa)) + block for mantissa in (0, 1))

    assert decompress(ZstdDecompressor(), bound) == b"abc"
    _, error = fault(ZstdDecompressor(), larger)
    assert isinstance(error, UnsupportedFormatError)
    assert f"window of {MAX_WINDOW + MAX_WINDOW // 8} bytes" in error.reason


def test_zstd_a_single_segment_is_its_own_window() -> None:
    head = zstd_single_segment((MAX_WINDOW + 1).to_bytes(4, "little"))
    _, error = fault(ZstdDecompressor(), head + zstd_block(1, 100, b"x"))

    assert isinstance(error, UnsupportedFormatError)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (zstd_block(3, 1, b"x"), "type 3"),
        (zstd_block(0, 131_073, bytes(131_073)), "131073 bytes"),
        (zstd_block(1, 131_073, b"x"), "131073 bytes"),
        (zstd_block(2, 20, b"\xff" * 20), "damaged"),
    ],
)
def test_zstd_damage_is_told_by_the_block_and_costs_no_other(block: bytes, reason: str) -> None:
    head = ZSTD_MAGIC + WINDOW_1M + zstd_block(0, 3, b"abc")
    output, error = fault(ZstdDecompressor(), head + block + zstd_block(0, 3, b"abc", last=True))

    assert (output, error.offset) == (b"abc", len(head))
    assert reason in error.reason


def test_zstd_a_reserved_bit_of_the_header() -> None:
    _, error = fault(ZstdDecompressor(), ZSTD_MAGIC + b"\x08\x50" + bytes(20))

    assert error.offset == 4
    assert "reserved" in error.reason


def test_zstd_a_block_larger_than_the_window() -> None:
    head = ZSTD_MAGIC + b"\x00\x00"  # a window of 1 KiB
    _, error = fault(ZstdDecompressor(), head + zstd_block(1, 1025, b"x"))

    assert (error.offset, error.reason) == (len(head), "a zstd block of type 1 and 1025 bytes")


# -- bzip2 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1, 2, 9])
def test_bzip2_blocks_of_every_size(level: int) -> None:
    data = NOISE * 4
    stream = bz2.compress(data, level) + bz2.compress(b"", level)

    assert decompress(Bzip2Decompressor(), *chop(stream, 50_000)) == data


@pytest.mark.parametrize("head", [b"BZh0", b"BZh:", b"BZ0x", b"BZHx"])
def test_bzip2_has_no_other_levels(head: bytes) -> None:
    _, error = fault(Bzip2Decompressor(), head + bz2.compress(TEXT)[4:])

    assert error.reason.startswith("this is not bzip2")


def test_bzip2_damage_costs_its_step_alone_and_chains_the_cause() -> None:
    stream = bytearray(bz2.compress(NOISE * 4))  # blocks of 900 kB
    stream[-100_000] ^= 1
    output, error = fault(Bzip2Decompressor(), bytes(stream))

    assert output[:800_000] == (NOISE * 4)[:800_000]  # of the first block, whose checksum is right
    assert error.reason == "damaged bzip2 data (Invalid data stream)"
    assert isinstance(error.__cause__, OSError)


def test_bzip2_the_checksum_of_the_stream_is_verified() -> None:
    stream = bytearray(bz2.compress(b""))
    stream[-1] ^= 1
    _, error = fault(Bzip2Decompressor(), bytes(stream))

    assert error.offset == 4


# -- xz ------------------------------------------------------------------------------------------------------


def xz_header(check: int) -> bytes:
    flags = bytes((0, check))
    return b"\xfd7zXZ\0" + flags + zlib.crc32(flags).to_bytes(4, "little")


@pytest.mark.parametrize(
    "check", [lzma.CHECK_NONE, lzma.CHECK_CRC32, lzma.CHECK_CRC64, lzma.CHECK_SHA256], ids=str
)
def test_xz_checksums_of_every_kind(check: int) -> None:
    stream = lzma.compress(NOISE, check=check, preset=0)
    assert decompress(XzDecompressor(), stream) == NOISE

    damaged = bytearray(stream)
    damaged[150_000] ^= 1
    _, error = run(XzDecompressor(), [bytes(damaged)])
    assert (error is None) == (check == lzma.CHECK_NONE)
    assert error is None or error.args[0].startswith("xz: damaged xz data (Corrupt input data) at byte ")


@pytest.mark.parametrize("check", [2, 7, 15])
def test_xz_checksums_that_the_library_would_ignore_are_unsupported(check: int) -> None:
    good = XZ.compress(b"data")
    output, error = fault(XzDecompressor(), good + xz_header(check) + bytes(100))

    assert output == b"data"
    assert isinstance(error, UnsupportedFormatError)
    assert (error.offset, error.reason) == (
        len(good),
        f"an xz stream with a checksum of type {check} is not supported",
    )


def test_xz_options_of_the_future_are_unsupported() -> None:
    flags = b"\1\4"
    head = b"\xfd7zXZ\0" + flags + zlib.crc32(flags).to_bytes(4, "little")
    _, error = fault(XzDecompressor(), head + XZ.compress(b"data")[12:])

    assert isinstance(error, UnsupportedFormatError)
    assert error.offset == 0


@pytest.mark.parametrize(
    ("head", "offset", "reason"),
    [
        (b"\xfd7zXZ\1" + bytes(6), 0, "this is not xz: it begins with fd 37 7a 58 5a 01"),
        (xz_header(4)[:-1] + b"\0", 8, "the checksum of an xz stream header does not match"),
        (xz_header(4) + b"\xff" * 20, 0, None),
    ],
)
def test_xz_header_faults(head: bytes, offset: int, reason: str | None) -> None:
    output, error = fault(XzDecompressor(), head + bytes(2000))

    assert output == b""
    assert type(error) is FormatError
    assert error.reason == reason or reason is None
    assert error.offset == offset or reason is None


def test_xz_a_dictionary_is_bounded_before_it_is_allocated() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 128 << 20}]
    assert decompress(XzDecompressor(), lzma.compress(b"data", filters=filters)) == b"data"

    filters[0]["dict_size"] = 1536 << 20
    good = XZ.compress(b"good")
    block = bytearray(XZ.compress(b"data")[12:])  # a block header states the size in its properties
    block[4] = 40  # 4 GiB
    block[8:12] = zlib.crc32(block[:8]).to_bytes(4, "little")
    output, error = fault(XzDecompressor(), good + xz_header(4) + bytes(block))
    assert output == b"good"
    assert isinstance(error, UnsupportedFormatError)
    assert (error.offset, error.reason) == (
        len(good),
        f"an xz stream that takes more than {129 << 20} bytes to decode is not supported",
    )


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("padding", [4, 8, 10_000])
def test_xz_padding_stands_between_and_behind_streams(padding: int, size: int) -> None:
    stream = XZ.compress(b"one") + bytes(padding) + XZ.compress(b"two") + bytes(padding)

    assert decompress(XzDecompressor(), *chop(stream, size)) == b"onetwo"


@pytest.mark.parametrize("padding", [1, 2, 3, 5, 4097])
def test_xz_padding_comes_in_fours(padding: int) -> None:
    first, second = XZ.compress(b"one"), XZ.compress(b"two")
    stream = first + bytes(padding)
    output, error = fault(XzDecompressor(), stream + second)
    assert (output, type(error), error.offset) == (b"one", FormatError, len(first))
    assert "comes in fours" in error.reason

    output, error = fault(XzDecompressor(), stream)
    assert (output, type(error), error.offset) == (b"one", TruncatedArchiveError, len(stream))

    assert decompress(XzDecompressor(strict=False), stream + second) == b"onetwo"
    assert decompress(XzDecompressor(strict=False), stream) == b"one"


def test_xz_padding_does_not_come_first() -> None:
    _, error = fault(XzDecompressor(), bytes(4) + XZ.compress(b"one"))

    assert error.reason.startswith("this is not xz")


@pytest.mark.parametrize("dictionary", [1 << 16, 3 << 19, 1 << 23, 1 << 26])
def test_xz_the_legacy_format_is_refused_by_name(dictionary: int) -> None:
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 0, "dict_size": dictionary}]
    stream = lzma.compress(TEXT, lzma.FORMAT_ALONE, filters=filters)
    _, error = fault(XzDecompressor(), *chop(stream, 2))

    assert isinstance(error, UnsupportedFormatError)
    assert (error.offset, ".lzma" in error.reason) == (0, True)


def test_xz_every_part_of_a_stream_is_verified() -> None:
    stream = lzma.compress(b"data")
    for place in range(len(stream)):
        damaged = bytearray(stream)
        damaged[place] ^= 0xFF
        _, error = run(XzDecompressor(), [bytes(damaged)])
        assert isinstance(error, FormatError), place


# -- what other tools write ----------------------------------------------------------------------------------


def tool(command: str, data: bytes) -> bytes:
    name, *options = command.split()
    if (path := shutil.which(name)) is None:
        pytest.skip(f"the command line tool {name!r} is not installed; this test needs it")
    return subprocess.run([path, *options], input=data, capture_output=True, check=True).stdout  # noqa: S603


@pytest.mark.parametrize(
    ("fmt", "command"),
    [
        (GZIP, "gzip -1"),
        (GZIP, "gzip -9 --rsyncable"),
        (LZ4, "lz4 -1"),
        (LZ4, "lz4 -9 -B4 -BD -BX"),
        (LZ4, "lz4 -B7 --no-frame-crc"),
        (LZ4, "lz4 --fast=5 -B5"),
        (ZSTD, "zstd -1"),
        (ZSTD, "zstd -19 --long=27"),
        (ZSTD, "zstd -3 --no-check -T2"),
        (ZSTD, "zstd --fast=10"),
        (BZIP2, "bzip2 -1"),
        (BZIP2, "bzip2 -9"),
        (XZ, "xz -0 --check=none"),
        (XZ, "xz -1 --check=crc32"),
        (XZ, "xz -3 --check=sha256 -T2 --block-size=200000"),
        (XZ, "xz -9"),
        (XZ, "xz -1 --x86 --lzma2=preset=1"),
        (XZ, "xz -1 --delta=dist=4 --lzma2=dict=128MiB"),
    ],
    ids=str,
)
def test_what_the_command_line_tools_write(fmt: Format, command: str) -> None:
    data = TEXT + NOISE + bytes(1_000_000)
    stream = tool(command, data) + tool(command, b"") + tool(command, TEXT)

    assert decompress(fmt.decompressor(), *chop(stream, 50_000)) == data + TEXT


@pytest.mark.parametrize(
    ("decompressor", "command"),
    [
        (Lz4Decompressor, "lz4 -l"),
        (ZstdDecompressor, "zstd --ultra --long=30 -1"),
        (XzDecompressor, "xz --format=lzma"),
        (XzDecompressor, "xz --lzma2=preset=0,dict=192MiB"),
    ],
)
def test_what_the_command_line_tools_write_and_we_do_not_read(
    decompressor: Callable[[], StreamDecompressor], command: str
) -> None:
    _, error = fault(decompressor(), tool(command, TEXT))

    assert isinstance(error, UnsupportedFormatError)
