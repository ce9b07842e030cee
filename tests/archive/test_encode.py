"""encode_archive: members in, bytes out."""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
import shutil
import subprocess
import tarfile
import tracemalloc
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import asyncbatch
from asyncbatch import EncodeMember, encode_archive, open_archive
from asyncbatch.errors import (
    FormatError,
    LimitExceededError,
    TruncatedArchiveError,
    UnsupportedFormatError,
    UsageError,
)
from asyncbatch.limits import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from pathlib import Path

    from asyncbatch.archive import EncodedArchive

pytestmark = pytest.mark.anyio

FORMATS = [".tar", ".tar.gz", ".tgz", ".tar.lz4", ".tar.zst"]
every_format = pytest.mark.parametrize("format_", FORMATS)
NOISE = random.Random(4).randbytes(3_000_000)
SMALL = [(f"dir/{number:05}", NOISE[number * 1499 : (number + 1) * 1499]) for number in range(2000)]
LARGE = [("a", NOISE), ("b", b""), ("c", NOISE[:600_000]), ("d", NOISE[5:300_000])]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def chunks_of(archive: EncodedArchive) -> list[bytes]:
    async with archive:
        return [chunk async for chunk in archive]


async def encoded(members: Any, **options: Any) -> bytes:  # noqa: ANN401
    return b"".join(await chunks_of(encode_archive(members, **options)))


async def decoded(data: bytes) -> list[tuple[str, bytes]]:
    async with open_archive(data) as archive:
        return [(member.name, await member.read()) async for member in archive]


class Chunks:
    """Data in chunks, telling whether it was closed, and failing at its end if told so."""

    def __init__(self, chunks: Iterable[Any], error: BaseException | None = None) -> None:
        self._chunks = iter(chunks)
        self._error = error
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401
        await asyncio.sleep(0)
        for chunk in self._chunks:
            return chunk
        if self._error:
            raise self._error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1


# -- what comes out is the archive --------------------------------------------------------------------------


@every_format
@pytest.mark.parametrize("members", [[], SMALL, LARGE], ids=["none", "small", "large"])
async def test_what_goes_in_comes_out(format_: str, members: list[tuple[str, bytes]]) -> None:
    assert await decoded(await encoded(members, format=format_)) == members


@every_format
async def test_equal_members_give_equal_bytes(format_: str) -> None:
    assert await encoded(SMALL, format=format_) == await encoded(iter(SMALL), format=format_)


async def test_members_and_data_come_in_any_kind_of_bytes_and_iterable() -> None:
    async def members() -> AsyncIterator[tuple[str, Any] | EncodeMember]:
        yield "bytearray", bytearray(b"one")
        yield "view", memoryview(b"_two_")[1:4]
        yield "words", memoryview(bytes(8)).cast("I")
        yield "large view", memoryview(NOISE)
        yield "chunks", Chunks([b"th", bytearray(b"re"), memoryview(b"e")])
        yield "no chunks", Chunks([])
        yield EncodeMember("sized chunks", Chunks([b"fo", b"", memoryview(b"ur")]), size=4)
        yield EncodeMember("sized bytes", b"five", 4)
        await asyncio.sleep(0)

    assert await decoded(await encoded(members())) == [
        ("bytearray", b"one"),
        ("view", b"two"),
        ("words", bytes(8)),
        ("large view", NOISE),
        ("chunks", b"three"),
        ("no chunks", b""),
        ("sized chunks", b"four"),
        ("sized bytes", b"five"),
    ]


async def test_a_view_may_be_reused_after_the_next_pull() -> None:
    buffer = bytearray(100)

    async def chunks() -> AsyncIterator[memoryview]:
        for value in range(3):
            buffer[:] = bytes([value]) * 100
            yield memoryview(buffer)

    expected = b"".join(bytes([value]) * 100 for value in range(3))
    members = [EncodeMember("sized", chunks(), size=300), ("held", chunks())]
    assert await decoded(await encoded(members)) == [("sized", expected), ("held", expected)]


def run(program: str, *arguments: str | Path) -> bytes:
    """What a program says, which must be installed."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return subprocess.run([path, *arguments], capture_output=True, check=True).stdout  # noqa: S603


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
@every_format
async def test_other_tools_read_it(program: str, format_: str, tmp_path: Path) -> None:
    members = SMALL[:50] + LARGE
    archive = tmp_path / "archive.tar"
    archive.write_bytes(await encoded(members, format=format_))
    decompressor = {".tar.lz4": "lz4", ".tar.zst": "zstd", ".tar": None}.get(format_, "gzip")
    if decompressor is not None:
        archive.write_bytes(run(decompressor, "-dc", archive))

    assert run(program, "-tf", archive).decode().split() == [name for name, _ in members]
    assert run(program, "-xOf", archive) == b"".join(data for _, data in members)


async def test_every_field_of_a_member_is_kept() -> None:
    members = [
        EncodeMember("d/", kind="dir"),
        EncodeMember("d/file", b"x", mode=0o755, mtime=1_700_000_000.5),
        EncodeMember("d/usual", b"x"),
        EncodeMember("link", kind="symlink", linkname="d/file"),
        EncodeMember("hard", kind="hardlink", linkname="d/file", mtime=7),
    ]
    with tarfile.open(fileobj=io.BytesIO(await encoded(members))) as tar:
        found = [(i.name, i.type, i.mode, i.mtime, i.linkname) for i in tar]
    assert found == [
        ("d", tarfile.DIRTYPE, 0o755, 0, ""),
        ("d/file", tarfile.REGTYPE, 0o755, 1_700_000_000.5, ""),
        ("d/usual", tarfile.REGTYPE, 0o644, 0, ""),
        ("link", tarfile.SYMTYPE, 0o777, 0, "d/file"),
        ("hard", tarfile.LNKTYPE, 0o644, 7, "d/file"),
    ]


async def test_members_of_one_archive_become_those_of_another() -> None:
    async def members(source: bytes) -> AsyncIterator[EncodeMember]:
        async with open_archive(source) as archive:
            async for member in archive:
                yield EncodeMember(member.name, member, member.size)

    first = await encoded(LARGE)
    assert await encoded(members(first)) == first


@given(
    members=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
            st.lists(st.binary(max_size=2000), max_size=4),
            st.booleans(),
        ),
        max_size=6,
    ),
    format_=st.sampled_from(FORMATS),
)
def test_round_trip(members: list[tuple[str, list[bytes], bool]], format_: str) -> None:
    given_members = [
        EncodeMember(name, Chunks(chunks), sum(map(len, chunks)) if sized else None)
        for name, chunks, sized in members
    ]
    expected = [(name, b"".join(chunks)) for name, chunks, _ in members]

    async def round_trip() -> list[tuple[str, bytes]]:
        return await decoded(await encoded(given_members, format=format_))

    assert asyncio.run(round_trip()) == expected


@pytest.mark.parametrize("format_", [".tar.bz2", ".tar.xz"])
async def test_formats_that_pack_tighter(format_: str) -> None:
    archive = await encoded(SMALL[:100], format=format_)

    assert await decoded(archive) == SMALL[:100]
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:*") as tar:
        assert tar.getnames() == [name for name, _ in SMALL[:100]]


# -- zip ----------------------------------------------------------------------------------------------------


def unzipped(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


@pytest.mark.parametrize("members", [[], SMALL, LARGE], ids=["none", "small", "large"])
async def test_zip_what_goes_in_comes_out(members: list[tuple[str, bytes]]) -> None:
    archive = await encoded(members, format=".zip")

    assert unzipped(archive) == members
    assert archive == await encoded(iter(members), format=".zip")
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert {(info.compress_type, info.flag_bits) for info in opened.infolist()} <= {(0, 0)}


@pytest.mark.parametrize("command", ["unzip -t", "7z t", "bsdtar -tf"])
async def test_zip_other_tools_read_it(command: str, tmp_path: Path) -> None:
    members = [*SMALL[:50], *LARGE, ("ünïcode", Chunks([NOISE, b"x"])), EncodeMember("n", Chunks([b"xy"]), 2)]
    (tmp_path / "archive.zip").write_bytes(await encoded(members, format=".zip"))

    name, option = command.split()
    run(name, option, tmp_path / "archive.zip")


async def test_zip_members_and_data_come_in_any_kind() -> None:
    members = [
        ("bytearray", bytearray(b"one")),
        ("large view", memoryview(NOISE)),
        ("chunks", Chunks([b"th", bytearray(b"re"), memoryview(b"e")])),
        ("no chunks", Chunks([])),
        EncodeMember("sized chunks", Chunks([b"fo", b"", memoryview(b"ur")]), size=4),
        EncodeMember("sized bytes", b"five", 4),
        EncodeMember("sized view", memoryview(b"six"), 3),
        EncodeMember("d", kind="dir"),
        EncodeMember("link", kind="symlink", linkname="chunks"),
    ]

    archive = await encoded(members, format=".zip")
    assert unzipped(archive) == [
        ("bytearray", b"one"),
        ("large view", NOISE),
        ("chunks", b"three"),
        ("no chunks", b""),
        ("sized chunks", b"four"),
        ("sized bytes", b"five"),
        ("sized view", b"six"),
        ("d/", b""),
        ("link", b"chunks"),
    ]
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        modes = [info.external_attr >> 16 for info in opened.infolist()]
    assert modes == [0o100644] * 7 + [0o040755, 0o120777]


async def test_zip_needs_no_sizes_and_holds_no_data() -> None:
    members = [("n", Chunks([NOISE] * 20))]
    tracemalloc.start()
    try:
        digest = hashlib.sha256()
        async for chunk in encode_archive(members, format=".zip", limits=Limits(max_item_size=1)):
            digest.update(chunk)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


async def test_zip_large_data_passes_without_a_copy() -> None:
    members: list[Any] = [
        ("a", NOISE),
        ("b", Chunks([NOISE])),
        EncodeMember("c", Chunks([NOISE]), len(NOISE)),
    ]
    chunks = await chunks_of(encode_archive(members, format=".zip"))

    assert sum(chunk is NOISE for chunk in chunks) == 3


@pytest.mark.parametrize(
    ("member", "match"),
    [
        (EncodeMember("bad", NOISE, 5), "'bad'.* longer"),
        (EncodeMember("bad", NOISE, 3_000_001), "'bad'.* 1 bytes short"),
        (EncodeMember("bad", Chunks([NOISE]), 5), "'bad'.* longer"),
        (EncodeMember("bad", kind="hardlink", linkname="x"), "cannot encode a hardlink"),
        (EncodeMember("bad", b"x", kind="dir"), "cannot have 1 bytes"),
        (("bad/", b""), "slash at its end"),
    ],
)
async def test_zip_bad_members_are_refused(member: Any, match: str) -> None:  # noqa: ANN401
    members: list[Any] = [*SMALL, member]
    out = await fails(encode_archive(members, format=".zip"), UsageError, match)

    with pytest.raises(zipfile.BadZipFile):
        unzipped(out)


# -- chunks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
async def test_small_members_make_chunks_worth_their_price(format_: str) -> None:
    chunks = await chunks_of(encode_archive(SMALL, format=format_))

    assert len(chunks) > 10
    assert all(65_536 <= len(chunk) <= 524_288 for chunk in chunks[:-1])


async def test_large_data_passes_without_a_copy() -> None:
    chunks = await chunks_of(encode_archive([("a", NOISE), EncodeMember("b", Chunks([NOISE]), len(NOISE))]))

    assert [chunk for chunk in chunks if chunk is NOISE] == [NOISE, NOISE]
    assert len(chunks) == 5  # headers, data, headers between, data, the end


async def test_a_large_member_takes_no_memory() -> None:
    piece = bytes(100_000)
    size = 500 * len(piece)
    tracemalloc.start()
    try:
        digest = hashlib.sha256()
        members = [EncodeMember("zeros", Chunks([piece] * 500), size)]
        async for chunk in encode_archive(members, format=".tar.gz"):
            digest.update(chunk)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


async def test_members_are_asked_for_as_bytes_are_taken() -> None:
    taken = []

    def members() -> Iterator[tuple[str, bytes]]:
        for name, data in SMALL:
            taken.append(name)
            yield name, data

    async with encode_archive(members()) as archive:
        assert not taken
        await anext(archive)
        assert len(taken) < 100


# -- bad members --------------------------------------------------------------------------------------------


async def fails(archive: EncodedArchive, error: type[Exception], match: str) -> bytes:
    """What came out before the error, which sticks."""
    chunks: list[bytes] = []

    async def read() -> None:
        async for chunk in archive:
            chunks.append(chunk)  # noqa: PERF401 - the chunks before the error are wanted

    with pytest.raises(error, match=match) as first:
        await read()
    with pytest.raises(error, match=match) as second:
        await anext(archive)
    assert first.value is second.value
    await archive.aclose()
    return b"".join(chunks)


@every_format
@pytest.mark.parametrize(("size", "match"), [(5, "'bad'.* longer"), (500_001, "'bad'.* 1 bytes short")])
@pytest.mark.parametrize("in_chunks", [False, True])
async def test_data_of_another_size_cuts_the_archive(
    format_: str,
    size: int,
    match: str,
    in_chunks: bool,  # noqa: FBT001
) -> None:
    data = Chunks([NOISE[:250_000], NOISE[:250_000]])
    bad = EncodeMember("bad", data if in_chunks else NOISE[:500_000], size)
    data_out = await fails(encode_archive([*SMALL, bad], format=format_), UsageError, match)

    assert len(data_out) > 1_000_000
    with pytest.raises(TruncatedArchiveError):
        await decoded(data_out)
    assert data.closed == in_chunks


@pytest.mark.parametrize(
    ("member", "match"),
    [
        ("name", "entry 1: a member is a pair"),
        (("name",), "entry 1: a member is a pair"),
        ((b"name", b""), "entry 1: a member is a pair"),
        (("n", "text"), "member 'n': data is bytes or an async iterable of bytes, not str"),
        (("n", [b"data"]), "member 'n': data is bytes or an async iterable of bytes, not list"),
        (("n", Chunks(["text"])), "member 'n': data is bytes .* not str"),
        (EncodeMember("n", Chunks(["text"]), 4), "member 'n': data is bytes .* not str"),
        (("", b""), "a name is not empty"),
        (EncodeMember("n", kind="fifo"), "cannot encode a fifo"),
        (EncodeMember("n", b"x", kind="dir"), "cannot have 1 bytes"),
        (EncodeMember("n", b"", -1), "-1 bytes"),
    ],
)
async def test_bad_members_are_refused_by_name_or_place(member: object, match: str) -> None:
    await fails(
        encode_archive([("good", b""), member]),  # type: ignore[list-item]
        UsageError,
        match,
    )


async def test_data_of_unknown_size_is_held_up_to_the_limit() -> None:
    limits = Limits(max_item_size=10)
    assert await decoded(await encoded([("n", Chunks([b"12345", b"67890"]))], limits=limits))

    data = Chunks([b"12345", b"67890", b"1"])
    await fails(encode_archive([("n", data)], limits=limits), LimitExceededError, "'n'.* given no size")
    assert data.closed == 1


async def test_what_members_and_data_raise_comes_through() -> None:
    async def members() -> AsyncIterator[tuple[str, bytes]]:
        yield "a", b""
        raise OSError("broken")

    await fails(encode_archive(members()), OSError, "broken")
    await fails(encode_archive([("n", Chunks([b"x"], OSError("broken")))]), OSError, "broken")


async def test_arguments_are_checked_at_once() -> None:
    with pytest.raises(UsageError, match=r"no known archive format"):
        encode_archive([], format=".rar")
    with pytest.raises(UnsupportedFormatError, match=r"\.gz archives cannot be encoded; ask for \.tar or"):
        encode_archive([], format=".gz")
    with pytest.raises(UsageError, match="cannot encode int"):
        encode_archive(3)  # type: ignore[arg-type]
    assert issubclass(UnsupportedFormatError, FormatError)


# -- closing ------------------------------------------------------------------------------------------------


async def test_members_are_closed_at_the_end_and_on_leaving_early() -> None:
    for take in (0, 1, 1000):
        members = Chunks(LARGE)
        async with encode_archive(members) as archive:
            for _ in range(take):
                await anext(archive, None)
        assert members.closed

        with pytest.raises(StopAsyncIteration):
            await anext(archive)


async def test_leaving_inside_a_member_closes_its_data() -> None:
    data = Chunks([NOISE] * 3)
    async with encode_archive([EncodeMember("n", data, 3 * len(NOISE))]) as archive:
        await anext(archive)
        await anext(archive)
        before = data.closed
    assert (before, data.closed) == (0, 1)


async def test_it_has_one_consumer() -> None:
    go_on = asyncio.Event()

    async def members() -> AsyncIterator[tuple[str, bytes]]:
        await go_on.wait()
        yield "a", b""

    archive = encode_archive(members())
    reader = asyncio.create_task(chunks_of(archive))
    await asyncio.sleep(0)
    with pytest.raises(UsageError, match="one consumer"):
        await anext(archive)
    with pytest.raises(UsageError, match="one consumer"):
        await archive.aclose()
    go_on.set()
    assert await decoded(b"".join(await reader)) == [("a", b"")]


async def test_cancelled_it_has_no_end() -> None:
    async def members() -> AsyncIterator[tuple[str, bytes]]:
        yield "a", NOISE
        await asyncio.Event().wait()

    source = members()
    archive = encode_archive(source)
    reader = asyncio.create_task(chunks_of(archive))
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    with pytest.raises(UsageError, match="broken off"):
        await anext(archive)
    assert await anext(source, None) is None


def test_it_is_exported() -> None:
    assert asyncbatch.encode_archive is encode_archive
    assert EncodeMember("a") == EncodeMember("a", b"", None, "file", None, 0, "")
