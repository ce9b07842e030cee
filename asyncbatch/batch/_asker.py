"""Asking for a batch, once and again: in whole or in parts, and for a single entry by itself."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from ..archive._sources import iterate_source
from ..codecs._formats import ArchiveFormat
from ..errors import ObjectNotFoundError, OverloadedError, RemoteError, TruncatedArchiveError
from ..transport import retried
from ._resume import Setbacks, expect, grow, shrink
from ._source import BatchRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..transport import RetryPolicy
    from ._request import BatchRequest
    from ._source import BatchAnswer, BatchSource

__all__ = ["Asked", "Asker", "FaultAnswer"]

_T = TypeVar("_T")

_logger: Final = logging.getLogger("asyncbatch.batch")

# An object by itself, as an archive of one member.
_BARE: Final = ArchiveFormat(
    name="", container="bare", compression=None, extensions=(), mime_types=(), magics=()
)


class Asked(NamedTuple):
    """An answer, and which entries it is to answer.

    Attributes:
        answer: On its way.
        first: Index of the first of them.
        until: Index behind the last.
        alone: Whether it is that of one entry asked for by itself.
    """

    answer: BatchAnswer
    first: int
    until: int
    alone: bool


class Asker:
    """Asks a source for the entries of a batch, as often as it takes.

    Attributes:
        asks: How often, retries and parts of the batch included as one each.
        requests: How many requests were sent for that.

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
        self._entries = request.entries
        self._retry = retry
        self._setbacks = Setbacks(retry, max_resumes)
        self._window = len(request)  # entries to be asked for at once
        self._alone = False  # whether the next one is to be asked for by itself
        self.asks = 0
        self.requests = 0

    async def ask(self, first: int) -> Asked:
        """Ask for entries from `first` on; how many of them, the answer's `until` says.

        Raises:
            RemoteError, TransportError: if there is no answer to the batch, after all retries.
            TruncatedArchiveError: if it always breaks off before its archive.
        """
        self.asks += 1
        while not self._alone:
            until = min(first + self._window, len(self._entries))
            try:
                answer = await self._send(self._source.open_batch, self._part(first, until))
            except BatchRefusedError as error:
                self._shrink(until - first, error)
            except ObjectNotFoundError as error:
                if until - first > 1:
                    raise
                return self._fault(first, error)
            except TruncatedArchiveError as error:  # in what comes before the archive
                if not await self.recover(error, 0, gained=False, delivered=first):
                    raise
            else:
                return Asked(answer, first, until, alone=False)
        self._alone = False
        try:
            answer = await self._send(self._source.open_entry, self._part(first, first + 1))
        except OverloadedError:  # which says nothing about the entry
            raise
        except RemoteError as error:
            return self._fault(first, error)
        return Asked(answer, first, first + 1, alone=True)

    def _fault(self, first: int, error: RemoteError) -> Asked:
        """Answer for an entry with its own error."""
        self._setbacks.clear()  # now it is known why the batch did not come on
        return Asked(FaultAnswer(error), first, first + 1, alone=True)

    def _part(self, first: int, until: int) -> BatchRequest:
        if until - first == len(self._entries):
            return self._request
        return self._request.with_entries(self._entries[first:until])

    def _shrink(self, size: int, error: BatchRefusedError) -> None:
        if size == 1:
            self._alone = True
        else:
            self._window = shrink(size)
            _logger.info("a batch of %d entries was refused, asking for %d: %s", size, self._window, error)

    async def _send(self, send: Callable[[BatchRequest], Awaitable[_T]], request: BatchRequest) -> _T:
        async def attempt() -> _T:
            self.requests += 1
            return await send(request)

        return await retried(attempt, self._retry, what=f"batch of {len(request)} entries")

    def answered(self, asked: Asked) -> None:
        """Take down that an answer brought all that it was to bring."""
        if not asked.alone:
            self._setbacks.clear()
            self._window = max(self._window, grow(asked.until - asked.first))

    async def recover(self, error: Exception, items: int, *, gained: bool, delivered: int) -> bool:
        """Wait until it is time to ask again behind an answer that ended too early; False if that is never.

        Args:
            error: What it ended with.
            items: How many it brought.
            gained: Whether it brought anything at all.
            delivered: Items that the batch has brought so far.
        """
        resume = self._setbacks.add(error, gained=gained, now=asyncio.get_running_loop().time())
        if resume is None:
            return False
        _logger.log(
            logging.INFO if gained else logging.WARNING,
            "resuming a batch at item %d of %d%s: %s",
            delivered,
            len(self._entries),
            ", that alone" if resume.alone else "",
            error,
        )
        self._alone = resume.alone
        if gained:
            self._window = expect(items)
        await asyncio.sleep(resume.delay)
        return True


class FaultAnswer:
    """In place of an entry that was asked for by itself, and refused: an answer that is its error."""

    archive_format = _BARE
    member_names: Sequence[str] = ("",)
    sizes = None

    def __init__(self, error: RemoteError) -> None:
        self._error = error
        self.chunks = iterate_source(b"")

    def fault(self, _position: int, _member_name: str) -> RemoteError:
        return self._error
