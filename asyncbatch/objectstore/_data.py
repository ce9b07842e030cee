"""The data of an object, or of a range of it: asked for by one GET, and checked to be that.

What is small comes in one piece, which costs least by far. What is large comes as a stream. Files are read
without obstore, whose stream of one that is cut short meanwhile would never end.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from ..errors import AsyncBatchError, RemoteError, TransportError
from ._buckets import has_bucket
from ._calls import call, under_way
from ._errors import cause_of, explain, is_of_obstore, no_such_range
from ._files import open_file

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ._stores import Stores

__all__ = ["Download", "ask", "open_data", "translated"]

_T = TypeVar("_T")

# Bytes that come at once, and of a piece of what comes in many.
_SMALL: Final = 1 << 20
_PIECE: Final = 1 << 20
# Behind any object, and the largest number that obstore takes.
_NO_BYTE: Final = (1 << 63) - 1


class Download:
    """The data of an object on its way: an async iterator of chunks.

    Attributes:
        meta: What obstore tells of the object, in `meta` of its result.
        size: Bytes of the data.

    Raises (while iterating):
        RemoteError, TransportError: as the store and the network have it; `TransportError` too if less data
            comes than was announced, or the object changes meanwhile.
    """

    def __init__(self, result: Any, *, url: str, bucket: str, name: str) -> None:  # noqa: ANN401
        self._url = url
        self._about = bucket, name
        self.meta = result.meta
        start, end = result.range
        self.size: int = end - start
        self._left = self.size
        self._closed = False
        self._result = result
        self._chunks: Any = None
        if self.size > _SMALL:
            self._chunks = aiter(result.stream(min_chunk_size=_PIECE))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        try:
            if self._chunks is None:
                chunk = bytes(await under_way(self._result.bytes_async()))
            else:
                chunk = await under_way(anext(self._chunks))
        except StopAsyncIteration:
            chunk = b""
        except Exception as error:
            if not is_of_obstore(error):
                raise
            raise self._explain(error) from cause_of(error)
        if self._closed:  # meanwhile
            raise TransportError(f"{self._url}: closed while it was read", retryable=False)
        self._left -= len(chunk)
        if self._left < 0 or not chunk or (self._chunks is None and self._left):
            message = f"{self._url}: {self.size} bytes were announced, and {self.size - self._left} came"
            raise TransportError(message, retryable=True)
        return chunk

    def _explain(self, error: Exception) -> AsyncBatchError:
        meant = explain(error, self._url, bucket=self._about[0], name=self._about[1])
        if isinstance(meant, RemoteError) and meant.status in {404, 412, 416}:  # it was there before
            return TransportError(f"{self._url}: the object changed while it was read", retryable=True)
        return meant

    async def aclose(self) -> None:
        """Read no more. May be called again."""
        self._closed = True
        self._chunks = self._result = None


async def open_data(
    stores: Stores,
    bucket: str,
    name: str,
    start: int = 0,
    length: int | None = None,
    *,
    clip: bool = False,
    version: str | None = None,
) -> Download:
    """Ask for an object or a range of it, once.

    Args:
        stores: Where it is.
        bucket: The bucket.
        name: The object.
        start: First byte wanted.
        length: Bytes wanted, at least 1; None for all from `start`.
        clip: Whether the object may end before the range does.
        version: The entity tag that it is to have, or None for any.

    Raises:
        ObjectNotFoundError, BucketNotFoundError: if there is no such object or bucket.
        RemoteError: with status 416 if the range is not in the object, with 412 if it is another version; or
            as the store has it.
        TransportError: if there is no answer.
        UsageError: for names that cannot be asked for.
    """
    store: Any
    store, path = stores.locate(bucket, name)
    url = f"{stores.provider}://{bucket}/{name}"
    if stores.root is not None:
        opening = open_file(f"{stores.root}/{path}", url, start, length, version=version)
        file = await ask(opening, stores, bucket, name)
        return _checked(Download(file, url=url, bucket=bucket, name=name), start, length, clip=clip)
    options: dict[str, Any] = {}
    start = min(start, _NO_BYTE - 1)
    if length is not None:
        options["range"] = start, min(start + length, _NO_BYTE)
    elif start:
        options["range"] = {"offset": start}
    if version is not None:
        options["if_match"] = version
    result = await ask(call("get_async", store, path, options=options or None), stores, bucket, name)
    return _checked(Download(result, url=url, bucket=bucket, name=name), start, length, clip=clip)


def _checked(data: Download, start: int, length: int | None, *, clip: bool) -> Download:
    """Return data, unless it is less than the range that was asked for."""
    if length is not None and data.size != length and not clip:
        raise no_such_range(data._url, start, length, start + data.size)  # noqa: SLF001 - of this module
    return data


async def ask(called: Awaitable[_T], stores: Stores, bucket: str, name: str | None = None) -> _T:
    """Await what obstore does about an object or a bucket, and return what it returns.

    Raises:
        RemoteError, TransportError, UsageError: for what obstore raises.
    """
    try:
        return await called
    except Exception as error:
        if not is_of_obstore(error):
            raise
        raise await translated(error, stores, bucket, name) from cause_of(error)


async def translated(
    error: Exception, stores: Stores, bucket: str, name: str | None = None
) -> AsyncBatchError:
    """Return an error of this library for one of obstore.

    Where something is missing, it asks whether that is the bucket: folders do not tell, nor does a HEAD.
    """
    url = f"{stores.provider}://{bucket}" + ("" if name is None else f"/{name}")
    meant = explain(error, url, bucket=bucket, name=name)
    if isinstance(meant, RemoteError) and meant.status == 404 and not meant.code and name is not None:
        with suppress(AsyncBatchError):  # such as that buckets may not be listed
            if not await has_bucket(stores, bucket):
                return explain(error, url, bucket=bucket)
    return meant
