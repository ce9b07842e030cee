"""Asking as no client library would: every byte is seen, and how the connection ended."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ..server.golden import read_archive, read_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "NAMES",
    "Heard",
    "ask",
    "connected",
    "hear",
    "is_well",
    "members",
    "out",
    "request_of",
    "target_of",
]

NAMES = [f"o{number}" for number in range(10)]
BATCH = "/v1/ml/moss/b"


class Heard(NamedTuple):
    """What came until the connection ended, and how it did."""

    data: bytes
    was_reset: bool

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def chunks(self) -> list[bytes]:
        """The chunks of the body. Of the last one a part may be missing; the final one is empty."""
        return [chunk for _, chunk in self._sized_chunks()]

    def _sized_chunks(self) -> list[tuple[int, bytes]]:
        assert self.headers["transfer-encoding"] == "chunked"
        rest = self.data.partition(b"\r\n\r\n")[2]
        found = []
        while rest:
            line, _, rest = rest.partition(b"\r\n")
            size = int(line, 16)
            found.append((size, rest[:size]))
            rest = rest[size:]
            assert rest[:2] in {b"\r\n", b""}
            rest = rest[2:]
        return found

    @property
    def body(self) -> bytes:
        if "transfer-encoding" in self.headers:
            return b"".join(self.chunks)
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def is_ended(self) -> bool:
        """Whether HTTP has nothing to object to."""
        if "transfer-encoding" in self.headers:
            return self._sized_chunks()[-1:] == [(0, b"")]
        return len(self.body) == int(self.headers["content-length"])

    @property
    def message(self) -> str:
        """Of an error in AIStore's JSON."""
        facts = json.loads(self.body)
        assert facts["status"] == self.status
        return str(facts["message"])


def request_of(entries: list[Any], target: str = BATCH, /, **options: str | bool) -> bytes:
    """Return a request for a batch as bytes: the first one, or the one that a redirect leads to."""
    asked = [{"objname": entry} if isinstance(entry, str) else entry for entry in entries]
    body = json.dumps({"in": asked, **options}).encode()
    head = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80)) as connection:
        connection.setblocking(False)
        yield connection


async def hear(url: str, request: bytes) -> Heard:
    """Send a request, and take all that comes.

    Asyncio's streams forget what they have when a reset comes behind it; sockets do not.
    """
    loop = asyncio.get_running_loop()
    data = bytearray()
    with connected(url) as connection:
        async with asyncio.timeout(30):
            await loop.sock_sendall(connection, request)
            try:
                while piece := await loop.sock_recv(connection, 65536):
                    data += piece
            except ConnectionResetError:
                return Heard(bytes(data), was_reset=True)
    return Heard(bytes(data), was_reset=False)


def target_of(redirect: Heard) -> str:
    """Return where a redirect leads to, without the server's name."""
    assert redirect.status == 307
    location = urlsplit(redirect.headers["location"])
    return f"{location.path}?{location.query}"


async def ask(url: str, entries: list[Any] = NAMES, target: str = BATCH, /, **options: str | bool) -> Heard:
    """Ask for a batch, by way of the redirect if there is one."""
    first = await hear(url, request_of(entries, target, **options))
    if not first.data or first.status != 307:
        return first
    return await hear(url, request_of(entries, target_of(first), **options))


def members(heard: Heard, mime: str = ".tar") -> list[tuple[str, bytes]]:
    """Return what a whole answer's archive holds."""
    assert heard.status == 200
    assert heard.is_ended
    if heard.headers["content-type"].startswith("multipart/"):
        return read_archive(read_parts(heard.body, heard.headers["content-type"])[1], mime)
    return read_archive(heard.body, mime)


def out(heard: Heard) -> list[dict[str, Any]]:
    """Return what a multipart answer's metadata tell."""
    told: list[dict[str, Any]] = read_parts(heard.body, heard.headers["content-type"])[0]["out"]
    return told


def is_well(heard: Heard, mime: str = ".tar") -> bool:
    """Return whether an answer has all ten objects."""
    expected = [(f"b/o{number}", f"object {number}\n".encode() * 100) for number in range(10)]
    return members(heard, mime) == expected
