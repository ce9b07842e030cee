"""What a batch delivers: items, each with what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ._request import Entry

__all__ = ["BatchItem", "BatchStats", "ItemMetadata"]


@dataclass(slots=True)
class ItemMetadata:
    """What is known of one item of a batch.

    Attributes:
        index: Position of its entry in the request.
        entry: What was asked for.
        size: Bytes of data.
        missing: Whether the object, or the file inside it, does not exist.
        error: Why there is no data, or None if there is.
        member_name: The name under which the item came, or None if it came under none.
    """

    index: int
    entry: Entry
    size: int = 0
    missing: bool = False
    error: str | None = None
    member_name: str | None = None

    @property
    def name(self) -> str:
        """The object."""
        return self.entry.name

    @property
    def bucket(self) -> str:
        """The object's bucket."""
        return self.entry.bucket

    @property
    def provider(self) -> str:
        """Where the bucket lives, such as ``"ais"``."""
        return self.entry.provider

    @property
    def archpath(self) -> str | None:
        """The file inside the object, if the entry asked for one."""
        return self.entry.archpath

    @property
    def opaque(self) -> bytes | None:
        """What the caller gave with the entry."""
        return self.entry.opaque


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
