"""HTTP/1.1 trailers, which no ASGI server sends: added to one that writes by h11.

The application asks for them as ASGI's extension ``http.response.trailers`` has it, and finds the extension
in the scopes of those requests only whose answers can have them. They need nothing of the server but that its
h11 connection is a `TrailerConnection`, and that it is in the scope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import h11

from ._stream import TRAILERS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["TrailerConnection", "Trailers"]

_BODILESS: Final = {204, 304}


class TrailerConnection(h11.Connection):
    """A server's side of a connection that puts trailers behind the next message it ends.

    Attributes:
        trailers: Names and values for the message that is being sent; empty for none.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER)
        self.trailers: list[tuple[bytes, bytes]] = []

    def send(self, event: Any) -> Any:  # noqa: ANN401 - h11's own overloads cannot be told from here
        """Turn an event into bytes, as h11 does."""
        if isinstance(event, h11.EndOfMessage) and self.trailers:
            event, self.trailers = h11.EndOfMessage(headers=self.trailers), []
        return super().send(event)


class Trailers:
    """An ASGI application that gives another one trailers.

    Args:
        app: The other one.
        key: Under which the `TrailerConnection` is in the scope's ``state``.
    """

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Only chunks leave room for trailers (RFC 9112 section 7.1.2)."""
        if scope["http_version"] == "1.1" and scope["method"] != "HEAD":
            scope["extensions"] = {**scope.get("extensions", {}), TRAILERS: {}}
            send = _Answer(scope["state"][self._key], send).send
        await self._app(scope, receive, send)


class _Answer:
    """An answer that may end with trailers: the end of its body is then held back until they have come."""

    def __init__(self, connection: TrailerConnection, send: Send) -> None:
        self._connection = connection
        self._send = send
        self._promised = self._is_chunked = False
        self._trailers: list[tuple[bytes, bytes]] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._promised = message.get("trailers", False)
            named = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            self._is_chunked = not named and message["status"] not in _BODILESS
        elif message["type"] == TRAILERS:
            self._trailers += message.get("headers", ())
            if message.get("more_trailers", False):
                return
            if self._is_chunked:
                # A recipient may ignore them, and so may whoever cannot send them (RFC 9110 section 6.5.1).
                self._connection.trailers = self._trailers
            message = {"type": "http.response.body"}
        elif self._promised:
            message = {**message, "more_body": True}
        await self._send(message)
