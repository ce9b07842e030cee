"""What a client shows for itself: a token, from where AIStore's other clients look for it, or a password.

Where it is sent. AIStore's proxies check tokens; its targets check that a proxy has sent the client on, by
what the redirect's URL says, and not by a token. So a token goes to the host of the endpoint, whatever the
port, and along no redirect to another host, which is what AIStore's own command line does; and never from
https to http, where it could be read on the way. What a user's own HTTP client adds to each request is the
user's affair, but for that last rule, which holds for it too.
"""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from anyio.to_thread import run_sync

from ..errors import RemoteError, UsageError
from ..limits import Limits
from ..transport import DEFAULT_RETRY, DEFAULT_TIMEOUT, parse_endpoint, public_url
from ._environment import open_http_client_of
from ._http import Connection
from .wire import bearer, encode_login, parse_login, parse_token

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    import httpx

    from ..transport import RetryPolicy

__all__ = ["Credentials", "find_credentials", "login"]

# Where `ais auth login` puts it.
_DEFAULT_FILE: Final = "~/.config/ais/cli/auth.token"
_MAX_FILE: Final = 65_536  # bytes: servers take no header of that size
_MIN_SECRET: Final = 8  # characters: what is shorter stands in other words too


class Credentials:
    """The `Authorization` of a client's requests, of which the token may be replaced in its file.

    It shows itself to nobody: neither its `repr` nor a pickle has the token.

    Args:
        authorization: The header's value; None for none.
        file: Where the token comes from, to be looked at again when the server refuses it.
    """

    def __init__(self, authorization: str | None = None, *, file: Path | None = None) -> None:
        self.authorization = authorization
        self._file = file

    def __repr__(self) -> str:
        return f"<Credentials: {'none' if self.authorization is None else 'hidden'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled: make a client where they are to be used")

    async def renew(self, used: str | None) -> bool:
        """Read the file again, if there is one. Return whether there is another token than was `used`."""
        if self._file is not None:
            self.authorization = await run_sync(self._read_again, self._file)
        return self.authorization != used

    def _read_again(self, file: Path) -> str | None:
        try:
            return bearer(_read_token(file, what="token file"))
        except (OSError, UsageError):  # it was removed, or is just being written
            return self.authorization

    def hide(self, text: str) -> str:
        """Return a text, such as a server's message, without what is secret here."""
        secret = (self.authorization or "").rpartition(" ")[2]
        return text.replace(secret, "***") if len(secret) >= _MIN_SECRET else text


def find_credentials(
    token: str | None,
    endpoint: httpx.URL,
    environment: Mapping[str, str],
    http_client: httpx.AsyncClient | None = None,
) -> Credentials:
    """Find out what to show to an endpoint.

    That is, of these the first: the `token`; the user and password of the endpoint's URL; nothing, if the
    HTTP client has credentials of its own; ``AIS_AUTHN_TOKEN``; the file ``AIS_AUTHN_TOKEN_FILE``; the file
    that AIStore's command line keeps.

    Args:
        token: As the user has passed it; ``""`` to show none.
        endpoint: Where the requests go.
        environment: The variables.
        http_client: The user's own.

    Raises:
        UsageError: if a token could not be sent, or its file cannot be read; it shows no token.
    """
    if endpoint.userinfo:
        if token:
            raise UsageError("the endpoint has a user and a password, and there is a token: leave one out")
        pair = f"{endpoint.username}:{endpoint.password}".encode()
        return Credentials(f"Basic {b64encode(pair).decode()}")
    if token is not None:
        return Credentials(bearer(token) if token else None)
    if http_client is not None and (http_client.auth or "authorization" in http_client.headers):
        return Credentials()
    if variable := environment.get("AIS_AUTHN_TOKEN"):
        return Credentials(bearer(parse_token(variable, what="AIS_AUTHN_TOKEN")))
    if name := environment.get("AIS_AUTHN_TOKEN_FILE"):
        what = f"AIS_AUTHN_TOKEN_FILE={name}"
        file = Path(name)
        try:
            return Credentials(bearer(_read_token(file, what=what)), file=file)
        except OSError as error:
            raise UsageError(f"{what}: {error.strerror}") from error
    file = Path(os.path.expanduser(_DEFAULT_FILE))  # noqa: PTH111 - which raises nothing without a home
    try:
        return Credentials(bearer(_read_token(file, what=str(file))), file=file)
    except OSError:  # nobody has asked for it; it may come to be there when the server asks for a token
        return Credentials(file=file)


def _read_token(file: Path, *, what: str) -> str:
    """Read a file that has a token.

    Raises:
        OSError: if it cannot be read.
        UsageError: if it has none.
    """
    with file.open("rb") as opened:
        start = opened.read(_MAX_FILE + 1)
    if len(start) > _MAX_FILE:
        raise UsageError(f"{what}: it is too large for the file of a token")
    return parse_token(start.decode("utf-8", "replace"), what=what)


async def login(
    authn_url: str | None,
    user: str,
    password: str,
    *,
    expires_in: float | None = None,
    timeout: float | httpx.Timeout | None = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - httpx's, of each step
    retry: RetryPolicy = DEFAULT_RETRY,
    ssl_context: ssl.SSLContext | None = None,
    http_client: httpx.AsyncClient | None = None,
) -> str:
    """Ask AIStore's authentication server for a token.

    The password is sent to that server only: redirects are not followed.

    Args:
        authn_url: The server's URL, such as ``"https://localhost:52001"``; None for `$AIS_AUTHN_URL`.
        user: The user's name.
        password: The user's password.
        expires_in: Seconds for which the token is to be good, 0 for ever; None for the server's own choice.
        timeout: As `Client` takes it, with the same defaults.
        retry: As `Client` takes it.
        ssl_context: As `Client` takes it, with the same defaults.
        http_client: As `Client` takes it.

    Returns:
        The token, for `Client(token=…)`.

    Raises:
        UsageError: if there is no URL, or what is asked for could never be granted; nothing is sent then.
        AuthenticationError: if the user or the password is wrong.
        RemoteError, TransportError: as the server and the network have it.
    """
    url = parse_endpoint(authn_url or os.environ.get("AIS_AUTHN_URL"), "AIS_AUTHN_URL")
    request = encode_login(user, password, expires_in)
    http = http_client
    if http is None:
        http = open_http_client_of(os.environ, timeout=timeout, ssl_context=ssl_context)
    credentials = find_credentials("", url, {})
    limits = Limits(max_item_size=_MAX_FILE)
    connection = Connection(url, http, limits=limits, retry=retry, credentials=credentials, max_redirects=0)
    try:
        # Asked for twice, there are two tokens, and no harm.
        response, body = await connection.read(request, idempotent=True)
    finally:
        if http_client is None:
            await http.aclose()
    try:
        return parse_login(body.decode("utf-8", "replace"), what="the answer")
    except UsageError as error:
        message = f"there is no token in the answer: {error}"
        raise RemoteError(
            status=response.status_code, message=message, url=public_url(response.url)
        ) from None
