"""The client for object stores."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Unpack

from .._closing import AsyncCloseable
from ..batch import (
    DEFAULT_MAX_CONCURRENCY,
    DEFAULT_MAX_MEMORY,
    DEFAULT_MAX_RESUMES,
    BatchRequest,
    make_request,
)
from ..errors import UsageError
from ..limits import DEFAULT_LIMITS
from ..loader import BatchLoader
from ..loader._sizes import parse_size
from ..transport import DEFAULT_RETRY, Listing
from ._bucket import Bucket
from ._buckets import list_buckets
from ._calls import left_by_threads
from ._object import Settings
from ._source import ObjectStoreSource
from ._stores import Stores

if TYPE_CHECKING:
    from collections.abc import Iterable

    from obstore.store import ObjectStore

    from ..batch import BatchOptions, BatchStream, ObjectRef
    from ..limits import Limits
    from ..loader import LoaderOptions
    from ..transport import RetryPolicy

__all__ = ["Client"]

_WEB: Final = frozenset({"http", "https"})
_REMOTE: Final = _WEB | {"s3", "gs", "az"}
# A request is sent again by us, who know what it was for. What is slow is so by the reader's choice, whom no
# deadline of a whole answer is to disturb; what stands still is given up.
_RETRY_CONFIG: Final = {"max_retries": 0, "retry_timeout": timedelta(minutes=3)}
_CLIENT_OPTIONS: Final = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "7d"}


class Client(AsyncCloseable):
    """A client of an object store, to be used with ``async with``. Needs the extra ``stores``.

    Args:
        url: ``s3://``, ``gs://`` or ``az://`` for all buckets, ``s3://bucket/prefix`` for one by default,
            whose objects are named without the prefix; ``file:///path``, ``memory:///`` or
            ``https://host/path``, whose folders are buckets; or a store of obstore.
        limits: Bounds on what is accepted.
        retry: When a request that failed is sent again; ``RetryPolicy(max_attempts=1)`` for never.
        max_resumes: How often in a row a batch that broke off is asked for again where that brings nothing.
        max_concurrency: Requests that batches may have under way at once.
        max_memory: Bytes that batches may hold ahead of their reader, as a number, or like ``"64MiB"``.
        **config: Settings of obstore, such as ``region``, ``endpoint``, ``credential_provider`` and
            ``client_options``. The others are those of the environment, such as `$AWS_ACCESS_KEY_ID`,
            `$AWS_ENDPOINT_URL` and `$GOOGLE_SERVICE_ACCOUNT`; with ``client_options``, no timeouts, proxies
            and the like are taken from there.

    Raises:
        UsageError: if there is no such scheme or folder, a setting is unknown, or obstore is not installed.
    """

    def __init__(
        self,
        url: str | ObjectStore,
        *,
        limits: Limits = DEFAULT_LIMITS,
        retry: RetryPolicy = DEFAULT_RETRY,
        max_resumes: int = DEFAULT_MAX_RESUMES,
        max_concurrency: int = DEFAULT_MAX_CONCURRENCY,
        max_memory: int | str = DEFAULT_MAX_MEMORY,
        **config: Any,  # noqa: ANN401 - obstore's
    ) -> None:
        self._stores = Stores(url, **_with_defaults(url, config))
        self._max_resumes = max_resumes
        self._source = ObjectStoreSource(
            self._stores,
            limits=limits,
            retry=retry,
            max_concurrency=max_concurrency,
            max_memory=parse_size(max_memory, "max_memory"),
        )
        self._settings = Settings(self._stores, limits, retry, self._source.shards)

    def __repr__(self) -> str:
        return f"<objectstore.Client {self._stores!r}>"

    @property
    def default_bucket(self) -> str | None:
        """The bucket that is meant where none is named, or None."""
        return self._stores.default_bucket

    async def aclose(self) -> None:
        """Wait until obstore's threads are done with calls that were cancelled. May be called again.

        Connections are obstore's, which closes those that are idle.
        """
        await left_by_threads()

    def bucket(self, name: str | None = None) -> Bucket:
        """Return a bucket, which need not exist.

        Args:
            name: The bucket; None for the one that the URL names.

        Raises:
            UsageError: if no bucket can have that name, or the URL names none.
        """
        if name is None:
            name = self._stores.default_bucket
            if name is None:
                raise UsageError(f"{self._stores!r} names no bucket: say which one")
        self._stores.locate(name)
        return Bucket(name, self._settings)

    def list_buckets(self) -> Listing[Bucket]:
        """Return an async iterator over the buckets, where they are folders.

        Raises:
            UsageError: for a cloud, whose buckets obstore does not list.

        Raises (while iterating):
            RemoteError, TransportError: as the store and the network have it.
        """
        self._stores.folders()

        async def fetch() -> tuple[list[Bucket], bool]:
            names = await list_buckets(self._stores)
            return [Bucket(name, self._settings) for name in names], False

        return Listing(fetch)

    def get_batch(
        self,
        request: BatchRequest | Iterable[str | ObjectRef],
        *,
        bucket: Bucket | str | None = None,
        **options: Unpack[BatchOptions],
    ) -> BatchStream:
        """Return a batch, to be read with ``async with`` and ``async for``.

        Args:
            request: A `BatchRequest`; or names of objects in `bucket`; or objects.
            bucket: The bucket of the names, or its name; None for the one that the URL names.
            **options: Those of `BatchRequest`, if `request` is not one.

        Raises:
            UsageError: if the request could never work; nothing is sent then.
        """
        if bucket is None and not isinstance(request, BatchRequest):
            bucket = self._stores.default_bucket
        if isinstance(bucket, str):
            bucket = self.bucket(bucket)
        return self.batch_loader().get_batch(make_request(request, bucket, options))

    def batch_loader(self, **options: Unpack[LoaderOptions]) -> BatchLoader:
        """Return a loader of batches from this store.

        Args:
            **options: Those of `BatchLoader`, such as `max_concurrency` and `max_memory`: there, of batches.

        Raises:
            UsageError: for options that cannot be meant.
        """
        settings = self._settings
        return BatchLoader(
            self._source,
            limits=settings.limits,
            retry=settings.retry,
            max_resumes=self._max_resumes,
            **options,
        )


def _with_defaults(url: str | ObjectStore, config: dict[str, Any]) -> dict[str, Any]:
    """Return settings with those of ours for what goes over a network."""
    scheme = url.partition("://")[0].lower() if isinstance(url, str) else ""
    if scheme not in _REMOTE:
        return config
    if "client_options" in config or scheme in _WEB:
        options = _CLIENT_OPTIONS | dict(config.get("client_options") or {})
        return {"retry_config": _RETRY_CONFIG} | config | {"client_options": options}
    # As they are, they would take the place of those of the environment, such as $AWS_ALLOW_HTTP.
    return {"retry_config": _RETRY_CONFIG} | _CLIENT_OPTIONS | config
