"""Decoders made of others: compressed archives, and archives whose format the first bytes tell."""

from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING

import lz4.frame
import pytest
import zstandard

from asyncbatch.codecs import TarDecoder, TarEncoder, WholeMember
from asyncbatch.codecs._formats import parse_format
from asyncbatch.codecs._pipeline import DetectingDecoder, open_decoder
from asyncbatch.errors import (
    FormatError,
    LimitExceededError,
    TruncatedArchiveError,
    UsageError,
)
from asyncbatch.limits import Limits

from .tars import END, chop, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncbatch.codecs import Decoder

NOISE = random.Random(3).randbytes(5000)
FILES = {"first.txt": b"first", "noise.bin": NOISE, "zeros": bytes(400_000), "last.txt": b"last"}


def tar() -> bytes:
    encoder = TarEncoder()
    return b"".join([*(encoder.encode(name, data) for name, data in FILES.items()), encoder.finish()])


TAR = tar()
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": lambda data: gzip.compress(data, mtime=0),
    ".tar.lz4": lz4.frame.compress,
    ".tar.zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}
every_format = pytest.mark.parametrize("name", COMPRESS)
compressed_format = pytest.mark.parametrize("name", [name for name in COMPRESS if name != ".tar"])


def contents(chunks: list[bytes], name: str | None, **options: object) -> tuple[dict[str, bytes], object]:
    archive_format = None if name is None else parse_format(name)
    members, error = run(open_decoder(archive_format, **options), chunks)  # type: ignore[arg-type]
    return {member.name: member.data for member in members if member.whole}, error


@every_format
@pytest.mark.parametrize("size", [1, 100, 4096, 10**9])
@pytest.mark.parametrize("told", [True, False], ids=["told", "detected"])
def test_every_format_is_decoded_in_chunks_of_any_size(name: str, size: int, told: bool) -> None:  # noqa: FBT001
    data = COMPRESS[name](TAR if size > 1 else TAR[:1024] + END)
    found, error = contents(chop(data, size), name if told else None)
    assert error is None
    assert found == (FILES if size > 1 else {"first.txt": b"first"})


@every_format
def test_a_truncation_is_told_in_every_format(name: str) -> None:
    data = COMPRESS[name](TAR)
    for size in {0, 1, 3, 20, 600, len(data) // 2, len(data) - 1000, len(data) - 1}:
        for told in (name, None):
            found, error = contents([data[:size]], told)
            assert isinstance(error, TruncatedArchiveError | FormatError)
            assert isinstance(error, TruncatedArchiveError) or (told is None and size < 512)
            assert list(found.items()) == list(FILES.items())[: len(found)]


@compressed_format
def test_a_tar_cut_before_it_was_compressed_is_truncated(name: str) -> None:
    found, error = contents([COMPRESS[name](TAR[:-1024])], name)
    assert found == FILES
    assert isinstance(error, TruncatedArchiveError)
    assert (error.codec, error.offset) == ("tar", len(TAR) - 1024)
    assert contents([COMPRESS[name](TAR[:-1024])], name, strict=False) == (FILES, None)


@compressed_format
def test_garbage_behind_is_an_error_only_where_strict(name: str) -> None:
    for data in (COMPRESS[name](TAR) + b"garbage", COMPRESS[name](TAR + b"garbage")):
        found, error = contents([data], name)
        assert found == FILES
        assert isinstance(error, FormatError)
        assert contents([data], name, strict=False) == (FILES, None)


@compressed_format
def test_limits_hold_for_both_halves(name: str) -> None:
    data = COMPRESS[name](TAR)
    for limits, limit in (
        (Limits(max_members=2), "max_members"),
        (Limits(max_member_size=6000), "max_member_size"),
        (Limits(max_total_size=100_000), "max_total_size"),
    ):
        found, error = contents([data], name, limits=limits)
        assert isinstance(error, LimitExceededError)
        assert error.limit == limit
        if limit == "max_total_size":  # a decompressor's step that exceeds it is lost as a whole
            assert found.items() <= FILES.items()
            assert "zeros" not in found
        else:
            assert list(found) == ["first.txt", "noise.bin"]


def test_what_a_chunk_expands_to_is_never_held_as_a_whole() -> None:
    # A member of 400,000 zeros comes in more than one piece, though all was fed at once.
    decoder = open_decoder(parse_format(".tar.gz"))
    decoder.feed(COMPRESS[".tar.gz"](TAR))
    kinds = [type(event).__name__ for event in decoder]
    assert kinds.count("MemberData") >= 1
    decoder.feed_eof()


@compressed_format
def test_a_loop_left_early_is_continued(name: str) -> None:
    decoder = open_decoder(parse_format(name))
    decoder.feed(COMPRESS[name](TAR))
    names = []
    for event in decoder:
        names.append(event.name)  # type: ignore[union-attr]
        break
    rest = list(decoder)
    decoder.feed_eof()
    names += [event.name for event in rest if hasattr(event, "name")]
    assert names == list(FILES)


@compressed_format
def test_the_end_is_judged_behind_what_was_not_iterated_over(name: str) -> None:
    decoder = open_decoder(parse_format(name))
    decoder.feed(COMPRESS[name](TAR[:1024]))
    decoder.feed_eof()  # nothing to say yet: nobody has looked
    events = iter(decoder)
    assert isinstance(next(events), WholeMember)
    with pytest.raises(TruncatedArchiveError):
        next(events)


@pytest.mark.parametrize(
    ("make", "chunk"),
    [
        (lambda: open_decoder(parse_format(".tar.gz")), COMPRESS[".tar.gz"](TAR[:1024] + b"garbage!" * 64)),
        (lambda: open_decoder(parse_format(".tar.gz")), COMPRESS[".tar.gz"](TAR)[:-5] + b"wrong"),
        (lambda: open_decoder(parse_format(".tar.gz")), b"no gzip at all"),
        (lambda: open_decoder(None), b"<html>" + b" " * 600),
    ],
    ids=["bad-tar", "bad-gzip", "no-gzip", "no-archive"],
)
def test_errors_stick(make: Callable[[], Decoder], chunk: bytes) -> None:
    decoder = make()
    decoder.feed(chunk)
    errors = []
    for call in (
        lambda: list(decoder),
        lambda: list(decoder),
        lambda: decoder.feed(b"more"),
        decoder.feed_eof,
        decoder.feed_eof,
        lambda: list(decoder),
    ):
        with pytest.raises(FormatError) as caught:
            call()
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 1


@every_format
@pytest.mark.parametrize("told", [True, False], ids=["told", "detected"])
def test_feeding_after_the_end_is_a_usage_error(name: str, told: bool) -> None:  # noqa: FBT001
    decoder = open_decoder(parse_format(name) if told else None)
    decoder.feed(COMPRESS[name](TAR))
    list(decoder)
    decoder.feed_eof()
    assert list(decoder) == []
    with pytest.raises(UsageError, match="after feed_eof"):
        decoder.feed(b"more")


# -- telling the format --------------------------------------------------------------------------------------


def test_nothing_comes_out_before_the_format_is_known() -> None:
    decoder = DetectingDecoder()
    decoder.feed(TAR[:100])
    assert list(decoder) == []
    decoder.feed(TAR[100:1024])
    assert [event.name for event in decoder] == ["first.txt"]  # type: ignore[union-attr]


@pytest.mark.parametrize("made", [bytes, bytearray, memoryview], ids=lambda made: made.__name__)
def test_the_first_bytes_may_come_in_any_buffer(made: Callable[[bytes], bytes]) -> None:
    found, error = contents([made(chunk) for chunk in chop(TAR, 200)], None)
    assert error is None
    assert found == FILES


@pytest.mark.parametrize("strict", [True, False])
def test_empty_input_is_truncated(strict: bool) -> None:  # noqa: FBT001
    found, error = contents([], None, strict=strict)
    assert found == {}
    assert type(error) is TruncatedArchiveError
    assert (error.codec, error.offset, error.reason) == ("archive", 0, "the input is empty")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "HTML page"),
        (b'{"error": "no such bucket"}', "JSON"),
        (b"no such bucket\n", "text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(1000), "begins with 89 50 4e 47"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_what_is_no_archive_is_told_as_what_it_is(data: bytes, reason: str, size: int) -> None:
    for length in (len(data), 600):
        found, error = contents(chop(data.ljust(length), size), None)
        assert found == {}
        assert type(error) is FormatError
        assert (error.codec, error.offset) == ("archive", 0)
        assert reason in error.reason


def test_a_short_input_is_judged_at_its_end() -> None:
    decoder = DetectingDecoder()
    decoder.feed(b"<html>")
    assert list(decoder) == []
    with pytest.raises(FormatError, match="HTML"):
        decoder.feed_eof()
    with pytest.raises(FormatError, match="HTML"):
        list(decoder)


def test_options_reach_the_decoder_that_was_told() -> None:
    _, error = contents([TAR], None, limits=Limits(max_members=1))
    assert isinstance(error, LimitExceededError)
    assert contents([TAR[:-1024]], None, strict=False) == (FILES, None)


def test_a_plain_tar_needs_nothing_in_front() -> None:
    assert isinstance(open_decoder(parse_format(".tar")), TarDecoder)
