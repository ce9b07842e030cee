"""What a batch delivers: items, each with what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from ._request import Entry

__all__ = ["BatchItem", "BatchStats", "ItemMetadata"]

_METADATA: Final = ("index", "entry", "size", "missing", "error", "member_name")


class ItemMetadata:
    """What is known of one item of a batch.

    Attributes:
        index: Position of its entry in the request.
        size: Bytes of data.
        missing: Whether the object, or the file inside it, does not exist.
        error: Why there is no data, or None if there is.
        member_name: The name under which the item came, or None if it came under none.

    Args:
        entry: What was asked for.
    """

    __slots__ = ("_entry", "_where", "error", "index", "member_name", "missing", "size")

    def __init__(
        self,
        index: int,
        entry: Entry,
        *,
        size: int = 0,
        missing: bool = False,
        error: str | None = None,
        member_name: str | None = None,
    ) -> None:
        self.index = index
        self.size = size
        self.missing = missing
        self.error = error
        self.member_name = member_name
        # Of a whole object the name alone, and its bucket, until somebody asks for the entry.
        self._entry: Entry | str = entry
        self._where: tuple[str, str, str | None] | None = None

    def __repr__(self) -> str:
        values = {name: getattr(self, name) for name in _METADATA}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in values.items())})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _METADATA)

    __hash__ = None  # type: ignore[assignment] # it can change

    @property
    def entry(self) -> Entry:
        """What was asked for."""
        entry = self._entry
        if isinstance(entry, str):
            assert self._where is not None  # noqa: S101 - for the type checker
            self._entry = entry = Entry(entry, *self._where)
        return entry

    @property
    def name(self) -> str:
        """The object."""
        return self._entry if isinstance(self._entry, str) else self._entry.name

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
