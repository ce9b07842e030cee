"""The data of one object on its way, out of a store or into it: what the objects of all clients share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Generic, Self, TypeAlias, TypeVar

from .._closing import AsyncCloseable
from ..archive._sources import close_source, iterate_source
from ..errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ..codecs._events import Buffer

__all__ = ["ObjectData", "ObjectReader", "OpenedObject", "check_data", "check_range", "read_file"]

_Info = TypeVar("_Info")

ObjectData: TypeAlias = "bytes | bytearray | memoryview | str | os.PathLike[str] | AsyncIterable[bytes]"
# The data, closed through `aclose` if it has that method; and what finds out what the answer tells of it.
OpenedObject: TypeAlias = "tuple[AsyncIterator[Buffer], Callable[[], _Info]]"


class ObjectReader(AsyncCloseable, Generic[_Info]):
    """The data of an object as it arrives: the base class of each client's `ObjectBody`.

    Args:
        name: The object, for errors.
        ask: Asks for the data.
    """

    def __init__(self, name: str, ask: Callable[[], Awaitable[OpenedObject[_Info]]]) -> None:
        self._name = name
        self._ask = ask
        self._opened: OpenedObject[_Info] | None = None
        self._state = "new"  # then "open", while a chunk is awaited "being read", and at last "closed"

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise self._refusal()
        self._state = "open"
        self._opened = await self._ask()
        return self

    async def aclose(self) -> None:
        """End the transfer. May be called again."""
        self._state = "closed"
        if self._opened is not None:
            await close_source(self._opened[0])

    def __aiter__(self) -> Self:
        self._open()
        return self

    async def __anext__(self) -> bytes:
        chunks, _ = self._open()
        if self._state != "open":
            raise self._refusal()
        self._state = "being read"
        try:
            return bytes(await anext(chunks))
        finally:
            if self._state == "being read":
                self._state = "open"

    def _told(self) -> _Info:
        """Return what the answer tells of the object."""
        _, tell = self._open()
        return tell()

    def _open(self) -> OpenedObject[_Info]:
        if self._opened is None:
            raise UsageError(f"object {self._name!r}: read it inside an 'async with'")
        return self._opened

    def _refusal(self) -> UsageError:
        return UsageError(
            f"object {self._name!r}: this body is {self._state} already; it is read once, by one task"
        )


def check_range(name: str, start: int, length: int | None) -> None:
    """Raise `UsageError` for what is no range of an object."""
    if start < 0 or (length is not None and length <= 0):
        raise UsageError(
            f"object {name!r}: start={start}, length={length} is no range: start is not negative, "
            "and length positive, or None for all from start"
        )


def check_data(name: str, data: ObjectData) -> None:
    """Raise `UsageError` for what cannot be stored as an object."""
    if not isinstance(data, bytes | bytearray | memoryview | str | os.PathLike | AsyncIterable):
        raise UsageError(
            f"object {name!r}: cannot store {type(data).__name__}; pass bytes, a path or an async iterable "
            "of bytes"
        )


async def read_file(path: str | os.PathLike[str], size: int) -> AsyncIterator[bytes]:
    """Iterate over a file whose size was announced already.

    Raises:
        OSError: if it cannot be read, or has another size by now.
    """
    left = size
    chunks = iterate_source(path)
    try:
        async for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
    finally:
        await close_source(chunks)
    if left:
        raise OSError(f"{os.fspath(path)!r} changed while it was read: it had {size} bytes at first")
