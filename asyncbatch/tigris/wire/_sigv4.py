"""Signature Version 4, which S3 and all that speak its protocol ask for: to sign a request, and to check one.

Sources, all AWS's: "Create a signed AWS API request" of the IAM User Guide, here *the guide*, and of the S3
API Reference "Authenticating Requests: Using the Authorization Header" and "Error responses". Sections are
cited by their names.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias
from urllib.parse import quote, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "UNSIGNED_PAYLOAD",
    "Credentials",
    "SignatureError",
    "check_payload",
    "payload_hash",
    "sign",
    "verify",
]

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"  # in place of a hash: the body is left out of the signature

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_TIMESTAMP: Final = "%Y%m%dT%H%M%SZ"
_TOLERANCE: Final = timedelta(minutes=15)
_HASH: Final = re.compile(r"[0-9a-f]{64}")
# The access key comes first and may have slashes; of the scope's four parts none has.
_CREDENTIAL: Final = re.compile(r"(.+)/([0-9]{8})/([^/]+)/([^/]+)/aws4_request")

# "Create a canonical request": what may be changed on the way is better not signed. These are what HTTP has
# for one connection, and what proxies and tracers write.
_NOT_SIGNED: Final = re.compile(
    "accept-encoding|authorization|baggage|connection|expect|keep-alive|proxy-.*|te|traceparent|tracestate"
    "|trailer|transfer-encoding|upgrade|user-agent|x-amzn-trace-id"
)

# "List of error codes"; those that are not here are 403.
_STATUS: Final = {
    "AuthorizationHeaderMalformed": 400,
    "ExpiredToken": 400,
    "InvalidArgument": 400,
    "InvalidToken": 400,
    "MissingSecurityHeader": 400,
    "NotImplemented": 501,
    "XAmzContentSHA256Mismatch": 400,
}


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


class SignatureError(Exception):
    """A request that is refused for its signature, in the words that S3 has for it.

    Attributes:
        code: S3's, such as ``"SignatureDoesNotMatch"``.
        message: For a human. No secret is in it.
        status: The HTTP status that S3 answers with.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.status = _STATUS.get(code, 403)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def payload_hash(body: bytes) -> str:
    """Return what `sign` wants to know of a body: its SHA-256, in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


# -- to sign ----------------------------------------------------------------------------------------------


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
    timestamp = at.astimezone(UTC).strftime(_TIMESTAMP)
    added = {"X-Amz-Date": timestamp}
    if service == "s3":
        added["x-amz-content-sha256"] = payload_hash
    if credentials.session_token:
        added["X-Amz-Security-Token"] = credentials.session_token
    signed = {name: value for name, value in _fold(headers).items() if not _NOT_SIGNED.fullmatch(name)}
    if "host" not in signed:
        raise ValueError("a request is signed with its Host, which is not among the headers")
    signed |= _fold(added)
    names = sorted(signed)
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    request = _canonical_request(method, path, query, signed, names, payload_hash, service)
    signature = _signature(request, timestamp, scope, credentials.secret_access_key)
    added["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key_id}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return added


def _fold(headers: Headers) -> dict[str, str]:
    """Return headers as they are signed: one for each name, in lower case, with single spaces."""
    folded: dict[str, str] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        name, value = name.lower(), " ".join(value.split())  # noqa: PLW2901 - nobody wants them as they were
        folded[name] = f"{folded[name]},{value}" if name in folded else value
    return folded


def _canonical_request(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    names: list[str],
    payload_hash: str,
    service: str,
) -> str:
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


def _signature(canonical_request: str, timestamp: str, scope: str, secret: str) -> str:
    # The guide, "Create a string to sign" and "Calculate the signature".
    digest = hashlib.sha256(_encode(canonical_request)).hexdigest()
    text = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{digest}"
    return hmac.new(_signing_key(secret, scope), _encode(text), "sha256").hexdigest()


@lru_cache(maxsize=64)  # a day's key is the same for each of its requests, and takes longer than the rest
def _signing_key(secret: str, scope: str) -> bytes:
    # The guide, "Derive a signing key".
    key = _encode(f"AWS4{secret}")
    for part in scope.split("/"):
        key = hmac.digest(key, _encode(part), "sha256")
    return key


def _encode(text: str) -> bytes:
    # A server may have met bytes that are no UTF-8, and hands them on so.
    return text.encode("utf-8", "surrogateescape")


# -- to check ---------------------------------------------------------------------------------------------


class _Authorization(NamedTuple):
    access_key_id: str
    day: str
    region: str
    service: str
    names: list[str]
    signature: str

    @property
    def scope(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


def verify(
    method: str,
    path: str,
    query: str,
    headers: Headers,
    *,
    credentials: Mapping[str, Credentials] | Callable[[str], Credentials | None],
    region: str | None = None,
    service: str = "s3",
    now: datetime,
    tolerance: timedelta = _TOLERANCE,
) -> None:
    """Check a request's signature, as a server does.

    The body is not looked at: whoever has it calls `check_payload` then.

    Args:
        method: As it came.
        path: As it came, quoted.
        query: As it came, quoted.
        headers: All that came, as text of UTF-8 (``surrogateescape`` for what is none).
        credentials: Those of each access key. A function returns None for one that is not known, and may
            raise a `SignatureError` of its own, such as ``ExpiredToken``.
        region: The server's; None if any will do.
        service: As `sign` takes it.
        now: With its time zone.
        tolerance: By how much the clock of the one who signed may be wrong.

    Raises:
        SignatureError: if the request is not signed, not by one of these keys, or not as it came.
    """
    folded = _fold(headers)
    shown = _parse_authorization(folded.get("authorization", ""))
    _check_scope(shown, region, service)
    timestamp = _check_time(folded, shown.day, now, tolerance)
    payload = _payload_header(folded)
    held = credentials(shown.access_key_id) if callable(credentials) else credentials.get(shown.access_key_id)
    if held is None:
        raise SignatureError("InvalidAccessKeyId", f"there is no access key {shown.access_key_id!r}")
    _check_token(folded.get("x-amz-security-token"), held.session_token)
    _check_names(folded, shown.names)
    request = _canonical_request(method, path, query, folded, shown.names, payload, service)
    expected = _signature(request, timestamp, shown.scope, held.secret_access_key)
    if not hmac.compare_digest(expected, shown.signature):
        raise SignatureError(
            "SignatureDoesNotMatch",
            "the request is not the one that was signed, or was signed with another secret access key",
        )


def check_payload(headers: Headers, body: bytes) -> None:
    """Check that a body is the one whose hash was signed. A request that was signed without one passes.

    Raises:
        SignatureError: if it is another.
    """
    signed = _payload_header(_fold(headers))
    if signed != UNSIGNED_PAYLOAD and not hmac.compare_digest(signed, payload_hash(body)):
        raise SignatureError("XAmzContentSHA256Mismatch", "the body's SHA-256 is not x-amz-content-sha256")


def _parse_authorization(value: str) -> _Authorization:
    # S3, "Authenticating Requests: Using the Authorization Header", its three components.
    if not value:
        raise SignatureError("AccessDenied", "the request is not signed: it has no Authorization")
    algorithm, _, rest = value.partition(" ")
    if algorithm != _ALGORITHM:
        raise SignatureError("AuthorizationHeaderMalformed", f"the only mechanism is {_ALGORITHM}")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    credential = _CREDENTIAL.fullmatch(parts.get("Credential", ""))
    names = parts.get("SignedHeaders", "").split(";")
    signature = parts.get("Signature", "")
    if credential is None:
        raise SignatureError(
            "AuthorizationHeaderMalformed", "Credential is not like KEY/YYYYMMDD/REGION/SERVICE/aws4_request"
        )
    if not all(names) or names != sorted({name.lower() for name in names}):
        raise SignatureError("AuthorizationHeaderMalformed", "SignedHeaders is not in lower case and sorted")
    if not _HASH.fullmatch(signature):
        raise SignatureError("AuthorizationHeaderMalformed", "Signature is not of 64 hexadecimal digits")
    key, day, region, service = credential.groups()
    return _Authorization(key, day, region, service, names, signature)


def _check_scope(shown: _Authorization, region: str | None, service: str) -> None:
    for what, value, expected in (("service", shown.service, service), ("region", shown.region, region)):
        if expected is not None and value != expected:
            raise SignatureError(
                "AuthorizationHeaderMalformed", f"the {what} {value!r} is wrong; expecting {expected!r}"
            )


def _check_time(folded: Mapping[str, str], day: str, now: datetime, tolerance: timedelta) -> str:
    """Return when the request was signed, as it stands in the string to sign."""
    # The guide, "Elements of a request signature": X-Amz-Date or, without one, Date.
    name = "x-amz-date" if "x-amz-date" in folded else "date"
    if name not in folded:
        raise SignatureError("MissingSecurityHeader", "there is neither an X-Amz-Date nor a Date")
    value = folded[name]
    try:
        at = _http_date(value) if name == "date" else datetime.strptime(value, _TIMESTAMP).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise SignatureError("AccessDenied", f"{name} is no date: {value!r}") from None
    if abs(now - at) > tolerance:
        raise SignatureError(
            "RequestTimeTooSkewed",
            f"the request was signed at {at.isoformat()}, and it is {now.astimezone(UTC).isoformat()}",
        )
    timestamp = at.strftime(_TIMESTAMP)
    if timestamp[:8] != day:
        raise SignatureError("AuthorizationHeaderMalformed", f"the Credential's date is not that of {name}")
    return timestamp


def _http_date(value: str) -> datetime:
    at = parsedate_to_datetime(value)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _payload_header(folded: Mapping[str, str]) -> str:
    # S3, "Authenticating Requests: Using the Authorization Header", "Transferring Payload in a Single Chunk".
    value = folded.get("x-amz-content-sha256")
    if value is None:
        raise SignatureError("MissingSecurityHeader", "there is no x-amz-content-sha256")
    if value.startswith("STREAMING-"):
        raise SignatureError("NotImplemented", f"a body in signed chunks ({value}) is not read here")
    if value != UNSIGNED_PAYLOAD and not _HASH.fullmatch(value):
        raise SignatureError(
            "InvalidArgument", f"x-amz-content-sha256 is neither {UNSIGNED_PAYLOAD} nor a SHA-256"
        )
    return value


def _check_token(shown: str | None, held: str | None) -> None:
    same = hmac.compare_digest(_encode(shown or ""), _encode(held or ""))
    if not same or (shown is None) != (held is None):
        raise SignatureError("InvalidToken", "the X-Amz-Security-Token is not the one of this access key")


def _check_names(folded: Mapping[str, str], names: list[str]) -> None:
    # The guide, "Canonical headers": Host has to be signed, and every header whose name begins with x-amz-.
    signed = frozenset(names)
    unsigned = sorted(name for name in folded.keys() - signed if name == "host" or name.startswith("x-amz-"))
    if unsigned or "host" not in signed:
        what = ", ".join(unsigned or ["host"])
        raise SignatureError("AccessDenied", f"these headers were not signed: {what}")
    if absent := ", ".join(sorted(signed - folded.keys())):
        raise SignatureError(
            "SignatureDoesNotMatch", f"these headers were signed, and did not come: {absent}"
        )
