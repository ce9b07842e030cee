"""The zip decoder: its events and their fields, its end, errors that stick, limits."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from typing import Any

import pytest

from asyncbatch.codecs import MemberData, MemberEnd, MemberStart, WholeMember, ZipDecoder
from asyncbatch.errors import (
    FormatError,
    LimitExceededError,
    TruncatedArchiveError,
    UnsupportedFormatError,
    UsageError,
)
from asyncbatch.limits import Limits

from ..support.zips import VECTORS, Entry, build, descriptor, field_of, pack, read, split

A, B = Entry(b"a.txt", b"alpha"), Entry(b"b.txt", b"beta")
LARGE = bytes(range(256)) * 400
NOISE = b"".join(hashlib.sha256(bytes([n // 256, n % 256])).digest() for n in range(12_000))
METHODS = {"stored": (0, 0), "deflated": (8, 0), "bzip2": (12, 0), "lzma": (14, 2), "zstd": (93, 0)}


def _vector(name: str) -> bytes:
    return (VECTORS / f"{name}.zip").read_bytes()


# -- events -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, "signed", "bare", "signed64", "bare64"])
@pytest.mark.parametrize("method", METHODS)
def test_a_member_that_is_whole_is_one_event(method: str, before: str | None) -> None:
    number, flags = METHODS[method]
    data = build([Entry(b"x", LARGE, number, flags, before), Entry(b"y", b"1", number, flags, before)])
    result = read([data])

    assert [type(event).__mro__[2] for event in result.events] == [WholeMember, WholeMember]
    assert result.members == [("x", LARGE), ("y", b"1")]
    x = result.events[0]
    assert (x.size, x.crc, x.compress_method) == (len(LARGE), zlib.crc32(LARGE), number)
    assert (x.kind, x.mode, x.linkname, x.raw_name) == ("file", None, "", b"x")
    assert x.offset == 31
    assert repr(x) == "<ZipWholeMember 'x' size=102400>"


@pytest.mark.parametrize("before", [None, "signed", "bare", "signed64", "bare64"])
@pytest.mark.parametrize("method", METHODS)
def test_a_larger_one_is_a_start_data_and_an_end(method: str, before: str | None) -> None:
    number, flags = METHODS[method]
    data = build([A, Entry(b"x", NOISE, number, flags, before), B])
    result = read(split(data, 50_000))

    assert result.error is None
    assert result.members == [("a.txt", b"alpha"), ("x", NOISE), ("b.txt", b"beta")]
    start = next(event for event in result.events if isinstance(event, MemberStart))
    assert start.size == (None if before else len(NOISE))
    assert start.crc == (None if before else zlib.crc32(NOISE))  # type: ignore[attr-defined]
    assert start.offset == 40 + 31
    assert {type(event) for event in result.events[2:-2]} == {MemberData}
    assert isinstance(result.events[-2], MemberEnd)


@pytest.mark.parametrize("method", ["deflated", "bzip2", "lzma", "zstd"])
@pytest.mark.parametrize("before", [None, "signed"])
def test_what_expands_to_more_than_a_step_comes_in_steps(method: str, before: str | None) -> None:
    number, flags = METHODS[method]
    data = bytes(1_000_000)
    entry = Entry(b"x", data, number, flags, before)
    result = read([build([entry, B, entry])])

    assert result.error is None
    assert result.members == [("x", data), ("b.txt", b"beta"), ("x", data)]
    assert all(len(event.data) <= 262_144 for event in result.events if isinstance(event, MemberData))
    assert len(result.events) >= 11


def test_zstd_frames_in_a_row() -> None:
    frame = pack(93, b"alpha")
    skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc"
    late = Entry(b"late", b"alpha", 93, 0, "signed", packed=skippable + frame)
    known = Entry(b"known", b"alphaalpha", 93, packed=frame + skippable + frame)

    assert read([build([late, known])]).members == [("late", b"alpha"), ("known", b"alphaalpha")]


def test_lzma_of_a_known_size_needs_no_end_mark() -> None:
    # What 7-Zip writes if told to; Python's compressor always writes the mark.
    result = read([_vector("7z-lzma-without-end")])

    assert result.error is None
    assert result.events[-1].compress_method == 14


def test_stored_data_is_a_view_of_what_was_fed() -> None:
    data = build([Entry(b"x", LARGE)])
    decoder = ZipDecoder()
    decoder.feed(data[:20_000])
    list(decoder)
    chunk = data[20_000:40_000]
    decoder.feed(chunk)
    (event,) = decoder

    assert isinstance(event, MemberData)
    assert isinstance(event.data, memoryview)
    assert event.data.obj is chunk


def test_whole_members_outlive_the_buffer_that_was_fed() -> None:
    buffer = bytearray(build([A, B]))
    decoder = ZipDecoder()
    decoder.feed(memoryview(buffer))
    events: list[Any] = list(decoder)
    buffer[:] = bytes(len(buffer))

    assert [(event.name, event.data) for event in events] == [("a.txt", b"alpha"), ("b.txt", b"beta")]


def test_a_short_member_that_was_cut_comes_whole() -> None:
    result = read(split(build([A, B]), 20))

    assert [event.data for event in result.events] == [b"alpha", b"beta"]


@pytest.mark.parametrize("method", [0, 8])
@pytest.mark.parametrize("before", [None, "signed"])
@pytest.mark.parametrize("chunk_size", [20_000, 30_000])
def test_one_that_fits_in_a_few_chunks_comes_whole(method: int, before: str | None, chunk_size: int) -> None:
    entries = [Entry(f"{n}".encode(), NOISE[n : n + 50_000 + 7 * n], method, 0, before) for n in range(20)]
    result = read(split(build(entries), chunk_size))

    assert result.error is None
    assert [data for _, data in result.members] == [entry.data for entry in entries]
    assert len([event for event in result.events if isinstance(event, WholeMember)]) >= 19


def test_a_loop_that_was_left_is_continued() -> None:
    decoder = ZipDecoder()
    data = build([A, B])
    decoder.feed(data[:60])
    assert next(iter(decoder)).name == "a.txt"  # type: ignore[union-attr]
    decoder.feed(data[60:])
    assert next(iter(decoder)).name == "b.txt"  # type: ignore[union-attr]
    assert decoder.directory is None
    decoder.feed_eof()
    assert list(decoder) == []
    assert decoder.directory is not None


def test_what_was_not_iterated_over_is_not_lost() -> None:
    decoder = ZipDecoder()
    for chunk in split(build([A, Entry(b"x", LARGE), B]), 1000):
        decoder.feed(chunk)
    decoder.feed_eof()

    assert [event.name for event in decoder if not isinstance(event, MemberData | MemberEnd)] == [
        "a.txt", "x", "b.txt",
    ]  # fmt: skip
    assert decoder.directory is not None


def test_what_is_cut_raises_behind_what_was_not_iterated_over() -> None:
    decoder = ZipDecoder()
    decoder.feed(build([A, B])[:50])
    decoder.feed_eof()
    events = iter(decoder)

    assert next(events).name == "a.txt"  # type: ignore[union-attr]
    with pytest.raises(TruncatedArchiveError):
        next(events)


def test_an_empty_chunk_says_nothing() -> None:
    assert read([b"", build([A]), b"", b""]).error is None


# -- fields -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mtime"),
    [
        ("stored", 1_704_110_400.0),
        ("timestamp", 1_700_000_000.0),
        ("timestamp-without-mtime", 1_704_110_400.0),
        ("no-date", None),
        ("infozip-streamed", 1_704_164_645.0),
        ("go-stored", 1_704_164_645.0),
    ],
)
def test_mtime(name: str, mtime: float | None) -> None:
    assert read([_vector(name)]).starts[0].mtime == mtime


@pytest.mark.parametrize(
    ("vector", "raw_name"),
    [
        ("name-cp437", b"\x81ber.txt"),
        ("name-utf8-unflagged", b"\xc3\xbcber.txt"),
        ("name-utf8-undecodable", b"\xffber.txt"),
        ("name-unicode-path", b"uber.txt"),
    ],
)
def test_the_bytes_of_a_name_stay_available(vector: str, raw_name: bytes) -> None:
    result = read([_vector(vector)])

    assert result.starts[0].raw_name == raw_name
    assert result.directory[0].raw_name == raw_name


def test_a_directory_is_told_by_its_name() -> None:
    assert [event.kind for event in read([_vector("directory")]).starts] == ["dir", "file"]


def test_records() -> None:
    link, file = read([_vector("symlink")]).directory

    assert (link.name, link.kind, link.is_symlink, link.mode, link.size) == (
        "link",
        "symlink",
        True,
        0o777,
        6,
    )
    assert (file.kind, file.is_symlink, file.mode, file.offset) == ("file", False, 0o644, 40)
    with pytest.raises(dataclasses.FrozenInstanceError):
        file.mode = 0


def test_attributes_of_dos_are_no_mode() -> None:
    (record,) = read([_vector("from-dos")]).directory

    assert record.mode is None


def test_no_record_before_the_end() -> None:
    assert read([build([A])[:-1]]).directory is None
    assert read([_vector("end-entries")]).directory is None


def test_modes_that_agree_may_be_of_one_name() -> None:
    executable = {"attributes": 0o100755 << 16}
    data = build([A, A, Entry(b"run", b"", central=executable), Entry(b"run", b"", central=executable)])

    assert read([data]).error is None


# -- the end ------------------------------------------------------------------------------------------------


def test_empty_input_is_cut() -> None:
    for strict in (True, False):
        with pytest.raises(TruncatedArchiveError, match="the input is empty at byte 0"):
            ZipDecoder(strict=strict).feed_eof()


@pytest.mark.parametrize("before", [None, "signed"])
@pytest.mark.parametrize("method", METHODS)
def test_a_cut_member_is_named(method: str, before: str | None) -> None:
    number, flags = METHODS[method]
    error = read([build([A, Entry(b"x", NOISE, number, flags, before)])[:20_000]]).error

    assert isinstance(error, TruncatedArchiveError)
    assert error.member == "x"
    assert error.offset == 20_000


@pytest.mark.parametrize("size", [1, 3, 20, 35])
def test_the_beginning_of_a_member_is_cut(size: int) -> None:
    assert isinstance(read([build([A])[:size]]).error, TruncatedArchiveError)


def test_zeros_behind_the_end_come_in_chunks() -> None:
    assert read([_vector("end-trailing-zeros"), bytes(1000), bytes(1)]).error is None
    error = read([_vector("end-trailing-zeros"), bytes(1000), b"\0\1"]).error
    assert isinstance(error, FormatError)
    assert error.offset == 123 + 1001


# -- errors -------------------------------------------------------------------------------------------------


def test_errors_stick() -> None:
    decoder = ZipDecoder()
    decoder.feed(_vector("local-crc"))
    with pytest.raises(FormatError) as first:
        list(decoder)
    for again in (lambda: decoder.feed(b""), lambda: list(decoder), decoder.feed_eof):
        with pytest.raises(FormatError) as caught:
            again()
        assert caught.value is first.value


def test_events_before_an_error_come_first() -> None:
    decoder = ZipDecoder()
    decoder.feed(_vector("7z-deflate64"))
    events = iter(decoder)

    assert [next(events).name, next(events).name] == ["empty", "noise.bin"]  # type: ignore[union-attr]
    with pytest.raises(UnsupportedFormatError):
        next(events)


def test_a_cause_is_kept() -> None:
    error = read([_vector("deflated-garbage")]).error

    assert error is not None
    assert error.__cause__ is not None


def test_nothing_can_be_fed_behind_the_end() -> None:
    decoder = ZipDecoder()
    decoder.feed(build([A]))
    list(decoder)
    decoder.feed_eof()
    with pytest.raises(UsageError, match=r"after feed_eof\(\)"):
        decoder.feed(b"x")
    decoder.feed_eof()


# -- sizes known to the caller ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("before", [None, "signed", "bare64"])
def test_sizes_that_are_right(method: str, before: str | None) -> None:
    number, flags = METHODS[method]
    entries = [Entry(b"x", LARGE, number, flags, before), A]
    for sizes in ([len(LARGE), 5], [len(LARGE)]):
        for chunk_size in (1000, 1 << 20):
            result = read(split(build(entries), chunk_size), sizes=sizes)
            assert result.error is None
            assert [data for _, data in result.members] == [LARGE, b"alpha"]
            assert result.starts[0].size == len(LARGE)


@pytest.mark.parametrize("size", [0, 4, 6, 10_000])
@pytest.mark.parametrize("before", [None, "signed"])
@pytest.mark.parametrize("method", [0, 8])
def test_sizes_that_are_wrong(method: int, before: str | None, size: int) -> None:
    result = read([build([Entry(b"a.txt", b"alpha", method, 0, before)])], sizes=[size])

    assert result.members == []
    assert isinstance(result.error, FormatError)


def test_sizes_are_not_negative() -> None:
    with pytest.raises(UsageError, match=r"negative number in it \(-1\)"):
        ZipDecoder(sizes=[3, -1])


# -- limits -------------------------------------------------------------------------------------------------


def _limit(data: bytes, expected: str, chunk_size: int = 1 << 20, **limits: Any) -> Any:  # noqa: ANN401
    result = read(split(data, chunk_size), limits=Limits(**limits))
    with pytest.raises(LimitExceededError) as caught:
        raise result.error or AssertionError
    assert caught.value.limit == expected
    return result


def test_max_members() -> None:
    assert len(_limit(build([A, B, A]), "max_members", max_members=2).members) == 2
    assert read([build([A, B])], limits=Limits(max_members=2)).error is None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("before", [None, "signed"])
@pytest.mark.parametrize("chunk_size", [3000, 1 << 20])
def test_max_member_size(method: str, before: str | None, chunk_size: int) -> None:
    number, flags = METHODS[method]
    data = build([A, Entry(b"x", LARGE, number, flags, before)])
    result = _limit(data, "max_member_size", chunk_size, max_member_size=len(LARGE) - 1)

    assert result.members == [("a.txt", b"alpha")]
    assert read(split(data, chunk_size), limits=Limits(max_member_size=len(LARGE))).error is None


def test_max_total_size_of_the_archive() -> None:
    data = build([A, B])
    assert read([data], limits=Limits(max_total_size=len(data))).error is None
    for chunk_size in (1, 1 << 20):
        assert len(_limit(data, "max_total_size", chunk_size, max_total_size=len(data) - 1).members) == 2
        assert len(_limit(data, "max_total_size", chunk_size, max_total_size=50).members) == 1


@pytest.mark.parametrize("chunk_size", [3000, 1 << 20])
def test_max_total_size_of_what_comes_out(chunk_size: int) -> None:
    data = build([Entry(f"{number}".encode(), bytes(100_000), 8) for number in range(20)])

    assert len(_limit(data, "max_total_size", chunk_size, max_total_size=1_000_000).members) < 15
    assert read([data], limits=Limits(max_total_size=2_000_000 + len(data))).error is None


def test_max_name_length() -> None:
    data = build([Entry(b"n" * 100, b"1")])
    _limit(data, "max_name_length", max_name_length=99)
    _limit(data, "max_name_length", 1, max_name_length=99)
    assert read([data], limits=Limits(max_name_length=100)).error is None


def test_max_header_size() -> None:
    extra = field_of(0x9999, bytes(96))
    _limit(build([Entry(b"a", b"1", extra=extra)]), "max_header_size", max_header_size=99)
    _limit(build([Entry(b"a", b"1", central_extra=extra)]), "max_header_size", max_header_size=99)
    assert read([build([Entry(b"a", extra=extra)])], limits=Limits(max_header_size=100)).error is None
    assert read([build([Entry(b"a")])], limits=Limits(max_header_size=1)).error is None


# -- bombs --------------------------------------------------------------------------------------------------


def _bomb(method: int, *, before: str | None = None, size: int = 300 << 20) -> bytes:
    import zstandard  # noqa: PLC0415

    if method == 8:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(size >> 20)) + deflate.flush()
    else:
        compressor = zstandard.ZstdCompressor().compressobj()
        packed = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(size >> 20)) + compressor.flush()
    facts = {} if before else {"size": size}
    return build([A, Entry(b"bomb", b"", method, 0, before, packed=packed, local=facts)])


@pytest.mark.parametrize("before", [None, "signed"])
@pytest.mark.parametrize("method", [8, 93])
def test_a_bomb_is_stopped_after_a_step(method: int, before: str | None) -> None:
    decoder = ZipDecoder(limits=Limits(max_ratio=500))
    decoder.feed(_bomb(method, before=before))
    sizes: list[int] = []
    with pytest.raises(LimitExceededError) as caught:
        sizes.extend(len(event.data) for event in decoder if isinstance(event, MemberData))

    assert caught.value.limit == "max_ratio"
    assert max(sizes) <= 262_144
    assert sum(sizes) <= 64 << 20


def test_a_bomb_of_many_members_is_stopped() -> None:
    member = bytes(200_000)
    data = build([Entry(f"{number}".encode(), member, 8) for number in range(400)])
    result = _limit(data, "max_ratio", max_ratio=400)

    assert 320 < len(result.members) < 350
    assert _limit(build([Entry(f"{n}".encode(), member, 93) for n in range(400)]), "max_ratio", max_ratio=400)


def test_what_comes_out_is_taken_in_steps() -> None:
    decoder = ZipDecoder()
    decoder.feed(build([Entry(f"{number}".encode(), bytes(100_000), 8) for number in range(20)]))
    events = iter(decoder)
    next(events)

    assert decoder._inflated <= 262_144 + 100_000
    assert len(list(events)) == 19


def test_a_header_s_number_allocates_nothing() -> None:
    huge = {"packed": 0xFFFF_FFFE, "size": 0xFFFF_FFFE}
    for method in (0, 8, 12, 93):
        error = read([build([Entry(b"a", b"data", method, local=huge)])]).error
        assert isinstance(error, FormatError)


# -- more than 32 bits --------------------------------------------------------------------------------------


class _Zeros:
    """A member of a little over 4 GiB, and how to feed it without holding it."""

    size = (4 << 30) + (1 << 20)
    piece = bytes(1 << 20)

    @classmethod
    def chunks(cls, *, zip64: bool) -> Any:  # noqa: ANN401
        crc = 0
        for _ in range(cls.size // len(cls.piece)):
            crc = zlib.crc32(cls.piece, crc)
        wide = (0xFFFF_FFFF, 0xFFFF_FFFF)
        sizes = cls.size.to_bytes(8, "little") * 2
        facts = {"crc": crc, "packed": wide[0], "size": wide[1]}
        field = field_of(1, sizes)
        late = {} if zip64 else {"crc": 0, "packed": 0, "size": 0}
        entry = Entry(
            b"zeros", b"", packed=b"", local=facts | late, central=facts, central_extra=field,
            extra=field if zip64 else b"", flags=0 if zip64 else 8,
            behind=b"" if zip64 else descriptor("signed64", crc, cls.size, cls.size),
        )  # fmt: skip
        after = Entry(b"after", b"1", central={"offset": 0xFFFF_FFFF})
        head_size = 35 + len(entry.extra)
        offset = head_size + cls.size + len(entry.behind or b"")
        after.central_extra = field_of(1, offset.to_bytes(8, "little"))
        small = build([entry, after])
        directory = small.index(b"PK\x01\x02")
        data = build([entry, after], zip64={"offset": directory + cls.size, "at": len(small) - 22 + cls.size})
        yield data[:head_size]
        for _ in range(cls.size // len(cls.piece)):
            yield cls.piece
        yield data[head_size:]


@pytest.mark.parametrize("zip64", [True, False])
def test_more_than_4_gib(*, zip64: bool) -> None:
    decoder = ZipDecoder()
    came = 0
    names = []
    for chunk in _Zeros.chunks(zip64=zip64):
        decoder.feed(chunk)
        for event in decoder:
            if isinstance(event, MemberData):
                came += len(event.data)
            elif not isinstance(event, MemberEnd):
                names.append(event.name)
    decoder.feed_eof()

    assert came == _Zeros.size
    assert names == ["zeros", "after"]
    assert decoder.directory is not None
    assert [record.size for record in decoder.directory] == [_Zeros.size, 1]


# -- central directories that are long, or out of order -----------------------------------------------------


def test_kinds_of_headers_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncbatch.codecs._zip_plain._MAX_KINDS", 2)
    entries = [Entry(f"{number}".encode(), b"1", local={"version": number}) for number in range(10, 20)]
    decoder = ZipDecoder()
    decoder.feed(build(entries))

    assert len(list(decoder)) == 10
    assert len(decoder._plain._kinds) <= 2


@pytest.mark.parametrize("chunk_size", [50, 4096, 1 << 20])
@pytest.mark.parametrize("extra", [b"", field_of(0x5455, bytes(5)), field_of(0x9999, b"x"), b"\0"])
def test_many_members(extra: bytes, chunk_size: int) -> None:
    entries = [Entry(f"{number:04}".encode(), b"data", central_extra=extra) for number in range(300)]
    orders = (range(300), reversed(range(300)), [*range(150), *range(299, 149, -1)])
    for order in orders:
        result = read(split(build(entries, central_order=list(order)), chunk_size))
        assert result.error is None
        assert [record.name for record in result.directory] == [f"{number:04}" for number in range(300)]


def test_extra_fields_of_the_directory_change_from_member_to_member() -> None:
    extras = [
        b"",
        field_of(0x5455, bytes(5)),
        field_of(0x5455, bytes(9)),
        b"UT",
        b"",
        field_of(0x9999, b"12345"),
    ]
    entries = [Entry(f"{n}".encode(), b"1", central_extra=extras[n % len(extras)]) for n in range(60)]

    assert read([build(entries)]).error is None
