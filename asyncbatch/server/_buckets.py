"""Buckets: list, create, destroy, head; and the listing of their objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync
from starlette.responses import Response

from ._errors import ApiError
from ._json import answer_json
from ._listing import answer_listing, parse_listing
from ._target import bucket_of, provider_of, read_action

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from ._store import Store

__all__ = ["Buckets"]

# What is true of every bucket here, with AIStore's names for it.
_PROPERTIES = {
    "provider": "ais",
    "access": "18446744073709551615",
    "checksum": {"type": "none"},
    "versioning": {"enabled": False},
    "mirror": {"enabled": False},
    "ec": {"enabled": False},
    "lru": {"enabled": False},
}


class Buckets:
    """The handlers for ``/v1/buckets``.

    Args:
        store: Where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_all(self, request: Request) -> ASGIApp:
        """Answer with the buckets."""
        await _expect(request, "list")
        # No provider at all means the buckets of every one.
        local = provider_of(request.query_params.get("provider", "")) == "ais"
        names = await run_sync(self._store.list_buckets) if local else []
        namespace = {"uuid": "", "name": ""}
        buckets = [{"name": name, "provider": "ais", "namespace": namespace} for name in names]
        return answer_json(buckets)

    async def list_objects(self, request: Request) -> ASGIApp:
        """Answer with a page of a bucket's objects."""
        bucket = bucket_of(request)
        action, value = await read_action(request)
        if action != "list":
            raise ApiError(501, f"action {action!r} is not supported by this server")
        listing = parse_listing(value)
        page = await run_sync(listing.read, self._store, bucket)
        return answer_listing(listing, page, packed="msgpack" in request.headers.get("accept", ""))

    async def create(self, request: Request) -> ASGIApp:
        """Create a bucket."""
        bucket = bucket_of(request)
        await _expect(request, "create-bck")
        await run_sync(self._store.create_bucket, bucket)
        return Response()

    async def destroy(self, request: Request) -> ASGIApp:
        """Destroy a bucket."""
        bucket = bucket_of(request)
        await _expect(request, "destroy-bck")
        await run_sync(self._store.destroy_bucket, bucket)
        return Response()

    async def head(self, request: Request) -> ASGIApp:
        """Answer with a bucket's properties."""
        await run_sync(self._store.check_bucket, bucket_of(request))
        return Response(headers={"Ais-Bucket-Props": json.dumps(_PROPERTIES, separators=(",", ":"))})


async def _expect(request: Request, expected: str) -> None:
    action, _ = await read_action(request)
    if action != expected:
        raise ApiError(501, f"action {action!r} is not supported by this server; {expected!r} is")
