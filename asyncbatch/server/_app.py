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
from ._bundle import Bundles
from ._cluster import Cluster
from ._errors import HANDLERS, ApiError
from ._objects import Objects
from ._root import open_root
from ._s3 import S3
from ._s3_buckets import S3Buckets
from ._shards import Shards
from ._signed import Signatures

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable

    from obstore.store import ObjectStore
    from starlette.types import ASGIApp, Receive, Scope, Send

    from ._signed import KnownCredentials
    from ._store import Store

__all__ = ["create_app", "serve_store"]


def create_app(
    root: str | os.PathLike[str] | ObjectStore,
    *,
    redirect: bool = True,
    max_soft_errors: int | None = None,
    credentials: KnownCredentials | None = None,
) -> Starlette:
    """Return an ASGI application that serves the folders of `root`, or any object store, as an AIStore.

    Below ``/v1/`` it speaks GetBatch and as much of the object API as the official SDK needs. Everywhere else
    it speaks Tigris's Bundle API and as much of S3's as putting, getting, listing and deleting objects needs,
    with the bucket first in the path. A bucket called ``v1`` is thus out of S3's reach.

    Without credentials it serves whoever can reach it. Nothing outside of `root` is ever read or written,
    links are not followed.

    Args:
        root: A folder, or its ``file:///`` URL: its sub-folders are the buckets, the files in them objects.
            Or an object store behind this server, which needs the extra ``stores``: ``s3://bucket/prefix``,
            ``s3://`` for all buckets that its credentials can reach, ``gs://``, ``az://``, ``https://``,
            ``memory:///``, or a store of obstore. Its settings are those of obstore's environment variables.
        redirect: Whether requests for objects and batches are first redirected, as AIStore's proxies do.
        max_soft_errors: End a batch after that many missing entries, as AIStore does after 8. None: never.
        credentials: Serve only what is signed with these (Signature Version 4), or with those that a function
            returns for an access key: it returns None for one that it does not know, is called in the event
            loop, and may raise a `SignatureError`. All that is below ``/v1/``, which AIStore's clients do not
            sign, is then refused with 401, but for ``/v1/health``.

    Raises:
        UsageError: if `root` is no folder and no such URL, or obstore is not installed.
    """
    return serve_store(
        open_root(root), redirect=redirect, max_soft_errors=max_soft_errors, credentials=credentials
    )


def serve_store(
    store: Store,
    *,
    redirect: bool = True,
    max_soft_errors: int | None = None,
    credentials: KnownCredentials | None = None,
) -> Starlette:
    """Return the application over any store."""
    cluster = Cluster()
    routes = [Route("/v1/health", _Resource(GET=cluster.health))]
    if credentials is None:
        routes += _aistore(store, cluster, redirect=redirect, max_soft_errors=max_soft_errors)
        elsewhere = _Refusal(404, "")
    else:
        elsewhere = _Refusal(401, "this server serves signed requests only: those of S3 and of Tigris")
    routes += [Route(path, elsewhere) for path in ("/v1", "/v1/", "/v1/{rest:object_name}")]
    routes += _s3(store, Signatures(credentials))
    app = Starlette(routes=routes, exception_handlers=dict(HANDLERS))
    # A slash at the end belongs to the name.
    app.router.redirect_slashes = False
    return app


def _s3(store: Store, signatures: Signatures) -> list[Route]:
    """Return the routes of S3, which is everywhere else."""
    s3 = S3(store, signatures, S3Buckets(store, signatures), Bundles(store, signatures))
    # In this order: "/{bucket}/" would match a key that is a newline.
    return [Route(path, s3) for path in ("/{bucket}/{name:object_name}", "/{bucket}", "/{bucket}/", "/")]


def _aistore(store: Store, cluster: Cluster, *, redirect: bool, max_soft_errors: int | None) -> list[Route]:
    """Return the routes of AIStore."""
    shards = Shards()
    objects = Objects(store, shards, redirects=redirect)
    buckets = Buckets(store)
    batches = Batches(store, shards, redirects=redirect, max_soft_errors=max_soft_errors)
    return [
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


class _Refusal:
    """An ASGI application that answers every request with the same error, as one of AIStore's."""

    def __init__(self, status: int, message: str) -> None:
        self._facts = status, message

    async def __call__(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        status, message = self._facts
        raise ApiError(status, message or f"invalid URL path {scope['path']!r}")
