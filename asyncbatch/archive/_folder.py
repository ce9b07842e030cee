"""A folder to be written into by paths that somebody else chose, and no way out of it.

A path is never handed to the system whole. Every component is opened by itself, relative to the folder
before it and without following symbolic links: neither a link that was there before, nor one that the archive
brought, nor one that is put in place between two steps leads anywhere else. Files come under a temporary name
and are renamed when they are whole; renaming replaces a link and does not follow it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..codecs._events import Buffer

__all__ = ["Folder"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_INNER: Final = _FOLDER | os.O_NOFOLLOW
_OLD_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _NewFile:
    fd: int
    parent: int  # descriptor of its folder; owned by `Folder`, which enters no other while the file is open
    temporary: str
    name: str


class Folder:
    """A folder to write into. Everything blocks; calls are made one after another, from any thread.

    Paths are given as components, which are names and neither ``.`` nor ``..`` (`_plan.split_path`). Missing
    folders on the way are made. What has the name already is replaced, unless it is a folder.

    Errors are the system's: `NotADirectoryError` or one with ELOOP where a link, or a file, is in the way.

    Args:
        path: May be a link: whoever calls chose it.
        create: Whether `open` makes it if it does not exist.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True) -> None:
        self._path = path
        self._create = create
        self._root: int | None = None
        # The folder that was used last; an archive has its members in order.
        self._parts: tuple[str, ...] = ()
        self._current: int | None = None
        self._file: _NewFile | None = None

    def open(self) -> None:
        """Open the folder itself; call `close` whatever comes of it."""
        if self._create:
            Path(self._path).mkdir(parents=True, exist_ok=True)
        self._root = os.open(self._path, _FOLDER)

    def close(self) -> None:
        """Remove the file that is not whole, if there is one, and let go. May be called again."""
        self.abort()
        for fd in (self._current, self._root):
            if fd is not None:
                os.close(fd)
        self._current = self._root = None

    def make_folder(self, parts: tuple[str, ...], mode: int) -> None:
        """Make a folder; one that exists is left as it is."""
        self._enter(parts, mode)

    def read_file(self, parts: tuple[str, ...], size: int) -> bytes:
        """Return the first `size` bytes of a file that was written."""
        with self._opened(parts) as fd:
            return os.read(fd, size)

    def set_mode(self, parts: tuple[str, ...], mode: int) -> None:
        """Give a file that was written these permissions, less those that the umask denied it.

        What the umask says of executing can only be guessed: what it says of reading.
        """
        with self._opened(parts) as fd:
            given = stat.S_IMODE(os.fstat(fd).st_mode)
            os.fchmod(fd, mode & (given | (given & 0o444) >> 2))

    @contextmanager
    def _opened(self, parts: tuple[str, ...]) -> Iterator[int]:
        fd = os.open(parts[-1], _OLD_FILE, dir_fd=self._enter(parts[:-1]))
        try:
            yield fd
        finally:
            os.close(fd)

    def make_symlink(self, parts: tuple[str, ...], target: str) -> None:
        """Make a symbolic link that holds `target`, whatever that is."""
        parent = self._enter(parts[:-1])
        with _placing(parent, parts[-1]) as temporary:
            os.symlink(target, temporary, dir_fd=parent)

    def make_hardlink(self, parts: tuple[str, ...], target_parts: tuple[str, ...]) -> None:
        """Give a file in this folder another name."""
        parent = self._enter(parts[:-1])
        source = self._walk(target_parts[:-1], create=False)
        try:
            with _placing(parent, parts[-1]) as temporary:
                os.link(
                    target_parts[-1], temporary, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False
                )
                # A symbolic link of another name would lead elsewhere. Asked of the new name, whose file
                # nobody exchanges, and not of the old.
                if not stat.S_ISREG(os.stat(temporary, dir_fd=parent, follow_symlinks=False).st_mode):
                    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        finally:
            os.close(source)

    def write_file(
        self,
        parts: tuple[str, ...],
        pieces: Iterable[Buffer],
        *,
        mode: int = 0o666,
        mtime: float | None = None,
    ) -> None:
        """Write a whole file."""
        self.begin(parts, mode)
        try:
            self.write(pieces)
            self.commit(mtime)
        finally:
            self.abort()

    def begin(self, parts: tuple[str, ...], mode: int = 0o666) -> None:
        """Begin a file; it has its name when it is committed. Until then nothing else can be made here."""
        parent = self._enter(parts[:-1])
        temporary = _temporary_name()
        self._file = _NewFile(
            os.open(temporary, _NEW_FILE, mode, dir_fd=parent), parent, temporary, parts[-1]
        )

    def write(self, pieces: Iterable[Buffer]) -> None:
        """Add to the file that was begun."""
        assert self._file is not None  # noqa: S101 - the contract of begin()
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[os.write(self._file.fd, view) :]

    def commit(self, mtime: float | None = None) -> None:
        """Give the file its name."""
        file = self._file
        assert file is not None  # noqa: S101 - the contract of begin()
        if mtime is not None:
            os.utime(file.fd, (mtime, mtime))
        os.rename(file.temporary, file.name, src_dir_fd=file.parent, dst_dir_fd=file.parent)
        self._file = None
        os.close(file.fd)

    def abort(self) -> None:
        """Remove the file that was begun and not committed, if there is one."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file.fd)
            with suppress(FileNotFoundError):  # somebody may have tidied the folder
                os.unlink(file.temporary, dir_fd=file.parent)

    def _enter(self, parts: tuple[str, ...], mode: int = 0o777) -> int:
        """Return a descriptor of a folder, which is valid until the next is entered."""
        if self._current is None or parts != self._parts:
            entered = self._walk(parts, mode)
            if self._current is not None:
                os.close(self._current)
            self._current, self._parts = entered, parts
        return self._current

    def _walk(self, parts: tuple[str, ...], mode: int = 0o777, *, create: bool = True) -> int:
        """Open a folder component by component; `mode` is for the last."""
        assert self._root is not None  # noqa: S101 - the contract of open()
        opened = os.dup(self._root)
        try:
            for index, name in enumerate(parts, 1):
                inner = _open_inner(opened, name, mode if index == len(parts) else 0o777, create=create)
                os.close(opened)
                opened = inner
        except BaseException:
            os.close(opened)
            raise
        return opened


def _open_inner(fd: int, name: str, mode: int, *, create: bool) -> int:
    try:
        return os.open(name, _INNER, dir_fd=fd)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):  # somebody else was faster
        os.mkdir(name, mode, dir_fd=fd)
    return os.open(name, _INNER, dir_fd=fd)


@contextmanager
def _placing(parent: int, name: str) -> Iterator[str]:
    """Give a temporary name to make something under, and rename that to `name`."""
    temporary = _temporary_name()
    try:
        yield temporary
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    finally:
        # It is still there after a failure, and where both names are links to one file: then POSIX's rename
        # does nothing.
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)


def _temporary_name() -> str:
    return f".asyncbatch-{secrets.token_hex(8)}.tmp"
