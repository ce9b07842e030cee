"""The metadata of multipart answers: paired with the entries by position, and held against them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncbatch import FormatError, TruncatedArchiveError
from asyncbatch.aistore.wire import parse_metadata
from asyncbatch.batch import Entry

ENTRIES = (
    Entry("a", "b", "ais"),
    Entry("s.tar", "b", "ais", archpath="x", start=2, length=7, opaque=b"\xfb\xff"),
    Entry("c", "b", "ais", start=5),
)
OUT: list[dict[str, Any]] = [
    {"objname": "a", "bucket": "b", "provider": "ais", "size": 3},
    {"objname": "s.tar/x", "bucket": "b", "provider": "", "opaque": "+/8=", "size": 7},
    {"objname": "c", "bucket": "b", "provider": "ais", "size": 0},
]


def encode(out: object) -> bytes:
    return json.dumps({"uuid": "gbt-1", "out": out}).encode() + b"\n"


def changed(index: int, **facts: object) -> bytes:
    """Make metadata one entry of which says other things; None for nothing."""
    out = [dict(one) for one in OUT]
    out[index] |= facts
    out[index] = {key: value for key, value in out[index].items() if value is not None}
    return encode(out)


def test_sizes_come_by_position() -> None:
    assert parse_metadata(encode(OUT), ENTRIES) == ([3, 7, 0], {})


def test_names_do_not_matter() -> None:
    assert parse_metadata(changed(0, objname="other", bucket=None), ENTRIES).sizes == [3, 7, 0]


@pytest.mark.parametrize("index", [0, 1])
def test_an_error_comes_by_position_and_has_no_size(index: int) -> None:
    facts = parse_metadata(changed(index, err_msg="t[1]: gone", size=9), ENTRIES)
    assert facts.errors == {index: "t[1]: gone"}
    assert facts.sizes[index] == 0


def test_an_error_that_is_no_text_is_one_all_the_same() -> None:
    assert parse_metadata(changed(2, err_msg={"code": 404}), ENTRIES).errors == {2: '{"code": 404}'}


@pytest.mark.parametrize("out", [None, [], OUT[:1], OUT[:2]])
def test_too_few_entries_are_an_answer_cut_short(out: list[Any] | None) -> None:
    with pytest.raises(TruncatedArchiveError, match=f"ends behind {len(out or [])} of 3 entries"):
        parse_metadata(encode(out), ENTRIES)


@pytest.mark.parametrize("size", [0, 6, 8, 4096])
def test_a_range_of_another_size_is_an_answer_cut_short(size: int) -> None:
    with pytest.raises(
        TruncatedArchiveError, match=rf"entry 1: .* 7 bytes of object 's\.tar' .*{size} bytes"
    ):
        parse_metadata(changed(1, size=size), ENTRIES)


def test_too_many_entries_are_an_error() -> None:
    with pytest.raises(FormatError, match="tells of 4 entries, and 3") as caught:
        parse_metadata(encode([*OUT, OUT[0]]), ENTRIES)
    assert type(caught.value) is FormatError


@pytest.mark.parametrize(
    "size", [None, -1, True, False, "3", 3.0, 1 << 63, 10**400, [], float("nan"), "x" * 1000]
)
@pytest.mark.parametrize("index", [0, 2])
def test_what_is_no_size_is_an_error_that_names_the_entry(index: int, size: object) -> None:
    with pytest.raises(FormatError, match=f"entry {index}: the metadata has no size") as caught:
        parse_metadata(changed(index, size=size), ENTRIES)
    assert type(caught.value) is FormatError
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("index", "opaque"), [(0, "AA=="), (1, None), (1, ""), (1, "-_8="), (1, "+/8"), (1, 7), (2, ["+/8="])]
)
def test_another_opaque_is_an_error_that_names_the_entry(index: int, opaque: object) -> None:
    with pytest.raises(FormatError, match=f"entry {index}: the opaque"):
        parse_metadata(changed(index, opaque=opaque), ENTRIES)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b"\xff",
        b'{"out":{"a":1}}',
        b'{"out":7}',
        b'{"out":[1,2,3]}',
        b'{"out":' + b"[" * 100_000,
        b'{"out":' + b"9" * 10_000 + b"}",
    ],
)
def test_what_is_no_metadata_is_an_error(body: bytes) -> None:
    with pytest.raises(FormatError, match="the metadata") as caught:
        parse_metadata(body, ENTRIES)
    assert type(caught.value) is FormatError
