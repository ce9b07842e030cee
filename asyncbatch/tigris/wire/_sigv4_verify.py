"""Signature Version 4: to check that a request is signed, as a server does.

Sources, AWS's: "Create a signed AWS API request" in the IAM User Guide, here *the guide*, and "Authenticating
Requests: Using the Authorization Header" and "Error responses" in the S3 API Reference. Sections are cited by
their names.
"""

from __future__ import annotations

import hmac
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from ._sigv4 import (
    ALGORITHM,
    TIMESTAMP,
    UNSIGNED_PAYLOAD,
    calculate_signature,
    canonical_request,
    encode_text,
    fold,
    payload_hash,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._sigv4 import Credentials, Headers

__all__ = ["SignatureError", "check_payload", "verify"]

_TOLERANCE: Final = timedelta(minutes=15)
_HASH: Final = re.compile(r"[0-9a-f]{64}")
# What stands in place of the body's hash where it is not signed. The latter is what SDKs send over TLS.
_UNSIGNED: Final = {UNSIGNED_PAYLOAD, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
# The access key comes first and may have slashes; of the scope's four parts none has.
_CREDENTIAL: Final = re.compile(r"(.+)/([0-9]{8})/([^/]+)/([^/]+)/aws4_request")

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
    folded = fold(headers)
    shown = _parse_authorization(folded.get("authorization", ""))
    _check_scope(shown, region, service)
    timestamp = _check_time(folded, shown.day, now, tolerance)
    payload = _payload_header(folded)
    held = credentials(shown.access_key_id) if callable(credentials) else credentials.get(shown.access_key_id)
    if held is None:
        raise SignatureError("InvalidAccessKeyId", f"there is no access key {shown.access_key_id!r}")
    _check_token(folded.get("x-amz-security-token"), held.session_token)
    _check_names(folded, shown.names)
    request = canonical_request(method, path, query, folded, shown.names, payload, service)
    expected = calculate_signature(request, timestamp, shown.scope, held.secret_access_key)
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
    signed = _payload_header(fold(headers))
    if signed not in _UNSIGNED and not hmac.compare_digest(signed, payload_hash(body)):
        raise SignatureError("XAmzContentSHA256Mismatch", "the body's SHA-256 is not x-amz-content-sha256")


def _parse_authorization(value: str) -> _Authorization:
    # S3, "Authenticating Requests: Using the Authorization Header", its three components.
    if not value:
        raise SignatureError("AccessDenied", "the request is not signed: it has no Authorization")
    algorithm, _, rest = value.partition(" ")
    if algorithm != ALGORITHM:
        raise SignatureError("AuthorizationHeaderMalformed", f"the only mechanism is {ALGORITHM}")
    parts = [part.strip().partition("=") for part in rest.split(",")]
    if sorted(name for name, _, _ in parts) != ["Credential", "Signature", "SignedHeaders"]:
        raise SignatureError(
            "AuthorizationHeaderMalformed", "its components are Credential, SignedHeaders and Signature"
        )
    values = {name: value for name, _, value in parts}
    credential = _CREDENTIAL.fullmatch(values["Credential"])
    names = values["SignedHeaders"].split(";")
    signature = values["Signature"]
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
        at = _http_date(value) if name == "date" else datetime.strptime(value, TIMESTAMP).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise SignatureError("AccessDenied", f"{name} is no date: {value!r}") from None
    if abs(now - at) > tolerance:
        raise SignatureError(
            "RequestTimeTooSkewed",
            f"the request was signed at {at.isoformat()}, and it is {now.astimezone(UTC).isoformat()}",
        )
    timestamp = at.strftime(TIMESTAMP)
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
    if value in _UNSIGNED:
        return value
    if value.startswith("STREAMING-"):
        raise SignatureError("NotImplemented", f"a body in signed chunks ({value}) is not read here")
    if not _HASH.fullmatch(value):
        raise SignatureError(
            "InvalidArgument", f"x-amz-content-sha256 is neither {UNSIGNED_PAYLOAD} nor a SHA-256"
        )
    return value


def _check_token(shown: str | None, held: str | None) -> None:
    same = hmac.compare_digest(encode_text(shown or ""), encode_text(held or ""))
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
