"""The push encoder for tar: plain ustar wherever it can say it all, a PAX header in front where it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ._tar_header import BLOCK_SIZE, ZERO_BLOCK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._events import Buffer, MemberKind

__all__ = ["TarEncoder"]

_TYPEFLAGS: Final[Mapping[MemberKind, bytes]] = {
    "file": b"0",
    "hardlink": b"1",
    "symlink": b"2",
    "dir": b"5",
}
_MAX_OCTAL_SIZE: Final = 8**11 - 1
_MAX_TIME: Final = 10**17  # seconds: three thousand million years, and within what every reader takes
_MAX_NAME: Final = 100
_MAX_PREFIX: Final = 155
# What stands between the checksum's and the name's fields in every header that we write: version, no owner.
_USTAR_OWNER: Final = b"ustar\00000" + bytes(64) + b"0000000\0" + b"0000000\0"


class TarEncoder:
    """Turns members into a tar, piece by piece: every call returns the next bytes of the archive.

    ``start, feed…, end`` encodes a member whose data comes in chunks, `encode` one that is whole; `finish`
    closes the archive. The output depends on the arguments alone: owner 0, and time 0 unless given.

    Names of up to 100 ASCII characters, or 255 where a ``/`` splits them, make a plain ustar header; others,
    and sizes from 8 GiB, get a PAX header (POSIX.1-2024 *pax*), as Go and Python write them.

    Raises:
        UsageError: for calls out of order, and data longer or shorter than was said.
    """

    def __init__(self) -> None:
        self._open: str | None = None
        self._left = 0  # bytes of data that the open member still lacks
        self._padding = b""
        self._finished = False

    def start(
        self,
        name: str,
        size: int,
        *,
        kind: MemberKind = "file",
        mode: int = 0o644,
        mtime: float = 0,
        linkname: str = "",
    ) -> bytes:
        """Begin a member of `size` bytes and return its header, or headers."""
        if self._open is not None or self._finished:
            raise UsageError(f"tar member {name!r} was started before end() of the last, or after finish()")
        if kind not in _TYPEFLAGS:
            raise UsageError(f"tar member {name!r}: cannot encode a {kind}; known: {', '.join(_TYPEFLAGS)}")
        if not name or "\0" in name or "\0" in linkname:
            raise UsageError(f"tar member {name!r}: a name is not empty and holds no NUL")
        if not abs(mtime) < _MAX_TIME:
            raise UsageError(f"tar member {name!r}: mtime={mtime} is no time in seconds")
        if size < 0 or (size and kind != "file"):
            raise UsageError(f"tar member {name!r}: a {kind} cannot have {size} bytes of data")
        try:
            header = _header(name, size, _TYPEFLAGS[kind], mode, mtime, linkname)
        except UnicodeEncodeError as error:
            raise UsageError(f"tar member {name!r}: {error}; only os.fsdecode makes such names") from None
        self._open, self._left = name, size
        self._padding = bytes(-size & (BLOCK_SIZE - 1))
        return header

    def feed(self, chunk: Buffer, /) -> Buffer:
        """Take the next data of the open member; what comes back is the same bytes, checked."""
        if self._open is None:
            raise UsageError("tar data was fed outside of start() and end()")
        size = chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)
        if size > self._left:
            raise UsageError(f"tar member {self._open!r}: data is longer than the size given to start()")
        self._left -= size
        return chunk

    def end(self) -> bytes:
        """End the open member and return its padding."""
        if self._open is None:
            raise UsageError("end() of a tar member that was not started")
        if self._left:
            raise UsageError(f"tar member {self._open!r}: data is {self._left} bytes short of the size given")
        self._open = None
        return self._padding

    def encode(
        self,
        name: str,
        data: bytes,
        *,
        kind: MemberKind = "file",
        mode: int = 0o644,
        mtime: float = 0,
        linkname: str = "",
    ) -> bytes:
        """Encode a whole member."""
        header = self.start(name, len(data), kind=kind, mode=mode, mtime=mtime, linkname=linkname)
        self._open = None
        return b"".join((header, data, self._padding))

    def finish(self) -> bytes:
        """Close the archive and return its last two blocks."""
        if self._open is not None or self._finished:
            raise UsageError("finish() with a tar member open, or for the second time")
        self._finished = True
        return ZERO_BLOCK * 2


def _header(name: str, size: int, typeflag: bytes, mode: int, mtime: float, linkname: str) -> bytes:
    """Return a ustar header, behind a PAX header with whatever it cannot hold."""
    records: dict[str, str] = {}
    split = _split_name(name)
    if split is None:
        records["path"] = name
        split = b"", _as_ascii(name)
    raw_link = linkname.encode("utf-8", "surrogateescape")
    if len(raw_link) > _MAX_NAME or not raw_link.isascii():
        records["linkpath"] = linkname
        raw_link = _as_ascii(linkname)
    if size > _MAX_OCTAL_SIZE:
        records["size"] = str(size)
    seconds = int(mtime)
    if seconds != mtime or not 0 <= seconds <= _MAX_OCTAL_SIZE:
        records["mtime"] = f"{mtime:f}"
        seconds = min(max(seconds, 0), _MAX_OCTAL_SIZE)
    block = _block(split, size if size <= _MAX_OCTAL_SIZE else 0, typeflag, mode, seconds, raw_link)
    if not records:
        return block
    body = b"".join(_record(key, value) for key, value in records.items())
    extended = _block((b"", b"PaxHeaders/" + split[1][:80]), len(body), b"x", 0o644, 0, b"")
    return b"".join((extended, body, bytes(-len(body) & (BLOCK_SIZE - 1)), block))


def _split_name(name: str) -> tuple[bytes, bytes] | None:
    """Split a name into ustar's prefix and name, or return None where it does not fit."""
    raw = name.encode("utf-8", "surrogateescape")
    if not raw.isascii():
        return None
    if len(raw) <= _MAX_NAME:
        return b"", raw
    # The prefix ends before a slash that leaves at most 100 characters, at least one, behind it.
    slash = raw.find(b"/", len(raw) - _MAX_NAME - 1)
    if not 0 < slash <= _MAX_PREFIX or slash == len(raw) - 1:
        return None
    return raw[:slash], raw[slash + 1 :]


def _as_ascii(name: str) -> bytes:
    """Return a stand-in for readers that do not know PAX."""
    return name.encode("ascii", "replace")[-_MAX_NAME:]


def _block(
    name: tuple[bytes, bytes], size: int, typeflag: bytes, mode: int, mtime: int, linkname: bytes
) -> bytes:
    block = b"%b%07o\x000000000\x000000000\x00%011o\x00%011o\x00        %b%b%b%b" % (
        name[1].ljust(100, b"\0"),
        mode & 0o7777,
        size,
        mtime,
        typeflag,
        linkname.ljust(100, b"\0"),
        _USTAR_OWNER,
        name[0].ljust(167, b"\0"),
    )
    return b"%b%06o\0 %b" % (block[:148], sum(block), block[156:])


def _record(key: str, value: str) -> bytes:
    """Encode a PAX record; its length in decimal counts its own digits."""
    raw = b" %b=%b\n" % (key.encode(), value.encode("utf-8", "surrogateescape"))
    length = len(raw) + len(str(len(raw)))
    if len(str(length)) + len(raw) != length:
        length += 1
    return b"%d%b" % (length, raw)
