"""The loader of today: one batch at a time."""

from __future__ import annotations

import pytest

from asyncbatch import BatchLoader, LimitExceededError, Limits

from ..support.batches import FakeSource, request_of, tar

pytestmark = pytest.mark.anyio


async def test_a_loader_gives_batches_of_its_source() -> None:
    source = FakeSource([tar([("a", b"1")])])
    async with BatchLoader(source).get_batch(request_of("a")) as batch:
        assert [data async for _, data in batch] == [b"1"]
    assert len(source.requests) == 1


async def test_a_loader_hands_its_limits_on() -> None:
    source = FakeSource([tar([("a", b"12")])])
    batch = BatchLoader(source, limits=Limits(max_item_size=1)).get_batch(request_of("a"))
    with pytest.raises(LimitExceededError):
        await batch.read_all()
