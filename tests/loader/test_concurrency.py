"""How many batches at once: decided by values, and what a loader makes of it."""

from __future__ import annotations

import asyncio
import random

import httpx
import pytest

from asyncbatch import BatchLoader
from asyncbatch.errors import OverloadedError, RemoteError, TransportError
from asyncbatch.loader._concurrency import AdaptiveConcurrency, is_overload
from asyncbatch.transport import RetryPolicy

from .sources import Shelf, request_of, run

BUSY = OverloadedError(status=429, message="busy", retryable=True)


def lost_by(cause: Exception) -> TransportError:
    error = TransportError("lost", retryable=True)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BUSY, True),
        (OverloadedError(status=503, message="", retryable=True), True),
        (RemoteError(status=500, message=""), False),
        (lost_by(httpx.ReadTimeout("")), True),
        (lost_by(httpx.ConnectTimeout("")), True),
        (lost_by(httpx.PoolTimeout("")), False),
        (lost_by(httpx.ConnectError("")), False),
        (TransportError("lost", retryable=True), False),
    ],
)
def test_what_an_overload_is(error: Exception, expected: object) -> None:
    assert is_overload(error) is expected


def adaptive(maximum: int = 16) -> AdaptiveConcurrency:
    return AdaptiveConcurrency(maximum, uniform=lambda _, most: most)


def test_each_round_of_answers_allows_for_one_more() -> None:
    concurrency = adaptive(10)
    assert concurrency.limit == 8
    for limit in (8, 9):
        for _ in range(limit):
            assert concurrency.limit == limit
            concurrency.answered()
    for _ in range(100):
        concurrency.answered()
    assert concurrency.limit == 10
    assert adaptive(3).limit == 3


def test_an_overload_halves_it_once() -> None:
    concurrency = adaptive()
    concurrency.overloaded(BUSY, asked_at=0, now=1)
    assert concurrency.limit == 4
    assert concurrency.pause(1) == pytest.approx(0.1)
    concurrency.overloaded(BUSY, asked_at=0.5, now=1.2)  # it was sent before that was known
    assert concurrency.limit == 4
    assert concurrency.pause(1.2) == pytest.approx(0.2)
    assert concurrency.pause(2) == 0
    for now in (2, 3, 4):
        concurrency.overloaded(BUSY, asked_at=now - 0.1, now=now)
    assert concurrency.limit == 1
    assert concurrency.pause(4) == pytest.approx(0.8)
    concurrency.answered()
    assert concurrency.limit == 2


def test_what_the_server_asks_for_is_honoured() -> None:
    concurrency = adaptive()
    asked = OverloadedError(status=429, message="busy", retryable=True, retry_after=5)
    concurrency.overloaded(asked, asked_at=0, now=10)
    assert concurrency.pause(10) == pytest.approx(5.1)
    concurrency.overloaded(lost_by(httpx.ReadTimeout("")), asked_at=9, now=11)
    assert concurrency.pause(11) == pytest.approx(4.1)


class Server:
    """Gives so many bytes per second and batch, up to a number of batches."""

    def __init__(self, concurrency: AdaptiveConcurrency, useful: int) -> None:
        self.concurrency = concurrency
        self.useful = useful
        self.now = 0.0

    def serve(self, seconds: float) -> list[int]:
        """Return how many batches were received at once in each second."""
        limits = []
        for step in range(int(seconds * 10)):
            self.now += 0.1
            self.concurrency.received(100 * min(self.concurrency.limit, self.useful), self.now)
            if step % 10 == 9:
                limits.append(self.concurrency.limit)
                for _ in range(self.concurrency.limit):
                    self.concurrency.answered()
        return limits


def test_it_finds_out_when_more_at_once_stop_helping() -> None:
    few = Server(adaptive(), 3).serve(200)
    assert max(few[:5]) > 8
    assert 2 <= min(few[-100:]) <= max(few[-100:]) <= 6
    many = Server(adaptive(), 100).serve(200)
    assert sum(many[-100:]) / 100 > 15
    assert min(adaptive(1).limit, *Server(adaptive(1), 1).serve(20)) == 1


def test_what_is_measured_while_others_wait_tells_nothing() -> None:
    concurrency = adaptive(8)
    server = Server(concurrency, 3)
    for _ in range(100):
        server.serve(0.9)
        concurrency.disturbed()
    assert concurrency.limit == 8


def test_an_overload_ends_a_trial() -> None:
    concurrency = adaptive(8)
    server = Server(concurrency, 100)
    while concurrency.limit == 8:
        server.serve(0.1)
    assert concurrency.limit == 6
    concurrency.overloaded(BUSY, asked_at=server.now, now=server.now)
    assert concurrency.limit == 3


def test_a_trial_in_which_nothing_can_be_measured_is_given_up() -> None:
    concurrency = adaptive(8)
    server = Server(concurrency, 100)
    while concurrency.limit == 8:
        server.serve(0.1)
    for _ in range(200):
        server.serve(0.3)
        concurrency.disturbed()  # batches are short from now on
        concurrency.answered()
    assert concurrency.limit == 8


def test_a_loader_asks_for_less_of_a_server_that_has_too_much() -> None:
    random.seed(7)
    refused = [0]
    shelf = Shelf(latency=0.01, pace=0.01, failing=lambda _: BUSY if shelf.open >= 2 and count() else None)

    def count() -> bool:
        refused[0] += 1
        return refused[0] < 20

    async def main() -> None:
        requests = [request_of(*(f"{batch}.{item}-3000" for item in range(10))) for batch in range(30)]
        async with BatchLoader(shelf, join_below=0, retry=RetryPolicy(max_attempts=20)) as loader:
            limits = []
            async for batch in loader.get_batches(requests):
                assert len(await batch.read_all()) == 10
                limits.append(loader.statistics().concurrency)
            assert min(limits) <= 4
            assert max(limits) <= 8
            assert loader.statistics().retries > 0
            assert asyncio.get_running_loop().time() < 60

    run(main())
