"""Buckets, where they are folders: listed, made and removed. obstore does none of that in a cloud."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyio.to_thread import run_sync

from ..errors import BucketNotFoundError, RemoteError, UsageError
from ._calls import call, under_way
from ._errors import translating

if TYPE_CHECKING:
    from ._stores import Stores

__all__ = ["create_bucket", "destroy_bucket", "has_bucket", "list_buckets", "next_page"]

_PER_PAGE: Final = 1000
# What `asyncbatch serve` has in its folder for what is being written.
_OF_THE_SERVER: Final = ".asyncbatch"


async def list_buckets(stores: Stores) -> list[str]:
    """Return the names of all buckets, in order.

    Raises:
        UsageError: if buckets are no folders.
        RemoteError, TransportError: as the store has it.
    """
    store: Any
    store, prefix = stores.folders()
    with translating(repr(stores), bucket=""):
        result = await call("list_with_delimiter_async", store, prefix.rstrip("/") or None)
    names = {path.rpartition("/")[2] for path in result["common_prefixes"]} | stores.made
    return sorted(names - {_OF_THE_SERVER})


async def has_bucket(stores: Stores, bucket: str) -> bool:
    """Whether a bucket exists. A folder of a web server always seems to.

    Raises:
        RemoteError, TransportError: as the store has it.
    """
    if stores.provider == "http" or bucket in stores.made:
        return True
    if stores.provider == "file":
        return await run_sync(_folder_of(stores, bucket).is_dir)
    store: Any
    store, prefix = stores.locate(bucket)
    listing = store.list(prefix.rstrip("/") or None, chunk_size=1)
    try:
        with translating(f"{stores.provider}://{bucket}", bucket=bucket):
            page = await next_page(listing)
    except BucketNotFoundError:
        return False
    # A bucket of a cloud may be empty; a folder in memory is what its objects are called.
    return not stores.has_folders or page is not None


async def next_page(listing: Any) -> Any:  # noqa: ANN401 - obstore's
    """Return the next page of a listing of obstore's, or None if there is none."""
    # By a task: where a future throws into a coroutine, Python 3.11 loses who traces it, such as coverage.
    return await asyncio.create_task(_next_page(listing))


async def _next_page(listing: Any) -> Any:  # noqa: ANN401 - obstore's
    try:
        return await under_way(anext(listing))
    except StopAsyncIteration:
        return None


async def create_bucket(stores: Stores, bucket: str) -> None:
    """Create a bucket.

    Raises:
        UsageError: if buckets are no folders.
        RemoteError: with status 409 if the bucket exists; and as the store has it.
    """
    _check_folders(stores, "make")
    if await has_bucket(stores, bucket):
        raise RemoteError(
            status=409, message="the bucket exists already", url=f"{stores.provider}://{bucket}"
        )
    if stores.provider == "memory":
        stores.made.add(bucket)
        return
    await _in_folder(stores, bucket, Path.mkdir)


async def destroy_bucket(stores: Stores, bucket: str) -> None:
    """Destroy a bucket, with all objects in it.

    Raises:
        BucketNotFoundError: if there is no such bucket.
        UsageError: if buckets are no folders.
        RemoteError: as the store has it.
    """
    _check_folders(stores, "remove")
    if not await has_bucket(stores, bucket):
        raise BucketNotFoundError(
            status=404, message="no such bucket", url=f"{stores.provider}://{bucket}", bucket=bucket
        )
    if stores.provider == "file":
        await _in_folder(stores, bucket, shutil.rmtree)
        return
    store: Any
    store, prefix = stores.locate(bucket)
    listing = store.list(prefix.rstrip("/"), chunk_size=_PER_PAGE)
    while (page := await next_page(listing)) is not None:
        await call("delete_async", store, [found["path"] for found in page])
    stores.made.discard(bucket)


def _check_folders(stores: Stores, verb: str) -> None:
    stores.folders()
    if stores.provider == "http":
        raise UsageError(f"{stores!r}: one cannot {verb} folders of a web server")


def _folder_of(stores: Stores, bucket: str) -> Path:
    return Path(f"{stores.root}/{stores.locate(bucket).path}")


async def _in_folder(stores: Stores, bucket: str, do: Any) -> None:  # noqa: ANN401 - takes a path
    """Do something with a bucket's folder, in a thread."""
    with translating(f"{stores.provider}://{bucket}", bucket=bucket):
        await run_sync(do, _folder_of(stores, bucket))
