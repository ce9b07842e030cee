"""Names of buckets and objects, checked before anything is made of them, and as they stand in paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from ...errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_bucket_name", "check_key", "check_keys", "object_path"]

_MAX_KEY: Final = 1024  # bytes of UTF-8 (Amazon S3 User Guide, "Naming Amazon S3 objects")


def check_bucket_name(name: str, *, index: int | None = None) -> None:
    """Raise `UsageError` for a name that no bucket has.

    Args:
        name: The bucket.
        index: Of the entry concerned, if it is one of a batch.
    """
    _check_text(name, index)
    if not name or "/" in name or name in {".", ".."}:
        raise UsageError(
            f"bucket name {name!r}: it is not empty, has no slash, and is neither '.' nor '..'", index=index
        )


def check_key(key: str, *, index: int | None = None) -> None:
    """Raise `UsageError` for a name that no object has.

    Args:
        key: The object.
        index: Of the entry concerned, if it is one of a batch.
    """
    size = len(_check_text(key, index))
    if not 0 < size <= _MAX_KEY:
        raise UsageError(
            f"object {key[:_MAX_KEY]!r}: a key has 1 to {_MAX_KEY} bytes, not {size}", index=index
        )


def check_keys(keys: Sequence[str]) -> None:
    """Raise `UsageError` for the first name that no object has, with its index."""
    # What no look at each of them could find fault with. Four bytes are the most that a character has.
    if not keys or (max(map(len, keys)) * 4 <= _MAX_KEY and all(keys) and "".join(keys).isascii()):
        return
    for index, key in enumerate(keys):
        check_key(key, index=index)


def _check_text(text: str, index: int | None) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{text!r} cannot be sent: it is not valid Unicode", index=index) from error


def object_path(bucket: str, key: str | None = None) -> str:
    """Return the path of an object, or of a bucket, whose slashes stay slashes.

    Raises:
        UsageError: for a name that none has.
    """
    check_bucket_name(bucket)
    path = f"/{quote(bucket, safe='')}"
    if key is None:
        return path
    check_key(key)
    quoted = quote(key)
    if "." in key:
        # In a path, `..` leads elsewhere; in a key it is two dots (RFC 3986, section 5.2.4).
        parts = quoted.split("/")
        quoted = "/".join([part.replace(".", "%2E") if part in {".", ".."} else part for part in parts])
    return f"{path}/{quoted}"
