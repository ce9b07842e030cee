"""Buckets as folders, objects as files in them, and no way out of the root.

A path is never handed to the system whole. Every component is opened by itself, relative to the folder before
it and without following symbolic links, so that neither ``..`` nor a link, not even one that is put in place
between two steps, leads anywhere else.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ._store import (
    BucketExistsError,
    InvalidNameError,
    NameConflictError,
    NoSuchBucketError,
    NoSuchObjectError,
    ObjectInfo,
    Page,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from ..codecs._events import Buffer
    from ._store import MissingError

__all__ = ["FolderStore"]

# Uploads and destroyed buckets live here. No bucket's name starts with a dot, so no request can name it.
_HIDDEN: Final = ".asyncbatch"
_NEW_BUCKET: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")  # AIStore's rule
_MAX_NAME: Final = 4096
_MAX_DEPTH: Final = 200  # folders; the standard library removes them by recursion
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a FIFO would wait for its other end without O_NONBLOCK.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# What the system says of names that lead to no object: absent, a folder, through a file or a link, too long.
_NOT_THERE: Final = {
    errno.ENOENT,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENXIO,
    errno.ENAMETOOLONG,
}
_IN_THE_WAY: Final = {errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST}
# A folder can vanish between its making and its use, when its last object is deleted: then we begin again.
_ATTEMPTS: Final = 100


class FolderStore:
    """A `Store` over a folder.

    What holds for every bucket and object: names are UTF-8; links, devices and the like do not exist; empty
    folders inside a bucket neither, and are removed with their last object.

    Raises:
        UsageError: if `root` is not a folder.
    """

    read_ahead: Final = 0

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.path.realpath(root)
        if not Path(self.root).is_dir():
            raise UsageError(f"{os.fspath(root)!r} is not a folder; make it, or name another")

    def list_buckets(self) -> list[str]:
        with self._open_root() as fd, os.scandir(fd) as entries:
            return sorted(
                e.name for e in entries if _is_bucket_name(e.name) and e.is_dir(follow_symlinks=False)
            )

    def check_bucket(self, bucket: str, /) -> None:
        with self._open_bucket(bucket):
            pass

    def create_bucket(self, bucket: str, /) -> None:
        if _NEW_BUCKET.fullmatch(bucket) is None:
            raise InvalidNameError(
                f'bucket name "{bucket}" is invalid: 1 to 64 letters, digits, "-", "_" and ".", not first "."'
            )
        with self._open_root() as root:
            try:
                os.mkdir(bucket, dir_fd=root)
            except FileExistsError:
                raise BucketExistsError(f'bucket "ais://{bucket}" already exists') from None

    def destroy_bucket(self, bucket: str, /) -> None:
        with self._open_bucket(bucket), self._open_root() as root, self._open_hidden(root) as hidden:
            doomed = secrets.token_hex(16)
            try:
                os.rename(bucket, doomed, src_dir_fd=root, dst_dir_fd=hidden)
            except FileNotFoundError:
                raise NoSuchBucketError(bucket) from None
            shutil.rmtree(doomed, dir_fd=hidden)

    def list_objects(self, bucket: str, /, *, prefix: str, after: str, limit: int) -> Page:
        if not (_is_text(prefix) and _is_text(after)):
            raise InvalidNameError("a prefix and a continuation token are valid UTF-8")
        found: list[ObjectInfo] = []
        with self._open_bucket(bucket) as fd:
            for info in _walk(fd, os.fsencode(prefix), os.fsencode(after)):
                if len(found) == limit:
                    return Page(found, more=True)
                found.append(info)
        return Page(found, more=False)

    def open_object(self, bucket: str, name: str, /) -> _File:
        *folders, last = _split(name)
        with self._open_bucket(bucket) as fd:
            try:
                with _descend(fd, folders) as parent:
                    return _File(os.open(last, _FILE, dir_fd=parent))
            except OSError as error:
                raise _missing(error, NoSuchObjectError(bucket, name)) from None

    def open_part(self, bucket: str, name: str, _start: int, _length: int, /) -> _File:
        return self.open_object(bucket, name)

    def put_object(self, bucket: str, name: str, /) -> _Upload:
        _split(name)
        self.check_bucket(bucket)
        with self._open_root() as root, self._open_hidden(root) as hidden:
            temporary = secrets.token_hex(16)
            return _Upload(self, bucket, name, temporary, os.open(temporary, _NEW_FILE, 0o666, dir_fd=hidden))

    def delete_object(self, bucket: str, name: str, /) -> None:
        *folders, last = _split(name)
        with self._open_bucket(bucket) as fd:
            try:
                with _descend(fd, folders) as parent:
                    if not stat.S_ISREG(os.stat(last, dir_fd=parent, follow_symlinks=False).st_mode):
                        raise NoSuchObjectError(bucket, name)
                    os.unlink(last, dir_fd=parent)
            except OSError as error:
                raise _missing(error, NoSuchObjectError(bucket, name)) from None
            _prune(fd, folders)

    def place(self, temporary: str, bucket: str, name: str) -> None:
        """Move an upload to its name, making folders as needed."""
        *folders, last = _split(name)
        with self._open_bucket(bucket) as fd, self._open_root() as root, self._open_hidden(root) as hidden:
            for _ in range(_ATTEMPTS):
                try:
                    with _descend(fd, folders, create=True) as parent:
                        os.rename(temporary, last, src_dir_fd=hidden, dst_dir_fd=parent)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    _prune(fd, folders)
                    if error.errno not in _IN_THE_WAY:
                        raise
                    raise NameConflictError(
                        f"ais://{bucket}/{name} cannot be written: an object has the name of its folder, or "
                        "a folder its own"
                    ) from None
                else:
                    return
            raise NoSuchBucketError(bucket)

    def discard(self, temporary: str) -> None:
        """Remove an upload."""
        # Somebody may have tidied the folder.
        with self._open_root() as root, self._open_hidden(root) as hidden, suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=hidden)

    @contextmanager
    def _open_root(self) -> Iterator[int]:
        with _closing(os.open(self.root, _FOLDER)) as fd:
            yield fd

    @contextmanager
    def _open_bucket(self, bucket: str) -> Iterator[int]:
        if not _is_bucket_name(bucket):
            raise NoSuchBucketError(bucket)
        with self._open_root() as root:
            try:
                fd = os.open(bucket, _FOLDER, dir_fd=root)
            except OSError as error:
                raise _missing(error, NoSuchBucketError(bucket)) from None
        with _closing(fd):
            yield fd

    @contextmanager
    def _open_hidden(self, root: int) -> Iterator[int]:
        with suppress(FileExistsError):
            os.mkdir(_HIDDEN, 0o700, dir_fd=root)
        with _closing(os.open(_HIDDEN, _FOLDER, dir_fd=root)) as fd:
            yield fd


class _File:
    """A `StoredObject` that is a file."""

    __slots__ = ("_fd", "_mtime_ns", "atime_ns", "etag", "mtime", "size")

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            self.close()
            raise IsADirectoryError(errno.EISDIR, "not a regular file")
        self.size = facts.st_size
        self.mtime = facts.st_mtime_ns // 1_000_000_000
        self.atime_ns: int | None = facts.st_atime_ns
        self._mtime_ns = facts.st_mtime_ns
        self.etag = _etag(facts)

    def read(self, offset: int, size: int, /) -> bytes:
        data = os.pread(self._descriptor, size, offset)
        if len(data) in (size, 0):
            return data
        # A read may be short without being at the end: over 2 GiB, or in a network file system.
        return data + self.read(offset + len(data), size - len(data))

    def is_changed(self) -> bool:
        facts = os.fstat(self._descriptor)
        return (facts.st_size, facts.st_mtime_ns) != (self.size, self._mtime_ns)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @property
    def _descriptor(self) -> int:
        if self._fd is None:
            # The number may belong to another file by now.
            raise ValueError("read of a closed object")
        return self._fd

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


class _Upload:
    """An `Upload` to a file in the hidden folder."""

    def __init__(self, store: FolderStore, bucket: str, name: str, temporary: str, fd: int) -> None:
        self._store = store
        self._target = bucket, name
        self._temporary: str | None = temporary
        self._fd = fd

    def write(self, chunk: Buffer, /) -> None:
        view = memoryview(chunk)
        while view:
            view = view[os.write(self._fd, view) :]

    def commit(self) -> str:
        if self._temporary is None:
            raise ValueError("commit of an upload that is over")
        self._store.place(self._temporary, *self._target)
        self._temporary = None
        etag = _etag(os.fstat(self._fd))
        os.close(self._fd)
        return etag

    def abort(self) -> None:
        if self._temporary is not None:
            temporary, self._temporary = self._temporary, None
            os.close(self._fd)
            self._store.discard(temporary)


def _missing(error: OSError, instead: MissingError) -> Exception:
    """Return `instead` for what the system says of a name that leads to nothing, else the error itself."""
    return instead if error.errno in _NOT_THERE else error


def _etag(facts: os.stat_result) -> str:
    return f"{facts.st_ino:x}-{facts.st_size:x}-{facts.st_mtime_ns:x}"


def _is_bucket_name(name: str) -> bool:
    """Return whether a folder of the root may be a bucket: any that a URL can name and that is not hidden."""
    return not name.startswith(".") and "/" not in name and "\0" not in name and _is_text(name)


def _is_text(name: str) -> bool:
    """Return whether a name is UTF-8: others, which Python spells with surrogates, fit in no URL or JSON."""
    return name.isprintable() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def _split(name: str) -> list[str]:
    """Split an object's name into the components of its path."""
    parts = name.split("/")
    if (
        not {"", ".", ".."}.isdisjoint(parts)
        or "\0" in name
        or not _is_text(name)
        or len(name) > _MAX_NAME
        or len(parts) > _MAX_DEPTH
    ):
        raise InvalidNameError(f'invalid object name "{name}"')
    return parts


@contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _descend(fd: int, folders: list[str], *, create: bool = False) -> Iterator[int]:
    """Open a folder inside that of `fd`, component by component."""
    opened = os.dup(fd)
    try:
        for folder in folders:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(folder, dir_fd=opened)
            inner = os.open(folder, _FOLDER, dir_fd=opened)
            os.close(opened)
            opened = inner
        yield opened
    finally:
        os.close(opened)


def _prune(fd: int, folders: list[str]) -> None:
    """Remove the innermost of `folders` as long as they are empty."""
    # Not empty, or gone: somebody else needs it, or was faster.
    with suppress(OSError):
        for depth in range(len(folders), 0, -1):
            with _descend(fd, folders[: depth - 1]) as parent:
                os.rmdir(folders[depth - 1], dir_fd=parent)


def _walk(fd: int, prefix: bytes, after: bytes) -> Iterator[ObjectInfo]:
    """Yield the objects of a bucket in byte order, looking into no folder that cannot hold one of them.

    A folder sorts as its name with a ``/`` behind it: then all that is in it sorts with it. One folder's
    entries are held at a time for each level, and no descriptor between two of them.
    """
    stack = [iter(_scan(fd, b""))]
    while stack:
        for path, info in stack[-1]:
            if info is not None:
                if path > after and path.startswith(prefix):
                    yield info
            elif (path > after or after.startswith(path)) and (
                path.startswith(prefix) or prefix.startswith(path)
            ):
                stack.append(iter(_scan(fd, path)))
                break
        else:
            stack.pop()


def _scan(fd: int, path: bytes) -> list[tuple[bytes, ObjectInfo | None]]:
    """Return a folder's entries in order: files with their facts, folders with a ``/`` and None."""
    folders = [os.fsdecode(part) for part in path.split(b"/")[:-1]]
    found: list[tuple[bytes, ObjectInfo | None]] = []
    # Folder and file may have been removed meanwhile.
    with (
        suppress(FileNotFoundError, NotADirectoryError),
        _descend(fd, folders) as parent,
        os.scandir(parent) as all_,
    ):
        for entry in filter(lambda entry: _is_text(entry.name), all_):
            full = path + os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                found.append((full + b"/", None))
            elif entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    facts = entry.stat(follow_symlinks=False)
                    info = ObjectInfo(os.fsdecode(full), facts.st_size, facts.st_atime, facts.st_mtime)
                    found.append((full, info))
    return sorted(found)
