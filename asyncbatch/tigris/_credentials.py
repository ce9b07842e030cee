"""Credentials, region and endpoint: from a client's user, from the environment, or as botocore finds them.

Names of variables are those of AWS's SDKs, and of Tigris's own command line ("Authentication" in its
documentation): where both are set, AWS's are taken.
"""

from __future__ import annotations

import re
from copy import copy
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from anyio import Lock
from anyio.to_thread import run_sync

from ..errors import TransportError, UsageError
from .wire import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..errors import AsyncBatchError

__all__ = ["CredentialSource", "find_credentials", "find_endpoint", "find_region"]

# The access key, the secret and the token.
_VARIABLES: Final = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    ("TIGRIS_STORAGE_ACCESS_KEY_ID", "TIGRIS_STORAGE_SECRET_ACCESS_KEY", None),
)
_REGION_VARIABLES: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "TIGRIS_STORAGE_ENDPOINT")
_WHERE: Final = (
    "neither is an access_key_id passed, nor are AWS_ACCESS_KEY_ID or TIGRIS_STORAGE_ACCESS_KEY_ID set"
)
_REGION: Final = "auto"
_ENDPOINT: Final = "https://t3.storage.dev"

# What a header's value may hold, and no space: the key and the token are sent as such.
_WORD: Final = re.compile(r"[\x21-\x7e]+")
_REGION_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
# botocore wants new ones from 15 minutes before the old ones expire. If there are none, the old ones will do.
_PAUSE: Final = 60.0  # seconds until it is tried again


class CredentialSource(Protocol):
    """Where a client has its credentials from."""

    async def current(self) -> Credentials:
        """Return credentials that are good now: expiring ones are refreshed before they do.

        Raises:
            UsageError: if there are none; it says where they were looked for.
            TransportError: if expired ones could not be refreshed.
        """
        ...

    async def renew(self, refused: Credentials) -> bool:
        """Look again, since the server has refused some. Return whether there are others now."""
        ...


def find_credentials(
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
    session_token: str | None = None,
    *,
    profile: str | None = None,
    environment: Mapping[str, str],
) -> CredentialSource:
    """Find out what to sign with.

    That is, of these the first: what is passed; the `profile`, if one is passed; ``AWS_ACCESS_KEY_ID`` and
    what belongs to it; ``TIGRIS_STORAGE_ACCESS_KEY_ID`` likewise; what botocore finds: profiles, single
    sign-on, processes, and the roles of containers and instances. It is not asked before that is needed.

    Args:
        access_key_id: As the user has passed it.
        secret_access_key: Likewise.
        session_token: Likewise.
        profile: A section of ``~/.aws/config`` or ``~/.aws/credentials``.
        environment: The variables. botocore has its own from the process.

    Raises:
        UsageError: if one of them is missing, or could not be sent; it shows no secret.
    """
    passed = (access_key_id, secret_access_key, session_token)
    if any(value is not None for value in passed):
        if profile is not None:
            raise UsageError(f"there is an access key, and there is profile {profile!r}: leave one out")
        return _Given(_checked(passed, ("access_key_id", "secret_access_key", "session_token")))
    if profile is None:
        for names in _VARIABLES:
            found = tuple(environment.get(name or "", "").strip() or None for name in names)
            if any(found[:2]):
                return _Given(_checked(found, names))
    return _Found(profile)


def _checked(values: tuple[str | None, ...], names: tuple[str | None, ...]) -> Credentials:
    """Make credentials of values that a user has given by these names."""
    key, secret, token = values
    for value, name, other in ((key, names[0], names[1]), (secret, names[1], names[0])):
        if not value:
            raise UsageError(f"{name} is missing: {other} is of no use without it")
    for value, name in ((key, names[0]), (token, names[2])):
        if value and not _WORD.fullmatch(value):
            raise UsageError(f"{name} is one word of printable ASCII, without spaces and line ends")
    return Credentials(key or "", secret or "", token or None)


class _Source:
    """Shows itself to nobody: neither its `repr` nor a pickle has a secret."""

    def __repr__(self) -> str:
        return "<CredentialSource: hidden>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled: make a client where they are to be used")


class _Given(_Source):
    """Credentials that stay as they are."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def current(self) -> Credentials:
        return self._credentials

    async def renew(self, refused: Credentials) -> bool:
        return refused != self._credentials


class _Found(_Source):
    """What botocore finds. It reads files, runs programs, asks servers: in a thread, for all callers once.

    Args:
        profile: The user's; None for the one that botocore takes by itself.
        clock: Tells seconds.
    """

    def __init__(self, profile: str | None = None, *, clock: Callable[[], float] = monotonic) -> None:
        self._profile = profile
        self._clock = clock
        self._chain: Any = None  # botocore's own object, which can refresh itself
        self._held: Credentials | AsyncBatchError = UsageError("nobody has looked yet")
        self._lock = Lock()
        self._looks = 0
        self._next_try = 0.0

    async def current(self) -> Credentials:
        if self._is_due():
            await self._look()
        if isinstance(self._held, Credentials):
            return self._held
        raise copy(self._held) from self._held.__cause__  # each caller has one of its own

    async def renew(self, refused: Credentials) -> bool:
        if self._held == refused:
            await self._look(afresh=True)
        return isinstance(self._held, Credentials) and self._held != refused

    def _is_due(self) -> bool:
        if not isinstance(self._held, Credentials) or self._has_expired():
            return True
        return self._clock() >= self._next_try and self._expires()

    def _expires(self, *within: int) -> bool:
        """Return whether they expire `within` so many seconds; without these, as soon as botocore minds."""
        # Only what expires has this method. It reads the clock, and asks nobody.
        needed = getattr(self._chain, "refresh_needed", None)
        return needed is not None and bool(needed(*within))

    def _has_expired(self) -> bool:
        return self._expires(0)

    async def _look(self, *, afresh: bool = False) -> None:
        """Ask botocore, or wait for whoever does so at this moment."""
        seen = self._looks
        async with self._lock:
            if self._looks != seen:
                return
            chain = None if afresh else self._chain
            try:
                found = await run_sync(_ask, self._profile, chain, abandon_on_cancel=True)
            except (UsageError, TransportError) as error:
                if not isinstance(self._held, Credentials) or self._has_expired():
                    self._held = error
            else:
                self._chain, self._held = found
            self._looks += 1
            self._next_try = self._clock() + _PAUSE


def _ask(profile: str | None, chain: Any) -> tuple[Any, Credentials]:  # noqa: ANN401 - botocore has no types
    """Have botocore find credentials, or refresh those that it has found.

    Raises:
        UsageError: if there are none, or what is configured does not work.
        TransportError: if somebody who was to be asked for them was not there.
    """
    try:
        from botocore.exceptions import ConnectionError as NoConnectionError  # noqa: PLC0415 - an extra, and large
        from botocore.exceptions import HTTPClientError  # noqa: PLC0415 - likewise
        from botocore.session import Session  # noqa: PLC0415 - likewise
    except ImportError as error:
        where = "in the environment" if profile is None else f"for profile {profile!r}"
        raise UsageError(
            f"there are no credentials {where}: {_WHERE}. Profiles, single sign-on and roles need botocore: "
            "pip install 'asyncbatch[tigris]'"
        ) from error
    is_refresh = chain is not None
    try:
        if chain is None:
            chain = Session(profile=profile).get_credentials()
        frozen = chain and chain.get_frozen_credentials()
    except Exception as error:  # each of its providers has exceptions of its own
        if is_refresh or isinstance(error, HTTPClientError | NoConnectionError):
            raise TransportError(f"no credentials could be had: {error}", retryable=True) from error
        raise UsageError(f"no credentials could be had: {error}") from error
    if frozen is None:
        raise UsageError(
            f"there are no credentials: {_WHERE}; and botocore has found none in a profile, by single "
            "sign-on, of a process, or for the role of a container or an instance"
        )
    return chain, Credentials(frozen.access_key, frozen.secret_key, frozen.token or None)


def find_region(region: str | None, environment: Mapping[str, str]) -> str:
    """Return the region that requests are signed for.

    That is, of these the first: the `region`; ``AWS_REGION``; ``AWS_DEFAULT_REGION``; ``"auto"``, which is
    what Tigris asks for.

    Raises:
        UsageError: if it is no name of a region.
    """
    found, what = _first(region, "region", _REGION_VARIABLES, environment) or (_REGION, "")
    if not _REGION_NAME.fullmatch(found):
        raise UsageError(f"{what}={found!r}: it is no name of a region")
    return found


def find_endpoint(endpoint_url: str | None, environment: Mapping[str, str]) -> str:
    """Return the URL of the server, as it was given.

    That is, of these the first: the `endpoint_url`; ``AWS_ENDPOINT_URL_S3``; ``AWS_ENDPOINT_URL``;
    ``TIGRIS_STORAGE_ENDPOINT``; Tigris's own.
    """
    found, _ = _first(endpoint_url, "endpoint_url", _ENDPOINT_VARIABLES, environment) or (_ENDPOINT, "")
    return found


def _first(
    value: str | None, name: str, variables: Iterable[str], environment: Mapping[str, str]
) -> tuple[str, str] | None:
    """Return what is given first, and by what name; a variable that is empty is none."""
    if value is not None:
        return value, name
    return next(((found, name) for name in variables if (found := environment.get(name, "").strip())), None)
