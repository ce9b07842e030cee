"""A process that answers S3's GETs of objects from memory, signed ones as any. `running_s3_sender` starts it.

It does nothing but send, as fast as Python can, so that what is measured is who asks. It checks no signature;
that each request has one is all that it wants to see.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

import uvloop

from .data import Items
from .processes import running_module

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BUCKET", "KEY", "SECRET", "running_s3_sender"]

BUCKET: Final = "bench"
KEY: Final = "benchmark-key"
SECRET: Final = "benchmark-secret"  # noqa: S105 - of a server that checks none

_REQUEST: Final = re.compile(rb"GET /%b/([^ ?]+)[^ ]* HTTP/1\.1\r\n" % BUCKET.encode())
_SIGNED: Final = b"AWS4-HMAC-SHA256"


@contextmanager
def running_s3_sender(items: Items) -> Iterator[str]:
    """Start a sender of `items`; its URL, until the end of the ``with``."""
    arguments = ["--label", items.label, "--size", items.size, "--count", items.count]
    with running_module(__name__, *arguments) as url:
        yield url


class _Connection(asyncio.Protocol):
    """One client: requests without bodies, one behind the other."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's derives from nothing

    def data_received(self, data: bytes) -> None:
        *heads, self._received = (self._received + data).split(b"\r\n\r\n")
        for head in heads:
            found = _REQUEST.match(head + b"\r\n")
            if found is None or _SIGNED not in head:
                self._transport.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            else:
                self._transport.write(self._answers[found[1]])


def _answer(data: bytes) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Length: {len(data)}\r\n"
        f'ETag: "{hashlib.md5(data, usedforsecurity=False).hexdigest()}"\r\n'
        "Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\nAccept-Ranges: bytes\r\n\r\n"
    )
    return head.encode() + data


async def _serve(items: Items) -> None:
    answers = {name.encode(): _answer(data) for name, data in items}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answers), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--label")
    parser.add_argument("--size", type=int)
    parser.add_argument("--count", type=int)
    uvloop.run(_serve(Items(**vars(parser.parse_args()))))


if __name__ == "__main__":
    _main()
