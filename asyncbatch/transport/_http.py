"""The way to httpx: requests out, bodies in as raw chunks, errors in our own tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import httpx

from ..errors import LimitExceededError, UsageError
from ._errors import translated_errors
from ._exchange import ResponseStream
from ._proxies import proxy_mounts
from ._transport import DEFAULT_LIMITS, STREAM, StreamingTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Mapping

__all__ = [
    "DEFAULT_TIMEOUT",
    "Body",
    "Told",
    "open_http_client",
    "public_url",
    "read_body",
    "read_start",
    "send",
]

# A batch that is assembled before it is sent keeps silent for up to 40 s (AIStore, multipart mode).
DEFAULT_TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)
_CREDENTIALS: Final = ("authorization", "proxy-authorization", "cookie")


def open_http_client(
    *,
    timeout: httpx.Timeout | float | None,
    ssl_context: ssl.SSLContext | None = None,
    max_connections: int | None = None,
) -> httpx.AsyncClient:
    """Make the client that is used unless the user brings one.

    It sends by `StreamingTransport`, or through the proxies that the environment names by httpx's own.

    Args:
        timeout: As httpx takes it.
        ssl_context: TLS settings, by default those of the system.
        max_connections: Connections that may be open at once, in all; by default those of `DEFAULT_LIMITS`.
    """
    verify = True if ssl_context is None else ssl_context
    limits = DEFAULT_LIMITS
    if max_connections is not None:
        limits = httpx.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=DEFAULT_LIMITS.keepalive_expiry,
        )
    return httpx.AsyncClient(
        transport=StreamingTransport(verify=verify, limits=limits),
        mounts=proxy_mounts(limits, verify=verify),
        timeout=timeout,
        follow_redirects=False,
    )


async def send(
    client: httpx.AsyncClient, request: httpx.Request, *, anonymous: bool = False
) -> httpx.Response:
    """Send a request and return the response with its body still to be read. Redirects are not followed.

    Args:
        client: Sends.
        request: What is sent.
        anonymous: Whether to leave out what the client would add to say who sends: the request's own
            credentials and cookies, and the client's `auth`.

    Raises:
        TransportError: if there was no answer.
        UsageError: if the client was closed.
    """
    if client.is_closed:
        raise UsageError("the client was closed; make another one")
    # Compressed on the way, a body would not be the bytes that were stored.
    request.headers["accept-encoding"] = "identity"
    options: dict[str, None] = {}
    if anonymous:
        options["auth"] = None
        for name in _CREDENTIALS:
            request.headers.pop(name, None)
    with translated_errors(Told(request.method, request.url)):
        try:
            return await client.send(request, stream=True, follow_redirects=False, **options)
        except (UnicodeDecodeError, UnicodeEncodeError):  # whatever makes the request's body
            raise
        except UnicodeError as error:
            # httpx looks at where a redirect leads, unasked, and lets through what its IDNA library raises.
            raise httpx.InvalidURL(f"the answer leads to a malformed host: {error}") from error


class Body:
    """The body of a response as it arrives: an async iterator of chunks of the size that the network gave.

    Raises:
        TransportError: while iterating, if the body breaks off.
    """

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        # Of our own transport, past httpx's layers: three generators, which each chunk would pass through.
        stream = response.extensions.get(STREAM)
        self._own = stream if isinstance(stream, ResponseStream) and not response.is_stream_consumed else None
        self._chunks: AsyncIterator[bytes] = self._own or _chunks_of(response)
        self._what = Told(f"body of {response.request.method}", response.url)

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers."""
        return self._response.headers

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        with translated_errors(self._what):
            try:
                return await self._chunks.__anext__()
            except StopAsyncIteration:
                await self._response.aclose()
                raise

    def take_ready(self) -> bytes | None:
        """Return a chunk that is there already; None if there is none, and where there is an error."""
        return None if self._own is None else self._own.take_ready()

    async def pass_on(self, keep: Callable[[memoryview], object], maximum: int) -> int:
        """Hand the next chunk to `keep`, as views that are valid until it returns; return how many bytes.

        0, and nothing handed on, if the chunk may have more than `maximum` bytes, at the end, and where
        another transport has no views to give: then it is to be awaited as any chunk.

        Raises:
            TransportError: if the body breaks off.
        """
        if self._own is None:
            return 0
        with translated_errors(self._what):
            return await self._own.pass_on(keep, maximum)

    async def aclose(self) -> None:
        """Close the response, and with it a connection whose body was not read to its end."""
        await self._response.aclose()


async def _chunks_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """Iterate over the body of any response, also of one that an event hook has read."""
    if response.is_stream_consumed and "content-encoding" not in response.headers:
        yield response.content
        return
    async for chunk in response.aiter_raw():
        yield chunk


async def read_body(response: httpx.Response, *, maximum: int, what: str) -> bytes:
    """Read a whole body and close the response.

    Args:
        response: As `send` returned it.
        maximum: Bytes that may be held: the limit `max_item_size`.
        what: What the body is, for the error.

    Raises:
        LimitExceededError: before more than `maximum` bytes are held.
        TransportError: if the body breaks off.
    """
    body = Body(response)
    parts: list[bytes] = []
    held = 0
    try:
        async for chunk in body:
            held += len(chunk)
            if held > maximum:
                raise LimitExceededError("max_item_size", held, maximum, what=what)
            parts.append(chunk)
    finally:
        await body.aclose()
    return b"".join(parts)


async def read_start(response: httpx.Response, size: int) -> bytes:
    """Read a body that should be small, up to about `size` bytes of it, and close the response.

    Raises:
        TransportError: if the body breaks off.
    """
    body = Body(response)
    start = b""
    try:
        while len(start) < size and (chunk := await anext(body, b"")):
            start += chunk
    finally:
        await body.aclose()
    return start


class Told:
    """What is done, for people: made into text only where something goes wrong. URLs take long to take apart.

    Args:
        what: Is done, such as ``"GET"``.
        url: Where; shown by `public_url`.
    """

    __slots__ = ("_url", "_what")

    def __init__(self, what: str, url: httpx.URL) -> None:
        self._what = what
        self._url = url

    def __str__(self) -> str:
        return f"{self._what} {public_url(self._url)}"


def public_url(url: httpx.URL) -> str:
    """Return a URL for people: signatures and tokens travel in queries, passwords before the host."""
    return str(url.copy_with(query=None, userinfo=b"", fragment=None))
