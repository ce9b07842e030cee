"""When a request is tried again, and after how long: decided by values, and then acted upon."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch.errors import FormatError, OverloadedError, RemoteError, TransportError, UsageError
from asyncbatch.transport import DEFAULT_RETRY, RetryPolicy, parse_retry_after, retried

if TYPE_CHECKING:
    from collections.abc import Callable

RESET = TransportError("reset", retryable=True)


def overloaded(retry_after: float | None = None) -> OverloadedError:
    return OverloadedError(status=503, message="busy", retryable=True, retry_after=retry_after)


def failed_by(cause: Exception) -> TransportError:
    error = TransportError("failed", retryable=True)
    error.__cause__ = cause
    return error


def most(low: float, high: float) -> float:
    del low
    return high


def delay(attempts: int, error: Exception, *, elapsed: float = 0, policy: RetryPolicy = DEFAULT_RETRY) -> Any:  # noqa: ANN401
    return policy.delay(attempts, error, elapsed=elapsed, uniform=most)


def test_waits_grow_up_to_a_bound() -> None:
    policy = RetryPolicy(max_attempts=100, base_delay=0.5, max_delay=3, deadline=None)
    assert [delay(n, RESET, policy=policy) for n in range(1, 6)] == [0.5, 1, 2, 3, 3]
    assert delay(10_000, RESET, policy=RetryPolicy(max_attempts=10**6, deadline=None)) == 20
    assert delay(100, RESET, policy=policy) is None


def test_waits_are_drawn_from_nothing_to_the_bound() -> None:
    draws = [DEFAULT_RETRY.delay(3, RESET, elapsed=0) for _ in range(200)]
    assert all(draw is not None and 0 <= draw <= 0.4 for draw in draws)
    assert len(set(draws)) > 100
    assert DEFAULT_RETRY.delay(2, RESET, elapsed=0, uniform=lambda low, _: low) == 0


def test_the_servers_wait_comes_first() -> None:
    assert delay(1, overloaded(7)) == 7.1
    assert delay(4, overloaded(7)) == 7.1
    assert delay(4, overloaded(0)) == 0.1
    assert delay(1, overloaded(20)) == 20
    assert delay(1, overloaded(21)) is None
    assert delay(1, RemoteError(status=500, message="", retryable=True, retry_after=2)) == 2.1


def test_the_deadline_bounds_all_waits() -> None:
    policy = RetryPolicy(deadline=10, base_delay=1)
    assert delay(1, RESET, elapsed=8.9, policy=policy) == 1
    assert delay(1, RESET, elapsed=9, policy=policy) is None
    assert delay(1, overloaded(9.5), policy=policy) is None


@pytest.mark.parametrize(
    "error",
    [
        RemoteError(status=400, message="no"),
        TransportError("a URL that is none", retryable=False),
        FormatError("damaged", codec="tar", offset=0),
        ValueError(),
    ],
)
def test_what_would_fail_again_is_not_tried(error: Exception) -> None:
    assert delay(1, error) is None


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (failed_by(httpx.ConnectError("refused")), True),
        (failed_by(httpx.ConnectTimeout("")), True),
        (failed_by(httpx.PoolTimeout("")), True),
        (failed_by(httpx.ReadTimeout("")), False),
        (failed_by(httpx.RemoteProtocolError("")), False),
        (overloaded(), True),
        (RemoteError(status=500, message="", retryable=True), False),
    ],
)
def test_what_may_have_been_done_is_not_done_twice(error: Exception, *, again: bool) -> None:
    assert (DEFAULT_RETRY.delay(1, error, elapsed=0, idempotent=False) is not None) == again
    assert DEFAULT_RETRY.delay(1, error, elapsed=0) is not None


@pytest.mark.parametrize(
    "options", [{"max_attempts": 0}, {"base_delay": -1}, {"max_delay": -0.1}, {"deadline": 0}]
)
def test_values_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        RetryPolicy(**options)


@given(
    failures=st.lists(st.sampled_from([RESET, overloaded(), overloaded(3), overloaded(30)]), max_size=20),
    seed=st.integers(),
)
def test_tries_and_waits_stay_within_the_policy(failures: list[Exception], seed: int) -> None:
    policy = RetryPolicy(max_attempts=6, base_delay=1, max_delay=8, deadline=20)
    rng = random.Random(seed)
    elapsed = 0.0
    for attempts, error in enumerate(failures, 1):
        wait = policy.delay(attempts, error, elapsed=elapsed, uniform=rng.uniform)
        if wait is None:
            break
        assert attempts < 6
        assert 0 <= wait <= 8
        elapsed += wait
        assert elapsed < 20


NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("9" * 400, 1e9),
        ("0" * 20 + "7", 7),
        (format_datetime(datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC), usegmt=True), 30),
        ("Sat, 21 Nov 2026 12:01:00 -0000", 60),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("\u0661", None),
        ("Sat, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


# -- acting upon it ------------------------------------------------------------------------------------------

QUICK = RetryPolicy(max_attempts=3, base_delay=0)


def failing(*failures: Exception) -> Callable[[], Any]:
    """Make an attempt that fails so often, and then returns how often it was called."""
    left = list(failures)
    calls = 0

    async def attempt() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if left:
            raise left.pop(0)
        return calls

    return attempt


@pytest.mark.anyio
async def test_what_succeeds_in_the_end_is_returned() -> None:
    assert await retried(failing(), QUICK, what="GET x") == 1
    assert await retried(failing(RESET, overloaded()), QUICK, what="GET x") == 3


@pytest.mark.anyio
async def test_the_last_error_is_raised() -> None:
    last = overloaded()
    with pytest.raises(OverloadedError) as caught:
        await retried(failing(RESET, RESET, last), QUICK, what="GET x")
    assert caught.value is last
    with pytest.raises(ZeroDivisionError):
        await retried(failing(ZeroDivisionError()), QUICK, what="GET x")
    with pytest.raises(TransportError):
        await retried(failing(RESET), QUICK, what="POST x", idempotent=False)


@pytest.mark.anyio
async def test_an_attempt_that_hangs_is_ended_by_the_deadline() -> None:
    async def hang() -> None:
        await asyncio.sleep(3600)

    policy = RetryPolicy(deadline=0.05)
    with pytest.raises(TransportError, match=r"GET x: no answer within the deadline of 0\.05 s") as caught:
        await retried(hang, policy, what="GET x")
    assert caught.value.retryable
    assert caught.value.__cause__ is None


@pytest.mark.anyio
async def test_a_deadline_names_the_failure_before_it() -> None:
    failed = False

    async def fail_and_hang() -> None:
        nonlocal failed
        if failed:
            await asyncio.sleep(3600)
        failed = True
        raise RESET

    with pytest.raises(TransportError, match="deadline") as caught:
        await retried(fail_and_hang, RetryPolicy(deadline=0.05, base_delay=0), what="GET x")
    assert caught.value.__cause__ is RESET


@pytest.mark.anyio
async def test_somebody_elses_timeout_is_left_alone() -> None:
    async def late() -> None:
        raise TimeoutError("of the caller's own")

    with pytest.raises(TimeoutError, match="of the caller's own"):
        await retried(late, QUICK, what="GET x")
