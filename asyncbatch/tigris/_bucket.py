"""A bucket of Tigris, or of whatever else speaks S3."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

from ..errors import BucketNotFoundError, RemoteError
from ..transport import Listing
from ._object import Object
from .wire import PROVIDER, WireRequest, encode_creation, encode_listing, object_path, parse_listing

if TYPE_CHECKING:
    from ..shards import Shards
    from ._http import Connection
    from .wire import ObjectInfo

__all__ = ["Bucket"]

_DELETIONS: Final = 32  # at once, of a bucket that is destroyed
# Amazon S3 API Reference, "List of error codes". BucketAlreadyExists is somebody else's.
_OWNED: Final = "BucketAlreadyOwnedByYou"


class Bucket:
    """A bucket, which need not exist. Made by `Client.bucket`.

    Attributes:
        name: The bucket's name.
        provider: ``"t3"``.
        namespace: None: there are none.
    """

    provider = PROVIDER
    namespace: str | None = None

    def __init__(self, name: str, connection: Connection, shards: Shards) -> None:
        self.name = name
        self._connection = connection
        self._shards = shards

    def __repr__(self) -> str:
        return f"<Bucket {PROVIDER}://{self.name}>"

    def object(self, name: str) -> Object:
        """Return an object of this bucket, which need not exist."""
        return Object(self, name, self._connection, self._shards)

    async def create(self, *, exist_ok: bool = False) -> Self:
        """Create the bucket, and return it.

        Args:
            exist_ok: Whether it is no error that you have the bucket already.

        Raises:
            RemoteError: with status 409 if the bucket exists; and as the server has it.
            TransportError: as the network has it.
        """
        try:
            await self._connection.read(self._request("PUT", encode_creation(self._connection.region)))
        except RemoteError as error:
            if not (exist_ok and error.code == _OWNED):
                raise
        return self

    async def destroy(self, *, missing_ok: bool = False) -> None:
        """Destroy the bucket, with all objects in it.

        Args:
            missing_ok: Whether it is no error that the bucket does not exist.

        Raises:
            BucketNotFoundError: if there is no such bucket.
            RemoteError, TransportError: as the server and the network have it.
        """
        try:
            await self._empty()
            await self._connection.read(self._request("DELETE"))
        except BucketNotFoundError:
            if not missing_ok:
                raise

    async def _empty(self) -> None:
        """Delete all objects, some at a time."""
        names: list[str] = []
        async for info in self.list_objects():
            names.append(info.name)
            if len(names) == _DELETIONS:
                await self._delete(names)
                names.clear()
        await self._delete(names)

    async def _delete(self, names: list[str]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(self.object(name).delete(missing_ok=True))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the first one ended the others

    async def exists(self) -> bool:
        """Whether the bucket exists.

        Raises:
            RemoteError, TransportError: as the server and the network have it.
        """
        try:
            await self._connection.read(self._request("HEAD"))
        except BucketNotFoundError:
            return False
        return True

    def list_objects(self, *, prefix: str = "", page_size: int = 0) -> Listing[ObjectInfo]:
        """Return an async iterator over the bucket's objects, by name; pages are fetched as needed.

        Args:
            prefix: What the names must begin with.
            page_size: Objects of a page at most; 0 for the server's own choice.

        Raises (while iterating):
            BucketNotFoundError: if there is no such bucket.
            RemoteError, TransportError: as the server and the network have it.
            FormatError: if the answer is no listing.
        """
        token: str | None = None

        async def fetch() -> tuple[list[ObjectInfo], bool]:
            nonlocal token
            request = encode_listing(self.name, prefix=prefix, page_size=page_size, token=token)
            _, body = await self._connection.read(request)
            page = parse_listing(body, before=token)
            token = page.token
            return page.objects, token is not None

        return Listing(fetch)

    def _request(self, method: str, body: bytes = b"") -> WireRequest:
        return WireRequest(method=method, path=object_path(self.name), body=body, bucket=self.name)
