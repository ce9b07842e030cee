"""A bucket of an object store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from ..errors import BucketNotFoundError, RemoteError, UsageError
from ..transport import Listing, retried
from ._buckets import create_bucket, destroy_bucket, has_bucket, next_page
from ._data import ask
from ._object import Object, info_of

if TYPE_CHECKING:
    from ._object import ObjectInfo, Settings

__all__ = ["Bucket"]

_PER_PAGE: Final = 1000


class Bucket:
    """A bucket, which need not exist. Made by `Client.bucket`.

    Attributes:
        name: The bucket's name.
        provider: What it is in: ``"s3"``, ``"gs"``, ``"az"``, ``"file"``, ``"memory"`` or ``"http"``.
        namespace: None; buckets of AIStore have one.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.provider: str = settings.stores.provider
        self.namespace: str | None = None
        self._settings = settings

    def __repr__(self) -> str:
        return f"<Bucket {self.provider}://{self.name}>"

    def object(self, name: str) -> Object:
        """Return an object of this bucket, which need not exist."""
        return Object(self, name, self._settings)

    async def create(self, *, exist_ok: bool = False) -> Self:
        """Create the bucket, and return it. Where buckets are folders, that is.

        Args:
            exist_ok: Whether it is no error that the bucket exists already.

        Raises:
            UsageError: for other buckets, which obstore cannot create.
            RemoteError: with status 409 if the bucket exists; and as the store has it.
        """
        try:
            await create_bucket(self._settings.stores, self.name)
        except RemoteError as error:
            if not (exist_ok and error.status == 409):
                raise
        return self

    async def destroy(self, *, missing_ok: bool = False) -> None:
        """Destroy the bucket, with all objects in it. Where buckets are folders, that is.

        Args:
            missing_ok: Whether it is no error that the bucket does not exist.

        Raises:
            UsageError: for other buckets, which obstore cannot remove.
            BucketNotFoundError: if there is no such bucket.
            RemoteError: as the store has it.
        """
        try:
            await destroy_bucket(self._settings.stores, self.name)
        except BucketNotFoundError:
            if not missing_ok:
                raise

    async def exists(self) -> bool:
        """Whether the bucket exists; of a folder of a web server, that is not known, and True.

        Raises:
            RemoteError, TransportError: as the store and the network have it.
        """
        stores = self._settings.stores
        return await retried(lambda: has_bucket(stores, self.name), self._settings.retry, what=self)

    def list_objects(self, *, prefix: str = "", page_size: int = 0) -> Listing[ObjectInfo]:
        """Return an async iterator over the bucket's objects; pages are fetched as needed.

        They come by name, except from ``file://`` and ``http://``, in whose order they come.

        Args:
            prefix: What the names must begin with.
            page_size: Objects of a page at most; 0 for the library's own choice.

        Raises:
            UsageError: for a prefix that no name can have.

        Raises (while iterating):
            BucketNotFoundError: if there is no such bucket.
            RemoteError, TransportError: as the store and the network have it.
        """
        return Listing(_Pages(self, self._settings, prefix, page_size or _PER_PAGE).fetch)


class _Pages:
    """The pages of a listing."""

    def __init__(self, bucket: Bucket, settings: Settings, prefix: str, page_size: int) -> None:
        if page_size < 1:
            raise UsageError(f"page_size={page_size}: it is at least 1, or 0")
        stores = settings.stores
        self._bucket = bucket
        self._settings = settings
        self._prefix = prefix
        # obstore knows whole folders only: the rest of the prefix is looked for here.
        folder = prefix.rpartition("/")[0]
        self._store: Any
        self._store, path = stores.locate(bucket.name, folder)
        self._folder = path.rstrip("/") or None
        self._page_size = page_size
        self._pages: Any = None
        self._last: str | None = None  # path that was read last

    async def fetch(self) -> tuple[list[ObjectInfo], bool]:
        """Return the objects of the next page, and whether there is another behind it."""
        page = await retried(self._attempt, self._settings.retry, what=f"listing of {self._bucket!r}")
        if page is None:
            return [], False
        self._last = page[-1]["path"]
        stores, name = self._settings.stores, self._bucket.name
        infos = [info_of(stores.name_of(name, meta["path"]), meta) for meta in page]
        return [info for info in infos if info.name.startswith(self._prefix)], True

    async def _attempt(self) -> Any:  # noqa: ANN401 - obstore's
        stores, name = self._settings.stores, self._bucket.name
        if self._last is None and stores.has_folders and not await has_bucket(stores, name):
            raise BucketNotFoundError(
                status=404, message="no such bucket", url=f"{stores.provider}://{name}", bucket=name
            )
        pages, self._pages = self._pages, None  # it is of no use behind an error
        if pages is None:
            pages = self._store.list(self._folder, offset=self._last, chunk_size=self._page_size)
        page = await ask(next_page(pages), stores, name)
        self._pages = pages
        return page
