"""Objects of obstore as the server reads and writes them, and what went wrong in its own words.

An object is opened by one request that brings its first bytes as well, which for a small one are all, and is
read on in pieces that grow while they follow one another. All of them are asked for on the condition that the
object is still the one that was opened: two versions are never spliced.
"""

from __future__ import annotations

import logging
import re
from concurrent.futures import Future
from contextlib import contextmanager
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import BaseError, InvalidPathError, NotSupportedError, PreconditionError

from ._store import NoSuchBucketError, NoSuchObjectError, UnsupportedError, UpstreamError
from ._stream import CHUNK_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from obstore import GetOptions, ObjectMeta, PutResult

    from ..codecs._events import Buffer
    from ..objectstore._stores import Place

__all__ = ["RemoteObject", "RemoteUpload", "open_remote", "translated"]

# Bytes of one request: of the first, of one somewhere else, and at most of those that follow one another.
_FIRST: Final = CHUNK_SIZE
_JUMP: Final = 32_768
_LARGEST: Final = 4 << 20
# Bytes of an upload that are kept to be sent at once; what is larger is sent in such parts, two at a time.
_PART: Final = 8 << 20
_PARTS_AT_ONCE: Final = 2

_STATUS: Final = re.compile(r"status code: ([0-9]{3}[A-Za-z ]{0,40})")
_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_NO_BUCKET: Final = ("<Code>NoSuchBucket<", "<Code>ContainerNotFound<")
_NO_SUCH_RANGE: Final = re.compile(r"status code: 416|Invalid range")
_NO_PART_OF_ETAG: Final = re.compile(r"[^\x21\x23-\x7e]")

_logger: Final = logging.getLogger("asyncbatch.server")


@contextmanager
def translated(bucket: str, name: str = "") -> Iterator[None]:
    """Raise what obstore raises as an error of a store.

    Its texts tell of URLs, which may be signed, and of settings. The client learns the status and the code of
    the answer, which are enough to see whose turn it is.

    Raises:
        NoSuchBucketError: if the upstream says so.
        NoSuchObjectError: if there is no such object.
        UnsupportedError: if this is not what such a store can do, or obstore not with such names.
        UpstreamError: if it refuses, fails or cannot be reached.
    """
    try:
        yield
    except (BaseError, OSError, NotImplementedError) as error:
        text = str(error)
        status, code = (found[1] if (found := pattern.search(text)) else "" for pattern in (_STATUS, _CODE))
        where = f"{bucket}/{name}" if name else bucket
        if any(marker in text for marker in _NO_BUCKET):
            raise NoSuchBucketError(bucket) from error
        if isinstance(error, FileNotFoundError):
            raise NoSuchObjectError(bucket, name) from error
        if isinstance(error, InvalidPathError):  # of a listing: what clients ask for is looked at before
            raise UnsupportedError(
                f"{where}: an object there has a name that this server cannot say"
            ) from error
        if isinstance(error, (NotSupportedError, NotImplementedError)) or status.startswith(("405", "501")):
            raise UnsupportedError(f"{where}: the store behind this server does not support that") from error
        answer = ", ".join(filter(None, (status.strip(), code)))
        _logger.warning(
            "%s: upstream: %s: %s", where, type(error).__name__, answer or text.partition("\n")[0]
        )
        if not answer:
            raise UpstreamError(
                f"{where}: the store behind this server failed or cannot be reached"
            ) from error
        raise UpstreamError(f"{where}: the store behind this server answered {answer}") from error


class RemoteObject:
    """A `StoredObject` of obstore.

    Args:
        place: Where it is.
        bucket: Its bucket, for errors.
        name: Its name, for errors.
        meta: What is known of it.
        first: The offset of the bytes that came with it, and those.
        until: The end of what is wanted at first: of that no more is read than there is.
    """

    def __init__(
        self, place: Place, bucket: str, name: str, meta: ObjectMeta, first: tuple[int, bytes], until: int
    ) -> None:
        self._place = place
        self._called = bucket, name
        self._block = first
        self._until = until
        self._asked = len(first[1])
        self._version = _version(meta)
        self._changed = self._closed = False
        self.size = meta["size"]
        self.atime_ns: int | None = None
        self.mtime = int(meta["last_modified"].timestamp())
        tag = meta["e_tag"] or ""
        # A weak one matches nothing (RFC 9110 section 13.1.1).
        self._options: GetOptions = {"if_match": tag} if tag and not tag.startswith("W/") else {}
        self.etag = _NO_PART_OF_ETAG.sub("", tag.removeprefix("W/")) or f"{self.size:x}-{self.mtime:x}"

    def read(self, offset: int, size: int, /) -> bytes:
        if self._closed:
            raise ValueError("read of a closed object")
        end = min(offset + size, self.size)
        pieces: list[bytes] = []
        while offset < end:
            start, block = self._block
            if not start <= offset < start + len(block):
                start, block = self._block = self._fetch(offset, end - offset)
            if not block:
                break
            pieces.append(block[offset - start : end - start])
            offset += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _fetch(self, offset: int, size: int) -> tuple[int, bytes]:
        """Return an offset and the bytes from there, among them that of `offset`; none if they changed."""
        start, block = self._block
        follows = 0 <= offset - start - len(block) <= self._asked
        self._asked = max(size, min(2 * self._asked, _LARGEST) if follows else _JUMP)
        end = min(offset + self._asked, self._until if offset < self._until else self.size, self.size)
        options: GetOptions = {**self._options, "range": (offset, max(end, offset + size))}
        with translated(*self._called):
            try:
                meta, at, data = _get(self._place, options)
            except (FileNotFoundError, PreconditionError):
                self._changed = True
                return offset, b""
        # Where there is no strong tag to ask for, and of upstreams that do not care.
        self._changed = _version(meta) != self._version or not at <= offset < at + len(data)
        return (offset, b"") if self._changed else (at, data)

    def is_changed(self) -> bool:
        return self._changed

    def close(self) -> None:
        self._closed = True
        self._block = 0, b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


def open_remote(place: Place, bucket: str, name: str, start: int, length: int) -> RemoteObject:
    """Open an object of which these bytes will be read first, or with a length of 0 perhaps none.

    Raises:
        StoreError: if it is not there, or cannot be had.
    """
    with translated(bucket, name):
        if length:
            try:
                meta, at, data = _get(place, {"range": (start, start + min(length, _FIRST))})
            except BaseError as error:
                # An empty object has no range at all, and a shorter one not this range.
                if _NO_SUCH_RANGE.search(str(error)) is None:
                    raise
            else:
                return RemoteObject(place, bucket, name, meta, (at, data), start + length)
        meta = obstore.head(place.store, place.path)
    return RemoteObject(place, bucket, name, meta, (0, b""), 0)


def _get(place: Place, options: GetOptions) -> tuple[ObjectMeta, int, bytes]:
    """Return what is known of an object, an offset, and its bytes from there, which begin with the range."""
    try:
        result = obstore.get(place.store, place.path, options=options)
    except NotSupportedError:
        # A plain web server may know no ranges. What is small can be had as a whole.
        result = obstore.get(place.store, place.path)
        if result.meta["size"] > _LARGEST:
            raise
    return result.meta, result.range[0], bytes(result.bytes())


def _version(meta: ObjectMeta) -> tuple[object, ...]:
    return meta["size"], meta["e_tag"], meta["last_modified"]


class RemoteUpload:
    """An `Upload` to obstore.

    What is small is sent by one request when it is committed; what is larger in parts while it comes, by a
    thread of its own. Nobody sees parts that were not committed, and an abort removes them.

    Args:
        place: Where to.
        bucket: The bucket, for errors.
        name: The object's name, for errors.
    """

    def __init__(self, place: Place, bucket: str, name: str) -> None:
        self._place = place
        self._called = bucket, name
        self._gathered = bytearray()
        self._parts: _Parts | None = None
        self._over = False

    def write(self, chunk: Buffer, /) -> None:
        self._gathered += chunk
        if len(self._gathered) >= _PART:
            if self._parts is None:
                self._parts = _Parts(self._place)
            part, self._gathered = self._gathered, bytearray()
            with translated(*self._called):
                self._parts.put(part)

    def commit(self) -> str:
        if self._over:
            raise ValueError("commit of an upload that is over")
        with translated(*self._called):
            if self._parts is None:
                result = obstore.put(self._place.store, self._place.path, self._gathered, use_multipart=False)
            else:
                self._parts.put(self._gathered)
                result = self._parts.finish()
        self._over = True
        return _NO_PART_OF_ETAG.sub("", result["e_tag"] or "")

    def abort(self) -> None:
        if not self._over:
            self._over = True
            if self._parts is not None:
                self._parts.abort()


class _AbortedError(Exception):
    """Makes obstore give up an upload."""


class _Parts:
    """A multipart upload in a thread.

    Args:
        place: Where to.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        # One part waits while two are sent, and the next is gathered.
        self._waiting: Queue[bytearray | None] = Queue(1)
        self._aborted = self._ended = False
        self._result: Future[PutResult] = Future()
        self._thread = Thread(target=self._run, name="asyncbatch-upload")
        self._thread.start()

    def put(self, part: bytearray) -> None:
        """Send a part: wait until the last but one is sent, or raise what ended the upload."""
        self._waiting.put(part)
        if self._result.done():
            self._result.result()

    def finish(self) -> PutResult:
        """Complete the upload."""
        self._waiting.put(None)
        self._thread.join()
        return self._result.result()

    def abort(self) -> None:
        """Give it up, and remove what was sent."""
        self._aborted = True
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            result = obstore.put(
                self._place.store,
                self._place.path,
                self._parts(),
                use_multipart=True,
                chunk_size=_PART,
                max_concurrency=_PARTS_AT_ONCE,
            )
        except BaseException as error:  # noqa: BLE001 - it is raised where the parts come from
            self._result.set_exception(error)
        else:
            self._result.set_result(result)
        # Whoever waits to put a part is not to wait for ever.
        while not self._ended:
            self._ended = self._waiting.get() is None

    def _parts(self) -> Iterator[bytearray]:
        while (part := self._waiting.get()) is not None:
            yield part
        self._ended = True
        if self._aborted:
            raise _AbortedError
