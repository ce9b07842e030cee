"""What the handlers ask of whatever holds the objects, and no more: any object store fits behind it.

Everything here blocks, and is called from worker threads alone: that way one hop to a thread can open, read
and close many small objects, which is what a batch consists of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ..codecs._events import Buffer

__all__ = [
    "BucketExistsError",
    "InvalidNameError",
    "MissingError",
    "NameConflictError",
    "NoSuchBucketError",
    "NoSuchObjectError",
    "ObjectInfo",
    "Page",
    "ShardError",
    "Store",
    "StoreError",
    "StoredObject",
    "UnsupportedError",
    "Upload",
    "UpstreamError",
]


class StoreError(Exception):
    """Base of what a store raises on purpose; its text is meant for the client."""


class InvalidNameError(StoreError):
    """A name that no bucket or object can have."""


class BucketExistsError(StoreError):
    """A bucket to be created is there already."""


class NameConflictError(StoreError):
    """A name that cannot be given because of another object's: ``a`` beside ``a/b`` in a file system."""


class MissingError(StoreError):
    """Base of what is not there."""


class NoSuchBucketError(MissingError):
    """There is no such bucket."""

    def __init__(self, bucket: str, provider: str = "ais") -> None:
        super().__init__(f'bucket "{provider}://{bucket}" does not exist')


class NoSuchObjectError(MissingError):
    """There is no such object, or no such file in a shard."""

    def __init__(self, bucket: str, name: str, archpath: str = "") -> None:
        self.uri = f"{archpath} in ais://{bucket}/{name}" if archpath else f"ais://{bucket}/{name}"
        super().__init__(f"{self.uri} does not exist")


class ShardError(StoreError):
    """An object that cannot be read as the archive that its name says it is."""


class UnsupportedError(StoreError):
    """What such a store cannot do."""


class UpstreamError(StoreError):
    """The store refuses the server's own requests, fails, or cannot be reached: not the client's fault."""


class ObjectInfo(NamedTuple):
    """An object in a listing.

    Attributes:
        name: Without the bucket.
        size: Bytes.
        atime: Last access in seconds since the epoch, or None where that is not known.
        mtime: Last modification, likewise.
    """

    name: str
    size: int
    atime: float | None
    mtime: float | None = None


class Page(NamedTuple):
    """A part of a listing.

    Attributes:
        objects: In the order of their names' UTF-8 bytes.
        more: Whether others follow.
    """

    objects: list[ObjectInfo]
    more: bool


class StoredObject(Protocol):
    """One version of an object, open for reading.

    Attributes:
        size: Bytes when it was opened.
        mtime: Last modification, whole seconds since the epoch.
        atime_ns: Last access in nanoseconds since the epoch, or None where that is not known.
        etag: Names this version: another content has another.
    """

    size: int
    mtime: int
    atime_ns: int | None
    etag: str

    def read(self, offset: int, size: int, /) -> bytes:
        """Return `size` bytes from `offset`; fewer only at the end of the object."""
        ...

    def is_changed(self) -> bool:
        """Return whether what `read` returned may not be the version that was opened."""
        ...

    def close(self) -> None:
        """Let go of it; a second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Upload(Protocol):
    """An object being written: nobody sees it before `commit`."""

    def write(self, chunk: Buffer, /) -> None:
        """Append bytes."""
        ...

    def commit(self) -> str:
        """Give the object its name, in place of what had it before, and return its etag.

        Raises:
            NoSuchBucketError: if the bucket went away.
            NameConflictError: if another object stands in the way.
        """
        ...

    def abort(self) -> None:
        """Forget what was written; does nothing after `commit`."""
        ...


class Store(Protocol):
    """Buckets of objects.

    Every method raises `InvalidNameError` for a name that cannot exist, and `NoSuchBucketError` or
    `NoSuchObjectError` for what does not.

    Attributes:
        read_ahead: How many entries of a batch are worth opening before their turn; 0 where opening one takes
            no longer than handing it to another thread.
    """

    @property
    def read_ahead(self) -> int: ...

    def list_buckets(self) -> list[str]:
        """Return the names of all buckets, sorted."""
        ...

    def check_bucket(self, bucket: str, /) -> None:
        """Do nothing if the bucket exists."""
        ...

    def create_bucket(self, bucket: str, /) -> None:
        """Create an empty bucket.

        Raises:
            BucketExistsError: if it is there.
        """
        ...

    def destroy_bucket(self, bucket: str, /) -> None:
        """Remove a bucket and all that is in it; it vanishes at once."""
        ...

    def list_objects(self, bucket: str, /, *, prefix: str, after: str, limit: int) -> Page:
        """Return the first `limit` objects whose names start with `prefix` and come behind `after`."""
        ...

    def open_object(self, bucket: str, name: str, /) -> StoredObject:
        """Open the current version of an object, to be read from its beginning."""
        ...

    def open_part(self, bucket: str, name: str, start: int, length: int, /) -> StoredObject:
        """Open the current version of an object, of which these bytes will be read first.

        No error says that it has not as many. With a length of 0 only what is known of it is wanted.
        """
        ...

    def put_object(self, bucket: str, name: str, /) -> Upload:
        """Begin to write an object."""
        ...

    def delete_object(self, bucket: str, name: str, /) -> None:
        """Remove an object."""
        ...
