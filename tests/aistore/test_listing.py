"""Listings: pages as they are needed, one reader, and an end that stays."""

from __future__ import annotations

import asyncio
import json

import pytest

from asyncbatch import OverloadedError, UsageError
from asyncbatch.aistore import Client, Listing, ObjectInfo

from ..support.wire import WireServer, json_error, reply

pytestmark = pytest.mark.anyio


def page(*names: str, after: str = "") -> bytes:
    entries = [{"name": name, "size": "5"} for name in names] or None
    facts = {"uuid": "u", "continuation_token": after, "entries": entries}
    return reply(200, json.dumps(facts).encode())


async def test_pages_are_fetched_as_they_are_needed() -> None:
    async with WireServer(page("a", "b", after="b"), page("c")) as server, Client(server.url) as client:
        async with client.bucket("b").list_objects() as listing:
            assert await anext(listing) == ObjectInfo(name="a", size=5)
            assert (await anext(listing)).name == "b"
            assert len(server.asked) == 1
            assert (await anext(listing)).name == "c"
            for _ in range(2):
                with pytest.raises(StopAsyncIteration):
                    await anext(listing)
        assert len(server.asked) == 2


async def test_a_page_may_be_empty() -> None:
    async with WireServer(page(after="x"), page(), page("a")) as server, Client(server.url) as client:
        assert [info async for info in client.bucket("b").list_objects()] == []
        assert [info.name async for info in client.bucket("b").list_objects()] == ["a"]
        assert len(server.asked) == 3


async def test_a_page_that_failed_can_be_asked_for_again() -> None:
    async with WireServer(page("a", after="a"), json_error(503, "", "wait"), page("b")) as server:
        async with Client(server.url) as client:
            listing = client.bucket("b").list_objects()
            await anext(listing)
            with pytest.raises(OverloadedError):
                await anext(listing)
            assert (await anext(listing)).name == "b"
        tokens = [json.loads(asked.body)["value"]["continuation_token"] for asked in server.asked]
        assert tokens == ["", "a", "a"]


async def test_a_listing_is_left_early() -> None:
    async with WireServer(page("a", "b", after="b")) as server, Client(server.url) as client:
        async with client.bucket("b").list_objects() as listing:
            await anext(listing)
        with pytest.raises(StopAsyncIteration):
            await anext(listing)
        assert len(server.asked) == 1


async def test_a_second_reader_is_refused_and_the_first_goes_on() -> None:
    gate = asyncio.Event()

    async def fetch() -> tuple[list[str], bool]:
        await gate.wait()
        return ["a"], False

    listing = Listing(fetch)
    first = asyncio.ensure_future(anext(listing))
    await asyncio.sleep(0)
    with pytest.raises(UsageError, match="one consumer"):
        await anext(listing)
    gate.set()
    assert await first == "a"


async def test_a_listing_that_is_closed_while_a_page_comes_stays_closed() -> None:
    gate = asyncio.Event()

    async def fetch() -> tuple[list[str], bool]:
        await gate.wait()
        return ["a"], True

    listing = Listing(fetch)
    first = asyncio.ensure_future(anext(listing, "no more"))
    await asyncio.sleep(0)
    await listing.aclose()
    gate.set()
    assert await first == "no more"


async def test_buckets_have_namespaces_and_providers() -> None:
    facts = [
        {"name": "a", "provider": "aws", "namespace": {"uuid": "u", "name": "n"}},
        {"name": "b", "provider": "ais", "namespace": {"name": "n"}},
        {"name": "c", "provider": "ais", "namespace": {"uuid": "u"}},
        {"name": "d", "provider": "ais"},
    ]
    answers = [reply(200, json.dumps(facts).encode()), reply(200, b"null")]
    async with WireServer(*answers) as server, Client(server.url) as client:
        buckets = [bucket async for bucket in client.list_buckets(provider="s3")]
        assert [bucket async for bucket in client.list_buckets()] == []
    assert [bucket.namespace for bucket in buckets] == ["@u#n", "#n", "@u", None]
    assert [repr(bucket) for bucket in buckets[::3]] == ["<Bucket aws://@u#na>", "<Bucket ais://d>"]
    assert [asked.target for asked in server.asked] == [
        "/v1/buckets?provider=aws",
        "/v1/buckets?provider=ais",
    ]
