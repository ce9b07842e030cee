"""Signature Version 4, which S3 and all that speak its protocol ask for: to sign a request.

Sources, AWS's: "Create a signed AWS API request" in the IAM User Guide, here *the guide*, and "Authenticating
Requests: Using the Authorization Header" in the S3 API Reference. Sections are cited by their names.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias
from urllib.parse import quote, unquote_to_bytes

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "ALGORITHM",
    "TIMESTAMP",
    "UNSIGNED_PAYLOAD",
    "Credentials",
    "Headers",
    "calculate_signature",
    "canonical_request",
    "encode_text",
    "fold",
    "payload_hash",
    "sign",
]

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"  # in place of a hash: the body is left out of the signature

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TIMESTAMP: Final = "%Y%m%dT%H%M%SZ"

# "Create a canonical request": what may be changed on the way is better not signed. These are what HTTP has
# for one connection, and what proxies and tracers write.
_NOT_SIGNED: Final = re.compile(
    "accept-encoding|authorization|baggage|connection|expect|keep-alive|proxy-.*|te|traceparent|tracestate"
    "|trailer|transfer-encoding|upgrade|user-agent|x-amzn-trace-id"
)


class Credentials(NamedTuple):
    """What one signs with. Its `repr` shows no secret.

    Attributes:
        access_key_id: The name of the key, which is sent.
        secret_access_key: The key, which is not.
        session_token: What goes with a temporary key, and is sent; None for a lasting one.
    """

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"<Credentials: {self.access_key_id!r}, secret hidden>"


def payload_hash(body: bytes) -> str:
    """Return what `sign` wants to know of a body: its SHA-256, in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def sign(
    method: str,
    path: str,
    query: str,
    headers: Headers,
    payload_hash: str,
    *,
    credentials: Credentials,
    region: str,
    service: str = "s3",
    at: datetime,
) -> dict[str, str]:
    """Sign a request.

    Args:
        method: Such as ``"GET"``.
        path: As it is sent, quoted. What of it is quoted that need not be makes no difference to S3.
        query: As it is sent, quoted, without the question mark. ``+`` is a space, as servers read it.
        headers: All that are sent, ``Host`` among them, as text of UTF-8. Those that proxies change are left
            out of the signature.
        payload_hash: `payload_hash` of the body, or `UNSIGNED_PAYLOAD`.
        credentials: What to sign with.
        region: Such as ``"auto"``.
        service: Whose rules hold. All but S3 have paths normalised, and quoted twice.
        at: Now, with its time zone.

    Returns:
        The headers to be sent besides, in place of those of the same names.

    Raises:
        ValueError: if there is no ``Host``.
    """
    timestamp = at.astimezone(UTC).strftime(TIMESTAMP)
    added = {"X-Amz-Date": timestamp}
    if service == "s3":
        added["x-amz-content-sha256"] = payload_hash
    if credentials.session_token:
        added["X-Amz-Security-Token"] = credentials.session_token
    signed = {name: value for name, value in fold(headers).items() if not _NOT_SIGNED.fullmatch(name)}
    if "host" not in signed:
        raise ValueError("a request is signed with its Host, which is not among the headers")
    signed |= fold(added)
    names = sorted(signed)
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    request = canonical_request(method, path, query, signed, names, payload_hash, service)
    signature = calculate_signature(request, timestamp, scope, credentials.secret_access_key)
    added["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return added


def fold(headers: Headers) -> dict[str, str]:
    """Return headers as they are signed: one for each name, in lower case, with single spaces."""
    folded: dict[str, str] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        name, value = name.lower(), " ".join(value.split())  # noqa: PLW2901 - nobody wants them as they were
        folded[name] = f"{folded[name]},{value}" if name in folded else value
    return folded


def canonical_request(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    names: list[str],
    payload_hash: str,
    service: str,
) -> str:
    """Return a request as it is signed: in one way of all those in which it could be sent.

    Args:
        method: As `sign` takes it.
        path: Likewise.
        query: Likewise.
        headers: What `fold` returns.
        names: Which of them are signed, sorted.
        payload_hash: As `sign` takes it.
        service: Likewise.
    """
    # The guide, "Create a canonical request".
    return "\n".join(
        (
            method.upper(),
            _canonical_path(path, service),
            _canonical_query(query),
            *(f"{name}:{headers[name]}" for name in names),
            "",
            ";".join(names),
            payload_hash,
        )
    )


def _canonical_path(path: str, service: str) -> str:
    # The guide, "Canonical URI": every segment is quoted twice and the path normalised, but not for S3, where
    # a key may be "a//../b".
    if service == "s3":
        return _quote(unquote_to_bytes(path), safe="/~") or "/"
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in {"", "."}:
            segments.append(segment)
    end = "/" if segments and path.endswith("/") else ""
    return quote(f"/{'/'.join(segments)}{end}", safe="/~")


def _canonical_query(query: str) -> str:
    # The guide, "Canonical query string": sorted by the quoted name, then by the quoted value. What servers
    # read as one and the same query is one here.
    if not query:
        return ""
    pairs = (pair.partition("=") for pair in query.replace("+", "%20").split("&") if pair)
    quoted = sorted(
        (_quote(unquote_to_bytes(name)), _quote(unquote_to_bytes(value))) for name, _, value in pairs
    )
    return "&".join(f"{name}={value}" for name, value in quoted)


def _quote(data: bytes, safe: str = "~") -> str:
    # The guide, "UriEncode": all but A-Z a-z 0-9 - . _ ~, with upper-case hexadecimals.
    return quote(data, safe=safe)


def calculate_signature(request: str, timestamp: str, scope: str, secret: str) -> str:
    """Return the signature of a `canonical_request`.

    Args:
        request: The canonical request.
        timestamp: When it is signed, as `TIMESTAMP` has it.
        scope: Day, region, service, and ``aws4_request``.
        secret: The secret access key.
    """
    # The guide, "Create a string to sign" and "Calculate the signature".
    digest = hashlib.sha256(encode_text(request)).hexdigest()
    text = f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}"
    return hmac.new(_signing_key(secret, scope), encode_text(text), "sha256").hexdigest()


@lru_cache(maxsize=64)  # a day's key is the same for each of its requests, and takes longer than the rest
def _signing_key(secret: str, scope: str) -> bytes:
    # The guide, "Derive a signing key".
    key = encode_text(f"AWS4{secret}")
    for part in scope.split("/"):
        key = hmac.digest(key, encode_text(part), "sha256")
    return key


def encode_text(text: str) -> bytes:
    """Return text as UTF-8, in which a server may have met bytes that are none."""
    return text.encode("utf-8", "surrogateescape")
