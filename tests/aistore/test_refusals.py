"""Batches that are refused: before anything is sent, or by the server, which may mean several things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import (
    BatchRequest,
    BucketNotFoundError,
    ObjectNotFoundError,
    OverloadedError,
    RemoteError,
    UnsupportedFormatError,
    UsageError,
)
from asyncbatch.aistore import Client
from asyncbatch.batch import BatchRefusedError, Entry
from asyncbatch.testing import FaultyServer

from ..support.batches import FakeBucket, FakeObject, request_of
from ..support.leaks import nothing_left_open
from ..support.wire import WireServer, json_error, redirect

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

JOB = "x-get-batch[gbt-1]-ais://b"
GONE = "t[IvHt8083]: ais://b/o does not exist"
SOFT = f"{JOB}: wid='w' exceeded soft-errors limit: 9 (max: 8)"
EXPIRED = f"{JOB}: wid='w' (prep-rx not done?) does not exist"
HOLE = f"{JOB}: timed out waiting for missing entry at index 3"
RANGE = "size=5: not satisfiable range [start=6,length=1]"


@pytest.mark.parametrize(
    ("streaming", "count", "status", "code", "message", "kind", "retryable"),
    [
        # In streaming mode, nothing that concerns an entry is known before the answer begins.
        (True, 2, 404, "ErrNotFound", EXPIRED, RemoteError, True),
        (True, 2, 404, "", "whatever a target does not find", RemoteError, True),
        (True, 2, 400, "", HOLE, RemoteError, False),
        (True, 1, 400, "errUnknownMime", "unknown mime", RemoteError, False),
        (True, 2, 404, "ErrBckNotFound", "no such bucket", BucketNotFoundError, False),
        (True, 2, 429, "", "full", OverloadedError, True),
        (False, 2, 400, "", SOFT, BatchRefusedError, False),
        (False, 1, 400, "", SOFT, BatchRefusedError, False),
        (False, 2, 404, "ErrNotFound", GONE, BatchRefusedError, False),
        (False, 1, 404, "ErrNotFound", GONE, ObjectNotFoundError, False),
        (False, 2, 400, "ErrRangeNotSatisfiable", RANGE, BatchRefusedError, False),
        (False, 2, 416, "", RANGE, BatchRefusedError, False),
        (False, 1, 400, "ErrRangeNotSatisfiable", RANGE, BatchRefusedError, False),
        (False, 1, 416, "", RANGE, BatchRefusedError, False),
        (False, 1, 400, "", "no such thing", RemoteError, False),
        (False, 2, 404, "ErrNotFound", EXPIRED, RemoteError, True),
        (False, 1, 400, "", HOLE, RemoteError, True),
        (False, 2, 400, "errUnknownMime", "unknown mime", RemoteError, False),
        (False, 2, 404, "ErrBckNotFound", "no such bucket", BucketNotFoundError, False),
        (False, 2, 409, "", "job ended", RemoteError, True),
        (False, 2, 503, "", "starting", OverloadedError, True),
    ],
)
async def test_what_a_refusal_means(
    streaming: bool,  # noqa: FBT001
    count: int,
    status: int,
    code: str,
    message: str,
    kind: type[RemoteError],
    retryable: bool,  # noqa: FBT001
) -> None:
    request = request_of(["o", "p"][:count], streaming=streaming)
    target = "/v1/ml/moss/b/gbt-1/w/3?provider=ais&pid=p"
    async with WireServer(redirect(target), json_error(status, code, message)) as server, nothing_left_open():
        async with Client(server.url) as client:
            with pytest.raises(RemoteError) as caught:
                await client._source.open_batch(request)
        assert len(server.asked) == 2
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.message) == (status, code, message)
    assert (error.url, error.retryable) == (server.url + target.partition("?")[0], retryable)
    if isinstance(error, ObjectNotFoundError):
        assert (error.name, error.bucket) == ("o", "b")


async def test_what_the_proxy_does_not_find_is_not_there() -> None:
    # As a cluster without GetBatch says: there is no use in asking again.
    # Nor does a gateway, however it says so, know of an object that would be missing.
    gateway = b"HTTP/1.1 404 Not Found\r\nContent-Length: 17\r\n\r\n<p>not found</p>\n"
    for answer, message in ((json_error(404, "", "invalid URI path"), "invalid URI path"), (gateway, "<p>")):
        for streaming in (True, False):
            for names in ("o", "op"):
                request = request_of(names, streaming=streaming, continue_on_err=True)
                async with WireServer(answer) as server, Client(server.url) as client:
                    with pytest.raises(RemoteError, match=message) as caught:
                        await client.get_batch(request).read_all()
                    assert len(server.asked) == 1
                assert (type(caught.value), caught.value.retryable) == (RemoteError, False)


async def test_what_our_server_refuses(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "o").write_bytes(b"data")
    server = FaultyServer(tmp_path, max_soft_errors=8)
    async with server, nothing_left_open(), Client(server.url) as client:
        gaps = [f"gap{number}" for number in range(9)]
        for request in (
            request_of(gaps, streaming=False, continue_on_err=True),
            request_of(["o", "gap"], streaming=False),
        ):
            with pytest.raises(BatchRefusedError):
                await client._source.open_batch(request)
        with pytest.raises(ObjectNotFoundError) as caught:
            await client._source.open_batch(request_of(["gap"], streaming=False))
        assert (caught.value.name, caught.value.bucket) == ("gap", "b")
        request = BatchRequest(streaming=False)
        request.add_object_request(FakeObject("o"), start=2, length=3)
        with pytest.raises(BatchRefusedError, match="not satisfiable range"):
            await client._source.open_batch(request)


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_range_that_is_not_in_its_object_is_its_entrys_own_error(
    tmp_path: Path,
    streaming: bool,  # noqa: FBT001
) -> None:
    (tmp_path / "b").mkdir()
    for name in "opqr":
        (tmp_path / "b" / name).write_bytes(b"data" if name != "p" else b"")
    async with (
        FaultyServer(tmp_path) as server,
        nothing_left_open(),
        Client(server.url, max_resumes=4) as client,
    ):
        request = BatchRequest(streaming=streaming, continue_on_err=True)
        for name in "opqr":
            request.add_object_request(FakeObject(name), start=1, length=2)
        items = await client.get_batch(request).read_all()
        assert [data for _, data in items] == [b"at", b"", b"at", b"at"]
        assert [metadata.missing for metadata, _ in items] == [False] * 4
        assert [metadata.error is None for metadata, _ in items] == [True, False, True, True]
        request.continue_on_err = False
        with pytest.raises(RemoteError, match="ais://b/p: 2 bytes from byte 1 on cannot be had") as caught:
            await client.get_batch(request).read_all()
        assert caught.value.status == 416


# -- before anything is sent ---------------------------------------------------------------------------------


def check(request: BatchRequest) -> None:
    """Have a request checked as a client does."""
    Client("http://127.0.0.1:1").get_batch(request)


@pytest.mark.parametrize("form", [".tar.xz", ".tar.bz2", ".tar.zst", ".gz"])
def test_a_format_that_aistore_does_not_make_is_refused(form: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=r"ask for one of \.tar, \.tar\.gz, \.tar\.lz4, \.zip"):
        check(request_of(["o"], output_format=form))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"start": 1 << 63}, "goes beyond"),
        ({"start": (1 << 63) - 6, "length": 5}, None),
        ({"start": (1 << 63) - 5, "length": 6}, "goes beyond"),
        ({"length": 1 << 64}, "goes beyond"),
        ({"start": (1 << 63) - 2}, None),
        ({"start": 1.5}, "they are integers"),
        ({"length": 2.0}, "they are integers"),
        ({"start": True, "length": 1}, "they are integers"),
        ({"archpath": "a/.hidden/..b"}, None),
        ({"archpath": "/a"}, None),
        ({"archpath": "dir/"}, "forbids the archpath"),
        ({"archpath": "/"}, "forbids the archpath"),
        ({"archpath": "../x"}, "forbids the archpath"),
        ({"archpath": "a/./x"}, "forbids the archpath"),
        ({"archpath": "~/x"}, "forbids the archpath"),
        ({"archpath": "a\0b"}, "forbids the archpath"),
        ({"archpath": "a\udc80"}, "not valid Unicode"),
        ({"opaque": "text"}, "opaque is str; it is bytes"),
        ({"opaque": memoryview(b"any bytes")}, None),
        ({"opaque": bytearray(b"any bytes")}, None),
    ],
)
def test_an_entry_that_could_not_be_answered_is_refused(options: dict[str, Any], reason: str | None) -> None:
    request = request_of(["fine"], streaming=False)
    request.add_object_request(FakeObject("o"), **options)
    if reason is None:
        check(request)
        return
    with pytest.raises(UsageError, match=reason) as caught:
        check(request)
    assert caught.value.index == 1


@pytest.mark.parametrize(
    "entry",
    [
        Entry("o", "b", "ais", start=-1),
        Entry("o", "b", "ais", length=0),
        Entry("o", "b", "ais", start=5, length=-1),
    ],
)
def test_a_range_that_is_none_is_refused_wherever_it_comes_from(entry: Entry) -> None:
    request = request_of(["fine"])
    with pytest.raises(UsageError, match="is no range") as caught:
        check(request.with_entries([*request.entries, entry]))
    assert caught.value.index == 1


@pytest.mark.parametrize(
    ("bucket", "reason"),
    [
        (FakeBucket("a/b"), "bucket name"),
        (FakeBucket("b", "ais\udc80"), "not valid Unicode"),
        (FakeBucket("b", "ais", "@u#\udc80"), "not valid Unicode"),
        (FakeBucket("b", "ais", "@u#n/m"), "has no slash"),
        (FakeBucket("b", "a/s"), "has no slash"),
    ],
)
def test_a_bucket_that_cannot_be_is_refused(bucket: FakeBucket, reason: str) -> None:
    request = request_of(["fine", "good"])
    request.add_object_request(FakeObject("o", bucket))
    with pytest.raises(UsageError, match=reason) as caught:
        check(request)
    assert caught.value.index == 2


@pytest.mark.parametrize(
    ("name", "fits"),
    [("n" * 65_525, True), ("n" * 65_526, False), ("\u00e9" * 32_762, True), ("\u00e9" * 32_763, False)],
)
def test_a_name_that_a_zip_has_no_room_for_is_refused(name: str, *, fits: bool) -> None:
    check(request_of(["fine", name], output_format=".tar"))  # where there is room
    request = request_of(["fine", name], output_format=".zip")
    if fits:
        check(request)
        return
    with pytest.raises(UsageError, match="a zip has no room") as caught:
        check(request)
    assert caught.value.index == 1
