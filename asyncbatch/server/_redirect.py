"""One process that is proxy and target: the first request is sent back to itself, the second is served.

AIStore's proxies redirect to the target that has the object; clients, and tests of clients, rely on it.
"""

from __future__ import annotations

import html
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

__all__ = ["PROXY", "PROXY_ID", "TARGET", "TARGET_ID", "Tickets", "base_url", "is_redirected", "redirect"]

PROXY_ID: Final = "AsyncbPx"
TARGET_ID: Final = "AsyncbTg"
PROXY: Final = f"p[{PROXY_ID}]"
TARGET: Final = f"t[{TARGET_ID}]"
_TITLES: Final = {301: "Moved Permanently", 307: "Temporary Redirect"}


def is_redirected(request: Request) -> bool:
    """Return whether the request was redirected by a proxy: AIStore's mark is in its query."""
    return {"pid", "utm"} <= request.query_params.keys()


def base_url(request: Request) -> str:
    """Return the URL of this server, as the client knows it."""
    host = request.headers.get("host")
    if not host:
        name, port = request.scope["server"]
        host = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    return f"{request.scope['scheme']}://{host}"


def redirect(request: Request, status: int, path: str | None = None) -> Response:
    """Redirect to `path` (default: the same), with the query kept and AIStore's mark put behind it."""
    if path is None:
        path = (request.scope.get("raw_path") or quote(request.scope["path"]).encode()).decode("ascii")
    query = request.scope["query_string"].decode("latin-1")
    mark = f"pid={PROXY_ID}&utm={time.time_ns():x}"
    url = f"{base_url(request)}{path}?{query}{'&' if query else ''}{mark}"
    if request.method not in {"GET", "HEAD"}:
        return Response(status_code=status, headers={"Location": url})
    # A page for people who follow by hand, as Go's http.Redirect writes it.
    page = f'<a href="{html.escape(url)}">{_TITLES[status]}</a>.\n\n'
    return Response(page, status, {"Location": url}, "text/html; charset=utf-8")


class Tickets:
    """Paths that were given out by redirects, each good for one use within its lifetime.

    Bounded: beyond `capacity` the oldest is forgotten.
    """

    def __init__(
        self, *, capacity: int = 10_000, lifetime: float = 300, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._capacity = capacity
        self._lifetime = lifetime
        self._clock = clock
        self._deadlines: dict[str, float] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._deadlines)

    def issue(self, path: str) -> None:
        """Remember a path."""
        now = self._clock()
        while self._deadlines:
            oldest = next(iter(self._deadlines))
            if len(self._deadlines) < self._capacity and self._deadlines[oldest] > now:
                break
            del self._deadlines[oldest]
        self._deadlines[path] = now + self._lifetime

    def redeem(self, path: str) -> bool:
        """Return whether the path was issued, is in time, and was not used before."""
        deadline = self._deadlines.pop(path, None)
        return deadline is not None and self._clock() < deadline
