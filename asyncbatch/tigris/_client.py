"""The client for Tigris, and for whatever else speaks S3 and makes bundles."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Unpack

from .._closing import AsyncCloseable
from ..batch import DEFAULT_MAX_RESUMES, BatchRequest, make_request
from ..errors import UsageError
from ..limits import DEFAULT_LIMITS
from ..loader import BatchLoader
from ..shards import Shards
from ..transport import (
    DEFAULT_RETRY,
    DEFAULT_TIMEOUT,
    Listing,
    open_http_client,
    parse_endpoint,
    public_url,
)
from ._bucket import Bucket
from ._credentials import find_credentials, find_endpoint, find_region
from ._http import Connection
from ._source import BundleSource
from .wire import WireRequest, check_bucket_name, parse_buckets

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    import httpx

    from ..batch import BatchOptions, BatchStream, ObjectRef
    from ..limits import Limits
    from ..loader import LoaderOptions
    from ..transport import RetryPolicy

__all__ = ["Client"]


class Client(AsyncCloseable):
    """A client of Tigris, to be used with ``async with``.

    Credentials are, of these the first: those that are passed, or the `profile`; ``AWS_ACCESS_KEY_ID`` and
    ``AWS_SECRET_ACCESS_KEY``, or ``TIGRIS_STORAGE_ACCESS_KEY_ID`` and so on; what botocore finds, if it is
    installed: profiles, single sign-on, and the roles of containers and instances.

    Args:
        endpoint_url: URL of the server, by default `$AWS_ENDPOINT_URL_S3`, `$AWS_ENDPOINT_URL`,
            `$TIGRIS_STORAGE_ENDPOINT`, or Tigris's own, ``"https://t3.storage.dev"``.
        bucket: The bucket that is meant where none is named.
        region: What requests are signed for, by default `$AWS_REGION`, `$AWS_DEFAULT_REGION`, or ``"auto"``.
        access_key_id: With the two below: what requests are signed with.
        secret_access_key: Likewise.
        session_token: Likewise, for credentials that expire.
        profile: A section of ``~/.aws/config`` or ``~/.aws/credentials`` to take them from; takes botocore.
        timeout: Seconds for connecting, reading, writing and waiting for a connection, each; or an
            `httpx.Timeout`; or None for no limit. By default 10 s to connect, and 60 s for the rest.
        limits: Bounds on what is accepted.
        retry: When a request that failed is sent again; ``RetryPolicy(max_attempts=1)`` for never.
        max_resumes: How often in a row a batch that broke off is asked for again where that brings nothing;
            0 to ask for each batch only once.
        ssl_context: TLS settings, by default those of the system.
        max_connections: Connections that may be open at once, by default 100.
        http_client: An `httpx.AsyncClient`, or httpx2's, to be used instead of one of our own, as it is; it
            stays open, and timeouts, connections and TLS are its own affair.

    Raises:
        UsageError: if the endpoint is no http or https URL, credentials are passed in part, or cannot be
            sent, or there is no such region.
    """

    def __init__(
        self,
        endpoint_url: str | None = None,
        *,
        bucket: str | None = None,
        region: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        profile: str | None = None,
        timeout: float | httpx.Timeout | None = DEFAULT_TIMEOUT,
        limits: Limits = DEFAULT_LIMITS,
        retry: RetryPolicy = DEFAULT_RETRY,
        max_resumes: int = DEFAULT_MAX_RESUMES,
        ssl_context: ssl.SSLContext | None = None,
        max_connections: int | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        url = parse_endpoint(find_endpoint(endpoint_url, os.environ), "AWS_ENDPOINT_URL_S3")
        if url.userinfo:
            raise UsageError(
                "the endpoint has a user or a password; pass access_key_id and secret_access_key"
            )
        credentials = find_credentials(
            access_key_id, secret_access_key, session_token, profile=profile, environment=os.environ
        )
        found_region = find_region(region, os.environ)
        if bucket is not None:
            check_bucket_name(bucket)
        if max_connections is not None and max_connections < 1:
            raise UsageError(f"max_connections={max_connections}: it is at least 1")
        self._own_http: httpx.AsyncClient | None = None
        if http_client is None:
            self._own_http = http_client = open_http_client(
                timeout=timeout, ssl_context=ssl_context, max_connections=max_connections
            )
        self._connection = Connection(
            url, http_client, limits=limits, retry=retry, credentials=credentials, region=found_region
        )
        self._shards = Shards(limits=limits)
        self._source = BundleSource(self._connection, self._shards)
        self._bucket = bucket
        self._limits = limits
        self._retry = retry
        self._max_resumes = max_resumes

    def __repr__(self) -> str:
        return f"<tigris.Client {public_url(self._connection.endpoint)}>"

    @property
    def default_bucket(self) -> str | None:
        """The bucket that is meant where none is named, or None."""
        return self._bucket

    async def aclose(self) -> None:
        """Close all connections, and with them what is still being read. May be called again."""
        if self._own_http is not None:
            await self._own_http.aclose()

    def bucket(self, name: str | None = None) -> Bucket:
        """Return a bucket, which need not exist.

        Args:
            name: The bucket; None for the client's own.

        Raises:
            UsageError: if no bucket can have that name, or the client has none of its own.
        """
        if name is None:
            name = self._bucket
        if name is None:
            raise UsageError("name a bucket, or make the client with bucket=")
        check_bucket_name(name)
        return Bucket(name, self._connection, self._shards)

    def list_buckets(self) -> Listing[Bucket]:
        """Return an async iterator over your buckets.

        Raises (while iterating):
            RemoteError, TransportError: as the server and the network have it.
            FormatError: if the answer is no list of buckets.
        """

        async def fetch() -> tuple[list[Bucket], bool]:
            _, body = await self._connection.read(WireRequest(method="GET", path="/"))
            return [Bucket(name, self._connection, self._shards) for name in parse_buckets(body)], False

        return Listing(fetch)

    def get_batch(
        self,
        request: BatchRequest | Iterable[str | ObjectRef],
        *,
        bucket: Bucket | str | None = None,
        **options: Unpack[BatchOptions],
    ) -> BatchStream:
        """Return one batch, to be read with ``async with`` and ``async for``.

        Args:
            request: A request; or names of objects in `bucket`; or objects.
            bucket: Where the names are, a bucket or its name; None for the client's own.
            options: Those of `BatchRequest`, to make one of the names.

        Raises:
            UsageError: if the request could never work; nothing is sent then.
            UnsupportedFormatError: if bundles do not come in that format.
        """
        if bucket is None and self._bucket is not None and not isinstance(request, BatchRequest):
            bucket = self._bucket
        if isinstance(bucket, str):
            bucket = self.bucket(bucket)
        return self.batch_loader().get_batch(make_request(request, bucket, options))

    def batch_loader(self, **options: Unpack[LoaderOptions]) -> BatchLoader:
        """Return a loader of batches from this server.

        Args:
            options: Those of `BatchLoader`, such as `max_concurrency` and `max_memory`.

        Raises:
            UsageError: for options that cannot be meant.
        """
        return BatchLoader(
            self._source, limits=self._limits, retry=self._retry, max_resumes=self._max_resumes, **options
        )
