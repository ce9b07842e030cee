"""What becomes of a member that is extracted: decided here, from its header alone, and done elsewhere.

Names and link targets are data of somebody else's. What passes here is relative and goes down only; that it
meets no symbolic link on its way is for the writer to see to (`_folder`), since only the disk can tell.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ..errors import FormatError, UnsupportedFormatError, UsageError

if TYPE_CHECKING:
    from ..codecs._events import MemberKind

__all__ = ["Plan", "explain", "plan_member", "split_path"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be made of a member.

    Attributes:
        name: The member's own name, for errors.
        offset: Where it stands in the archive, for errors.
        kind: What to make.
        parts: Components of its path below the destination; none for the destination itself.
        mode: Permission bits, before the umask.
        mtime: Modification time in seconds since the epoch, or None to leave it.
        target: What a symbolic link is to hold.
        target_parts: Components of the path of the file that a hard link is to name as well.
    """

    name: str
    offset: int
    kind: Literal["file", "dir", "symlink", "hardlink"]
    parts: tuple[str, ...]
    mode: int
    mtime: float | None
    target: str = ""
    target_parts: tuple[str, ...] = ()


_DRIVE: Final = re.compile(r"[A-Za-z]:[\\/]")
_MAX_TIME: Final = (1 << 63) // 10**9  # the system's clocks count nanoseconds in 63 bits
_OWN_WAY: Final = " (to have it in another way, iterate over the members)"


def plan_member(
    name: str,
    kind: MemberKind,
    *,
    linkname: str = "",
    mode: int | None = None,
    mtime: float | None = None,
    offset: int = 0,
) -> Plan:
    """Decide what to make of a member.

    Of its permissions, those to read, write and execute stay, and its owner can always read and write it.
    Folders are not given a time: what is put into them later would change it.

    Raises:
        FormatError: if its name, or what it links to, leads outside of the destination, or nowhere.
        UnsupportedFormatError: for devices, FIFOs, and what is of no known type.
    """
    try:
        parts = split_path(name)
        if kind == "dir":
            return Plan(name, offset, "dir", parts, _mode(mode, 0o777) | 0o700, None)
        if not parts or name.endswith("/"):
            raise ValueError(f"a {kind} needs a name that does not end with a slash")
        if kind == "file":
            return Plan(name, offset, "file", parts, _mode(mode, 0o666) | 0o600, _mtime(mtime))
        if kind == "symlink":
            _check_target(linkname, len(parts) - 1)
            return Plan(name, offset, "symlink", parts, 0, None, target=linkname)
        if kind == "hardlink":
            return Plan(name, offset, "hardlink", parts, 0, None, target_parts=_link_parts(linkname))
    except ValueError as error:
        raise FormatError(f"{error}{_OWN_WAY}", codec="extract", offset=offset, member=name) from None
    what = {"other": "a member of unknown type"}.get(kind, f"a {kind.replace('_', ' ')}")
    raise UnsupportedFormatError(
        f"{what} is not extracted{_OWN_WAY}", codec="extract", offset=offset, member=name
    )


def split_path(name: str) -> tuple[str, ...]:
    """Split a name into the components of a path that goes down only; none are left of ``"."``.

    Raises:
        ValueError: with the reason, if it leads anywhere else, or if no file can have that name.
    """
    if not name:
        raise ValueError("the name is empty")
    if "\0" in name:
        raise ValueError("the name holds a NUL")
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise ValueError("the name cannot be encoded") from None
    if name.startswith("/"):
        raise ValueError("the name is absolute")
    # Harmless here, but nobody means well by them, and folders are shared with other systems.
    if name.startswith("\\") or _DRIVE.match(name):
        raise ValueError("the name is an absolute path of Windows")
    if ".." in name.replace("\\", "/").split("/"):
        raise ValueError("the name has '..' in it")
    return tuple(part for part in name.split("/") if part not in {"", "."})


def _mode(mode: int | None, usual: int) -> int:
    return usual if mode is None else mode & 0o777


def _mtime(mtime: float | None) -> float | None:
    return mtime if mtime is not None and abs(mtime) < _MAX_TIME else None


def _link_parts(linkname: str) -> tuple[str, ...]:
    try:
        parts = split_path(linkname)
    except ValueError as error:
        raise ValueError(f"it is a hard link to {linkname!r}: {error}") from None
    if not parts:
        raise ValueError("it is a hard link to the destination itself")
    return parts


def _check_target(target: str, depth: int) -> None:
    """Check the target of a symbolic link in a folder that is `depth` folders below the destination.

    ``..`` may only lead the target. There it means the folder above the link's own, which is no link itself.
    Behind a name it would mean the folder above whatever a link of that name leads to, and a few such links,
    none of which looks wrong, would lead out.
    """
    steps = [part for part in target.split("/") if part not in {"", "."}]
    up = next((index for index, part in enumerate(steps) if part != ".."), len(steps))
    try:
        split_path("/".join(steps[up:]) or ".")
        if target.startswith("/"):
            raise ValueError("the name is absolute")
    except ValueError as error:
        raise ValueError(f"it is a symbolic link to {target!r}: {error}") from None
    if not target or up > depth:
        raise ValueError(f"it is a symbolic link to {target!r}, which is not inside the destination")


_NO_WAY: Final = {errno.ENOTDIR, errno.ELOOP}
_FOLDER_IN_THE_WAY: Final = {errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}


def explain(error: OSError, plan: Plan) -> Exception:
    """Make what the system said of a member into an error that says who must act."""
    reason = None
    if error.errno in _NO_WAY:
        reason = "its path leads through a symbolic link or a file, which is not followed"
    elif error.errno == errno.ENAMETOOLONG:
        reason = "its name is too long for this file system"
    elif plan.kind == "hardlink" and error.errno == errno.ENOENT:
        reason = f"it is a hard link to {'/'.join(plan.target_parts)!r}, which does not exist"
    elif plan.kind == "hardlink" and error.errno == errno.EPERM:
        reason = (
            f"it is a hard link to {'/'.join(plan.target_parts)!r}, which is no file, or may not be linked"
        )
    if reason is not None:
        return FormatError(f"{reason}{_OWN_WAY}", codec="extract", offset=plan.offset, member=plan.name)
    if error.errno in _FOLDER_IN_THE_WAY:
        return UsageError(f"member {plan.name!r}: a folder has its name; extract into another destination")
    return OSError(error.errno, error.strerror, plan.name)
