"""Batches as a real cluster sent them, byte for byte, through the client."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import (
    AuthenticationError,
    BatchRequest,
    BucketNotFoundError,
    ObjectNotFoundError,
    RemoteError,
    UsageError,
)
from asyncbatch.aistore import Client
from asyncbatch.batch import BatchRefusedError

from ..support import golden
from ..support.answers import read_members
from ..support.leaks import nothing_left_open
from ..support.wire import WireServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncbatch import BatchItem

pytestmark = pytest.mark.anyio

CASES = golden.cases("getbatch.json")
ANSWERED = [name for name, case in CASES.items() if case["expected"] is not None]
TO_PROXY = golden.wire("getbatch/redirect.http")


def build(client: Client, asked: dict[str, Any], **options: Any) -> BatchRequest:  # noqa: ANN401
    """Make a request of a case's JSON."""
    request = BatchRequest(
        output_format=asked.get("mime", ".tar"),
        continue_on_err=asked.get("coer", False),
        only_obj_name=asked.get("onob", False),
        streaming=asked.get("strm", True),
        **options,
    )
    for entry in asked["in"]:
        length = entry.get("length") or None
        request.add_object_request(
            client.bucket(entry["bucket"], provider=entry["provider"]).object(entry["objname"]),
            archpath=entry.get("archpath"),
            opaque=base64.b64decode(entry["opaque"]) if "opaque" in entry else None,
            start=entry.get("start", 0),
            length=None if length == -1 else length,
        )
    return request


def facts(items: list[BatchItem]) -> list[dict[str, Any]]:
    return [
        {
            "objname": metadata.name,
            "archpath": metadata.archpath or "",
            "bucket": metadata.bucket,
            "size": metadata.size,
            "sha256": hashlib.sha256(data).hexdigest(),
            "missing": metadata.missing,
            "opaque": None if metadata.opaque is None else base64.b64encode(metadata.opaque).decode(),
        }
        for metadata, data in items
    ]


def wanted(case: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "objname": one["objname"],
            "archpath": one.get("archpath") or "",
            "bucket": one["bucket"],
            "size": one["size"],
            "sha256": one["sha256"] if one["size"] or not one["missing"] else hashlib.sha256(b"").hexdigest(),
            "missing": one["missing"],
            "opaque": one.get("opaque") or None,
        }
        for one in case["expected"]
    ]


async def replay(
    case: dict[str, Any],
    split: Callable[[bytes], Iterable[bytes]] = lambda data: (data,),
    *,
    proxy_answers: bool = False,
) -> list[BatchItem]:
    """Read a case's batch from a proxy that redirects and a target that says what was recorded."""
    answer = golden.wire(case["response"])
    async with WireServer(answer, split=split) as target, WireServer() as proxy:
        proxy.answers.append(
            answer if proxy_answers else golden.moved(TO_PROXY, target.url.removeprefix("http://"))
        )
        async with nothing_left_open(), Client(proxy.url) as client:
            batch = client.get_batch(build(client, case["request"]))
            try:
                items = await batch.read_all()
            finally:
                assert len(proxy.asked) == 1
                assert len(target.asked) == (not proxy_answers)
        assert batch.stats.items == len(items)
        assert batch.stats.bytes == sum(len(item.data) for item in items)
        assert batch.stats.missing == sum(item.metadata.missing for item in items)
        # What the cluster was asked when this was recorded is what we ask: the client has no dialect.
        assert proxy.asked[0].target == case["path"]
        sent, recorded = json.loads(proxy.asked[0].body), case["request"]
        assert [entry["objname"] for entry in sent["in"]] == [entry["objname"] for entry in recorded["in"]]
        assert target.asked[0].body == proxy.asked[0].body
    return items


@pytest.mark.parametrize("name", ANSWERED)
async def test_a_recorded_batch_gives_what_was_uploaded(name: str) -> None:
    items = await replay(CASES[name])
    assert facts(items) == wanted(CASES[name])
    assert [item.metadata.index for item in items] == list(range(len(items)))
    assert all((item.metadata.error is not None) == item.metadata.missing for item in items)


def test_every_format_and_kind_of_batch_is_among_them() -> None:
    modes = {(CASES[name]["request"]["mime"], CASES[name]["request"]["strm"]) for name in ANSWERED}
    assert modes == {
        (form, streaming)
        for form in (".tar", ".tgz", ".tar.gz", ".tar.lz4", ".zip")
        for streaming in (True, False)
    }
    assert len(ANSWERED) == 71


@pytest.mark.parametrize("name", [name for name in ANSWERED if name.endswith("multipart-missing")])
async def test_what_is_missing_comes_with_the_clusters_own_words(name: str) -> None:
    items = await replay(CASES[name])
    assert [item.metadata.error for item in items if item.metadata.missing] == [
        "t[IvHt8083]: ais://golden/nope-1.bin does not exist",
        "t[guBt8082]: nope.txt in ais://golden/shards/s.tar does not exist",
        "t[IvHt8083]: ais://golden/shards/nope.tar does not exist",
    ]


@pytest.mark.parametrize("size", [1, 7, 511, 513, 4099], ids=["single-bytes", "sevens", "511", "513", "4099"])
@pytest.mark.parametrize(
    "name",
    [
        "tar-stream-onob",
        "tar-stream-missing",
        "tgz-stream-range",
        "tar-lz4-stream-names",
        "tgz-stream-archpath",
        "zip-stream-tricky",
        "tar-multipart-missing",
        "tgz-multipart-archpath",
        "tar-lz4-multipart-range",
        "zip-multipart-names",
    ],
)
async def test_a_recorded_batch_may_arrive_in_any_pieces(name: str, size: int) -> None:
    def split(data: bytes) -> Iterable[bytes]:
        return (data[start : start + size] for start in range(0, len(data), size))

    assert facts(await replay(CASES[name], split)) == wanted(CASES[name])


@pytest.mark.parametrize(
    ("name", "delivered", "of"),
    [
        ("error-strict-stream", 1, 3),
        ("error-strict-stream-mp-archpath", 1, 3),
        ("error-range-past", 0, 2),
        ("error-range-long", 0, 2),
        ("error-soft9", 9, 21),
        ("error-soft200", 8, 201),
    ],
)
async def test_an_archive_that_ends_early_is_a_sound_one(name: str, delivered: int, of: int) -> None:
    # What `BatchStream` has to make of it, is shown where that is tested.
    case = CASES[name]
    async with WireServer(golden.wire(case["response"])) as target, Client(target.url) as client:
        request = build(client, case["request"])
        answer = await client._source.open_batch(request)
        members = await read_members(answer)
    assert len(request) == of
    assert len(members) == delivered
    if name.startswith("error-strict"):
        assert members == [("golden/one.bin", golden.objects()["golden/one.bin"])]
    for position, (member, data) in enumerate(members):
        fault = answer.fault(position, member)
        assert isinstance(fault, ObjectNotFoundError) == name.startswith("error-soft")
        if isinstance(fault, ObjectNotFoundError):
            assert (data, fault.name) == (b"", request.entries[position].name)


async def test_an_entry_that_another_target_misses_is_an_error_in_strict_mode() -> None:
    with pytest.raises(ObjectNotFoundError) as caught:
        await replay(CASES["error-strict-multipart"])
    error = caught.value
    assert error.message == "t[ZKct8081]: ais://golden/nope.bin does not exist"
    assert (error.status, error.name, error.bucket) == (404, "nope.bin", "golden")


async def test_a_zip_that_was_not_asked_for_is_read_all_the_same() -> None:
    case = CASES["error-mimetype"]
    asked = {**case["request"], "mime": ".tgz"}
    items = await replay({**case, "request": asked})
    assert [item.data for item in items] == [
        golden.objects()[f"{entry['bucket']}/{entry['objname']}"] for entry in asked["in"]
    ]


@pytest.mark.parametrize(
    ("name", "kind", "status", "code", "message"),
    [
        (
            "error-nobucket",
            BucketNotFoundError,
            404,
            "ErrBckNotFound",
            'bucket "ais://nosuch" does not exist',
        ),
        ("error-badjson", RemoteError, 400, "", "Skip: do not know how to skip: 0, error found in #9 byte"),
        ("error-badmime", RemoteError, 400, None, ""),
        ("error-empty-in", RemoteError, 400, None, ""),
        ("error-range", RemoteError, 400, None, ""),
        ("error-opaque", RemoteError, 400, "", "unmarshalerDecoder: illegal base64 data at input byte 0"),
        ("error-name-dotdot", RemoteError, 400, None, ""),
        ("error-name-slash", RemoteError, 400, None, ""),
        ("error-name-empty", RemoteError, 400, None, ""),
    ],
)
async def test_a_recorded_refusal_is_a_typed_error(
    name: str, kind: type[RemoteError], status: int, code: str | None, message: str
) -> None:
    # The client would not send most of these; what is answered does not depend on it.
    answer = golden.wire(CASES[name]["response"])
    recorded = json.loads(answer.partition(b"\r\n\r\n")[2])
    async with WireServer(answer) as proxy, nothing_left_open(), Client(proxy.url) as client:
        with pytest.raises(RemoteError) as caught:
            await client.get_batch(["one.bin"], bucket="golden").read_all()
    error = caught.value
    assert type(error) is kind
    assert error.status == status == CASES[name]["status"]
    assert error.code == recorded.get("tcode", "")
    assert code is None or error.code == code
    assert error.message == recorded["message"]
    assert message in error.message
    assert error.url == f"{proxy.url}/v1/ml/moss/golden"
    assert not error.retryable


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("error-name")])
async def test_a_name_that_the_cluster_refuses_is_not_sent(name: str) -> None:
    case = CASES[name]
    async with WireServer() as proxy, Client(proxy.url) as client:
        with pytest.raises(UsageError) as caught:
            client.get_batch(build(client, case["request"]))
        assert caught.value.index == 0
        assert not proxy.asked


async def test_too_many_missing_entries_refuse_a_multipart_batch_as_a_whole() -> None:
    case = CASES["error-soft200-mp"]
    async with WireServer(golden.wire(case["response"])) as target, Client(target.url) as client:
        with pytest.raises(BatchRefusedError, match=r"exceeded soft-errors limit: 9 \(max: 8\)") as caught:
            await client._source.open_batch(build(client, case["request"]))
    assert (caught.value.status, caught.value.retryable) == (400, False)
    assert caught.value.url == f"{target.url}/v1/ml/moss/golden"


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_expired_redirect_is_worth_another_try(*, streaming: bool) -> None:
    async with WireServer(golden.wire("getbatch/redirect-used-twice.http")) as target, WireServer() as proxy:
        proxy.answers.append(golden.moved(TO_PROXY, target.url.removeprefix("http://")))
        async with nothing_left_open(), Client(proxy.url) as client:
            request = build(client, {**CASES["tar-stream-plain"]["request"], "strm": streaming})
            with pytest.raises(RemoteError, match="prep-rx not done") as caught:
                await client._source.open_batch(request)
    error = caught.value
    assert (type(error), error.status, error.code, error.retryable) == (RemoteError, 404, "ErrNotFound", True)
    assert error.url.startswith(target.url)
    assert "pid=" not in str(error)


@pytest.mark.parametrize("name", ["target-directly", "target-without-pid"])
async def test_a_target_in_the_place_of_the_proxy_is_a_typed_error(name: str) -> None:
    async with WireServer(golden.wire(f"getbatch/{name}.http")) as target, Client(target.url) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.get_batch(["one.bin"], bucket="golden").read_all()
    assert (caught.value.status, caught.value.message) == (401, "direct target access denied")
    assert caught.value.bucket == "golden"


def test_no_recorded_batch_is_left_out() -> None:
    assert {*ANSWERED} | {name for name in CASES if name.startswith("error-")} == set(CASES)
