"""Buckets of obstore: what the server serves as a gateway."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Final

import obstore

from ..errors import UsageError
from ._store import (
    BucketExistsError,
    InvalidNameError,
    NoSuchBucketError,
    NoSuchObjectError,
    ObjectInfo,
    Page,
    UnsupportedError,
)
from ._upstream import RemoteUpload, open_remote, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore import ObjectMeta

    from ..objectstore._stores import Place, Stores
    from ._upstream import RemoteObject

__all__ = ["RemoteStore"]

_WINDOW: Final = 32
_EVERYTHING: Final = 1 << 62
_PER_REQUEST: Final = 1000  # objects of a listing, more no upstream gives at once
# Bytes of a key: the limit of S3, Google and Azure. What is longer they refuse, and do not call it missing.
_MAX_KEY: Final = 1024
_CLOUDS: Final = frozenset({"s3", "gs", "az"})
_NEW_BUCKET: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")  # AIStore's rule


class RemoteStore:
    """A `Store` over obstore's.

    Where a URL names one bucket, there is no other. Buckets are listed, made and removed where they are
    folders in memory; of a cloud's, and of the web's folders, obstore does nothing of the kind.

    Args:
        stores: Where the objects are.
    """

    read_ahead: Final = _WINDOW

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._in_memory = stores.provider == "memory"
        self._made: set[str] = set()  # in memory, where a folder exists as long as there is something in it
        self._lock = Lock()

    def list_buckets(self) -> list[str]:
        if self._stores.default_bucket is not None:
            return [self._stores.default_bucket]
        if not self._in_memory:
            raise UnsupportedError("the buckets of the store behind this server cannot be listed")
        place = self._stores.folders()
        with translated(""):
            found = obstore.list_with_delimiter(place.store, place.path)["common_prefixes"]
        with self._lock:
            return sorted(self._made.union(folder[len(place.path) :] for folder in found))

    def check_bucket(self, bucket: str, /) -> None:
        place = self._locate(bucket)
        if bucket == self._stores.default_bucket or self._stores.provider == "http":
            # Somebody has named it, and may not be allowed to list it. A web server says nothing of folders.
            return
        with translated(bucket):
            found = next(iter(obstore.list(place.store, place.path, chunk_size=1)), ())
        with self._lock:
            if self._in_memory and not found and bucket not in self._made:
                raise NoSuchBucketError(bucket)

    def create_bucket(self, bucket: str, /) -> None:
        self._need_memory()
        if _NEW_BUCKET.fullmatch(bucket) is None:
            raise InvalidNameError(
                f'bucket name "{bucket}" is invalid: 1 to 64 letters, digits, "-", "_" and ".", not first "."'
            )
        if bucket in self.list_buckets():
            raise BucketExistsError(f'bucket "ais://{bucket}" already exists')
        with self._lock:
            self._made.add(bucket)

    def destroy_bucket(self, bucket: str, /) -> None:
        self._need_memory()
        self.check_bucket(bucket)
        place = self._locate(bucket)
        with self._lock:
            self._made.discard(bucket)
        with translated(bucket):
            found = obstore.list(place.store, place.path).collect()
            obstore.delete(place.store, [meta["path"] for meta in found])

    def list_objects(self, bucket: str, /, *, prefix: str, after: str, limit: int) -> Page:
        place = self._locate(bucket)
        if self._in_memory:
            self.check_bucket(bucket)
        found: list[ObjectInfo] = []
        with translated(bucket):
            for meta in self._list(bucket, place, prefix, after, limit):
                name = self._stores.name_of(bucket, meta["path"])
                if name > after and name.startswith(prefix):
                    if len(found) == limit:
                        return Page(found, more=True)
                    found.append(ObjectInfo(name, meta["size"], None, meta["last_modified"].timestamp()))
                elif name > prefix and not name.startswith(prefix):
                    break
        return Page(found, more=False)

    def _list(self, bucket: str, place: Place, prefix: str, after: str, limit: int) -> Iterator[ObjectMeta]:
        """Yield the objects of a folder that has all of `prefix`, not those before `after` if possible."""
        try:
            folder = self._place(bucket, prefix.rpartition("/")[0]).path
        except UsageError:
            return  # no object has such a name
        offset = None
        if after:
            with suppress(UsageError):  # if it is no object's name, the folder is read from its beginning
                offset = self._place(bucket, after).path
        for some in obstore.list(place.store, folder, offset=offset, chunk_size=min(limit + 1, _PER_REQUEST)):
            yield from some

    def open_object(self, bucket: str, name: str, /) -> RemoteObject:
        return self.open_part(bucket, name, 0, _EVERYTHING)

    def open_part(self, bucket: str, name: str, start: int, length: int, /) -> RemoteObject:
        place = self._locate(bucket, name)
        with self._naming_bucket(bucket):
            return open_remote(place, bucket, name, start, length)

    def put_object(self, bucket: str, name: str, /) -> RemoteUpload:
        place = self._locate(bucket, name)
        if self._in_memory:
            self.check_bucket(bucket)
        return RemoteUpload(place, bucket, name)

    def delete_object(self, bucket: str, name: str, /) -> None:
        place = self._locate(bucket, name)
        with self._naming_bucket(bucket), translated(bucket, name):
            obstore.head(place.store, place.path)  # of what is not there a deletion says nothing
            obstore.delete(place.store, place.path)

    def _locate(self, bucket: str, name: str = "") -> Place:
        only = self._stores.default_bucket
        if only is not None and bucket != only:
            raise NoSuchBucketError(bucket)
        try:
            place = self._place(bucket)
        except UsageError:
            raise NoSuchBucketError(bucket) from None
        if not name:
            return place
        try:
            place = self._place(bucket, name)
        except UsageError:
            raise InvalidNameError(f'invalid object name "{name}"') from None
        if self._stores.provider in _CLOUDS and len(name.encode()) > _MAX_KEY:
            raise InvalidNameError(
                f"an object's name has at most {_MAX_KEY} bytes, and not {len(name.encode())}"
            )
        return place

    @contextmanager
    def _naming_bucket(self, bucket: str) -> Iterator[None]:
        """Say of an object that it is the bucket that is missing, as a cloud says without being asked."""
        try:
            yield
        except NoSuchObjectError:
            if self._in_memory:
                self.check_bucket(bucket)
            raise

    def _place(self, bucket: str, name: str = "") -> Place:
        with self._lock:  # it remembers the stores that it made
            return self._stores.locate(bucket, name)

    def _need_memory(self) -> None:
        if not self._in_memory:
            raise UnsupportedError(
                "the store behind this server makes and removes its buckets by other means"
            )
