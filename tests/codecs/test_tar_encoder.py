"""The tar encoder: plain ustar wherever it can say it all, PAX where it cannot, and sizes that are kept."""

from __future__ import annotations

import array
import io
import math
import tarfile

import pytest

from asyncbatch.codecs import TarDecoder, TarEncoder, WholeMember
from asyncbatch.errors import UsageError

from .tars import END, members_of


def read_by_python(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


def typeflags(data: bytes) -> bytes:
    return bytes(data[at + 156] for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar")


def test_an_empty_archive_is_two_zero_blocks() -> None:
    assert TarEncoder().finish() == END


def test_a_plain_member_is_one_ustar_header() -> None:
    encoder = TarEncoder()
    data = encoder.encode("dir/a.txt", b"hello", mode=0o600, mtime=1_700_000_000) + encoder.finish()
    assert len(data) == 4 * 512
    assert data[257:265] == b"ustar\00000"
    (member,) = read_by_python(data)
    assert (member.name, member.size, member.mode, member.mtime) == ("dir/a.txt", 5, 0o600, 1_700_000_000)
    assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
    assert (member.type, member.pax_headers) == (tarfile.REGTYPE, {})


def test_the_output_depends_on_the_arguments_alone() -> None:
    assert TarEncoder().encode("a", b"data") == TarEncoder().encode("a", b"data")
    (member,) = read_by_python(TarEncoder().encode("a", b"data") + END)
    assert (member.mtime, member.mode) == (0, 0o644)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1024])
def test_data_is_padded_to_whole_blocks(size: int) -> None:
    data = TarEncoder().encode("a", b"x" * size)
    assert len(data) == 512 + (size + 511) // 512 * 512
    assert data[512 : 512 + size] == b"x" * size
    assert not data[512 + size :].strip(b"\0")


def test_pieces_make_the_same_as_a_whole_member() -> None:
    encoder = TarEncoder()
    pieces = [encoder.start("a", 10), encoder.feed(b"01234"), encoder.feed(b""), encoder.feed(b"56789")]
    assert b"".join([*pieces, encoder.end()]) == TarEncoder().encode("a", b"0123456789")


def test_data_goes_through_as_it_is() -> None:
    encoder = TarEncoder()
    encoder.start("a", 4)
    chunk = bytearray(b"data")
    assert encoder.feed(chunk) is chunk


@pytest.mark.parametrize(
    ("kind", "typeflag"), [("file", b"0"), ("hardlink", b"1"), ("symlink", b"2"), ("dir", b"5")]
)
def test_kinds_that_can_be_encoded(kind: str, typeflag: bytes) -> None:
    data = TarEncoder().encode("a", b"", kind=kind, linkname="target") + END  # type: ignore[arg-type]
    assert data[156:157] == typeflag
    (member,) = members_of(data)
    assert (member.kind, member.linkname) == (kind, "target")


# -- names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("n" * 100, b"0"),
        ("n" * 101, b"x0"),
        ("d/" + "n" * 100, b"0"),
        ("d/" + "n" * 101, b"x0"),
        ("p" * 155 + "/" + "n" * 100, b"0"),
        ("p" * 156 + "/" + "n" * 100, b"x0"),
        ("p" * 50 + "/" + "q" * 50 + "/" + "n" * 99, b"0"),
        ("p" * 120 + "/", b"x0"),
        ("/" + "n" * 100, b"x0"),
        ("d/" * 60, b"0"),
        ("a//" + "n" * 99, b"0"),
        ("größe", b"x0"),
        ("caf\udce9", b"x0"),
        ("日本" * 60, b"x0"),
    ],
)
def test_names_take_a_pax_header_only_where_ustar_cannot_hold_them(name: str, flags: bytes) -> None:
    data = TarEncoder().encode(name, b"data") + END
    assert typeflags(data) == flags
    (member,) = members_of(data)
    assert (member.name, member.data) == (name, b"data")
    (theirs,) = read_by_python(data)
    assert theirs.name.rstrip("/") == name.rstrip("/")  # tarfile drops one of a directory


@pytest.mark.parametrize(
    ("linkname", "flags"),
    [("t" * 100, b"2"), ("t" * 101, b"x2"), ("ä", b"x2"), ("caf\udce9", b"x2"), ("", b"2")],
)
def test_link_targets_too(linkname: str, flags: bytes) -> None:
    data = TarEncoder().encode("a", b"", kind="symlink", linkname=linkname) + END
    assert typeflags(data) == flags
    assert [member.linkname for member in members_of(data)] == [linkname]
    assert [member.linkname for member in read_by_python(data)] == [linkname]


def test_a_reader_without_pax_still_sees_a_name_of_ascii() -> None:
    data = TarEncoder().encode("dir/größe.txt", b"data")
    block = data[1024:1536]
    assert block.isascii()
    assert block.startswith(b"dir/gr??e.txt\0")


# -- numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "flags"), [(0, b"0"), (8**11 - 1, b"0"), (8**11, b"x0"), (2**40, b"x0")], ids=str
)
def test_sizes_from_8_gib_take_a_pax_header(size: int, flags: bytes) -> None:
    data = TarEncoder().start("a", size)
    assert typeflags(data) == flags
    decoder = TarDecoder()
    decoder.feed(data)
    assert [event.size for event in decoder] == [size]  # type: ignore[union-attr]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.next()
        assert member is not None
        assert member.size == size


@pytest.mark.parametrize(
    ("mtime", "flags"),
    [(0, b"0"), (1.0, b"0"), (8**11 - 1, b"0"), (8**11, b"x0"), (-1, b"x0"), (1.5, b"x0"), (-0.5, b"x0")],
)
def test_times_that_ustar_cannot_hold_take_a_pax_header(mtime: float, flags: bytes) -> None:
    data = TarEncoder().encode("a", b"", mtime=mtime) + END
    assert typeflags(data) == flags
    decoder = TarDecoder()
    decoder.feed(data)
    assert [event.mtime for event in decoder if isinstance(event, WholeMember)] == [mtime]
    assert [member.mtime for member in read_by_python(data)] == [mtime]


@pytest.mark.parametrize("mtime", [math.nan, math.inf, -math.inf, 1e300, 10**17, -(10**400)])
def test_what_is_no_time_is_refused(mtime: float) -> None:
    with pytest.raises(UsageError, match="is no time in seconds"):
        TarEncoder().encode("a", b"", mtime=mtime)


@pytest.mark.parametrize(
    "length", [*range(80, 130), *range(985, 1005), 9_980, 9_990, 9_991, 9_992, 9_995, 10_000]
)
def test_the_length_of_a_record_counts_its_own_digits(length: int) -> None:
    name = "ä" + "n" * length
    data = TarEncoder().encode(name, b"") + END
    assert [member.name for member in members_of(data)] == [name]
    assert [member.name for member in read_by_python(data)] == [name]


def test_only_permission_bits_are_kept_of_a_mode() -> None:
    (member,) = read_by_python(TarEncoder().encode("a", b"", mode=0o100755) + END)
    assert member.mode == 0o755


# -- misuse --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800"])
def test_names_that_cannot_be_stored_are_refused(name: str) -> None:
    encoder = TarEncoder()
    with pytest.raises(UsageError, match="tar member"):
        encoder.encode(name, b"")
    assert encoder.encode("a", b"") == TarEncoder().encode("a", b"")  # nothing was begun


@pytest.mark.parametrize("linkname", ["a\0b", "\ud800"])
def test_link_targets_that_cannot_be_stored_are_refused(linkname: str) -> None:
    with pytest.raises(UsageError, match="tar member 'a'"):
        TarEncoder().start("a", 0, kind="symlink", linkname=linkname)


@pytest.mark.parametrize("kind", ["fifo", "char_device", "block_device", "other"])
def test_kinds_that_cannot_be_encoded_are_refused(kind: str) -> None:
    with pytest.raises(UsageError, match=f"cannot encode a {kind}; known: file, hardlink, symlink, dir"):
        TarEncoder().start("a", 0, kind=kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["dir", "symlink", "hardlink"])
def test_only_files_have_data(kind: str) -> None:
    with pytest.raises(UsageError, match="cannot have 1 bytes"):
        TarEncoder().encode("a", b"x", kind=kind)  # type: ignore[arg-type]


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot have -1 bytes"):
        TarEncoder().start("a", -1)


def test_too_much_data_is_refused_before_it_is_passed_on() -> None:
    encoder = TarEncoder()
    encoder.start("a", 3)
    encoder.feed(b"ab")
    with pytest.raises(UsageError, match="'a': data is longer"):
        encoder.feed(b"cd")
    encoder.feed(b"c")
    encoder.end()


def test_data_is_counted_in_bytes() -> None:
    encoder = TarEncoder()
    encoder.start("a", 8)
    with pytest.raises(UsageError, match="longer"):
        encoder.feed(memoryview(array.array("Q", [1, 2])))
    encoder.feed(memoryview(array.array("Q", [1])))
    encoder.end()


def test_too_little_data_is_refused_at_the_end() -> None:
    encoder = TarEncoder()
    encoder.start("a", 3)
    encoder.feed(b"ab")
    with pytest.raises(UsageError, match="'a': data is 1 bytes short"):
        encoder.end()


def test_calls_out_of_order_are_refused() -> None:
    encoder = TarEncoder()
    with pytest.raises(UsageError, match="outside of"):
        encoder.feed(b"")
    with pytest.raises(UsageError, match="not started"):
        encoder.end()
    encoder.start("a", 0)
    with pytest.raises(UsageError, match="'b' was started before end"):
        encoder.start("b", 0)
    with pytest.raises(UsageError, match="'b' was started before end"):
        encoder.encode("b", b"")
    with pytest.raises(UsageError, match="with a tar member open"):
        encoder.finish()
    encoder.end()
    encoder.finish()
    with pytest.raises(UsageError, match="second time"):
        encoder.finish()
    with pytest.raises(UsageError, match="after finish"):
        encoder.start("c", 0)
