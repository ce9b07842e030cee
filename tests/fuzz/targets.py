"""What a fuzzer calls: a function per decoder that takes any bytes, and raises if a promise is broken.

The promises are those of `Decoder` and `Decompressor`, for whatever comes in:

- nothing but errors of ours is raised, of those that blame the bytes;
- after an error every call raises the same one;
- the same bytes make the same of it, however they are cut up;
- no more comes out than the limits and one step allow.

The first two bytes of an input are no data: they say how to cut up the rest, and which options to use.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from asyncbatch.codecs import MemberData, MemberEnd, MultipartDecoder, WholeMember, ZipDecoder
from asyncbatch.codecs._decompress import MAX_OUTPUT
from asyncbatch.codecs._formats import FORMATS, detect_format, open_decompressor
from asyncbatch.codecs._pipeline import open_decoder
from asyncbatch.errors import AsyncBatchError, FormatError, LimitExceededError, TruncatedArchiveError
from asyncbatch.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncbatch.codecs import ArchiveFormat, Decoder, Decompressor, MemberStart
    from asyncbatch.codecs._formats import Compression

__all__ = ["BOUNDARY", "HEAD_SIZE", "TARGETS"]

HEAD_SIZE: Final = 2
BOUNDARY: Final = b"b"

_LIMITS: Final = Limits(
    max_member_size=1 << 20,
    max_total_size=4 << 20,
    max_members=500,
    max_name_length=300,
    max_header_size=4096,
)
_NOT_STRICT: Final = 1
_SIZES_KNOWN: Final = 2
_NAMED: Final = 4
_CHUNK_SIZES: Final = (1, 2, 3, 7, 30, 100, 511, 512, 513, 4096)


_LAZY: Final = ("kind", "mode", "mtime", "linkname", "is_symlink")


@dataclass
class _Outcome:
    """What came out of an input: members whose end was told, what came of one that was not, and the error."""

    members: list[tuple[object, ...]] = field(default_factory=list)
    cut: bytes = b""
    error: AsyncBatchError | None = None


def check_tar(data: bytes) -> None:
    """Fuzz the decoder of tars."""
    _check_container(
        lambda options: open_decoder(_row(".tar"), limits=_LIMITS, strict=_strict(options)), data
    )


def check_zip(data: bytes) -> None:
    """Fuzz the decoder of zips, also with sizes that were told, perhaps wrongly."""

    def make(options: int) -> Decoder:
        sizes = [0, 5, 1000, 3] if options & _SIZES_KNOWN else None
        return ZipDecoder(limits=_LIMITS, strict=_strict(options), sizes=sizes)

    _check_container(make, data)


def check_multipart(data: bytes) -> None:
    """Fuzz the decoder of multipart bodies."""
    _check_container(
        lambda options: MultipartDecoder(BOUNDARY, limits=_LIMITS, strict=_strict(options)), data
    )


def check_archive(data: bytes) -> None:
    """Fuzz the detection of formats, with all that may stand behind it."""
    for size in (0, 1, 4, 8, 262, 512):
        _detect(data[HEAD_SIZE : HEAD_SIZE + size])
    _check_container(
        lambda options: open_decoder(
            None,
            source_name="words.txt.gz" if options & _NAMED else None,
            limits=_LIMITS,
            strict=_strict(options),
        ),
        data,
    )


def check_gzip(data: bytes) -> None:
    """Fuzz the decompressor of gzip."""
    _check_compression("gzip", data)


def check_lz4(data: bytes) -> None:
    """Fuzz the decompressor of LZ4 frames."""
    _check_compression("lz4", data)


def check_zstd(data: bytes) -> None:
    """Fuzz the decompressor of zstd."""
    _check_compression("zstd", data)


def check_bzip2(data: bytes) -> None:
    """Fuzz the decompressor of bzip2."""
    _check_compression("bzip2", data)


def check_xz(data: bytes) -> None:
    """Fuzz the decompressor of xz."""
    _check_compression("xz", data)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "tar": check_tar,
    "zip": check_zip,
    "multipart": check_multipart,
    "archive": check_archive,
    "gzip": check_gzip,
    "lz4": check_lz4,
    "zstd": check_zstd,
    "bzip2": check_bzip2,
    "xz": check_xz,
}


def _row(name: str) -> ArchiveFormat:
    return next(row for row in FORMATS if row.name == name)


def _strict(options: int) -> bool:
    return not options & _NOT_STRICT


def _detect(head: bytes) -> None:
    for at_eof in (False, True):
        try:
            found = detect_format(head, at_eof=at_eof)
        except FormatError:
            continue
        assert found is not None or not at_eof


def _cut_up(data: bytes, seed: int) -> list[bytes]:
    """Cut into chunks of sizes that the seed makes up."""
    sizes = random.Random(seed)
    chunks = []
    while data:
        size = sizes.choice(_CHUNK_SIZES)
        chunks.append(data[:size])
        data = data[size:]
    return chunks


def _check_container(make: Callable[[int], Decoder], data: bytes) -> None:
    if len(data) < HEAD_SIZE:
        return
    seed, options, content = data[0], data[1], data[HEAD_SIZE:]
    whole = _decode(make(options), [content] if content else [])
    cut = _decode(make(options), _cut_up(content, seed))
    assert whole.members == cut.members, (whole, cut)
    assert _agree(whole.cut, cut.cut, whole.error), (whole, cut)
    assert _same(whole.error, cut.error), (whole, cut)


def _decode(decoder: Decoder, chunks: Iterable[bytes]) -> _Outcome:
    outcome = _Outcome()
    collector = _Collector(outcome)
    try:
        for chunk in chunks:
            decoder.feed(chunk)
            collector.take(decoder)
        decoder.feed_eof()
        collector.take(decoder)
        collector.finish()
    except AsyncBatchError as error:
        outcome.error = error
        _check_repeats(error, decoder)
    return outcome


class _Collector:
    """Turns events into members, and holds the decoder to their order and to the limits."""

    def __init__(self, outcome: _Outcome) -> None:
        self._outcome = outcome
        self._open: MemberStart | None = None
        self._total = 0

    def take(self, decoder: Decoder) -> None:
        outcome = self._outcome
        for event in decoder:
            if isinstance(event, MemberData):
                assert self._open is not None
                assert event.data
                outcome.cut += event.data
                self._count(len(event.data))
            elif isinstance(event, MemberEnd):
                assert self._open is not None
                self._add(self._open, outcome.cut)
                outcome.cut, self._open = b"", None
            else:
                assert self._open is None
                if isinstance(event, WholeMember):
                    assert type(event.data) is bytes
                    self._count(event.size)
                    self._add(event, event.data)
                else:
                    self._open = event

    def finish(self) -> None:
        assert self._open is None

    def _add(self, event: MemberStart | WholeMember, data: bytes) -> None:
        assert event.size is None or event.size == len(data)
        assert len(event.name.encode("utf-8", "surrogateescape")) <= _LIMITS.max_name_length * 3
        facts = [_ask(event, name) for name in _LAZY]
        self._outcome.members.append((event.name, data, event.offset, *facts))
        assert len(self._outcome.members) <= _LIMITS.max_members

    def _count(self, size: int) -> None:
        self._total += size
        assert self._total <= _LIMITS.max_total_size + MAX_OUTPUT


def _ask(event: MemberStart | WholeMember, name: str) -> object:
    """Return a fact, or what is wrong with it: some are parsed, and refused, when they are asked for."""
    try:
        return getattr(event, name)
    except FormatError as error:
        return str(error)


def _check_compression(compression: Compression, data: bytes) -> None:
    if len(data) < HEAD_SIZE:
        return
    seed, options, content = data[0], data[1], data[HEAD_SIZE:]
    whole, cut = (
        _decompress(open_decompressor(compression, limits=_LIMITS, strict=_strict(options)), chunks)
        for chunks in ([content] if content else [], _cut_up(content, seed))
    )
    assert _agree(whole.cut, cut.cut, whole.error)
    assert _same(whole.error, cut.error), (whole.error, cut.error)


def _decompress(decompressor: Decompressor, chunks: Iterable[bytes]) -> _Outcome:
    outcome = _Outcome()
    out = bytearray()

    def take() -> None:
        for piece in decompressor:
            assert 0 < len(piece) <= MAX_OUTPUT
            out.extend(piece)
            assert len(out) <= _LIMITS.max_total_size

    try:
        for chunk in chunks:
            decompressor.feed(chunk)
            take()
        decompressor.feed_eof()
        take()
    except AsyncBatchError as error:
        outcome.error = error
        _check_repeats(error, decompressor)
    outcome.cut = bytes(out)
    return outcome


def _agree(data: bytes, other: bytes, error: AsyncBatchError | None) -> bool:
    """Whether two are the same; behind an error one of them may be longer, as it came in larger steps."""
    return data == other or (error is not None and (data.startswith(other) or other.startswith(data)))


def _same(error: AsyncBatchError | None, other: AsyncBatchError | None) -> bool:
    """Whether two errors say the same.

    What a library finds damaged it says of a whole chunk. Of another chunk it finds nothing yet, and what
    came out of that may be wrong in a way of its own.
    """
    if _is_damage(error) or _is_damage(other):
        return error is not None and other is not None
    if isinstance(error, LimitExceededError) and isinstance(other, LimitExceededError):
        return error.limit == other.limit  # by how much depends on the steps
    if isinstance(error, TruncatedArchiveError) and isinstance(other, TruncatedArchiveError):
        # Inside of what: a decoder that waits for a whole member has not looked into it.
        return (error.codec, error.offset) == (other.codec, other.offset)
    return (type(error), str(error)) == (type(other), str(other))


def _is_damage(error: AsyncBatchError | None) -> bool:
    return isinstance(error, FormatError) and error.reason.startswith("damaged")


def _check_repeats(error: AsyncBatchError, decoder: Decoder | Decompressor) -> None:
    assert isinstance(error, FormatError | LimitExceededError), repr(error)
    for call in (lambda: decoder.feed(b"x"), lambda: list(decoder), decoder.feed_eof):
        again: AsyncBatchError | None = None
        try:
            call()
        except AsyncBatchError as raised:
            again = raised
        assert again is error, (error, again)
