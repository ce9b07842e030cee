"""Archives in the making: members in pieces, and what compresses them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from ._stream import CHUNK_SIZE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import TypeAlias

    from ..codecs import TarEncoder, ZipEncoder
    from ..codecs._compress import Compressor
    from ..codecs._events import Buffer
    from ._source import Source

__all__ = ["compressed", "encode_member"]

if TYPE_CHECKING:
    Encoder: TypeAlias = TarEncoder | ZipEncoder


def encode_member(encoder: Encoder, name: str, source: Source, start: int, length: int) -> Iterator[Buffer]:
    """Yield a member; in a zip a small one has its CRC in front, where AIStore writes descriptors always."""
    pieces = source.pieces(start, length)
    if length <= CHUNK_SIZE:
        yield encoder.encode(name, b"".join(pieces), mtime=source.mtime)
        return
    yield encoder.start(name, length, mtime=source.mtime)
    for piece in pieces:
        yield encoder.feed(piece)
    yield encoder.end()


def compressed(pieces: Generator[Buffer], compressor: Compressor | None) -> Generator[Buffer]:
    """Return the pieces of a body, compressed; without a compressor, as they are."""
    return pieces if compressor is None else _compressed(pieces, compressor)


def _compressed(pieces: Generator[Buffer], compressor: Compressor) -> Generator[Buffer]:
    with closing(pieces):
        for piece in pieces:
            if packed := compressor.feed(piece):
                yield packed
    yield compressor.finish()
