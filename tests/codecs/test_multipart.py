"""The multipart decoder, and the text of multipart bodies."""

from __future__ import annotations

import array
import email.generator
import email.message
import email.policy
import gc
import hashlib
import io
import json
import random
import weakref
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch.codecs import (
    MemberData,
    MemberEnd,
    MemberStart,
    MultipartDecoder,
    WholeMember,
    parse_boundary,
)
from asyncbatch.codecs._formats import parse_format
from asyncbatch.codecs._pipeline import open_decoder
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
    from collections.abc import Iterable, Sequence

    from asyncbatch.codecs import Decoder

# -- what the tests use -------------------------------------------------------------------------------------

BOUNDARY = b"frontier"
LINE = b"--frontier"
MARK = b"\r\n--frontier"
CLOSE = MARK + b"--"
NOISE = random.Random(3).randbytes(300_000)


class Part:
    """A part as the events told it, in one or in many."""

    def __init__(self, event: Any) -> None:  # noqa: ANN401 - the decoder's own classes
        self.event = event
        self.name: str = event.name
        self.filename: str | None = event.filename
        self.headers: dict[str, str] = dict(event.headers)
        self.offset: int = event.offset
        self.data = event.data if isinstance(event, WholeMember) else b""
        self.ended = isinstance(event, WholeMember)


def run(
    decoder: Decoder, chunks: Iterable[bytes | bytearray | memoryview]
) -> tuple[list[Part], AsyncBatchError | None]:
    """The parts that came, and the error that ended them, if one did; and that it sticks."""
    parts: list[Part] = []

    def take() -> None:
        for event in decoder:
            if isinstance(event, WholeMember | MemberStart):
                assert not parts or parts[-1].ended
                assert event.size == (len(event.data) if isinstance(event, WholeMember) else None)
                assert event.kind == "file"
                parts.append(Part(event))
            elif isinstance(event, MemberData):
                assert not parts[-1].ended
                assert event.data
                parts[-1].data += bytes(event.data)
            else:
                assert isinstance(event, MemberEnd)
                assert not parts[-1].ended
                parts[-1].ended = True

    try:
        for chunk in chunks:
            decoder.feed(chunk)
            take()
        decoder.feed_eof()
        take()
    except AsyncBatchError as error:
        for call in (lambda: list(decoder), lambda: decoder.feed(b"x"), decoder.feed_eof):
            with pytest.raises(type(error)) as again:
                call()
            assert again.value is error  # noqa: PT017
        return parts, error
    assert not parts or parts[-1].ended
    return parts, None


def parse(*chunks: bytes, **options: Any) -> list[Part]:  # noqa: ANN401
    parts, error = run(MultipartDecoder(BOUNDARY, **options), chunks)
    if error is not None:
        raise error
    return parts


def chop(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def fault(body: bytes, **options: Any) -> tuple[list[Part], FormatError]:  # noqa: ANN401
    """The parts before a fault, and the fault: the same from one chunk and from single bytes."""
    parts, error = run(MultipartDecoder(BOUNDARY, **options), [body])
    others, same = run(MultipartDecoder(BOUNDARY, **options), chop(body, 1))
    assert isinstance(error, FormatError)
    assert isinstance(same, FormatError)
    assert (type(error), error.codec, error.offset, error.reason, error.member) == (
        type(same),
        "multipart",
        same.offset,
        same.reason,
        same.member,
    )
    assert [part.data for part in parts] == [part.data for part in others]
    return parts, error


def body_of(*parts: tuple[bytes, bytes], preamble: bytes = b"", epilogue: bytes = b"") -> bytes:
    """Heads (every line with its CRLF) and data, made a multipart body."""
    encoded = b"".join(MARK + b"\r\n" + head + b"\r\n" + data for head, data in parts)
    return preamble + (encoded + CLOSE if preamble else (encoded + CLOSE)[2:]) + epilogue


def named(name: bytes) -> bytes:
    return b'Content-Disposition: form-data; name="' + name + b'"\r\n'


SAMPLE = body_of(
    (named(b"one"), b"the first"),
    (b"", b"\r\n\r\nno head\r\n"),
    (named(b"empty"), b""),
    (named(b"four") + b"X-Folded: a\r\n\tb\r\n", b"--\r--\n--frontier \r\n--frontie\r\n-\r\r\n"),
    preamble=b"This is ignored.\r\n--fronti\r\n",
    epilogue=b"\r\nand this\r\n--frontier\r\n",
)
SAMPLE_PARTS = [
    ("one", b"the first"),
    ("", b"\r\n\r\nno head\r\n"),
    ("empty", b""),
    ("four", b"--\r--\n--frontier \r\n--frontie\r\n-\r\r\n"),
]


def pairs(parts: Iterable[Part]) -> list[tuple[str, bytes]]:
    return [(part.name, part.data) for part in parts]


# -- what comes out -----------------------------------------------------------------------------------------


def test_a_body_in_one_chunk_makes_whole_members() -> None:
    parts = parse(SAMPLE)

    assert pairs(parts) == SAMPLE_PARTS
    assert all(isinstance(part.event, WholeMember) for part in parts)
    assert all(type(part.data) is bytes for part in parts)
    assert [part.headers for part in parts] == [
        {"content-disposition": 'form-data; name="one"'},
        {},
        {"content-disposition": 'form-data; name="empty"'},
        {"content-disposition": 'form-data; name="four"', "x-folded": "a\tb"},
    ]
    for part in parts:
        assert SAMPLE[part.offset :].startswith(part.data)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10, 11, 12, 13, 100])
def test_chunks_of_any_size_make_the_same(size: int) -> None:
    whole = parse(SAMPLE)
    parts = parse(*chop(SAMPLE, size))

    assert pairs(parts) == SAMPLE_PARTS
    assert [(p.headers, p.offset) for p in parts] == [(p.headers, p.offset) for p in whole]


def test_two_chunks_cut_anywhere_make_the_same() -> None:
    for place in range(len(SAMPLE) + 1):
        assert pairs(parse(SAMPLE[:place], b"", SAMPLE[place:])) == SAMPLE_PARTS


def test_the_end_of_a_part_is_told_when_its_delimiter_is_whole() -> None:
    decoder = MultipartDecoder(BOUNDARY)
    decoder.feed(LINE + b"\r\n\r\ndata" + MARK)
    start, data = decoder
    assert isinstance(start, MemberStart)
    assert start.size is None
    assert repr(start) == "<_PartStart '' size=None>"
    assert isinstance(data, MemberData)
    decoder.feed(b" \t ")
    assert list(decoder) == []
    decoder.feed(b"\r")
    assert list(decoder) == []
    decoder.feed(b"\n")
    assert [type(event) for event in decoder] == [MemberEnd]


def test_a_loop_left_early_is_continued_by_the_next() -> None:
    decoder = MultipartDecoder(BOUNDARY)
    decoder.feed(SAMPLE[:200])
    first = next(iter(decoder))
    decoder.feed(SAMPLE[200:])
    decoder.feed_eof()
    decoder.feed_eof()

    assert isinstance(first, WholeMember)
    assert [event.name for event in decoder if isinstance(event, WholeMember | MemberStart)] == [
        "",
        "empty",
        "four",
    ]


def test_large_data_passes_without_a_copy() -> None:
    decoder = MultipartDecoder(BOUNDARY)
    decoder.feed(LINE + b"\r\n\r\n")
    assert len(list(decoder)) == 1
    decoder.feed(NOISE)
    (event,) = decoder
    assert isinstance(event, MemberData)
    assert event.data is NOISE

    chunk = NOISE + b"\r\n--fron"
    decoder.feed(chunk)
    (event,) = decoder
    assert isinstance(event, MemberData)
    assert isinstance(event.data, memoryview)
    assert event.data.obj is chunk
    assert event.data == NOISE


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_buffers_may_be_used_again_at_once(kind: type[bytearray | memoryview]) -> None:
    decoder = MultipartDecoder(BOUNDARY)
    buffer = bytearray()
    data = b""
    for piece in chop(LINE + b"\r\n\r\n" + NOISE + CLOSE, 10_000):
        buffer[:] = piece
        decoder.feed(kind(buffer))
        buffer.clear()  # raises BufferError if anything still looks at it
        data += b"".join(bytes(event.data) for event in decoder if isinstance(event, MemberData))
    decoder.feed_eof()

    assert data == NOISE


def test_a_view_of_items_larger_than_a_byte_is_read_as_bytes() -> None:
    body = body_of((b"", b"x" * 13))
    words = memoryview(array.array("H", body.ljust(len(body) + len(body) % 2)))

    assert pairs(run(MultipartDecoder(BOUNDARY), [words])[0]) == [("", b"x" * 13)]


def test_a_dropped_decoder_is_freed_at_once() -> None:
    decoder = MultipartDecoder(BOUNDARY)
    decoder.feed(LINE + b"\r\n\r\n" + NOISE)
    gc.disable()
    try:
        reference = weakref.ref(decoder)
        del decoder
        assert reference() is None
    finally:
        gc.enable()


# -- parts of every kind ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        LINE + b"--",
        LINE + b"--\r\n",
        b"\r\n" + LINE + b"--\r\n",
        b"preamble" + MARK + b"-- \t \r\nepilogue",
    ],
)
def test_a_body_without_parts_is_empty(body: bytes) -> None:
    assert parse(body) == []
    assert parse(*chop(body, 1)) == []


@pytest.mark.parametrize(
    ("part", "data", "headers"),
    [
        (b"\r\n" + MARK, b"", {}),
        (b"\r\n\r\n" + MARK, b"\r\n", {}),
        (MARK, b"", {}),  # neither head nor data: the delimiter is also the end of the blank line
        (b"A: b\r\n" + MARK, b"", {"a": "b"}),
        (b"A: b\r\n\r\n" + MARK, b"", {"a": "b"}),
        (b"A: b\r\n\r\n\r\n" + MARK, b"\r\n", {"a": "b"}),
        (b"A: b\r\n\r\n--frontie" + MARK, b"--frontie", {"a": "b"}),
        (b"A: b\r\n\r\n-" + MARK, b"-", {"a": "b"}),
        (b"A:b\r\nB: \t c \t\r\nC:\r\n\r\nx" + MARK, b"x", {"a": "b", "b": "c", "c": ""}),
        (b"A: b\r\n  c\r\n\t \r\n\r\nx" + MARK, b"x", {"a": "b  c"}),
        ("A: ö\r\n\r\nx".encode() + MARK, b"x", {"a": "ö"}),
        (b"A: \xff\r\n\r\nx" + MARK, b"x", {"a": "\udcff"}),
        (b"Content-Transfer-Encoding: BINARY\r\n\r\nx" + MARK, b"x", {"content-transfer-encoding": "BINARY"}),
        (b"\r\n\nx\n" + MARK, b"\nx\n", {}),
        (b"\r\n\0" + MARK, b"\0", {}),
    ],
)
def test_heads_and_data_of_every_kind(part: bytes, data: bytes, headers: dict[str, str]) -> None:
    for body in (LINE + b"\r\n" + part + b"--", LINE + b"  \t\r\n" + part + b"\r\n\r\n.." + CLOSE):
        for size in (1, 2, 3, 1000):
            first = parse(*chop(body, size))[0]
            assert (first.data, first.headers) == (data, headers)


@pytest.mark.parametrize(
    ("disposition", "name", "filename"),
    [
        ("form-data", "", None),
        ("form-data; name=a", "a", None),
        ('form-data; name="a b"; filename="c;d.txt"', "a b", "c;d.txt"),
        ('form-data; NAME="a";FileName=b.txt ; x="y"', "a", "b.txt"),
        (r'form-data; name="a\"b\\c"; filename="C:\path\file"', 'a"b\\c', r"C:\path\file"),
        ("attachment; filename*=UTF-8''x%20y; name=n;", "n", None),
        ('form-data; name="ümlaut"', "ümlaut", None),
        ('form-data; name=""; filename=""', "", ""),
        ("form-data; name=a; ; ", "a", None),
    ],
)
def test_name_and_file_name_are_those_of_the_disposition(
    disposition: str, name: str, filename: str | None
) -> None:
    head = b"Content-Disposition: " + disposition.encode() + b"\r\n"
    (part,) = parse(body_of((head, b"x")))
    assert (part.name, part.filename) == (name, filename)


def test_a_part_that_is_multipart_itself_is_data() -> None:
    inner = body_of((named(b"inner"), b"x")).replace(b"frontier", b"inner")
    head = b"Content-Type: multipart/mixed; boundary=inner\r\n"
    (part,) = parse(body_of((head, inner)))

    assert part.data == inner
    assert parse_boundary(part.headers["content-type"]) == b"inner"


DATA_LIKE_BOUNDARIES = [
    b"--frontier",  # only behind a line end
    b"x--frontier--",
    b"\n--frontier\n",
    b"\r--frontier\r",
    b"\n\r--frontier",
    b"\r\n-frontier--\r\n",
    b"\r\n--Frontier\r\n",
    b"\r\n\r\n--frontie\r\nr",
    b"\r\n--\r\n--f\r\n--fr\r\n--fro\r\n--fron\r\n--front\r\n--fronti\r\n--frontie\r",
    b"\r" * 30 + b"\n--",
    b"\r\n-",
    b"\r\n--frontie",
]


@pytest.mark.parametrize("data", DATA_LIKE_BOUNDARIES)
def test_data_that_resembles_a_boundary_is_data(data: bytes) -> None:
    data = b"x" + data
    body = body_of((named(b"a"), data), (b"", data), preamble=data)
    for size in (1, 2, 3, 5, 8, 13, 1000):
        assert pairs(parse(*chop(body, size))) == [("a", data), ("", data)]


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behind", "reason"),
    [
        (b"er\r\n\r\n", "a line begins with the boundary and goes on as no delimiter may"),
        (b"-\r\n", "goes on as no delimiter may"),
        (b"-x", "goes on as no delimiter may"),
        (b" --\r\n", "goes on as no delimiter may"),
        (b"\rx", "goes on as no delimiter may"),
        (b"\r\r\n", "goes on as no delimiter may"),
        (b" \t\0\r\n", "goes on as no delimiter may"),
        (b"\n\n", "ends with LF alone, not CRLF"),
        (b"  \n", "ends with LF alone, not CRLF"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_line_that_only_begins_as_a_delimiter_is_refused(behind: bytes, reason: str, strict: bool) -> None:  # noqa: FBT001
    head = LINE + b"\r\n" + named(b"n") + b"\r\ndata" + MARK
    parts, error = fault(head + behind + CLOSE, strict=strict)
    assert pairs(parts) == [("n", b"data")]
    assert not parts[0].ended
    assert error.member == "n"
    assert error.offset == len(head) + len(behind) - len(behind.lstrip(b" \t"))
    assert reason in error.reason

    parts, error = fault(LINE + behind + CLOSE, strict=strict)
    assert (parts, error.member) == ([], None)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"no colon\r\n", "not 'name: value'"),
        (b": value\r\n", "not 'name: value'"),
        (b"Name : value\r\n", "not 'name: value'"),
        (b" folded: first\r\n", "not 'name: value'"),
        (b"N\xc3\xa4me: value\r\n", "not 'name: value'"),
        (LINE + b"--\r\n", "not 'name: value'"),
        (b"A: b\0c\r\n", "control character (0x00)"),
        (b"A\0: b\r\n", "control character (0x00)"),
        (b"A: b\rC: d\r\n", "control character (0x0d)"),
        (b"A: \x7f\r\n", "control character (0x7f)"),
        (b"A: b\r\na: c\r\n", "the header 'a' twice"),
        (b"Content-Disposition: form-data; name=a; name=b\r\n", "parameter 'name' twice"),
        (b'Content-Disposition: form-data; name="a\r\n', "malformed parameters"),
        (b'Content-Disposition: form-data; name="a"b\r\n', "malformed parameters"),
        (b"Content-Disposition: form-data; name = a\r\n", "malformed parameters"),
        (b"Content-Disposition: form-data; name\r\n", "malformed parameters"),
        (b'Content-Disposition: form-data; name="a\\"\r\n', "malformed parameters"),
        (b"Content-Disposition: form-data; name=a/b\r\n", "malformed parameters"),  # a slash wants quotes
    ],
)
def test_heads_that_are_refused(head: bytes, reason: str) -> None:
    first = body_of((named(b"good"), b"data"))[:-2]
    parts, error = fault(first + b"\r\n" + head + b"\r\n" + CLOSE)

    assert pairs(parts) == [("good", b"data")]
    assert error.offset == len(first) + 2
    assert reason in error.reason
    assert len(error.reason) < 200


@pytest.mark.parametrize(
    ("head", "place"),
    [(b"A: b\n\nx", 4), (b"\nx", 0), (b"A: b\r\nC: d\nE: f\r\n\r\nx", 10), (b"\n\r\n\r\n", 0)],
)
def test_lf_alone_ends_no_header(head: bytes, place: int) -> None:
    _, error = fault(LINE + b"\r\n" + head + CLOSE)

    assert error.offset == len(LINE) + 2 + place
    assert error.reason == "a header of a part ends with LF alone, not CRLF"


def test_lf_alone_makes_no_delimiter() -> None:
    body = SAMPLE.replace(b"\r\n", b"\n")
    parts, error = fault(body)

    assert parts == []
    assert isinstance(error, TruncatedArchiveError)
    assert error.offset == len(body)


@pytest.mark.parametrize("encoding", [b"base64", b"Quoted-Printable", b"x-gzip" * 1000])
def test_encodings_that_would_have_to_be_undone_are_unsupported(encoding: bytes) -> None:
    head = named(b"n") + b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    _, error = fault(body_of((head, b"eA==")))

    assert isinstance(error, UnsupportedFormatError)
    assert (error.member, error.offset) == ("n", len(LINE) + 2)
    assert len(error.reason) < 200


@pytest.mark.parametrize("behind", [b"x", b" x", b"\rx", b"\r\r", b"\n", b"--"])
def test_what_stands_behind_the_end_without_a_line_end(behind: bytes) -> None:
    body = body_of((b"", b"data"))
    parts, error = fault(body + behind)
    assert pairs(parts) == [("", b"data")]
    assert "behind the closing delimiter" in error.reason
    assert error.offset == len(body) + len(behind) - len(behind.lstrip(b" "))

    for size in (1, 1000):
        assert pairs(parse(*chop(body + behind + b"garbage", size), strict=False)) == [("", b"data")]


# -- bodies that end early ----------------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_every_truncation_is_told_and_yields_a_prefix(strict: bool, size: int) -> None:  # noqa: FBT001
    end = SAMPLE.index(CLOSE) + len(CLOSE)
    for length in range(len(SAMPLE)):
        decoder = MultipartDecoder(BOUNDARY, strict=strict)
        parts, error = run(decoder, chop(SAMPLE[:length], size))
        assert [part.name for part in parts] == [name for name, _ in SAMPLE_PARTS][: len(parts)]
        for part, (_, data) in zip(parts, SAMPLE_PARTS, strict=False):
            assert data == part.data if part.ended else data.startswith(part.data)
        if length < end:
            assert isinstance(error, TruncatedArchiveError), length
            assert (error.codec, error.offset) == ("multipart", length)
            assert error.member == (parts[-1].name if parts and not parts[-1].ended else error.member)
        else:
            assert (pairs(parts), error) == (SAMPLE_PARTS, None)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("chunks", [[], [b""], [b"", b""]])
def test_empty_input_is_truncated(strict: bool, chunks: list[bytes]) -> None:  # noqa: FBT001
    parts, error = run(MultipartDecoder(BOUNDARY, strict=strict), chunks)

    assert parts == []
    assert isinstance(error, TruncatedArchiveError)
    assert (error.offset, error.reason) == (0, "the input is empty")


def test_feeding_behind_the_end_is_a_mistake_of_the_caller() -> None:
    decoder = MultipartDecoder(BOUNDARY)
    decoder.feed(SAMPLE)
    decoder.feed_eof()
    with pytest.raises(UsageError):
        decoder.feed(b"x")


def test_a_repeated_error_does_not_grow() -> None:
    decoder = MultipartDecoder(BOUNDARY)
    depths = []
    for _ in range(3):
        with pytest.raises(FormatError) as caught:
            decoder.feed_eof()
        depths.append(len(caught.traceback))

    assert depths[1] == depths[2]


# -- limits -------------------------------------------------------------------------------------------------


def limited(body: bytes, size: int = 1 << 20, **limits: float) -> tuple[list[Part], LimitExceededError]:
    decoder = MultipartDecoder(BOUNDARY, limits=Limits(**limits))  # type: ignore[arg-type]
    parts, error = run(decoder, chop(body, size))
    assert isinstance(error, LimitExceededError)
    assert error.limit in limits
    assert error.value > error.maximum == limits[error.limit]
    return parts, error


@pytest.mark.parametrize("size", [1, 30, 1000])
def test_heads_have_a_limit(size: int) -> None:
    head = b"A: " + b"b" * 93 + b"\r\n\r\n"
    assert len(head) == 100
    body = LINE + b"\r\n" + head + CLOSE

    assert len(parse(*chop(body, size), limits=Limits(max_header_size=100))) == 1
    _, error = limited(body, size, max_header_size=99)
    assert error.value == 100 if size > 100 else error.value >= 100


@pytest.mark.parametrize(
    "bomb",
    [
        b"A: " + b"b" * 10_000_000,
        b"a: b\r\n" * 1_000_000,
        b"\r\n ".join([b"A: "] * 1_000_000),
        b":" * 5_000_000,
    ],
)
def test_a_bomb_of_headers_costs_no_more_than_the_limit(bomb: bytes) -> None:
    _, error = limited(LINE + b"\r\n" + bomb, 65_536, max_header_size=1 << 20)

    assert error.value < (1 << 20) + 65_536


def test_a_large_head_fed_byte_by_byte_takes_linear_time() -> None:
    head = b"A: " + b"b" * 100_000 + b"\r\n"

    assert len(parse(*chop(body_of((head, b"")), 1))) == 1


def test_many_parameters_take_linear_time() -> None:
    head = b"Content-Disposition: form-data" + b"".join(b"; p%d=v" % n for n in range(50_000)) + b"\r\n"
    (part,) = parse(body_of((head + b'X: "' + b"\\" * 400_000 + b"\r\n", b"")))
    assert part.name == ""

    head = b'Content-Disposition: form-data; name="' + b'\\"' * 200_000 + b"\r\n"
    with pytest.raises(FormatError, match="malformed"):
        parse(body_of((head, b"")))


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_padding_of_delimiters_has_a_limit(size: int) -> None:
    body = LINE + b" \t" * 4000 + b"\r\n\r\n" + CLOSE

    assert len(parse(*chop(body, size))) == 1
    limited(body, size, max_header_size=7999)


@pytest.mark.parametrize("parameter", [b"name", b"filename"])
def test_names_have_a_limit(parameter: bytes) -> None:
    body = body_of(
        (b"Content-Disposition: form-data; " + parameter + b'="' + "ü".encode() * 50 + b'"\r\n', b"")
    )

    assert len(parse(body, limits=Limits(max_name_length=100))) == 1
    limited(body, max_name_length=99)


@pytest.mark.parametrize("size", [1, 40, 1000])
def test_the_size_of_a_part_has_a_limit(size: int) -> None:
    body = body_of((b"", b"x" * 100), (named(b"n"), b"\r\n--fro" * 20))

    assert len(parse(*chop(body, size), limits=Limits(max_member_size=140))) == 2
    parts, _ = limited(body, size, max_member_size=139)
    assert parts[0].ended
    assert sum(len(part.data) for part in parts[1:]) <= 139


@pytest.mark.parametrize("size", [1, 1000])
def test_the_number_of_parts_has_a_limit(size: int) -> None:
    body = body_of(*[(b"", b"x")] * 3)

    assert len(parse(*chop(body, size), limits=Limits(max_members=3))) == 3
    parts, _ = limited(body, size, max_members=2)
    assert [part.data for part in parts] == [b"x", b"x"]


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_the_whole_body_has_a_limit_that_costs_nothing_before_it(size: int) -> None:
    body = body_of((named(b"n"), b"data"))

    assert len(parse(*chop(body, size), limits=Limits(max_total_size=len(body)))) == 1
    parts, _ = limited(body + b"\r\n" * 500, size, max_total_size=len(body))
    assert pairs(parts) == [("n", b"data")]
    parts, _ = limited(body, size, max_total_size=len(body) - 1)
    assert pairs(parts) == [("n", b"data")]
    _, error = run(MultipartDecoder(BOUNDARY, limits=Limits(max_total_size=8)), [b"--frontal assault"])
    assert isinstance(error, LimitExceededError)


# -- properties ---------------------------------------------------------------------------------------------

ALPHABET = st.sampled_from([b"\r", b"\n", b"-", b"--", b"\r\n", b"b", b"o", b"bo", b" ", b"\0", b"\r\n--b"])
DATA = st.lists(ALPHABET | st.binary(max_size=30), max_size=30).map(b"".join)


@given(
    parts=st.lists(
        st.tuples(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])), DATA), max_size=4
    ),
    preamble=DATA,
    epilogue=DATA,
    places=st.lists(st.integers(min_value=0), max_size=20),
)
def test_what_goes_in_comes_out_however_it_was_cut(
    parts: list[tuple[str, bytes]], preamble: bytes, epilogue: bytes, places: list[int]
) -> None:
    mark = b"\r\n--boo"
    for text in (preamble, *(data for _, data in parts)):
        if mark in b"\r\n" + text:
            return
    body = preamble
    for name, data in parts:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"').encode()
        body += mark + b" \r\n" + named(quoted) + b"\r\n" + data
    body += mark + b"--\r\n" + epilogue
    found, error = run(MultipartDecoder(b"boo"), cut(body, places))

    assert error is None
    assert pairs(found) == parts


@given(
    body=st.lists(ALPHABET | st.sampled_from([b"--b\r\n", b"A: b\r\n", b"\r\n--b\r\n\r\n"]), max_size=25).map(
        b"".join
    ),
    places=st.lists(st.integers(min_value=0), max_size=8),
)
def test_nonsense_means_the_same_in_any_chunks(body: bytes, places: list[int]) -> None:
    parts, error = run(MultipartDecoder(b"b"), [body])
    others, same = run(MultipartDecoder(b"b"), cut(body, places))

    assert error is None or isinstance(error, FormatError)
    assert str(error) == str(same)
    assert pairs(parts) == pairs(others)


# -- what others write --------------------------------------------------------------------------------------


def test_what_httpx_writes() -> None:
    fields: Any = [
        ("text", (None, b"plain")),
        ("file", ("a b.bin", NOISE, "application/x")),
        ("text", ('quo"ted', b"")),
    ]
    request = httpx.Request("POST", "http://host/", files=fields)
    boundary = parse_boundary(request.headers["content-type"])
    parts, error = run(MultipartDecoder(boundary), chop(request.read(), 4096))

    assert error is None
    assert [(part.name, part.filename, part.data) for part in parts] == [
        ("text", None, b"plain"),
        ("file", "a b.bin", NOISE),
        ("text", "quo%22ted", b""),
    ]
    assert parts[1].headers["content-type"] == "application/x"


def test_what_the_email_package_writes() -> None:
    message = email.message.EmailMessage(email.policy.HTTP)
    message.set_content("Text\r\n", cte="8bit")
    message.add_attachment(b"line\n--x\r\n", "application", "octet-stream", filename="f.bin", cte="8bit")
    message.preamble = "A preamble."
    message.epilogue = "An epilogue."
    stream = io.BytesIO()
    email.generator.BytesGenerator(stream, policy=email.policy.HTTP).flatten(message)
    head, _, body = stream.getvalue().partition(b"\r\n\r\n")
    assert head
    parts, error = run(MultipartDecoder(parse_boundary(message["content-type"])), [body])

    assert error is None
    assert [part.filename for part in parts] == [None, "f.bin"]
    assert parts[0].data == b"Text\r\n"


# -- the boundary of a Content-Type -------------------------------------------------------------------------

ALL_CHARACTERS = "0123456789ABCXYZabcxyz'()+_,-./:=? ?"


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/mixed; boundary=frontier", b"frontier"),
        ("multipart/mixed; boundary=" + "0f" * 30, b"0f" * 30),
        ("Multipart/Form-Data;BOUNDARY=x;charset=utf-8", b"x"),
        ("multipart/x-mixed-replace; charset=utf-8 ; boundary=--x--; ", b"--x--"),
        ('multipart/mixed; boundary="gc0pJq0M:08jU534c0p"', b"gc0pJq0M:08jU534c0p"),
        (f'multipart/mixed;\tboundary="{ALL_CHARACTERS}"', ALL_CHARACTERS.encode()),
        (r'multipart/mixed; boundary="a\?b"', b"a?b"),
        ("multipart/mixed; boundary=" + "x" * 70, b"x" * 70),
    ],
)
def test_parse_boundary(content_type: str, boundary: bytes) -> None:
    assert parse_boundary(content_type) == boundary
    MultipartDecoder(boundary)


@pytest.mark.parametrize(
    ("content_type", "reason"),
    [
        ("", "not multipart: ''"),
        ("text/html; boundary=x", "not multipart: 'text/html'"),
        ("multipart; boundary=x", "not multipart"),
        ("multipart/; boundary=x", "not multipart"),
        ("a multipart/mixed; boundary=x", "not multipart"),
        ("multipart/mixed", "no boundary"),
        ("multipart/mixed; charset=x", "no boundary"),
        ("multipart/mixed; boundary=", "malformed parameters"),
        ("multipart/mixed; boundary=a b", "malformed parameters"),
        ("multipart/mixed; boundary=gc0pJq0M:08jU534c0p", "malformed parameters"),
        ('multipart/mixed; boundary="x', "malformed parameters"),
        ('multipart/mixed; boundary="x"y', "malformed parameters"),
        ("multipart/mixed; boundary=a, multipart/mixed; boundary=b", "malformed parameters"),
        ("multipart/mixed; boundary=a; Boundary=b", "twice"),
        ('multipart/mixed; boundary=""', "0 characters, where 1 to 70"),
        ("multipart/mixed; boundary=" + "x" * 71, "71 characters, where 1 to 70"),
        ('multipart/mixed; boundary="x "', "not allowed"),
        ('multipart/mixed; boundary="x\ty"', "not allowed"),
        ('multipart/mixed; boundary="x\r\ny"', "not allowed"),
        ("multipart/mixed; boundary=x#y", "not allowed"),
        ('multipart/mixed; boundary="ü"', "not allowed"),
        ('multipart/mixed; boundary="\udcff"', "not allowed"),
    ],
)
def test_boundaries_that_are_refused(content_type: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason) as caught:
        parse_boundary(content_type)
    assert (caught.value.codec, caught.value.offset) == ("multipart", 0)
    assert len(caught.value.reason) < 200


@pytest.mark.parametrize("boundary", [b"", b"x" * 71, b"x ", b"x\r\n", b"\xff"])
def test_a_decoder_takes_no_other_boundary(boundary: bytes) -> None:
    with pytest.raises(UsageError, match="boundary"):
        MultipartDecoder(boundary)


# -- the recorded answers of a real cluster, by the codecs alone ---------------------------------------------

GOLDEN = Path(__file__).parents[1] / "data" / "aistore"
CASES = json.loads((GOLDEN / "getbatch.json").read_text())
MULTIPART_CASES = [
    case for case in CASES if "multipart" in case["name"] and case["expected"] and "zip" not in case["name"]
]


def recorded(name: str) -> tuple[dict[str, str], bytes]:
    head, _, body = (GOLDEN / name).read_bytes().partition(b"\r\n\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
    if headers.get("transfer-encoding") != "chunked":
        return headers, body
    data = b""
    while (line := body.partition(b"\r\n"))[0] != b"0":
        size = int(line[0], 16)
        data += line[2][:size]
        body = line[2][size + 2 :]
    return headers, data


def chunked_at_random(data: bytes) -> list[bytes]:
    numbers = random.Random(len(data))
    return cut(data, [numbers.randrange(len(data)) for _ in range(len(data) // 1000)])


@pytest.mark.parametrize("chunking", ["whole", "random", "bytes"])
@pytest.mark.parametrize("case", MULTIPART_CASES, ids=lambda case: case["name"])
def test_recorded_answers(case: dict[str, Any], chunking: str) -> None:
    headers, body = recorded(case["response"])
    if chunking == "bytes":
        chunks = chop(body, 1 if len(body) < 20_000 else 7)
    else:
        chunks = [body] if chunking == "whole" else chunked_at_random(body)
    parts, error = run(MultipartDecoder(parse_boundary(headers["content-type"])), chunks)
    assert error is None
    metadata, archive = parts
    assert (metadata.name, metadata.filename, archive.name) == ("metadata", None, "archive")
    assert metadata.data.endswith(b"}\n")
    facts = json.loads(metadata.data)
    assert archive.filename == f"get-batch[{facts['uuid']}]"
    assert archive.headers["content-type"] == "application/octet-stream"

    inner = open_decoder(parse_format(case["request"]["mime"]))
    found: list[tuple[str, bytes]] = []
    pieces = [archive.data] if chunking == "whole" else chunked_at_random(archive.data)
    for piece in pieces:
        inner.feed(piece)
        take(inner, found)
    inner.feed_eof()
    take(inner, found)

    expected = case["expected"]
    assert len(found) == len(facts["out"]) == len(expected)
    for (name, data), entry in zip(found, expected, strict=True):
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["size"], entry["sha256"])
        assert name.startswith("__404__/") == entry["missing"]


def take(decoder: Decoder, found: list[tuple[str, bytes]]) -> None:
    for event in decoder:
        if isinstance(event, WholeMember):
            found.append((event.name, event.data))
        elif isinstance(event, MemberStart):
            found.append((event.name, b""))
        elif isinstance(event, MemberData):
            name, data = found.pop()
            found.append((name, data + bytes(event.data)))
