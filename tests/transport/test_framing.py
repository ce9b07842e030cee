"""Where bodies end: decoders fed in any pieces say what a simple reference says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch.transport._framing import ChunkedDecoder, LengthDecoder, UntilCloseDecoder

if TYPE_CHECKING:
    from asyncbatch.transport._framing import BodyDecoder

Field = tuple[bytes, bytes]


def feed(decoder: BodyDecoder, data: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """Feed in pieces as a connection does; return the payload and what was not consumed."""
    buffer = bytearray(max(len(data), 1))
    held, payload = 0, b""
    for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
        piece = data[start:stop]
        buffer[held : held + len(piece)] = piece
        held += len(piece)
        if held and not decoder.done:
            pieces, consumed = decoder.decode(buffer, 0, held)
            payload += b"".join(pieces)
            rest = bytes(buffer[consumed:held])
            buffer[: len(rest)] = rest
            held = len(rest)
    return payload, bytes(buffer[:held])


def every_cut(data: bytes) -> list[list[int]]:
    """Return the ways to feed that matter: whole, in two pieces, byte by byte."""
    return [[], *([cut] for cut in range(len(data) + 1)), list(range(1, len(data)))]


def decode(data: bytes, cuts: list[int] | None = None) -> ChunkedDecoder:
    decoder = ChunkedDecoder()
    feed(decoder, data, cuts or [])
    return decoder


chunks = st.lists(
    st.one_of(st.binary(min_size=1, max_size=40), st.sampled_from([b"a" * 7, b"\r\n", b"0\r\n\r\n"]))
)
extensions = st.sampled_from([b"", b"", b"", b";name=value", b' ; a="b;c"', b"  "])
fields = st.lists(
    st.tuples(
        st.sampled_from([b"X-Count", b"md5", b"a!#$%"]), st.sampled_from([b"", b"1", b"a b\tc", b"\xff:"])
    ),
    max_size=3,
)


@given(st.data(), chunks, extensions, fields, st.binary(max_size=5))
def test_chunks_and_trailers_come_out_however_they_are_cut(
    data: st.DataObject, parts: list[bytes], extension: bytes, trailers: list[Field], behind: bytes
) -> None:
    wire = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    wire += b"00" + extension + b"\r\n" + b"".join(b"%b: %b \r\n" % field for field in trailers) + b"\r\n"
    total = wire + behind
    cuts = sorted(data.draw(st.lists(st.integers(0, len(total)), max_size=8)))
    decoder = ChunkedDecoder()
    payload, left = feed(decoder, total, cuts)
    assert decoder.done
    assert payload == b"".join(parts)
    assert left == behind
    assert decoder.trailers == [(name.lower(), value) for name, value in trailers]


@given(st.data(), chunks)
def test_a_truncated_body_is_never_taken_for_whole(data: st.DataObject, parts: list[bytes]) -> None:
    wire = b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nmd5: x\r\n\r\n"
    decoder = ChunkedDecoder()
    payload, _ = feed(decoder, wire[: data.draw(st.integers(0, len(wire) - 1))], [])
    assert b"".join(parts).startswith(payload)
    assert not decoder.done
    with pytest.raises(httpx.RemoteProtocolError, match="before the last chunk's end"):
        decoder.feed_eof()


@given(st.lists(st.sampled_from([1, 2, 3, 200]), min_size=20, max_size=60))
def test_sizes_that_recur_are_not_taken_for_granted(sizes: list[int]) -> None:
    parts = [bytes([index]) * size for index, size in enumerate(sizes)]
    wire = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    for cuts in ([], list(range(0, len(wire), 100))):
        payload, left = feed(ChunkedDecoder(), wire, cuts)
        assert (payload, left) == (b"".join(parts), b"")


def test_more_sizes_than_are_remembered() -> None:
    parts = [b"x" * size for size in range(1, 200)] * 2
    wire = b"".join(b"%x;%b\r\n%b\r\n" % (len(p), b"y" * (len(p) % 50), p) for p in parts) + b"0\r\n\r\n"
    payload, _ = feed(ChunkedDecoder(), wire, [])
    assert payload == b"".join(parts)


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"5\nhello\r\n", "malformed line of a chunk: b'5.n'"),
        (b"5\rhello\r\n", "malformed line"),
        (b"+5\r\nhello\r\n", r"malformed line of a chunk: b'\+"),
        (b"-5\r\nhello\r\n", "malformed line"),
        (b"0x5\r\nhello\r\n", "malformed line"),
        (b"1_0\r\nhello\r\n", "malformed line"),
        (b" 5\r\nhello\r\n", "malformed line"),
        (b"\r\nhello\r\n", "malformed line"),
        (b";x\r\nhello\r\n", "malformed line"),
        (b"g\r\nhello\r\n", "malformed line"),
        (b"5 5\r\nhello\r\n", "malformed line"),
        (b"5;a\nb\r\nhello\r\n", "malformed line"),
        (b"5;a\0b\r\nhello\r\n", "malformed line"),
        (b"\xd9\xa5\r\nhello\r\n", "malformed line"),
        (b"10000000000000005\r\nhello\r\n", "malformed line"),
        (b"fffffffffffffffff\r\nhello\r\n", "malformed line"),
        (b"5\r\nhello0\r\n\r\n", "no CRLF behind a chunk's data, but b'0"),
        (b"5\r\nhello\n0\r\n\r\n", "no CRLF behind"),
        (b"5\r\nhello\r0\r\n\r\n", "no CRLF behind"),
        (b"5\r\nhello\r\n5\nhello\r\n", "malformed line"),
        (b"5\r\nhello\r\n\r\n", "malformed line"),
        (b"1;" + b"x" * 5000 + b"\r\n", "line of a chunk exceeds 4096"),
        (b"0\r\nno colon\r\n\r\n", "malformed trailer field: b'no "),
        (b"0\r\n: nameless\r\n\r\n", "malformed trailer"),
        (b"0\r\na b: c\r\n\r\n", "malformed trailer"),
        (b"0\r\na : c\r\n\r\n", "malformed trailer"),
        (b"0\r\na: c\r\n folded\r\n\r\n", "malformed trailer field: b' "),
        (b"0\r\na: c\nb: d\r\n\r\n", "malformed trailer"),
        (b"0\r\na: \0\r\n\r\n", "malformed trailer"),
        (b"0\r\na: " + b"x" * 70_000, "trailers exceed 65536"),
        (b"0\r\na: " + b"x" * 70_000 + b"\r\n\r\n", "trailers exceed 65536"),
    ],
)
def test_what_is_malformed_is_named(wire: bytes, message: str) -> None:
    for cuts in every_cut(wire) if len(wire) < 100 else [[], [4], [4096]]:
        with pytest.raises(httpx.RemoteProtocolError, match=message):
            decode(wire, cuts)


def test_the_largest_size_is_no_promise() -> None:
    decoder = ChunkedDecoder()
    assert feed(decoder, b"fffffffffffffff\r\nhello", []) == (b"hello", b"")
    assert not decoder.done


def test_a_length() -> None:
    decoder = LengthDecoder(5)
    assert feed(decoder, b"hello+", [2]) == (b"hello", b"+")
    assert decoder.done
    assert LengthDecoder(0).done
    assert decoder.trailers == []


def test_a_length_that_is_not_reached() -> None:
    decoder = LengthDecoder(5)
    feed(decoder, b"hell", [])
    with pytest.raises(httpx.RemoteProtocolError, match="closed the connection 1 bytes before the end"):
        decoder.feed_eof()


def test_until_close() -> None:
    decoder = UntilCloseDecoder()
    assert feed(decoder, b"hello", [3]) == (b"hello", b"")
    assert not decoder.done
    decoder.feed_eof()
    assert decoder.done


@pytest.mark.parametrize(
    "wire",
    [
        *(b"zz", b"5 5", b"5\rx", b"1" * 16, b"5\r\nhello\r\nx", b"5\r\nhello\r\n5\n"),
        *(
            b"0\r\n\n",
            b"0\r\nX: y\n",
            b"0\r\n\rX",
            b"0\r\nbad trailer\r\n",
            b"0\r\n folded: x",
            b"0\r\nX: \0",
        ),
    ],
)
def test_what_cannot_become_right_is_not_waited_for(wire: bytes) -> None:
    for cuts in every_cut(wire):
        with pytest.raises(httpx.RemoteProtocolError, match="malformed"):
            decode(wire, cuts)


def test_trailers_are_taken_line_by_line() -> None:
    decoder = ChunkedDecoder()
    payload, left = feed(decoder, b"0\r\na: 1\r\nb: 2\r\nc: ", [])
    assert (payload, left, decoder.done) == (b"", b"c: ", False)
    assert decoder.trailers == [(b"a", b"1"), (b"b", b"2")]
