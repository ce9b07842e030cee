"""Archives behind each other: the first one counts, and that there is more is told, in any chunking."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch.codecs import TarEncoder, ZipEncoder
from asyncbatch.codecs._formats import open_compressor, parse_format
from asyncbatch.codecs._pipeline import open_decoder
from asyncbatch.errors import FormatError, TruncatedArchiveError

from .tars import chop, run

if TYPE_CHECKING:
    from .tars import Member

FORMATS = [".tar", ".tar.gz", ".tar.lz4", ".tar.zst", ".tar.bz2", ".tar.xz", ".zip"]
SIZES = st.integers(1, 3000)


def archive(form: str, *names: str) -> bytes:
    encoder = ZipEncoder() if form == ".zip" else TarEncoder()
    data = b"".join(encoder.encode(name, name.encode() * 400) for name in names) + encoder.finish()
    compressor = open_compressor(parse_format(form).compression)
    return data if compressor is None else compressor.feed(data) + compressor.finish()


def decode(
    form: str, data: bytes, size: int, *, strict: bool = True
) -> tuple[list[Member], Exception | None]:
    return run(open_decoder(parse_format(form), strict=strict), chop(data, size))


def names(members: list[Member]) -> list[str]:
    assert all(member.data == member.name.encode() * 400 for member in members)
    return [member.name for member in members]


@pytest.mark.parametrize("form", FORMATS)
@given(size=SIZES)
def test_a_second_archive_is_not_read_and_not_overlooked(form: str, size: int) -> None:
    """`cat` makes two archives of two, and so it does of two compressed ones: their streams become one."""
    data = archive(form, "a", "b") + archive(form, "c")
    members, error = decode(form, data, size)
    assert names(members) == ["a", "b"]
    assert type(error) is FormatError
    members, error = decode(form, data, size, strict=False)
    assert names(members) == ["a", "b"]
    assert error is None


@pytest.mark.parametrize("form", FORMATS[1:-1])
@given(size=SIZES, places=st.lists(st.integers(0, 1024 * 5), max_size=6))
def test_one_tar_in_many_compressed_streams_is_one(form: str, size: int, places: list[int]) -> None:
    """As parallel compressors and appending ones write it."""
    data = archive(".tar", "a", "b", "c")
    bounds = [0, *sorted(places), len(data)]
    packed = b""
    for start, end in pairwise(bounds):
        compressor = open_compressor(parse_format(form).compression)
        assert compressor is not None
        packed += compressor.feed(data[start:end]) + compressor.finish()
    members, error = decode(form, packed, size)
    assert names(members) == ["a", "b", "c"]
    assert error is None


@pytest.mark.parametrize("form", FORMATS)
@given(size=SIZES, cut=st.integers(1, 200))
def test_a_cut_end_is_truncated_and_more_behind_it_is_not(form: str, size: int, cut: int) -> None:
    whole = archive(form, "a", "b")
    if form == ".tar":
        cut = cut % 1024 + 1  # a tar that lacks but some of its zeros at the end
    _, error = decode(form, whole[:-cut], size)
    assert type(error) is TruncatedArchiveError
    _, error = decode(form, whole + b"x" * cut, size)
    assert type(error) is FormatError
    members, error = decode(form, whole + b"x" * cut, size, strict=False)
    assert names(members) == ["a", "b"]
    assert error is None


@pytest.mark.parametrize("form", FORMATS[1:-1])
def test_a_second_stream_that_is_cut_is_truncated_and_no_garbage(form: str) -> None:
    """Not even where garbage is ignored: what begins as a stream is one."""
    half = archive(form, "b", "c")
    _, error = decode(form, archive(form, "a") + half[: len(half) // 2], 100, strict=False)
    assert type(error) is TruncatedArchiveError
