"""The tar decoder on vectors that show one thing each, compared with what Go's archive/tar makes of them."""

from __future__ import annotations

import array
import runpy
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch.codecs import MemberData, MemberEnd, MemberStart, TarDecoder, TarEncoder, WholeMember
from asyncbatch.errors import (
    AsyncBatchError,
    FormatError,
    LimitExceededError,
    TruncatedArchiveError,
    UnsupportedFormatError,
    UsageError,
)
from asyncbatch.limits import Limits

from .tars import (
    END,
    VECTORS,
    chop,
    crc32,
    decode,
    facts,
    go_verdicts,
    members_of,
    run,
    vector,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = sorted(path.stem for path in VECTORS.glob("*.tar"))
GO = go_verdicts()
every_vector = pytest.mark.parametrize("name", NAMES)

LONG = "/".join(f"directory-{number:02d}" for number in range(20)) + "/file.txt"

# Where we differ from Go, which is strict in fewer things, and why.
STRICTER_THAN_GO = {
    "end-missing": "a tar ends with two zero blocks",
    "end-lone-zero-block": "a tar ends with two zero blocks",
    "end-inside-padding": "a tar ends with two zero blocks",
    "end-behind-extended-header": "a member is missing",
    "end-garbage-behind": "nothing but zeros stands behind the end",
    "type-multi-volume": "the rest of a member is no member",
    "sparse-gnu-old": "sparse members are not expanded",
    "sparse-pax-0.0": "sparse members are not expanded",
    "sparse-pax-0.1": "sparse members are not expanded",
    "sparse-pax-1.0": "sparse members are not expanded",
    "sparse-pax-unknown-version": "Go takes the map, or the condensed data, for the file",
    "sparse-star": "Go takes the condensed data for the file",
    "pax-global-size": "Go ignores it, others do not: each would see other members",
    "pax-global-path": "Go ignores it, others do not",
    "pax-global-linkpath": "Go ignores it, others do not",
}
# Of the fields of a fixed header only name, size and type are parsed before they are asked for.
LAZIER_THAN_GO = {"number-mode-not-octal"}


def test_the_vectors_are_those_that_the_script_writes() -> None:
    written = runpy.run_path(str(VECTORS / "generate.py"))["VECTORS"]
    assert {name: vector(name) for name in written} == written
    assert set(NAMES) - set(written) == {
        *(f"sparse-{kind}" for kind in ("gnu-old", "pax-0.0", "pax-0.1", "pax-1.0")),
        *(f"go-{kind}" for kind in ("ustar", "pax", "gnu")),
    }
    assert set(GO) == set(NAMES)


@every_vector
def test_go_reads_and_refuses_the_same(name: str) -> None:
    members, error = decode(vector(name))
    verdict = GO[name]
    if name in STRICTER_THAN_GO:
        assert not verdict["error"]
        assert error is not None
    elif name in LAZIER_THAN_GO:
        assert verdict["error"]
        assert error is None
        return
    else:
        assert (error is not None) == bool(verdict["error"]), error
    # Go hands out a global header as an entry of its own, and a header that only Solaris wrote.
    theirs = [
        (entry["name"].encode("latin-1"), entry["size"], entry["crc32"], entry["link"].encode("latin-1"))
        for entry in verdict["members"]
        if entry["type"] not in "gX"
    ]
    ours = [
        (
            member.name.encode("utf-8", "surrogateescape"),
            member.size,
            crc32(member.data),
            member.linkname.encode("utf-8", "surrogateescape"),
        )
        for member in members
        if member.whole
    ]
    if name == "pax-solaris":
        theirs = [(b"long name", 4, crc32(b"data"), b"")]
    assert ours == (theirs[: len(ours)] if name in STRICTER_THAN_GO else theirs)


@every_vector
@pytest.mark.parametrize("strict", [True, False])
def test_chunks_of_any_size_give_the_same(name: str, strict: bool) -> None:  # noqa: FBT001
    data = vector(name)
    members, error = decode(data, strict=strict)
    for size in (1, 7, 100, 511, 512, 513, 1000):
        again, error_again = decode(data, size, strict=strict)
        assert [member.content for member in again] == [member.content for member in members]
        assert [member.offset for member in again] == [member.offset for member in members]
        assert facts(error_again) == facts(error)


@every_vector
def test_a_truncated_vector_gives_the_members_before_and_an_error(name: str) -> None:
    data = vector(name)
    members, error = decode(data)
    complete = next(
        (at for at in range(1024, len(data) + 1, 512) if not any(data[at - 1024 : at])), len(data)
    )
    for size in [*range(0, min(len(data), 4096), 61), *range(4096, len(data), 501)]:
        got, cut_error = decode(data[:size])
        contents = [member.content for member in got if member.whole]
        assert contents == [member.content for member in members][: len(contents)]
        if cut_error is None:
            assert error is None or name == "end-garbage-behind"
            assert size >= complete
        else:
            assert isinstance(cut_error, TruncatedArchiveError) or facts(cut_error) == facts(error)


READ: dict[str, list[tuple[str, int, str, str]]] = {
    "end-two-zero-blocks": [],
    "end-full-record": [("first.txt", 5, "file", "")],
    "end-zeros-of-odd-length": [("first.txt", 5, "file", "")],
    "end-two-zero-blocks-behind-extended-header": [("first.txt", 5, "file", "")],
    "checksum-signed": [("größe.txt", 4, "file", "")],
    "checksum-unsigned-non-ascii": [("größe.txt", 4, "file", "")],
    "name-100-bytes": [("n" * 100, 4, "file", "")],
    "name-prefix": [("some/directory/file.txt", 4, "file", "")],
    "name-prefix-155-bytes": [("p" * 155 + "/" + "n" * 100, 4, "file", "")],
    "name-star-prefix": [("some/directory/file.txt", 4, "file", "")],
    "name-behind-nul": [("a", 4, "file", "")],
    "name-not-utf8": [("caf\udce9.txt", 4, "file", "")],
    "name-utf8": [("naïve/日本.txt", 4, "file", "")],
    "name-newline": [("two\nlines", 4, "file", "")],
    "type-every": [
        (f"type-{flag}", 0, kind, "target")
        for flag, kind in [
            ("nul", "file"),
            ("0", "file"),
            ("1", "hardlink"),
            ("2", "symlink"),
            ("3", "char_device"),
            ("4", "block_device"),
            ("5", "dir"),
            ("6", "fifo"),
            ("7", "file"),
        ]
    ],
    "type-unknown-with-data": [("a", 4, "other", ""), ("dump", 7, "other", ""), ("last.txt", 4, "file", "")],
    "type-without-data-has-pax-size": [("dir/", 0, "dir", ""), ("last.txt", 4, "file", "")],
    "v7-file": [("a", 4, "file", "")],
    "v7-directory": [("dir/", 0, "dir", ""), ("last.txt", 4, "file", "")],
    "v7-directory-has-size": [("dir/", 0, "dir", ""), ("last.txt", 4, "file", "")],
    "v7-prefix-is-no-name": [("a", 4, "file", "")],
    "gnu-times-are-no-prefix": [("a", 4, "file", "")],
    "gnu-long-name": [(LONG, 4, "file", ""), ("last.txt", 4, "file", "")],
    "gnu-long-link": [("a", 0, "symlink", LONG), ("last.txt", 4, "file", "")],
    "gnu-long-name-and-link": [(LONG, 0, "hardlink", LONG + "2")],
    "gnu-long-name-over-pax": [("gnu", 4, "file", ""), ("last.txt", 4, "file", "")],
    "gnu-long-name-empty-over-pax": [("pax", 4, "file", "")],
    "pax-path": [(LONG, 4, "file", ""), ("last.txt", 4, "file", "")],
    "pax-linkpath": [("a", 0, "symlink", LONG)],
    "pax-size": [("a", 4, "file", ""), ("last.txt", 4, "file", "")],
    "pax-size-before-longname": [("carrier.bin", 1024, "file", ""), ("last.txt", 4, "file", "")],
    "pax-headers-in-a-row": [("a", 4, "file", "two")],
    "pax-solaris": [("long name", 4, "file", "")],
    "pax-global-alone": [],
    "sparse-star-whole": [("a", 4, "file", "")],
}


@pytest.mark.parametrize("name", READ)
def test_what_is_sound_is_read(name: str) -> None:
    assert [
        (member.name, member.size, member.kind, member.linkname) for member in members_of(vector(name))
    ] == READ[name]


CHECKSUM = "the header's checksum does not match"
REFUSED: dict[str, tuple[type[FormatError], int, str, str | None]] = {
    "checksum-wrong": (FormatError, 1024, CHECKSUM, None),
    "checksum-not-octal": (FormatError, 1024, CHECKSUM, None),
    "checksum-base256": (FormatError, 0, CHECKSUM, None),
    "number-not-octal": (FormatError, 1024, "is not an octal number", None),
    "number-sign": (FormatError, 1024, "is not an octal number", None),
    "number-underscore": (FormatError, 1024, "is not an octal number", None),
    "base256-size-negative": (FormatError, 1024, "size is negative", None),
    "base256-size-8-gib": (TruncatedArchiveError, 1024, f"lacks {(8 << 30) - 512} bytes", "a"),
    "pax-size-8-gib": (TruncatedArchiveError, 2048, f"lacks {(8 << 30) - 512} bytes", "a"),
    "number-octal-of-12-digits-64-gib": (TruncatedArchiveError, 1024, f"lacks {8**12 - 1 - 512} bytes", "a"),
    "end-missing": (TruncatedArchiveError, 1024, "without the two zero blocks", None),
    "end-lone-zero-block": (TruncatedArchiveError, 1536, "without the two zero blocks", None),
    "end-lone-zero-block-then-member": (FormatError, 1536, "a header follows a lone zero block", None),
    "end-lone-zero-block-then-garbage": (FormatError, 1536, CHECKSUM, None),
    "end-garbage-behind": (FormatError, 2148, "behind the end", None),
    "end-garbage-instead": (FormatError, 1024, CHECKSUM, None),
    "end-inside-padding": (TruncatedArchiveError, 600, "without the two zero blocks", None),
    "end-inside-header": (TruncatedArchiveError, 1124, "inside a header", None),
    "end-inside-member": (TruncatedArchiveError, 1500, "inside a member, which lacks 1012", "first.txt"),
    "end-inside-extended-header": (TruncatedArchiveError, 700, "inside an extended header", None),
    "end-behind-extended-header": (TruncatedArchiveError, 2048, "between an extended header", None),
    "pax-nul-in-path": (FormatError, 1536, "'path' holds a NUL", None),
    "pax-nul-in-linkpath": (FormatError, 1536, "'linkpath' holds a NUL", None),
    "pax-nul-in-keyword": (FormatError, 1536, "holds a NUL", None),
    "pax-length-too-long": (FormatError, 1536, "malformed PAX record", None),
    "pax-size-negative": (FormatError, 1536, "size='-1' is not a decimal", None),
    "pax-mtime-bad": (FormatError, 1536, "'yesterday' is not a PAX time", None),
    "pax-global-bad": (FormatError, 1536, "malformed PAX record", None),
    "pax-global-size": (FormatError, 1536, "a global PAX record says 'size'", None),
    "pax-global-path": (FormatError, 1536, "a global PAX record says 'path'", None),
    "pax-global-linkpath": (FormatError, 1536, "a global PAX record says 'linkpath'", None),
    "sparse-gnu-old": (UnsupportedFormatError, 0, "sparse member (old GNU format)", "sparse.bin"),
    "sparse-pax-0.0": (UnsupportedFormatError, 512, "sparse member (PAX)", None),
    "sparse-pax-0.1": (UnsupportedFormatError, 512, "sparse member (PAX)", "sparse.bin"),
    "sparse-pax-1.0": (UnsupportedFormatError, 512, "sparse member (PAX)", "sparse.bin"),
    "sparse-pax-unknown-version": (UnsupportedFormatError, 1536, "sparse member (PAX)", "sparse"),
    "sparse-star": (UnsupportedFormatError, 2048, "sparse member (star)", "sparse"),
    "type-multi-volume": (UnsupportedFormatError, 1024, "continued from another volume", "rest"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_is_refused_with_place_and_reason(name: str) -> None:
    kind, offset, reason, member = REFUSED[name]
    _, error = decode(vector(name))
    assert type(error) is kind
    assert (error.codec, error.offset, error.member) == ("tar", offset, member)
    assert reason in error.reason


@pytest.mark.parametrize(
    "name",
    [
        "end-missing",
        "end-lone-zero-block",
        "end-lone-zero-block-then-garbage",
        "end-garbage-behind",
        "end-inside-padding",
    ],
)
def test_without_strict_an_end_is_where_a_member_ends(name: str) -> None:
    members, error = decode(vector(name), strict=False)
    assert error is None
    assert [member.content for member in members] == [("first.txt", 5, b"first", "file", "")]


def test_without_strict_a_header_behind_a_lone_zero_block_is_not_lost() -> None:
    members, error = decode(vector("end-lone-zero-block-then-member"), strict=False)
    assert error is None
    assert [member.data for member in members] == [b"first", b"last"]


@pytest.mark.parametrize(
    "name",
    [
        "end-inside-header",
        "end-inside-member",
        "end-inside-extended-header",
        "end-behind-extended-header",
    ],
)
def test_without_strict_a_cut_member_still_raises(name: str) -> None:
    _, error = decode(vector(name), strict=False)
    assert type(error) is TruncatedArchiveError


@pytest.mark.parametrize("strict", [True, False])
def test_empty_input_is_truncated(strict: bool) -> None:  # noqa: FBT001
    for chunks in ([], [b""], [b"", b""]):
        members, error = run(TarDecoder(strict=strict), chunks)
        assert not members
        assert type(error) is TruncatedArchiveError
        assert error.reason == "the input is empty"


# -- the fields of an event ----------------------------------------------------------------------------------


def event_of(data: bytes, index: int = 0) -> Any:  # noqa: ANN401 - of a private class
    decoder = TarDecoder()
    decoder.feed(data)
    return [event for event in decoder if isinstance(event, WholeMember | MemberStart)][index]


def test_fields_are_those_of_the_header() -> None:
    event = event_of(vector("go-ustar"), 2)
    assert (event.name, event.size, event.kind, event.typeflag) == ("dir/data.bin", 700, "file", b"0")
    assert (event.mode, event.mtime, event.uid, event.gid) == (0o644, 1_700_000_000, 0, 0)
    assert (event.uname, event.gname, event.linkname) == ("user", "group", "")
    assert event.pax_headers == {}
    assert event.offset == 3 * 512
    assert vector("go-ustar")[event.offset :][: event.size] == event.data == b"go\n!" * 175


def test_fields_are_overridden_by_pax_records() -> None:
    raw = tarfile.TarInfo("ä")
    raw.uid = raw.gid = 2**40
    raw.mtime = 1.5
    raw.uname, raw.gname, raw.linkname = "jörg", "größen", "ziel/ä"
    event = event_of(raw.tobuf(tarfile.PAX_FORMAT) + END)
    assert (event.name, event.uid, event.gid, event.mtime) == ("ä", 2**40, 2**40, 1.5)
    assert (event.uname, event.gname, event.linkname) == ("jörg", "größen", "ziel/ä")
    assert event.pax_headers["uid"] == str(2**40)
    event.pax_headers["uid"] = "0"
    assert event.uid == 2**40


def test_fields_of_large_members_are_the_same() -> None:
    decoder = TarDecoder()
    decoder.feed(TarEncoder().start("big", 5000, mode=0o600, mtime=7) + b"x")
    start, data = decoder
    assert isinstance(start, MemberStart)
    assert isinstance(data, MemberData)
    assert (start.name, start.size, start.mode, start.mtime, start.offset) == ("big", 5000, 0o600, 7, 512)


def test_global_records_hold_until_they_are_changed() -> None:
    data = vector("pax-global-headers")
    assert [event_of(data, index).mtime for index in range(4)] == [1, 2, 1_700_000_000, 1_700_000_000]
    assert {event_of(data, index).uname for index in range(4)} == {"everyone"}


def test_a_time_before_the_epoch_is_read() -> None:
    assert event_of(vector("base256-mtime-negative")).mtime == -86_400
    assert event_of(vector("pax-mtime-negative")).mtime == -1.5
    assert event_of(vector("pax-uid-negative")).uid == -2


def test_v7_headers_have_no_names_of_owners() -> None:
    event = event_of(vector("v7-file"))
    assert (event.uname, event.gname) == ("", "")


def test_a_malformed_field_raises_when_it_is_asked_for() -> None:
    event = event_of(vector("number-mode-not-octal"))
    with pytest.raises(FormatError, match="mode is malformed") as caught:
        _ = event.mode
    assert (caught.value.offset, caught.value.member) == (100, "a")
    assert event.mtime == 1_700_000_000


def test_events_say_what_they_are() -> None:
    decoder = TarDecoder()
    decoder.feed(vector("v7-file")[:1024] + TarEncoder().start("b", 9000) + b"12")
    decoder.feed(bytes(8998))
    assert [repr(event) for event in decoder] == [
        "<TarWholeMember 'a' size=4>",
        "<TarMemberStart 'b' size=9000>",
        "<MemberData 2 bytes>",
        "<MemberData 8998 bytes>",
        "<MemberEnd>",
    ]


# -- feeding -------------------------------------------------------------------------------------------------


def archive(*sizes: int) -> bytes:
    encoder = TarEncoder()
    return (
        b"".join(encoder.encode(f"m{size}", bytes([65 + size % 26]) * size) for size in sizes)
        + encoder.finish()
    )


SIZES = (0, 1, 511, 512, 513, 1500, 70_000)


def names(events: object) -> list[str]:
    return [event.name for event in events if isinstance(event, WholeMember | MemberStart)]  # type: ignore[attr-defined]


def test_a_member_whole_in_a_chunk_is_one_event() -> None:
    decoder = TarDecoder()
    decoder.feed(archive(*SIZES))
    events = list(decoder)
    assert [type(event).__name__ for event in events] == ["TarWholeMember"] * len(SIZES)
    decoder.feed_eof()


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview], ids=lambda make: make.__name__)
@pytest.mark.parametrize("size", [100, 512, 777, 4096, 1_000_000])
def test_any_buffer_can_be_fed(make: Callable[[bytes], Any], size: int) -> None:
    data = archive(*SIZES)
    members, error = run(TarDecoder(), (make(chunk) for chunk in chop(data, size)))
    assert error is None
    assert [(member.name, member.data) for member in members] == [
        (f"m{size}", bytes([65 + size % 26]) * size) for size in SIZES
    ]


def test_a_view_of_larger_units_is_bytes_all_the_same() -> None:
    data = archive(*SIZES)
    chunk = memoryview(array.array("Q", data))
    members, error = run(TarDecoder(), [chunk])
    assert error is None
    assert [member.size for member in members] == list(SIZES)


@pytest.mark.parametrize("size", [100, 512, 777, 4096])
def test_whole_members_outlive_a_buffer_that_is_used_again(size: int) -> None:
    decoder = TarDecoder()
    buffer = bytearray(size)
    whole = []
    for chunk in chop(archive(*SIZES), size):
        buffer[: len(chunk)] = chunk
        decoder.feed(memoryview(buffer)[: len(chunk)])
        whole += [event for event in decoder if isinstance(event, WholeMember)]
        buffer[:] = b"\xff" * size
    decoder.feed_eof()
    assert whole
    for event in whole:
        assert event.data == bytes([65 + event.size % 26]) * event.size


def test_a_loop_left_early_is_continued() -> None:
    decoder = TarDecoder()
    decoder.feed(archive(1, 2, 3))
    for event in decoder:
        assert names([event]) == ["m1"]
        break
    assert names(decoder) == ["m2", "m3"]
    assert names(decoder) == []


def test_events_not_iterated_over_come_before_those_of_the_next_chunk() -> None:
    decoder = TarDecoder()
    data = archive(1, 2)
    decoder.feed(data[:1024])
    decoder.feed(data[1024:])
    assert names(decoder) == ["m1", "m2"]


def test_feed_eof_loses_no_event() -> None:
    decoder = TarDecoder()
    decoder.feed(archive(1, 2))
    decoder.feed_eof()
    assert names(decoder) == ["m1", "m2"]


def test_feeding_after_the_end_is_a_usage_error() -> None:
    decoder = TarDecoder()
    decoder.feed(archive(1))
    decoder.feed_eof()
    with pytest.raises(UsageError, match="after feed_eof"):
        decoder.feed(b"more")
    decoder.feed_eof()  # which changed nothing


def test_an_error_comes_behind_the_members_before_it_and_sticks() -> None:
    decoder = TarDecoder()
    decoder.feed(archive(1, 2)[:-1024] + b"garbage!" * 64)
    events = iter(decoder)
    assert names([next(events)]) == ["m1"]
    calls: list[Callable[[], object]] = [
        lambda: decoder.feed(b""),
        decoder.feed_eof,
        lambda: list(decoder),  # m2, and then
        lambda: list(decoder),
        decoder.feed_eof,
        lambda: next(iter(decoder)),
    ]
    errors = []
    for call in calls:
        with pytest.raises(FormatError) as caught:
            call()
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 1


def test_a_truncation_found_at_the_end_sticks_too() -> None:
    decoder = TarDecoder()
    decoder.feed(archive(1)[:-1])
    with pytest.raises(TruncatedArchiveError):
        decoder.feed_eof()
    assert names([next(iter(decoder))]) == ["m1"]
    with pytest.raises(TruncatedArchiveError):
        list(decoder)
    with pytest.raises(TruncatedArchiveError):
        decoder.feed(b"\0")


def test_what_is_no_buffer_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        TarDecoder().feed("text")  # type: ignore[arg-type]


def test_data_may_go_past_the_decoder_but_for_the_last_byte() -> None:
    raw = archive(1_000_000, 5)
    decoder = TarDecoder()
    assert decoder.passable == 0
    decoder.feed(raw[:1000])
    assert [type(event).__name__ for event in decoder] == ["TarMemberStart", "MemberData"]
    assert decoder.passable == 1_000_000 - 488 - 1
    decoder.pass_by(900_000)
    assert decoder.passable == 100_000 - 488 - 1
    decoder.feed(raw[901_000:])
    decoder.feed_eof()
    data, end, last = decoder
    assert isinstance(data, MemberData)
    assert isinstance(last, WholeMember)
    assert (len(data.data), type(end)) == (100_000 - 488, MemberEnd)
    assert (last.data, last.offset) == (raw[-1536:-1531], len(raw) - 1536)


def test_nothing_goes_past_the_decoder_but_data_of_large_members_within_the_limit() -> None:
    raw = archive(1_000_000)
    limited = TarDecoder(limits=Limits(max_total_size=10_000))
    limited.feed(raw[:1000])
    assert limited.passable == 9000
    limited.feed(raw[1000:])  # the error is still to be met
    assert limited.passable == 0
    kept = TarDecoder()
    kept.feed(archive(2000)[:1000])
    assert kept.passable == 0
    header = TarDecoder()
    header.feed(extended(5000, b"x")[:1000])
    assert header.passable == 0


def test_a_start_is_followed_by_its_data_and_end_only() -> None:
    decoder = TarDecoder()
    kinds: list[type] = []
    for chunk in chop(archive(9000), 600):
        decoder.feed(chunk)
        kinds += map(type, decoder)
    assert kinds[1:-1] == [MemberData] * 16
    assert issubclass(kinds[0], MemberStart)
    assert kinds[-1] is MemberEnd


# -- limits --------------------------------------------------------------------------------------------------


def test_max_members_delivers_as_many_and_refuses_the_next() -> None:
    for size in (None, 100):
        members, error = decode(archive(1, 2, 3), size, limits=Limits(max_members=2))
        assert [member.name for member in members] == ["m1", "m2"]
        assert type(error) is LimitExceededError
        assert (error.limit, error.value, error.maximum) == ("max_members", 3, 2)
    assert decode(archive(1, 2, 3), limits=Limits(max_members=3))[1] is None


@pytest.mark.parametrize("name", ["base256-size-8-gib", "pax-size-8-gib", "number-octal-of-12-digits-64-gib"])
def test_max_member_size_is_asked_before_any_data(name: str) -> None:
    members, error = decode(vector(name), limits=Limits(max_member_size=8 * 2**30 - 1))
    assert members == []
    assert type(error) is LimitExceededError
    assert (error.limit, error.maximum) == ("max_member_size", 8 * 2**30 - 1)
    assert error.value >= 8 * 2**30
    assert "'a'" in str(error)


def test_max_member_size_is_inclusive() -> None:
    assert decode(archive(512), limits=Limits(max_member_size=512))[1] is None
    members, error = decode(archive(1, 513), limits=Limits(max_member_size=512))
    assert [member.name for member in members] == ["m1"]
    assert isinstance(error, LimitExceededError)
    assert error.value == 513


@pytest.mark.parametrize("name", ["base256-size-beyond-64-bits", "pax-size-beyond-64-bits"])
def test_a_size_beyond_64_bits_meets_the_limit(name: str) -> None:
    members, error = decode(vector(name))
    assert [member.name for member in members] == ["first.txt"]
    assert type(error) is LimitExceededError
    assert error.value > 2**64


@pytest.mark.parametrize("size", [None, 1, 512, 1000])
def test_max_total_size_delivers_what_lies_within(size: int | None) -> None:
    data = archive(1, 2, 20_000)
    assert decode(data, size, limits=Limits(max_total_size=len(data)))[1] is None
    members, error = decode(data, size, limits=Limits(max_total_size=2700))
    assert [member.name for member in members] == ["m1", "m2", "m20000"]
    assert [member.whole for member in members] == [True, True, False]
    assert type(error) is LimitExceededError
    assert (error.limit, error.maximum) == ("max_total_size", 2700)
    assert error.value > 2700


def test_what_is_wrong_within_max_total_size_is_said_first() -> None:
    _, error = decode(vector("checksum-wrong"), limits=Limits(max_total_size=1600))
    assert type(error) is FormatError


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("name-100-bytes", 100),
        ("name-prefix", 23),
        ("pax-path", len(LONG)),
        ("gnu-long-name", len(LONG)),
        ("pax-linkpath", len(LONG)),
        ("gnu-long-link", len(LONG)),
        ("name-utf8", len("naïve/日本.txt".encode())),
        ("type-every", 8),
    ],
)
def test_max_name_length_counts_bytes_of_names_and_link_targets(name: str, length: int) -> None:
    assert decode(vector(name), limits=Limits(max_name_length=max(length, 8)))[1] is None
    _, error = decode(vector(name), limits=Limits(max_name_length=length - 1))
    assert type(error) is LimitExceededError
    assert (error.limit, error.value, error.maximum) == ("max_name_length", length, length - 1)


def extended(size: int, typeflag: bytes) -> bytes:
    info = tarfile.TarInfo("x")
    info.size, info.type = size, typeflag
    return info.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize("typeflag", [b"x", b"g", b"X", b"L", b"K"])
def test_max_header_size_is_asked_before_the_header_is_held(typeflag: bytes) -> None:
    data = archive(1)[:-1024] + extended(2**30, typeflag)
    members, error = decode(data)
    assert [member.name for member in members] == ["m1"]
    assert type(error) is LimitExceededError
    assert (error.limit, error.value, error.maximum) == ("max_header_size", 2**30 + 512, 2**20)


def test_extended_headers_in_a_row_share_one_limit() -> None:
    one = vector("pax-path")[:1024]
    assert decode(one * 7 + archive(1), limits=Limits(max_header_size=8192))[1] is None
    _, error = decode(one * 20 + archive(1), limits=Limits(max_header_size=8192))
    assert type(error) is LimitExceededError
    assert error.limit == "max_header_size"
    # and it starts anew behind each member
    assert decode((one + archive(1)[:1024]) * 20 + END, limits=Limits(max_header_size=8192))[1] is None


def test_global_records_are_bounded_for_the_whole_archive() -> None:
    info = tarfile.TarInfo("x")
    blocks = [
        info.create_pax_global_header({f"key{number}": "v" * 1000}) + archive(1)[:1024]
        for number in range(10)
    ]
    assert decode(b"".join(blocks) + END)[1] is None
    members, error = decode(b"".join(blocks) + END, limits=Limits(max_header_size=9000))
    assert len(members) == 4
    assert type(error) is LimitExceededError
    assert (error.limit, error.maximum) == ("max_header_size", 9000)


def test_errors_are_of_our_tree() -> None:
    for name in NAMES:
        for strict in (True, False):
            _, error = decode(vector(name), strict=strict)
            assert error is None or isinstance(error, AsyncBatchError)


def test_global_records_are_bounded_by_their_number_for_each_member_holds_them_all() -> None:
    info = tarfile.TarInfo("x")
    head = info.create_pax_global_header({f"{number}": "" for number in range(1000)})
    assert decode(head + archive(1))[1] is None
    head = info.create_pax_global_header({f"{number}": "" for number in range(100_000)})
    members, error = decode(head + archive(1))
    assert members == []
    assert type(error) is LimitExceededError
    assert error.limit == "max_header_size"
