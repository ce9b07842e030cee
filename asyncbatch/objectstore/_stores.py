"""Where buckets and objects are: a URL makes the stores of obstore, and names the paths in them.

What obstore cannot say is refused here. Its paths are names between slashes: it drops a slash at either end,
and so would take one object for another, and it has no empty names, no ``.`` and ``..``, and no control
characters.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from ..errors import UsageError
from ..transport import shown_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from obstore.store import ObjectStore

__all__ = ["SCHEMES", "Place", "Stores"]

SCHEMES: Final = ("s3", "gs", "az", "file", "memory", "http", "https")
"""Of the URLs that `Stores` takes."""

# The classes of obstore, and the provider that the buckets in such a store are said to have.
_PROVIDERS: Final = {
    "S3Store": "s3",
    "GCSStore": "gs",
    "AzureStore": "az",
    "LocalStore": "file",
    "MemoryStore": "memory",
    "HTTPStore": "http",
}
# Where a bucket is a store of its own. Elsewhere, it is a folder of the one store there is.
_CLOUDS: Final = frozenset({"s3", "gs", "az"})
# How such a store calls its bucket in its settings.
_BUCKET_SETTINGS: Final = ("bucket", "container_name")

_CONTROL: Final = r"\x00-\x1f\x7f"
# A part that is empty, "." or "..", a control character, or half of a surrogate pair.
_INEXPRESSIBLE: Final = re.compile(rf"(?:\A|/)\.{{0,2}}(?:/|\Z)|[{_CONTROL}\ud800-\udfff]")
# obstore's names for files that are being written.
_STAGED: Final = re.compile(r"#[0-9]+\Z")
# What becomes part of a URL's host or path without being quoted.
_CLOUD_BUCKET: Final = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._:$-]{0,254}")
_MAX_STORES: Final = 256  # each has connections and settings of its own, and strangers may name the buckets


class Place(NamedTuple):
    """An object, a bucket, or a prefix in one, as obstore takes it.

    Attributes:
        store: The store.
        path: In the store; ``""`` for all of it.
    """

    store: ObjectStore
    path: str


class Stores:
    """The stores behind a URL. It does no I/O, but that it looks whether the folder of ``file://`` exists.

    Args:
        target: ``s3://``, ``gs://`` or ``az://`` for all buckets, ``s3://bucket/prefix`` for one by default,
            whose objects are named without the prefix; ``file:///path``, ``memory:///path`` or
            ``https://host/path``, whose folders are buckets; or a store of obstore.
        **config: obstore's settings for the store, such as ``client_options``; the others are those of the
            environment.

    Attributes:
        provider: The scheme, with ``"http"`` for https too.
        default_bucket: The bucket that the URL names, or None.
        has_folders: Whether buckets are folders, and not stores of their own.
        root: Where the folder is whose folders are buckets, if it is one of the file system.
        made: Buckets that were created where a folder is no more than the names of what is in it.

    Raises:
        UsageError: if there is no such scheme, no obstore, or it does not take the settings.
    """

    def __init__(self, target: str | ObjectStore, **config: Any) -> None:  # noqa: ANN401 - obstore's
        self.default_bucket: str | None = None
        self.made: set[str] = set()
        self.root: str | None = None
        self._prefix = ""  # of all paths in the default bucket, or of all buckets that are folders
        self._config = config
        self._stores: dict[str, ObjectStore] = {}
        self._folders: ObjectStore | None = None
        self._given = False
        self._url = ""
        if isinstance(target, str):
            self._open_url(target)
        else:
            self._take_store(target)
        self.has_folders = self._folders is not None

    def __repr__(self) -> str:
        return self._url

    def _open_url(self, url: str) -> None:
        # Not by the URL's whole text: s3:// knows neither "%" nor a query.
        scheme, mark, rest = url.partition("://")
        scheme = scheme.lower()
        if not mark or scheme not in SCHEMES:
            raise UsageError(f"{url!r}: its scheme is none of {', '.join(f'{one}://' for one in SCHEMES)}")
        self.provider = "http" if scheme == "https" else scheme
        self._url = url
        if scheme in _CLOUDS:
            bucket, _, prefix = rest.partition("/")
            if "@" in bucket:
                # And not the URL, which has them.
                raise UsageError(f"{scheme}://{bucket.rpartition('@')[2]}: credentials are passed by name")
            if prefix and not bucket:
                raise UsageError(f"{url!r}: there is a prefix, and no bucket in front of it")
            self._prefix = _parse_prefix(prefix, url)
            self.default_bucket = bucket or None
            _load(self.provider)
            if bucket:
                self._store_of(bucket, None)
        elif scheme in {"http", "https"}:
            self._folders = _make(self.provider, _check_web(url), **_allow_http(self._config, scheme))
        else:
            host, _, path = rest.partition("/")
            path = unquote(path)
            if host or (scheme == "file" and not rest):
                raise UsageError(
                    f"{url!r}: there is a host, or a relative path; write {scheme}:/// and the whole path"
                )
            if scheme == "file":
                if not Path(f"/{path}").is_dir():
                    raise UsageError(f"{url!r}: there is no such folder")
                self._folders = _make(self.provider, f"/{path}", **self._config)
                self.root = f"/{path}".rstrip("/")
            else:
                self._prefix = _parse_prefix(path, url)
                self._folders = _make(self.provider, **self._config)

    def _take_store(self, store: ObjectStore) -> None:
        provider = next(
            (_PROVIDERS[one.__name__] for one in type(store).__mro__ if one.__name__ in _PROVIDERS), None
        )
        if provider is None:
            raise UsageError(f"pass a URL or a store of obstore, not {type(store).__name__}")
        if self._config:
            raise UsageError("settings belong into the store, and have no effect beside it")
        self.provider = provider
        self._url = f"{provider}://"
        if provider not in _CLOUDS:
            self._folders = store
            if provider == "file":
                prefix: Any = getattr(store, "prefix", None)
                self.root = str(Path(prefix or "/").absolute()).rstrip("/")
            return
        config: Any = getattr(store, "config", {})
        self.default_bucket = next(config[key] for key in _BUCKET_SETTINGS if key in config)
        self._url += self.default_bucket
        self._stores[self.default_bucket] = store
        self._given = True

    def locate(self, bucket: str, name: str = "", *, index: int | None = None) -> Place:
        """Return where an object is, or where a bucket's objects are if it has no name.

        Args:
            bucket: The bucket, which need not exist.
            name: The object, which need not exist.
            index: Of the entry concerned, if it is one of a batch.

        Raises:
            UsageError: for names that obstore cannot express, and for settings that it does not take.
        """
        if name and _INEXPRESSIBLE.search(name):
            raise UsageError(
                f"object name {name!r} cannot be asked for: a part between slashes is empty, '.' or '..', or "
                "it has a control character or invalid Unicode in it",
                index=index,
            )
        if self._folders is None:
            store = self._stores.get(bucket) or self._store_of(bucket, index)
            return Place(store, f"{self._prefix}{name}" if bucket == self.default_bucket else name)
        if not bucket or "/" in bucket or _INEXPRESSIBLE.search(bucket):
            raise UsageError(
                f"bucket name {bucket!r}: it is the name of one folder, without control characters",
                index=index,
            )
        if self.provider == "file" and _STAGED.search(name):
            raise UsageError(
                f"object name {name!r}: '#' and a number at its end mean a file that is being written",
                index=index,
            )
        return Place(self._folders, f"{self._prefix}{bucket}/{name}")

    def name_of(self, bucket: str, path: str) -> str:
        """Return the name of the object that is at a path of `locate(bucket).store`."""
        if self._folders is not None:
            return path[len(self._prefix) + len(bucket) + 1 :]
        return path[len(self._prefix) :] if bucket == self.default_bucket else path

    def folders(self) -> Place:
        """Return the folder whose folders are the buckets.

        Raises:
            UsageError: if buckets are no folders.
        """
        if self._folders is None:
            raise UsageError(
                f"{self!r}: obstore lists, makes and removes no buckets of a cloud; name the one you want"
            )
        return Place(self._folders, self._prefix)

    def _store_of(self, bucket: str, index: int | None) -> ObjectStore:
        """Make the store of a bucket that was not asked for before, or not lately."""
        if self._given:
            raise UsageError(
                f"bucket {bucket!r}: the store that was passed is {self.default_bucket!r}", index=index
            )
        if _CLOUD_BUCKET.fullmatch(bucket) is None:
            raise UsageError(
                f"bucket name {bucket!r}: {self.provider}:// has no bucket of that name", index=index
            )
        if len(self._stores) >= _MAX_STORES:
            del self._stores[next(iter(self._stores))]
        self._stores[bucket] = made = _make(self.provider, bucket, **self._config)
        return made


def _load(provider: str) -> Callable[..., ObjectStore]:
    """Return the class of a provider's stores.

    Raises:
        UsageError: if obstore is not installed.
    """
    try:
        from obstore import store as stores  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(f"{provider}:// needs obstore: pip install 'asyncbatch[stores]'") from error
    name = next(name for name, one in _PROVIDERS.items() if one == provider)
    made: Callable[..., ObjectStore] = getattr(stores, name)
    return made


def _make(provider: str, *where: str, **config: Any) -> ObjectStore:  # noqa: ANN401 - obstore's
    """Make a store.

    Raises:
        UsageError: if obstore is not installed, or does not take the settings.
    """
    make = _load(provider)
    from obstore.exceptions import BaseError  # noqa: PLC0415 - an extra

    try:
        return make(*where, **config)
    except (BaseError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]  # what follows is for those who debug obstore
        raise UsageError(f"{provider}://: {reason}") from error


def _parse_prefix(text: str, url: str) -> str:
    """Return the path in front of all names, with a slash at its end, or ``""``."""
    text = text.strip("/")
    if text and _INEXPRESSIBLE.search(text):
        raise UsageError(f"{url!r}: a part of the path is empty, '.' or '..', or has a control character")
    return f"{text}/" if text else ""


def _check_web(url: str) -> str:
    """Return an http or https URL that has nothing but a host and a path."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{shown_url(url)!r} is no URL") from error
    if parts.username is not None or parts.password is not None:
        # And not the URL, which has them.
        raise UsageError(
            f"{parts.scheme}://{host}{f':{port}' if port else ''}: pass user and password as a header, by "
            "client_options={'default_headers': {'authorization': …}}"
        )
    if not host or parts.query or parts.fragment:
        raise UsageError(f"{shown_url(url)!r}: a URL of objects has a host and a path, and no query")
    return url.rstrip("/")  # of which obstore would make two


def _allow_http(config: dict[str, Any], scheme: str) -> dict[str, Any]:
    """Return settings in which plain http is allowed, if that is what the user has written."""
    options = {"allow_http": scheme == "http"} | dict(config.get("client_options") or {})
    return config | {"client_options": options}
