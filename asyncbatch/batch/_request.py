"""What a batch asks for: entries, and how they are to be answered."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self, TypedDict

from ..codecs._formats import parse_format
from ..errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["BatchOptions", "BatchRequest", "BucketRef", "Entry", "ObjectRef", "make_request"]


class BucketRef(Protocol):
    """Where an object lives. Every client's bucket is one."""

    @property
    def name(self) -> str:
        """The bucket's name."""
        ...

    @property
    def provider(self) -> str:
        """What the bucket is in, such as ``"ais"`` or ``"s3"``."""
        ...

    @property
    def namespace(self) -> str | None:
        """The bucket's namespace, if its provider has them."""
        ...


class ObjectRef(Protocol):
    """An object in a bucket. Every client's object is one."""

    @property
    def name(self) -> str:
        """The object's name."""
        ...

    @property
    def bucket(self) -> BucketRef:
        """The bucket it lives in."""
        ...


class Entry(NamedTuple):
    """One thing asked for: an object, a file inside a shard, or a range of either.

    A tuple, since there are many: it is made in a third of the time of a frozen dataclass.

    Attributes:
        name: The object.
        bucket: Its bucket.
        provider: Where the bucket lives.
        namespace: The bucket's namespace, or None.
        archpath: A file inside the object, which then is an archive; None for the object itself.
        start: First byte wanted.
        length: Bytes wanted; None for all from `start`.
        opaque: The caller's own bytes, handed back with the item.
    """

    name: str
    bucket: str
    provider: str
    namespace: str | None = None
    archpath: str | None = None
    start: int = 0
    length: int | None = None
    opaque: bytes | None = None


class Traits(NamedTuple):
    """What the entries of a request have in common, so that not everybody has to look at each of them.

    Attributes:
        buckets: Name, provider and namespace of every bucket, with the index of its first entry.
        has_parts: Whether any entry asks for less than an object: a range, or a file in it.
        has_opaque: Whether any brings bytes of its own.
    """

    buckets: Mapping[tuple[str, str, str | None], int]
    has_parts: bool
    has_opaque: bool


class WholeObjects(NamedTuple):
    """Entries that are whole objects of one bucket, as most are: all that tells them apart is their names.

    Attributes:
        names: Of the objects.
        where: Name, provider and namespace of the bucket.
    """

    names: tuple[str, ...]
    where: tuple[str, str, str | None]

    def entry(self, index: int) -> Entry:
        """Make one of the entries."""
        return Entry(self.names[index], *self.where)

    def entries(self) -> list[Entry]:
        """Make all of them."""
        behind = [repeat(value) for value in (*self.where, None, 0, None, None)]
        # Not Entry(…), which takes keywords and defaults apart each time.
        return list(map(tuple.__new__, repeat(Entry), zip(self.names, *behind, strict=False)))


_NAMELESS: Final = "the object's name is empty"


class BatchOptions(TypedDict, total=False):
    """The keyword options of `BatchRequest`, for calls that pass them on."""

    output_format: str
    continue_on_err: bool
    only_obj_name: bool
    streaming: bool
    colocation: int


class BatchRequest:
    """A list of entries to be fetched in one batch, in order; entries may repeat.

    A batch takes a copy when it starts, so that a request can be changed and used again.

    Args:
        output_format: The archive that carries the items: ``".tar"``, ``".tar.gz"`` or ``".tgz"``,
            ``".tar.lz4"``, ``".zip"``. Its choice is one of speed only.
        continue_on_err: Whether an entry that cannot be delivered becomes an item with an error. If not, the
            first one raises.
        only_obj_name: Whether members of the archive are named without the bucket.
        streaming: Whether the server sends each item as it has it, instead of assembling the batch first.
        colocation: AIStore's hint that the objects live together: 0 none, 1 or 2 the same target.

    Raises:
        UsageError: if the format or the colocation is not known.
    """

    def __init__(
        self,
        *,
        output_format: str = ".tar",
        continue_on_err: bool = False,
        only_obj_name: bool = False,
        streaming: bool = True,
        colocation: int = 0,
    ) -> None:
        self.output_format = parse_format(output_format).name
        if colocation not in {0, 1, 2}:
            raise UsageError(f"colocation={colocation!r}: it is 0, 1 or 2")
        self.continue_on_err = continue_on_err
        self.only_obj_name = only_obj_name
        self.streaming = streaming
        self.colocation = colocation
        self._whole: WholeObjects | None = None  # if that is all
        self._entries: list[Entry] | None = []  # None, if that is all, until they are asked for
        self._traits: Traits | None = None  # until they are asked for

    def add_object_request(
        self,
        obj: ObjectRef,
        *,
        archpath: str | None = None,
        opaque: bytes | None = None,
        start: int = 0,
        length: int | None = None,
    ) -> None:
        """Add an entry.

        Args:
            obj: The object, such as ``bucket.object("name")``.
            archpath: A file inside the object, which then is an archive.
            opaque: Bytes of your own, handed back in the item's metadata.
            start: First byte wanted; with `archpath`, of the file inside.
            length: Bytes wanted; None for all from `start`.

        Raises:
            UsageError: if the entry could never be answered.
        """
        entry = Entry(
            name=obj.name,
            bucket=obj.bucket.name,
            provider=obj.bucket.provider,
            namespace=obj.bucket.namespace,
            archpath=archpath,
            start=start,
            length=length,
            opaque=opaque,
        )
        _check_entry(entry, len(self))
        self._add([entry])

    def _add_names(self, names: Sequence[str], bucket: BucketRef) -> None:
        """Add whole objects of one bucket, as `add_object_request` would one by one in far more time.

        Args:
            names: Of the objects, one at least.
            bucket: Where they are.
        """
        if not all(names):
            raise UsageError(_NAMELESS, index=len(self) + names.index(""))
        whole = WholeObjects(tuple(names), (bucket.name, bucket.provider, bucket.namespace))
        if len(self):
            self._add(whole.entries())
        else:
            self._whole, self._entries = whole, None
            self._traits = Traits({whole.where: 0}, has_parts=False, has_opaque=False)

    def _add(self, entries: Sequence[Entry]) -> None:
        self._made().extend(entries)
        self._whole = self._traits = None

    def _made(self) -> list[Entry]:
        if self._entries is None:
            assert self._whole is not None  # noqa: S101 - for the type checker
            self._entries = self._whole.entries()
        return self._entries

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What was added so far, in order."""
        return tuple(self._made())

    @property
    def whole(self) -> WholeObjects | None:
        """The entries, if they are whole objects of one bucket, and were added by their names alone."""
        return self._whole

    @property
    def names(self) -> tuple[str, ...]:
        """The entries' objects, in order."""
        return tuple([entry.name for entry in self._made()]) if self._whole is None else self._whole.names

    def entry(self, index: int) -> Entry:
        """Return one entry, without making all of them."""
        return self._made()[index] if self._whole is None else self._whole.entry(index)

    @property
    def traits(self) -> Traits:
        """What the entries have in common."""
        if self._traits is None:
            self._traits = _survey(self._made())
        return self._traits

    def __len__(self) -> int:
        return len(self._made() if self._whole is None else self._whole.names)

    def __repr__(self) -> str:
        return (
            f"<BatchRequest of {len(self)} entries, output_format={self.output_format!r}, "
            f"continue_on_err={self.continue_on_err}, streaming={self.streaming}>"
        )

    def copy(self) -> Self:
        """Return a request of the same options and entries that changes on its own."""
        entries = None if self._entries is None else [*self._entries]
        return self._with(entries, self._whole, self._traits)

    def with_entries(self, entries: Iterable[Entry]) -> Self:
        """Return a request of the same options for other entries."""
        return self._with(list(entries), None, None)

    def part(self, first: int, until: int) -> Self:
        """Return a request of the same options for the entries from `first` on, up to and without `until`."""
        whole = self._whole
        if whole is None:
            return self._with(self._made()[first:until], None, None)
        return self._with(None, whole._replace(names=whole.names[first:until]), self._traits)

    def _with(self, entries: list[Entry] | None, whole: WholeObjects | None, traits: Traits | None) -> Self:
        # Not type(self)(…), which checks the options again: a batch of single requests does this for each.
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, _entries=entries, _whole=whole, _traits=traits)
        return other


def _survey(entries: Sequence[Entry]) -> Traits:
    buckets: dict[tuple[str, str, str | None], int] = {}
    has_parts = has_opaque = False
    for index, (_, bucket, provider, namespace, archpath, start, length, opaque) in enumerate(entries):
        buckets.setdefault((bucket, provider, namespace), index)
        has_parts = has_parts or archpath is not None or start != 0 or length is not None
        has_opaque = has_opaque or bool(opaque)
    return Traits(buckets, has_parts, has_opaque)


def _check_entry(entry: Entry, index: int) -> None:
    if not entry.name:
        raise UsageError(_NAMELESS, index=index)
    if entry.archpath is not None and not entry.archpath:
        raise UsageError(f"object {entry.name!r}: archpath is empty; leave it out", index=index)
    if entry.start < 0:
        raise UsageError(f"object {entry.name!r}: start={entry.start} is negative", index=index)
    if entry.length is not None and entry.length <= 0:
        raise UsageError(
            f"object {entry.name!r}: length={entry.length}; it is positive, or None for all from start",
            index=index,
        )


def make_request(
    wanted: BatchRequest | Iterable[str | ObjectRef],
    bucket: BucketRef | None,
    options: BatchOptions,
) -> BatchRequest:
    """Make a request of what a client's `get_batch` takes: a request, or names and objects.

    Args:
        wanted: A request, which then has its options already; or names of objects in `bucket`; or objects.
        bucket: Where the names are.
        options: For the request to be made.

    Raises:
        UsageError: for names without a bucket, for what is neither a name nor an object, and for options that
            would have no effect.
    """
    if isinstance(wanted, BatchRequest):
        if options or bucket is not None:
            raise UsageError("bucket and options belong into the BatchRequest, and have no effect beside it")
        return wanted
    if isinstance(wanted, str):
        raise UsageError(f"pass a list of names, not one name; ask for [{wanted!r}]")
    request = BatchRequest(**options)
    wanted = list(wanted)
    if bucket is not None and set(map(type, wanted)) == {str}:
        request._add_names(wanted, bucket)  # type: ignore[arg-type]  # noqa: SLF001 - they are all names
        return request
    for index, one in enumerate(wanted):
        if isinstance(one, str):
            if bucket is None:
                raise UsageError(f"object {one!r} is a name: say in which bucket=", index=index)
            request._add_names([one], bucket)  # noqa: SLF001 - it is ours
        elif hasattr(one, "name") and hasattr(one, "bucket"):
            request.add_object_request(one)
        else:
            raise UsageError(f"pass names and objects, not {type(one).__name__}", index=index)
    return request
