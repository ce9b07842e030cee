"""Batches that break off go on where they stopped: every item once, right, and in order, or an error."""

from __future__ import annotations

import asyncio
import logging
import random
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import (
    AuthenticationError,
    FormatError,
    IncompleteBatchError,
    ObjectNotFoundError,
    OverloadedError,
    RemoteError,
    TransportError,
    TruncatedArchiveError,
    UsageError,
)
from asyncbatch.batch import BatchRefusedError, BatchRequest, BatchStream
from asyncbatch.batch._asker import Asker
from asyncbatch.batch._resume import Setbacks, expect, grow, shrink
from asyncbatch.codecs._formats import OBJECT
from asyncbatch.transport import RetryPolicy

from ..support.batches import FakeObject, request_of, tar
from ..support.cluster import Cluster, cut, lost, members, no_answer, short

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncbatch.batch import BatchMember

pytestmark = pytest.mark.anyio

OBJECTS = {"a": b"1", "b": b"2" * 511, "c": b"", "d": b"4" * 5000, "e": b"5" * 513}
AT_ONCE = RetryPolicy(base_delay=0, max_attempts=3)


def stream(cluster: Cluster, request: BatchRequest | Iterable[str] = OBJECTS, **options: Any) -> BatchStream:  # noqa: ANN401
    if not isinstance(request, BatchRequest):
        request = request_of(request)
    return BatchStream(cluster, request, **{"retry": AT_ONCE, "max_resumes": 4, **options})


async def read(batch: BatchStream) -> dict[str, bytes]:
    return {metadata.name: data for metadata, data in await batch.read_all()}


async def rest_of(member: BatchMember) -> bytes:
    """Read on: a second loop over a member is refused."""
    data = b""
    while chunk := await anext(member, b""):
        data += chunk
    return data


async def read_members(batch: BatchStream) -> dict[str, bytes]:
    return {
        member.metadata.name: b"".join([chunk async for chunk in member]) async for member in batch.members()
    }


# -- whatever cuts an answer -------------------------------------------------------------------------------


@pytest.mark.sweep
@pytest.mark.parametrize("clean", [False, True], ids=["lost", "clean end"])
@pytest.mark.parametrize("reader", [read, read_members])
@pytest.mark.parametrize("size", [700, 1 << 20])
async def test_a_cut_anywhere_is_not_seen(clean: bool, reader: Any, size: int) -> None:  # noqa: ANN401, FBT001
    for at in range(0, len(tar(OBJECTS.items())), 7):
        cluster = Cluster(OBJECTS, [cut(at, clean=clean, size=size)], chunk=size)
        batch = stream(cluster)
        assert await reader(batch) == OBJECTS
        assert all(body.closed for body in cluster.bodies)
        assert batch.stats.items == 5
        assert batch.stats.bytes == sum(map(len, OBJECTS.values()))
        assert batch.stats.resumes == len(cluster.bodies) - 1 <= 2


async def test_a_batch_that_comes_on_is_resumed_as_often_as_it_takes() -> None:
    objects = {str(number): bytes([number]) * 600 for number in range(50)}
    cluster = Cluster(objects, [cut(1600)] * 50)
    batch = stream(cluster, objects, max_resumes=1)
    assert await read(batch) == objects
    assert batch.stats.requests == 50
    assert batch.stats.resumes == 49


@pytest.mark.parametrize(
    "fault",
    [
        members(lambda found: [*found[:2], ("x", b"other"), *found[2:]]),
        members(lambda found: [found[0], *found]),
        members(lambda found: [found[1], found[0], *found[2:]]),
        members(lambda found: [found[0], (found[1][0], b"3")]),
        members(lambda found: [*found[:3], ("gone/d", b"x")]),
        short(0),
        short(3),
        no_answer(TransportError("reset", retryable=True)),
        no_answer(RemoteError(status=409, message="another job", retryable=True)),
        no_answer(OverloadedError(status=429, message="slowly", retryable=True, retry_after=0)),
    ],
)
async def test_an_answer_that_goes_astray_is_given_up_for_another(fault: Any) -> None:  # noqa: ANN401
    request = request_of("a")
    request.add_object_request(FakeObject("b"), start=0, length=511)
    for name in "cde":
        request.add_object_request(FakeObject(name))
    cluster = Cluster(OBJECTS, [fault])
    batch = stream(cluster, request)
    assert await read(batch) == OBJECTS
    assert batch.stats.requests > 1
    assert all(body.closed for body in cluster.bodies)


async def test_only_what_was_not_delivered_is_asked_for_again() -> None:
    cluster = Cluster(OBJECTS, [short(3), short(1)])
    assert await read(stream(cluster)) == OBJECTS
    assert cluster.asked == [5, 2, 1]


async def test_a_long_rest_is_asked_for_in_parts() -> None:
    objects = {str(number): b"" for number in range(1000)}
    cluster = Cluster(objects, [short(20)])
    assert await read(stream(cluster, objects)) == objects
    assert cluster.asked == [1000, 80, 320, 580]


async def test_a_batch_may_be_told_to_ask_once() -> None:
    for fault in (cut(2100), short(2)):
        cluster = Cluster(OBJECTS, [fault])
        with pytest.raises(IncompleteBatchError) as caught:
            await read(stream(cluster, max_resumes=0))
        assert cluster.asked == [5]
        assert len(caught.value.items) == caught.value.delivered == 2
        assert [entry.name for entry in caught.value.missing] == ["c", "d", "e"]


async def test_a_batch_cannot_be_asked_for_less_than_once() -> None:
    with pytest.raises(UsageError, match="max_resumes=-1"):
        stream(Cluster(OBJECTS), max_resumes=-1)


async def test_what_cannot_be_read_is_not_asked_for_again() -> None:
    archive = tar(OBJECTS.items())
    cluster = Cluster(OBJECTS, [lambda _: [archive[:1024], b"\xff" * 2048]])
    with pytest.raises(FormatError):
        await read(stream(cluster))
    assert cluster.asked == [5]


async def test_a_lost_connection_that_no_other_would_help_is_not_resumed() -> None:
    def fault(_: object) -> list[Any]:
        return [tar(OBJECTS.items())[:1600], TransportError("no such thing", retryable=False)]

    for before in ([], [cut(100)]):
        cluster = Cluster(OBJECTS, [*before, fault, fault])
        with pytest.raises(IncompleteBatchError, match="broke off; 1 of 5"):
            await read(stream(cluster))
        assert len(cluster.asked) == 1 + len(before)


# -- where it does not come on -----------------------------------------------------------------------------


async def test_a_batch_that_does_not_come_on_is_given_up() -> None:
    cluster = Cluster(OBJECTS, [short(2), *[cut(100)] * 100], [lost() for _ in range(100)])
    with pytest.raises(IncompleteBatchError, match="could not be asked for; 2 of 5") as caught:
        await read(stream(cluster))
    assert isinstance(caught.value.__cause__, TransportError)
    assert [entry.name for entry in caught.value.missing] == ["c", "d", "e"]
    assert list(OBJECTS.items())[:2] == [(item.metadata.name, item.data) for item in caught.value.items]
    assert cluster.asked == [5, 3, 3]
    assert cluster.asked_alone == ["c"] * 3  # as often as the policy has it
    assert all(body.closed for body in cluster.bodies)


async def test_batches_that_never_work_do_not_become_requests_for_each_object() -> None:
    objects = {str(number): b"x" for number in range(100)}
    cluster = Cluster(objects, [short(0)] * 100)
    with pytest.raises(IncompleteBatchError, match="ended before every entry was answered; 4 of 100"):
        await read(stream(cluster, objects))
    assert len(cluster.asked_alone) == 4


async def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch
    cluster = Cluster(OBJECTS, [cut(100)] * 100, [lost() for _ in range(100)])
    policy = RetryPolicy(base_delay=0.001, max_delay=0.002, max_attempts=1000, deadline=0.05)
    with pytest.raises(IncompleteBatchError):
        await read(stream(cluster, retry=policy, max_resumes=1000))
    assert 1 < len(cluster.asked) < 100


async def test_an_answer_that_cannot_be_had_again_leaves_the_batch_incomplete() -> None:
    gone = AuthenticationError(status=401, message="expired")
    cluster = Cluster(OBJECTS, [short(2), no_answer(gone)])
    batch = stream(cluster)
    with pytest.raises(IncompleteBatchError, match="could not be asked for") as caught:
        await read(batch)
    assert caught.value.__cause__ is gone
    assert batch.stats.requests == 2
    with pytest.raises(UsageError, match="is failed"):
        await anext(batch)


# -- what stops a batch ------------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("which", ["first", "middle", "last"])
async def test_the_entry_that_stops_a_strict_batch_is_found(streaming: bool, which: str) -> None:  # noqa: FBT001
    names = [f"n{number}" for number in range(100)]
    position = {"first": 0, "middle": 57, "last": 99}[which]
    objects = {name: name.encode() for name in names if name != names[position]}
    cluster = Cluster(objects)
    batch = stream(cluster, request_of(names, streaming=streaming))
    assert [(await anext(batch)).metadata.name for _ in range(position)] == names[:position]
    with pytest.raises(ObjectNotFoundError) as caught:
        await anext(batch)
    assert caught.value.name == names[position]
    assert len(cluster.asked) <= (2 if streaming else 25)
    assert cluster.asked_alone == ([names[position]] if streaming else [])


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("pattern", ["every fifth", "the first 200", "random", "all"])
async def test_any_number_of_entries_may_be_missing(streaming: bool, pattern: str) -> None:  # noqa: FBT001
    names = [f"n{number}" for number in range(1000)]
    missing = {
        "every fifth": names[::5],
        "the first 200": names[:200],
        "random": random.Random(7).sample(names, 200),
        "all": names,
    }[pattern]
    objects = {name: name.encode() for name in names if name not in set(missing)}
    cluster = Cluster(objects)
    batch = stream(cluster, request_of(names, continue_on_err=True, streaming=streaming))
    items = await batch.read_all()
    assert [item.metadata.name for item in items] == names
    assert [item.data for item in items] == [objects.get(name, b"") for name in names]
    assert {item.metadata.name for item in items if item.metadata.missing} == set(missing)
    assert batch.stats.missing == len(missing)
    assert not cluster.asked_alone
    assert len(cluster.asked) <= 90 * max(len(missing) // 200, 1)


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_range_outside_its_object_is_an_item_with_an_error(streaming: bool) -> None:  # noqa: FBT001
    request = BatchRequest(continue_on_err=True, streaming=streaming)
    for name in OBJECTS:
        request.add_object_request(FakeObject(name), start=0, length=512)
    items = await stream(Cluster(OBJECTS), request).read_all()
    assert [item.data for item in items] == [b"", b"", b"", b"4" * 512, b"5" * 512]
    wrong = [item.metadata for item in items[:3]]
    assert [(one.error, one.missing, one.member_name) for one in wrong] == [
        ("range not satisfiable", False, None)
    ] * 3
    assert items[3].metadata.error is None
    request.continue_on_err = False
    with pytest.raises(RemoteError, match="range not satisfiable"):
        await stream(Cluster(OBJECTS), request).read_all()


async def test_what_blocks_a_batch_and_can_be_had_by_itself_is_delivered() -> None:
    for name, data in OBJECTS.items():
        cluster = Cluster(OBJECTS, [short(0)])
        batch = stream(cluster, [name, "d"])
        items = await batch.read_all()
        assert [item.data for item in items] == [data, OBJECTS["d"]]
        assert items[0].metadata.member_name is None
        assert items[0].metadata.size == len(data)
        assert cluster.asked_alone == [name]


async def test_a_range_that_is_dropped_again_and_again_is_asked_for_by_itself() -> None:
    whole = members(lambda found: [(name, OBJECTS[name]) for name, _ in found])
    request = request_of("a")
    request.add_object_request(FakeObject("d"), start=10, length=20)
    request.add_object_request(FakeObject("e"), start=1, length=512)
    cluster = Cluster(OBJECTS, [whole] * 3)
    items = await stream(cluster, request).read_all()
    assert [item.data for item in items] == [b"1", b"4" * 20, b"5" * 512]
    assert cluster.asked_alone == ["d", "e"]


async def test_an_object_by_itself_may_be_of_the_wrong_length_as_well() -> None:
    cluster = Cluster({"c": b""}, [short(0)] * 9)
    request = BatchRequest()
    request.add_object_request(FakeObject("c"), length=5)
    object.__setattr__(cluster, "_cut", lambda _: b"")
    with pytest.raises(IncompleteBatchError, match="a range of 5 bytes was asked for, and 0 bytes came"):
        await stream(cluster, request).read_all()


async def test_errors_of_the_way_are_not_those_of_an_entry() -> None:
    busy = OverloadedError(status=503, message="busy", retryable=True)
    cluster = Cluster(OBJECTS, [short(0)], [busy] * 3)
    with pytest.raises(IncompleteBatchError) as caught:
        await read(stream(cluster, request_of(OBJECTS, continue_on_err=True)))
    assert caught.value.__cause__ is busy


async def test_an_entry_that_is_refused_by_itself_is_an_item_with_an_error() -> None:
    denied = AuthenticationError(status=403, message="not yours")
    cluster = Cluster(OBJECTS, [short(0)], [denied])
    items = await stream(cluster, request_of(OBJECTS, continue_on_err=True)).read_all()
    assert [item.metadata.error for item in items] == ["not yours", None, None, None, None]
    assert [item.data for item in items[1:]] == list(OBJECTS.values())[1:]
    assert not items[0].metadata.missing


async def test_a_batch_of_one_that_is_refused_is_asked_for_by_itself() -> None:
    refused = BatchRefusedError(status=400, message="no batches today")
    cluster = Cluster(OBJECTS, [no_answer(refused)] * 2)
    assert await read(stream(cluster, ["a", "b"])) == {"a": OBJECTS["a"], "b": OBJECTS["b"]}
    assert cluster.asked == [2, 1, 1]
    assert cluster.asked_alone == ["a"]


async def test_an_answer_may_end_before_its_archive() -> None:
    early = no_answer(TruncatedArchiveError("no metadata", codec="aistore", offset=0))
    cluster = Cluster(OBJECTS, [early, short(2), early])
    assert await read(stream(cluster)) == OBJECTS
    assert cluster.asked == [5, 4, 2, 1]
    assert cluster.asked_alone == ["a", "d"]
    with pytest.raises(IncompleteBatchError, match="broke off; 0 of 5"):
        await read(stream(Cluster(OBJECTS, [early]), max_resumes=0))


async def answer_with(steps: list[Any], cluster: Cluster, request: BatchRequest) -> object:
    return cluster._answer(request, steps, OBJECT, ["data"])


async def test_the_error_of_an_entry_may_show_while_it_is_read_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = RemoteError(status=416, message="too short")
    for strict in (True, False):
        for data in ([], [b"abc"]):
            cluster = Cluster(OBJECTS, [short(0)])
            monkeypatch.setattr(cluster, "open_entry", partial(answer_with, [*data, error], cluster))
            batch = stream(cluster, request_of(OBJECTS, continue_on_err=not strict))
            if strict:
                with pytest.raises(RemoteError, match="too short"):
                    await batch.read_all()
            else:
                items = await batch.read_all()
                assert (items[0].data, items[0].metadata.error) == (b"", "too short")
                assert [item.data for item in items[1:]] == list(OBJECTS.values())[1:]


async def test_an_error_that_may_pass_is_asked_about_again() -> None:
    failed = members(lambda found: [*found[:2], ("failed/c", b""), *found[3:]])
    request = request_of(OBJECTS, continue_on_err=True)
    cluster = Cluster(OBJECTS, [failed])
    assert await read(stream(cluster, request)) == OBJECTS
    assert cluster.asked == [5, 3]
    again = members(lambda found: [("failed/c", b""), *found[1:]])
    own = RemoteError(status=500, message="the disk of c failed", retryable=True)
    cluster = Cluster(OBJECTS, [failed, again], [own] * 3)
    items = await stream(cluster, request).read_all()
    assert [item.metadata.error for item in items] == [None, None, "the disk of c failed", None, None]
    assert cluster.asked_alone == ["c"] * 3
    items = await stream(Cluster(OBJECTS, [failed]), request, max_resumes=0).read_all()
    assert items[2].metadata.error == "c: a disk failed"


async def test_a_batch_of_one_may_be_told_that_it_is_missing() -> None:
    for which in ("a", "z"):
        request = request_of([which, "z"], streaming=False, continue_on_err=True)
        items = await stream(Cluster(OBJECTS, max_missing=0), request).read_all()
        assert [item.metadata.missing for item in items] == [which == "z", True]
    gone = ObjectNotFoundError(status=404, message="no such batch", name="a", bucket="b")
    with pytest.raises(ObjectNotFoundError, match="no such batch"):
        await stream(Cluster(OBJECTS, [no_answer(gone)])).read_all()


async def test_long_lists_are_not_sent_again_and_again() -> None:
    request = BatchRequest(continue_on_err=True)
    for number in range(300):
        request.add_object_request(FakeObject("abcde"[number % 5]), start=0, length=100_000)
    cluster = Cluster(OBJECTS)
    items = await stream(cluster, request).read_all()
    assert {item.metadata.error for item in items} == {"range not satisfiable"}
    assert sum(cluster.asked) < 300 * 70


@pytest.mark.parametrize("status", [401, 408, 409, 502, 504])
async def test_an_answer_about_the_way_is_no_entrys_error(status: int) -> None:
    error = AuthenticationError if status == 401 else RemoteError
    cluster = Cluster(OBJECTS, [short(0)], [error(status=status, message="not now")])
    with pytest.raises(IncompleteBatchError, match="could not be asked for; 0 of 5"):
        await stream(cluster, request_of(OBJECTS, continue_on_err=True)).read_all()


async def test_what_a_strict_batch_calls_missing_is_looked_for() -> None:
    gone = members(lambda found: [*found[:2], ("gone/c", b""), *found[3:]])
    cluster = Cluster(dict(OBJECTS), [gone])
    assert await read(stream(cluster)) == OBJECTS
    assert cluster.asked_alone == ["c"]
    del cluster.objects["c"]
    with pytest.raises(ObjectNotFoundError, match="no c"):
        await stream(Cluster(cluster.objects, [gone]), OBJECTS).read_all()
    with pytest.raises(ObjectNotFoundError, match="c does not exist"):
        await stream(Cluster(OBJECTS, [gone]), max_resumes=0).read_all()


async def test_a_refused_batch_that_may_ask_once_is_not_asked_for_in_parts() -> None:
    refused = BatchRefusedError(status=400, message="too many")
    cluster = Cluster(OBJECTS, [no_answer(refused)])
    with pytest.raises(RemoteError, match="too many"):
        await stream(cluster, max_resumes=0).read_all()
    assert cluster.asked == [5]


async def test_batches_that_are_always_refused_do_not_become_requests_for_each_object() -> None:
    refused = no_answer(BatchRefusedError(status=400, message="no batches here"))
    objects = {str(number): b"x" for number in range(100)}
    cluster = Cluster(objects, [refused] * 1000)
    with pytest.raises(IncompleteBatchError, match="could not be asked for; 4 of 100"):
        await read(stream(cluster, objects))
    assert len(cluster.asked_alone) == 4


async def test_what_is_over_holds_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error's frames hold half an item, and are held by the decoder that repeats it."""
    errors: list[Exception] = []
    recover = Asker.recover

    async def watch(asker: Asker, error: Exception, items: int, **facts: Any) -> bool:  # noqa: ANN401
        errors.append(error)
        return await recover(asker, error, items, **facts)

    monkeypatch.setattr(Asker, "recover", watch)
    assert await read(stream(Cluster(OBJECTS, [cut(3000, clean=True, size=512), cut(700)]))) == OBJECTS
    assert len(errors) == 2
    assert [error.__traceback__ for error in errors] == [None, None]


# -- chunk by chunk ----------------------------------------------------------------------------------------

LARGE = {"a": bytes(range(256)) * 40, "b": random.Random(1).randbytes(30_000), "c": b"c" * 10_000}


@pytest.mark.parametrize("again", [700, 1 << 20], ids=["in parts", "whole"])
@pytest.mark.parametrize("clean", [False, True], ids=["lost", "clean end"])
async def test_members_go_on_in_the_middle(again: int, clean: bool) -> None:  # noqa: FBT001
    for at in range(0, len(tar(LARGE.items())), 501):
        cluster = Cluster(LARGE, [cut(at, clean=clean, size=700), cut(at // 2, size=512)], chunk=again)
        batch = stream(cluster, LARGE)
        assert await read_members(batch) == LARGE
        assert batch.stats.items == 3
        assert batch.stats.bytes == sum(map(len, LARGE.values()))
        cluster = Cluster(LARGE, [cut(at, clean=clean, size=700)], chunk=again)
        assert {
            one.metadata.name: await one.read() async for one in stream(cluster, LARGE).members()
        } == LARGE


async def test_bytes_count_as_coming_on() -> None:
    cluster = Cluster(LARGE, [cut(at, size=512) for at in range(12_000, 40_000, 1000)])
    batch = stream(cluster, LARGE, max_resumes=1)
    assert await read_members(batch) == LARGE
    assert batch.stats.resumes >= 20


async def test_what_is_skipped_is_not_asked_for_again() -> None:
    cluster = Cluster(LARGE, [cut(2000, size=512), cut(20_000, size=512)], chunk=512)
    batch = stream(cluster, LARGE)
    seen = []
    async for member in batch.members():
        seen.append(member.metadata.name)
        if len(seen) == 2:
            await anext(aiter(member))
    assert seen == ["a", "b", "c"]
    assert cluster.asked == [3, 2, 1]
    assert batch.stats.items == 3


async def test_what_is_skipped_and_cut_is_no_range_of_the_wrong_length() -> None:
    request = BatchRequest()
    request.add_object_request(FakeObject("b"), start=5, length=20_000)
    request.add_object_request(FakeObject("c"))
    cluster = Cluster(LARGE, [short(0)], chunk=512)
    batch = stream(cluster, request)
    member = await anext(batch.members())
    await anext(aiter(member))
    cluster.bodies[-1]._steps = iter([b"more", lost()])
    assert [(await anext(batch)).data, batch.stats.items] == [LARGE["c"], 2]


async def test_what_is_skipped_brings_a_batch_on() -> None:
    objects = {str(number): bytes(5000) for number in range(20)}
    cluster = Cluster(objects, [cut(2000, size=512)] * 20)
    batch = stream(cluster, objects, max_resumes=1)
    assert len([member async for member in batch.members()]) == 20
    assert batch.stats.items == 20


async def test_the_error_of_an_entry_by_itself_that_is_skipped_is_no_other_item(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(OBJECTS, [short(0)])
    late = RemoteError(status=416, message="too short")
    monkeypatch.setattr(cluster, "open_entry", partial(answer_with, [b"abc", late], cluster))
    batch = stream(cluster, request_of(OBJECTS, continue_on_err=True))
    found = [member.metadata.name async for member in batch.members()]
    assert found == list(OBJECTS)
    assert batch.stats.items == 5


async def test_the_last_member_may_be_cut_where_nobody_reads_it() -> None:
    cluster = Cluster(LARGE, [cut(48_000, size=512)])
    batch = stream(cluster, LARGE)
    assert [member.metadata.name async for member in batch.members()] == ["a", "b", "c"]
    assert cluster.asked == [3]
    assert "complete" in repr(batch)


@pytest.mark.parametrize("chunk", [512, 1 << 20])
@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"x" + data[1:],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:3000],
        lambda _: b"",
        lambda _: None,
    ],
)
async def test_two_versions_of_an_object_are_never_mixed(change: Any, chunk: int) -> None:  # noqa: ANN401
    for strict in (True, False):
        cluster = Cluster(dict(LARGE), [cut(9000, size=512)], chunk=chunk)
        batch = stream(cluster, request_of(LARGE, continue_on_err=not strict))
        member = await anext(batch.members())
        got = await anext(aiter(member))
        assert LARGE["a"].startswith(got)
        changed = change(LARGE["a"])
        if changed is None:
            del cluster.objects["a"]
        else:
            cluster.objects["a"] = changed
        with pytest.raises(IncompleteBatchError, match="object 'a' was changed or removed") as caught:
            await rest_of(member)
        assert caught.value.delivered == 0
        assert all(body.closed for body in cluster.bodies)
        assert "failed" in repr(batch)


async def test_a_change_behind_what_was_handed_out_is_another_version_of_the_rest() -> None:
    """Of bytes that nobody has seen, none can be wrong."""
    cluster = Cluster(dict(LARGE), [cut(3000, size=512)])
    batch = stream(cluster, LARGE)
    member = await anext(batch.members())
    cluster.objects["a"] = changed = LARGE["a"][:5000] + b"y" * (len(LARGE["a"]) - 5000)
    assert await rest_of(member) == changed


async def test_a_rest_that_cannot_be_had_is_not_said_to_have_changed() -> None:
    own = RemoteError(status=500, message="a disk failed", retryable=True)
    cluster = Cluster(dict(LARGE), [cut(9000, size=512), short(0)], [own] * 3)
    batch = stream(cluster, LARGE)
    member = await anext(batch.members())
    await anext(aiter(member))
    with pytest.raises(IncompleteBatchError, match="the rest of object 'a' cannot be had") as caught:
        await rest_of(member)
    assert caught.value.__cause__ is own


async def test_an_item_of_unknown_size_goes_on_too() -> None:
    for change in ("", "longer", "shorter", "other"):
        cluster = Cluster(dict(LARGE), [short(0)], chunk=512)
        cluster.bodies.clear()
        batch = stream(cluster, LARGE)
        member = await anext(batch.members())
        data = await anext(aiter(member))
        assert member.metadata.size == len(data)
        cluster.bodies[-1]._steps = iter([lost()])
        cluster.objects["a"] = {
            "": LARGE["a"],
            "longer": LARGE["a"] + b"x",
            "shorter": b"",
            "other": b"x" + LARGE["a"],
        }[change]
        if change in {"shorter", "other"}:
            with pytest.raises(IncompleteBatchError, match="was changed or removed"):
                await anext(member)
        else:
            data += await rest_of(member)
            assert data == cluster.objects["a"]
            assert member.metadata.size == len(data)


async def test_a_member_with_a_size_goes_on_as_one_without() -> None:
    for change, right in ((b"", True), (b"x", False)):
        cluster = Cluster(dict(LARGE), [cut(9000, size=512), short(0)], chunk=512)
        batch = stream(cluster, LARGE)
        member = await anext(batch.members())
        data = await anext(aiter(member))
        cluster.objects["a"] += change
        if right:
            assert data + await rest_of(member) == LARGE["a"]
            assert member.metadata.size == len(LARGE["a"])
            assert (await anext(batch)).data == LARGE["b"]
        else:
            with pytest.raises(IncompleteBatchError, match="was changed or removed"):
                await rest_of(member)


async def test_a_member_left_behind_has_nothing_more_to_give() -> None:
    cluster = Cluster(LARGE, [cut(2000, size=512)], chunk=1 << 20)
    batch = stream(cluster, LARGE)
    first = await anext(batch.members())
    await anext(aiter(first))
    assert (await anext(batch)).metadata.name == "b"
    with pytest.raises(UsageError, match="no longer current"):
        await anext(first)
    assert (await anext(batch)).metadata.name == "c"


async def test_a_member_that_came_again_in_one_piece_may_be_left() -> None:
    cluster = Cluster(LARGE, [cut(9000, size=512)])
    batch = stream(cluster, LARGE)
    members_of = batch.members()
    member = await anext(members_of)
    async for _ in member:
        if len(cluster.bodies) == 2:
            break
    assert [one.metadata.name async for one in members_of] == ["b", "c"]
    assert batch.stats.bytes == sum(map(len, LARGE.values()))


# -- closing, cancelling, telling --------------------------------------------------------------------------


async def test_a_batch_can_be_closed_while_it_waits_to_go_on() -> None:
    cluster = Cluster(OBJECTS, [cut(100)] * 3)
    batch = stream(cluster, retry=RetryPolicy(base_delay=1000, max_delay=1000, deadline=None))
    reading = asyncio.ensure_future(batch.read_all())
    while not cluster.bodies or not cluster.bodies[0].closed:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)
    with pytest.raises(UsageError, match="another reader"):
        await anext(batch)
    await batch.aclose()
    with pytest.raises(UsageError, match="closed"):
        await reading
    assert cluster.asked == [5]


async def test_a_batch_that_is_closed_while_it_asks_for_the_next_part_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(OBJECTS, [no_answer(BatchRefusedError(status=400, message="too many"))])
    asked, gate = asyncio.Event(), asyncio.Event()
    ask = cluster.open_batch

    async def wait_and_ask(request: BatchRequest) -> Any:  # noqa: ANN401
        if len(cluster.asked) == 2:
            asked.set()
            await gate.wait()
        return await ask(request)

    monkeypatch.setattr(cluster, "open_batch", wait_and_ask)
    batch = stream(cluster)
    reading = asyncio.ensure_future(batch.read_all())
    await asked.wait()
    await batch.aclose()
    gate.set()
    with pytest.raises(UsageError, match="closed"):
        await reading
    assert len(cluster.bodies) == 2
    assert all(body.closed for body in cluster.bodies)


async def test_a_batch_that_is_closed_does_not_send_its_request_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(OBJECTS, [no_answer(lost())] * 9)
    ask = cluster.open_batch
    batch = stream(cluster, retry=RetryPolicy(base_delay=0, max_attempts=9))

    async def close_and_ask(request: BatchRequest) -> Any:  # noqa: ANN401
        if len(cluster.asked) == 2:
            await batch.aclose()
        return await ask(request)

    monkeypatch.setattr(cluster, "open_batch", close_and_ask)
    with pytest.raises(UsageError, match="closed"):
        await batch.read_all()
    assert len(cluster.asked) == 3


async def test_a_batch_that_was_closed_meanwhile_asks_for_nothing() -> None:
    cluster = Cluster(OBJECTS, [cut(100)])
    batch = stream(cluster, retry=RetryPolicy(base_delay=0.01, max_delay=0.01))
    reading = asyncio.ensure_future(batch.read_all())
    while not cluster.bodies or not cluster.bodies[0].closed:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)
    await batch.aclose()
    with pytest.raises(UsageError, match="closed"):
        await reading
    assert cluster.asked == [5]


async def test_resuming_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asyncbatch.batch")
    refused = BatchRefusedError(status=400, message="too many errors")
    await read(stream(Cluster(OBJECTS, [short(2), cut(0), no_answer(refused)])))
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("INFO", "resuming a batch at item 2 of 5: the archive ended before every entry was answered"),
        ("WARNING", "resuming a batch at item 2 of 5: connection lost"),
        ("INFO", "a batch of 3 entries was refused, asking for 1: HTTP 400: too many errors"),
    ]


# -- decisions ---------------------------------------------------------------------------------------------


def test_decisions_follow_the_policy() -> None:
    setbacks = Setbacks(RetryPolicy(base_delay=1, max_delay=3, deadline=100), 3)
    ended, broken = TruncatedArchiveError("", codec="tar", offset=0), lost()

    def add(
        error: Exception, *, gained: bool = False, items: int = 0, now: float = 0
    ) -> tuple[float, bool] | None:
        resume = setbacks.add(error, gained=gained, items=items, now=now, uniform=lambda _, most: most)
        return None if resume is None else (resume.delay, resume.alone)

    assert [add(broken), add(broken), add(broken), add(broken)] == [(1, False), (2, True), (3, True), None]
    assert add(broken, gained=True, items=8) == (0, False)
    assert [add(ended), add(ended)] == [(1, True), (2, True)]
    # Where answers bring little, and again little, there is a pause: else each object might have its request.
    little = [add(ended, gained=True, items=items) for items in (9, 1, 0, 7, 8, 1)]
    assert little == [(0, False), (0, False), (1, False), (1, False), (0, False), (0, False)]
    setbacks.clear()
    assert [add(ended), add(ended, now=97.9), add(ended, now=98)] == [(1, True), (2, True), None]
    assert add(TransportError("", retryable=False), gained=True) is None
    assert Setbacks(RetryPolicy(), 0).add(ended, gained=True, items=9, now=0) is None


def test_parts_are_never_empty_and_grow() -> None:
    assert [shrink(2), shrink(3), shrink(1000)] == [1, 1, 500]
    assert [grow(size, was_refused=True) for size in (1, 4, 100)] == [2, 6, 126]
    assert [grow(size, was_refused=False) for size in (1, 4, 100)] == [4, 16, 400]
    assert [expect(size) for size in (0, 1, 100)] == [64, 64, 400]
