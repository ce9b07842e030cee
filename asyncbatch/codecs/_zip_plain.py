"""The fast path of `ZipDecoder`: members that are whole and plain, in straight-line code.

Plain is what almost every member of a batch is: stored or deflated, its name printable, no extra field but
times and owners. The checks are all made here as well; whatever does not pass one of them is left where it
stands, for the decoder to read in full and say what is wrong with it, if anything.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import TYPE_CHECKING, Final

from ._backends import crc32, inflate_error, raw_decompressobj
from ._decompress import MAX_OUTPUT
from ._zip_body import next_signature
from ._zip_events import ZipWholeMember
from ._zip_header import (
    DEFLATED,
    DESCRIPTOR_SIGNATURE,
    END_SIGNATURE,
    HAS_DESCRIPTOR,
    LOCAL_SIGNATURE,
    NEXT_SIGNATURES,
    STORED,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._events import Event
    from ._zip_directory import Delivered
    from ._zip_header import ZipMember

__all__ = ["PLAIN_EXTRA_SIZE", "PlainReader"]

# 4.3.7: signature to method; then, behind the time, CRC-32, compressed size, size, lengths of name and extra.
_LOCAL: Final = Struct("<10s4xLLLHH").unpack_from
_LOCAL_SIZE: Final = 30
# 4.3.9, signature and all: CRC-32, compressed size, size.
_DESCRIPTOR: Final = Struct("<4sLLL").unpack_from
_DESCRIPTOR_SIZE: Final = 16

# What a header's first ten bytes mean here.
_STORED: Final = 0
_DEFLATED: Final = 1
_STORED_BEFORE: Final = 2  # its descriptor
_DEFLATED_BEFORE: Final = 3
_KINDS: Final = {
    (STORED, 0): _STORED,
    (DEFLATED, 0): _DEFLATED,
    (STORED, HAS_DESCRIPTOR): _STORED_BEFORE,
    (DEFLATED, HAS_DESCRIPTOR): _DEFLATED_BEFORE,
}
_MAX_KINDS: Final = 4096  # that are remembered

_SLASH: Final = ord("/")

# Extra fields that say nothing but times and owners: the extended timestamp (0x5455) as Go has it, and
# Info-ZIP's, which is longer and followed by Unix IDs (0x7875).
_GO_TIME: Final = b"UT\x05\x00"
_GO_TIME_SIZE: Final = 9
_plain_extra: Final = re.compile(rb"UT\x09\x00.{9}ux\x0b\x00.{11}", re.DOTALL).fullmatch
PLAIN_EXTRA_SIZE: Final = 28
"""Bytes of extra fields that a plain member has at most."""

# 4.4.4, bit 3: CRC-32 and sizes of a streamed member's header are zero: 12 bytes, 14 behind its beginning.
_ZEROS: Final = 12
_ZEROS_END: Final = 26
_END_SIZE: Final = 22  # 4.3.16, without the comment
_LEAST_REACH: Final = 1024
_MOST_GUESSES: Final = 48


class PlainReader:
    """Takes plain members out of chunks.

    Args:
        delivered: Where to take them down.
        sizes: Bytes of each member, as far as they are known.
        strict: Whether nothing but zeros may stand behind the archive.

    Attributes:
        inflated: How much came out of compressed ones, the last time.
        is_cut: Whether what it stopped at, then, is a plain member that is not whole, and short.
        searched: Where in the input a header may begin, of those behind what it stopped at: not before.
    """

    __slots__ = (
        "_delivered",
        "_kept",
        "_kinds",
        "_last_packed",
        "_sampled",
        "_sizes",
        "_strict",
        "inflated",
        "is_cut",
        "searched",
    )

    def __init__(self, delivered: Delivered, sizes: Sequence[int], *, strict: bool) -> None:
        self._delivered = delivered
        self._sizes = sizes
        self._strict = strict
        self._kinds: dict[bytes, int] = {}  # by the first ten bytes of headers that were read in full
        self._kept = 0
        self._last_packed = 0  # size of the last streamed member
        self._sampled = 0  # as `searched`, but for headers of streamed members only
        self.inflated = 0
        self.is_cut = False
        self.searched = 0

    def learn(self, prefix: bytes, member: ZipMember) -> None:
        """Remember what the first ten bytes of a local header mean: from now on they may be plain."""
        kind = _KINDS.get((member.method, member.flags & HAS_DESCRIPTOR))
        if kind is not None:
            if len(self._kinds) >= _MAX_KINDS:
                self._kinds.clear()
            self._kinds[prefix] = kind

    def take(self, chunk: bytes, position: int, base: int, kept: int, events: list[Event]) -> int:
        """Append the events of members that are whole, sound and plain; a step's worth at most.

        Args:
            chunk: Input.
            position: Where in it a header begins.
            base: Where it stands itself in the archive.
            kept: Bytes of a member that are not many.
            events: What is appended to.

        Returns:
            Where it stopped.
        """
        end, last = len(chunk), len(chunk) - _LOCAL_SIZE
        kinds, sizes, member = self._kinds, self._sizes, ZipWholeMember
        heads, offsets, append = self._delivered.heads, self._delivered.offsets, events.append
        self.is_cut, self.inflated, self._kept = False, 0, kept
        while position <= last:
            prefix, crc, packed, size, name_size, extra_size = _LOCAL(chunk, position)
            name_end = position + 30 + name_size
            head = chunk[position:name_end]
            try:
                kind = kinds[prefix]
                name = head[30:].decode()
            except (KeyError, UnicodeDecodeError):
                break
            # What is printable has no control characters. That the last byte is more than a slash makes sure
            # that there is one, and that it is no directory, which must be empty.
            if not name.isprintable() or head[-1] <= _SLASH or not (name.isascii() or prefix[7] & 8):
                break
            data_start = name_end + extra_size
            full_head = head
            if extra_size:
                if not _is_plain_extra(chunk, name_end, data_start):
                    break
                full_head = chunk[position:data_start]
            if sizes and (kind != _STORED_BEFORE or len(heads) >= len(sizes)):
                break
            if not kind:  # stored
                after = data_start + packed
                if after > end or packed != size:
                    self.is_cut = end < after <= position + kept
                    break
                data = chunk[data_start:after]
            elif kind == _STORED_BEFORE:
                after = self._find_header(chunk, position, data_start, base)
                if after < 0 or crc or packed or size:
                    self.is_cut = after == -1 and end - position <= kept
                    break
                data_end = after - _DESCRIPTOR_SIZE
                signature, crc, packed, size = _DESCRIPTOR(chunk, data_end)
                data = chunk[data_start:data_end]
                if signature != DESCRIPTOR_SIGNATURE or packed != size or size != len(data):
                    break
                head = b"".join((head[:14], chunk[data_end + 4 : after], head[26:]))
            else:
                inflated = self._inflate(chunk, position, data_start, base)
                if inflated is None:
                    break
                data, after, crc, head = inflated
                size = len(data)
                if self.inflated >= MAX_OUTPUT:
                    last = -1  # that is enough for a step
            if crc32(data) != crc:
                break
            heads.append(head)
            offsets.append(base + position)
            append(member(name, size, data, base + data_start, crc, full_head))
            position = after
        return position

    def _find_header(self, chunk: bytes, position: int, data_start: int, base: int) -> int:
        """Find the first header behind a streamed member's data, or what looks like one.

        Where all members are streamed, the next header has a dozen zeros in it: one byte of every dozen is
        looked at first, which takes a fraction of the time. Other headers are searched for only when no
        more may come, or too much has. Of two places that both look right, one of them made to, either may
        be found: the central directory knows better.

        Returns:
            Where it begins; -1 if that is not there yet, or -2 if it is not where it has to be.
        """
        if self._sizes:
            after = data_start + self._sizes[len(self._delivered.heads)] + _DESCRIPTOR_SIZE
            if after + 4 > len(chunk):
                return -1
            return after if chunk[after : after + 4] in NEXT_SIGNATURES else -2
        guess = data_start + self._last_packed  # of a dataset, many members have one size
        if chunk.startswith(DESCRIPTOR_SIGNATURE, guess) and chunk.startswith(LOCAL_SIGNATURE, guess + 16):
            return guess + _DESCRIPTOR_SIZE
        start = max(data_start + _ZEROS, self._sampled - base)
        stop = start + 2 * self._last_packed + _LEAST_REACH
        guesses = _MOST_GUESSES
        while guesses:
            sample = chunk[start : min(stop, len(chunk) - 1) : _ZEROS]
            index = sample.find(0)
            while index >= 0 and guesses:
                zero = start + index * _ZEROS
                found = -1
                if not (chunk[zero - 1] and chunk[zero + 1]):  # it is not alone
                    found = chunk.find(LOCAL_SIGNATURE, zero - 25, zero - 10)
                if found >= data_start:
                    self._last_packed = max(found - _DESCRIPTOR_SIZE - data_start, 0)
                    return found  # with no descriptor before it, the member is none of the plain ones
                index = sample.find(0, index + 1)
                guesses -= 1
            if stop >= len(chunk):
                break
            start, stop = start + len(sample) * _ZEROS, len(chunk)
        if guesses and self._strict and len(chunk) - position <= self._kept and not _may_be_over(chunk):
            self._sampled = base + len(chunk) - _ZEROS_END
            return -1
        start = max(data_start + _ZEROS, self.searched - base)
        if match := next_signature(chunk, start):
            return match.start()
        self.searched = base + len(chunk) - 3  # the last bytes may be the beginning of one
        return -1

    def _inflate(
        self, chunk: bytes, position: int, data_start: int, base: int
    ) -> tuple[bytes, int, int, bytes] | None:
        """Inflate a member; return its data, where it ends, its CRC-32, and its header with that in it."""
        prefix, crc, packed, size, name_size, _ = _LOCAL(chunk, position)
        head = chunk[position : position + _LOCAL_SIZE + name_size]
        if self._kinds[prefix] == _DEFLATED:
            after = data_end = data_start + packed
            if after > len(chunk):
                self.is_cut = after <= position + self._kept
                return None
        else:
            after = self._find_header(chunk, position, data_start, base)
            if after < 0 or crc or packed or size:
                self.is_cut = after == -1 and len(chunk) - position <= self._kept
                return None
            data_end = after - _DESCRIPTOR_SIZE
            signature, crc, packed, size = _DESCRIPTOR(chunk, data_end)
            if signature != DESCRIPTOR_SIGNATURE or packed != data_end - data_start:
                return None
            head = b"".join((head[:14], chunk[data_end + 4 : after], head[26:]))
        if size > MAX_OUTPUT:
            return None
        inflate = raw_decompressobj()
        try:
            data = inflate.decompress(chunk[data_start:data_end], size + 1)
        except inflate_error:
            return None
        if len(data) != size or not inflate.eof or inflate.unused_data:
            return None
        self.inflated += size
        return data, after, crc, head


def _may_be_over(chunk: bytes) -> bool:
    """Whether the end of the archive may be in a chunk, behind which there is nothing but zeros, if anything.

    The comment that it ends with has no byte below 9 but zeros (`_zip_directory`), so that the last 6 is the
    signature's, or one behind it in that record.
    """
    last = chunk.rfind(6)
    return chunk.find(END_SIGNATURE, max(last - _END_SIZE + 1, 0), last + 1) >= 0


def _is_plain_extra(chunk: bytes, start: int, end: int) -> bool:
    if end - start == _GO_TIME_SIZE:
        return chunk.startswith(_GO_TIME, start)
    return _plain_extra(chunk, start, end) is not None
