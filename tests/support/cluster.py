"""A source of batches that has objects and goes wrong as it is told: AIStore's manners without a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncbatch.batch import ArchiveAnswer, BatchRefusedError, EntryAnswer, Server
from asyncbatch.codecs._formats import parse_format
from asyncbatch.errors import ObjectNotFoundError, RemoteError, TransportError

from .batches import FakeBody, split, tar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncbatch.batch import BatchRequest, Entry
    from asyncbatch.codecs._formats import ArchiveFormat

__all__ = ["Cluster", "Fault", "cut", "lost", "members", "no_answer", "short"]

Members: TypeAlias = list[tuple[str, bytes]]
Fault: TypeAlias = "Callable[[Members], list[Any]]"
"""Makes of the members of an answer what a body does (see `FakeBody`)."""


def lost() -> TransportError:
    return TransportError("connection lost", retryable=True)


def cut(at: int, *, clean: bool = False, size: int = 1 << 20) -> Fault:
    """End the archive behind `at` bytes: by an error, or as if that were all."""
    return lambda found: [*split(tar(found)[:at], size), *([] if clean else [lost()])]


def short(count: int) -> Fault:
    """Answer with a whole archive of fewer members."""
    return lambda found: [tar(found[:count])]


def members(
    change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]],
) -> Fault:
    """Answer with other members."""
    return lambda found: [tar(change(found))]


def no_answer(error: Exception) -> Fault:
    def fail(_: object) -> list[Any]:
        raise error

    return fail


@dataclass
class Answer(ArchiveAnswer):
    chunks: FakeBody
    archive_format: ArchiveFormat
    entries: Sequence[Entry]
    member_names: list[str]

    def fault(self, position: int, member_name: str) -> RemoteError | None:
        name = self.entries[position].name
        if member_name == f"failed/{name}":
            return RemoteError(status=500, message=f"{name}: a disk failed", retryable=True)
        if member_name != f"gone/{name}":
            return None
        return ObjectNotFoundError(status=404, message=f"{name} does not exist", name=name, bucket="b")


@dataclass
class Cluster:
    """Answers from `objects`; what is not in them is missing.

    A strict batch ends in front of a missing entry, cleanly, and any behind the eighth. One that does not
    stream is refused instead. A range that goes beyond its object ends the batch as well.

    Attributes:
        objects: By name.
        faults: What the next answers do; None for nothing wrong. Then they are right.
        alone: Likewise for entries that are asked for by themselves: an error to be raised, or None.
        max_missing: How many may be missing in one answer.
        asked: How many entries each request asked for.
        bodies: Of the answers.
    """

    objects: dict[str, bytes]
    faults: Iterable[Any] = ()
    alone: Iterable[Exception | None] = ()
    max_missing: int = 8
    chunk: int = 1 << 20
    form: str = ".tar"
    asked: list[int] = field(default_factory=list)
    asked_alone: list[str] = field(default_factory=list)
    bodies: list[FakeBody] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._faults = iter(self.faults)
        self._alone = iter(self.alone)

    @property
    def server(self) -> Server:
        return Server("fake")

    def check_batch(self, request: BatchRequest) -> None:
        pass

    def reach(self, request: BatchRequest, first: int) -> int:
        return len(request)

    async def open_batch(self, request: BatchRequest) -> Answer:
        self.asked.append(len(request))
        found = self._find(request)
        fault = next(self._faults, None)
        steps = fault(found) if fault is not None else split(tar(found), self.chunk)
        return self._answer(
            request, steps, parse_format(self.form), [entry.name for entry in request.entries]
        )

    async def open_entry(self, request: BatchRequest) -> EntryAnswer:
        (entry,) = request.entries
        self.asked_alone.append(entry.name)
        error = next(self._alone, None)
        if error is not None:
            raise error
        if entry.name not in self.objects:
            raise ObjectNotFoundError(status=404, message=f"no {entry.name}", name=entry.name, bucket="b")
        data = self._cut(entry)
        if data is None:
            raise RemoteError(status=416, message="range not satisfiable")
        return EntryAnswer(self._body(split(data, self.chunk)), None)

    def _answer(
        self, request: BatchRequest, steps: Iterable[Any], form: ArchiveFormat, names: list[str]
    ) -> Answer:
        return Answer(self._body(steps), form, request.entries, names)

    def _body(self, steps: Iterable[Any]) -> FakeBody:
        body = FakeBody(steps)
        self.bodies.append(body)
        return body

    def _find(self, request: BatchRequest) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        missing = 0
        for entry in request.entries:
            data = self._cut(entry)
            absent = entry.name not in self.objects
            missing += absent
            if missing > (self.max_missing if request.continue_on_err else 0) or (
                data is None and not absent
            ):
                if not request.streaming and absent and len(request) == 1:
                    raise ObjectNotFoundError(status=404, message="none", name=entry.name, bucket="b")
                if not request.streaming:
                    raise BatchRefusedError(status=400, message="exceeded soft-errors limit")
                break
            found.append((f"gone/{entry.name}", b"") if data is None else (entry.name, data))
        return found

    def _cut(self, entry: Entry) -> bytes | None:
        data = self.objects.get(entry.name)
        if data is None or entry.start + (entry.length or 0) > len(data):
            return None
        return data[entry.start :] if entry.length is None else data[entry.start : entry.start + entry.length]
