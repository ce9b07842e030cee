"""Where the objects are: a client and a bucket out of what was typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..aistore import Client
from ..errors import UsageError

if TYPE_CHECKING:
    from ..aistore import Bucket

__all__ = ["is_endpoint", "no_endpoint", "open_bucket", "open_client"]


def is_endpoint(url: str) -> bool:
    """Whether a URL is that of a cluster."""
    return url.startswith(("http://", "https://"))


def no_endpoint() -> UsageError:
    """Make the error for a cluster that nobody has named."""
    return UsageError("no endpoint: pass --endpoint, as http://localhost:8080, or set AIS_ENDPOINT")


def open_client(endpoint: str) -> Client:
    """Return the client of a cluster.

    Raises:
        UsageError: if there is no endpoint, or it is no URL.
    """
    if not endpoint:
        raise no_endpoint()
    return Client(endpoint)


def open_bucket(client: Client, url: str) -> Bucket:
    """Return the bucket of a URL, or of a plain name.

    Raises:
        UsageError: if it is no URL of a bucket.
    """
    scheme, separator, name = url.rpartition("://")
    if is_endpoint(url):
        raise UsageError(f"{url!r} is an endpoint: pass it as --endpoint, and a bucket as ais://bucket")
    if separator and scheme != "ais":
        raise UsageError(f"{url!r}: a bucket is like ais://bucket")
    return client.bucket(name.removesuffix("/"))
