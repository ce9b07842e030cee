"""A batch of fifty mixed items, cut in memory: where something begins, and at one place in a hundred."""

from __future__ import annotations

import asyncio
import re

import pytest

from ..support.mixed import EXPECTED, answer
from ..sweep import CASES, sweep

_STRIDE = 101
_MARKS = re.compile(rb"PK..|ustar|\r\n--|\r\n\r\n|\x1f\x8b|\x04\x22M\x18")


def structural(body: bytes, *, first: int = 20) -> set[int]:
    """Return where members, records and parts begin, the `first` and the last ones, and their neighbours."""
    marks = [match.start() for match in _MARKS.finditer(body)]
    places = {mark + shift for mark in [*marks[:first], *marks[-first:]] for shift in (-257, -1, 0, 1, 4)}
    return {place for place in places if 0 <= place < len(body)} | {0, 1, len(body) - 1}


@pytest.mark.sweep
@pytest.mark.parametrize(("form", "streaming", "end", "chunk"), CASES)
def test_a_cut_is_not_seen(form: str, streaming: bool, end: str, chunk: int) -> None:  # noqa: FBT001
    body, _ = answer(form, streaming, 0)
    offsets = structural(body) | set(range(CASES.index((form, streaming, end, chunk)), len(body), _STRIDE))
    assert asyncio.run(sweep(form, streaming, end, chunk, sorted(offsets))) > len(EXPECTED)
