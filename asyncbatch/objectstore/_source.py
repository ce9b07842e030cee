"""Batches out of single GETs: what an object store brings to `BatchStream`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..batch import EntryAnswer, Server, Singles
from ..errors import UsageError
from ._data import open_data
from ._shard import ShardReader

if TYPE_CHECKING:
    from ..batch import BatchRequest
    from ..batch._singles import SinglesAnswer
    from ..limits import Limits
    from ..transport import RetryPolicy
    from ._stores import Stores

__all__ = ["ObjectStoreSource"]


class ObjectStoreSource:
    """An object store as a `BatchSource`: a GET for each entry, many at once.

    Args:
        stores: Where buckets and objects are.
        limits: Bounds on what is accepted.
        retry: When a request that failed is sent again.
        max_concurrency: Requests that may be under way at once.
        max_memory: Bytes that may be held ahead of their reader.

    Raises:
        UsageError: for bounds below 1.
    """

    def __init__(
        self,
        stores: Stores,
        *,
        limits: Limits,
        retry: RetryPolicy,
        max_concurrency: int,
        max_memory: int,
    ) -> None:
        self._stores = stores
        self.shards = ShardReader(stores, limits)
        self._singles = Singles(
            self.open_entry, retry=retry, max_concurrency=max_concurrency, max_memory=max_memory
        )

    @property
    def server(self) -> Server:
        """The store, by its scheme; and its host, if it has one of its own."""
        parts = urlsplit(repr(self._stores)) if self._stores.provider == "http" else None
        if parts is None:
            return Server(self._stores.provider)
        return Server("http", parts.hostname, parts.port)

    def check_batch(self, request: BatchRequest) -> None:
        """Raise `UsageError` for names that obstore cannot express, and for objects of another client."""
        provider, locate = self._stores.provider, self._stores.locate
        for (_, other, namespace), index in request.traits.buckets.items():
            if other != provider or namespace is not None:
                raise UsageError(f"an object of {other}:// cannot be had from {self._stores!r}", index=index)
        for index, entry in enumerate(request.entries):
            locate(entry.bucket, entry.name, index=index)

    def reach(self, request: BatchRequest, first: int) -> int:  # noqa: ARG002 - as any source's
        """Return how many entries there are: one answer can be for all."""
        return len(request)

    async def open_batch(self, request: BatchRequest) -> SinglesAnswer:
        """Return the answer. Nothing is asked for before it is read."""
        return self._singles.open(request)

    async def open_entry(self, request: BatchRequest) -> EntryAnswer:
        """Ask for the one entry of a request.

        Raises:
            ObjectNotFoundError, BucketNotFoundError: if there is no such object, file or bucket.
            RemoteError: with status 416 if the range is not in it, with 422 if the shard cannot be read; or
                as the store has it.
            TransportError: if there is no answer.
        """
        (entry,) = request.entries
        if entry.archpath is not None:
            return await self.shards.open_file(entry)
        data = await open_data(self._stores, entry.bucket, entry.name, entry.start, entry.length)
        return EntryAnswer(data, data.size)
