"""Trying a request again, as a `RetryPolicy` decides."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeVar

from ..errors import RemoteError, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._retry import RetryPolicy

__all__ = ["retried"]

_T = TypeVar("_T")

_logger: Final = logging.getLogger("asyncbatch.transport")
# Without a handler, Python would write warnings to standard error: a library leaves that to the program.
logging.getLogger("asyncbatch").addHandler(logging.NullHandler())


async def retried(
    attempt: Callable[[], Awaitable[_T]], policy: RetryPolicy, *, what: object, idempotent: bool = True
) -> _T:
    """Await `attempt()`, again and again as the policy has it, and return what it returned.

    Args:
        attempt: Sends a request.
        policy: Decides.
        what: What is done, for the error and the log, and so without a secret.
        idempotent: Whether doing it twice is doing it once.

    Raises:
        RemoteError, TransportError: the last attempt's, or that the deadline is over.
    """
    loop = asyncio.get_running_loop()
    begin = loop.time()
    attempts = 0
    last: Exception | None = None
    try:
        async with asyncio.timeout(policy.deadline) as deadline:
            while True:
                try:
                    return await attempt()
                except (RemoteError, TransportError) as error:
                    attempts += 1
                    last = error
                    delay = policy.delay(attempts, error, elapsed=loop.time() - begin, idempotent=idempotent)
                    if delay is None:
                        raise
                    _logger.warning("%s: failed attempt %d, next in %.3f s: %s", what, attempts, delay, error)
                await asyncio.sleep(delay)
    except TimeoutError:
        if not deadline.expired():
            raise
        message = f"{what}: no answer within the deadline of {policy.deadline:g} s"
        raise TransportError(message, retryable=True) from last
