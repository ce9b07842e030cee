"""How much one request asks for: by count, by bytes, and by what a bundle can bring at all."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch.batch import Entry
from asyncbatch.errors import UsageError
from asyncbatch.tigris.wire import encode_bundle, reach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncbatch.tigris.wire import Encoding


def parts_of(entries: Sequence[Entry], encoding: Encoding = "json") -> list[tuple[int, int]]:
    """Return where each request begins and ends."""
    ends = [0]
    while ends[-1] < len(entries):
        ends.append(reach(entries, ends[-1], encoding))
    return list(pairwise(ends))


def whole(count: int, bucket: str = "b") -> list[Entry]:
    return [Entry(f"k{index}", bucket, "t3") for index in range(count)]


def ranges(count: int) -> list[Entry]:
    return [Entry("r", "b", "t3", start=1) for _ in range(count)]


FILE = Entry("s.tar", "b", "t3", archpath="a")


@pytest.mark.parametrize(
    ("entries", "parts"),
    [
        (whole(1), [(0, 1)]),
        (whole(5000), [(0, 5000)]),
        (whole(12_001), [(0, 5000), (5000, 10_000), (10_000, 12_001)]),
        ([*whole(5), FILE], [(0, 6)]),
        ([*whole(16), FILE], [(0, 16), (16, 17)]),
        ([FILE, *whole(15), *ranges(2)], [(0, 18)]),
        ([FILE, *whole(15)], [(0, 16)]),
        ([FILE, *whole(16)], [(0, 1), (1, 17)]),
        (ranges(7000), [(0, 7000)]),
        (ranges(3) + whole(20) + ranges(3), [(0, 3), (3, 23), (23, 26)]),
        (whole(20) + whole(20, "c"), [(0, 20), (20, 40)]),
        (whole(3) + whole(3, "c") + whole(16), [(0, 6), (6, 22)]),
        (whole(5003) + ranges(1), [(0, 5000), (5000, 5004)]),
        (whole(20) + whole(3, "c") + whole(20), [(0, 20), (20, 23), (23, 43)]),
    ],
    ids=lambda value: str(len(value)),
)
def test_runs(entries: list[Entry], parts: list[tuple[int, int]]) -> None:
    assert parts_of(entries) == parts


@pytest.mark.parametrize("encoding", ["json", "xml"])
@pytest.mark.parametrize("letter", ["x", "ü", "&", "😀", '"', "\x01"], ids=ascii)
def test_no_body_is_larger_than_it_may_be(letter: str, encoding: Encoding) -> None:
    if letter == "\x01" and encoding == "xml":
        with pytest.raises(UsageError, match="XML cannot say"):
            parts_of([Entry("a" * 5000 + letter, "b", "t3")] * 4000, encoding)
        return
    key = letter * (1024 // len(letter.encode()))
    entries = [Entry(f"{index:04}{key[:-4]}", "b", "t3") for index in range(6500)]
    parts = parts_of(entries, encoding)
    sizes = [
        len(encode_bundle("b", [entry.name for entry in entries[first:end]], encoding=encoding).body)
        for first, end in parts
    ]
    assert max(sizes) <= 5_000_000
    assert all(
        end - first == 5000 or size > 4_990_000
        for (first, end), size in list(zip(parts, sizes, strict=True))[:-1]
    )
    assert sum(end - first for first, end in parts) == 6500


@settings(max_examples=25)
@given(st.lists(st.text('a/%"\\\n\r\x00\x1f\x7f\u2028ü😀', min_size=1), min_size=1, max_size=20))
def test_json_says_any_key(keys: list[str]) -> None:
    request = encode_bundle("my-bucket", keys)
    assert json.loads(request.body) == {"keys": keys}
    assert (request.method, request.path, request.query) == ("POST", "/my-bucket", {"bundle": ""})
