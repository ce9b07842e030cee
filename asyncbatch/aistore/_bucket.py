"""A bucket of an AIStore cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ..errors import BucketNotFoundError, FormatError, RemoteError
from ..transport import Listing
from ._object import Object
from .wire import WireRequest, bucket_path, bucket_query, encode_action, encode_listing, parse_listing

if TYPE_CHECKING:
    from ._http import Connection
    from .wire import ObjectInfo

__all__ = ["Bucket"]


class Bucket:
    """A bucket, which need not exist. Made by `Client.bucket`.

    Attributes:
        name: The bucket's name.
        provider: Where it lives: ``"ais"`` for AIStore itself, or the cloud behind it, such as ``"aws"``.
        namespace: Its namespace, as ``"@uuid#name"``, or None for the global one.
    """

    def __init__(self, name: str, provider: str, namespace: str | None, connection: Connection) -> None:
        self.name = name
        self.provider = provider
        self.namespace = namespace
        self._connection = connection

    def __repr__(self) -> str:
        return f"<Bucket {self.provider}://{self.namespace or ''}{self.name}>"

    def object(self, name: str) -> Object:
        """Return an object of this bucket, which need not exist."""
        return Object(self, name, self._connection)

    async def create(self, *, exist_ok: bool = False) -> Self:
        """Create the bucket, and return it.

        Args:
            exist_ok: Whether it is no error that the bucket exists already.

        Raises:
            RemoteError: with status 409 if the bucket exists; and as the server has it.
            TransportError: as the network has it.
        """
        try:
            await self._connection.read(self._request("POST", encode_action("create-bck")))
        except RemoteError as error:
            if not (exist_ok and error.status == 409):
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
            await self._connection.read(self._request("DELETE", encode_action("destroy-bck")))
        except BucketNotFoundError:
            if not missing_ok:
                raise

    async def exists(self) -> bool:
        """Whether the bucket exists.

        Raises:
            RemoteError, TransportError: as the server and the network have it.
        """
        try:
            await self._connection.read(self._request("HEAD", None))
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
        """
        token = uuid = ""

        async def fetch() -> tuple[list[ObjectInfo], bool]:
            nonlocal token, uuid
            body = encode_listing(prefix=prefix, page_size=page_size, token=token, uuid=uuid)
            _, page = await self._connection.read(self._request("GET", body))
            before = token
            objects, token, uuid = parse_listing(page)
            if token and token == before:
                raise FormatError(f"the listing stands still at {token!r}", codec="aistore", offset=0)
            return objects, bool(token)

        return Listing(fetch)

    def _request(self, method: str, body: bytes | None) -> WireRequest:
        return WireRequest(
            method=method,
            path=bucket_path(self.name),
            query=bucket_query(self.provider, self.namespace),
            headers={"Accept": "application/json"}
            | ({} if body is None else {"Content-Type": "application/json"}),
            body=body,
            bucket=self.name,
        )
