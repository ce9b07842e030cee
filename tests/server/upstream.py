"""A web server with objects in memory that speaks as much HTTP as obstore does, and fails as it is told."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from obstore.store import S3Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")
_LISTING = b"<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
_MODIFIED = "Sat, 01 Nov 2025 12:00:00 GMT"


@dataclass
class Upstream:
    """What is served, and what was asked for.

    Attributes:
        url: Of the server.
        objects: Bytes by path, with its slash.
        requests: Method, path and Range header, in the order in which they came.
        etags: Gives an object's, or "" for none.
        ranges: Whether it knows them.
        refusal: Gives a status and an XML code instead of an answer.
        before: Called before each answer.
    """

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    etags: Callable[[bytes], str] = lambda data: f'"{hash(data):x}"'
    ranges: bool = True
    refusal: Callable[[str, str], tuple[int, str] | None] = lambda _method, _path: None
    before: Callable[[str, str], None] = lambda _method, _path: None

    def s3(self, bucket: str) -> S3Store:
        """Return a store of the bucket, which is a folder here."""
        return S3Store(
            bucket,
            endpoint=self.url,
            region="us-east-1",
            skip_signature=True,
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstream: Upstream

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, {}, f"<Error><Code>{code}</Code></Error>".encode() if code else b"")

    def do_GET(self) -> None:
        upstream, path = self.upstream, unquote(urlsplit(self.path).path)
        wanted = self.headers.get("Range", "")
        upstream.requests.append((self.command, path, wanted))
        upstream.before(self.command, path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if (refusal := upstream.refusal(self.command, path)) is not None:
            self._refuse(*refusal)
        elif self.command == "PUT":
            upstream.objects[path] = body
            self._answer(200, {"ETag": upstream.etags(body)})
        elif path.count("/") == 1:
            self._answer(200, {}, _LISTING)
        elif path not in upstream.objects:
            self._refuse(404, "NoSuchKey")
        elif self.command == "DELETE":
            del upstream.objects[path]
            self._answer(204, {})
        else:
            self._send(upstream.objects[path], wanted)

    do_HEAD = do_PUT = do_DELETE = do_POST = do_PROPFIND = do_GET  # noqa: N815 - likewise

    def _send(self, data: bytes, wanted: str) -> None:
        headers = {"Last-Modified": _MODIFIED}
        if etag := self.upstream.etags(data):
            headers["ETag"] = etag
        if self.headers.get("If-Match", etag) != etag:
            self._refuse(412, "PreconditionFailed")
            return
        match = _RANGE.fullmatch(wanted) if self.upstream.ranges else None
        if match is None:
            self._answer(200, headers | {"Content-Length": str(len(data))}, data)
            return
        start, end = int(match[1]), min(int(match[2]) + 1, len(data))
        if start >= end:
            self._refuse(416, "InvalidRange")
            return
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        self._answer(206, headers, data[start:end])

    def log_message(self, *_: Any) -> None:  # noqa: ANN401
        pass


@contextmanager
def serving(upstream: Upstream) -> Iterator[Upstream]:
    handler = type("Handler", (_Handler,), {"upstream": upstream})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        upstream.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield upstream
        finally:
            server.shutdown()
            thread.join()
