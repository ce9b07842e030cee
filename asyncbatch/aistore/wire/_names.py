"""What AIStore forbids in names, checked before a URL is made of them: there, ``..`` leads elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_archpath", "check_bucket_name", "check_object_name", "check_object_names", "check_text"]

# What makes names suspicious that stand between slashes, all in one text: an empty part, a dot at the
# beginning of a part, and what is forbidden anywhere.
_SUSPICIOUS: Final = ("//", "/.", "\n", "\r", "\0")


def check_bucket_name(name: str, *, index: int | None = None) -> None:
    """Raise `UsageError` for a name that no bucket has.

    Args:
        name: The bucket.
        index: Of the entry concerned, if it is one of a batch.
    """
    check_text(name, index=index)
    if not name or "/" in name or name in {".", ".."}:
        raise UsageError(
            f"bucket name {name!r}: it is not empty, has no slash, and is neither '.' nor '..'", index=index
        )


def check_object_name(name: str, *, index: int | None = None) -> None:
    """Raise `UsageError` for a name that AIStore refuses.

    Args:
        name: The object.
        index: Of the entry concerned, if it is one of a batch.
    """
    check_text(name, index=index)
    # The proxy redirects with the bare name in a header, where line ends become spaces: another object.
    if "\n" in name or "\r" in name or "\0" in name:
        raise UsageError(f"object name {name!r}: AIStore mistakes names with line ends or NUL", index=index)
    parts = name.split("/")
    if not name or name.endswith("/") or name.startswith("~/") or "." in parts or ".." in parts:
        raise UsageError(
            f"AIStore forbids the object name {name!r}: it is empty, ends in '/', begins with '~/', "
            "or has '.' or '..' as a part",
            index=index,
        )


def check_object_names(names: Sequence[str]) -> None:
    """Raise `UsageError` for the first name that AIStore refuses, with its index.

    All are looked at as one text, which takes a tenth of the time; one by one only if that looks suspicious.
    """
    text = f"/{'/'.join(names)}/"
    has_tilde = "~" in text and "/~/" in text  # to look for one character takes a hundredth of the time
    if has_tilde or not text.isascii() or any(mark in text for mark in _SUSPICIOUS):
        for index, name in enumerate(names):
            check_object_name(name, index=index)


def check_archpath(path: str, *, index: int | None = None) -> None:
    """Raise `UsageError` for a path that AIStore refuses to look for in a shard.

    Args:
        path: Of the file in the shard. A slash at its beginning makes no difference.
        index: Of the entry concerned, if it is one of a batch.
    """
    check_text(path, index=index)
    parts = path.split("/")
    if not parts[-1] or path.startswith("~/") or "." in parts or ".." in parts or "\0" in path:
        raise UsageError(
            f"AIStore forbids the archpath {path!r}: it is empty, ends in '/', begins with '~/', "
            "or has NUL in it, or '.' or '..' as a part",
            index=index,
        )


def check_text(text: str, *, index: int | None = None) -> None:
    """Raise `UsageError` for text that UTF-8 cannot write: the surrogates of undecodable file names."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{text!r} cannot be sent: it is not valid Unicode", index=index) from error
