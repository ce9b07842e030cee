"""Listings: pages fetched as they are needed, handed out entry by entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Self, TypeVar

from .._closing import AsyncCloseable
from ..errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["Listing"]

T = TypeVar("T")


class Listing(AsyncCloseable, Generic[T]):
    """An async iterator over the entries of a listing. One task may read it.

    Args:
        fetch: Fetches the next page: its entries, and whether there is another behind it.
    """

    def __init__(self, fetch: Callable[[], Awaitable[tuple[list[T], bool]]]) -> None:
        self._fetch = fetch
        self._entries: Iterator[T] = iter(())
        self._more = True
        self._fetching = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            for entry in self._entries:
                return entry
            if not self._more:
                raise StopAsyncIteration
            await self._next_page()

    async def _next_page(self) -> None:
        if self._fetching:
            raise UsageError("this listing is being read by another task already; it has one consumer")
        self._fetching = True
        try:
            entries, more = await self._fetch()
        finally:
            self._fetching = False
        if self._more:  # not closed meanwhile
            self._entries, self._more = iter(entries), more

    async def aclose(self) -> None:
        """Fetch no more pages, and drop what was not read."""
        self._entries = iter(())
        self._more = False
