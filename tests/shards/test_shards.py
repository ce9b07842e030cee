"""Files out of shards by reads of ranges: every format, concurrency, cancellation, and what it costs."""

from __future__ import annotations

import asyncio
import bz2
import contextlib
import gzip
import lzma
import random
import zipfile
from typing import TYPE_CHECKING

import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch import Limits
from asyncbatch.errors import (
    FormatError,
    LimitExceededError,
    TransportError,
    TruncatedArchiveError,
    UnsupportedFormatError,
    UsageError,
)
from asyncbatch.shards import Shards
from tests.support.leaks import nothing_left_open, until
from tests.support.zips import Entry, build

from .fakes import MEMBERS, MemoryShard, content, make_tar, make_zip

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

pytestmark = pytest.mark.anyio

TAR = make_tar()
SHARDS = {
    "s.tar": TAR,
    "S.TGZ": gzip.compress(TAR),
    "s.tar.gz": gzip.compress(TAR, 0),
    "s.tar.lz4": lz4.frame.compress(TAR),
    "s.tar.zst": zstandard.compress(TAR),
    "s.zip": make_zip(stub=b"a stub in front, as of an archive that extracts itself"),
    "deflated.zip": make_zip(zipfile.ZIP_DEFLATED),
}
ZIPS = ["s.zip", "deflated.zip"]
every_shard = pytest.mark.parametrize("name", SHARDS)


def _shard(name: str, data: bytes | None = None, *, chunk_size: int = 65_536) -> MemoryShard:
    return MemoryShard(name, SHARDS[name] if data is None else data, chunk_size=chunk_size)


@every_shard
async def test_every_file_of_every_shard(name: str) -> None:
    shards, shard = Shards(), _shard(name)
    for archpath, data in MEMBERS.items():
        for asked in {archpath, archpath.removeprefix("/"), "/" + archpath.removeprefix("/")}:
            file = await shards.open(shard, asked)
            assert await content(file) == data
            assert file is not None
            assert file.size == file.length == len(data)
    assert shard.streams == 0


@pytest.mark.parametrize(("name", "compress"), [("s.tar.bz2", bz2.compress), ("s.txz", lzma.compress)])
async def test_a_file_of_a_shard_that_is_slow(name: str, compress: Callable[[bytes], bytes]) -> None:
    shard = _shard(name, compress(make_tar({"a.txt": b"alpha", "zeros": bytes(600_000)})))
    assert await content(await Shards().open(shard, "zeros", 7)) == bytes(599_993)


@every_shard
@pytest.mark.parametrize(
    ("start", "length"),
    [
        (0, 10),
        (1_299_990, 10),
        (262_140, 8),
        (1, None),
        (1_299_990, 100),
        (5, 0),
        (1_300_000, 1),
        (2_000_000, None),
    ],
)
async def test_ranges_inside_a_file(name: str, start: int, length: int | None) -> None:
    shard = _shard(name)
    file = await Shards().open(shard, "dir/large", start, length)
    end = None if length is None else start + length
    assert await content(file) == MEMBERS["dir/large"][start:end]
    assert file is not None
    assert file.size == len(MEMBERS["dir/large"])
    assert shard.streams == 0


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz", *ZIPS])
@settings(max_examples=25, deadline=None)
@given(
    archpath=st.sampled_from(["dir/large", "zeros", "a.txt", "empty"]),
    start=st.integers(0, 700_000),
    length=st.none() | st.integers(0, 700_000),
    chunk_size=st.integers(3000, 300_000),
)
def test_any_range_in_any_chunks(
    name: str, archpath: str, start: int, length: int | None, chunk_size: int
) -> None:
    async def read() -> bytes:
        return await content(
            await Shards().open(_shard(name, chunk_size=chunk_size), archpath, start, length)
        )

    end = None if length is None else start + length
    assert asyncio.run(read()) == MEMBERS[archpath][start:end]


@every_shard
@pytest.mark.parametrize("archpath", ["nope", "dir", "dir/", "link", "", "a.txt/", "../a.txt"])
async def test_what_is_no_file_of_the_shard(name: str, archpath: str) -> None:
    shard = _shard(name)
    assert await Shards().open(shard, archpath) is None
    assert shard.streams == 0


@pytest.mark.parametrize("name", ["o", "s.gz", "s.zst", "tar"])
async def test_what_its_name_calls_no_shard(name: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=rf"shard '{name}': its name ends in none of \.tar, "):
        await Shards().open(_shard(name, TAR), "x")


@every_shard
@pytest.mark.parametrize("damage", ["empty", "junk", "half"])
async def test_what_is_no_archive(name: str, damage: str) -> None:
    half = SHARDS[name][: len(SHARDS[name]) // 2]
    shard = _shard(name, {"empty": b"", "junk": b"junk" * 5000, "half": half}[damage])
    with pytest.raises(FormatError, match=f"shard '{name}': "):
        await content(await Shards().open(shard, "last"))
    assert shard.streams == 0


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz", *ZIPS])
async def test_limits(name: str) -> None:
    with pytest.raises(
        LimitExceededError, match=f"shard '{name}': 1300000 exceeds max_member_size"
    ) as caught:
        await Shards(limits=Limits(max_member_size=1_000_000)).open(_shard(name), "dir/large")
    assert caught.value.__cause__ is not None


async def test_a_sparse_file_is_refused_and_its_neighbours_are_not() -> None:
    data = bytearray(make_tar({"sparse": b"x" * 512, "other": b"other"}))
    header = bytearray(data[512:1024])
    header[156:157] = b"S"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data[512:1024] = header
    shards, shard = Shards(), _shard("s.tar", bytes(data))
    with pytest.raises(UnsupportedFormatError, match="it is a sparse file") as caught:
        await shards.open(shard, "sparse")
    assert caught.value.member == "sparse"
    assert await content(await shards.open(shard, "other")) == b"other"


# -- what it costs ----------------------------------------------------------------------------------------


async def test_the_index_of_large_members_costs_little() -> None:
    shards = Shards()
    shard = _shard("s.tar", make_tar({f"m{number}": bytes(10 << 20) for number in range(10)}))
    assert await shards.open(shard, "nope") is None
    assert shard.bytes < 1 << 20
    assert shard.requests < 15
    assert shards.statistics() == (1, 10, 0)


@pytest.mark.parametrize("name", ["s.tar", *ZIPS])
async def test_a_small_file_behind_a_learnt_index_costs_one_read(name: str) -> None:
    shards, shard = Shards(), _shard(name)
    await content(await shards.open(shard, "a.txt"))
    for archpath in ("last", "日本.txt", "zeros"):
        before = shard.requests
        assert await content(await shards.open(shard, archpath)) == MEMBERS[archpath]
        assert shard.requests == before + 1
    requests, read = shard.requests, shard.bytes
    assert (
        await content(await shards.open(shard, "dir/large", 500_000, 10))
        == MEMBERS["dir/large"][500_000:500_010]
    )
    assert shard.requests - requests == (1 if name == "s.tar" else 2)
    if name != "deflated.zip":
        assert shard.bytes - read < 1000


async def test_a_range_of_nothing_costs_nothing() -> None:
    shards, shard = Shards(), _shard("deflated.zip")
    await shards.open(shard, "a.txt")
    before = shard.requests
    assert await content(await shards.open(shard, "dir/large", 7, 0)) == b""
    assert shard.requests == before


async def test_an_index_is_learnt_once_for_each_version() -> None:
    shards = Shards()
    for version, requests in (("1", 1), ("1", 0), ("2", 1), ("1", 0)):
        shard = MemoryShard("s.tar", make_tar({"x": b"x"}), version=version)
        await shards.open(shard, "nope")
        assert shard.requests == requests


async def test_the_oldest_indexes_are_forgotten() -> None:
    shards = Shards(max_indexed=20)

    async def requests(name: str) -> int:
        shard = MemoryShard(name, make_tar({f"f{n}": b"x" for n in range(10)}))
        await shards.open(shard, "nope")
        return shard.requests

    assert [await requests(name) for name in ("a.tar", "b.tar", "a.tar", "c.tar", "a.tar", "b.tar")] == [
        1,
        1,
        0,
        1,
        0,
        1,
    ]
    assert shards.statistics() == (2, 20, 0)


async def test_a_shard_with_too_many_files() -> None:
    with pytest.raises(UnsupportedFormatError, match=r"shard 's\.tar': it holds more than 9 files"):
        await Shards(max_indexed=9).open(_shard("s.tar", make_tar({f"f{n}": b"" for n in range(10)})), "f0")
    with pytest.raises(UnsupportedFormatError, match="more than 9 files"):
        await Shards(max_indexed=9).open(_shard("s.tar", make_tar({"n" * 2304: b""})), "f0")


# -- zips that contradict themselves ----------------------------------------------------------------------


@pytest.mark.parametrize("central", [{"crc": 1}, {"size": 999}, {"size": 1001}])
@pytest.mark.parametrize("method", [0, 8, 93])
async def test_a_file_that_is_not_what_the_central_directory_says(
    central: dict[str, int], method: int
) -> None:
    if method == 0 and "size" in central:
        central = {**central, "packed": central["size"]}
    data = build([Entry(b"x", b"0123456789" * 100, method, central=central)])
    shards, shard = Shards(), _shard("s.zip", data)
    file = await shards.open(shard, "x")
    with pytest.raises(FormatError, match=r"shard 's\.zip': not what the central directory says"):
        await content(file)
    assert file is not None
    with pytest.raises(UsageError, match="was closed"):
        await anext(file.chunks)
    if "crc" in central:  # which nobody can know of a range
        assert await content(await shards.open(shard, "x", 10, 5)) == b"01234"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (Entry(b"x", b"data", flags=1), "an encrypted member is not supported"),
        (Entry(b"x", b"data", 12), r"method 12 is not supported: \(0, 8, 93\) are"),
        (Entry(b"x", b"data", 12, central={"method": 8}), "says method 8, the local header 12"),
        (Entry(b"x", b"data", local={"name": b"y"}), "says name 'x', the local header 'y'"),
        (Entry(b"x", b"data", central={"name": b"y"}), "says name 'y', the local header 'x'"),
        (Entry(b"x", b"data", 98, central={"method": 0}), "method 98"),
        (Entry(b"x", b"data", local={"flags": 1}), "an encrypted member"),
        (Entry(b"x", b"data", central={"size": 5}), "cannot be"),
        (Entry(b"x", b"data", central={"packed": 5000, "size": 5000}), "cannot be"),
        (Entry(b"x", b"data", central={"disk": 1}), "cannot be"),
        (Entry(b"x", b"data", central={"offset": 1}), "no local header at byte 1"),
        (Entry(b"x", b"data", extra=b"\1\0\0\0\1\0\0\0"), "stands there twice"),
    ],
)
async def test_files_of_a_zip_that_cannot_be_read(entry: Entry, reason: str) -> None:
    shards, shard = Shards(), _shard("s.zip", build([Entry(b"other", b"good"), entry]))
    if "offset" in entry.central:
        shard = _shard("s.zip", build([entry, Entry(b"other", b"good")]))
    with pytest.raises(FormatError, match=reason):
        await shards.open(shard, entry.central.get("name", b"x").decode())
    assert await content(await shards.open(shard, "other")) == b"good"


async def test_extra_fields_longer_than_what_is_read_along() -> None:
    extra = b"\x99\x99" + (40_000).to_bytes(2, "little") + bytes(40_000)
    data = build(
        [Entry(b"x", b"data", extra=extra), Entry(b"y", random.Random(3).randbytes(2 << 20), extra=extra)]
    )
    shards, shard = Shards(), _shard("s.zip", data)
    assert await content(await shards.open(shard, "x")) == b"data"
    assert await content(await shards.open(shard, "y", 1)) == random.Random(3).randbytes(2 << 20)[1:]


@pytest.mark.parametrize("size", [4, 3 << 20])
@pytest.mark.parametrize("start", [0, 1])
async def test_a_local_header_that_leads_out_of_the_object(size: int, start: int) -> None:
    data = bytearray(build([Entry(b"x", b"\x99\x99\xfa\xff" + bytes(size))]))
    data[28:30] = b"\xfe\xff"  # extra fields of nearly 64 KiB, which take the place of the data
    with pytest.raises(FormatError, match="goes on behind the end of the object"):
        await Shards().open(_shard("s.zip", bytes(data)), "x", start)


async def test_entries_that_overlap() -> None:
    """A bomb of one core for many names: each is read for itself, and none for what it is not."""
    core = Entry(b"x", bytes(100_000), 8)
    data = build([core, Entry(b"y", b"", central={"offset": 0, "method": 8})])
    with pytest.raises(FormatError, match="says name 'y', the local header 'x'"):
        await Shards().open(_shard("s.zip", data), "y")
    data = build([core, Entry(b"x", b"", central={"offset": 0})])
    assert await content(await Shards().open(_shard("s.zip", data), "x")) == bytes(100_000)


# -- one learning for all who need it ---------------------------------------------------------------------


class GatedShard(MemoryShard):
    """Waits before each request until it is opened, or fails."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(name, data)
        self.gate = asyncio.Event()
        self.error: Exception | None = None
        self.cancelled = 0

    async def before(self) -> None:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error


async def test_those_who_need_the_same_index_learn_it_once() -> None:
    shards, shard = Shards(), GatedShard("s.tar", TAR)
    async with nothing_left_open(), asyncio.timeout(30), asyncio.TaskGroup() as group:
        readers = [group.create_task(shards.open(shard, "a.txt")) for _ in range(50)]
        await until(lambda: shards.statistics().learning and shard.requests)
        shard.gate.set()
    requests = shard.requests
    assert requests < 10
    for reader in readers:
        assert await content(reader.result()) == b"alpha"
    assert shard.requests == requests + 50
    assert shards.statistics().learning == 0


@pytest.mark.parametrize("which", ["the first", "the second"])
async def test_one_who_is_cancelled_does_not_cancel_the_others(which: str) -> None:
    shards, shard = Shards(), GatedShard("s.tar", TAR)
    async with nothing_left_open(), asyncio.timeout(30):
        readers = [asyncio.create_task(shards.open(shard, "a.txt")) for _ in range(2)]
        await until(lambda: shard.requests)
        gone, stays = readers if which == "the first" else reversed(readers)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        shard.gate.set()
        assert await content(await stays) == b"alpha"
    assert not shard.cancelled


async def test_when_all_are_cancelled_the_learning_stops() -> None:
    shards, shard = Shards(), GatedShard("s.tar", TAR)
    async with nothing_left_open(), asyncio.timeout(30):
        readers = [asyncio.create_task(shards.open(shard, "a.txt")) for _ in range(3)]
        await until(lambda: shard.requests)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        assert shards.statistics() == (0, 0, 0)
        await until(lambda: shard.cancelled)
        shard.gate.set()
        assert await content(await shards.open(shard, "a.txt")) == b"alpha"


@pytest.mark.parametrize("error", [TransportError("lost", retryable=True), OSError("lost")])
async def test_a_learning_that_fails_fails_for_all_and_is_tried_again(error: Exception) -> None:
    shards, shard = Shards(), GatedShard("s.tar", TAR)
    shard.error = error
    readers = [asyncio.create_task(shards.open(shard, "a.txt")) for _ in range(3)]
    await until(lambda: shard.requests)
    shard.gate.set()
    errors = await asyncio.gather(*readers, return_exceptions=True)
    assert [str(one) for one in errors] == ["lost"] * 3
    if isinstance(error, TransportError):
        assert len({id(one) for one in errors}) == 3
    shard.error = None
    assert await content(await shards.open(shard, "a.txt")) == b"alpha"


async def test_a_learning_that_fails_when_nobody_waits() -> None:
    shards, shard = Shards(), GatedShard("s.tar", TAR)
    reader = asyncio.create_task(shards.open(shard, "a.txt"))
    await until(lambda: shard.requests)

    async def fail_when_cancelled() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await shard.gate.wait()
        raise OSError("too late")

    other = GatedShard("s.tar", TAR)
    other.key = "bucket", "other"
    other.before = fail_when_cancelled  # type: ignore[method-assign]
    late = asyncio.create_task(shards.open(other, "a.txt"))
    await until(lambda: other.requests)
    reader.cancel()
    late.cancel()
    assert all(
        isinstance(one, asyncio.CancelledError)
        for one in await asyncio.gather(reader, late, return_exceptions=True)
    )


# -- reading ----------------------------------------------------------------------------------------------


@every_shard
async def test_a_file_that_is_left_early_is_closed(name: str) -> None:
    async with nothing_left_open():
        for begin in (False, True):
            shard = _shard(name)
            file = await Shards().open(shard, "dir/large")
            assert file is not None
            async with file.chunks:
                if begin:
                    assert await anext(file.chunks)
            assert shard.streams == 0
            await file.chunks.aclose()
            with pytest.raises(UsageError, match="was closed"):
                await anext(file.chunks)


async def test_the_end_stays_the_end() -> None:
    file = await Shards().open(_shard("s.tar"), "a.txt")
    assert await content(file) == b"alpha"
    assert file is not None
    await file.chunks.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(file.chunks)


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz", "deflated.zip"])
async def test_two_who_read_one_file_and_one_who_is_cancelled(name: str) -> None:
    shards, shard = Shards(), GatedShard(name, SHARDS[name])
    async with nothing_left_open(), asyncio.timeout(30):
        shard.gate.set()
        file = await shards.open(shard, "dir/large")
        assert file is not None
        shard.gate.clear()
        if name == "s.tar.gz":  # has some of it already
            await anext(file.chunks)
        reader = asyncio.create_task(content(file))
        await until(lambda: shard.streams)
        for _ in range(3):
            await asyncio.sleep(0)
        with pytest.raises(UsageError, match="another task"):
            await anext(file.chunks)
        with pytest.raises(UsageError, match="another task"):
            await file.chunks.aclose()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert shard.streams == 0


class LyingShard(MemoryShard):
    """Brings less than, or more than, it is asked for, once it is told to."""

    lies = 0

    async def read(self, offset: int, length: int, /) -> bytes:
        return (await super().read(offset, length) + b"more")[: max(length + self.lies, 0)]

    async def stream(self, offset: int, length: int | None, /) -> AsyncGenerator[bytes]:
        async with contextlib.aclosing(super().stream(offset, length)) as chunks:
            async for chunk in chunks:
                yield (chunk + b"more")[: max(len(chunk) + self.lies, 0)]


@pytest.mark.parametrize("archpath", ["a.txt", "dir/large"])
@pytest.mark.parametrize("lies", [-1, 1, -100_000])
async def test_a_store_that_brings_something_else(archpath: str, lies: int) -> None:
    shards, shard = Shards(), LyingShard("s.tar", TAR)
    await shards.open(shard, "a.txt")
    shard.lies = lies
    with pytest.raises(TruncatedArchiveError, match="did not bring what was asked for"):
        await content(await shards.open(shard, archpath))
    assert shard.streams == 0


@pytest.mark.parametrize("name", ZIPS)
@pytest.mark.parametrize(
    ("archpath", "lies"), [("a.txt", -100_000), ("dir/large", -1), ("dir/large", -100_000)]
)
async def test_a_store_that_brings_less_of_a_zip(name: str, archpath: str, lies: int) -> None:
    shards, shard = Shards(), LyingShard(name, SHARDS[name])
    await shards.open(shard, "a.txt")
    shard.lies = lies
    with pytest.raises(FormatError):
        await content(await shards.open(shard, archpath))
    assert shard.streams == 0


async def test_the_event_loop_has_its_turns_while_much_is_decompressed() -> None:
    shard = _shard("s.zip", make_zip(zipfile.ZIP_DEFLATED, members={"zeros": bytes(5 << 20)}))
    shards = Shards()
    await shards.open(shard, "nope")
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    assert await content(await shards.open(shard, "zeros", (5 << 20) - 3)) == bytes(3)
    counter.cancel()
    assert turns > 10


async def test_an_object_that_changes_under_the_reader() -> None:
    shards, shard = Shards(), GatedShard("s.tar", TAR)
    shard.gate.set()
    file = await shards.open(shard, "dir/large")
    shard.error = TransportError("412", retryable=True)
    with pytest.raises(TransportError, match="412"):
        await content(file)
    assert shard.streams == 0
