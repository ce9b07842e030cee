"""Heads of requests and responses, which h11 reads and writes, and how the body is framed. Sans-IO."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import h11
import httpx

from ._framing import ChunkedDecoder, LengthDecoder, UntilCloseDecoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._framing import BodyDecoder

__all__ = ["Messages", "ResponseHead"]

_MAX_HEAD: Final = 102_400  # bytes, as httpx's own transport has it. A connection holds that much unread.
_MAX_INFORMATIONAL: Final = 100  # responses before the one that counts
# h11 takes an LF alone for the end of a line. Found by this so that it is refused, and not waited behind.
_END: Final = re.compile(rb"\n\r?\n")
_START: Final = b"HTTP/1."
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_FOLDED: Final = re.compile(rb"\n[ \t]")


class ResponseHead(NamedTuple):
    """The head of a response.

    Attributes:
        version: Such as ``b"HTTP/1.1"``.
        status: Never 1xx.
        reason: The server's words for it.
        headers: As they came.
        body: Finds the end of the body.
        persistent: Whether the connection may be used again behind it.
    """

    version: bytes
    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    body: BodyDecoder
    persistent: bool


class Messages:
    """One request, and the head of its response.

    Raises:
        httpx.LocalProtocolError: if the request is none that HTTP/1.1 has.
    """

    def __init__(self, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        if method == b"CONNECT":
            raise httpx.LocalProtocolError(
                "CONNECT makes a tunnel through a proxy, which is another transport's work"
            )
        self._method = method
        self._connection = h11.Connection(h11.CLIENT)
        self._informational = 0
        self._persistent = not _closes(headers)
        try:
            self.head: bytes = self._connection.send(
                h11.Request(method=method, target=target, headers=list(headers))
            )
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error

    def frame(self, data: bytes) -> list[bytes]:
        """Return a part of the request's body as it goes out.

        Raises:
            httpx.LocalProtocolError: if it is more than the Content-Length that was told.
        """
        return self._send(h11.Data(data=data))

    def frame_end(self) -> list[bytes]:
        """Return what goes out behind the body.

        Raises:
            httpx.LocalProtocolError: if the body was less than the Content-Length that was told.
        """
        return self._send(h11.EndOfMessage())

    def _send(self, event: h11.Event) -> list[bytes]:
        try:
            return self._connection.send_with_data_passthrough(event) or []
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error

    def take_head(self, buffer: bytearray, start: int, end: int) -> tuple[ResponseHead | None, int]:
        """Return the response's head, and where what follows it in ``buffer[start:end]`` begins.

        Informational responses are skipped. The head is None until it is complete.

        Raises:
            httpx.RemoteProtocolError: if it is malformed, or framed in a way that recipients may understand
                differently (RFC 9112, section 11.2).
        """
        there = bytes(buffer[start : min(end, start + len(_START))])
        if not _START.startswith(there):
            raise httpx.RemoteProtocolError(f"no response of HTTP/1, but {there!r}")
        while True:
            match = _END.search(buffer, start, end)
            stop = match.end() if match else end
            if stop - start > _MAX_HEAD:
                raise httpx.RemoteProtocolError(f"the head of the response exceeds {_MAX_HEAD} bytes")
            if not match:
                return None, start
            found = self._parse(bytes(buffer[start:stop]))
            start = stop
            if isinstance(found, h11.Response):
                return self._frame_response(found), start

    def _parse(self, head: bytes) -> h11.Event:
        if _BARE_LF.search(head):
            raise httpx.RemoteProtocolError("a line of the response's head ends with LF alone")
        if _FOLDED.search(head):
            raise httpx.RemoteProtocolError("a line of the response's head is folded (obs-fold)")
        try:
            self._connection.receive_data(head)
            event = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        if isinstance(event, h11.InformationalResponse):
            self._informational += 1
            if event.status_code == 101:
                raise httpx.RemoteProtocolError("the server switches protocols (101), which is not supported")
            if self._informational > _MAX_INFORMATIONAL:
                raise httpx.RemoteProtocolError(f"more than {_MAX_INFORMATIONAL} informational responses")
        return cast("h11.Event", event)  # of a whole head, it has all the data it needs

    def _frame_response(self, response: h11.Response) -> ResponseHead:
        """Decide where the body ends (RFC 9112, section 6.3)."""
        fields = dict(response.headers)  # h11 refuses several codings, and lengths that differ
        length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
        if coding is not None and length is not None:
            raise httpx.RemoteProtocolError("the response has both Content-Length and Transfer-Encoding")
        if coding is not None and response.http_version < b"1.1":
            raise httpx.RemoteProtocolError("the response of HTTP/1.0 has a Transfer-Encoding")
        body: BodyDecoder
        if self._method == b"HEAD" or response.status_code in {204, 304}:
            body = LengthDecoder(0)
        elif coding is not None:
            body = ChunkedDecoder()
        elif length is not None:
            body = LengthDecoder(int(length))
        else:
            body = UntilCloseDecoder()
        return ResponseHead(
            b"HTTP/" + bytes(response.http_version),
            response.status_code,
            bytes(response.reason),
            response.headers.raw_items(),
            body,
            self._persistent
            and response.http_version >= b"1.1"
            and not _closes(response.headers)
            and not isinstance(body, UntilCloseDecoder),
        )


def _closes(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the connection is to be closed behind the message (RFC 9112, section 9.6)."""
    tokens = b",".join(value.lower() for name, value in headers if name.lower() == b"connection")
    return b"close" in {token.strip() for token in tokens.split(b",")}
