"""What the client sends: methods, URLs, headers and bodies, as the other end of the socket sees them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import pytest

from asyncbatch import (
    BatchRequest,
    BucketNotFoundError,
    OverloadedError,
    RemoteError,
    TransportError,
    UsageError,
)
from asyncbatch.aistore import Client
from asyncbatch.batch import make_request

from ..support.batches import FakeBucket, request_of, tar
from ..support.leaks import nothing_left_open, until
from ..support.wire import WireServer, chunked, head, json_error, redirect, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ..support.wire import Asked

pytestmark = pytest.mark.anyio

NAMES = [
    "plain.bin",
    "with space",
    "a+b",
    "100%",
    "50%25",
    "what?",
    "a#b",
    "a&b=c;d",
    "dir/sub/x",
    "/leading",
    "double//slash",
    "päth/日本.txt",
    "..dots..",
    "back\\slash",
    '"quoted"',
    "~tilde",
    ":colon@at",
]


def path_of(asked: Asked) -> str:
    return unquote(asked.target.partition("?")[0])


def query_of(asked: Asked) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(asked.target).query, keep_blank_values=True, strict_parsing=True))


@pytest.mark.parametrize("name", NAMES)
async def test_any_name_reaches_the_server_as_it_is(name: str) -> None:
    async with WireServer(reply(200, b"x"), chunked(tar([]))) as server, Client(server.url) as client:
        obj = client.bucket("b").object(name)
        assert await obj.get(archpath=name) == b"x"
        batch = client.get_batch([obj])
        async with batch:
            pass
    got, asked = server.asked
    assert got.target.isascii()
    assert path_of(got) == f"/v1/objects/b/{name}"
    assert query_of(got) == {"provider": "ais", "archpath": name}
    assert json.loads(asked.body)["in"] == [{"objname": name}]


@pytest.mark.parametrize(
    "name",
    ["", "dir/", "~/x", ".", "..", "a/./b", "a/../b", "../../buckets/b", "a\udcff", "a\nb", "a\r", "\0"],
)
async def test_a_name_that_cannot_be_is_refused_before_anything_is_sent(name: str) -> None:
    async with WireServer() as server, Client(server.url) as client:
        bucket = client.bucket("b")
        obj = bucket.object(name)
        with pytest.raises(UsageError, match=r"name|Unicode"):
            await obj.get()
        with pytest.raises(UsageError):
            await obj.put(b"x")
        with pytest.raises(UsageError):
            await obj.delete(missing_ok=True)
        with pytest.raises(UsageError) as caught:
            client.get_batch(["good", name], bucket=bucket)
        assert caught.value.index == 1
        assert not server.asked


@pytest.mark.parametrize("name", ["", "a/b", ".", "..", "b\ud800"])
async def test_a_bucket_name_that_cannot_be_is_refused(name: str) -> None:
    class Elsewhere:
        """A bucket of another make, which checks nothing."""

        provider = "ais"
        namespace = None

        def __init__(self) -> None:
            self.name = name

    class There:
        name = "o"
        bucket = Elsewhere()

    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(UsageError):
            client.bucket(name)
        with pytest.raises(UsageError):
            client.get_batch(["x"], bucket=name)
        with pytest.raises(UsageError) as caught:
            client.get_batch([There()])
        assert caught.value.index == 0


@pytest.mark.parametrize("archpath", ["a\udcff", "x/\ud800"])
async def test_an_archpath_that_is_no_text_is_refused(archpath: str) -> None:
    async with WireServer() as server, Client(server.url) as client:
        obj = client.bucket("b").object("s.tar")
        with pytest.raises(UsageError, match="Unicode"):
            await obj.get(archpath=archpath)
        request = BatchRequest()
        request.add_object_request(obj, archpath=archpath)
        with pytest.raises(UsageError, match="entry 0"):
            client.get_batch(request)
        assert not server.asked


FULL: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("whole", {}, {}),
    ("inside", {"archpath": "p/q"}, {"archpath": "p/q"}),
    ("rooted", {"archpath": "/p/q"}, {"archpath": "p/q"}),
    ("tail", {"start": 5}, {"start": 5, "length": -1}),
    ("range", {"start": 5, "length": 6}, {"start": 5, "length": 6}),
    ("start", {"length": 7}, {"start": 0, "length": 7}),
    ("of a file", {"archpath": "p", "start": 1, "length": 2}, {"archpath": "p", "start": 1, "length": 2}),
    ("marked", {"opaque": b"\xfb\xff\xfe"}, {"opaque": "+//+"}),
    ("padded", {"opaque": b"id-7"}, {"opaque": "aWQtNw=="}),
    ("unmarked", {"opaque": b""}, {}),
]


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("colocation", [0, 1, 2])
async def test_a_batch_request_in_full(*, streaming: bool, colocation: int) -> None:
    async with Client("http://127.0.0.1:1") as client:
        bucket = client.bucket("b c", provider="s3")
        request = BatchRequest(
            output_format=".tar.gz",
            continue_on_err=True,
            only_obj_name=True,
            streaming=streaming,
            colocation=colocation,
        )
        for name, options, _ in FULL:
            request.add_object_request(bucket.object(name), **options)
    asked = await sent(request)
    assert (asked.method, path_of(asked)) == ("GET", "/v1/ml/moss/b c")
    hint = {"coloc": str(colocation)} if colocation else {}
    assert query_of(asked) == {"provider": "aws"} | hint
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["content-length"] == str(len(asked.body))
    # Opaque is kept here; sent is what comes back, which streaming does not do.
    left_out = {"opaque"} if streaming else set()
    assert json.loads(asked.body) == {
        "mime": ".tgz",
        "coer": True,
        "onob": True,
        "strm": streaming,
        "in": [
            {"objname": name} | {key: value for key, value in facts.items() if key not in left_out}
            for name, _, facts in FULL
        ],
    }


async def sent(request: BatchRequest) -> Asked:
    """Return what a batch makes its client send."""
    async with WireServer(json_error(400, "", "no")) as server, Client(server.url) as client:
        with pytest.raises(RemoteError, match="no"):
            await client._source.open_batch(request)
    (asked,) = server.asked
    return asked


async def test_entries_that_are_names_alone_are_written_as_any_others() -> None:
    names = ["a", 'quote"', "back\\slash", "tab\t", "\x7f", "\u00e9\U0001f4a7", ".hidden/~/x", '""', "a"]
    asked = await sent(make_request(names, FakeBucket('b""'), {}))
    wanted = [{"objname": name} for name in names]
    assert json.loads(asked.body)["in"] == wanted


@pytest.mark.parametrize(
    ("form", "mime"),
    [(".tar", ".tar"), (".tgz", ".tgz"), (".tar.gz", ".tgz"), (".TAR.LZ4", ".tar.lz4"), (".zip", ".zip")],
)
async def test_a_format_is_asked_for_by_its_extension(form: str, mime: str) -> None:
    async with WireServer(chunked(b"")) as server, Client(server.url) as client:
        async with client.get_batch(["o"], bucket="b", output_format=form):
            pass
    assert json.loads(server.asked[0].body)["mime"] == mime


@pytest.mark.parametrize("form", [".tar.xz", ".tar.zst"])
async def test_a_format_that_the_cluster_does_not_make_is_refused(form: str) -> None:
    async with WireServer() as server, Client(server.url) as client:
        request = BatchRequest(output_format=form)
        for start in (client.get_batch, client.batch_loader().get_batch):
            with pytest.raises(Exception, match=rf"{form}.*ask for one of \.tar, .*\.lz4, \.zip"):
                start(request)
        assert not server.asked


async def test_a_batch_of_many_buckets_names_none_in_its_path() -> None:
    async with WireServer(chunked(b"")) as server, Client(server.url) as client:
        objects = [client.bucket("b").object("x"), client.bucket("c", provider="gs").object("y")]
        async with client.get_batch(objects):
            pass
    assert server.asked[0].target == "/v1/ml/moss"
    where = [(one["bucket"], one["provider"]) for one in json.loads(server.asked[0].body)["in"]]
    assert where == [("b", "ais"), ("c", "gcp")]


@pytest.mark.parametrize("namespace", ["@u#n", "#n", "@u"])
async def test_a_namespace_is_that_of_the_path(namespace: str) -> None:
    # What names its bucket itself has one of the global namespace.
    async with Client("http://127.0.0.1:1") as client:
        bucket = client.bucket("b", namespace=namespace)
        request = BatchRequest()
        request.add_object_request(bucket.object("x"))
        asked = await sent(request)
        assert json.loads(asked.body)["in"] == [{"objname": "x"}]
        assert (path_of(asked), query_of(asked)) == (
            "/v1/ml/moss/b",
            {"provider": "ais", "namespace": namespace},
        )
        request.add_object_request(bucket.object("y"), length=3)
        asked = await sent(request)
    assert json.loads(asked.body)["in"] == [{"objname": "x"}, {"objname": "y", "start": 0, "length": 3}]


@pytest.mark.parametrize(("namespace", "written"), [("@u#n", "@u#n"), ("#n", "@#n"), ("@u", "@u#")])
async def test_a_bucket_in_a_namespace_shares_a_batch_by_its_full_name(namespace: str, written: str) -> None:
    async with WireServer(chunked(tar([("x", b"1"), ("dir/y/p", b"2")]))) as server:
        async with Client(server.url) as client:
            request = BatchRequest()
            request.add_object_request(client.bucket("b").object("x"))
            request.add_object_request(
                client.bucket("b", provider="gs", namespace=namespace).object("dir/y"), archpath="p"
            )
            items = await client.get_batch(request).read_all()
    assert [item.data for item in items] == [b"1", b"2"]
    (asked,) = server.asked
    assert (path_of(asked), query_of(asked)) == ("/v1/ml/moss", {})
    body = json.loads(asked.body)
    assert body["onob"] is True  # AIStore finds no other name for the members of such a bucket
    assert body["in"] == [
        {"objname": "x", "bucket": "b", "provider": "ais"},
        {"objname": "dir/y", "uname": f"gcp/{written}/b/dir/y", "archpath": "p"},
    ]


async def test_a_batch_is_sent_again_to_where_the_proxy_redirects() -> None:
    async with WireServer(chunked(tar([("b/o", b"data")]))) as target, WireServer() as proxy:
        proxy.answers.append(redirect(f"{target.url}/v1/ml/moss/b/x/y/z?provider=ais&pid=p&utm=u%2B"))
        async with nothing_left_open(), Client(proxy.url) as client:
            items = await client.get_batch(["o"], bucket="b").read_all()
    assert items[0].data == b"data"
    (first,), (second,) = proxy.asked, target.asked
    assert second.method == "GET"
    assert second.target == "/v1/ml/moss/b/x/y/z?provider=ais&pid=p&utm=u%2B"
    assert second.body == first.body
    assert second.headers["content-type"] == "application/json"
    assert second.headers["accept-encoding"] == "identity"
    assert second.headers["host"] == target.url.removeprefix("http://")


async def test_each_batch_starts_at_the_proxy() -> None:
    batch = chunked(tar([("b/o", b"data")]))
    async with WireServer(batch, batch) as target, WireServer() as proxy:
        proxy.answers += [redirect(f"{target.url}/1", 301), redirect(f"{target.url}/2", 308)]
        async with Client(proxy.url) as client:
            for _ in range(2):
                await client.get_batch(["o"], bucket="b").read_all()
    assert [asked.target for asked in target.asked] == ["/1", "/2"]
    assert len(proxy.asked) == 2


async def test_a_redirect_may_be_relative_and_lead_on_once() -> None:
    async with WireServer(redirect("/second?a=b"), redirect("third"), reply(200, b"x")) as server:
        async with Client(server.url) as client:
            assert await client.bucket("b").object("o").get() == b"x"
        assert [asked.target for asked in server.asked] == [
            "/v1/objects/b/o?provider=ais",
            "/second?a=b",
            "/third",
        ]


async def test_redirects_without_end_are_an_error() -> None:
    async with (
        WireServer(*[redirect("/again")] * 9) as server,
        nothing_left_open(),
        Client(server.url) as client,
    ):
        with pytest.raises(RemoteError) as caught:
            await client.bucket("b").object("o").get()
        assert caught.value.status == 307
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://host:99999/",
        "http://host:0/",
        "ftp://host/",
        "//:1",
    ],
)
async def test_a_redirect_to_nowhere_is_an_error(location: str) -> None:
    async with WireServer(redirect(location)) as server, nothing_left_open(), Client(server.url) as client:
        with pytest.raises(RemoteError, match=r"redirected to .* which is no URL") as caught:
            await client.get_batch(["o"], bucket="b").read_all()
    assert caught.value.status == 307
    assert repr(location) in caught.value.message


async def test_a_redirect_to_what_is_no_url_is_an_error() -> None:
    async with (
        WireServer(redirect("http://a b:x/")) as server,
        nothing_left_open(),
        Client(server.url) as client,
    ):
        with pytest.raises(TransportError, match="Invalid URL in location header"):
            await client._source.open_batch(request_of(["o"]))


async def test_a_redirect_that_names_no_target_is_an_error() -> None:
    async with WireServer(reply(307)) as server, Client(server.url) as client:
        with pytest.raises(RemoteError, match="redirected to None"):
            await client.bucket("b").object("o").get()


async def test_a_redirect_to_a_target_that_is_down_is_an_error() -> None:
    async with WireServer(redirect("http://127.0.0.1:1/")) as server, Client(server.url) as client:
        with pytest.raises(TransportError, match="cannot connect"):
            await client._source.open_batch(request_of(["o"]))


async def test_a_redirect_of_any_size_is_not_read_to_its_end() -> None:
    async def endless(writer: Any) -> None:  # noqa: ANN401 - a stream writer
        writer.write(head(307, Location="/x", Transfer_Encoding="chunked"))
        while True:
            writer.write(b"400\r\n" + bytes(1024) + b"\r\n")
            await writer.drain()

    async with WireServer(endless, reply(200, b"x")) as server, Client(server.url) as client:
        assert await client.bucket("b").object("o").get() == b"x"
        await until(lambda: server.connections <= 1)


async def test_the_connection_to_the_proxy_is_used_again() -> None:
    async with WireServer(redirect("/x"), reply(200), redirect("/x"), reply(200)) as server:
        async with Client(server.url) as client:
            for _ in range(2):
                await client.bucket("b").object("o").get()
                assert server.connections == 1


@pytest.mark.parametrize("base", ["", "/", "/gateway/ais", "/gateway/ais/?x=1#y"])
async def test_the_endpoint_may_have_a_path(base: str) -> None:
    async with WireServer(reply(200, b"x")) as server, Client(server.url + base) as client:
        await client.bucket("b").object("o").get()
        prefix = "/gateway/ais" if "gateway" in base else ""
        assert server.asked[0].target == f"{prefix}/v1/objects/b/o?provider=ais"


# -- uploads -----------------------------------------------------------------------------------------------


async def stream() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b"x" * 10


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "path", "text path", "stream"])
async def test_an_upload_goes_to_the_target_alone(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 30)
    data: dict[str, Any] = {
        "bytes": b"x" * 30,
        "bytearray": bytearray(b"x" * 30),
        "memoryview": memoryview(b"x" * 30),
        "path": file,
        "text path": str(file),
        "stream": stream(),
    }
    async with WireServer(reply(200)) as target, WireServer(redirect(f"{target.url}/t?pid=p")) as proxy:
        async with nothing_left_open(), Client(proxy.url) as client:
            await client.bucket("b").object("o").put(data[kind])
    (first,), (second,) = proxy.asked, target.asked
    assert (first.method, first.body, first.headers["content-length"]) == ("PUT", b"", "0")
    assert (second.method, second.target, second.body) == ("PUT", "/t?pid=p", b"x" * 30)
    length = second.headers.get("content-length")
    assert length == (None if kind == "stream" else "30")
    assert ("transfer-encoding" in second.headers) == (kind == "stream")


async def test_an_upload_to_a_server_without_redirects_replaces_the_empty_object() -> None:
    async with WireServer(reply(200), reply(200)) as server, Client(server.url) as client:
        await client.bucket("b").object("o").put(b"data")
    assert [asked.body for asked in server.asked] == [b"", b"data"]


async def test_an_upload_that_the_proxy_refuses_is_an_error_and_sends_no_data() -> None:
    async with WireServer(json_error(404, "ErrBckNotFound", "no b")) as server, Client(server.url) as client:
        with pytest.raises(BucketNotFoundError, match="no b"):
            await client.bucket("b").object("o").put(stream())
        assert len(server.asked) == 1


async def test_an_upload_that_the_target_refuses_is_an_error() -> None:
    async with (
        WireServer(redirect("/t"), json_error(429, "", "full")) as server,
        Client(server.url) as client,
    ):
        with pytest.raises(OverloadedError, match="full"):
            await client.bucket("b").object("o").put(b"x")


@pytest.mark.parametrize("change", [-1, 1])
async def test_a_file_that_changes_while_it_is_sent_is_an_error(
    change: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import aiofiles.os  # noqa: PLC0415 - what is replaced

    file = tmp_path / "file"
    file.write_bytes(b"x" * 30)
    real = aiofiles.os.stat

    async def stat(path: Path) -> object:
        found = await real(path)
        file.write_bytes(b"x" * (30 + change))
        return found

    monkeypatch.setattr(aiofiles.os, "stat", stat)
    async with (
        WireServer(redirect("/t"), reply(200)) as server,
        nothing_left_open(),
        Client(server.url) as client,
    ):
        with pytest.raises(OSError, match="changed while it was read"):
            await client.bucket("b").object("o").put(file)
        await until(lambda: server.connections <= 1)
        assert len(server.asked) == 1  # the second never came whole


async def test_a_file_that_does_not_exist_is_an_error_and_nothing_is_sent(tmp_path: Path) -> None:
    async with WireServer() as server, Client(server.url) as client:
        with pytest.raises(FileNotFoundError):
            await client.bucket("b").object("o").put(tmp_path / "none")
        assert not server.asked


# -- a client of the user's own ----------------------------------------------------------------------------


async def test_a_client_of_the_users_own_is_used_as_it_is_and_left_open() -> None:
    async with WireServer(redirect("/t"), reply(200, b"x"), reply(200, b"again")) as server:
        async with httpx.AsyncClient(headers={"X-Mine": "1"}, follow_redirects=True) as http:
            async with Client(server.url, http_client=http) as client:
                assert await client.bucket("b").object("o").get() == b"x"
            assert not http.is_closed
            assert (await http.get(server.url)).content == b"again"
    assert [asked.headers["x-mine"] for asked in server.asked] == ["1"] * 3
    assert [asked.headers["accept-encoding"] for asked in server.asked[:2]] == ["identity"] * 2
    assert server.asked[2].headers["accept-encoding"] != "identity"


async def test_our_own_client_is_closed_with_its_connections() -> None:
    async with WireServer(reply(200, b"x")) as server, nothing_left_open():
        client = Client(server.url)
        await client.bucket("b").object("o").get()
        assert server.connections == 1
        await client.aclose()
        await client.aclose()
        await until(lambda: server.connections == 0)
        with pytest.raises(UsageError, match="closed"):
            await client.bucket("b").object("o").get()
        with pytest.raises(UsageError, match="closed"):
            await client.get_batch(["o"], bucket="b").read_all()
