"""Headers as pure functions: numbers, checksums, names, PAX records."""

from __future__ import annotations

import tarfile
from zlib import adler32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch.codecs._tar_header import (
    BLOCK_SIZE,
    Adler32Expectations,
    checksum_matches,
    decode_text,
    member_kind,
    parse_number,
    parse_octal,
    parse_pax_records,
    parse_pax_time,
    stored_name,
)

# -- numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b"000644 \0", 0o644),
        (b"   644 \0", 0o644),
        (b"\0\x00644\0\0\0", 0o644),
        (b"77777777", 0o77777777),  # the end may be left out where the number fills the field
        (b"        ", 0),
        (bytes(8), 0),
        (b"644\0rest", 0o644),  # what stands behind the NUL is no part of it
        (b"\x80\0\0\0\0\0\x01\x02", 0x102),
        (b"\x80" + b"\xff" * 7, 2**56 - 1),
        (b"\xff" * 8, -1),
        (b"\xff" * 7 + b"\0", -256),
        (b"\xc0" + bytes(7), -(2**62)),
        (b"\xbf" + b"\xff" * 7, 2**62 - 1),
    ],
)
def test_numbers_are_octal_or_base256(field: bytes, value: int) -> None:
    assert parse_number(field) == value


@pytest.mark.parametrize(
    "field",
    [b"0000008\0", b"-000644\0", b"+000644\0", b"0x00644\0", b"64 4   \0", b"6_44\0   ", b"644 \0x  "],
)
def test_what_is_no_octal_number_is_refused(field: bytes) -> None:
    with pytest.raises(ValueError, match="is not an octal number"):
        parse_number(field)


def test_octal_alone_takes_no_base256() -> None:
    with pytest.raises(ValueError, match="is not an octal number"):
        parse_octal(b"\x80\0\0\0\0\0\0\x01")


@given(st.integers(-(2**88), 2**88 - 1))
def test_base256_is_read_as_python_writes_it(number: int) -> None:
    # tarfile writes at least 8 bytes of it; 12 are the size field's width.
    field = tarfile.itn(number, 12, tarfile.GNU_FORMAT)  # type: ignore[attr-defined]
    assert parse_number(field) == tarfile.nti(field) == number  # type: ignore[attr-defined]


# -- checksums -----------------------------------------------------------------------------------------------


def block_with(total: bytes, rest: bytes = b"") -> bytes:
    return (b"name" + rest).ljust(148, b"\0") + total + bytes(BLOCK_SIZE - 156)


def test_a_checksum_counts_its_own_field_as_spaces() -> None:
    total = sum(b"name") + 8 * 32
    assert checksum_matches(block_with(b"%06o\0 " % total))
    assert not checksum_matches(block_with(b"%06o\0 " % (total + 1)))


def test_a_checksum_may_be_the_sum_of_signed_bytes() -> None:
    unsigned = sum(b"name\xff\x80") + 8 * 32
    assert checksum_matches(block_with(b"%06o\0 " % unsigned, b"\xff\x80"))
    assert checksum_matches(block_with(b"%06o\0 " % (unsigned - 512), b"\xff\x80"))
    assert not checksum_matches(block_with(b"%06o\0 " % (unsigned - 256), b"\xff\x80"))


@pytest.mark.parametrize("field", [b"garbage!", b"\x80\0\0\0\0\0\0\x01", b"\xff" * 8])
def test_a_checksum_that_is_no_octal_number_matches_nothing(field: bytes) -> None:
    assert not checksum_matches(block_with(field))


@given(st.binary(min_size=BLOCK_SIZE, max_size=BLOCK_SIZE), st.booleans())
def test_adler32_agrees_with_the_checksum_on_ascii_headers(noise: bytes, right: bool) -> None:  # noqa: FBT001
    block = bytes(byte & 127 for byte in noise)
    block = block[:148] + b" " * 8 + block[156:]
    block = block[:148] + b"%06o\0 " % (sum(block) + (not right)) + block[156:]
    expected = Adler32Expectations()
    assert (adler32(block) & 0xFFFF == expected[block[148:156]]) is checksum_matches(block) is right


def test_adler32_expects_nothing_of_a_field_that_is_no_number() -> None:
    assert Adler32Expectations()[b"garbage!"] == -1


def test_remembered_checksums_are_bounded_and_stay_right() -> None:
    expected = Adler32Expectations()
    for total in range(10_000):
        field = b"%06o\0 " % total
        assert expected[field] == total - 8 * 32 + sum(field) + 1
        assert len(expected) <= 4096
        assert expected[field] == expected[field]


# -- names ---------------------------------------------------------------------------------------------------


def header(name: bytes, magic: bytes, prefix: bytes, trailer: bytes = b"") -> bytes:
    block = name.ljust(257, b"\0") + magic.ljust(88, b"\0") + prefix
    return block.ljust(BLOCK_SIZE - len(trailer), b"\0") + trailer


@pytest.mark.parametrize(
    ("block", "name"),
    [
        (header(b"n", b"ustar\00000", b"p"), b"p/n"),
        (header(b"n", b"ustar\00000", b""), b"n"),
        (header(b"n", b"ustar\00000", b"p" * 155), b"p" * 155 + b"/n"),
        (header(b"n", b"ustar\00000", b"p" * 131 + b"0" * 24, b"tar\0"), b"p" * 131 + b"/n"),
        (header(b"n", b"ustar  \0", b"00000000000\0"), b"n"),
        (header(b"n", b"", b"p"), b"n"),
        (header(b"n" * 100 + b"rest", b"", b""), b"n" * 100),
    ],
    ids=["ustar", "no-prefix", "longest", "star", "gnu", "v7", "without-nul"],
)
def test_a_prefix_counts_in_ustar_headers_only(block: bytes, name: bytes) -> None:
    assert stored_name(block) == name


@given(st.binary())
def test_any_name_survives_decoding(raw: bytes) -> None:
    assert decode_text(raw).encode("utf-8", "surrogateescape") == raw


@pytest.mark.parametrize(
    ("typeflag", "name", "kind"),
    [
        (b"0", "a", "file"),
        (b"0", "a/", "file"),
        (b"\0", "a", "file"),
        (b"\0", "a/", "dir"),
        (b"7", "a", "file"),
        (b"1", "a", "hardlink"),
        (b"2", "a", "symlink"),
        (b"3", "a", "char_device"),
        (b"4", "a", "block_device"),
        (b"5", "a", "dir"),
        (b"6", "a", "fifo"),
        (b"Z", "a/", "other"),
    ],
)
def test_every_type_is_told_apart(typeflag: bytes, name: str, kind: str) -> None:
    assert member_kind(typeflag[0], name) == kind


# -- PAX -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("1700000000", 1.7e9), ("1.5", 1.5), ("-1.5", -1.5), ("7.", 7.0), ("0.000000001", 1e-9)],
)
def test_pax_times_are_decimal_seconds(text: str, seconds: float) -> None:
    assert parse_pax_time(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "-", ".5", "1e9", "0x10", "nan", "inf", " 1", "1 ", "1.5.5", "1,5", "9" * 40]
)
def test_what_is_no_pax_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a PAX time"):
        parse_pax_time(text)


def record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    return next(b"%d%b" % (n, rest) for n in range(5, 100_000) if len(str(n)) + len(rest) == n)


def test_records_are_read_in_order_and_the_last_of_a_keyword_wins() -> None:
    body = record(b"path", b"one") + record(b"comment", b"a=b\nc") + record(b"path", b"two")
    assert parse_pax_records(body) == {"path": "two", "comment": "a=b\nc"}
    assert parse_pax_records(b"") == {}


@pytest.mark.parametrize("size", [0, 1, 90, 91, 92, 93, 980, 990, 995, 1000, 9990])
def test_a_length_counts_its_own_digits(size: int) -> None:
    assert parse_pax_records(record(b"path", b"x" * size)) == {"path": "x" * size}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"garbage", "malformed"),
        (b"10path=b\n", "malformed"),
        (b"99 path=b\n", "malformed"),
        (b"4 path=b\n", "malformed"),
        (b"2 path=b\n", "malformed"),
        (b"0 path=b\n", "malformed"),
        (b"-1 path=b\n", "malformed"),
        (b"+10 path=b\n", "malformed"),
        (b" 10 path=b\n", "malformed"),
        (b"9" * 40 + b" path=b\n", "malformed"),
        (b"10 path=bb", "malformed"),
        (b"10 path=b\n\0\0", "malformed"),
        (b"8 path\n\n", "no '='"),
        (b"5 =b\n", "empty keyword"),
    ],
)
def test_malformed_records_are_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_pax_records(body)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"path", b"a\0b", "NUL"),
        (b"linkpath", b"a\0b", "NUL"),
        (b"uname", b"a\0b", "NUL"),
        (b"gname", b"a\0b", "NUL"),
        (b"pa\0th", b"a", "NUL"),
        (b"size", b"-1", "not a decimal number"),
        (b"size", b"+1", "not a decimal number"),
        (b"size", b"1_0", "not a decimal number"),
        (b"size", "\u0663".encode(), "not a decimal number"),  # a digit, but not one of ours
        (b"size", b"9" * 200, "not a decimal number"),
        (b"uid", b"root", "not a decimal number"),
        (b"gid", b"0x10", "not a decimal number"),
        (b"mtime", b"yesterday", "not a PAX time"),
        (b"atime", b"yesterday", "not a PAX time"),
        (b"ctime", b"yesterday", "not a PAX time"),
    ],
)
def test_records_are_checked_when_they_are_read(key: bytes, value: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_pax_records(record(key, value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"size", b"000000000000000000000999"),
        (b"uid", b"-2"),
        (b"size", b""),
        (b"mtime", b""),
        (b"path", b""),
        (b"SCHILY.xattr.user.mime", b"\0\xff"),
        (b"GNU.sparse.map", b"0,1\0"),
        (b"caf\xe9", b"\xe9"),
    ],
)
def test_what_go_reads_is_read(key: bytes, value: bytes) -> None:
    assert parse_pax_records(record(key, value)) == {decode_text(key): decode_text(value)}


@given(st.binary(max_size=200))
def test_any_bytes_are_records_or_a_value_error(body: bytes) -> None:
    try:
        records = parse_pax_records(body)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either outcome is right
    else:
        assert all(records)
