"""Tokens, and how one is asked for: AIStore's authentication server, and the files of its command line."""

from __future__ import annotations

import json
import math
import re
from typing import Final
from urllib.parse import quote

from ...errors import UsageError
from ._names import check_text
from ._request import WireRequest

__all__ = ["bearer", "encode_login", "parse_login", "parse_token"]

# What a header's value may hold, and no space: a token is one word (RFC 6750, section 2.1, has even less).
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_NANOSECONDS: Final = 1_000_000_000
_MAX_SECONDS: Final = 2**63 / _NANOSECONDS  # 292 years: AIStore counts in nanoseconds, of 64 bits


def bearer(token: str, *, what: str = "token") -> str:
    """Return the `Authorization` that shows a token.

    Args:
        token: The token.
        what: Where it comes from, for the error, which does not show it.

    Raises:
        UsageError: if no header can carry it.
    """
    if not _TOKEN.fullmatch(token):
        raise UsageError(
            f"{what}: a token is one word of printable ASCII, without 'Bearer', spaces and line ends"
        )
    return f"Bearer {token}"


def parse_token(text: str, *, what: str) -> str:
    """Read a token as it is kept: JSON such as ``{"token": "…"}``, or the bare word.

    Args:
        text: Of a file or a variable.
        what: Where it comes from, for the error, which does not show it.

    Raises:
        UsageError: if there is no token, or it could not be sent.
    """
    text = text.strip()
    token = parse_login(text, what=what) if text.startswith("{") else text
    bearer(token, what=what)
    return token


def parse_login(text: str, *, what: str) -> str:
    """Read the answer to a login: ``{"token": "…"}``.

    Args:
        text: Of the answer.
        what: Where it comes from, for the error, which does not show it.

    Raises:
        UsageError: if there is no token, or it could not be sent.
    """
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):  # not chained: a traceback would show the text
        facts = None
    token = facts.get("token") if isinstance(facts, dict) else None
    if not isinstance(token, str):
        raise UsageError(f'{what}: it is not like {{"token": "…"}}')
    bearer(token, what=what)
    return token


def encode_login(user: str, password: str, expires_in: float | None) -> WireRequest:
    """Encode a request for a token, to be sent to the authentication server.

    Args:
        user: The user's name.
        password: The user's password.
        expires_in: Seconds for which the token is good, 0 for ever; None for the server's own choice.

    Raises:
        UsageError: for a name that no user has, an empty password, or a time that cannot be.
    """
    check_text(user)
    if not user or "/" in user or user in {".", ".."}:
        raise UsageError(f"user {user!r}: a name is not empty, has no slash, and is neither '.' nor '..'")
    if not password.strip():
        raise UsageError("the password is empty")
    message: dict[str, object] = {"password": password}
    if expires_in is not None:
        if not (math.isfinite(expires_in) and 0 <= expires_in < _MAX_SECONDS):
            raise UsageError(f"expires_in={expires_in!r}: it is a number of seconds, or 0 for ever")
        message["expires_in"] = int(expires_in * _NANOSECONDS)
    return WireRequest(
        method="POST",
        path=f"/v1/users/{quote(user, safe='')}",
        headers={"Content-Type": "application/json"},
        body=json.dumps(message).encode(),
    )
