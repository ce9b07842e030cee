"""A source of batches without a network, and archives made by the standard library."""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import lz4.frame

from asyncbatch.batch import ArchiveAnswer, BatchRequest, Server
from asyncbatch.codecs._formats import parse_format
from asyncbatch.errors import AuthenticationError, BucketNotFoundError, ObjectNotFoundError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from asyncbatch.batch import EntryAnswer
    from asyncbatch.codecs import ArchiveFormat
    from asyncbatch.errors import RemoteError

__all__ = [
    "FakeAnswer",
    "FakeBody",
    "FakeBucket",
    "FakeObject",
    "FakeSource",
    "pack",
    "request_of",
    "split",
    "tar",
]


@dataclass(frozen=True)
class FakeBucket:
    name: str = "b"
    provider: str = "ais"
    namespace: str | None = None


@dataclass(frozen=True)
class FakeObject:
    name: str
    bucket: FakeBucket = field(default_factory=FakeBucket)


class FakeBody:
    """An archive on its way: chunks one by one; a function is awaited and an error raised in its turn."""

    def __init__(self, steps: Iterable[Any]) -> None:
        self._steps = iter(steps)
        self.pulls = 0
        self.closed = False

    def __aiter__(self) -> FakeBody:
        return self

    async def __anext__(self) -> bytes:
        assert not self.closed
        self.pulls += 1
        for step in self._steps:
            if isinstance(step, Exception):
                raise step
            if not callable(step):
                chunk: bytes = step
                return chunk
            await step()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


class FakeAnswer(ArchiveAnswer):
    """An answer whose members are named after their entries, with a prefix for what failed."""

    def __init__(self, request: BatchRequest, body: FakeBody, archive_format: ArchiveFormat | None) -> None:
        self.chunks = body
        self.archive_format = archive_format
        self.sizes = None
        self.member_names = [entry.name for entry in request.entries]

    def fault(self, position: int, member_name: str) -> RemoteError | None:
        kind, _, name = member_name.partition("/")
        about: dict[str, Any] = {"message": f"{kind} {name}", "name": name, "bucket": "b"}
        if name != self.member_names[position]:
            return None
        if kind == "gone":
            return ObjectNotFoundError(status=404, **about)
        if kind == "no-bucket":
            return BucketNotFoundError(status=404, **about)
        return AuthenticationError(status=403, **about) if kind == "denied" else None


class FakeSource:
    """Answers every batch with the same steps (see `FakeBody`).

    Args:
        steps: What the body does.
        form: The format that the answer says it has; None if it says nothing.
        opening: Awaited before there is an answer.
    """

    def __init__(
        self,
        steps: Iterable[Any] = (),
        *,
        form: str | None = ".tar",
        opening: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._steps = list(steps)
        self._format = parse_format(form) if form is not None else None
        self._opening = opening
        self.bodies: list[FakeBody] = []
        self.checked = 0
        self.requests: list[BatchRequest] = []

    @property
    def body(self) -> FakeBody:
        """The body of the only answer."""
        (body,) = self.bodies
        return body

    @property
    def server(self) -> Server:
        return Server("fake")

    def check_batch(self, request: BatchRequest) -> None:
        self.checked += 1

    def reach(self, request: BatchRequest, first: int) -> int:
        return len(request)

    async def open_batch(self, request: BatchRequest) -> FakeAnswer:
        self.requests.append(request)
        if self._opening is not None:
            await self._opening()
        self.bodies.append(FakeBody(self._steps))
        return FakeAnswer(request, self.body, self._format)

    async def open_entry(self, request: BatchRequest) -> EntryAnswer:
        raise AssertionError(f"nothing was to be asked for alone: {request}")


def request_of(names: Iterable[str], **options: Any) -> BatchRequest:  # noqa: ANN401 - of BatchRequest
    """Make a request for objects of the bucket ``b``."""
    request = BatchRequest(**options)
    for name in names:
        request.add_object_request(FakeObject(name))
    return request


def tar(members: Iterable[tuple[str, bytes]], *, form: int = tarfile.USTAR_FORMAT) -> bytes:
    """Make a tar, closed by two zero blocks and nothing more."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        end = archive.offset
    return file.getvalue()[:end] + bytes(1024)


def pack(archive: bytes, form: str) -> bytes:
    """Compress a tar as `form` has it."""
    if form == ".tar.gz":
        return gzip.compress(archive, 1, mtime=0)
    return lz4.frame.compress(archive) if form == ".tar.lz4" else archive


def split(data: bytes, size: int) -> Sequence[bytes]:
    """Cut bytes into chunks."""
    return [data[start : start + size] for start in range(0, len(data), size)]
