"""Batches over sockets: cut, left, cancelled, dropped, and many at once."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import BatchRequest, IncompleteBatchError, ObjectNotFoundError, TransportError, UsageError
from asyncbatch.aistore import Client

from ..support.batches import FakeBucket, FakeObject, pack, tar
from ..support.leaks import nothing_left_open, until
from ..support.wire import WireServer, chunked, head, redirect

if TYPE_CHECKING:
    from asyncbatch import BatchItem

pytestmark = pytest.mark.anyio

MEMBERS = [("b/one", b"1" * 100), ("b/two", b"2" * 1500), ("b/three", b""), ("b/four", b"4" * 512)]
NAMES = [name.removeprefix("b/") for name, _ in MEMBERS]
TYPES = {".tar": "application/x-tar", ".tar.gz": "application/gzip", ".tar.lz4": "application/x-lz4"}


@pytest.mark.parametrize("form", TYPES)
@pytest.mark.parametrize("framed", [True, False], ids=["chunked", "until the connection closes"])
async def test_a_body_cut_anywhere_is_whole_or_incomplete(form: str, framed: bool) -> None:  # noqa: FBT001
    archive = pack(tar(MEMBERS), form)
    if framed:
        answer = chunked(archive, size=300, Content_Type=TYPES[form])
    else:
        answer = head(200, Content_Type=TYPES[form], Connection="close") + archive
    start = answer.index(b"\r\n\r\n") + 4
    cuts = [*range(start, len(answer), max(len(archive) // 40, 1)), len(answer)]
    outcomes = []
    async with nothing_left_open(), WireServer(*[answer[:cut] for cut in cuts]) as server:
        async with Client(server.url) as client:
            for _ in cuts:
                items: list[BatchItem] = []
                failed: IncompleteBatchError | None = None
                try:
                    async for item in client.get_batch(NAMES, bucket="b"):
                        items.append(item)  # noqa: PERF401 - those before an error count
                except IncompleteBatchError as error:
                    failed = error
                assert [(one.metadata.member_name, one.data) for one in items] == MEMBERS[: len(items)]
                assert (failed is None) == (len(items) == len(NAMES))
                if failed is not None:
                    assert failed.delivered == len(items)
                    assert [entry.name for entry in failed.missing] == NAMES[len(items) :]
                outcomes.append(len(items))
    assert outcomes == sorted(outcomes)
    assert (outcomes[0], outcomes[-1]) == (0, len(NAMES))


def stalling(start: bytes, reached: asyncio.Event | None = None) -> Any:  # noqa: ANN401 - an answer
    """Begin an answer, and never go on."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, Content_Type="application/x-tar", Content_Length="999999") + start)
        if reached is not None:
            reached.set()
        await asyncio.Event().wait()

    return answer


async def test_leaving_early_closes_the_connection_at_once() -> None:
    async with WireServer(stalling(tar(MEMBERS)[:1100])) as server, nothing_left_open():
        async with Client(server.url) as client:
            async with client.get_batch(NAMES, bucket="b") as batch:
                async for _item in batch:
                    break
                assert server.connections == 1
            await until(lambda: server.connections == 0)


@pytest.mark.parametrize("mode", ["items", "members", "read_all"])
async def test_a_batch_can_be_cancelled_at_any_turn_of_the_loop(mode: str) -> None:
    async def read(client: Client) -> int:
        batch = client.get_batch(NAMES, bucket="b")
        if mode == "read_all":
            return len(await batch.read_all())
        if mode == "items":
            return len([item async for item in batch])
        return len([await member.read() async for member in batch.members()])

    answer = chunked(tar(MEMBERS), size=400)

    def split(data: bytes) -> list[bytes]:
        return [data[start : start + 500] for start in range(0, len(data), 500)]

    cancelled = 0
    # httpcore may keep a connection in its pool whose request was cancelled; the client closes them all.
    async with nothing_left_open(), WireServer(split=split) as server, Client(server.url) as client:
        for turns in range(1000):
            server.answers.clear()
            server.answers += [redirect("/target"), answer]
            task = asyncio.ensure_future(read(client))
            for _ in range(turns):
                await asyncio.sleep(0)
                if task.done():
                    break
            task.cancel()
            try:
                assert await task == len(NAMES)
                break
            except asyncio.CancelledError:
                cancelled += 1
        else:
            pytest.fail("it never came to its end")
    assert cancelled > 10


async def test_a_batch_that_is_dropped_closes_its_connection() -> None:
    async with WireServer(stalling(tar(MEMBERS)[:1100])) as server, nothing_left_open():
        async with Client(server.url) as client:
            batch = client.get_batch(NAMES, bucket="b")
            await anext(batch)
            del batch
            gc.collect()
            await until(lambda: server.connections == 0)


async def test_closing_the_client_ends_a_batch_that_is_being_read() -> None:
    async with WireServer(stalling(tar(MEMBERS)[:1100])) as server, nothing_left_open():
        client = Client(server.url)
        batch = client.get_batch(NAMES, bucket="b")
        await anext(batch)
        await client.aclose()
        await until(lambda: server.connections == 0)
        with pytest.raises((IncompleteBatchError, UsageError)):
            await batch.read_all()


async def test_closing_a_batch_wakes_the_task_that_reads_it() -> None:
    async with WireServer(stalling(tar(MEMBERS)[:1100])) as server, nothing_left_open():
        async with Client(server.url) as client:
            batch = client.get_batch(NAMES, bucket="b")
            await anext(batch)
            reading = asyncio.ensure_future(anext(batch))
            await asyncio.sleep(0)
            await batch.aclose()
            await until(lambda: server.connections == 0)
            with pytest.raises((IncompleteBatchError, UsageError)):
                await reading


async def test_many_batches_are_read_at_once() -> None:
    count = 30
    answers = [chunked(tar(MEMBERS), size=100) for _ in range(count)]
    async with WireServer(*answers) as server, nothing_left_open(), Client(server.url) as client:
        read = [client.get_batch(NAMES, bucket="b").read_all() for _ in range(count)]
        for items in await asyncio.gather(*read):
            assert [(one.metadata.member_name, one.data) for one in items] == MEMBERS


async def test_a_failed_batch_leaves_its_neighbours_alone() -> None:
    async with WireServer() as server, nothing_left_open(), Client(server.url) as client:
        server.answers += [chunked(tar(MEMBERS)), chunked(tar(MEMBERS[:1])), chunked(tar(MEMBERS))]
        read = [client.get_batch(NAMES, bucket="b").read_all() for _ in range(3)]
        results = await asyncio.gather(*read, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["IncompleteBatchError", "list", "list"]


# -- what may be asked for ---------------------------------------------------------------------------------


async def test_a_bucket_may_be_given_by_name_or_as_an_object() -> None:
    async with WireServer(*[chunked(tar(MEMBERS))] * 4) as server, Client(server.url) as client:
        bucket = client.bucket("b")
        request = BatchRequest()
        for name in NAMES:
            request.add_object_request(bucket.object(name))
        for batch in (
            client.get_batch(NAMES, bucket="b"),
            client.get_batch(iter(NAMES), bucket=bucket),
            client.get_batch(request),
            client.batch_loader().get_batch(request),
        ):
            assert [data for _, data in await batch.read_all()] == [data for _, data in MEMBERS]


async def test_objects_of_another_client_may_be_asked_for() -> None:
    elsewhere = FakeObject("one", FakeBucket("b"))
    async with WireServer(chunked(tar(MEMBERS[:1]))) as server, Client(server.url) as client:
        assert [item.data for item in await client.get_batch([elsewhere]).read_all()] == [b"1" * 100]


async def test_a_missing_shard_may_be_named_with_or_without_the_file_inside() -> None:
    def request(client: Client) -> BatchRequest:
        request = BatchRequest(continue_on_err=True)
        for name in ("s.tar", "t.tar"):
            request.add_object_request(client.bucket("b").object(name), archpath="p/q")
        return request

    archive = tar([("__404__/b/s.tar", b""), ("__404__/b/t.tar/p/q", b"")])
    async with WireServer(chunked(archive)) as server, Client(server.url) as client:
        items = await client.get_batch(request(client)).read_all()
    assert [item.metadata.missing for item in items] == [True, True]
    assert items[0].metadata.error == "p/q in ais://b/s.tar does not exist"
    assert [item.metadata.archpath for item in items] == ["p/q", "p/q"]


@pytest.mark.parametrize("name", ["__404__/b/other", "__404__/b/s.ta", "__404__/one", "404/b/one"])
async def test_a_missing_member_of_another_name_is_not_taken_for_the_entry(name: str) -> None:
    async with WireServer(chunked(tar([(name, b"")]))) as server, Client(server.url) as client:
        with pytest.raises(IncompleteBatchError, match="was due"):
            await client.get_batch(["one"], bucket="b", continue_on_err=True).read_all()


async def test_a_missing_member_raises_in_strict_mode_with_its_name() -> None:
    async with WireServer(chunked(tar([("__404__/b/one", b"")]))) as server, Client(server.url) as client:
        with pytest.raises(ObjectNotFoundError) as caught:
            await client.get_batch(["one"], bucket="b").read_all()
    assert (caught.value.name, caught.value.bucket, caught.value.status) == ("one", "b", 404)


async def test_an_empty_batch_is_over_without_a_request() -> None:
    async with WireServer() as server, Client(server.url) as client:
        empty: list[str] = []
        for wanted in (empty, BatchRequest()):
            assert await client.get_batch(wanted).read_all() == []
        assert not server.asked


async def test_a_batch_can_be_read_again_from_a_new_stream_after_a_failure() -> None:
    async with WireServer(chunked(tar(MEMBERS[:2]))) as server, Client(server.url) as client:
        request = BatchRequest()
        for name in NAMES:
            request.add_object_request(client.bucket("b").object(name))
        with pytest.raises(IncompleteBatchError) as caught:
            await client.get_batch(request).read_all()
        server.answers.append(chunked(tar(MEMBERS[2:])))
        rest = await client.get_batch(request.with_entries(caught.value.missing)).read_all()
    items = [*caught.value.items, *rest]
    assert [item.data for item in items] == [data for _, data in MEMBERS]


async def test_no_answer_at_all_is_an_error() -> None:
    async def hang_up(writer: asyncio.StreamWriter) -> None:
        pass

    async with WireServer(hang_up) as server, nothing_left_open(), Client(server.url) as client:
        with pytest.raises(TransportError, match="broke off") as caught:
            await client.get_batch(["one"], bucket="b").read_all()
    assert caught.value.retryable
