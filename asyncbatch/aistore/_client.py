"""The client for NVIDIA AIStore."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Unpack

from .._closing import AsyncCloseable
from ..batch import DEFAULT_MAX_RESUMES, BatchRequest, make_request
from ..errors import UsageError
from ..limits import DEFAULT_LIMITS
from ..loader import BatchLoader
from ..transport import DEFAULT_RETRY, DEFAULT_TIMEOUT, Listing, parse_endpoint, public_url
from ._auth import find_credentials
from ._batch import GetBatchSource
from ._bucket import Bucket
from ._environment import max_connections_of, open_http_client_of
from ._http import Connection
from .wire import WireRequest, bucket_path, check_bucket_name, check_text, encode_action, parse_buckets

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    import httpx

    from ..batch import BatchOptions, BatchStream, ObjectRef
    from ..limits import Limits
    from ..loader import LoaderOptions
    from ..transport import RetryPolicy

__all__ = ["Client"]

# AIStore takes the names of their URL schemes for its providers too, but answers with its own.
_PROVIDERS: Final = {"s3": "aws", "gs": "gcp", "az": "azure", "oc": "oci"}


class Client(AsyncCloseable):
    """A client of an AIStore cluster, to be used with ``async with``.

    Args:
        endpoint: URL of a proxy of the cluster, by default `$AIS_ENDPOINT`.
        bucket: The bucket, of AIStore itself, that is meant where none is named.
        token: Shown to the endpoint as ``Authorization: Bearer …``. By default `$AIS_AUTHN_TOKEN`, or what
            the file `$AIS_AUTHN_TOKEN_FILE` has, or the one of ``ais auth login``; ``""`` for none.
        timeout: Seconds for connecting, reading, writing and waiting for a connection, each; or an
            `httpx.Timeout`; or None for no limit. By default `$AIS_CONNECT_TIMEOUT`, or 10 s, to connect,
            `$AIS_READ_TIMEOUT`, or 60 s, to read, and 60 s for the rest.
        limits: Bounds on what is accepted.
        retry: When a request that failed is sent again; ``RetryPolicy(max_attempts=1)`` for never.
        max_resumes: How often in a row a batch that broke off is asked for again where that brings nothing;
            0 to ask for each batch only once.
        ssl_context: TLS settings, by default those of `$AIS_CLIENT_CA`, `$AIS_CRT`, `$AIS_CRT_KEY` and
            `$AIS_SKIP_VERIFY_CRT`, as the official SDK takes them.
        max_connections: Connections that may be open at once, by default `$AIS_MAX_CONN_POOL`, or 100.
        http_client: An `httpx.AsyncClient`, or httpx2's, to be used instead of one of our own, as it is; it
            stays open, and timeouts, connections and TLS are its own affair.

    Raises:
        UsageError: if there is no endpoint, or it is no http or https URL; if the token cannot be sent; or if
            a variable of the environment makes no sense, or names a file that cannot be read.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        bucket: str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout | None = DEFAULT_TIMEOUT,
        limits: Limits = DEFAULT_LIMITS,
        retry: RetryPolicy = DEFAULT_RETRY,
        max_resumes: int = DEFAULT_MAX_RESUMES,
        ssl_context: ssl.SSLContext | None = None,
        max_connections: int | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        url = parse_endpoint(endpoint or os.environ.get("AIS_ENDPOINT"), "AIS_ENDPOINT")
        credentials = find_credentials(token, url, os.environ, http_client)
        if bucket is not None:
            check_bucket_name(bucket)
        self._own_http: httpx.AsyncClient | None = None
        if http_client is None:
            if max_connections is not None and max_connections < 1:
                raise UsageError(f"max_connections={max_connections}: it is at least 1")
            self._own_http = open_http_client_of(
                os.environ,
                timeout=timeout,
                ssl_context=ssl_context,
                max_connections=max_connections or max_connections_of(os.environ),
            )
        http = http_client or self._own_http
        assert http is not None  # noqa: S101 - for the type checker: one of the two is there
        self._connection = Connection(url, http, limits=limits, retry=retry, credentials=credentials)
        self._source = GetBatchSource(self._connection)
        self._bucket = bucket
        self._limits = limits
        self._retry = retry
        self._max_resumes = max_resumes

    def __repr__(self) -> str:
        return f"<aistore.Client {public_url(self._connection.endpoint)}>"

    @property
    def default_bucket(self) -> str | None:
        """The bucket that is meant where none is named, or None."""
        return self._bucket

    async def aclose(self) -> None:
        """Close all connections, and with them what is still being read. May be called again."""
        if self._own_http is not None:
            await self._own_http.aclose()

    def bucket(
        self, name: str | None = None, *, provider: str = "ais", namespace: str | None = None
    ) -> Bucket:
        """Return a bucket, which need not exist.

        Args:
            name: The bucket; None for the client's own.
            provider: ``"ais"`` for AIStore itself, or the cloud behind it, such as ``"aws"`` or ``"s3"``.
            namespace: As ``"@uuid#name"``, or None for the global one.

        Raises:
            UsageError: if no bucket can have that name, or the client has none of its own.
        """
        if name is None:
            name = self._bucket
        if name is None:
            raise UsageError("name a bucket, or make the client with bucket=")
        check_bucket_name(name)
        check_text(f"{provider}{namespace}")
        return Bucket(name, _PROVIDERS.get(provider, provider), namespace, self._connection)

    def list_buckets(self, *, provider: str = "ais") -> Listing[Bucket]:
        """Return an async iterator over the cluster's buckets of a provider.

        Raises:
            UsageError: if no provider can have that name.

        Raises (while iterating):
            RemoteError, TransportError: as the server and the network have it.
        """
        check_text(provider)
        request = WireRequest(
            method="GET",
            path=bucket_path(),
            query={"provider": _PROVIDERS.get(provider, provider)},
            headers={"Content-Type": "application/json"},
            body=encode_action("list"),
        )

        async def fetch() -> tuple[list[Bucket], bool]:
            _, body = await self._connection.read(request)
            return [Bucket(*facts, self._connection) for facts in parse_buckets(body)], False

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
            bucket: The bucket of the names, or its name; None for the client's own.
            **options: Those of `BatchRequest`, if `request` is not one.

        Raises:
            UsageError: if the request could never work; nothing is sent then.
            UnsupportedFormatError: if batches do not come in that format.
        """
        if bucket is None and not isinstance(request, BatchRequest):
            bucket = self._bucket
        if isinstance(bucket, str):
            bucket = self.bucket(bucket)
        made = make_request(request, bucket, options)
        return self.batch_loader().get_batch(made)

    def batch_loader(self, **options: Unpack[LoaderOptions]) -> BatchLoader:
        """Return a loader of batches from this cluster.

        Args:
            **options: Those of `BatchLoader`, such as `max_concurrency` and `max_memory`.

        Raises:
            UsageError: for options that cannot be meant.
        """
        return BatchLoader(
            self._source, limits=self._limits, retry=self._retry, max_resumes=self._max_resumes, **options
        )
