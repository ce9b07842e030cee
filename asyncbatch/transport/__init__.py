"""HTTP for the clients: one request, its response as a stream of raw chunks, errors of our own tree."""

from __future__ import annotations

from ._endpoint import is_usable, parse_endpoint, shown_url
from ._http import DEFAULT_TIMEOUT, Body, Told, open_http_client, public_url, read_body, read_start, send
from ._listing import Listing
from ._proxies import proxy_mounts
from ._ranges import range_header, size_of, what_is_wrong
from ._retry import DEFAULT_RETRY, RetryPolicy, parse_retry_after
from ._retrying import retried
from ._sender import Sender, read_error, retry_after_of
from ._transport import StreamingTransport

__all__ = [
    "DEFAULT_RETRY",
    "DEFAULT_TIMEOUT",
    "Body",
    "Listing",
    "RetryPolicy",
    "Sender",
    "StreamingTransport",
    "Told",
    "is_usable",
    "open_http_client",
    "parse_endpoint",
    "parse_retry_after",
    "proxy_mounts",
    "public_url",
    "range_header",
    "read_body",
    "read_error",
    "read_start",
    "retried",
    "retry_after_of",
    "send",
    "shown_url",
    "size_of",
    "what_is_wrong",
]
