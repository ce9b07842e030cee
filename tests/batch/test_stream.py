"""Pairing members with entries: whatever comes, items are right or there is an error."""

from __future__ import annotations

import asyncio
import tarfile
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asyncbatch import (
    AsyncBatchError,
    AuthenticationError,
    FormatError,
    IncompleteBatchError,
    LimitExceededError,
    Limits,
    ObjectNotFoundError,
    RemoteError,
    TransportError,
    TruncatedArchiveError,
    UsageError,
)
from asyncbatch.batch import BatchRequest, BatchStream

from ..support.batches import FakeObject, FakeSource, pack, request_of, split, tar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncbatch import BatchItem

pytestmark = pytest.mark.anyio

SMALL = [("a", b"1"), ("b", b"2" * 511), ("c", b""), ("d", b"4" * 512), ("e", b"5" * 513)]
NAMES = [name for name, _ in SMALL]


def batch_of(
    archive: bytes,
    names: Iterable[str] = NAMES,
    *,
    limits: Limits | None = None,
    **options: Any,  # noqa: ANN401
) -> BatchStream:
    return BatchStream(FakeSource([archive]), request_of(names, **options), limits=limits or Limits())


async def delivered_by(batch: BatchStream) -> tuple[list[BatchItem], AsyncBatchError | None]:
    """Iterate, and return what came, and the error that ended it."""
    items: list[BatchItem] = []
    try:
        async for item in batch:
            items.append(item)  # noqa: PERF401 - those before an error count
    except AsyncBatchError as error:
        return items, error
    return items, None


def pairs(items: Iterable[BatchItem]) -> list[tuple[str, bytes]]:
    return [(metadata.name, data) for metadata, data in items]


# -- what is in order --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 512, 700, 100_000])
async def test_items_come_in_order_whatever_the_chunks(size: int) -> None:
    source = FakeSource(split(tar(SMALL), size))
    batch = BatchStream(source, request_of(NAMES))
    assert pairs(await batch.read_all()) == SMALL
    assert source.body.closed
    assert repr(batch) == "<BatchStream complete, 5 of 5 items delivered>"


async def test_an_item_tells_what_is_known_of_it() -> None:
    request = BatchRequest()
    request.add_object_request(FakeObject("o"), opaque=b"\0id", archpath="p")
    (item,) = await BatchStream(FakeSource([tar([("o", b"data")])]), request).read_all()
    metadata, data = item
    assert (metadata.index, metadata.name, metadata.bucket, metadata.provider) == (0, "o", "b", "ais")
    assert (metadata.archpath, metadata.size, metadata.opaque) == ("p", 4, b"\0id")
    assert (metadata.missing, metadata.error, metadata.member_name) == (False, None, "o")
    assert type(data) is bytes


async def test_an_object_may_be_asked_for_again_and_again() -> None:
    members = [("a", b"x"), ("b", b"y"), ("a", b"x"), ("a", b"x")]
    items = await batch_of(tar(members), [name for name, _ in members]).read_all()
    assert pairs(items) == members
    assert [item.metadata.index for item in items] == [0, 1, 2, 3]


async def test_iterating_goes_on_where_it_stopped_and_read_all_gives_the_rest() -> None:
    async with batch_of(tar(SMALL)) as batch:
        async for item in batch:
            assert item.data == b"1"
            break
        assert (await anext(batch)).data == SMALL[1][1]
        assert pairs(await batch.read_all()) == SMALL[2:]
        assert await batch.read_all() == []
    with pytest.raises(StopAsyncIteration):
        await anext(batch)


async def test_a_batch_can_be_entered_when_it_was_begun_already() -> None:
    batch = batch_of(tar(SMALL))
    assert (await anext(batch)).data == b"1"
    async with batch:
        assert pairs(await batch.read_all()) == SMALL[1:]
    assert batch.stats.requests == 1


async def test_an_empty_batch_asks_for_nothing() -> None:
    source = FakeSource()
    async with BatchStream(source, request_of([])) as batch:
        assert await batch.read_all() == []
    assert not source.requests
    assert (batch.stats.requests, batch.stats.resumes, batch.stats.items) == (0, 0, 0)


async def test_the_request_is_as_it_was_when_the_batch_was_made() -> None:
    request = request_of(["a"])
    source = FakeSource([tar([("a", b"1")])])
    batch = BatchStream(source, request)
    request.add_object_request(FakeObject("b"))
    request.continue_on_err = True
    assert len(await batch.read_all()) == 1
    assert len(source.requests[0]) == 1
    assert not source.requests[0].continue_on_err


async def test_figures_follow_the_batch() -> None:
    members = [("a", b"12"), ("gone/b", b""), ("c", b"345")]
    batch = batch_of(tar(members), "abc", continue_on_err=True)
    assert batch.stats.seconds_to_first_item is None
    assert batch.stats.seconds == 0
    async with batch:
        assert batch.stats.seconds_to_first_item is None
        await anext(batch)
        first = batch.stats
        assert (first.items, first.bytes, first.missing, first.requests, first.resumes) == (1, 2, 0, 1, 0)
        await batch.read_all()
    last = batch.stats
    assert (last.items, last.bytes, last.missing) == (3, 5, 1)
    assert first.seconds_to_first_item == last.seconds_to_first_item
    assert last.seconds_to_first_item is not None
    assert 0 < last.seconds_to_first_item <= last.seconds
    assert batch.stats == last  # time stands still behind the end


# -- what does not exist -----------------------------------------------------------------------------------


async def test_what_does_not_exist_is_an_item_where_errors_are_wanted() -> None:
    members = [("gone/a", b""), ("b", b"2"), ("no-bucket/c", b""), ("denied/d", b""), ("e", b"")]
    items = await batch_of(tar(members), "abcde", continue_on_err=True).read_all()
    assert [item.data for item in items] == [b"", b"2", b"", b"", b""]
    assert [item.metadata.missing for item in items] == [True, False, True, False, False]
    errors = [item.metadata.error for item in items]
    assert errors == ["gone a", None, "no-bucket c", "denied d", None]
    assert items[0].metadata.member_name == "gone/a"


@pytest.mark.parametrize(("kind", "error"), [("gone", ObjectNotFoundError), ("denied", AuthenticationError)])
async def test_what_does_not_exist_raises_where_errors_are_not_wanted(
    kind: str, error: type[AsyncBatchError]
) -> None:
    source = FakeSource([tar([("a", b"1"), (f"{kind}/b", b""), ("c", b"3")])])
    batch = BatchStream(source, request_of("abc"))
    items, caught = await delivered_by(batch)
    assert pairs(items) == [("a", b"1")]
    assert type(caught) is error
    assert source.body.closed


async def test_what_stands_for_an_error_has_no_data() -> None:
    _, error = await delivered_by(batch_of(tar([("gone/a", b"x")]), "a", continue_on_err=True))
    assert isinstance(error, IncompleteBatchError)


async def test_an_object_may_be_named_like_an_error() -> None:
    (item,) = await batch_of(tar([("gone/a", b"x")]), ["gone/a"]).read_all()
    assert (item.data, item.metadata.missing) == (b"x", False)


# -- what is not in order ----------------------------------------------------------------------------------


def outcome(error: AsyncBatchError | None, delivered: int, of: int) -> str:
    """Check that an error tells the count and the rest; return its words."""
    assert isinstance(error, IncompleteBatchError)
    assert error.delivered == delivered
    assert [entry.name for entry in error.missing] == list("abcdefgh"[delivered:of])
    return str(error)


@pytest.mark.parametrize("names", ["acb", "abX", "aabc", "bca", "gone/a", "gone/b"])
@pytest.mark.parametrize("continue_on_err", [False, True])
async def test_a_member_under_another_name_is_an_error(names: str, continue_on_err: bool) -> None:  # noqa: FBT001
    members = [("a", b"")] + ([(names, b"")] if "/" in names else [(name, b"") for name in names[1:]])
    if names == "gone/b":  # the right name for the second entry: not for the third
        members.insert(1, ("b", b""))
    archive = tar([*members, ("z", b"")])
    items, error = await delivered_by(batch_of(archive, "abc", continue_on_err=continue_on_err))
    came = [item.metadata.name for item in items]
    assert came == list("abc"[: len(came)])
    assert "was due, and" in outcome(error, len(items), 3)


async def test_too_few_members_are_an_error_and_read_all_keeps_them() -> None:
    batch = batch_of(tar(SMALL[:3]))
    with pytest.raises(IncompleteBatchError) as caught:
        await batch.read_all()
    error = caught.value
    assert "ended before every entry was answered; 3 of 5" in outcome(error, 3, 5)
    assert pairs(error.items) == SMALL[:3]


async def test_too_many_members_are_an_error_behind_the_last_item() -> None:
    items, error = await delivered_by(batch_of(tar([*SMALL, ("f", b"")])))
    assert pairs(items) == SMALL
    assert type(error) is FormatError
    assert (error.codec, error.member) == ("batch", "f")
    assert "goes on behind the 5 members that were asked for" in error.reason


@pytest.mark.parametrize(("came", "right"), [(4, False), (5, True), (6, False), (0, False)])
async def test_a_range_comes_in_the_length_that_was_asked_for(came: int, right: bool) -> None:  # noqa: FBT001
    request = BatchRequest(continue_on_err=True)
    request.add_object_request(FakeObject("a"), start=3, length=5)
    items, error = await delivered_by(BatchStream(FakeSource([tar([("a", b"x" * came)])]), request))
    assert len(items) == right
    assert (error is None) == right
    if error is not None:
        assert f"a range of 5 bytes was asked for, and {came} bytes came" in outcome(error, 0, 1)


async def test_a_range_to_the_end_comes_in_any_length_and_a_missing_one_in_none() -> None:
    request = BatchRequest(continue_on_err=True)
    request.add_object_request(FakeObject("a"), start=3)
    request.add_object_request(FakeObject("b"), start=3, length=5)
    items = await BatchStream(FakeSource([tar([("a", b"x"), ("gone/b", b"")])]), request).read_all()
    assert [item.metadata.missing for item in items] == [False, True]


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
async def test_a_member_that_is_no_file_is_no_object(kind: bytes) -> None:
    info = tarfile.TarInfo("b")
    info.type = kind
    info.linkname = "a"
    archive = tar([("a", b"")])[:-1024] + info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)
    items, error = await delivered_by(batch_of(archive, "ab"))
    assert len(items) == 1
    words = outcome(error, 1, 2)
    assert ("'b/' came" if kind == tarfile.DIRTYPE else "came for object 'b'") in words


# -- behind the last item ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [".tar", ".tar.gz", ".tar.lz4"])
async def test_what_is_cut_off_behind_the_last_item_is_not_missed(form: str) -> None:
    archive = tar(SMALL)[:-1024]
    source = FakeSource([pack(archive, form)], form=form)
    batch = BatchStream(source, request_of(NAMES))
    assert pairs(await batch.read_all()) == SMALL
    assert repr(batch).startswith("<BatchStream complete")
    assert source.body.closed


async def test_a_connection_that_breaks_behind_the_last_item_is_not_missed() -> None:
    lost = TransportError("reset", retryable=True)
    source = FakeSource([tar(SMALL)[:-1024], lost])
    assert pairs(await BatchStream(source, request_of(NAMES)).read_all()) == SMALL


async def test_a_contradiction_behind_the_last_item_is_an_error() -> None:
    items, error = await delivered_by(batch_of(tar(SMALL)[:-512] + b"x" * 512))
    assert pairs(items) == SMALL
    assert isinstance(error, FormatError)


async def test_a_wrong_checksum_behind_the_last_item_is_an_error() -> None:
    archive = bytearray(pack(tar(SMALL), ".tar.gz"))
    archive[-6] ^= 1  # of the CRC (RFC 1952, section 2.3.1)
    source = FakeSource([archive[:-8], archive[-8:]], form=".tar.gz")
    items, error = await delivered_by(BatchStream(source, request_of(NAMES)))
    assert pairs(items) == SMALL
    assert type(error) is FormatError
    assert error.codec == "gzip"


# -- cuts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [".tar", ".tar.gz", ".tar.lz4"])
@pytest.mark.parametrize("size", [100_000, 700], ids=["in one chunk", "in many"])
@pytest.mark.parametrize("lost", [False, True], ids=["clean end", "lost connection"])
async def test_a_batch_cut_anywhere_is_whole_or_incomplete(form: str, size: int, lost: bool) -> None:  # noqa: FBT001
    archive = pack(tar(SMALL), form)
    step = 1 if form != ".tar" else 3
    complete = 0
    for cut in [*range(0, len(archive), step), len(archive)]:
        steps: list[Any] = list(split(archive[:cut], size))
        if lost:
            steps.append(TransportError("reset", retryable=True))
        source = FakeSource(steps, form=form)
        batch = BatchStream(source, request_of(NAMES))
        items, error = await delivered_by(batch)
        assert pairs(items) == SMALL[: len(items)]
        assert source.body.closed
        assert batch.stats.items == len(items)
        if len(items) == len(SMALL):
            assert error is None
            complete += 1
        else:
            outcome(error, len(items), 5)
            assert error is not None
            assert isinstance(error.__cause__, TransportError if lost else TruncatedArchiveError | None)
    assert complete > 1  # the end of the archive need not come


@pytest.mark.parametrize("size", [100_000, 700], ids=["in one chunk", "in many"])
async def test_a_batch_cut_anywhere_gives_members_whole_or_raises(size: int) -> None:
    archive = tar(SMALL)
    for cut in range(0, len(archive), 3):
        batch = BatchStream(FakeSource(split(archive[:cut], size)), request_of(NAMES))
        whole = 0
        error: AsyncBatchError | None = None
        try:
            async for member in batch.members():
                data = b"".join([chunk async for chunk in member])
                assert (member.metadata.name, data) == SMALL[whole]
                whole += 1
        except AsyncBatchError as caught:
            error = caught
        if whole < len(SMALL):
            outcome(error, whole, 5)
        else:
            assert error is None


# -- errors of the way -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        RemoteError(status=500, message="no"),
        TransportError("down", retryable=True),
        OSError("something else"),
    ],
)
async def test_an_error_before_the_answer_is_raised_as_it_is(error: Exception) -> None:
    async def fail() -> None:
        raise error

    batch = BatchStream(FakeSource(opening=fail), request_of(NAMES))
    with pytest.raises(type(error)) as caught:
        async with batch:
            pytest.fail("it was opened")
    assert caught.value is error
    assert repr(batch) == "<BatchStream failed, 0 of 5 items delivered>"
    with pytest.raises(UsageError, match="is failed"):
        await anext(batch)


async def test_an_error_that_is_not_ours_comes_as_it_is_and_closes_the_batch() -> None:
    source = FakeSource([tar(SMALL)[:1024], OSError("disk")])
    batch = BatchStream(source, request_of(NAMES))
    assert (await anext(batch)).data == b"1"
    with pytest.raises(OSError, match="disk"):
        await anext(batch)
    assert source.body.closed


async def test_an_error_keeps_its_cause() -> None:
    lost = TransportError("reset", retryable=True)
    lost.__cause__ = httpx.ReadError("x")
    _, error = await delivered_by(BatchStream(FakeSource([tar(SMALL)[:1024], lost]), request_of(NAMES)))
    assert error is not None
    assert error.__cause__ is lost


async def test_after_an_error_there_is_no_more() -> None:
    batch = batch_of(tar(SMALL[:2]))
    await delivered_by(batch)
    for read in (batch.__anext__, batch.read_all, batch.members().__anext__):
        with pytest.raises(UsageError, match="this batch is failed"):
            await read()


@pytest.mark.parametrize("size", [700, 100_000], ids=["in parts", "whole"])
async def test_an_item_larger_than_the_limit_is_an_error(size: int) -> None:
    source = FakeSource(split(tar([("a", b"1"), ("b", bytes(2000))]), size))
    items, error = await delivered_by(
        BatchStream(source, request_of("ab"), limits=Limits(max_item_size=1999))
    )
    assert pairs(items) == [("a", b"1")]
    assert isinstance(error, LimitExceededError)
    assert (error.limit, error.value, error.maximum) == ("max_item_size", 2000, 1999)
    assert source.body.closed


async def test_an_item_larger_than_the_limit_can_be_read_in_chunks() -> None:
    archive = split(tar([("a", bytes(5000))]), 700)
    batch = BatchStream(FakeSource(archive), request_of("a"), limits=Limits(max_item_size=100))
    async for member in batch.members():
        assert sum([len(chunk) async for chunk in member]) == 5000


# -- one reader --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["opening", "between items", "inside an item"])
async def test_a_second_reader_is_refused_and_the_first_goes_on(at: str) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()

    async def stop() -> None:
        reached.set()
        await gate.wait()

    archive = tar([("a", b"1"), ("b", bytes(2000))])
    if at == "opening":
        source = FakeSource([archive], opening=stop)
    else:
        cut = 1024 if at == "between items" else 2000
        source = FakeSource([archive[:cut], stop, archive[cut:]])
    batch = BatchStream(source, request_of("ab"))
    first = asyncio.ensure_future(batch.read_all())
    await reached.wait()
    for second in (batch.__anext__, batch.read_all, batch.members().__anext__):
        with pytest.raises(UsageError, match=r"reader|consumer"):
            await second()
    gate.set()
    assert pairs(await first) == [("a", b"1"), ("b", bytes(2000))]
