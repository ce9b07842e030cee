"""What is open can be closed: `async with` for everything that has `aclose`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["AsyncCloseable"]


class AsyncCloseable(ABC):
    """Base of what is used in an ``async with``, which closes it however it is left."""

    @abstractmethod
    async def aclose(self) -> None:
        """Release everything. May be called again."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
