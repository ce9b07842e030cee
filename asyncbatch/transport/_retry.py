"""Whether to try a request again, and when: decided by values alone. Who sends requests acts on it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from ..errors import OverloadedError, RemoteError, TransportError, UsageError
from ._errors import kinds_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEFAULT_RETRY", "RetryPolicy", "parse_retry_after"]

_MAX_RETRY_AFTER: Final = 1e9  # seconds: more digits than a float can have are no reason to ask for more
# Nothing was sent before these: any request can be tried again.
_NOT_SENT: Final = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a request that failed is tried again, and after how long.

    The wait before try *n* + 1 is drawn evenly from 0 to ``min(max_delay, base_delay * 2 ** (n - 1))``
    seconds: exponential backoff with full jitter, which takes callers out of the step that one fault has
    brought them into (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). Where the
    server says how long to wait (``Retry-After``), it is that, and up to `base_delay` on top of it.

    What is tried again: errors whose `retryable` is true. A request that is not the same done twice is tried
    again only if it was not sent, or was turned away with 429 or 503.

    Attributes:
        max_attempts: Tries in all; 1 to try nothing again.
        base_delay: Seconds that the first wait has at most.
        max_delay: Seconds that any wait has at most. A server that asks for more is not asked again.
        deadline: Seconds from the first try on, within which all tries and waits have to be over. Where the
            answer is an object or a batch, that is up to its head. None for no end.

    Raises:
        UsageError: for values that cannot be meant.
    """

    max_attempts: int = 5
    base_delay: float = 0.1
    max_delay: float = 20.0
    deadline: float | None = 600.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1 or self.base_delay < 0 or self.max_delay < 0:
            raise UsageError(f"max_attempts is at least 1 and a delay not negative, unlike in {self}")
        if self.deadline is not None and self.deadline <= 0:
            raise UsageError(f"deadline is a number of seconds or None, and not {self.deadline!r}")

    def delay(
        self,
        attempts: int,
        error: Exception,
        *,
        elapsed: float,
        idempotent: bool = True,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> float | None:
        """Decide what to do after a failure.

        Args:
            attempts: Tries that have failed so far, at least 1.
            error: What the last one raised.
            elapsed: Seconds since the first one began.
            idempotent: Whether doing the request twice is doing it once.
            uniform: Draws a number between two others.

        Returns:
            Seconds to wait before the next try, or None to give up.
        """
        if attempts >= self.max_attempts or not _may_be_repeated(error, idempotent=idempotent):
            return None
        asked = error.retry_after if isinstance(error, RemoteError) else None
        # Not 2 ** attempts at once: with thousands of them that would be a very large number.
        exponent = 0 if asked is not None else min(attempts - 1, 64)
        wait = uniform(0, min(self.max_delay, self.base_delay * 2.0**exponent))
        if asked is not None:
            if asked > self.max_delay:
                return None
            wait = min(asked + wait, self.max_delay)
        return None if self.deadline is not None and elapsed + wait >= self.deadline else wait


DEFAULT_RETRY: Final = RetryPolicy()
"""What clients do unless told otherwise."""


def _may_be_repeated(error: Exception, *, idempotent: bool) -> bool:
    if not isinstance(error, RemoteError | TransportError) or not error.retryable:
        return False
    return idempotent or isinstance(error, OverloadedError) or bool(kinds_of(error.__cause__) & _NOT_SENT)


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """Read a ``Retry-After`` field: seconds, or a date (RFC 9110, section 10.2.3).

    Args:
        value: Of the field; None if there is none.
        now: Seconds since the epoch.

    Returns:
        Seconds to wait, 0 for a date in the past; None for a field that is none, or says nothing.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _MAX_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(date.timestamp() - now, 0.0)
