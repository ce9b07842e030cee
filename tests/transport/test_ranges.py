"""Ranges as they are asked for; and of what comes, whether it is the data, or why not."""

from __future__ import annotations

import httpx
import pytest

from asyncbatch.transport import range_header, size_of, what_is_wrong


def answer(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={name.replace("_", "-"): text for name, text in headers.items()})


@pytest.mark.parametrize(
    ("start", "length", "value"),
    [(0, None, None), (0, 1, "bytes=0-0"), (2, 4, "bytes=2-5"), (6, None, "bytes=6-")],
)
def test_ranges_are_asked_for_by_their_last_byte(start: int, length: int | None, value: str | None) -> None:
    assert range_header(start, length).get("range") == value


@pytest.mark.parametrize(
    ("start", "length", "content_range"),
    [
        (2, 4, "bytes 2-5/11"),
        (2, 4, "bytes 2-5/*"),
        (2, 9, "bytes 2-10/11"),
        (2, 20, "bytes 2-10/11"),
        (2, 20, "bytes 2-10/*"),
        (2, None, "bytes 2-10/11"),
        (2, None, "bytes 2-10/*"),
    ],
    ids=str,
)
def test_a_range_may_be_cut_by_the_end_of_the_object(
    start: int, length: int | None, content_range: str
) -> None:
    assert (
        what_is_wrong(answer(206, content_range=content_range, transfer_encoding="chunked"), start, length)
        is None
    )


@pytest.mark.parametrize(
    ("length", "content_range"),
    [
        (4, ""),
        (4, "bytes */11"),
        (4, "bytes 5-2/11"),
        (4, "bytes 1-4/11"),
        (4, "bytes 2-4/11"),
        (4, "bytes 2-6/11"),
        (4, "bytes 2-6/7"),
        (None, "bytes 2-9/11"),
        (4, f"bytes 2-{'1' * 21}/11"),
        (4, "items 2-5/11"),
    ],
    ids=str,
)
def test_another_range_is_not_the_data(length: int | None, content_range: str) -> None:
    problem = what_is_wrong(answer(206, content_range=content_range, content_length="4"), 2, length)
    assert problem is not None
    assert "another range came" in problem


def test_what_else_is_not_the_data() -> None:
    whole = answer(200, content_length="11")
    assert what_is_wrong(whole, 0, None) is None
    assert what_is_wrong(whole, 0, 11) == "a range was asked for, and the whole object came"
    part = answer(206, content_range="bytes 0-3/11", content_length="4")
    assert what_is_wrong(part, 0, None) == "the whole object was asked for, and a part of it came"
    short = answer(206, content_range="bytes 2-5/11", content_length="3")
    assert what_is_wrong(short, 2, 4) == "bytes 2-5/11 came with 3 bytes"
    for endless in (answer(200), answer(206, content_range="bytes 2-5/11")):
        start, length = (2, 4) if endless.status_code == 206 else (0, None)
        assert "does not tell where it ends" in (what_is_wrong(endless, start, length) or "")


def test_sizes_are_those_of_the_data_not_of_the_object() -> None:
    assert size_of(answer(206, content_range="bytes 2-5/11", transfer_encoding="chunked")) == 4
    assert size_of(answer(200, content_length="11")) == 11
    assert size_of(answer(200, transfer_encoding="chunked")) is None
