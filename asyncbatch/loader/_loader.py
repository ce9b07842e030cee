"""The loader: what a client's `batch_loader()` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..batch import BatchStream
from ..limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from ..batch import BatchRequest, BatchSource
    from ..limits import Limits

__all__ = ["BatchLoader"]


class BatchLoader:
    """Loads batches from a source.

    Args:
        source: A client, or whatever else batches can be asked of.
        limits: Bounds on what is accepted.
    """

    def __init__(self, source: BatchSource, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._source = source
        self._limits = limits

    def get_batch(self, request: BatchRequest) -> BatchStream:
        """Return one batch, to be read with ``async with`` and ``async for``.

        Raises:
            UsageError: if the request could never work; nothing is sent then.
        """
        return BatchStream(self._source, request, limits=self._limits)
