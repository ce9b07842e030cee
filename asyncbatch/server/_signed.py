"""Who may ask: requests signed by Signature Version 4, where there are credentials to check them by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

from ..tigris.wire import Credentials, check_payload, verify

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["KnownCredentials", "Signatures"]

KnownCredentials: TypeAlias = Credentials | Callable[[str], Credentials | None]
"""The only ones, or what returns those of an access key: None for one that nobody knows."""


class Signatures:
    """Checks requests.

    Args:
        credentials: Whose requests are good, in any region; None if everybody's are.
    """

    def __init__(self, credentials: KnownCredentials | None) -> None:
        self.required = credentials is not None
        self._known = (
            {credentials.access_key_id: credentials} if isinstance(credentials, Credentials) else credentials
        )

    def check(self, request: Request) -> None:
        """Check all of a request but its body.

        Raises:
            SignatureError: if it is not signed, or not well.
        """
        if self._known is not None:
            path = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
            verify(
                request.method,
                path.decode("ascii", "replace"),
                request.scope["query_string"].decode("ascii", "replace"),
                _headers(request),
                credentials=self._known,
                now=datetime.now(UTC),
            )

    def check_body(self, request: Request, body: bytes) -> None:
        """Check that a request's body is what was signed.

        Raises:
            SignatureError: if it is not.
        """
        if self.required:
            check_payload(_headers(request), body)


def _headers(request: Request) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
        for name, value in request.headers.raw
    ]
