"""Members paired with entries, by values alone: whatever comes, an item is right or there is an error."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from ..codecs._backends import crc32
from ..codecs._events import MemberData
from ..errors import BucketNotFoundError, FormatError, IncompleteBatchError, ObjectNotFoundError
from ._item import ItemMetadata
from ._resume import AstrayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..codecs._events import Buffer, MemberStart, WholeMember
    from ._asker import Asked
    from ._request import BatchRequest, Entry

__all__ = ["Pairing"]

_make_object: Final = object.__new__


class Pairing:
    """Pairs the members of one answer after the other with the entries of a request.

    Args:
        request: Whose entries.
        resumes: Whether an answer that goes astray is followed by another.

    Attributes:
        delivered: Items that came whole: the first entries.
        until: Index behind the last entry that the answer at hand is to bring.
        bytes: Data of what was delivered.
        missing: How many of it do not exist.
        first_at: When the first one came, by `time.perf_counter`.
        open_item: What is handed out in chunks.
        given: Bytes of it that were handed out.
    """

    def __init__(self, request: BatchRequest, *, resumes: bool = True) -> None:
        self._request = request
        whole = request.whole
        # What makes an item's entry, by index: the entry itself, or the name of a whole object in a bucket.
        self._wanted: Sequence[Entry | str] = request.entries if whole is None else whole.names
        self._where = None if whole is None else whole.where
        self._continue_on_err = request.continue_on_err
        self._resumes = resumes
        self._asked: Asked | None = None
        self._names: Sequence[str | None] = ()  # of the entries' members, by index; None for any name
        self._first = 0  # index of the first entry that the answer at hand is to bring
        self._sizes: Sequence[int] | None = None  # from there on, as far as the answer told them ahead
        self._has_parts = request.traits.has_parts
        self._is_plain = False  # whether only the names of members are to be checked
        self._is_sized = True  # whether its beginning told the size of the last item
        self._crc = 0  # of what was handed out of the open item
        self._size: int | None = None  # of the open item, if its beginning told it
        self.delivered = 0
        self.until = 0
        self.bytes = 0
        self.missing = 0
        self.first_at: float | None = None
        self.open_item: ItemMetadata | None = None
        self.given = 0

    def expect(self, asked: Asked) -> None:
        """Go on with another answer."""
        names: Sequence[str | None] = [None] if asked.alone else asked.answer.member_names
        self._names = [*self._names[: asked.first], *names] if asked.first else names
        self._first = asked.first
        self._sizes = asked.answer.sizes
        self._is_plain = self._sizes is None and not self._has_parts
        self._asked = asked
        self.until = asked.until

    def begin(self, member: MemberStart | WholeMember) -> ItemMetadata:
        """Pair a member with the entry that is due.

        Raises:
            RemoteError: if it stands for an error, and such are to raise.
            AstrayError: if it is not what was asked for.
            FormatError: if nothing was due any more.
        """
        index = self.delivered
        if index == self.until:
            raise FormatError(
                f"the archive goes on behind the {index} members that were asked for",
                codec="batch",
                offset=member.offset,
                member=member.name,
            )
        size = member.size
        self._is_sized = size is not None
        entry, name = self._request.entry(index), member.name
        metadata = ItemMetadata(index, entry, size=size or 0, member_name=name)
        if name != self._names[index]:
            self._explain_other_name(metadata, self._names[index])
        elif not size and member.kind != "file":
            raise AstrayError(f"entry {index}: a {member.kind} came for object {entry.name!r}")
        elif size is not None and (entry.length is not None or self._sizes is not None):
            self._check_length(metadata)
        return metadata

    def take(self, member: WholeMember) -> ItemMetadata:
        """Pair a member that is whole with the entry that is due, and count it as delivered.

        Raises as `begin` does.
        """
        # The hot path: what passes all the checks of `begin`, and has nothing to be told of.
        index, size, name = self.delivered, member.size, member.name
        if self._is_plain and 0 < index < self.until and size and name == self._names[index]:
            metadata = _make_object(ItemMetadata)  # as ItemMetadata(…), in half of the time
            metadata.index = index
            metadata._entry = self._wanted[index]  # noqa: SLF001 - which makes the entry when it is asked for
            metadata._where = self._where  # noqa: SLF001
            metadata.size = size
            metadata.missing = False
            metadata.error = None
            metadata.member_name = name
            self.delivered = index + 1
            self.bytes += size
        else:
            metadata = self.begin(member)
            self._count(metadata)
        return metadata

    def _check_length(self, metadata: ItemMetadata) -> None:
        index, size = metadata.index, metadata.size
        length = self._request.entry(index).length
        if metadata.error is not None and size:
            raise AstrayError(f"entry {index}: its item stands for an error, and has {size} bytes")
        if metadata.error is None and length is not None and size != length:
            raise AstrayError(
                f"entry {index}: a range of {length} bytes was asked for, and {size} bytes came"
            )
        if self._sizes is not None and size != self._sizes[index - self._first]:
            told = self._sizes[index - self._first]
            raise AstrayError(f"entry {index}: {told} bytes were announced, and {size} bytes came")

    def _explain_other_name(self, metadata: ItemMetadata, expected: str | None) -> None:
        """Mark the item of a member that stands for an error; raise what it means unless that is wanted."""
        assert self._asked is not None  # noqa: S101 - for the type checker: a member came out of it
        index, name = metadata.index, metadata.member_name or ""
        fault = self._asked.answer.fault(index - self._first, name)
        if self._asked.alone:
            metadata.member_name = None
            if fault is None:
                if self._is_sized:
                    self._check_length(metadata)
                return
        elif fault is not None and fault.retryable and self._resumes:
            raise AstrayError(fault.message)  # not the object's own fault
        if fault is None or metadata.size:
            raise AstrayError(f"entry {index}: member {expected!r} was due, and {name!r} came")
        if not self._continue_on_err:
            if self._resumes and not self._asked.alone:
                raise AstrayError(fault.message, alone=True)  # of a passing failure AIStore says the same
            raise fault
        metadata.missing = isinstance(fault, ObjectNotFoundError | BucketNotFoundError)
        metadata.error = fault.message

    def end(self, item: ItemMetadata) -> None:
        """Count an item as delivered.

        Raises:
            AstrayError: if its end tells that it is not what was asked for.
        """
        if not self._is_sized:
            self._check_length(item)
        self._count(item)

    def _count(self, item: ItemMetadata) -> None:
        if not self.delivered:
            self.first_at = time.perf_counter()
        self.delivered += 1
        self.bytes += item.size
        self.missing += item.missing

    # -- items in chunks ----------------------------------------------------------------------------------

    def open(self, member: MemberStart) -> ItemMetadata:
        """Begin an item whose data is handed out in chunks. Raises as `begin` does."""
        self.open_item = metadata = self.begin(member)
        self.given = self._crc = 0
        self._size = member.size
        return metadata

    def is_open_range(self, member: MemberStart) -> bool:
        """Whether a range is due, and only its end will tell whether it came, or the whole object."""
        if member.size is not None or self._asked is None or self._asked.alone:
            return False  # by itself, a range is told from the whole
        return self.delivered < self.until and self._request.entry(self.delivered).length is not None

    def count(self, data: Buffer) -> None:
        """Take down what was handed out of the open item, if there is one."""
        if self.open_item is not None:
            self.given += len(data)
            self._crc = crc32(data, self._crc)
            if not self._is_sized:  # as in a zip, only its end tells
                self.open_item.size = self.given

    def close(self, size: int) -> None:
        """End the open item, if there is one, all of whose data was handed out.

        Args:
            size: Bytes of that.

        Raises:
            AstrayError: as `end` does.
            IncompleteBatchError: if that is not what its beginning told.
        """
        item = self.open_item
        if item is not None:
            if not self._is_sized:
                item.size = size
            elif size != item.size:
                raise self.changed(item)
            self.leave()

    def skip(self, event: object) -> None:
        """Take down the data, or the end, of the open item that nobody asks for."""
        if not isinstance(event, MemberData):
            self.leave()
        elif self.open_item is not None and not self._is_sized:
            self.open_item.size += len(event.data)

    def leave(self, *, ended: bool = True) -> None:
        """End the open item, if there is one, however much of it was handed out.

        Args:
            ended: Whether its end came. If not, it counts as delivered all the same: nobody wants the rest.

        Raises:
            AstrayError: as `end` does.
        """
        if self.open_item is not None:
            (self.end if ended else self._count)(self.open_item)
            self.open_item = None
            self.given = 0

    def reopen(self, item: ItemMetadata, member: MemberStart | WholeMember) -> None:
        """Begin the open item again, whose answer broke off.

        Raises:
            IncompleteBatchError: if it is another one now.
            RemoteError, AstrayError, FormatError: as `begin` does.
        """
        found = self.begin(member)
        if found.error is not None or (self._size is not None and member.size not in {None, self._size}):
            raise self.changed(item)
        self._is_sized = self._size is not None

    def is_same(self, crc: int) -> bool:
        """Whether the CRC-32 is that of what was handed out of the open item."""
        return crc == self._crc

    # -- what is wrong ------------------------------------------------------------------------------------

    def changed(self, item: ItemMetadata) -> IncompleteBatchError:
        """Make the error for an item that was handed out in part, and is another one now."""
        return self.incomplete(
            f"entry {item.index}: object {item.name!r} was changed or removed while it was read, "
            f"{self.given} bytes of which were handed out"
        )

    def incomplete(self, reason: str) -> IncompleteBatchError:
        """Make the error for a batch that cannot go on."""
        return IncompleteBatchError(
            reason, delivered=self.delivered, missing=self._request.entries[self.delivered :]
        )
