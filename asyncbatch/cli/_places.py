"""Where the objects are: a client, of whatever kind, and a bucket, out of what was typed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

from .._connect import connect
from ..errors import UsageError
from ..limits import DEFAULT_LIMITS
from ._cluster import is_endpoint, no_endpoint

if TYPE_CHECKING:
    from .. import aistore, objectstore, tigris
    from ..limits import Limits

    Client: TypeAlias = aistore.Client | tigris.Client | objectstore.Client
    Bucket: TypeAlias = aistore.Bucket | tigris.Bucket | objectstore.Bucket

__all__ = ["open_bucket", "open_client"]


def open_client(url: str, endpoint: str, *, limits: Limits = DEFAULT_LIMITS) -> Client:
    """Return the client of a URL.

    Args:
        url: As `connect` takes it, or the name of an AIStore bucket, or ``""`` for AIStore.
        endpoint: Where the server is, unless the URL says it; ``""`` for what the environment has.
        limits: Bounds on what is accepted.

    Raises:
        UsageError: if there is no endpoint, or the URL is none that is known.
    """
    scheme, mark, _ = url.partition("://")
    if not mark:
        scheme, url = "ais", f"ais://{url.removesuffix('/')}"
    if is_endpoint(url):
        return connect(url, limits=limits)
    if scheme == "ais" and not (endpoint or os.environ.get("AIS_ENDPOINT")):
        raise no_endpoint()
    if not endpoint:
        return connect(url, limits=limits)
    return connect(
        url, limits=limits, **{"t3": {"endpoint_url": endpoint}}.get(scheme, {"endpoint": endpoint})
    )


def open_bucket(client: Client, name: str) -> Bucket:
    """Return the bucket of that name, or for ``""`` the one that the client's URL names.

    Raises:
        UsageError: if it names none.
    """
    try:
        return client.bucket(name or None)
    except UsageError as error:
        if name:
            raise
        raise UsageError(f"{error}: pass --bucket") from error
