"""A client for a URL, chosen by the scheme alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .errors import UsageError

if TYPE_CHECKING:
    from . import aistore, objectstore, tigris

__all__ = ["connect"]

_AnyClient: TypeAlias = "aistore.Client | objectstore.Client | tigris.Client"

_SCHEMES: Final = ("ais", "http", "https", "t3", "s3", "gs", "az", "file", "memory")
_NO_NAME: Final = frozenset("@?#")


def connect(url: str, **options: Any) -> _AnyClient:  # noqa: ANN401 - of the client that it is
    """Make the client for a URL, to be used with ``async with``. No network is asked for it.

    ======================================== ==============================================================
    ``ais://bucket``                         `aistore.Client` of `$AIS_ENDPOINT`
    ``http://host``, ``https://host``        `aistore.Client` of that endpoint
    ``t3://bucket``                          `tigris.Client`
    ``s3://bucket/prefix``, ``gs://…``,      `objectstore.Client`
    ``az://…``, ``file:///path``,
    ``memory:///``
    ======================================== ==============================================================

    The bucket is the one that is meant where none is named; it may be left out.

    Args:
        url: As above.
        **options: Those of the client that it is, such as ``limits``, ``retry`` and ``max_resumes``, which
            all of them take.

    Raises:
        UsageError: if there is no such scheme, or the client does not take the URL or the options.
    """
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in _SCHEMES:
        known = ", ".join(f"{one}://" for one in _SCHEMES)
        raise UsageError(f"{_shown(url)!r}: its scheme is none of {known}")
    try:
        return _connect(url, scheme, rest, options)
    except TypeError as error:
        raise UsageError(f"{scheme}://: {error}") from error


def _connect(url: str, scheme: str, rest: str, options: dict[str, Any]) -> _AnyClient:
    if scheme in {"http", "https"}:
        from .aistore import Client  # noqa: PLC0415 - only what is used is imported

        return Client(url, **options)
    if scheme not in {"ais", "t3"}:
        from .objectstore import Client as StoreClient  # noqa: PLC0415

        return StoreClient(url, **options)
    bucket, slash, prefix = rest.partition("/")
    # No bucket's name has these: they stand around a user, a query and a namespace.
    if prefix or (slash and not bucket) or not _NO_NAME.isdisjoint(bucket):
        raise UsageError(f"{_shown(url)!r}: behind {scheme}:// there is the name of a bucket, and no more")
    if bucket:
        options = {"bucket": bucket} | options
    if scheme == "t3":
        from .tigris import Client as TigrisClient  # noqa: PLC0415

        return TigrisClient(**options)
    from .aistore import Client  # noqa: PLC0415

    return Client(**options)


def _shown(url: str) -> str:
    """Return a URL for an error, without what may be secret in it."""
    return url.rpartition("@")[2].partition("?")[0]
