"""Calls about objects and buckets, answered as a real cluster answered them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import BucketNotFoundError, FormatError, ObjectNotFoundError, RemoteError
from asyncbatch.aistore import Client

from ..support import golden
from ..support.leaks import nothing_left_open
from ..support.wire import WireServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncbatch.aistore import Object

    from ..support.wire import Asked

pytestmark = pytest.mark.anyio

CASES = golden.cases("objects.json")


async def call(name: str, action: Callable[[Client], Awaitable[Any]]) -> tuple[Any, list[Asked]]:
    """Do something, answered by what was recorded; return what it gave, and what was asked."""
    first, *others = [golden.wire(path) for path in CASES[name]["responses"]]
    async with WireServer(*others) as target, WireServer() as proxy:
        proxy.answers.append(golden.moved(first, target.url.removeprefix("http://")) if others else first)
        async with nothing_left_open(), Client(proxy.url) as client:
            try:
                return await action(client), proxy.asked + target.asked
            finally:
                assert len(proxy.asked) == 1
                assert len(target.asked) == len(others)
                assert proxy.asked[0].method == CASES[name]["method"]
                assert proxy.asked[0].target == CASES[name]["path"]


def a_b(client: Client) -> Object:
    return client.bucket("golden3").object("dir/a b.txt")


def shard(client: Client) -> Object:
    return client.bucket("golden").object("shards/s.tar")


def nope(client: Client) -> Object:
    return client.bucket("golden3").object("nope")


async def test_create_a_bucket() -> None:
    bucket, (asked,) = await call("bucket-create", lambda client: client.bucket("golden3").create())
    assert (bucket.name, bucket.provider, bucket.namespace) == ("golden3", "ais", None)
    assert json.loads(asked.body) == CASES["bucket-create"]["request"]
    assert asked.headers["content-type"] == "application/json"


async def test_creating_a_bucket_twice_is_an_error() -> None:
    with pytest.raises(RemoteError) as caught:
        await call("bucket-create-again", lambda client: client.bucket("golden3").create())
    assert (caught.value.status, caught.value.code) == (409, "ErrBucketAlreadyExists")
    assert "already exists" in caught.value.message


async def test_creating_a_bucket_twice_is_no_error_if_it_may_exist() -> None:
    bucket, _ = await call(
        "bucket-create-again", lambda client: client.bucket("golden3").create(exist_ok=True)
    )
    assert bucket.name == "golden3"


async def test_list_buckets() -> None:
    async def action(client: Client) -> list[tuple[str, str, str | None]]:
        return [(one.name, one.provider, one.namespace) async for one in client.list_buckets()]

    buckets, (asked,) = await call("bucket-list", action)
    assert buckets == [("golden", "ais", None), ("golden2", "ais", None), ("golden3", "ais", None)]
    assert json.loads(asked.body) == {"action": "list"}


async def test_a_bucket_that_exists() -> None:
    exists, _ = await call("bucket-head", lambda client: client.bucket("golden").exists())
    assert exists is True


async def test_a_bucket_that_does_not_exist() -> None:
    exists, _ = await call("bucket-head-missing", lambda client: client.bucket("nosuch").exists())
    assert exists is False


async def test_destroy_a_bucket() -> None:
    nothing, (asked,) = await call("bucket-destroy", lambda client: client.bucket("golden3").destroy())
    assert nothing is None
    assert json.loads(asked.body) == {"action": "destroy-bck"}


async def test_destroying_a_bucket_that_does_not_exist_is_an_error_unless_it_may_be_missing() -> None:
    with pytest.raises(BucketNotFoundError) as caught:
        await call("bucket-destroy-missing", lambda client: client.bucket("golden3").destroy())
    assert (caught.value.bucket, caught.value.name, caught.value.status) == ("golden3", None, 404)
    await call("bucket-destroy-missing", lambda client: client.bucket("golden3").destroy(missing_ok=True))


async def test_put_an_object() -> None:
    nothing, (to_proxy, to_target) = await call("object-put", lambda client: a_b(client).put(b"hello world"))
    assert nothing is None
    assert (to_proxy.body, to_target.body) == (b"", b"hello world")


async def test_put_an_empty_object() -> None:
    _, (_, to_target) = await call(
        "object-put-empty", lambda client: client.bucket("golden3").object("empty").put(b"")
    )
    assert to_target.body == b""
    assert to_target.headers["content-length"] == "0"


async def test_get_an_object() -> None:
    data, asked = await call("object-get", lambda client: a_b(client).get())
    assert data == b"hello world"
    assert all("range" not in one.headers for one in asked)


@pytest.mark.parametrize(
    ("name", "start", "length", "data"),
    [
        ("object-get-range", 2, 4, b"llo "),
        ("object-get-range-tail", 6, None, b"world"),
    ],
)
async def test_get_a_range_of_an_object(name: str, start: int, length: int | None, data: bytes) -> None:
    got, asked = await call(name, lambda client: a_b(client).get(start=start, length=length))
    assert got == data
    assert [one.headers["range"] for one in asked] == [CASES[name]["headers"]["Range"]] * 2


async def test_a_range_outside_the_object_is_an_error() -> None:
    with pytest.raises(RemoteError, match=r"range") as caught:
        await call("object-get-range-bad", lambda client: a_b(client).get(start=100))
    assert caught.value.status == 416


async def test_read_an_object_as_a_stream() -> None:
    async def action(client: Client) -> tuple[bytes, int, str | None]:
        async with a_b(client).open() as body:
            return b"".join([chunk async for chunk in body]), body.info.size, body.info.checksum_type

    read, _ = await call("object-get", action)
    assert read == (b"hello world", 11, "xxhash2")


async def test_head_an_object() -> None:
    info, _ = await call("object-head", lambda client: a_b(client).head())
    assert (info.name, info.size, info.version) == ("dir/a b.txt", 11, "1")
    assert (info.checksum_type, info.checksum) == ("xxhash2", "45ab6734b21e6968")


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("object-head-missing", lambda client: nope(client).head()),
        ("object-get-missing", lambda client: nope(client).get()),
    ],
    ids=["head", "get"],
)
async def test_an_object_that_does_not_exist_is_an_error(
    name: str, action: Callable[[Client], Awaitable[object]]
) -> None:
    with pytest.raises(ObjectNotFoundError) as caught:
        await call(name, action)
    error = caught.value
    assert (error.status, error.code, error.name, error.bucket) == (404, "ErrNotFound", "nope", "golden3")
    assert error.message.endswith("ais://golden3/nope does not exist")


async def test_delete_an_object() -> None:
    nothing, asked = await call(
        "object-delete", lambda client: client.bucket("golden3").object("empty").delete()
    )
    assert nothing is None
    assert [one.method for one in asked] == ["DELETE", "DELETE"]


async def test_deleting_an_object_that_does_not_exist_is_an_error_unless_it_may_be_missing() -> None:
    with pytest.raises(ObjectNotFoundError, match="doesn't exist"):
        await call("object-delete-missing", lambda client: client.bucket("golden3").object("empty").delete())
    await call(
        "object-delete-missing",
        lambda client: client.bucket("golden3").object("empty").delete(missing_ok=True),
    )


async def test_get_a_file_inside_a_shard() -> None:
    data, _ = await call("object-get-archpath", lambda client: shard(client).get(archpath="a.txt"))
    assert data == golden.shard_members()["a.txt"]


async def test_a_file_that_is_not_in_the_shard_is_an_error() -> None:
    with pytest.raises(ObjectNotFoundError) as caught:
        await call("object-get-archpath-missing", lambda client: shard(client).get(archpath="nope"))
    assert (caught.value.name, caught.value.status) == ("shards/s.tar", 404)


def listing_of(prefix: str, **options: int) -> Callable[[Client], Awaitable[list[tuple[str, int]]]]:
    async def action(client: Client) -> list[tuple[str, int]]:
        listing = client.bucket("golden").list_objects(prefix=prefix, **options)
        return [(info.name, info.size) async for info in listing]

    return action


async def test_list_the_objects_of_a_bucket() -> None:
    listed, (asked,) = await call("objects-list", listing_of(""))
    stored = {name: len(data) for name, data in golden.objects().items() if name.startswith("golden/")}
    assert listed == sorted((name.removeprefix("golden/"), size) for name, size in stored.items())
    assert asked.headers["accept"] == "application/json"
    sent, recorded = json.loads(asked.body), CASES["objects-list"]["request"]
    assert {**sent["value"], "props": ""} == {**recorded["value"], "props": ""}


async def test_a_listing_asks_for_its_next_page_where_the_last_one_ended() -> None:
    page = golden.wire("objects/objects-list-page1.http")
    facts = json.loads(page.partition(b"\r\n\r\n")[2])
    last = golden.wire("objects/objects-list.http")
    async with WireServer(page, last) as proxy, Client(proxy.url) as client:
        infos = [info async for info in client.bucket("golden").list_objects(prefix="b", page_size=2)]
    first, second = (json.loads(asked.body)["value"] for asked in proxy.asked)
    assert (first["prefix"], first["pagesize"], first["continuation_token"], first["uuid"]) == (
        "b",
        2,
        "",
        "",
    )
    assert second["continuation_token"] == facts["continuation_token"]
    assert second["uuid"] == facts["uuid"]
    assert [info.name for info in infos[:2]] == ["b511.bin", "b512.bin"]
    assert infos[0].checksum == facts["entries"][0]["checksum"]
    assert len(infos) == 2 + len(json.loads(last.partition(b"\r\n\r\n")[2])["entries"])


async def test_a_listing_in_another_format_than_asked_for_is_an_error() -> None:
    with pytest.raises(FormatError, match="not a listing of objects"):
        await call("objects-list-msgpack", listing_of(""))
