"""Decoders made of others: a compressed archive is a decompressor with a container decoder behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import AsyncBatchError
from ..limits import DEFAULT_LIMITS
from ._bare import NAMELESS, BareDecoder, TarOrBareDecoder, bare_name
from ._formats import detect_format, open_decompressor
from ._tar_decoder import TarDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..limits import Limits
    from ._decompress import Decompressor
    from ._events import Buffer, Decoder, Event
    from ._formats import ArchiveFormat
    from ._zip_events import ZipRecord

__all__ = ["CompressedDecoder", "DetectingDecoder", "decompressed", "open_decoder"]


def open_decoder(
    archive_format: ArchiveFormat | None,
    *,
    source_name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    strict: bool = True,
    sizes: Sequence[int] | None = None,
) -> Decoder:
    """Make the decoder of an archive format; for None, one that tells the format by the first bytes.

    Args:
        archive_format: The format, or None.
        source_name: What the source is called, after which the member of a bare compression is named. Without
            a name, a compressed stream whose format is to be told is a compressed tar and nothing else.
        limits: Bounds on what is accepted.
        strict: Whether the input must end as its format says.
        sizes: Bytes of each member, if they are known: where a zip's members end, it may not say.
    """
    if archive_format is None:
        return DetectingDecoder(source_name=source_name, limits=limits, strict=strict)
    container: Decoder
    if archive_format.container == "bare":
        container = BareDecoder(NAMELESS if source_name is None else bare_name(source_name), limits=limits)
    elif archive_format.container == "zip":
        from ._zip_decoder import ZipDecoder  # noqa: PLC0415 - with all that a zip may be compressed by

        container = ZipDecoder(limits=limits, strict=strict, sizes=sizes)
    else:
        container = TarDecoder(limits=limits, strict=strict)
    return decompressed(archive_format, container, limits=limits, strict=strict)


def decompressed(
    archive_format: ArchiveFormat,
    container: Decoder,
    *,
    limits: Limits = DEFAULT_LIMITS,
    strict: bool = True,
) -> Decoder:
    """Put the format's decompressor, if it has one, in front of a container decoder."""
    if archive_format.compression is None:
        return container
    decompressor = open_decompressor(archive_format.compression, limits=limits, strict=strict)
    return CompressedDecoder(decompressor, container)


class DetectingDecoder:
    """A decoder for archives of any format, told by their first bytes.

    Bytes that are no archive make iteration raise `FormatError`, whose reason says what they look like.
    For `source_name`, see `open_decoder`.
    """

    def __init__(
        self, *, source_name: str | None = None, limits: Limits = DEFAULT_LIMITS, strict: bool = True
    ) -> None:
        self._source_name = source_name
        self._limits = limits
        self._strict = strict
        self._head = b""
        self._decoder: Decoder | None = None
        self._error: AsyncBatchError | None = None

    @property
    def decompresses(self) -> bool:
        """Whether the format that was found has something to decompress."""
        return self._decoder is not None and self._decoder.decompresses

    @property
    def is_slow(self) -> bool:
        """Whether decompressing the format that was found takes long."""
        return self._decoder is not None and self._decoder.is_slow

    @property
    def directory(self) -> tuple[ZipRecord, ...] | None:
        """What `ZipDecoder.directory` has, if this is a zip."""
        return getattr(self._decoder, "directory", None)

    def feed(self, chunk: Buffer, /) -> None:
        """Give the next bytes; nothing comes out before there are enough of them to tell the format."""
        if self._decoder is not None:
            self._decoder.feed(chunk)
            return
        self._raise_again()
        self._head += chunk
        self._detect(at_eof=False)

    def __iter__(self) -> Iterator[Event]:
        """Iterate over what is complete."""
        self._raise_again()
        return iter(self._decoder or ())

    def feed_eof(self) -> None:
        """Say that the input has ended, as the decoder of its format takes it."""
        if self._decoder is None:
            self._raise_again()
            self._detect(at_eof=True)
        if self._decoder is not None:
            self._decoder.feed_eof()
        self._raise_again()

    def _detect(self, *, at_eof: bool) -> None:
        try:
            found = detect_format(self._head, at_eof=at_eof)
            if found is not None:
                self._decoder = self._open(found)
                self._decoder.feed(self._head)
                self._head = b""
        except AsyncBatchError as error:
            self._error = error

    def _open(self, found: ArchiveFormat) -> Decoder:
        limits, strict = self._limits, self._strict
        if found.compression is None or self._source_name is None:
            return open_decoder(found, limits=limits, strict=strict)
        container = TarOrBareDecoder(self._source_name, limits=limits, strict=strict)
        return decompressed(found, container, limits=limits, strict=strict)

    def _raise_again(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)


class CompressedDecoder:
    """A container decoder fed by a decompressor, one bounded piece at a time.

    Decompression happens while iterating: what a chunk expands to is never in memory as a whole.
    """

    decompresses = True

    def __init__(self, decompressor: Decompressor, container: Decoder) -> None:
        self.is_slow = decompressor.is_slow
        self._decompressor = decompressor
        self._container = container
        self._eof = False
        self._drained = True
        self._error: AsyncBatchError | None = None

    def feed(self, chunk: Buffer, /) -> None:
        """Give the next compressed bytes.

        Raises:
            AsyncBatchError: what an earlier chunk brought about.
            UsageError: after `feed_eof`.
        """
        self._raise_again()
        self._decompressor.feed(chunk)
        self._drained = False

    def __iter__(self) -> Iterator[Event]:
        """Decompress what was fed and iterate over its events."""
        self._raise_again()
        try:
            yield from self._container
            for piece in self._decompressor:
                self._container.feed(piece)
                yield from self._container
            self._drained = True
            if self._eof:
                self._container.feed_eof()
                yield from self._container
        except AsyncBatchError as error:
            self._error = error
            raise

    def feed_eof(self) -> None:
        """Say that the input has ended.

        Raises:
            TruncatedArchiveError: unless the archive is whole; if events are still to be iterated over, by
                that iteration, behind them.
            AsyncBatchError: what a chunk brought about.
        """
        self._raise_again()
        self._eof = True
        try:
            self._decompressor.feed_eof()
            if self._drained:
                self._container.feed_eof()
        except AsyncBatchError as error:
            self._error = error
            raise

    def _raise_again(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)
