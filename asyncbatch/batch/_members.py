"""Items in chunks, as they arrive, for those that are too large to be held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from .._closing import AsyncCloseable
from ..errors import UsageError

if TYPE_CHECKING:
    from ..archive import ArchiveMember
    from ._item import ItemMetadata
    from ._pairing import Pairing
    from ._stream import BatchStream

__all__ = ["BatchMember", "BatchMembers"]

# ruff: noqa: SLF001 - these classes and `BatchStream` make one reader, in three parts


class BatchMembers(AsyncCloseable):
    """An async iterator over the members of a batch. Made by `BatchStream.members`.

    A member can be read until the next one is asked for; what is not read is skipped. Iterating raises what
    iterating over the batch does.
    """

    def __init__(self, batch: BatchStream) -> None:
        self._batch = batch

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchMember:
        return await self._batch._next_member()

    async def aclose(self) -> None:
        """Close the batch."""
        await self._batch.aclose()


class BatchMember:
    """An item whose data comes in chunks: iterate over it, or `read` it whole.

    If the answer breaks off meanwhile, the item is asked for again and goes on where it stopped, provided
    that its bytes up to there are the same.

    Attributes:
        metadata: What is known of the item; its `size` before the data, unless only its end tells that, as
            in a zip: then it counts what came.
    """

    __slots__ = ("_ahead", "_batch", "_member", "_pairing", "metadata")

    def __init__(
        self, batch: BatchStream, pairing: Pairing, metadata: ItemMetadata, member: ArchiveMember
    ) -> None:
        self._batch = batch
        self._pairing = pairing
        self._member = member
        self._ahead = b""  # was taken already
        self.metadata = metadata

    async def read(self) -> bytes:
        """Return all of the data.

        Raises:
            LimitExceededError: if it is larger than `max_item_size`.
            UsageError: if it was read before, or the batch has moved on.
            IncompleteBatchError: if the answer breaks off, and the rest cannot be had.
        """
        while True:
            try:
                data = await self._member.read()
                self._pairing.close(len(data))
            except UsageError:
                raise
            except BaseException as error:  # noqa: BLE001 - as in BatchStream.__anext__()
                await self._reopen(error)
            else:
                return data

    def __aiter__(self) -> Self:
        aiter(self._member)
        return self

    async def __anext__(self) -> bytes:
        while True:
            try:
                data, self._ahead = self._ahead or await anext(self._member, b""), b""
                if not data:
                    self._pairing.close(self._pairing.given)
            except UsageError:
                raise
            except BaseException as error:  # noqa: BLE001 - as in BatchStream.__anext__()
                await self._reopen(error)
            else:
                break
        if not data:
            raise StopAsyncIteration
        self._pairing.count(data)
        return data

    async def _reopen(self, error: BaseException) -> None:
        self._member, self._ahead = await self._batch._reopen(self.metadata, error)
