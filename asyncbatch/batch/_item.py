"""What a batch delivers: items, each with what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["BatchItem", "BatchStats", "ItemMetadata"]


@dataclass(slots=True)
class ItemMetadata:
    """What is known of one item of a batch.

    Attributes:
        index: Position of its entry in the request.
        name: The object.
        bucket: The object's bucket.
        provider: Where the bucket lives, such as ``"ais"``.
        archpath: The file inside the object, if the entry asked for one.
        size: Bytes of data.
        opaque: What the caller gave with the entry.
        missing: Whether the object, or the file inside it, does not exist.
        error: Why there is no data, or None if there is.
        member_name: The name under which the item came, or None if it came under none.
    """

    index: int
    name: str
    bucket: str
    provider: str
    archpath: str | None
    size: int
    opaque: bytes | None
    missing: bool
    error: str | None
    member_name: str | None


class BatchItem(NamedTuple):
    """An item held whole.

    Attributes:
        metadata: What is known of it.
        data: Its bytes; ``b""`` if it has an error.
    """

    metadata: ItemMetadata
    data: bytes


@dataclass(slots=True, frozen=True)
class BatchStats:
    """Figures of a batch, as of the moment they were asked for.

    Attributes:
        items: Items delivered, those with an error included.
        bytes: Their data.
        missing: Those that do not exist.
        resumes: How often the batch was asked for again.
        requests: Requests sent for it, redirects not counted.
        seconds_to_first_item: From the request to the first item, or None before it.
        seconds: From the request to the end, or to now.
    """

    items: int
    bytes: int
    missing: int
    resumes: int
    requests: int
    seconds_to_first_item: float | None
    seconds: float
