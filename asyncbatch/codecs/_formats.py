"""The one table of archive formats: names, media types, magic numbers, and what decodes them.

To add a format is to add a row to `FORMATS`; to add a compression, one to `_MODULES` as well.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from ..errors import FormatError, TruncatedArchiveError, UsageError
from ..limits import DEFAULT_LIMITS
from ._tar_header import BLOCK_SIZE, ZERO_BLOCK, checksum_matches

if TYPE_CHECKING:
    from ..limits import Limits
    from ._compress import Compressor
    from ._decompress import Decompressor

__all__ = [
    "DETECT_SIZE",
    "FORMATS",
    "OBJECT",
    "ArchiveFormat",
    "Compression",
    "Container",
    "detect_format",
    "format_of_mime",
    "format_of_name",
    "looks_like_tar",
    "open_compressor",
    "open_decompressor",
    "parse_format",
]

Container: TypeAlias = Literal["tar", "zip", "bare"]
Compression: TypeAlias = Literal["gzip", "lz4", "zstd", "bzip2", "xz"]

DETECT_SIZE: Final = BLOCK_SIZE
"""Bytes of the beginning that `detect_format` asks for at most: one header of a tar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFormat:
    """A row of the table.

    Attributes:
        name: What a user calls it, such as ``".tar.gz"``; the first of `extensions`.
        container: What holds the members; ``"bare"`` is nothing: the data is one member.
        compression: What was done to the whole container, or None.
        extensions: Endings of file names that mean this format, in lower case.
        mime_types: Media types that mean this format; the first is the one to send. Bare compressions have
            none of their own.
        magics: What the bytes may begin with; empty where only a closer look tells (`looks_like_tar`, or what
            comes out of the decompressor).
    """

    name: str
    container: Container
    compression: Compression | None
    extensions: tuple[str, ...]
    mime_types: tuple[str, ...]
    magics: tuple[bytes, ...]


def _bare(extension: str, compression: Compression) -> ArchiveFormat:
    return ArchiveFormat(
        name=extension,
        container="bare",
        compression=compression,
        extensions=(extension,),
        mime_types=(),
        magics=(),
    )


def _little_endian(*numbers: int) -> tuple[bytes, ...]:
    return tuple(number.to_bytes(4, "little") for number in numbers)


_TAR: Final = ArchiveFormat(
    name=".tar",
    container="tar",
    compression=None,
    extensions=(".tar",),
    mime_types=("application/x-tar", "application/tar", "application/x-gtar", "application/x-ustar"),
    magics=(),
)
_TAR_ZST: Final = ArchiveFormat(
    name=".tar.zst",
    container="tar",
    compression="zstd",
    extensions=(".tar.zst", ".tzst"),
    mime_types=("application/zstd", "application/x-zstd"),
    # RFC 8878, 3.1.1, and the formats before version 0.8, which the decompressor then refuses by name.
    magics=_little_endian(0xFD2FB528, *range(0xFD2FB522, 0xFD2FB528)),
)

FORMATS: Final = (
    _TAR,
    ArchiveFormat(
        name=".tar.gz",
        container="tar",
        compression="gzip",
        extensions=(".tar.gz", ".tgz"),
        mime_types=(
            "application/gzip",
            "application/x-gzip",
            "application/x-tgz",
            "application/x-gtar-compressed",
        ),
        magics=(b"\x1f\x8b",),  # RFC 1952, 2.3.1
    ),
    ArchiveFormat(
        name=".tar.lz4",
        container="tar",
        compression="lz4",
        extensions=(".tar.lz4",),
        mime_types=("application/x-lz4", "application/lz4"),
        # The frame format, and the legacy one, which the decompressor then refuses by name.
        magics=_little_endian(0x184D2204, 0x184C2102),
    ),
    _TAR_ZST,
    ArchiveFormat(
        name=".tar.bz2",
        container="tar",
        compression="bzip2",
        extensions=(".tar.bz2", ".tbz2", ".tbz"),
        mime_types=("application/x-bzip2", "application/bzip2", "application/x-bzip"),
        magics=tuple(b"BZh%d" % level for level in range(1, 10)),
    ),
    ArchiveFormat(
        name=".tar.xz",
        container="tar",
        compression="xz",
        extensions=(".tar.xz", ".txz"),
        mime_types=("application/x-xz",),
        # xz-file-format 2.1.1.1; and how .lzma usually begins, which the decompressor then refuses by name.
        magics=(b"\xfd7zXZ\0", b"]\0\0"),
    ),
    ArchiveFormat(
        name=".zip",
        container="zip",
        compression=None,
        extensions=(".zip",),
        mime_types=("application/zip", "application/x-zip-compressed"),
        # APPNOTE.TXT 4.3.7 a local file header, 4.3.16 the end record of an empty zip, 8.5.3 a spanned one.
        magics=(b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"),
    ),
    _bare(".gz", "gzip"),
    _bare(".lz4", "lz4"),
    _bare(".zst", "zstd"),
    _bare(".bz2", "bzip2"),
    _bare(".xz", "xz"),
)
"""Every format that the library knows by name."""

OBJECT: Final = ArchiveFormat(
    name="", container="bare", compression=None, extensions=(), mime_types=(), magics=()
)
"""An object by itself, taken for an archive of one member. No name and no bytes tell it."""

_BY_EXTENSION: Final = {extension: row for row in FORMATS for extension in row.extensions}
_BY_MIME_TYPE: Final = {mime_type: row for row in FORMATS for mime_type in row.mime_types}
_BY_MAGIC: Final = {magic: row for row in FORMATS for magic in row.magics}

_MAGIC_SIZE: Final = 4  # of skippable frames
_SKIPPABLE: Final = _little_endian(*range(0x184D2A50, 0x184D2A60))  # RFC 8878, 3.1.2
_SKIPPABLE_HEADER: Final = 8

_USTAR_AT: Final = 257  # POSIX pax, "ustar Interchange Format"
_USTAR: Final = b"ustar"

# A compression's module, and what its classes begin with. They are loaded when first used.
_MODULES: Final[dict[str, tuple[str, str]]] = {
    "gzip": ("._gzip", "Gzip"),
    "lz4": ("._lz4", "Lz4"),
    "zstd": ("._zstd", "Zstd"),
    "bzip2": ("._bzip2", "Bzip2"),
    "xz": ("._xz", "Xz"),
}


def format_of_name(name: str) -> ArchiveFormat | None:
    """Return the format that a file name or a bare extension (``".tgz"``) tells, in any case; else None."""
    lowered = name.lower()
    endings = [extension for extension in _BY_EXTENSION if lowered.endswith(extension)]
    return _BY_EXTENSION[max(endings, key=len)] if endings else None


def parse_format(name: str) -> ArchiveFormat:
    """Return the format that a user asked for, by one of its extensions.

    Raises:
        UsageError: if there is none of that name.
    """
    try:
        return _BY_EXTENSION[name.lower()]
    except KeyError:
        raise UsageError(
            f"{name!r} is no known archive format; known are {', '.join(_BY_EXTENSION)}"
        ) from None


def format_of_mime(content_type: str) -> ArchiveFormat | None:
    """Return the format that a Content-Type header tells, whatever its parameters; else None."""
    return _BY_MIME_TYPE.get(content_type.partition(";")[0].strip().lower())


def detect_format(head: bytes, *, at_eof: bool = False) -> ArchiveFormat | None:
    """Tell a format by its first bytes.

    A compressed stream is taken for a compressed tar: whether it is one, only its content tells. One that
    begins with skippable frames, which zstd and LZ4 share, is zstd unless an LZ4 frame follows them within
    `head`.

    Args:
        head: The first bytes, as many as are there; `DETECT_SIZE` always suffice.
        at_eof: Whether `head` is all there is.

    Returns:
        The format, or None if more bytes are needed to tell.

    Raises:
        FormatError: if the bytes are no archive; its reason says what they look like.
        TruncatedArchiveError: if there are none at all.
    """
    whole = at_eof or len(head) >= DETECT_SIZE
    frame = _behind_skippable_frames(head)
    if row := next((row for magic, row in _BY_MAGIC.items() if frame.startswith(magic)), None):
        return row
    if looks_like_tar(head):
        return _TAR
    if not whole:
        return None
    if len(frame) < len(head):
        return _TAR_ZST
    if not head:
        raise TruncatedArchiveError("the input is empty", codec="archive", offset=0)
    raise FormatError(_what_it_looks_like(head), codec="archive", offset=0)


def _behind_skippable_frames(head: bytes) -> bytes:
    """Return what is left of `head` behind the skippable frames that it begins with."""
    position = 0
    while (header := head[position : position + _SKIPPABLE_HEADER])[:_MAGIC_SIZE] in _SKIPPABLE:
        position += _SKIPPABLE_HEADER + int.from_bytes(header[_MAGIC_SIZE:], "little")
    return head[position:]


def looks_like_tar(head: bytes) -> bool:
    """Whether a tar begins so: with a header, or, if it is empty, with the zeros that end it.

    The name of a header's format is taken for enough, and its checksum left to the decoder, who can say what
    is wrong with it. Headers of v7 have nothing but their checksum.
    """
    block = head[:BLOCK_SIZE]
    if block.startswith(_USTAR, _USTAR_AT):
        return True
    return len(block) == BLOCK_SIZE and (block == ZERO_BLOCK or checksum_matches(block))


_SNIPPET: Final = 60  # characters of text to show
_HTML: Final = ("<!doctype html", "<html", "<head", "<body")


def _what_it_looks_like(head: bytes) -> str:
    """Describe bytes that are no archive, for an error's reason."""
    known = ", ".join(row.name for row in FORMATS)
    try:
        text = getincrementaldecoder("utf-8-sig")().decode(head).strip()  # its last character may be cut
    except UnicodeDecodeError:
        text = ""
    if not text or not all(character.isprintable() or character.isspace() for character in text):
        return f"this is no archive that is known ({known}): it begins with {head[:8].hex(' ')}"
    if text.lower().startswith(_HTML):
        return "this is an HTML page, not an archive: is the URL right?"
    kind = {"<": "XML", "{": "JSON", "[": "JSON"}.get(text[0], "text")
    return f"this is {kind}, not an archive, and perhaps a server's message: {text[:_SNIPPET]!r}"


def open_decompressor(
    compression: Compression, *, limits: Limits = DEFAULT_LIMITS, strict: bool = True
) -> Decompressor:
    """Return a new decompressor.

    Raises:
        UsageError: if there is no such compression.
    """
    decompressor: Decompressor = _load(compression, "Decompressor")(limits=limits, strict=strict)
    return decompressor


def open_compressor(compression: Compression | None) -> Compressor | None:
    """Return a new compressor of the default level, or None where there is nothing to compress.

    Raises:
        UsageError: if there is no such compression.
    """
    if compression is None:
        return None
    compressor: Compressor = _load(compression, "Compressor")()
    return compressor


def _load(compression: str, what: str) -> Any:  # noqa: ANN401 - a class, of one of two protocols
    try:
        module, prefix = _MODULES[compression]
    except KeyError:
        raise UsageError(
            f"{compression!r} is no known compression; known are {', '.join(_MODULES)}"
        ) from None
    return getattr(import_module(module, __package__), prefix + what)
