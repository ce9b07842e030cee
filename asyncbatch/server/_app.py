"""The application: which handler answers which path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ._batch import Batches
from ._buckets import Buckets
from ._cluster import Cluster
from ._errors import HANDLERS
from ._folder import FolderStore
from ._objects import Objects
from ._shards import Shards

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ._store import Store

__all__ = ["create_app", "serve_store"]


def create_app(
    root: str | os.PathLike[str], *, redirect: bool = True, max_soft_errors: int | None = None
) -> Starlette:
    """Return an ASGI application that serves the folders of `root` as an AIStore's buckets.

    It speaks GetBatch and as much of the object API as the official SDK needs, to whoever can reach it: there
    is no authentication. Nothing outside of `root` is ever read or written, links are not followed.

    Args:
        root: A folder; its sub-folders are the buckets, the files in them the objects.
        redirect: Whether requests for objects and batches are first redirected, as AIStore's proxies do.
        max_soft_errors: End a batch after that many missing entries, as AIStore does after 8. None: never.

    Raises:
        UsageError: if `root` is not a folder.
    """
    return serve_store(FolderStore(root), redirect=redirect, max_soft_errors=max_soft_errors)


def serve_store(store: Store, *, redirect: bool = True, max_soft_errors: int | None = None) -> Starlette:
    """Return the application over any store."""
    shards = Shards()
    objects = Objects(store, shards, redirects=redirect)
    buckets = Buckets(store)
    batches = Batches(store, shards, redirects=redirect, max_soft_errors=max_soft_errors)
    cluster = Cluster()
    routes = [
        Route("/v1/health", _Resource(GET=cluster.health)),
        Route("/v1/daemon", _Resource(GET=cluster.daemon)),
        Route("/v1/ml/moss", _Resource(GET=batches.ask)),
        Route("/v1/ml/moss/{bucket}", _Resource(GET=batches.ask)),
        Route("/v1/ml/moss/{bucket}/{job}/{work}/{nat}", _Resource(GET=batches.redeem)),
        Route("/v1/buckets", _Resource(GET=buckets.list_all)),
        Route(
            "/v1/buckets/{bucket}",
            _Resource(
                GET=buckets.list_objects, HEAD=buckets.head, POST=buckets.create, DELETE=buckets.destroy
            ),
        ),
        Route(
            "/v1/objects/{bucket}/{name:object_name}",
            _Resource(GET=objects.get, HEAD=objects.head, PUT=objects.put, DELETE=objects.delete),
        ),
    ]
    app = Starlette(routes=routes, exception_handlers=dict(HANDLERS))
    # A slash at the end belongs to the name.
    app.router.redirect_slashes = False
    return app


class _ObjectName(Convertor[str]):
    """The rest of a path. Starlette's own `path` stops at a newline."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value


register_url_convertor("object_name", _ObjectName())


class _Resource:
    """An ASGI application that hands a request to the handler of its method."""

    def __init__(self, **handlers: Callable[[Request], Awaitable[ASGIApp]]) -> None:
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handlers.get(scope["method"])
        if handler is None:
            # Go's words, on which nobody should rely.
            headers = {"Allow": ", ".join(sorted(self._handlers)), "X-Content-Type-Options": "nosniff"}
            answer: ASGIApp = PlainTextResponse("Method Not Allowed\n", 405, headers)
        else:
            answer = await handler(Request(scope, receive))
        await answer(scope, receive, send)
