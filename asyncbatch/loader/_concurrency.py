"""How many batches at once: found out from what becomes of them, by values alone.

Additive increase, multiplicative decrease, as TCP has it (Chiu and Jain, 1989): each round of batches that
are answered allows for one more; a server that says it has too much, or does not answer in time, halves it.
Besides, it is tried from time to time whether fewer do as well, and if so, it stays at these: more at once
would only wait for each other.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from ..errors import OverloadedError, RemoteError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AdaptiveConcurrency", "is_overload"]

# Batches at once to begin with. It is what most servers answer well, and is halved if not.
_FIRST: Final = 8
# Seconds of the first pause behind an overload, and of the longest, where the server asks for none.
_BASE_PAUSE: Final = 0.1
_MAX_PAUSE: Final = 20.0

# Seconds that throughput is measured for, at least, and how many windows are compared with the next try.
_WINDOW: Final = 1.0
_FIRST_SPACING: Final = 4
_MAX_SPACING: Final = 64
# What a step is worth: with so much more, or less, it made a difference.
_GAIN: Final = 1.05
# Rounds of batches that are answered behind which a trial is given up: nothing can be measured.
_MAX_ROUNDS: Final = 16


def is_overload(error: Exception) -> bool:
    """Whether an error tells that the server has too much to do: 429, 503, or no answer in time."""
    if isinstance(error, TransportError):
        cause = error.__cause__
        names = {kind.__name__ for kind in type(cause).__mro__}
        # A pool's timeout is our own: all connections are in use.
        return "TimeoutException" in names and "PoolTimeout" not in names
    return isinstance(error, OverloadedError)


class AdaptiveConcurrency:
    """Decides how many batches are received at once from one endpoint. Seconds are by any clock.

    Args:
        maximum: How many at most.
        uniform: Draws a number between two others.

    Attributes:
        limit: How many at once, as of now.
    """

    def __init__(self, maximum: int, *, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self.limit = min(maximum, _FIRST)
        self._maximum = maximum
        self._uniform = uniform
        self._answered = 0  # since the limit was changed
        self._overloads = 0  # in a row
        self._decreased_at: float | None = None
        self._resume_at = 0.0
        self._ceiling = maximum  # beyond which more has not helped
        self._window: tuple[float, int] | None = None  # since when, and bytes
        self._rate: float | None = None  # bytes per second of the limit that is kept
        self._kept = 0  # the limit that a trial is compared with; 0 if there is none
        self._windows = 0  # since the last trial
        self._spacing = _FIRST_SPACING

    def pause(self, now: float) -> float:
        """Return how many seconds no request is to be sent."""
        return max(self._resume_at - now, 0.0)

    def answered(self) -> None:
        """Take down that a batch came to its end."""
        self._overloads = 0
        self._answered += 1
        if self._kept:
            if self._answered >= _MAX_ROUNDS * self._kept:
                kept, self._kept = self._kept, 0
                self._change(kept)
        elif self._answered >= self.limit:
            self._answered = 0
            if self.limit < min(self._maximum, self._ceiling):
                self._change(self.limit + 1)

    def overloaded(self, error: Exception, *, asked_at: float, now: float) -> None:
        """Take down a failure for which `is_overload` is true.

        Those of requests that were sent before the last halving tell nothing new.

        Args:
            error: The failure.
            asked_at: When the request was sent.
            now: When it failed.
        """
        asked = error.retry_after if isinstance(error, RemoteError) else None
        if asked is not None:
            wait = asked + self._uniform(0, _BASE_PAUSE)
        else:
            wait = self._uniform(0, min(_BASE_PAUSE * 2.0 ** min(self._overloads, 16), _MAX_PAUSE))
        self._resume_at = max(self._resume_at, now + min(wait, _MAX_PAUSE))
        if self._decreased_at is not None and asked_at <= self._decreased_at:
            return
        self._decreased_at = now
        self._overloads += 1
        self._kept = 0
        self._ceiling = self._maximum
        self._change(max(self.limit // 2, 1))

    def _change(self, limit: int) -> None:
        self.limit = limit
        self._answered = 0
        self._rate = self._window = None

    # -- whether more at once helps -----------------------------------------------------------------------

    def disturbed(self) -> None:
        """Take down that less was received at once than might be: what is measured now tells nothing."""
        self._window = None

    def received(self, size: int, now: float) -> None:
        """Take down bytes that came while as many batches as may be were received at once."""
        if self._window is None:
            self._window = now, 0
            return
        since, total = self._window
        self._window = since, total + size
        if now - since >= _WINDOW:
            self._window = None
            self._measured((total + size) / (now - since))

    def _measured(self, rate: float) -> None:
        """Go on with what a window has shown."""
        if self._kept:
            self._judge(rate)
            return
        self._rate = rate if self._rate is None else (self._rate + rate) / 2
        self._windows += 1
        if self._windows >= self._spacing and self.limit > 1:
            self._windows = 0
            self._kept = self.limit
            self._answered = 0
            self.limit -= max(self.limit // 4, 1)

    def _judge(self, rate: float) -> None:
        """End a trial of fewer batches at once."""
        kept, self._kept = self._kept, 0
        assert self._rate is not None  # noqa: S101 - for the type checker: it was measured before the trial
        if rate * _GAIN >= self._rate:
            self._ceiling = self.limit  # as good: more do not help
            self._spacing = _FIRST_SPACING
            self._rate = rate
        else:
            self.limit = kept
            if self._ceiling < self._maximum:
                self._ceiling = kept + 1  # they did help, so one more may
                self._spacing = _FIRST_SPACING
            else:
                self._spacing = min(2 * self._spacing, _MAX_SPACING)
        self._answered = 0
