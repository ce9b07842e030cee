"""A server that answers as it is told, and takes down what it was asked."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Answer", "Upstream", "upstream"]


@dataclass(frozen=True)
class Answer:
    """An answer. What is announced beyond its body never comes: the connection is closed."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    missing: int = 0


@dataclass
class Upstream:
    """A server.

    Attributes:
        url: Where it is.
        answers: What it answers, in order, and the last again and again.
        asked: Method and target of each request.
        conditions: The entity tag that each was to be about, if it said so.
    """

    url: str
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    asked: list[str] = field(default_factory=list)
    conditions: list[str | None] = field(default_factory=list)


@contextmanager
def upstream() -> Iterator[Upstream]:
    """Serve on a loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            served.asked.append(f"{self.command} {self.path}")
            served.conditions.append(self.headers.get("if-match"))
            answer = served.answers.pop(0) if len(served.answers) > 1 else served.answers[0]
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body) + answer.missing))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)
            self.close_connection = self.close_connection or bool(answer.missing)

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "HEAD", "PUT", "POST", "DELETE", "PROPFIND"):
        setattr(Handler, f"do_{method}", Handler._answer)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = Upstream(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
