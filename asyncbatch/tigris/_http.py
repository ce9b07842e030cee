"""One request to an S3 endpoint: signed, sent, its answer's error typed."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar
from urllib.parse import quote

from ..errors import AuthenticationError
from ..transport import (
    Sender,
    Told,
    public_url,
    read_body,
    read_error,
    retried,
    retry_after_of,
    shown_url,
)
from .wire import EXPIRED, UNSIGNED_PAYLOAD, bundle_error_of, parse_error, payload_hash, sign

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable

    import httpx

    from ..errors import RemoteError
    from ..limits import Limits
    from ..transport import RetryPolicy
    from ._credentials import CredentialSource
    from .wire import Credentials, WireRequest

__all__ = ["Connection"]

_T = TypeVar("_T")

# A body, or what makes one afresh for each try, and its size.
_Upload: TypeAlias = "tuple[Callable[[], AsyncIterable[bytes]], int]"

_logger: Final = logging.getLogger("asyncbatch.tigris")

# Doing these twice is doing them once; S3's DELETE has the same answer, too.
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_MAX_BUNDLE_ERROR_BODY: Final = 16 << 20  # bytes; it names each key that is missing
# Of credentials that others may have taken the place of meanwhile.
_OUTDATED: Final = EXPIRED | {"InvalidAccessKeyId", "InvalidToken"}


class Connection:
    """Sends requests to an S3 endpoint, buckets in the path.

    Redirects are not followed: a request is signed for one host and one region, and shown to no other.

    Args:
        endpoint: The URL, as `parse_endpoint` returns it.
        http: What sends.
        limits: Bounds on what is held in memory.
        retry: When to try again.
        credentials: What to sign with.
        region: What to sign for.
    """

    def __init__(
        self,
        endpoint: httpx.URL,
        http: httpx.AsyncClient,
        *,
        limits: Limits,
        retry: RetryPolicy,
        credentials: CredentialSource,
        region: str,
    ) -> None:
        self.endpoint = endpoint
        self.limits = limits
        self.retry = retry
        self.region = region
        self._credentials = credentials
        self._sender = Sender(http, endpoint, logger=_logger)

    async def open(self, request: WireRequest) -> httpx.Response:
        """Send a request and return its answer, the body still to be read and the response to be closed.

        Raises:
            RemoteError: if the answer is an error, after all that the retry policy allows.
            TransportError: if there is none.
        """
        url = self._url(request)
        return await self._retried(request, url, lambda: self._authorized(request, url))

    async def open_once(self, request: WireRequest) -> httpx.Response:
        """Do as `open` does without trying again, for whoever decides on that himself."""
        return await self._authorized(request, self._url(request))

    async def read(self, request: WireRequest) -> tuple[httpx.Response, bytes]:
        """Send a request and return its answer, closed, and the whole of its body.

        Raises:
            LimitExceededError: if the body is larger than `max_item_size`.
            RemoteError, TransportError: as `open` does.
        """
        url = self._url(request)

        async def attempt() -> tuple[httpx.Response, bytes]:
            response = await self._authorized(request, url)
            maximum = self.limits.max_item_size
            return response, await read_body(response, maximum=maximum, what=f"answer to {request.path}")

        return await self._retried(request, url, attempt)

    async def upload(
        self, request: WireRequest, make: Callable[[], AsyncIterable[bytes]], size: int, *, once: bool
    ) -> None:
        """Send a request whose body is a stream, which is not signed: it would have to be read before.

        Args:
            request: Without its body.
            make: Makes the body, for each try.
            size: Bytes of the body.
            once: Whether the body can be made only once.

        Raises:
            RemoteError, TransportError: as `open` does.
        """
        url = self._url(request)

        async def attempt() -> None:
            response = await self._authorized(request, url, (make, size))
            await response.aclose()

        await (attempt() if once else self._retried(request, url, attempt))

    async def _retried(
        self, request: WireRequest, url: httpx.URL, attempt: Callable[[], Awaitable[_T]]
    ) -> _T:
        what = Told(request.method, url)
        return await retried(attempt, self.retry, what=what, idempotent=request.method in _IDEMPOTENT)

    async def _authorized(
        self, request: WireRequest, url: httpx.URL, upload: _Upload | None = None
    ) -> httpx.Response:
        """Send a request, and once more if its credentials were refused and there are others now."""
        credentials = await self._credentials.current()
        try:
            return await self._open(request, url, credentials, upload)
        except AuthenticationError as error:
            if error.code not in _OUTDATED or not await self._credentials.renew(credentials):
                raise
        _logger.info("the server refused the credentials, and there are others now: trying those")
        return await self._open(request, url, await self._credentials.current(), upload)

    async def _open(
        self, request: WireRequest, url: httpx.URL, credentials: Credentials, upload: _Upload | None
    ) -> httpx.Response:
        response = await self._sender.send(self._make(request, url, credentials, upload))
        if not response.is_success:
            raise await self._error_of(request, response)
        return response

    def _url(self, request: WireRequest) -> httpx.URL:
        # A flag has no equals sign, as S3's own clients have it.
        pairs = ((quote(name, safe=""), quote(value, safe="")) for name, value in request.query.items())
        query = "&".join(f"{name}={value}" if value else name for name, value in pairs)
        return self._sender.url(request.path, query)

    def _make(
        self, request: WireRequest, url: httpx.URL, credentials: Credentials, upload: _Upload | None
    ) -> httpx.Request:
        path, _, query = url.raw_path.decode("ascii").partition("?")
        headers = {"host": url.netloc.decode("ascii"), **request.headers}
        body: bytes | AsyncIterable[bytes]
        if upload is None:
            body, digest = request.body, payload_hash(request.body)
        else:
            make, size = upload
            body, digest = make(), UNSIGNED_PAYLOAD
            headers["content-length"] = str(size)  # S3 takes no other framing
        headers |= sign(
            request.method,
            path,
            query,
            headers,
            digest,
            credentials=credentials,
            region=self.region,
            at=datetime.now(UTC),
        )
        made = self._sender.make(request.method, url, headers=headers, body=body)
        if upload is not None:
            made.headers.pop("transfer-encoding", None)
        return made

    async def _error_of(self, request: WireRequest, response: httpx.Response) -> RemoteError:
        is_bundle = "bundle" in request.query
        body = await (read_error(response, _MAX_BUNDLE_ERROR_BODY) if is_bundle else read_error(response))
        location = response.headers.get("location")
        error = parse_error(
            response.status_code,
            body,
            url=public_url(response.url),
            name=request.name,
            bucket=request.bucket,
            retry_after=retry_after_of(response),
            location=location and shown_url(location),
        )
        return bundle_error_of(error, body) if is_bundle else error
