"""The URL of a server, as a user gives it, or as a redirect does."""

from __future__ import annotations

import re
from typing import Final

import httpx

from ..errors import UsageError

__all__ = ["is_usable", "parse_endpoint", "shown_url"]

# Users and passwords, queries and fragments, also of what is no URL.
_SECRETS: Final = re.compile(r"^(?P<scheme>\w+://)?.*@|[?#].*", re.DOTALL)


def parse_endpoint(endpoint: str | None, variable: str) -> httpx.URL:
    """Read the URL of a server.

    Args:
        endpoint: The URL, of which a query counts for nothing; None if there is none.
        variable: Of the environment, where there could be one, for the error.

    Raises:
        UsageError: if it is no http or https URL, or missing. It shows neither a password nor a query.
    """
    if not endpoint:
        raise UsageError(f"no endpoint: pass one, such as http://localhost:8080, or set {variable}")
    shown = shown_url(endpoint)
    try:
        url = httpx.URL(endpoint)
        usable = is_usable(url)
    except (httpx.InvalidURL, UnicodeError) as error:  # UnicodeError: of a host that only looks like IDNA
        # The error may quote what is wrong, and that may be half of a password.
        reason, cause = ("", None) if shown != endpoint else (f": {error}", error)
        raise UsageError(f"endpoint {shown!r} is no URL{reason}") from cause
    if not usable:
        raise UsageError(f"endpoint {shown!r}: it is like http://localhost:8080")
    return url.copy_with(query=None, fragment=None)


def shown_url(url: str) -> str:
    """Return for people what should be a URL, without what may be secret in it."""
    return _SECRETS.sub(lambda match: f"{match['scheme'] or ''}…", url)


def is_usable(url: httpx.URL) -> bool:
    """Whether a request can be sent there: httpx itself finds out too late, and in as many ways as it has."""
    return url.scheme in {"http", "https"} and bool(url.host) and (url.port is None or 0 < url.port < 65_536)
