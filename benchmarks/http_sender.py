"""A process that answers GET requests from memory, each path cut into chunks in its own way.

A thread per connection makes one call to send a whole body, so that what is measured is who receives.
"""

from __future__ import annotations

import socket
import sys
from contextlib import contextmanager, suppress
from itertools import cycle
from threading import Thread
from typing import TYPE_CHECKING, Final

from .processes import running_module

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["CHUNKINGS", "body", "running_sender"]

# Sizes of the chunks, by turns. The last three are what AIStore cuts batches of objects of 1 KiB, 10 KiB and
# more into.
CHUNKINGS: Final[dict[str, tuple[int, ...]]] = {
    "64KiB": (65_536,),
    "4KiB": (4096,),
    "2048": (2048,),
    "2048+8704": (2048, 8704),
    "2048+31232+32768": (2048, 31_232, 32_768, 32_768),
}
_BLOCK: Final = bytes(range(256)) * 4099  # a prime: no chunk begins as the one before


def body(size: int) -> bytes:
    """Return what every path delivers."""
    return (_BLOCK * (size // len(_BLOCK) + 1))[:size]


def _answers(size: int) -> dict[str, bytes]:
    data = body(size)
    answers = {"length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, data)}
    for name, sizes in CHUNKINGS.items():
        answers[name] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + _chunked(data, sizes)
    return answers


def _chunked(data: bytes, sizes: Sequence[int]) -> bytes:
    parts: list[bytes] = []
    start = 0
    for size in cycle(sizes):
        chunk = data[start : start + size]
        parts.append(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        if not chunk:
            return b"".join(parts)
        start += size
    raise AssertionError("there is no end of a cycle")


@contextmanager
def running_sender(size: int) -> Iterator[str]:
    """Start a sender of bodies of `size` bytes; its URL, until the end of the ``with``."""
    with running_module(__name__, size) as url:
        yield f"{url}/"


def _serve(connection: socket.socket, answers: dict[str, bytes]) -> None:
    with connection, connection.makefile("rb") as requests, suppress(ConnectionError):
        for line in requests:
            while requests.readline().strip():
                pass
            connection.sendall(answers[line.split()[1].decode().lstrip("/")])


def _accept(server: socket.socket, answers: dict[str, bytes]) -> None:
    while True:
        connection, _ = server.accept()
        Thread(target=_serve, args=(connection, answers), daemon=True).start()


def _main() -> None:
    answers = _answers(int(sys.argv[1]))
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=_accept, args=(server, answers), daemon=True).start()
        print(server.getsockname()[1], flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _main()
