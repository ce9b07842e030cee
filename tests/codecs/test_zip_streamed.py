"""Members that tell their size behind their data: where they end, whatever is in them and behind them."""

from __future__ import annotations

import pytest

from asyncbatch.errors import FormatError, TruncatedArchiveError

from ..support.zips import Entry, build, descriptor, field_of, read, split

NOISE = bytes((n * n * 31 + n // 7) % 251 + 1 for n in range(3000))  # no zeros
SIZES = [0, 1, 5, 12, 100, 3000, 20_000]
TIME = field_of(0x5455, bytes(5))


def _streamed(size: int, data: bytes = NOISE, before: str = "signed", method: int = 0) -> Entry:
    return Entry(
        b"x", (data * (size // len(data) + 1))[:size], method, 0, before, extra=TIME, central_extra=TIME
    )


def _check(entries: list[Entry], **options: object) -> None:
    """Read an archive in chunks of all sizes."""
    archive = build(entries, **options)  # type: ignore[arg-type]
    for chunk_size in (100, 1000, 4096, 10_000, 1 << 20):
        for strict in (True, False):
            result = read(split(archive, chunk_size), strict=strict)
            assert result.error is None
            assert [data for _, data in result.members] == [entry.data for entry in entries]


@pytest.mark.parametrize("method", [0, 8])
@pytest.mark.parametrize("before", ["signed", "bare", "signed64"])
@pytest.mark.parametrize(
    "data", [NOISE, bytes(100), b"\1\0\2\3\4\5\6\7" * 9, b"PK\3\4" + bytes(30), b"PK\7\x08PK\3\4" + bytes(30)]
)
def test_members_of_all_sizes(data: bytes, before: str, method: int) -> None:
    _check([_streamed(size, data, before, method) for size in (*SIZES, *SIZES, 3000, 3000)])


@pytest.mark.parametrize("method", [0, 8])
@pytest.mark.parametrize("size", SIZES)
def test_what_follows_may_be_anything(size: int, method: int) -> None:
    streamed = _streamed(size, method=method)
    known = Entry(b"y", NOISE)
    _check([streamed, streamed, known, streamed, known, known, streamed])
    _check([streamed, streamed, Entry(b"dir/"), streamed, Entry(b"dir/", method=8, descriptor="bare")])


@pytest.mark.parametrize("comment", [b"", b"a comment", b"x" * 65_535])
@pytest.mark.parametrize("zip64", [None, {}])
def test_the_last_one_comes_before_the_end_is_said(comment: bytes, zip64: dict[str, int] | None) -> None:
    records = {"comment": b"of the member", "central": {"attributes": 0o100644 << 16}}
    entries = [Entry(b"x", NOISE, 0, 0, "signed", **records) for _ in range(3)]  # type: ignore[arg-type]
    _check(entries, comment=comment, zip64=zip64)


@pytest.mark.parametrize("size", SIZES)
def test_what_was_kept_is_cut(size: int) -> None:
    archive = build([_streamed(size)] * 3)
    for end in range(1, len(archive), 37):
        for chunk_size in (1000, 1 << 20):
            result = read(split(archive[:end], chunk_size))
            assert type(result.error) is TruncatedArchiveError


@pytest.mark.parametrize("chunk_size", [1000, 1 << 20])
@pytest.mark.parametrize("method", [0, 8])
def test_a_descriptor_that_is_wrong_is_no_end(method: int, chunk_size: int) -> None:
    good = _streamed(3000, method=method)
    packed = len(build([good])) - len(build([_streamed(0)])) - (2 if method else 0)
    for wrong in (descriptor("signed", 1, packed, 3000), descriptor("signed", 1, 0, 0), bytes(16)):
        bad = _streamed(3000, method=method)
        bad.behind = wrong
        result = read(split(build([good, bad, good]), chunk_size))
        assert isinstance(result.error, FormatError)
        assert [data for _, data in result.members] == [good.data]


def test_a_header_that_says_more_than_zeros_is_held_to_it() -> None:
    for fields in ({"crc": 1}, {"packed": 3, "size": 3}, {"size": 3000}):
        bad = _streamed(3000)
        bad.local = fields
        result = read([build([_streamed(5), bad])])
        assert (result.error is None) == (fields == {"size": 3000})


def test_more_than_may_be_kept_is_handed_out() -> None:
    entries = [_streamed(5), _streamed(600_000), _streamed(5)]
    result = read(split(build(entries), 50_000))

    assert result.error is None
    assert [data for _, data in result.members] == [entry.data for entry in entries]
    assert len(result.events) > 10


@pytest.mark.parametrize("chunk_size", [100, 1 << 20])
def test_sizes_that_the_caller_knows(chunk_size: int) -> None:
    entries = [_streamed(size) for size in SIZES]
    archive = build(entries)
    assert read(split(archive, chunk_size), sizes=SIZES).members == [("x", entry.data) for entry in entries]
    assert read(split(archive, chunk_size), sizes=SIZES[:3]).error is None
    for index in range(1, len(SIZES)):
        sizes = [*SIZES[:index], SIZES[index] + 1, *SIZES[index + 1 :]]
        result = read(split(archive, chunk_size), sizes=sizes)
        assert isinstance(result.error, FormatError)
        assert len(result.members) == index


@pytest.mark.parametrize("size", [100, 1000, 10**6])
@pytest.mark.parametrize("garbage", [b"garbage", b"garbage\x06" + b"x" * 50, b"\x06" * 60])
def test_garbage_behind_the_end_takes_nothing_of_the_last_member(garbage: bytes, size: int) -> None:
    """However much it looks as if more of that member were to come."""
    archive = build([_streamed(5), _streamed(7)])
    result = read(split(archive + garbage, size))
    assert type(result.error) is FormatError
    assert result.error.reason.startswith("data stands behind the end")
    assert len(result.members) == 2
    result = read(split(archive + garbage, size), strict=False)
    assert result.error is None
    assert len(result.members) == 2


@pytest.mark.parametrize("before", ["signed", "bare", "signed64"])
@pytest.mark.parametrize("method", [0, 8])
def test_many_members_in_one_large_chunk(before: str, method: int) -> None:
    sizes = [4000, 300_000, 0, 70_000, 5] * 8
    result = read([build([_streamed(size, before=before, method=method) for size in sizes])])
    assert result.error is None
    assert [len(data) for _, data in result.members] == sizes
