"""When a batch that broke off is asked for again, and how: decided by values alone."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ..errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..transport import RetryPolicy

__all__ = ["DEFAULT_MAX_RESUMES", "AstrayError", "Resume", "Setbacks", "expect", "grow", "shrink"]

DEFAULT_MAX_RESUMES: Final = 4

# What an answer that ended too early, or went astray, is to a `RetryPolicy`.
_BROKEN_OFF: Final = TransportError("the answer broke off", retryable=True)

_LEAST_EXPECTED: Final = 64
# Items. AIStore's answers that end at too many missing ones have as many at least.
_LITTLE: Final = 8


class AstrayError(Exception):
    """What came is not what was asked for. Asking again may bring it.

    Attributes:
        alone: Whether to ask for the entry by itself at once, since an answer to that is to be believed.
    """

    def __init__(self, reason: str, *, alone: bool = False) -> None:
        super().__init__(reason)
        self.alone = alone


@dataclass(frozen=True, slots=True)
class Resume:
    """How to go on.

    Attributes:
        delay: Seconds to wait before.
        alone: Whether to ask for the entry that is due by itself, for its own error to be known.
    """

    delay: float
    alone: bool


class Setbacks:
    """Counts the answers, in a row, that brought nothing, and decides how to go on behind each.

    Whatever brings the batch on makes up for all of them: a large batch may be cut as often as it likes. An
    answer that simply ends where an entry is due may always end there, as a strict batch does at a missing
    one. So the entry is asked for by itself at once; but where connections are lost, only at the second time.

    Args:
        retry: How long to wait, and until when.
        max_resumes: How many such answers, in a row, are followed by another request; 0 for no second
            request ever.
    """

    def __init__(self, retry: RetryPolicy, max_resumes: int) -> None:
        self._policy = replace(retry, max_attempts=max_resumes + 1)
        self._count = 0
        self._since = 0.0
        self._is_lean = False  # whether the last answer brought little

    def clear(self) -> None:
        """Forget them: the batch has come on."""
        self._count = 0

    def add(
        self,
        error: Exception,
        *,
        gained: bool,
        items: int,
        now: float,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> Resume | None:
        """Decide what follows an answer that did not bring all it should.

        Args:
            error: What it ended with.
            gained: Whether it brought anything: an item, or bytes of one that is read in chunks.
            items: How many items.
            now: Seconds, by any clock.
            uniform: Draws a number between two others.

        Returns:
            How to go on, or None to give up.
        """
        policy = self._policy
        lost = error if isinstance(error, TransportError) else None
        doubtful = isinstance(error, AstrayError) and error.alone
        was_lean, self._is_lean = self._is_lean, items < _LITTLE
        if gained:
            self._count = 0
            if policy.max_attempts == 1 or (lost is not None and not lost.retryable):
                return None
            # At once, unless that would make a request for each object of it.
            pause = uniform(0, policy.base_delay) if was_lean and self._is_lean else 0.0
            return Resume(pause, alone=doubtful)
        if not self._count:
            self._since = now
        self._count += 1
        delay = policy.delay(self._count, lost or _BROKEN_OFF, elapsed=now - self._since, uniform=uniform)
        return None if delay is None else Resume(delay, alone=lost is None or self._count > 1)


def shrink(refused: int) -> int:
    """Return how many entries to ask for behind a request for more of them, at least 2, that was refused."""
    return refused // 2


def grow(answered: int, *, was_refused: bool) -> int:
    """Return how many entries to ask for behind `answered` of them that came.

    Where a batch was refused, by a quarter, and not twice as many: if every fifth object is missing and a
    server allows for eight, that takes 50 requests for a thousand entries, and doubling 70. Else by more.
    """
    return answered + answered // 4 + 1 if was_refused else 4 * answered


def expect(brought: int) -> int:
    """Return how many entries to ask for behind an answer that ended too early, having brought some items.

    What ended it may end the next one as soon: a server allows for so many missing entries, or for so many
    seconds. To ask for all that is left, each time, would send long lists again and again.
    """
    return max(4 * brought, _LEAST_EXPECTED)
