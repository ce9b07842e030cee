"""Where fetched items go: files in a folder, or the members of one archive."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from ..archive import EncodeMember, encode_archive
from ..archive._folder import Folder
from ..archive._plan import Plan, split_path
from ..archive._threads import in_thread
from ..archive._writer import FolderWriter
from ..codecs._formats import FORMATS, format_of_name
from ..errors import UsageError
from ._daemon import in_daemon
from ._input import STDIN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
    from typing import Any

    from ..batch import ItemMetadata
    from ..codecs._events import Buffer
    from ._input import Wanted

__all__ = ["Item", "check_file_name", "item_name", "write_archive", "write_chunks", "write_files"]


class Item(Protocol):
    """What is written: an item of a batch, whole or in chunks."""

    @property
    def metadata(self) -> ItemMetadata: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def read(self) -> bytes: ...


def item_name(item: ItemMetadata | Wanted) -> str:
    """Return what an item is called: as its object, or as the file inside it."""
    return item.name if item.archpath is None else f"{item.name}/{item.archpath}"


# -- files --------------------------------------------------------------------------------------------------

_INSTEAD: Final = "; use --archive, where any name is good"


def check_file_name(wanted: Wanted) -> None:
    """Refuse a name that no file below a folder can have, before it is asked for.

    Raises:
        UsageError: with the reason.
    """
    _plan(item_name(wanted))


def _plan(name: str) -> Plan:
    try:
        parts = split_path(name)
        if not parts or name.endswith("/"):
            raise ValueError("the name is that of a folder")
    except ValueError as error:
        raise UsageError(f"object {name!r} cannot become a file: {error}{_INSTEAD}") from None
    return Plan(name, 0, "file", parts, 0o666, None)


def _explain(error: OSError, plan: Plan) -> OSError:
    """Make what the system said of a file into an error that says what to do."""
    reason = {
        errno.ENOTDIR: "a file, or a symbolic link, has the name of its folder",
        errno.ELOOP: "a symbolic link has the name of its folder",
        errno.EISDIR: "a folder has its name",
        errno.ENAMETOOLONG: "its name is too long for this file system",
    }.get(error.errno or 0)
    if reason is None:
        return OSError(error.errno, error.strerror, plan.name)
    return OSError(f"object {plan.name!r} cannot become a file: {reason}{_INSTEAD}")


async def write_files(items: AsyncGenerator[Item], folder: str) -> None:
    """Write each item as a file of its name below `folder`.

    As in extraction nothing is written outside of it, and no link in it is followed; a file has its name when
    it is whole.
    """
    async with FolderWriter(folder, _explain) as writer:
        async for item in items:
            metadata = item.metadata
            # A size of 0 may be one that only the end will tell.
            await writer.add(_plan(item_name(metadata)), item, metadata.size or None)


# -- one archive --------------------------------------------------------------------------------------------

# Items up to this size are encoded whole, which is faster.
_SMALL: Final = 262_144


async def write_archive(items: AsyncGenerator[Item], path: str) -> None:
    """Write the items as members of one archive, which has its name when it is whole.

    Args:
        items: What is to be written.
        path: Its name tells the format. `STDIN`'s sign means standard output, and ``.tar``.

    Raises:
        UsageError: if the name tells no format, or is that of something else than a file.
    """
    if path == STDIN:
        async with encode_archive(_members(items)) as archive:
            await write_chunks(archive, path)
        return
    archive_format = format_of_name(path)
    if archive_format is None or archive_format.container == "bare":
        known = ", ".join(each.name for each in FORMATS if each.container != "bare")
        raise UsageError(f"--archive {path}: its name must end in one of {known}")
    async with encode_archive(_members(items), format=archive_format.name) as archive:
        await write_chunks(archive, path)


async def write_chunks(chunks: AsyncIterable[Buffer], path: str) -> None:
    """Write a file, which has its name when it is whole; or, for `STDIN`'s sign, standard output.

    Raises:
        UsageError: if the name is that of something else than a file.
    """
    if path == STDIN:
        async for chunk in chunks:
            await in_daemon(_write_stdout, chunk)
        return
    await in_thread(_check_replaceable, path)
    await _write_whole(chunks, Path(path))


async def _members(items: AsyncGenerator[Item]) -> AsyncGenerator[EncodeMember | tuple[str, Any]]:
    async for item in items:
        name, size = item_name(item.metadata), item.metadata.size
        yield (name, await item.read()) if size <= _SMALL else EncodeMember(name, item, size)


def _write_stdout(chunk: Buffer) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(1, view) :]


def _check_replaceable(path: str) -> None:
    """Refuse to put an archive in the place of a device, say."""
    if Path(path).exists() and not Path(path).is_file():
        raise UsageError(f"--archive {path}: this is no file; for standard output, use -")


async def _write_whole(chunks: AsyncIterable[Buffer], path: Path) -> None:
    folder = Folder(path.parent, create=False)
    try:
        await in_thread(folder.open)
        await in_thread(folder.begin, (path.name,))
        async for chunk in chunks:
            await in_thread(folder.write, [chunk])
        await in_thread(folder.commit)
    finally:
        await in_thread(folder.close)
