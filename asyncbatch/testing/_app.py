"""The middleware: it finds the fault of each request, and sees to it at the hop where it belongs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from starlette.requests import ClientDisconnect, Request

from ..server._alteration import alter
from ..server._batch import expired
from ..server._errors import HANDLERS, ApiError
from ..server._redirect import is_redirected
from ..server._s3_errors import answer_error
from ..server._stream import read_body
from ._alterations import as_alteration
from ._answer import FaultyAnswer, break_off
from ._faults import Expired, HangUp, Status
from ._script import Asked

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ._faults import Fault, Hop
    from ._script import FaultScript

__all__ = ["FaultyApp", "Watched"]

_BATCH: Final = re.compile(r"/v1/ml/moss(/[^/]+)?")
_BATCHES: Final = "/v1/ml/moss/"
# As AIStore has them, and as S3 does.
_OBJECT: Final = re.compile(r"/v1/objects/[\s\S]*|/(?!v1/)[^/]+/[\s\S]+")
_BUCKET: Final = re.compile(r"/[^/]+/?")
_MAX_REQUEST: Final = 64 << 20


class Watched(NamedTuple):
    """Requests of one kind.

    Attributes:
        script: Their faults.
        asked: They themselves, so far.
    """

    script: FaultScript
    asked: list[Asked]


class FaultyApp:
    """An ASGI application that answers as another does, with faults. It must be served by `running`.

    Args:
        app: The reference server.
        batches: Requests for batches and bundles, each counted once, when the proxy gets it.
        objects: Requests for objects, likewise.
        redirects: Whether `app` redirects.
    """

    def __init__(self, app: ASGIApp, batches: Watched, objects: Watched, *, redirects: bool) -> None:
        self._app = app
        self._batches = batches
        self._objects = objects
        self._redirects = redirects
        self._redirected: dict[tuple[str, str], Fault | None] = {}  # and which fault is still to come

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        key = _key(scope["path"], scope["query_string"].decode("latin-1"))
        hops: set[Hop]
        if key in self._redirected:
            fault = self._redirected.pop(key)
            hops = {"target"}
        else:
            # Who goes to the target by himself is not redirected any more, and of S3 nothing is.
            redirects = self._redirects and _is_aistore(request) and not is_redirected(request)
            hops = {"proxy"} if redirects else {"proxy", "target"}
            try:
                fault, receive = await self._begin(request, receive)
            except (ApiError, ClientDisconnect) as error:
                answer = await HANDLERS[type(error)](request, error)
                await answer(scope, receive, send)
                return
        if hops == {"target"} and scope["path"].startswith(_BATCHES) and _is_instead(fault):
            self._redirected[key] = Expired()  # such a URL is good for one use, whatever came of it
        await self._answer(fault, hops, request, receive, send)

    async def _begin(self, request: Request, receive: Receive) -> tuple[Fault | None, Receive]:
        """Write down what is asked, and return the fault for it and what is to be received instead."""
        body = b""
        path = request.scope["path"]
        if _is_bundle(request) or (request.method == "GET" and _BATCH.fullmatch(path)):
            watched = self._batches
            body = await read_body(request, _MAX_REQUEST)
            receive = _again(body, receive)
        elif _OBJECT.fullmatch(path):
            watched = self._objects
        else:
            return None, receive
        query = request.scope["query_string"].decode("latin-1")
        asked = Asked(request.method, path, query, body)
        fault = watched.script.take(asked)
        watched.asked.append(replace(asked, fault=fault))
        return fault, receive

    async def _answer(
        self, fault: Fault | None, hops: set[Hop], request: Request, receive: Receive, send: Send
    ) -> None:
        error: ApiError
        match fault:
            case HangUp(how, hop) if hop in hops:
                await break_off(request.scope, receive, how)
                return
            case Status(status, retry_after, message, hop) if hop in hops:
                headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
                error = ApiError(status, message or f"status {status}, for a test", headers=headers)
            case Expired() if hops == {"target"} and request.scope["path"].startswith(_BATCHES):
                bucket, job, work, _ = request.scope["path"].removeprefix(_BATCHES).split("/")
                error = expired(bucket, job, work)
            case _:
                alter(request.scope, as_alteration(fault))

                def on_redirect(url: str) -> None:
                    parts = urlsplit(url)
                    self._redirected[_key(unquote(parts.path), parts.query)] = fault

                answer = FaultyAnswer(fault, request.scope, receive, send, on_redirect=on_redirect)
                await self._app(request.scope, receive, answer)
                return
        if _is_aistore(request):
            response = await HANDLERS[ApiError](request, error)
        else:
            response = answer_error(request, error)
        await response(request.scope, receive, send)


def _key(path: str, query: str) -> tuple[str, str]:
    """Return what tells a redirect from others: of objects, only AIStore's mark in the query does."""
    return path, parse_qs(query).get("utm", [""])[-1]


def _is_aistore(request: Request) -> bool:
    path: str = request.scope["path"]
    return path.startswith("/v1/")


def _is_bundle(request: Request) -> bool:
    is_posted = request.method == "POST" and _BUCKET.fullmatch(request.scope["path"])
    return bool(is_posted) and "bundle" in request.query_params


def _is_instead(fault: Fault | None) -> bool:
    """Return whether a fault takes the place of the answer: the application never sees the request."""
    return isinstance(fault, (Status, HangUp, Expired))


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that has a request's body once more, and then goes on."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
