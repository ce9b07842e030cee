"""open_archive: members as they arrive, read or skipped, and a source that never stays open."""

from __future__ import annotations

import asyncio
import gzip
import random
from typing import TYPE_CHECKING, Any, Self

import anyio
import pytest

from asyncbatch import (
    AsyncBatchError,
    FormatError,
    LimitExceededError,
    Limits,
    TruncatedArchiveError,
    UsageError,
    open_archive,
)
from asyncbatch.archive import Archive, ArchiveMember
from asyncbatch.archive._events import EventStream
from asyncbatch.codecs import MemberData, MemberEnd, MemberStart, TarEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from asyncbatch.codecs import Event

    Reader = Callable[[Archive], Coroutine[Any, Any, None]]

pytestmark = pytest.mark.anyio


@pytest.fixture(
    params=[("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401 - what anyio takes
    if request.param[1]["use_uvloop"]:
        pytest.importorskip("uvloop")
    return request.param


class Source:
    """An async iterator that counts what was pulled and records that it was closed.

    Args:
        chunks: What it gives. An exception is raised, and `...` waits until the reader is cancelled.
    """

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks = iter(chunks)
        self.pulled = 0
        self.closed = 0
        self.waiting = anyio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 - as given
        for chunk in self._chunks:
            self.pulled += 1
            await asyncio.sleep(0)
            if chunk is ...:
                self.waiting.set()
                await anyio.sleep_forever()
            if isinstance(chunk, BaseException):
                raise chunk
            return chunk
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1


BIG = random.Random(7).randbytes(3000)
FILES = {"a.txt": b"first", "big.bin": BIG, "empty": b"", "z.txt": b"last"}


def make_tar(files: dict[str, bytes]) -> bytes:
    encoder = TarEncoder()
    return b"".join([*(encoder.encode(name, data) for name, data in files.items()), encoder.finish()])


TAR = make_tar(FILES)
BIG_AT = 1024 + 512  # where the data of big.bin begins


def chop(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


async def read_all(archive: Archive) -> dict[str, bytes]:
    return {member.name: await member.read() async for member in archive}


# -- reading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 100, 512, 1024, 100_000])
async def test_members_come_in_order_whole_or_in_chunks(size: int) -> None:
    assert await read_all(open_archive(chop(TAR, size))) == FILES
    found = {}
    async with open_archive(chop(TAR, size)) as archive:
        async for member in archive:
            chunks = [chunk async for chunk in member]
            assert all(type(chunk) is bytes and chunk for chunk in chunks)
            found[member.name] = b"".join(chunks)
    assert found == FILES


@pytest.mark.parametrize("size", [1, 512, 100_000])
async def test_what_is_not_read_is_skipped(size: int) -> None:
    assert [member.name async for member in open_archive(chop(TAR, size))] == list(FILES)


@pytest.mark.parametrize("size", [100, 700])
async def test_a_member_left_in_the_middle_is_skipped(size: int) -> None:
    seen = []
    async for member in open_archive(chop(TAR, size)):
        async for _ in member:
            break
        seen.append(member.name)
    assert seen == list(FILES)


async def test_nothing_is_pulled_before_it_is_asked_for() -> None:
    source = Source(chop(TAR, 512))
    archive = open_archive(source)
    assert source.pulled == 0
    await anext(archive)
    assert source.pulled == 2  # a small member is handed out whole,
    member = await anext(archive)
    assert (member.name, source.pulled) == ("big.bin", 3)  # and a large one as soon as its header is there
    assert await anext(aiter(member)) == BIG[:512]
    assert source.pulled == 4
    await archive.aclose()


async def test_small_members_of_one_chunk_cost_no_pull_each() -> None:
    source = Source([TAR])
    assert [member.name async for member in open_archive(source)] == list(FILES)
    assert source.pulled == 1


async def test_members_tell_what_they_are() -> None:
    encoder = TarEncoder()
    data = b"".join(
        [
            encoder.encode("d/", b"", kind="dir", mode=0o755, mtime=1.5),
            encoder.encode("f", b"x", mode=0o600),
            encoder.encode("s", b"", kind="symlink", linkname="f"),
            encoder.encode("h", b"", kind="hardlink", linkname="f"),
            encoder.finish(),
        ]
    )
    members = [member async for member in open_archive([data])]
    assert [(member.is_dir, member.is_file, member.is_symlink) for member in members] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (False, False, False),
    ]
    assert [member.kind for member in members] == ["dir", "file", "symlink", "hardlink"]
    assert [member.linkname for member in members] == ["", "", "f", "f"]
    assert (members[0].mode, members[0].mtime, members[1].mode, members[1].size) == (0o755, 1.5, 0o600, 1)
    assert repr(members[1]) == "<ArchiveMember 'f' file size=1>"


async def test_an_iterator_that_has_ended_stays_at_its_end() -> None:
    archive = open_archive([TAR])
    await read_all(archive)
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(archive)


async def test_an_empty_member_has_no_chunk() -> None:
    async for member in open_archive(chop(TAR, 512)):
        if member.name == "empty":
            assert [chunk async for chunk in member] == []


# -- one reader, one member ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [512, 100_000], ids=["streamed", "whole"])
async def test_a_member_is_read_once(size: int) -> None:
    async for member in open_archive(chop(TAR, size)):
        await member.read()
        with pytest.raises(UsageError, match=f"{member.name!r} was read already"):
            await member.read()
        with pytest.raises(UsageError, match="was read already"):
            aiter(member)


@pytest.mark.parametrize("size", [512, 100_000], ids=["streamed", "whole"])
async def test_a_member_whose_chunks_were_begun_cannot_be_read_whole(size: int) -> None:
    archive = open_archive(chop(TAR, size))
    await anext(archive)
    member = await anext(archive)
    chunks = aiter(member)
    await anext(chunks)
    with pytest.raises(UsageError, match="was read already"):
        await member.read()
    with pytest.raises(UsageError, match="was read already"):
        aiter(member)
    await archive.aclose()


@pytest.mark.parametrize("size", [1 << 14, 1 << 30])
async def test_what_was_read_whole_has_nothing_more_to_give(size: int) -> None:
    """Asked for more, a member must not give its data again, nor take that of the next, nor wait for ever."""
    files = {name: name.encode() * 100_000 for name in "abc"}
    async with open_archive(chop(make_tar(files), size)) as archive:
        found = {}
        async for member in archive:
            found[member.name] = await member.read()
            assert await anext(member, b"") == b""
    assert found == files


async def test_a_member_that_was_begun_without_a_loop_cannot_be_read_whole() -> None:
    """What would be missing at its beginning would stand as zeros at its end."""
    async with open_archive(chop(make_tar({"a": bytes(range(256)) * 8192}), 1 << 18)) as archive:
        member = await anext(archive)
        assert await anext(member)
        with pytest.raises(UsageError, match="was read already"):
            await member.read()


@pytest.mark.parametrize("size", [512, 100_000], ids=["streamed", "whole"])
async def test_a_member_that_the_archive_has_left_cannot_be_read(size: int) -> None:
    archive = open_archive(chop(TAR, size))
    first = await anext(archive)
    begun = aiter(first)
    await anext(archive)
    for attempt in (first.read, begun.__anext__):
        with pytest.raises(UsageError, match=r"'a\.txt' is no longer current"):
            await attempt()
    with pytest.raises(UsageError, match="no longer current"):
        aiter(first)
    await archive.aclose()


async def test_a_member_cannot_be_read_behind_the_end() -> None:
    members = [member async for member in open_archive([TAR])]
    with pytest.raises(UsageError, match=r"'z\.txt' is no longer current"):
        await members[-1].read()


async def test_an_archive_that_was_closed_cannot_be_read() -> None:
    archive = open_archive([TAR])
    member = await anext(archive)
    await archive.aclose()
    with pytest.raises(UsageError, match="closed"):
        await anext(archive)
    with pytest.raises(UsageError, match="no longer current"):
        await member.read()
    await archive.aclose()


@pytest.mark.parametrize(
    "attempt",
    [lambda archive, member: anext(archive), lambda archive, member: member.__anext__()],
    ids=["next-member", "next-chunk"],
)
async def test_a_second_reader_is_refused_and_the_first_goes_on(attempt: Any) -> None:  # noqa: ANN401
    gate = anyio.Event()

    class Gated(Source):
        async def __anext__(self) -> Any:  # noqa: ANN401
            if self.pulled == 4:
                self.waiting.set()
                await gate.wait()
            return await super().__anext__()

    source = Gated(chop(TAR, 512))
    archive = open_archive(source)
    await anext(archive)
    member = await anext(archive)
    chunks = []

    async def read_big() -> None:
        chunks.extend([chunk async for chunk in member])

    async with anyio.create_task_group() as group:
        group.start_soon(read_big)
        await source.waiting.wait()
        with pytest.raises(UsageError, match="one consumer"):
            await attempt(archive, member)
        assert source.closed == 0
        gate.set()
    assert b"".join(chunks) == BIG
    assert [member.name async for member in archive] == ["empty", "z.txt"]


@pytest.mark.parametrize("read", [ArchiveMember.read, lambda member: anext(aiter(member))])
async def test_a_member_that_is_being_skipped_cannot_be_read(read: Any) -> None:  # noqa: ANN401
    source = Source([*chop(TAR, 512)[:4], ...])
    archive = open_archive(source)
    await anext(archive)
    member = await anext(archive)
    skipping = asyncio.ensure_future(anext(archive))
    await source.waiting.wait()
    with pytest.raises(UsageError, match="one consumer"):
        await read(member)
    assert source.closed == 0
    skipping.cancel()
    await asyncio.wait([skipping])
    assert source.closed == 1


# -- closing -------------------------------------------------------------------------------------------------


async def test_the_source_is_closed_at_the_end() -> None:
    source = Source([TAR])
    async for _ in open_archive(source):
        assert source.closed == 0
    assert source.closed == 1


async def test_the_source_is_closed_on_leaving_early() -> None:
    source = Source(chop(TAR, 512))
    async with open_archive(source) as archive:
        async for _ in archive:
            break
        assert source.closed == 0
    assert source.closed == 1
    assert source.pulled == 2


async def test_the_source_is_closed_when_the_body_raises() -> None:
    source = Source(chop(TAR, 512))
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - of the body
        async with open_archive(source) as archive:
            await anext(archive)
            _ = 1 / 0
    assert source.closed == 1


async def skipping(archive: Archive) -> None:
    async for _ in archive:
        pass


async def whole(archive: Archive) -> None:
    async for member in archive:
        await member.read()


async def in_chunks(archive: Archive) -> None:
    async for member in archive:
        async for _ in member:
            pass


every_reader = pytest.mark.parametrize("read", [skipping, whole, in_chunks])


@every_reader
@pytest.mark.parametrize("kind", [OSError, UsageError, FormatError])
async def test_the_source_is_closed_on_its_own_error_which_passes_through(
    read: Reader, kind: type[Exception]
) -> None:
    error = FormatError("lost", codec="x", offset=0) if kind is FormatError else kind("lost")
    source = Source([TAR[: BIG_AT + 100], error])
    with pytest.raises(kind) as caught:
        await read(open_archive(source))
    assert caught.value is error
    assert source.closed == 1


@every_reader
@pytest.mark.parametrize("size", [100, 100_000])
async def test_the_source_is_closed_when_the_archive_is_cut(read: Reader, size: int) -> None:
    source = Source(chop(TAR[: BIG_AT + 100], size))
    with pytest.raises(TruncatedArchiveError, match=r"\(member 'big.bin'\)"):
        await read(open_archive(source))
    assert source.closed == 1


@every_reader
@pytest.mark.parametrize("size", [100, 100_000])
async def test_the_source_is_closed_when_the_archive_is_damaged(read: Reader, size: int) -> None:
    source = Source(chop(TAR[:BIG_AT] + BIG + b"?" * 2000, size))
    with pytest.raises(FormatError, match="checksum"):
        await read(open_archive(source))
    assert source.closed == 1


@every_reader
async def test_the_source_is_closed_on_cancellation(read: Reader) -> None:
    source = Source([TAR[: BIG_AT + 100], ...])
    async with anyio.create_task_group() as group:
        group.start_soon(read, open_archive(source))
        await source.waiting.wait()
        group.cancel_scope.cancel()
    assert source.closed == 1


@every_reader
async def test_the_source_is_closed_when_its_task_is_cancelled(
    read: Reader,
) -> None:
    source = Source([TAR[: BIG_AT + 100], ...])
    task = asyncio.ensure_future(read(open_archive(source)))
    await source.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed == 1


async def test_an_async_generator_is_closed_with_the_archive() -> None:
    closed = []

    async def generate() -> Any:  # noqa: ANN401 - an async generator
        try:
            for chunk in chop(TAR, 512):
                yield chunk
        finally:
            closed.append(True)

    async with open_archive(generate()) as archive:
        await anext(archive)
        assert closed == []
    assert closed == [True]


# -- bad input -----------------------------------------------------------------------------------------------


async def collected(archive: Archive) -> tuple[dict[str, bytes], AsyncBatchError]:
    """What was delivered, and the error behind it."""
    found: dict[str, bytes] = {}
    try:
        async for member in archive:
            found[member.name] = await member.read()
    except AsyncBatchError as error:
        return found, error
    pytest.fail("the archive was read to its end")


@pytest.mark.parametrize("size", [1, 600, 100_000])
async def test_members_before_a_wrong_checksum_are_delivered(size: int) -> None:
    at = TAR.index(b"empty")
    found, error = await collected(open_archive(chop(TAR[:at] + b"E" + TAR[at + 1 :], size)))
    assert found == {"a.txt": b"first", "big.bin": BIG}
    assert type(error) is FormatError
    assert (error.codec, error.offset, error.member) == ("tar", at, None)
    assert "checksum" in error.reason


@pytest.mark.parametrize("size", [1, 600, 100_000])
async def test_members_before_a_number_out_of_range_are_delivered(size: int) -> None:
    at = TAR.index(b"empty")
    block = bytearray(TAR[at : at + 512])
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    found, error = await collected(open_archive(chop(TAR[:at] + bytes(block) + TAR[at + 512 :], size)))
    assert found == {"a.txt": b"first", "big.bin": BIG}
    assert type(error) is FormatError
    assert (error.codec, error.offset) == ("tar", at)
    assert error.reason == "the header's size is negative (-1)"


@pytest.mark.parametrize("size", [1, 600, 100_000])
@pytest.mark.parametrize(
    ("limits", "delivered", "value"),
    [
        (Limits(max_members=1), ["a.txt"], 2),
        (Limits(max_member_size=2999), ["a.txt"], 3000),
        (Limits(max_name_length=6), ["a.txt"], 7),
    ],
    ids=["max_members", "max_member_size", "max_name_length"],
)
async def test_members_before_a_limit_are_delivered(
    limits: Limits, delivered: list[str], value: int, size: int
) -> None:
    found, error = await collected(open_archive(chop(TAR, size), limits=limits))
    assert list(found) == delivered
    assert type(error) is LimitExceededError
    assert (error.value, error.maximum) == (value, getattr(limits, error.limit))


@pytest.mark.parametrize("size", [1, 600, 100_000])
async def test_members_within_max_total_size_are_delivered(size: int) -> None:
    found, error = await collected(open_archive(chop(TAR, size), limits=Limits(max_total_size=1100)))
    assert found == {"a.txt": b"first"}
    assert type(error) is LimitExceededError
    assert error.limit == "max_total_size"


async def test_max_header_size_bounds_what_stands_before_a_member() -> None:
    data = make_tar({"a.txt": b"first", "n" * 5000: b""})
    found, error = await collected(open_archive([data], limits=Limits(max_header_size=4096)))
    assert found == {"a.txt": b"first"}
    assert type(error) is LimitExceededError
    assert error.limit == "max_header_size"
    assert error.value > 5000


@pytest.mark.parametrize("size", [600, 100_000], ids=["streamed", "whole"])
async def test_max_item_size_bounds_what_is_held_and_chunks_are_free_of_it(size: int) -> None:
    limits = Limits(max_item_size=2999)
    source = Source(chop(TAR, size))
    archive = open_archive(source, limits=limits)
    assert await (await anext(archive)).read() == b"first"
    member = await anext(archive)
    pulled = source.pulled
    with pytest.raises(LimitExceededError, match=r"'big\.bin', to be held in memory: 3000") as caught:
        await member.read()
    assert (caught.value.limit, caught.value.value, caught.value.maximum) == ("max_item_size", 3000, 2999)
    assert source.pulled == pulled
    assert await (await anext(archive)).read() == b""  # the archive itself is sound
    await archive.aclose()

    async for member in open_archive(chop(TAR, size), limits=limits):
        assert b"".join([chunk async for chunk in member]) == FILES[member.name]
    assert await read_all(open_archive(chop(TAR, size), limits=Limits(max_item_size=3000))) == FILES


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "this is an HTML page, not an archive: is the URL right?"),
        (b'{"status": 404, "message": "bucket does not exist"}', "this is JSON, not an archive"),
        (b"\xff\xfe garbage", "this is no archive that is known"),
    ],
    ids=["html", "json", "garbage"],
)
@pytest.mark.parametrize("size", [1, 1000])
async def test_what_is_no_archive_is_told_as_what_it_is(data: bytes, reason: str, size: int) -> None:
    for length in (len(data), 2000):
        source = Source(chop(data.ljust(length), size))
        found, error = await collected(open_archive(source))
        assert found == {}
        assert type(error) is FormatError
        assert (error.codec, error.offset) == ("archive", 0)
        assert error.reason.startswith(reason)
        assert source.closed == 1


@pytest.mark.parametrize("chunks", [[], [b""], [b"", b""]])
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("archive_format", [None, ".tar", ".tgz", ".tar.zst", ".tar.lz4"])
async def test_empty_input_is_truncated(
    chunks: list[bytes],
    strict: bool,  # noqa: FBT001
    archive_format: str | None,
) -> None:
    with pytest.raises(TruncatedArchiveError, match="the input is empty"):
        await read_all(open_archive(chunks, strict=strict, format=archive_format))


async def test_an_unknown_format_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match=r"'\.rar' is no known archive format"):
        open_archive([TAR], format=".rar")


async def test_a_format_that_is_told_is_not_guessed() -> None:
    with pytest.raises(FormatError, match="gzip"):
        await read_all(open_archive([TAR], format=".tar.gz"))


@pytest.mark.parametrize("size", [1, 3, 100_000])
@pytest.mark.parametrize("archive_format", [None, ".tgz", ".TAR.GZ"])
async def test_compressed_archives_are_read_in_tiny_chunks(size: int, archive_format: str | None) -> None:
    source = Source(chop(gzip.compress(TAR), size))
    assert await read_all(open_archive(source, format=archive_format)) == FILES
    assert source.closed == 1


@pytest.mark.parametrize("size", [1, 512, 100_000])
async def test_an_end_without_zero_blocks_is_truncated_only_where_strict(size: int) -> None:
    for cut in (TAR[:-1024], TAR[:-512]):
        found, error = await collected(open_archive(chop(cut, size)))
        assert found == FILES
        assert type(error) is TruncatedArchiveError
        assert await read_all(open_archive(chop(cut, size), strict=False)) == FILES


@pytest.mark.parametrize("size", [1, 512, 100_000])
async def test_garbage_behind_the_end_is_ignored_only_where_not_strict(size: int) -> None:
    data = TAR + bytes(700) + b"garbage"
    found, error = await collected(open_archive(chop(data, size)))
    assert found == FILES
    assert type(error) is FormatError
    assert error.offset == len(TAR) + 700
    assert await read_all(open_archive(chop(data, size), strict=False)) == FILES


async def test_a_cut_member_raises_even_where_not_strict() -> None:
    found, error = await collected(open_archive([TAR[: BIG_AT + 10]], strict=False))
    assert found == {"a.txt": b"first"}
    assert type(error) is TruncatedArchiveError
    assert (error.codec, error.offset, error.member) == ("tar", BIG_AT + 10, "big.bin")


# -- members of unknown size ---------------------------------------------------------------------------------


class SizelessStart(MemberStart):
    def __init__(self) -> None:
        self.name = "sizeless"
        self.size = None
        self.offset = 0


class SizelessDecoder:
    """Knows the size of a member at its end only, as in a streamed zip, and tells the last ones at EOF."""

    decompresses = is_slow = False

    def __init__(self) -> None:
        self._events: list[Event] = [SizelessStart()]

    def feed(self, chunk: Any, /) -> None:  # noqa: ANN401
        self._events.append(MemberData(chunk))

    def feed_eof(self) -> None:
        self._events += [MemberEnd(), SizelessStart(), MemberEnd()]

    def __iter__(self) -> Iterator[Event]:
        while self._events:
            yield self._events.pop(0)


def open_sizeless(source: Source, limits: Limits) -> Archive:
    stream = EventStream(source, None, limits=limits)
    stream._decoder = SizelessDecoder()
    return Archive(stream)


async def test_a_member_of_unknown_size_is_read_as_far_as_the_limit() -> None:
    archive = open_sizeless(Source([b"abc", b"def"]), Limits(max_item_size=6))
    member = await anext(archive)
    assert (member.size, member.kind, member.mode, member.mtime, member.linkname) == (
        None,
        "file",
        None,
        None,
        "",
    )
    assert await member.read() == b"abcdef"
    assert [await member.read() async for member in archive] == [b""]

    source = Source([b"abc", b"def", b"ghi"])
    member = await anext(open_sizeless(source, Limits(max_item_size=5)))
    with pytest.raises(LimitExceededError, match="max_item_size=5") as caught:
        await member.read()
    assert caught.value.value == 6
    assert (source.pulled, source.closed) == (2, 1)
