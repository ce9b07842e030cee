"""The metadata of a multipart answer: what is known of each item before the first byte of the archive."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...errors import FormatError, TruncatedArchiveError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...batch import Entry

__all__ = ["BatchMetadata", "parse_metadata"]

# What reading JSON of another shape runs into: also nesting without end.
_MISFITS: Final = (ValueError, LookupError, TypeError, RecursionError)
_MAX_SIZE: Final = (1 << 63) - 1
_SHOWN: Final = 100  # characters of what is wrong


class BatchMetadata(NamedTuple):
    """What metadata tells of the items of a batch.

    Attributes:
        sizes: Bytes of each; 0 for those with an error.
        errors: The server's words for those that it does not have, by their positions.
    """

    sizes: list[int]
    errors: dict[int, str]


def parse_metadata(body: bytes, entries: Sequence[Entry]) -> BatchMetadata:
    """Read the metadata of the answer to a batch of these entries.

    Entries and what is told of them are paired by position: names differ, where another target answered.

    Raises:
        TruncatedArchiveError: if the answer is not whole: entries are missing, as where the job was aborted,
            or a range has another size, as where the object comes from a neighbour.
        FormatError: if it is no such metadata, or not about these entries.
    """
    try:
        out = json.loads(body)["out"] or []  # Go writes an empty list as null
    except _MISFITS as error:
        raise _malformed(f"the metadata is malformed ({error!r})") from error
    if not isinstance(out, list):
        raise _malformed(f"the metadata has no list of entries, but {_shown(out)}")
    if len(out) < len(entries):
        raise _broken(f"the metadata ends behind {len(out)} of {len(entries)} entries")
    if len(out) > len(entries):
        raise _malformed(f"the metadata tells of {len(out)} entries, and {len(entries)} were asked for")
    sizes: list[int] = []
    errors: dict[int, str] = {}
    for index, (entry, facts) in enumerate(zip(entries, out, strict=True)):
        if not isinstance(facts, dict):
            raise _malformed(f"entry {index}: the metadata is no JSON object, but {_shown(facts)}")
        if (facts.get("opaque") or "") != _encoded(entry.opaque):
            raise _malformed(f"entry {index}: the opaque that came back is not the one that was sent")
        size = _size_of(facts, index)
        message = facts.get("err_msg")
        if message:
            errors[index] = message if isinstance(message, str) else _shown(message)
            size = 0
        elif entry.length is not None and size != entry.length:
            raise _broken(
                f"entry {index}: a range of {entry.length} bytes of object {entry.name!r} was asked for, "
                f"and {size} bytes come"
            )
        sizes.append(size)
    return BatchMetadata(sizes, errors)


def _size_of(facts: dict[str, Any], index: int) -> int:
    size = facts.get("size")
    if type(size) is int and 0 <= size <= _MAX_SIZE:  # a bool is an int, but not here
        return size
    raise _malformed(f"entry {index}: the metadata has no size for it, but {_shown(size)}")


def _encoded(opaque: bytes | None) -> str:
    return b64encode(opaque).decode("ascii") if opaque else ""


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _malformed(reason: str) -> FormatError:
    return FormatError(reason, codec="aistore", offset=0)


def _broken(reason: str) -> TruncatedArchiveError:
    return TruncatedArchiveError(reason, codec="aistore", offset=0)
