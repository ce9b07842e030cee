"""Answers that no sound server gives: each one a typed error that says what, and nothing left open."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asyncbatch import (
    AsyncBatchError,
    AuthenticationError,
    BucketNotFoundError,
    FormatError,
    IncompleteBatchError,
    LimitExceededError,
    Limits,
    ObjectNotFoundError,
    OverloadedError,
    RemoteError,
    TransportError,
    UnsupportedFormatError,
    UsageError,
)
from asyncbatch.aistore import Client

from ..support.batches import pack, tar
from ..support.leaks import nothing_left_open, until
from ..support.wire import WireServer, chunked, head, json_error, reply

if TYPE_CHECKING:
    from asyncbatch import BatchItem

pytestmark = pytest.mark.anyio

MEMBERS = [("b/one", b"1" * 10), ("b/two", b"2" * 700), ("b/three", b"")]
NAMES = [name.removeprefix("b/") for name, _ in MEMBERS]
ARCHIVE = tar(MEMBERS)


async def read(answer: Any, limits: Limits | None = None, **options: Any) -> list[BatchItem]:  # noqa: ANN401
    """Ask for the three objects, and be answered so; nothing must be left open, whatever comes of it."""
    async with nothing_left_open(), WireServer(answer) as server:
        async with Client(server.url, limits=limits or Limits(), **options) as client:
            items: list[BatchItem] = []
            try:
                async for item in client.get_batch(NAMES, bucket="b"):
                    items.append(item)  # noqa: PERF401 - those before an error are looked at
            finally:
                assert [(item.metadata.member_name, item.data) for item in items] == MEMBERS[: len(items)]
                # The connection is closed with the batch, and not only with the client.
                await until(lambda: server.connections == 0 or b"close" not in _head_of(answer))
                read.delivered = len(items)  # type: ignore[attr-defined]
            return items


def _head_of(answer: object) -> bytes:
    return answer.partition(b"\r\n\r\n")[0] if isinstance(answer, bytes) else b""


def delivered() -> int:
    count: int = read.delivered  # type: ignore[attr-defined]
    return count


async def test_no_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with nothing_left_open(), Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(TransportError, match="cannot connect: is the server up") as caught:
            await client.get_batch(["o"], bucket="b").read_all()
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert f"http://127.0.0.1:{port}/v1/ml/moss/b" in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "localhost:8080",
        "ftp://host",
        "http://",
        "http://host:x",
        "http://host:99999",
        "http://host:0",
        "http://\0",
        "http://xn--0",
        "http://xn--a.example",
    ],
)
async def test_a_bad_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(UsageError, match="endpoint"):
        Client(endpoint)


async def test_without_an_endpoint_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIS_ENDPOINT", raising=False)
    with pytest.raises(UsageError, match="AIS_ENDPOINT"):
        Client()
    monkeypatch.setenv("AIS_ENDPOINT", "http://somewhere:8080")
    assert repr(Client()) == "<aistore.Client http://somewhere:8080>"


async def test_a_password_is_sent_and_never_shown() -> None:
    async with WireServer(json_error(404, "ErrBckNotFound", "no")) as server:
        endpoint = f"http://user:secret@127.0.0.1:{server.port}"
        async with Client(endpoint) as client:
            with pytest.raises(BucketNotFoundError) as caught:
                await client.get_batch(["o"], bucket="b").read_all()
            assert "secret" not in repr(client) + str(caught.value) + caught.value.url
        assert server.asked[0].headers["authorization"].startswith("Basic ")
    async with Client(endpoint) as client:
        with pytest.raises(TransportError) as down:
            await client.get_batch(["o"], bucket="b").read_all()
    assert "secret" not in str(down.value)


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream"])
async def test_an_html_page_is_told_from_an_archive(content_type: str) -> None:
    page = b"<!DOCTYPE html><html><body>Welcome to the captive portal</body></html>"
    with pytest.raises(FormatError, match="HTML page"):
        await read(reply(200, page, Content_Type=content_type))
    assert delivered() == 0


async def test_an_html_page_that_calls_itself_a_tar_is_an_error() -> None:
    page = b"<!DOCTYPE html><html>" + b"<p>sorry</p>" * 100
    with pytest.raises(FormatError, match="checksum"):
        await read(reply(200, page, Content_Type="application/x-tar"))


@pytest.mark.parametrize(
    "content_type", ["application/x-tar", "application/gzip", "application/x-lz4", "x/y"]
)
async def test_garbage_is_an_error(content_type: str) -> None:
    with pytest.raises(FormatError):
        await read(reply(200, bytes(range(256)) * 8, Content_Type=content_type))


@pytest.mark.parametrize("body", [b"", bytes(1024)], ids=["nothing", "an empty tar"])
async def test_an_empty_answer_is_an_incomplete_batch(body: bytes) -> None:
    with pytest.raises(IncompleteBatchError) as caught:
        await read(chunked(body))
    assert caught.value.delivered == 0
    assert [entry.name for entry in caught.value.missing] == NAMES


async def test_a_format_that_is_not_decoded_is_refused_and_its_answer_closed() -> None:
    with pytest.raises(UnsupportedFormatError, match="split archive"):
        await read(chunked(b"PK\x07\x08" + bytes(100), Content_Type="application/zip"))


@pytest.mark.parametrize("form", [".tar.gz", ".tar.lz4"])
async def test_the_format_is_told_by_its_bytes_where_the_server_does_not_tell_it(form: str) -> None:
    answer = chunked(pack(ARCHIVE, form), Content_Type="application/octet-stream")
    assert len(await read(answer)) == 3


async def test_a_header_with_a_wrong_checksum_is_an_error_behind_the_items_before_it() -> None:
    spoilt = bytearray(ARCHIVE)
    spoilt[2 * 512 + 2] ^= 1  # in the name of the second member
    with pytest.raises(FormatError, match="checksum") as caught:
        await read(chunked(bytes(spoilt)))
    assert (caught.value.codec, caught.value.offset) == ("tar", 1024)
    assert delivered() == 1


async def test_a_number_out_of_range_is_an_error_behind_the_items_before_it() -> None:
    spoilt = bytearray(ARCHIVE)
    header = 2 * 512
    spoilt[header + 124 : header + 136] = b"\x80" + b"\x7f" * 11  # a size of 2^94, in base 256
    spoilt[header + 148 : header + 156] = b" " * 8
    checksum = sum(spoilt[header : header + 512])
    spoilt[header + 148 : header + 156] = b"%06o\0 " % checksum
    with pytest.raises((LimitExceededError, FormatError)):
        await read(chunked(bytes(spoilt)))
    assert delivered() == 1


@pytest.mark.parametrize("size", [100, 4096], ids=["held in part", "held whole"])
async def test_an_item_larger_than_the_limit_is_an_error_behind_the_items_before_it(size: int) -> None:
    with pytest.raises(LimitExceededError, match=r"member 'b/two'.*Limits\(max_item_size=") as caught:
        await read(chunked(ARCHIVE, size=size), Limits(max_item_size=699))
    assert (caught.value.limit, caught.value.value, caught.value.maximum) == ("max_item_size", 700, 699)
    assert delivered() == 1


async def test_a_bomb_is_stopped_by_the_limits() -> None:
    bomb = gzip.compress(tar([("b/one", bytes(8 << 20))]))
    with pytest.raises(LimitExceededError, match="max_item_size"):
        await read(chunked(bomb, Content_Type="application/gzip"), Limits(max_item_size=1 << 20))


async def test_a_body_that_breaks_its_framing_is_an_incomplete_batch() -> None:
    answer = chunked(ARCHIVE, size=512)
    broken = answer[: answer.index(b"2" * 100)] + b"zz\r\nno chunk"
    with pytest.raises(IncompleteBatchError, match="broke off") as caught:
        await read(broken)
    assert isinstance(caught.value.__cause__, TransportError)
    assert caught.value.delivered == 1


@pytest.mark.parametrize(
    "garbage", [b"", b"no HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nConte", b"\0" * 100]
)
async def test_an_answer_that_is_no_http_is_an_error(garbage: bytes) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(garbage)

    with pytest.raises(TransportError, match="broke off or broke HTTP"):
        await read(answer)


async def test_a_server_that_falls_silent_is_an_error_by_the_timeout() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(ARCHIVE)[:1200])
        await asyncio.Event().wait()

    with pytest.raises(IncompleteBatchError, match="broke off") as caught:
        await read(answer, timeout=httpx.Timeout(10, read=0.05))
    assert isinstance(caught.value.__cause__, TransportError)
    assert "read timeout" in str(caught.value.__cause__)
    assert delivered() == 1


async def test_silence_behind_the_last_item_is_no_error() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, Content_Type="application/x-tar", Content_Length="99999") + ARCHIVE)
        await asyncio.Event().wait()

    assert len(await read(answer, timeout=httpx.Timeout(10, read=0.05))) == 3


# -- errors ------------------------------------------------------------------------------------------------


async def error_for(answer: Any) -> RemoteError:  # noqa: ANN401 - an answer
    with pytest.raises(RemoteError) as caught:
        await read(answer)
    assert caught.value.url.endswith("/v1/ml/moss/b")
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "kind", "retryable"),
    [
        (400, "", RemoteError, False),
        (401, "", AuthenticationError, False),
        (403, "ErrNoPerm", AuthenticationError, False),
        (404, "ErrBckNotFound", BucketNotFoundError, False),
        (404, "ErrNotFound", RemoteError, False),
        (408, "", RemoteError, True),
        (409, "ErrBusy", RemoteError, True),
        (429, "", OverloadedError, True),
        (500, "", RemoteError, True),
        (502, "", RemoteError, True),
        (503, "", OverloadedError, True),
        (504, "", RemoteError, True),
        (501, "", RemoteError, False),
        (304, "", RemoteError, False),
    ],
)
async def test_a_status_means_a_kind_of_error(
    status: int,
    code: str,
    kind: type[RemoteError],
    retryable: bool,  # noqa: FBT001
) -> None:
    answer = head(status) if status == 304 else json_error(status, code, "why")
    error = await error_for(answer)
    assert type(error) is kind
    assert (error.status, error.retryable) == (status, retryable)
    if status != 304:
        assert (error.code, error.message) == (code, "why")
    if isinstance(error, BucketNotFoundError | AuthenticationError | OverloadedError):
        assert (error.name, error.bucket) == (None, "b")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the server gave no reason"),
        (b"<html>\n  <h1>Bad\tGateway</h1>\n</html>", "<html> <h1>Bad Gateway</h1> </html>"),
        (b"[1, 2]", "[1, 2]"),
        (b'"text"', '"text"'),
        (b"{}", "{}"),
        (b'{"message": null, "tcode": null}', '{"message": null, "tcode": null}'),
        (b'{"message": 5}', "5"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[" * 60_000, "[" * 500 + "…"),
        (b"x" * 501, "x" * 500 + "…"),
    ],
    ids=["nothing", "html", "list", "string", "object", "nulls", "number", "bytes", "nested", "long"],
)
async def test_an_error_may_have_any_body(body: bytes, message: str) -> None:
    error = await error_for(reply(500, body))
    assert error.message == message
    assert error.code == ""


async def test_an_error_without_end_is_not_read_to_its_end() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(head(500, Transfer_Encoding="chunked"))
        while True:
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()

    error = await error_for(endless)
    assert error.message == "x" * 500 + "…"


async def test_an_error_that_breaks_off_keeps_its_status() -> None:
    error = await error_for(head(503, Content_Length="100", Connection="close") + b"sorr")
    assert (type(error), error.message) == (OverloadedError, "the server gave no reason")


async def test_an_error_of_a_head_comes_in_a_header() -> None:
    facts = json.dumps({"tcode": "ErrNotFound", "message": "gone"})
    async with WireServer(head(404, Hdr_Error=facts)) as server, Client(server.url) as client:
        with pytest.raises(ObjectNotFoundError) as caught:
            await client.bucket("b").object("o").head()
    assert (caught.value.code, caught.value.message, caught.value.name) == ("ErrNotFound", "gone", "o")


# -- objects -----------------------------------------------------------------------------------------------


async def test_an_object_larger_than_the_limit_is_an_error_before_it_is_held() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, Transfer_Encoding="chunked"))
        while True:
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()

    async with nothing_left_open(), WireServer(endless) as server:
        async with Client(server.url, limits=Limits(max_item_size=5000)) as client:
            with pytest.raises(LimitExceededError, match="object 'o'") as caught:
                await client.bucket("b").object("o").get()
            assert caught.value.maximum == 5000
            await until(lambda: server.connections == 0)


async def test_an_object_of_the_limits_size_is_read() -> None:
    async with WireServer(reply(200, b"x" * 5000)) as server:
        async with Client(server.url, limits=Limits(max_item_size=5000)) as client:
            assert len(await client.bucket("b").object("o").get()) == 5000


async def test_an_object_that_breaks_off_is_an_error() -> None:
    answer = head(200, Content_Length="10", Connection="close") + b"half"
    async with nothing_left_open(), WireServer(answer, answer) as server, Client(server.url) as client:
        obj = client.bucket("b").object("o")
        with pytest.raises(TransportError, match=r"body of GET .*/v1/objects/b/o"):
            await obj.get()
        chunks = []
        with pytest.raises(TransportError):  # noqa: PT012 - what came before it counts
            async with obj.open() as body:
                async for chunk in body:
                    chunks.append(chunk)  # noqa: PERF401
        assert chunks == [b"half"]


async def test_the_whole_object_in_place_of_a_range_is_an_error() -> None:
    async with WireServer(reply(200, b"whole")) as server, Client(server.url) as client:
        with pytest.raises(RemoteError, match="the whole object came") as caught:
            await client.bucket("b").object("o").get(start=1, length=2)
    assert caught.value.status == 200


@pytest.mark.parametrize(
    ("content_range", "start", "length"),
    [
        ("bytes 0-2/10", 2, 3),
        ("bytes 2-9/10", 2, 3),
        ("bytes 2-3/10", 2, 3),
        ("bytes 2-8/10", 2, None),
        ("items 2-4/10", 2, 3),
        ("bytes 2-4", 2, 3),
        (None, 2, 3),
    ],
)
async def test_another_range_than_that_asked_for_is_an_error(
    content_range: str | None, start: int, length: int | None
) -> None:
    headers = {} if content_range is None else {"Content_Range": content_range}
    async with nothing_left_open(), WireServer(reply(206, b"012", **headers)) as server:
        async with Client(server.url) as client:
            with pytest.raises(RemoteError, match=f"and another range came: {content_range}") as caught:
                await client.bucket("b").object("o").get(start=start, length=length)
            assert caught.value.status == 206


@pytest.mark.parametrize(
    ("content_range", "start", "length"),
    [
        ("bytes 2-4/10", 2, 3),
        ("bytes 2-4/*", 2, 3),
        ("bytes 2-4/5", 2, 100),
        ("bytes 2-4/*", 2, 100),
        ("bytes 2-4/5", 2, None),
        ("bytes 2-4/*", 2, None),
    ],
)
async def test_a_range_may_be_cut_by_the_objects_end(
    content_range: str, start: int, length: int | None
) -> None:
    async with WireServer(reply(206, b"234", Content_Range=content_range)) as server:
        async with Client(server.url) as client:
            assert await client.bucket("b").object("o").get(start=start, length=length) == b"234"


@pytest.mark.parametrize(("start", "length"), [(-1, None), (0, 0), (5, -1)])
async def test_a_range_that_is_none_is_refused(start: int, length: int | None) -> None:
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(UsageError, match="is no range"):
            await client.bucket("b").object("o").get(start=start, length=length)


async def test_a_range_of_a_file_inside_a_shard_is_refused() -> None:
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(UsageError, match="ask for it in a batch"):
            await client.bucket("b").object("o").get(start=1, archpath="x")


async def test_a_head_without_a_length_is_an_error() -> None:
    async with WireServer(head(200)) as server, Client(server.url) as client:
        with pytest.raises(FormatError, match="no Content-Length"):
            await client.bucket("b").object("o").head()


async def test_a_head_without_a_length_is_that_of_an_empty_object() -> None:
    """So AIStore tells it: `Content-Length: 0` is not among its headers."""
    async with (
        WireServer(b"HTTP/1.1 200 OK\r\nAis-Version: 3\r\n\r\n") as server,
        Client(server.url) as client,
    ):
        info = await client.bucket("b").object("o").head()
        assert (info.size, info.version) == (0, "3")


# -- listings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b"null",
        b'{"entries": 5}',
        b'{"entries": "abc"}',
        b'{"entries": [{}]}',
        b'{"entries": [5]}',
        b'{"entries": [{"name": "a", "size": "many"}]}',
        b'{"entries": [{"name": "a", "size": 1e999}]}',
        b'{"entries": [{"name": "a", "size": "%b"}]}' % (b"9" * 5000),
        b"[" * 100_000,
        b"\xff",
    ],
)
async def test_a_listing_that_is_none_is_an_error(body: bytes) -> None:
    async with WireServer(reply(200, body), reply(200, body or b"{")) as server, Client(server.url) as client:
        with pytest.raises(FormatError, match="not a listing of objects"):
            await anext(client.bucket("b").list_objects())


@pytest.mark.parametrize("body", [b"", b"5", b"[{}]", b"[5]", b'[{"name": "a"}]', b"{", b"[" * 100_000])
async def test_a_list_of_buckets_that_is_none_is_an_error(body: bytes) -> None:
    async with WireServer(reply(200, body)) as server, Client(server.url) as client:
        with pytest.raises(FormatError, match="not a list of buckets"):
            await anext(client.list_buckets())


async def test_buckets_of_a_provider_that_cannot_be_named_are_refused() -> None:
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(UsageError, match="not valid Unicode"):
            client.list_buckets(provider="\ud800")


async def test_a_listing_that_stands_still_is_an_error() -> None:
    page = reply(200, b'{"entries": [{"name": "a"}], "continuation_token": "a"}')
    async with WireServer(page, page, page) as server, Client(server.url) as client:
        listing = client.bucket("b").list_objects()
        assert (await anext(listing)).name == "a"
        with pytest.raises(FormatError, match="stands still at 'a'"):
            await anext(listing)
        assert len(server.asked) == 2


async def test_every_error_is_one_of_ours() -> None:
    """Answers cut at any byte, or with any bit of their heads turned, never raise what is not ours."""
    whole = chunked(ARCHIVE, size=600)
    spoilt = [whole[:cut] for cut in range(0, len(whole), 97)]
    spoilt += [
        whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :] for at in range(170) for bit in (1, 64)
    ]
    answers = [_writes(answer) for answer in spoilt]
    async with nothing_left_open(), WireServer(*answers) as server:
        async with Client(server.url, timeout=httpx.Timeout(10, read=2)) as client:
            outcomes = set()
            for _ in spoilt:
                try:
                    items = await client.get_batch(NAMES, bucket="b").read_all()
                except AsyncBatchError as error:
                    outcomes.add(type(error))
                else:
                    assert [(item.metadata.member_name, item.data) for item in items] == MEMBERS
    assert {IncompleteBatchError, TransportError, FormatError} <= outcomes


def _writes(answer: bytes) -> Any:  # noqa: ANN401 - a function
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return write
