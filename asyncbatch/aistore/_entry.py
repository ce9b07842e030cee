"""One entry of a batch, asked for by itself: by the GET of its object, whose error is the entry's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ..batch import EntryAnswer
from ..errors import RemoteError
from ..transport import Body, public_url, size_of
from ._data import open_data
from .wire import NO_SUCH_RANGE, public_name

if TYPE_CHECKING:
    from ..batch import Entry
    from ._http import Connection

__all__ = ["open_entry"]


async def open_entry(connection: Connection, entry: Entry) -> EntryAnswer:
    """Ask for what an entry names.

    Raises:
        RemoteError: with status 416 for a range that is not in the object, or as `open_data` does. Where the
            answer does not tell the size of a file inside a shard, reading the data raises it.
        TransportError: if there is no answer.
    """
    cut = entry.archpath is not None and (entry.start > 0 or entry.length is not None)
    try:
        response = await open_data(
            connection, entry._replace(start=0, length=None) if cut else entry, once=True
        )
    except RemoteError as error:
        if error.status != 416:
            raise
        raise _out_of_range(entry, error.message, error.url) from error
    body, url = Body(response), public_url(response.url)
    size = size_of(response)
    if not cut:
        if size is not None and entry.length is not None and size < entry.length:
            await body.aclose()
            raise _out_of_range(entry, f"it has {entry.start + size} bytes", url)
        return EntryAnswer(body, size)
    if size is not None and entry.start + (entry.length or 0) > size:
        await body.aclose()
        raise _out_of_range(entry, f"it has {size} bytes", url)
    if entry.length is not None:
        size = entry.length
    elif size is not None:
        size -= entry.start
    return EntryAnswer(_FileRange(body, entry, url), size)


def _out_of_range(entry: Entry, reason: str, url: str) -> RemoteError:
    wanted = "all" if entry.length is None else f"{entry.length} bytes"
    return RemoteError(
        status=416,
        code=NO_SUCH_RANGE,
        message=f"{public_name(entry)}: {wanted} from byte {entry.start} on cannot be had: {reason}",
        url=url,
    )


class _FileRange:
    """A range of a file inside a shard, cut out of the whole file as that arrives.

    Raises (while iterating):
        RemoteError: with status 416, if the file ends before the range does.
        TransportError: if the answer breaks off.
    """

    def __init__(self, body: Body, entry: Entry, url: str) -> None:
        self._body = body
        self._entry = entry
        self._url = url
        self._size = 0  # of the file, as far as it was read
        self._skipped = entry.start  # bytes that are still to be skipped
        self._left = entry.length  # bytes that are still to be handed out; None for all

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while self._left != 0:
            try:
                part = self._cut(await self._body.__anext__())
            except StopAsyncIteration:
                if self._skipped or self._left:
                    reason = f"it has {self._size} bytes"
                    raise _out_of_range(self._entry, reason, self._url) from None
                raise
            if part:
                return part
        await self._body.aclose()
        raise StopAsyncIteration

    def _cut(self, chunk: bytes) -> bytes:
        """Return what of a chunk belongs to the range."""
        self._size += len(chunk)
        part = chunk[self._skipped :] if self._skipped else chunk
        self._skipped = max(self._skipped - len(chunk), 0)
        if self._left is not None:
            part = part[: self._left]
            self._left -= len(part)
        return part

    async def aclose(self) -> None:
        """Close the answer."""
        await self._body.aclose()
