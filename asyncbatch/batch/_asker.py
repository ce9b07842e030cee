"""Asking for a batch, once and again: in whole or in parts, and for a single entry by itself."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from ..archive._sources import iterate_source
from ..errors import ObjectNotFoundError, RemoteError, TruncatedArchiveError, UsageError
from ..transport import retried
from ._resume import Setbacks, expect, grow, shrink
from ._source import BatchRefusedError, EntryAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..transport import RetryPolicy
    from ._request import BatchRequest
    from ._source import BatchAnswer, BatchSource

__all__ = ["CLOSED", "Asked", "Asker", "FaultAnswer", "is_of_the_entry"]

_T = TypeVar("_T")

_logger: Final = logging.getLogger("asyncbatch.batch")

CLOSED: Final = "this batch was closed while it was opened"

# Statuses of an entry by itself that say nothing about it: who asks, or what is in between, has to do with
# them. 403 is the entry's own: there may be rights to other buckets.
_OF_THE_WAY: Final = frozenset({401, 408, 409, 429, 502, 503, 504})
# Codes of S3's kind of servers, with statuses 400 and 403, that say who asks is not known, or not in time.
_OF_WHO_ASKS: Final = frozenset(
    {
        "AuthenticationFailed",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)


class Asked(NamedTuple):
    """An answer, and which entries it is to answer.

    Attributes:
        answer: On its way.
        first: Index of the first of them.
        until: Index behind the last.
        alone: Whether it is that of one entry asked for by itself.
        is_planned: Whether it is to answer as many entries as one request may ask for.
    """

    answer: BatchAnswer
    first: int
    until: int
    alone: bool
    is_planned: bool = False


class Asker:
    """Asks a source for the entries of a batch, as often as it takes.

    Attributes:
        asks: How often: for the batch, for a part of it, or for an entry by itself.
        parts: How often that began a part of the batch, since no request can ask for all of it.
        requests: How many requests were sent for that; retries are requests too.

    Args:
        source: What is asked.
        request: For all of the batch.
        retry: When a request that had no answer is sent again.
        max_resumes: How many answers in a row may bring nothing (see `Setbacks`).
    """

    def __init__(
        self, source: BatchSource, request: BatchRequest, *, retry: RetryPolicy, max_resumes: int
    ) -> None:
        self._source = source
        self._request = request
        self._retry = retry
        self._setbacks = Setbacks(retry, max_resumes)
        self._window = len(request)  # entries to be asked for at once
        self._alone = False  # whether the next one is to be asked for by itself
        self._resumes = max_resumes > 0
        self._was_refused = False  # whether a batch ever was, as a whole
        self._closed = False
        self._waking: asyncio.Future[None] | None = None  # of a pause
        self.asks = 0
        self.parts = 1
        self.requests = 0

    async def ask(self, first: int) -> Asked:
        """Ask for entries from `first` on; how many of them, the answer's `until` says.

        Raises:
            RemoteError, TransportError: if there is no answer to the batch, after all retries.
            TruncatedArchiveError: if it always breaks off before its archive.
        """
        while not self._alone:
            self.asks += 1
            reach = self._source.reach(self._request, first)
            until = min(first + self._window, reach)
            try:
                answer = await self._send(self._source.open_batch, self._part(first, until))
            except BatchRefusedError as error:
                if not await self._shrink(until - first, error, first):
                    raise
            except ObjectNotFoundError as error:
                if until - first > 1:
                    raise
                return self._fault(first, error)
            except TruncatedArchiveError as error:  # in what comes before the archive
                if not await self.recover(error, 0, gained=False, delivered=first):
                    raise
            else:
                return Asked(answer, first, until, alone=False, is_planned=until == reach)
        self.asks += 1
        self._alone = False
        try:
            answer = await self._send(self._source.open_entry, self._part(first, first + 1))
        except RemoteError as error:
            if not is_of_the_entry(error):
                raise
            return self._fault(first, error)
        return Asked(answer, first, first + 1, alone=True)

    def _fault(self, first: int, error: RemoteError) -> Asked:
        """Answer for an entry with its own error."""
        self._setbacks.clear()  # now it is known why the batch did not come on
        return Asked(FaultAnswer(error), first, first + 1, alone=True)

    def _part(self, first: int, until: int) -> BatchRequest:
        whole = until - first == len(self._request)
        return self._request if whole else self._request.part(first, until)

    async def _shrink(self, size: int, error: BatchRefusedError, first: int) -> bool:
        """Prepare to ask for less than a batch that was refused as a whole; return whether to."""
        if size == 1:
            return await self.recover(error, 0, gained=False, delivered=first)
        self._was_refused = True
        self._window = shrink(size)
        if self._resumes:
            _logger.info("a batch of %d entries was refused, asking for %d: %s", size, self._window, error)
        return self._resumes

    async def _send(self, send: Callable[[BatchRequest], Awaitable[_T]], request: BatchRequest) -> _T:
        async def attempt() -> _T:
            if self._closed:
                raise UsageError(CLOSED)
            self.requests += 1
            return await send(request)

        return await retried(attempt, self._retry, what=f"batch of {len(request)} entries")

    def answered(self, asked: Asked) -> None:
        """Take down that an answer brought all that it was to bring."""
        if not asked.alone:
            self._setbacks.clear()
            size = asked.until - asked.first
            self._window = max(self._window, grow(size, was_refused=self._was_refused))
        self.parts += asked.is_planned and asked.until < len(self._request)

    async def recover(self, error: Exception, items: int, *, gained: bool, delivered: int) -> bool:
        """Wait until it is time to ask again behind an answer that ended too early; False if that is never.

        Args:
            error: What it ended with.
            items: How many it brought.
            gained: Whether it brought anything at all.
            delivered: Items that the batch has brought so far.
        """
        now = asyncio.get_running_loop().time()
        resume = self._setbacks.add(error, gained=gained, items=items, now=now)
        if resume is None:
            return False
        self._alone = resume.alone
        _logger.log(
            logging.INFO if gained else logging.WARNING,
            "resuming a batch at item %d of %d%s: %s",
            delivered,
            len(self._request),
            ", that alone" if resume.alone else "",
            error,
        )
        self._window = min(self._window, expect(items))
        await self._pause(resume.delay)
        return True

    async def _pause(self, seconds: float) -> None:
        """Wait, unless it is closed meanwhile."""
        loop = asyncio.get_running_loop()
        self._waking = loop.create_future()
        timer = loop.call_later(seconds, _wake, self._waking)
        try:
            await self._waking
        finally:
            timer.cancel()

    def close(self) -> None:
        """Ask for nothing more; who waits for his time to ask is woken."""
        self._closed = True
        _wake(self._waking)


def is_of_the_entry(error: RemoteError) -> bool:
    """Whether the error that answers a request for one entry is about that."""
    return error.status not in _OF_THE_WAY and error.code not in _OF_WHO_ASKS


def _wake(waking: asyncio.Future[None] | None) -> None:
    if waking is not None and not waking.done():
        waking.set_result(None)


class FaultAnswer(EntryAnswer):
    """In place of an entry that was asked for by itself, and refused: an answer that is its error."""

    def __init__(self, error: RemoteError) -> None:
        super().__init__(iterate_source(b""), None)
        self._error = error

    def fault(self, _position: int, _member_name: str) -> RemoteError:
        return self._error
