"""Archives on their way out: members in, chunks of bytes out, nothing held but what a chunk is made of."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypedDict

from .._closing import AsyncCloseable
from ..codecs._formats import open_compressor, parse_format
from ..codecs._tar_encoder import TarEncoder
from ..codecs._zip_encoder import ZipEncoder
from ..errors import LimitExceededError, UnsupportedFormatError, UsageError
from ..limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from ..codecs._compress import Compressor
    from ..codecs._events import Buffer, MemberKind
    from ..codecs._formats import Container
    from ..limits import Limits

__all__ = ["EncodeMember", "EncodedArchive", "encode_archive"]

_Encoder: TypeAlias = TarEncoder | ZipEncoder
_Data: TypeAlias = "Buffer | AsyncIterable[Buffer]"
_Member: TypeAlias = "EncodeMember | tuple[str, _Data]"
Members: TypeAlias = "Iterable[_Member] | AsyncIterable[_Member]"

# What encodes the members of a container; `_formats.FORMATS` says which container a format is.
_ENCODERS: Final[dict[Container, type[_Encoder]]] = {"tar": TarEncoder, "zip": ZipEncoder}

# Large enough for the cost per chunk not to matter to sockets and files, small enough for their buffers.
_CHUNK_SIZE: Final = 131_072
# From here on, copying data to join it to its neighbours costs more than a chunk of its own.
_LARGE: Final = 262_144

_USUAL_MODES: Final[dict[MemberKind, int]] = {"dir": 0o755, "symlink": 0o777}


class _HeaderFields(TypedDict):
    kind: MemberKind
    mode: int
    mtime: float
    linkname: str


@dataclass(frozen=True, slots=True)
class EncodeMember:
    """A member to be encoded, where more than its name and data is to be said.

    Attributes:
        name: Path in the archive, ``/``-separated.
        data: Its bytes, whole or as an async iterable, which is read once.
        size: Bytes of data. Needed in a tar for an async iterable that is too large to be held in memory: tar
            states sizes before the data, zip behind it.
        kind: ``"file"``, ``"dir"``, ``"symlink"`` or ``"hardlink"`` (not in a zip); only files have data.
        mode: Permission bits; None for what is usual for its kind.
        mtime: Modification time in seconds since the epoch.
        linkname: Target of a link.
    """

    name: str
    data: _Data = b""
    size: int | None = None
    kind: MemberKind = "file"
    mode: int | None = None
    mtime: float = 0
    linkname: str = ""


def encode_archive(
    members: Members,
    *,
    format: str = ".tar",  # noqa: A002 - the field's word
    limits: Limits = DEFAULT_LIMITS,
) -> EncodedArchive:
    """Encode an archive while its members come in.

    Args:
        members: ``(name, data)`` pairs or `EncodeMember`, from any iterable or async iterable, read one at a
            time. Data is bytes or an async iterable of bytes. What has an ``aclose`` is closed with the
            archive.
        format: ``".tar"``, ``".tar.gz"``, ``".tgz"``, ``".tar.lz4"``, ``".tar.zst"``, ``".tar.bz2"``,
            ``".tar.xz"`` or ``".zip"``, whose members are stored, not compressed.
        limits: Of these, `max_item_size` bounds data whose size is not known: a tar holds it until it is.

    Returns:
        An async iterator over the archive's bytes, best in an ``async with``. Equal members of equal options
        give equal bytes.

    Raises:
        UsageError: if the format, or the kind of `members`, is not known.
        UnsupportedFormatError: if the format is known but cannot be encoded.
    """
    archive_format = parse_format(format)
    if archive_format.container not in _ENCODERS:
        raise UnsupportedFormatError(
            f"{archive_format.name} archives cannot be encoded; ask for .tar or .zip",
            codec="archive",
            offset=0,
        )
    encoder = _ENCODERS[archive_format.container]()
    return EncodedArchive(members, encoder, open_compressor(archive_format.compression), limits=limits)


class EncodedArchive(AsyncCloseable):
    """An async iterator over the bytes of an archive in the making. Made by `encode_archive`.

    Members are asked for as their bytes are taken. Chunks have about 64 to 256 KiB; larger pieces of data go
    through as they are. One task may read it. After an error there is no end: what came before it is an
    archive that is visibly cut, and every further call raises the error again.

    Raises (while iterating):
        UsageError: For a member that cannot be encoded, or whose data is longer or shorter than its size.
        LimitExceededError: For data of unknown size that is larger than may be held.
        Exception: Whatever the members, or their data, raise.
    """

    def __init__(
        self,
        members: Members,
        encoder: _Encoder,
        compressor: Compressor | None,
        *,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if not isinstance(members, (AsyncIterable, Iterable)):
            raise UsageError(
                f"cannot encode {type(members).__name__}: pass an iterable of (name, data) or EncodeMember"
            )
        self._members = members
        chunks = _gather(_encode(members, encoder, limits.max_item_size))
        self._chunks = chunks if compressor is None else _gather(_compress(chunks, compressor))
        self._error: Exception | None = None
        self._reading = False

    async def aclose(self) -> None:
        """Stop, and close the members and the data in use. May be called again.

        Raises:
            UsageError: if another task is reading: cancel that instead.
        """
        self._refuse_second_reader()
        await self._chunks.aclose()
        await _close(self._members)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self._refuse_second_reader()
        if self._error is not None:
            raise self._error.with_traceback(None)
        self._reading = True
        try:
            chunk = await anext(self._chunks, None)
        except BaseException as error:
            # Without this the next call would find an end, and the archive seem whole.
            self._error = (
                error if isinstance(error, Exception) else UsageError("encoding was broken off; begin again")
            )
            await _close(self._members)
            raise
        finally:
            self._reading = False
        if chunk is None:
            await self.aclose()
            raise StopAsyncIteration
        return chunk

    def _refuse_second_reader(self) -> None:
        if self._reading:
            raise UsageError("this archive is being read by another task already; it has one consumer")


async def _encode(members: Members, encoder: _Encoder, max_item_size: int) -> AsyncGenerator[bytes]:
    """Yield the pieces of the container."""
    index = 0
    async with aclosing(_iterate(members)) as iterator:
        async for given in iterator:
            member = _as_member(given, index)
            index += 1
            if member.size is None and type(member.data) is bytes and len(member.data) < _LARGE:
                yield encoder.encode(member.name, member.data, **_header_fields(member))
                continue
            try:
                async with aclosing(_encode_large(member, encoder, max_item_size)) as pieces:
                    async for piece in pieces:
                        yield piece
            finally:
                await _close(member.data)
    yield encoder.finish()


async def _encode_large(member: EncodeMember, encoder: _Encoder, max_item_size: int) -> AsyncGenerator[bytes]:
    """Yield the pieces of a member that is not one small `bytes`."""
    data, size, fields = member.data, member.size, _header_fields(member)
    if size is None and (isinstance(encoder, TarEncoder) or not isinstance(data, AsyncIterable)):
        if type(data) is not bytes:
            data = await _hold(member, max_item_size)
        size = len(data)
    if isinstance(encoder, TarEncoder):
        yield encoder.start(member.name, size or 0, **fields)
    elif type(data) is bytes and size == len(data):
        # Better than in pieces: what is whole has its CRC in front, where every reader can use it.
        for piece in encoder.encode_parts(member.name, data, **fields):
            yield piece
        return
    else:
        yield encoder.start(member.name, size, **fields)
    async with aclosing(_iterate_data(member.name, data)) as pieces:
        async for piece in pieces:
            yield bytes(encoder.feed(piece))  # the piece itself where it is stored: bytes() copies no bytes
    yield encoder.end()


async def _iterate(members: Members) -> AsyncGenerator[Any]:
    if isinstance(members, AsyncIterable):
        async for member in members:
            yield member
    else:
        for member in members:
            yield member


def _as_member(given: object, index: int) -> EncodeMember:
    if isinstance(given, EncodeMember):
        return given
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str):
        return EncodeMember(*given)
    raise UsageError(
        f"a member is a pair (name, data) or an EncodeMember, not {type(given).__name__}", index=index
    )


def _header_fields(member: EncodeMember) -> _HeaderFields:
    return {
        "kind": member.kind,
        "mode": _USUAL_MODES.get(member.kind, 0o644) if member.mode is None else member.mode,
        "mtime": member.mtime,
        "linkname": member.linkname,
    }


async def _hold(member: EncodeMember, max_item_size: int) -> bytes:
    """Return all of a member's data, because its size goes in front of it."""
    held = BytesIO()
    size = 0
    async with aclosing(_iterate_data(member.name, member.data)) as pieces:
        async for piece in pieces:
            size += held.write(piece)
            if size > max_item_size:
                raise LimitExceededError(
                    "max_item_size",
                    size,
                    max_item_size,
                    what=f"member {member.name!r}, held in memory as EncodeMember was given no size",
                )
    return held.getvalue()


async def _iterate_data(name: str, data: object) -> AsyncGenerator[bytes]:
    """Yield a member's data as it comes, bytes without a copy."""
    if isinstance(data, AsyncIterable):
        async for chunk in data:
            # A view is valid until the next pull only, and pieces are held until they make a chunk.
            yield chunk if type(chunk) is bytes else bytes(_view(name, chunk))
    elif type(data) is bytes:
        yield data
    else:
        for piece in _slices(_view(name, data)):
            yield bytes(piece)


def _view(name: str, data: object) -> memoryview:
    if isinstance(data, bytes | bytearray | memoryview):
        return memoryview(data).cast("B")
    raise UsageError(
        f"member {name!r}: data is bytes or an async iterable of bytes, not {type(data).__name__}"
    )


def _slices(data: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(data), _CHUNK_SIZE):
        yield data[start : start + _CHUNK_SIZE]


async def _gather(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Join small pieces to chunks; large ones pass as they are."""
    gathered: list[bytes] = []
    held = 0
    async with aclosing(pieces):
        async for piece in pieces:
            if len(piece) >= _LARGE:
                if held:
                    yield b"".join(gathered)
                yield piece
                gathered, held = [], 0
            elif piece:
                gathered.append(piece)
                held += len(piece)
                if held >= _CHUNK_SIZE:
                    yield b"".join(gathered)
                    gathered, held = [], 0
    if held:
        yield b"".join(gathered)


async def _compress(chunks: AsyncGenerator[bytes], compressor: Compressor) -> AsyncGenerator[bytes]:
    async with aclosing(chunks):
        async for chunk in chunks:
            for piece in _slices(memoryview(chunk)):  # for the output of a large chunk to come in pieces too
                yield compressor.feed(piece)
    yield compressor.finish()


async def _close(source: object) -> None:
    aclose = getattr(source, "aclose", None)
    if aclose is not None:
        await aclose()
