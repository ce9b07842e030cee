"""A source whose objects are made when they are asked for, and a loop whose clock goes by itself."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, Final

from asyncbatch.archive._sources import iterate_source
from asyncbatch.batch import ArchiveAnswer, BatchRequest, EntryAnswer, Server
from asyncbatch.codecs import TarEncoder
from asyncbatch.codecs._formats import parse_format
from asyncbatch.errors import ObjectNotFoundError

from ..support.batches import FakeObject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from asyncbatch.errors import RemoteError

__all__ = ["Shelf", "ShelfAnswer", "data_of", "request_of", "run"]

_MISSING: Final = "gone/"


def data_of(name: str) -> bytes:
    """Return what the object of a name ``LABEL-SIZE`` has in it."""
    size = int(name.rpartition("-")[2])
    return (name.encode() * (size // len(name) + 1))[:size]


def request_of(*names: str, **options: Any) -> BatchRequest:  # noqa: ANN401 - of BatchRequest
    request = BatchRequest(**options)
    for name in names:
        request.add_object_request(FakeObject(name))
    return request


class Shelf:
    """A source of objects called ``LABEL-SIZE``; those called ``gone…`` are missing.

    Args:
        chunk: Bytes of each chunk.
        latency: Seconds to the first byte.
        pace: Seconds between chunks.
        failing: Asked about each request; what it returns is raised.
        breaking: Asked about each request: bytes after which its answer breaks off, or None.
        denied: Errors of objects.

    Attributes:
        requests: The names asked for by each batch.
        alone: Those asked for by themselves.
        open: Answers that are under way.
        most_open: The most that ever were.
    """

    def __init__(
        self,
        *,
        chunk: int = 4096,
        latency: float = 0.0,
        pace: float = 0.0,
        failing: Callable[[list[str]], Exception | None] = lambda _: None,
        breaking: Callable[[list[str]], int | None] = lambda _: None,
        denied: Mapping[str, RemoteError] | None = None,
    ) -> None:
        self._denied = denied or {}
        self.forgiving = False  # whether what is denied in a batch can be had by itself
        self._chunk = chunk
        self._latency = latency
        self._pace = pace
        self._failing = failing
        self._breaking = breaking
        self.requests: list[list[str]] = []
        self.alone: list[str] = []
        self.open = 0
        self.most_open = 0

    @property
    def server(self) -> Server:
        return Server("shelf")

    def check_batch(self, request: BatchRequest) -> None:
        pass

    def reach(self, request: BatchRequest, first: int) -> int:
        return len(request)

    async def open_batch(self, request: BatchRequest) -> ShelfAnswer:
        names = [entry.name for entry in request.entries]
        self.requests.append(names)
        await asyncio.sleep(self._latency)
        error = self._failing(names)
        if error is not None:
            raise error
        denied = {} if self.forgiving and len(names) == 1 and not request.continue_on_err else self._denied
        return ShelfAnswer(names, self._read([*names], denied), denied)

    async def open_entry(self, request: BatchRequest) -> EntryAnswer:
        (entry,) = request.entries
        self.alone.append(entry.name)
        await asyncio.sleep(self._latency)
        error = self._failing([entry.name])
        if error is not None:
            raise error
        if entry.name in self._denied and not self.forgiving:
            raise self._denied[entry.name]
        if entry.name.startswith("gone"):
            raise _not_found(entry.name)
        data = data_of(entry.name)
        return EntryAnswer(iterate_source(data), len(data))

    async def _read(self, names: list[str], denied: Mapping[str, RemoteError]) -> AsyncIterator[bytes]:
        left = self._breaking(names)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            for chunk in _chunks(names, self._chunk, denied):
                if left is not None:
                    if left < len(chunk):
                        return
                    left -= len(chunk)
                await asyncio.sleep(self._pace)
                yield chunk
        finally:
            self.open -= 1


def _chunks(names: list[str], size: int, denied: Mapping[str, RemoteError]) -> Iterator[bytes]:
    encoder = TarEncoder()
    kept = bytearray()
    for name in names:
        kept += (
            encoder.encode(_MISSING + name, b"")
            if name.startswith("gone") or name in denied
            else encoder.encode(name, data_of(name))
        )
        while len(kept) >= size:
            yield bytes(kept[:size])
            del kept[:size]
    yield bytes(kept) + encoder.finish()


class ShelfAnswer(ArchiveAnswer):
    archive_format = parse_format(".tar")

    def __init__(
        self, names: list[str], chunks: AsyncIterator[bytes], denied: Mapping[str, RemoteError]
    ) -> None:
        self._denied = denied
        self.chunks = chunks
        self.member_names = names

    def fault(self, position: int, member_name: str) -> RemoteError | None:
        name = member_name.removeprefix(_MISSING)
        return self._denied.get(name, _not_found(name)) if name != member_name else None


def _not_found(name: str) -> ObjectNotFoundError:
    return ObjectNotFoundError(status=404, message=f"{name} does not exist", name=name, bucket="b")


class _Selector(selectors.DefaultSelector):
    """Does not wait: the clock is put forward instead."""

    loop: _VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("deadlock: nothing will ever happen")
        self.loop.now += timeout
        return super().select(0)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now = 0.0
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def run(main: Any) -> Any:  # noqa: ANN401 - as asyncio.run has it
    """Run a coroutine by a clock of its own: what waits costs nothing, and a deadlock is an error."""
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(main)
