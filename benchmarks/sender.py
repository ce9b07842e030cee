"""A process that answers batch requests from memory, cut into chunks as AIStore cuts them.

It does nothing but send, so that what is measured is who receives. `running_sender` starts and stops it.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Final

from .data import Items, header
from .processes import running_module

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["BUCKET", "TARGET_PATH", "chunk_sizes", "running_sender"]

BUCKET: Final = "bench"
# Where the proxy's redirect leads: the batch's own path at a target.
TARGET_PATH: Final = f"/v1/ml/moss/{BUCKET}/xid/wid/nat?pid=p&utm=1"

# What AIStore's server, Go's net/http, does with the pieces that its tar writer writes: they pass through a
# buffer, and what does not fit goes out as a chunk of its own. So 1 KiB objects come in chunks of 2,048
# bytes, 10 KiB in 2,048 and 8,704 by turns, larger ones in 2,048, 31,232 and 32,768.
_BUFFER_SIZE: Final = 2048
_COPY_SIZE: Final = 32_768  # of io.Copy, by which it writes data


@contextmanager
def running_sender(items: Items, *, delay: float = 0) -> Iterator[str]:
    """Start a sender of a batch of `items`; its URL, until the end of the ``with``.

    Args:
        items: What every batch brings, whatever it asks for.
        delay: Seconds before the first byte.
    """
    arguments = ["--label", items.label, "--size", items.size, "--count", items.count]
    arguments += ["--delay", delay]
    with running_module(__name__, *arguments) as url:
        yield url


def _writes(items: Items) -> Iterator[bytes]:
    """Yield what AIStore's tar writer writes, one piece each."""
    for name, data in items:
        yield header(f"{BUCKET}/{name}", len(data))
        for start in range(0, len(data), _COPY_SIZE):
            yield data[start : start + _COPY_SIZE]
        yield bytes(-len(data) % 512)
    yield bytes(1024)


def _chunks(writes: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what comes out of Go's `bufio.Writer`, one chunk each."""
    held = b""
    for write in writes:
        rest = write
        while len(rest) > _BUFFER_SIZE - len(held):
            if held:
                free = _BUFFER_SIZE - len(held)
                yield held + rest[:free]
                held, rest = b"", rest[free:]
            else:
                yield rest
                rest = b""
        held += rest
    if held:
        yield held


def chunk_sizes(items: Items) -> list[int]:
    """Return the sizes of the chunks in which a batch of `items` is sent."""
    return [len(chunk) for chunk in _chunks(_writes(items))]


def _body(items: Items) -> bytes:
    """Return the body of the answer in HTTP's chunked coding (RFC 9112, section 7.1)."""
    parts = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in _chunks(_writes(items))]
    return b"".join([*parts, b"0\r\n\r\n"])


class _Handler(BaseHTTPRequestHandler):
    """Proxy and target in one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    body = b""
    delay = 0.0

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path == TARGET_PATH:
            time.sleep(self.delay)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-tar")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(self.body)
        else:
            self.send_response(307)
            self.send_header("Location", f"http://{self.headers['Host']}{TARGET_PATH}")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--label")
    parser.add_argument("--size", type=int)
    parser.add_argument("--count", type=int)
    parser.add_argument("--delay", type=float)
    arguments = vars(parser.parse_args())
    _Handler.delay = arguments.pop("delay")
    _Handler.body = _body(Items(**arguments))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_port, flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    _main()
