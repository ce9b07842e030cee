"""The data of a zip's member, for members that do not lie whole in a chunk or are not plain.

Generators over a `ByteInput`: they yield data and `STARVED`, and end where the member does, its descriptor
included. Then its sizes and its CRC are right; else they raise.
"""

from __future__ import annotations

import bz2
import lzma
import re
from collections.abc import Generator
from struct import Struct
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar

import zstandard

from ..errors import LimitExceededError
from ._backends import crc32, raw_decompressobj
from ._decompress import MAX_OUTPUT, RATIO_FREE, SKIPPABLE_FRAMES
from ._gzip import inflate_step
from ._zip_header import (
    BZIP2,
    DEFLATED,
    DESCRIPTOR_SIGNATURE,
    HAS_DESCRIPTOR,
    LZMA,
    LZMA_ENDS_ITSELF,
    NEXT_SIGNATURES,
    STORED,
    descriptor_forms,
)
from ._zstd import MAX_WINDOW, read_frame

if TYPE_CHECKING:
    from ..limits import Limits
    from ._events import Buffer
    from ._input import ByteInput
    from ._zip_header import ZipMember

__all__ = ["next_signature", "read_body"]

_T = TypeVar("_T")

Pieces: TypeAlias = Generator["Buffer", None, _T]
"""A part of a parser: yields data and `STARVED`, and returns a value to whoever delegated to it."""

_LONGEST_DESCRIPTOR: Final = 24

# What is given to a library at once. It copies what it leaves over: slices grow with the member.
_FIRST_SLICE: Final = 4096
_FIRST_SCAN: Final = 16_384  # likewise, of a stored member whose end is searched for
_LAST_SLICE: Final = 131_072

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"

next_signature: Final = re.compile(rb"PK(?:\x01\x02|\x03\x04)").search
"""Finds what may follow a member, at nearly a byte per clock (`bytes.find` needs two to three)."""

_DESCRIPTOR: Final = Struct("<4sLLL").unpack_from


def read_body(source: ByteInput, member: ZipMember, limits: Limits, *, searched: int = 0) -> Pieces[None]:
    """Read a member's data and its descriptor.

    Args:
        source: Where its data begins.
        member: What its header says; what that leaves open is filled in.
        limits: Bounds on what is accepted.
        searched: Bytes of the data in which no header's signature begins, as is known before.

    Raises:
        FormatError: if anything about them is wrong.
        LimitExceededError: for `max_member_size` or `max_ratio`.
    """
    if member.method == STORED and member.size is None:
        yield from _scan_stored(source, member, limits, max(searched, 0))
        return
    start = source.offset
    crc = size = 0
    most = limits.max_member_size if member.size is None else member.size
    for piece in _open(source, member):
        if piece:
            size += len(piece)
            crc = crc32(piece, crc)
            if size > most:
                raise _too_much(source, member, size, start, limits)
            _check_ratio(size, source.offset - start, member, limits)
        yield piece
    packed = source.offset - start
    for what, stated, found in (
        ("compressed size", member.packed, packed),
        ("size", member.size, size),
        ("CRC-32", member.crc, crc),
    ):
        if stated is not None and stated != found:
            raise source.malformed(f"the {what} is stated as {stated}, and is {found}", start)
    member.crc, member.packed, member.size = crc, packed, size
    if member.flags & HAS_DESCRIPTOR:
        yield from _read_descriptor(source, member)


def _too_much(source: ByteInput, member: ZipMember, size: int, start: int, limits: Limits) -> Exception:
    if member.size is not None:
        return source.malformed(f"the size is stated as {member.size}, and there is more", start)
    return LimitExceededError(
        "max_member_size", size, limits.max_member_size, what=f"size of zip member {member.name!r}"
    )


def _check_ratio(size: int, packed: int, member: ZipMember, limits: Limits) -> None:
    if size >= RATIO_FREE and size > packed * limits.max_ratio:
        raise LimitExceededError(
            "max_ratio",
            size / packed,
            limits.max_ratio,
            what=f"compression ratio of zip member {member.name!r}",
        )


# -- stored, and where it ends ----------------------------------------------------------------------------


def _read_stored(source: ByteInput, size: int) -> Pieces[None]:
    while size:
        piece = yield from source.some(size, "a member's data")
        size -= len(piece)
        yield piece


def _scan_stored(source: ByteInput, member: ZipMember, limits: Limits, position: int) -> Pieces[None]:
    """Read a stored member of unknown size, up to the first descriptor that can be its own.

    That has the size and the CRC of what was read, and a header behind it. Data that pretends so on purpose
    is taken for a member's end; the central directory then says otherwise.
    """
    start = source.offset
    crc = size = 0  # of what was handed out
    window = b""
    end = None
    step = _FIRST_SCAN
    while end is None:
        if not (yield from source.more()):
            raise source.truncated(
                "a stored member, or no descriptor was right for its data: cut or damaged,"
            )
        # Small members are not to copy, each of them, all that lies behind them in a large chunk.
        window = b"".join((window, source.take(step)))
        step = min(2 * step, MAX_OUTPUT)
        while end is None and (match := next_signature(window, position)):
            position = match.start()
            end = _stored_end(window, position, size, crc)
            position += 1
        # Hold back what may be a descriptor and the beginning of a signature.
        cut = max(len(window) - _LONGEST_DESCRIPTOR - 3, 0) if end is None else end
        size += cut
        if size > limits.max_member_size:
            raise _too_much(source, member, size, source.offset, limits)
        data = memoryview(window)[:cut]
        if data:
            crc = crc32(data, crc)
            yield data
        if end is None:
            window = window[cut:]
            position = max(len(window) - 3, 0)
    if member.crc not in {None, crc}:
        raise source.malformed(f"the CRC-32 is stated as {member.crc}, and is {crc}", start)
    member.crc, member.packed, member.size = crc, size, size
    source.unread(window[position - 1 :])


def _stored_end(window: bytes, position: int, size: int, crc: int) -> int | None:
    """Tell where a stored member ends, if the header found at `position` stands behind its descriptor.

    Args:
        window: What was not handed out yet.
        position: Where in it a header's signature was found.
        size: Bytes of data that were handed out.
        crc: Their CRC-32.
    """
    for width in (4, 8):
        tail = window[position - width : position]
        stated = int.from_bytes(tail, "little")
        # A descriptor ends with the size of the data, twice: so there is but one place where it may begin.
        if stated < size or window[position - 2 * width : position - width] != tail:
            continue
        end = stated - size
        form = window[end:position]
        if len(form) - 2 * width in {4, 8} and form in descriptor_forms(
            crc32(memoryview(window)[:end], crc), stated, stated
        ):
            return end
    return None


def _read_descriptor(source: ByteInput, member: ZipMember) -> Pieces[None]:
    """Read the descriptor of a member whose values are known."""
    start = source.offset
    assert member.crc is not None  # noqa: S101 - for the type checker
    assert member.packed is not None  # noqa: S101
    assert member.size is not None  # noqa: S101
    # As much as the longest form takes, and the signature behind it. An archive goes on for longer.
    found = yield from source.exactly(_LONGEST_DESCRIPTOR + 4, "a data descriptor, or what follows it")
    for form in descriptor_forms(member.crc, member.packed, member.size):
        end = len(form)
        if found.startswith(form) and found[end : end + 4] in NEXT_SIGNATURES:
            source.unread(found[end:])
            return
    signature, crc, packed, size = _DESCRIPTOR(found)
    if signature != DESCRIPTOR_SIGNATURE:
        stands = f"{found[:12].hex(' ')} stands there"
    else:
        stands = f"CRC-32 {crc:#010x}, {packed} and {size} stand there, then {found[16:20].hex(' ')}"
    raise source.malformed(
        f"the data has CRC-32 {member.crc:#010x} and {member.packed} and {member.size} bytes, but there is "
        f"no descriptor that says so, with a header behind it: {stands}",
        start,
    )


# -- compressed -------------------------------------------------------------------------------------------


def _open(source: ByteInput, member: ZipMember) -> Pieces[None]:
    """Decompress a member's data."""
    if member.method == STORED:
        assert member.size is not None  # noqa: S101 - else it was scanned
        return _read_stored(source, member.size)
    end = None if member.packed is None else source.offset + member.packed
    if member.method == DEFLATED:
        return _read_deflated(source, end)
    if member.method == BZIP2:
        return _read_packed(source, end, bz2.BZ2Decompressor())
    if member.method == LZMA:
        return _read_lzma(source, end, member)
    return _read_zstd(source, end)


def _some(source: ByteInput, end: int | None, size: int) -> Pieces[memoryview]:
    """Read compressed data, which must not go on behind `end`."""
    if end is not None:
        size = min(size, end - source.offset)
        if size <= 0:
            raise source.malformed("the compressed data goes on behind its stated end", end)
    return (yield from source.some(size, "compressed data"))


def _read_deflated(source: ByteInput, end: int | None) -> Pieces[None]:
    inflate = raw_decompressobj()
    slice_size = _FIRST_SLICE
    while not inflate.eof:
        piece = inflate_step(inflate, (yield from _some(source, end, slice_size)), source)
        while piece:
            yield piece
            # There may be more inside than one step gives: ask without input, until nothing comes.
            piece = inflate_step(inflate, b"", source)
        slice_size = min(2 * slice_size, _LAST_SLICE)


class _StdDecompressor(Protocol):
    """What `bz2` and `lzma` have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Buffer, max_length: int = -1) -> bytes: ...


def _read_packed(
    source: ByteInput, end: int | None, decompressor: _StdDecompressor, data: Buffer = b""
) -> Pieces[None]:
    while not decompressor.eof:
        if not data and decompressor.needs_input:
            data = yield from _some(source, end, _LAST_SLICE)
        try:
            piece = decompressor.decompress(data, MAX_OUTPUT)
        except (OSError, ValueError, lzma.LZMAError) as error:
            raise source.malformed(f"damaged data ({error})", source.offset - len(data)) from error
        data = b""
        if piece:
            yield piece
    source.unread(decompressor.unused_data)


def _read_lzma(source: ByteInput, end: int | None, member: ZipMember) -> Pieces[None]:
    """Decompress LZMA (5.8): a header of its own, then what an .lzma file has behind its header."""
    start = source.offset
    header = yield from source.exactly(9, "compressed data")  # version of the library, size of what follows
    properties = header[4:]
    if header[2:4] != b"\x05\x00":
        raise source.malformed("the LZMA properties are not 5 bytes long", start + 2)
    dictionary = int.from_bytes(properties[1:], "little")
    if dictionary > MAX_WINDOW:
        raise source.unsupported(f"an LZMA dictionary of {dictionary} bytes (more than {MAX_WINDOW})", start)
    if member.flags & LZMA_ENDS_ITSELF:
        size = b"\xff" * 8
    elif member.size is None:
        raise source.unsupported("LZMA data without an end mark whose size is not known", start)
    else:
        size = member.size.to_bytes(8, "little")
    yield from _read_packed(source, end, lzma.LZMADecompressor(lzma.FORMAT_ALONE), properties + size)


def _read_zstd(source: ByteInput, end: int | None) -> Pieces[None]:
    """Decompress zstd frames: up to the end if it is stated, else one, with skippable ones before it."""
    context = zstandard.ZstdDecompressor()
    while end is None or source.offset < end:
        start = source.offset
        magic = yield from source.exactly(4, "compressed data")
        if magic == _ZSTD_MAGIC:
            yield from read_frame(context, source)
            if end is None:
                return
        elif skip := SKIPPABLE_FRAMES.get(magic):
            yield from skip(source)
        else:
            raise source.malformed(f"no zstd frame begins with {magic.hex(' ')}", start)
