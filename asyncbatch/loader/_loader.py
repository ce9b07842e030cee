"""The loader: what a client's `batch_loader()` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..batch import DEFAULT_MAX_RESUMES, BatchStream
from ..limits import DEFAULT_LIMITS
from ..transport import DEFAULT_RETRY

if TYPE_CHECKING:
    from ..batch import BatchRequest, BatchSource
    from ..limits import Limits
    from ..transport import RetryPolicy

__all__ = ["BatchLoader"]


class BatchLoader:
    """Loads batches from a source.

    Args:
        source: A client, or whatever else batches can be asked of.
        limits: Bounds on what is accepted.
        retry: When a request that had no answer is sent again.
        max_resumes: How often in a row a batch that broke off is asked for again where that brings nothing.
    """

    def __init__(
        self,
        source: BatchSource,
        *,
        limits: Limits = DEFAULT_LIMITS,
        retry: RetryPolicy = DEFAULT_RETRY,
        max_resumes: int = DEFAULT_MAX_RESUMES,
    ) -> None:
        self._source = source
        self._limits = limits
        self._retry = retry
        self._max_resumes = max_resumes

    def get_batch(self, request: BatchRequest) -> BatchStream:
        """Return one batch, to be read with ``async with`` and ``async for``.

        Raises:
            UsageError: if the request could never work; nothing is sent then.
        """
        return BatchStream(
            self._source, request, limits=self._limits, retry=self._retry, max_resumes=self._max_resumes
        )
