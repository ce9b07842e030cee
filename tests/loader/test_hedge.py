"""A second request for what is slow: whoever brings the next item first goes on, and each item comes once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncbatch import BatchLoader, TransportError, UsageError
from asyncbatch.loader._hedge import Hedge, Peers
from asyncbatch.loader._lane import Lane
from asyncbatch.transport import RetryPolicy

from ..support.leaks import nothing_left_open
from .sources import Shelf, request_of, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncbatch import BatchRequest
    from asyncbatch.loader import LoaderStatistics

    from .sources import ShelfAnswer

ONCE = RetryPolicy(max_attempts=1)


def test_peers() -> None:
    peers = Peers(0.1)
    for seconds in range(9):
        peers.took(seconds)
    assert peers.patience() is None
    for seconds in range(9, 100):
        peers.took(seconds)
    assert peers.patience() == pytest.approx(1.1 * 95)
    assert not peers.allows(requests=9, hedges=0)
    assert peers.allows(requests=10, hedges=0)
    assert not peers.allows(requests=10, hedges=1)
    off = Peers(0)
    for seconds in range(20):
        off.took(seconds)
    assert off.patience() is None
    assert not off.allows(requests=1000, hedges=0)


class Slow(Shelf):
    """Every answer takes a second before it begins; the one that has ``slow`` in it, the first time, longer.

    Args:
        head: Seconds before that one begins.
        body: Seconds that it stands still behind its first chunks.
        again: What the second request for it does, instead of being answered.
    """

    def __init__(
        self,
        *,
        head: float = 1,
        body: float = 0,
        again: Callable[[], Exception] | None = None,
        breaking: Callable[[list[str]], int | None] = lambda _: None,
    ) -> None:
        super().__init__(chunk=512, breaking=breaking)
        self.head = head
        self.body = body
        self.again = again
        self.seen = 0
        self.begun = 0

    async def open_batch(self, request: BatchRequest) -> ShelfAnswer:
        slow = any(entry.name.startswith("slow") for entry in request.entries)
        self.seen += slow
        nth = self.seen * slow
        await asyncio.sleep(self.head if nth == 1 else 1)
        if self.again is not None and nth == 2:
            raise self.again()
        return await super().open_batch(request)

    async def _read(self, names: list[str], denied: object) -> AsyncIterator[bytes]:
        self.begun += names[-1].startswith("slow")
        count, stands_still = 0, self.begun == 1 and names[-1].startswith("slow")
        chunks = super()._read(names, {})
        try:
            async for chunk in chunks:
                yield chunk
                count += 1
                if count == 5 and stands_still:
                    await asyncio.sleep(self.body)
        finally:
            await chunks.aclose()  # type: ignore[attr-defined]


NAMES = [[f"{batch}.{item}-100" for item in range(4)] for batch in range(15)]
NAMES[12] = ["a-100", "b-700", "c-100", "slow-100"]


def load(shelf: Shelf, *, resumes: int = 0) -> tuple[float, LoaderStatistics]:
    """Read everything, one batch at a time; return how long it took, and figures."""

    async def main() -> tuple[float, LoaderStatistics]:
        async with nothing_left_open():
            options = {"max_concurrency": 1, "join_below": 0, "max_resumes": resumes}
            async with BatchLoader(shelf, hedging=0.1, retry=ONCE, **options) as loader:  # type: ignore[arg-type]
                read = [metadata.name async for metadata, _ in loader.stream(request_of(*of) for of in NAMES)]
                assert read == [name for of in NAMES for name in of]
                seconds = asyncio.get_running_loop().time()
            return seconds, loader.statistics()

    seconds, statistics = run(main())
    assert shelf.open == 0
    assert (statistics.held_bytes, statistics.running, statistics.items) == (0, 0, 60)
    return seconds, statistics


@pytest.mark.parametrize("slow", [{"head": 1000}, {"body": 1000}])
def test_a_second_request_wins(slow: dict[str, float]) -> None:
    shelf = Slow(head=slow.get("head", 1), body=slow.get("body", 0))
    seconds, statistics = load(shelf)
    assert seconds < 20
    assert (statistics.hedges, statistics.requests) == (1, 16)
    assert ("body" in slow) == (shelf.requests[-3][0] != "a-100")  # it asked for the rest


def test_the_first_request_wins() -> None:
    seconds, statistics = load(Slow(head=1.5))
    assert seconds < 17
    assert statistics.hedges == 1


def test_the_first_request_wins_and_goes_on_for_long() -> None:
    seconds, statistics = load(Slow(head=1.5, body=3))
    assert 17 < seconds < 20
    assert (statistics.hedges, statistics.requests) == (1, 16)


def test_a_second_request_that_has_won_may_break_off() -> None:
    def breaking(names: list[str]) -> int | None:
        return 1800 if shelf.seen == 2 and "slow-100" in names else None

    shelf = Slow(head=1000, breaking=breaking)
    _, statistics = load(shelf, resumes=4)
    assert (statistics.hedges, statistics.requests, statistics.resumes) == (1, 17, 1)


def test_cancelling_what_a_second_request_has_just_won(monkeypatch: pytest.MonkeyPatch) -> None:
    win = Hedge.run
    shelf = Slow(head=1000)
    loader = BatchLoader(shelf, max_concurrency=1, join_below=0, hedging=1)

    async def win_and_cancel(self: Hedge, won: Callable[[], bool]) -> None:
        await win(self, won)
        for task in loader._tasks:
            task.cancel()

    monkeypatch.setattr(Hedge, "run", win_and_cancel)

    async def main() -> None:
        async with nothing_left_open(), loader:
            with pytest.raises(UsageError, match="closed"):
                assert [item async for item in loader.stream(request_of(*of) for of in NAMES)]
        assert loader.statistics().held_bytes == 0

    run(main())
    assert shelf.open == 0


def test_a_second_request_that_fails_does_no_harm() -> None:
    shelf = Slow(head=10, again=lambda: TransportError("lost", retryable=False))
    seconds, statistics = load(shelf)
    assert seconds == 24
    assert statistics.hedges == 1


def test_large_objects_have_none() -> None:
    async def main() -> None:
        async with BatchLoader(Shelf(latency=1), way="gets", hedging=1, max_concurrency=1) as loader:
            assert len([item async for item in loader.stream(request_of(*of) for of in NAMES)]) == 60
        assert loader.statistics().hedges == 0

    run(main())


def test_within_a_budget_of_requests() -> None:
    async def main() -> None:
        async with BatchLoader(Slow(head=50), max_concurrency=1, join_below=0, hedging=0.01) as loader:
            assert len([item async for item in loader.stream(request_of(*of) for of in NAMES)]) == 60
        assert loader.statistics().hedges == 0
        assert asyncio.get_running_loop().time() > 60

    run(main())


def test_what_waits_for_room_is_not_slow() -> None:
    async def main() -> None:
        options = {"max_concurrency": 2, "join_below": 0, "max_memory": 1, "max_pause": None}
        async with BatchLoader(Shelf(latency=1), hedging=1, **options) as loader:  # type: ignore[arg-type]
            async for _ in loader.stream(request_of(*of) for of in NAMES):
                await asyncio.sleep(10)
        assert loader.statistics().hedges == 0

    run(main())


def test_a_pause_keeps_nobody_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    suspect = Lane._suspect

    def count(lane: Lane, patience: float) -> None:
        nonlocal looked
        looked += 1
        suspect(lane, patience)

    async def main() -> None:
        async with BatchLoader(Shelf(latency=0.001), hedging=1, max_memory=5000, join_below=0) as loader:
            items = loader.stream([request_of(*[f"{item}-1000" for item in range(10)])] * 30)
            for _ in range(200):
                await anext(items)
            await asyncio.sleep(10)  # others are paused, and batches take a millisecond

    monkeypatch.setattr(Lane, "_suspect", count)
    run(main())
    assert looked < 5000


@pytest.mark.parametrize("after", [13.05, 13.5, 14.1, 14.11])
def test_leaving_ends_both(after: float) -> None:
    shelf = Slow(head=1000)

    loader = BatchLoader(shelf, max_concurrency=1, join_below=0, hedging=1)

    async def read() -> None:
        async for batch in loader.get_batches(request_of(*of) for of in NAMES):
            await batch.read_all()

    async def main() -> None:
        async with nothing_left_open(), loader:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read(), after)
        assert loader.statistics().running == 0

    run(main())
    assert shelf.open == 0


def test_a_share_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match="hedging"):
        BatchLoader(Shelf(), hedging=2)
