"""Objects and buckets by S3: against our own server, and against answers that no sound server gives."""

from __future__ import annotations

import asyncio
import io
import tarfile
import threading
import zipfile
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httpx
import httpx2
import pytest

from asyncbatch import (
    AuthenticationError,
    BatchRequest,
    FormatError,
    LimitExceededError,
    Limits,
    ObjectNotFoundError,
    TransportError,
    UsageError,
)
from asyncbatch.errors import BucketNotFoundError, RemoteError
from asyncbatch.server import create_app, running
from asyncbatch.tigris import Client, bundle_objects
from asyncbatch.tigris.wire import Credentials

from ..support.batches import tar
from ..support.wire import WireServer, head, reply
from .bundles import error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    MakeClient = Callable[..., Client]

pytestmark = pytest.mark.anyio

KEY = Credentials("tid_key", "tsec_secret")
NAMES = [
    "a",
    "b c+d",
    "ü/%2F",
    "100%",
    "q?x=1&y#z",
    "~tilde",
    "é\r\n<&>'\"",
    "ctl\x01\n\x7f",
    "d.o.t/..s",
    "a" * 200,
    "😀",
]


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with running(create_app(tmp_path, credentials=KEY)) as url:
        yield url


@pytest.fixture
async def client(url: str, make_client: MakeClient) -> AsyncIterator[Client]:
    async with make_client(url, bucket="bucket") as client:
        await client.bucket().create()
        yield client


class TestWithOurServer:
    async def test_buckets(self, client: Client) -> None:
        bucket, other = client.bucket("other"), client.bucket("another")
        assert not await other.exists()
        assert await other.create() is other
        with pytest.raises(RemoteError) as caught:
            await other.create()
        assert caught.value.status == 409
        assert await other.create(exist_ok=True) is other
        assert await other.exists()
        assert [found.name async for found in client.list_buckets()] == ["another", "bucket"]
        for index in range(40):
            await other.object(f"{index:02}").put(b"")
        await other.destroy()
        await other.destroy(missing_ok=True)
        for action in (bucket.destroy, bucket.list_objects().__anext__, bucket.object("a").get):
            with pytest.raises(BucketNotFoundError):
                await action()
        assert (repr(bucket), bucket.provider, bucket.namespace) == ("<Bucket t3://other>", "t3", None)
        assert repr(bucket.object("a")) == "<Object t3://other/a>"

    async def test_any_name_comes_and_goes(self, client: Client) -> None:
        bucket = client.bucket()
        for name in NAMES:
            await bucket.object(name).put(name.encode())
        found = [info async for info in bucket.list_objects(page_size=3)]
        assert [info.name for info in found] == sorted(NAMES, key=str.encode)
        assert [info.size for info in found] == [len(info.name.encode()) for info in found]
        assert [info.name async for info in bucket.list_objects(prefix="ü/%")] == ["ü/%2F"]
        for name in NAMES:
            assert await bucket.object(name).get() == name.encode()
        response = bundle_objects(client, bucket, ["x", *NAMES, "y"])
        assert [item.data for item in await response.read_all()] == [
            b"",
            *[name.encode() for name in NAMES],
            b"",
        ]
        assert (response.object_count, response.skipped_count) == (len(NAMES), 2)
        for name in NAMES:
            await bucket.object(name).delete()
        assert [info async for info in bucket.list_objects()] == []

    async def test_objects(self, client: Client, tmp_path: Path) -> None:
        obj = client.bucket().object("a.bin")
        data = bytes(range(256)) * 1000
        await obj.put(bytearray(data))
        assert await obj.get() == data
        assert await obj.get(start=10, length=20) == data[10:30]
        assert await obj.get(start=255_990, length=20) == data[-10:]
        assert (await obj.head()).size == len(data)
        async with obj.open(start=1) as body:
            assert body.info.size == len(data) - 1
            assert b"".join([bytes(chunk) async for chunk in body]) == data[1:]
        for start, length in ((-1, None), (0, 0)):
            with pytest.raises(UsageError, match="is no range"):
                await obj.get(start=start, length=length)
        with pytest.raises(RemoteError) as caught:
            await obj.get(start=len(data))
        assert caught.value.status == 416
        path = tmp_path / "file"
        path.write_bytes(b"of a file")
        await obj.put(path)
        assert await obj.get() == b"of a file"
        await obj.delete()
        await obj.delete(missing_ok=True)
        for action in (obj.get, obj.head, obj.delete):
            with pytest.raises(ObjectNotFoundError) as missing:
                await action()
            assert (missing.value.name, missing.value.bucket) == ("a.bin", "bucket")

    async def test_streams(self, client: Client) -> None:
        obj = client.bucket().object("a")
        await obj.put(parts(b"str", b"eam"))
        assert await obj.get() == b"stream"
        await obj.put(parts(b"st", b"", b"ream"), size=6)
        assert await obj.get() == b"stream"
        for size, words in ((7, "less than 7"), (5, "more than 5")):
            with pytest.raises((UsageError, TransportError), match=words):
                await obj.put(parts(b"str", b"eam"), size=size)
        assert await obj.get() == b"stream"
        with pytest.raises(UsageError, match="cannot store int"):
            await obj.put(1)  # type: ignore[arg-type]

    async def test_files_inside_objects(self, client: Client) -> None:
        bucket = client.bucket()
        files = [("a.txt", b"one"), ("b/c.txt", b"twotwo")]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files:
                archive.writestr(name, data)
        for name, data in (("s.tar", tar(files)), ("s.zip", packed.getvalue())):
            shard = bucket.object(name)
            await shard.put(data)
            assert await shard.get(archpath="b/c.txt") == b"twotwo"
            assert await shard.get(archpath="b/c.txt", start=1, length=2) == b"wo"
            assert await shard.get(archpath="b/c.txt", start=4, length=100) == b"wo"
            async with shard.open(archpath="a.txt") as body:
                assert body.info.size == 3
            with pytest.raises(ObjectNotFoundError, match=f"nope in t3://bucket/{name}"):
                await shard.get(archpath="nope")
        gz = io.BytesIO()
        with tarfile.open(fileobj=gz, mode="w:gz") as archive:
            info = tarfile.TarInfo("x")
            info.size = 200_000
            archive.addfile(info, io.BytesIO(b"y" * 200_000))
        await bucket.object("s.tgz").put(gz.getvalue())
        assert await bucket.object("s.tgz").get(archpath="x", start=199_999) == b"y"
        with pytest.raises(ObjectNotFoundError):
            await bucket.object("s.tgz").get(archpath="nope")

    async def test_batches_of_all_kinds(self, client: Client) -> None:
        bucket, other = client.bucket(), await client.bucket("other").create()
        await bucket.object("s.tar").put(tar([("a.txt", b"one")]))
        for index in range(20):
            await bucket.object(f"k{index}").put(b"%d" % index)
        await other.object("o").put(b"other")
        request = BatchRequest(continue_on_err=True)
        for index in range(20):
            request.add_object_request(bucket.object(f"k{index}"))
        request.add_object_request(bucket.object("s.tar"), archpath="a.txt")
        request.add_object_request(bucket.object("s.tar"), archpath="a.txt", start=1, length=1)
        request.add_object_request(bucket.object("s.tar"), archpath="a.txt", start=2, length=9)
        request.add_object_request(bucket.object("s.tar"), archpath="nope")
        request.add_object_request(bucket.object("k1"))
        request.add_object_request(other.object("o"), start=1, length=2, opaque=b"id")
        request.add_object_request(other.object("o"), start=1, length=20)
        request.add_object_request(other.object("o"), start=100)
        request.add_object_request(other.object("nope"))
        items = await client.batch_loader().get_batch(request).read_all()
        expected = [b"%d" % index for index in range(20)]
        expected += [b"one", b"n", b"", b"", b"1", b"th", b"", b"", b""]
        assert [item.data for item in items] == expected
        kinds = [(bool(item.metadata.error), item.metadata.missing) for item in items[20:]]
        ok, missing, wrong = (False, False), (True, True), (True, False)
        assert kinds == [ok, ok, wrong, missing, ok, ok, wrong, wrong, missing]
        assert items[25].metadata.opaque == b"id"

    async def test_wrong_credentials(self, url: str) -> None:
        for key, words in ((("tid_key", "wrong"), "secret key is wrong"), (("x", "y"), "no such access key")):
            client = Client(url, access_key_id=key[0], secret_access_key=key[1])
            async with client:
                with pytest.raises(AuthenticationError, match=words):
                    await client.bucket("b").object("o").get()
                with pytest.raises(AuthenticationError, match=words):
                    await client.get_batch(["a"], bucket="b").read_all()
        assert "secret" not in repr(client)
        assert repr(client) == f"<tigris.Client {url}>"

    async def test_a_user_s_own_http_client(self, url: str, make_client: MakeClient) -> None:
        for kind in (httpx.AsyncClient, httpx2.AsyncClient):
            http = kind(trust_env=False)
            async with make_client(url, http_client=http) as client:
                bucket = await client.bucket("b").create(exist_ok=True)
                await bucket.object("a").put(b"one")
                await bucket.object("b").put(parts(b"t", b"wo"), size=3)
                items = await client.get_batch(["a", "b", "c"], bucket="b", continue_on_err=True).read_all()
                assert [item.data for item in items] == [b"one", b"two", b""]
            assert not http.is_closed
            await http.aclose()


async def parts(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


class TestWithOtherAnswers:
    async def test_what_is_sent(self, make_client: MakeClient) -> None:
        async with (
            WireServer(*[reply(200, b"x")] * 9) as server,
            make_client(f"{server.url}/base/") as client,
        ):
            for name in ("a//b", "/a", "dots/../up", "./a", "..", "a b~-._", "a/./.b"):
                assert await client.bucket("b").object(name).get() == b"x"
            await client.bucket("b").object("a").put(b"data")
        targets = [asked.target for asked in server.asked]
        assert targets == [
            "/base/b/a//b",
            "/base/b//a",
            "/base/b/dots/%2E%2E/up",
            "/base/b/%2E/a",
            "/base/b/%2E%2E",
            "/base/b/a%20b~-._",
            "/base/b/a/%2E/.b",
            "/base/b/a",
        ]
        put = server.asked[-1]
        assert put.headers["x-amz-content-sha256"].startswith("3a6eb079")  # SHA-256 of "data"
        assert put.headers["content-length"] == "4"
        assert put.headers["accept-encoding"] == "identity"

    async def test_where_a_bucket_is_made(self, make_client: MakeClient) -> None:
        async with WireServer(reply(200), reply(200)) as server:
            for region in ("eu-west-1", "us-east-1"):
                async with make_client(server.url, region=region) as client:
                    await client.bucket("b").create()
        assert b"<LocationConstraint>eu-west-1</LocationConstraint>" in server.asked[0].body
        assert "/eu-west-1/s3/aws4_request" in server.asked[0].headers["authorization"]
        assert server.asked[1].body == b""

    @pytest.mark.parametrize(
        ("wanted", "answer", "words"),
        [
            ({"start": 1}, reply(200, b"x"), "the whole object came"),
            ({"start": 1}, reply(206, b"x"), "another range came: None"),
            ({"start": 1}, reply(206, b"x", Content_Range="bytes 0-0/9"), "another range came: bytes 0-0/9"),
            ({"start": 1}, reply(206, b"x", Content_Range="bytes 1-2/3"), "came with 1 bytes"),
            ({"start": 2, "length": 3}, reply(206, b"x", Content_Range="bytes 2-2/9"), "another range"),
            ({}, head(200, Connection="close") + b"x", "does not tell where it ends"),
        ],
    )
    async def test_bodies_that_are_not_what_was_asked_for(
        self, make_client: MakeClient, wanted: dict[str, Any], answer: bytes, words: str
    ) -> None:
        async with WireServer(answer) as server, make_client(server.url) as client:
            with pytest.raises(RemoteError, match=words):
                await client.bucket("b").object("o").get(**wanted)

    async def test_sizes_that_are_not_told(self, make_client: MakeClient) -> None:
        body = b"1\r\nx\r\n0\r\n\r\n"
        chunked = head(200, Transfer_Encoding="chunked") + body
        async with WireServer(chunked, chunked) as server, make_client(server.url) as client:
            obj = client.bucket("b").object("o")
            assert await obj.get() == b"x"
            async with obj.open() as opened:
                with pytest.raises(FormatError, match="no Content-Length"):
                    opened.info  # noqa: B018 - a property that raises
        ranged = head(206, Transfer_Encoding="chunked", Content_Range="bytes 1-1/2") + body
        request = BatchRequest()
        bucket = client.bucket("b")
        request.add_object_request(bucket.object("o"), start=1, length=1)
        async with WireServer(ranged) as server, make_client(server.url) as client:
            assert (await client.get_batch(request).read_all())[0].data == b"x"

    async def test_what_is_larger_than_may_be_held(self, make_client: MakeClient) -> None:
        async with WireServer(reply(200, b"four")) as server:
            async with make_client(server.url, limits=Limits(max_item_size=3)) as client:
                with pytest.raises(LimitExceededError, match="object 'o', held in memory"):
                    await client.bucket("b").object("o").get()
                with pytest.raises(LimitExceededError, match="whose size was not passed"):
                    await client.bucket("b").object("o").put(parts(b"to", b"ld"))

    async def test_a_body_is_read_once_by_one_task(self, make_client: MakeClient) -> None:
        async with WireServer(reply(200, b"x")) as server, make_client(server.url) as client:
            body = client.bucket("b").object("o").open()
            with pytest.raises(UsageError, match="inside an 'async with'"):
                aiter(body)
            async with body:
                with pytest.raises(UsageError, match="open already"):
                    await body.__aenter__()
                assert await anext(body) == b"x"
            with pytest.raises(UsageError, match="closed already"):
                await anext(body)
            await client.bucket("b").object("o").open().aclose()

    async def test_listings_that_are_none(self, make_client: MakeClient) -> None:
        def page(inner: str) -> bytes:
            return reply(200, f"<ListBucketResult>{inner}</ListBucketResult>".encode())

        cut = "<IsTruncated>true</IsTruncated>"
        bad = [
            (reply(200, b"{}"), "not well-formed"),
            (reply(200, b"<Other/>"), "called 'Other'"),
            (page(cut), "does so at None"),
            (page("<Contents><Key>a</Key></Contents>"), "'a' and has None bytes"),
            (page("<Contents><Key>a</Key><Size>-1</Size></Contents>"), "has '-1' bytes"),
            (page("<Contents><Key></Key><Size>1</Size></Contents>"), "called ''"),
            (
                page("<EncodingType>url</EncodingType><Contents><Key>%ff</Key><Size>1</Size></Contents>"),
                "utf-8",
            ),
            (reply(200, b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'), "document type"),
            (reply(200, b"<a>" * 100 + b"</a>" * 100), "too deeply"),
            (reply(200, b"<a>" + b"<b/>" * 100_000 + b"</a>"), "more than 100000 elements"),
            (reply(200, b'<?xml version="1.0" encoding="martian"?><a/>'), "unknown encoding"),
        ]
        async with WireServer(*[answer for answer, _ in bad]) as server, make_client(server.url) as client:
            for _, words in bad:
                with pytest.raises(FormatError, match=words):
                    await anext(client.bucket("b").list_objects())
        going = page(f"{cut}<NextContinuationToken>t</NextContinuationToken>")
        async with WireServer(going, going) as server, make_client(server.url) as client:
            with pytest.raises(FormatError, match="does so at 't'"):
                await anext(client.bucket("b").list_objects(prefix="a&b", page_size=7))
        assert unquote(server.asked[1].target) == (
            "/b?list-type=2&encoding-type=url&prefix=a&b&max-keys=7&continuation-token=t"
        )
        plain = page("<Contents><Key> a%20b </Key><Size>1</Size><ETag>&quot;e&quot;</ETag></Contents>")
        async with WireServer(plain) as server, make_client(server.url) as client:
            (info,) = [info async for info in client.bucket("b").list_objects()]
        assert (info.name, info.size, info.etag) == (" a%20b ", 1, "e")

    async def test_lists_of_buckets_that_are_none(self, make_client: MakeClient) -> None:
        none = b"<ListAllMyBucketsResult/>"
        bad = b"<ListAllMyBucketsResult><Buckets><Bucket/></Buckets></ListAllMyBucketsResult>"
        async with WireServer(reply(200, none), reply(200, bad)) as server, make_client(server.url) as client:
            assert [bucket async for bucket in client.list_buckets()] == []
            with pytest.raises(FormatError, match="one has no name"):
                await anext(client.list_buckets())

    async def test_a_bucket_that_cannot_be_emptied(self, make_client: MakeClient) -> None:
        page = b"<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>"
        async with WireServer(reply(200, page), error(403, "AccessDenied")) as server:
            async with make_client(server.url) as client:
                with pytest.raises(AuthenticationError, match="lacks a right"):
                    await client.bucket("b").destroy()
        async with (
            WireServer(reply(404, b"a gateway's own page")) as server,
            make_client(server.url) as client,
        ):
            with pytest.raises(RemoteError) as caught:
                await client.bucket("b").destroy(missing_ok=True)
        assert type(caught.value) is RemoteError
        async with WireServer(error(404, "NoSuchBucket")) as server, make_client(server.url) as client:
            with pytest.raises(BucketNotFoundError):
                await client.bucket("b").destroy()

    async def test_files_that_change_while_they_are_sent(
        self, make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"four")

        async def stat(path: Path) -> Any:  # noqa: ANN401 - of os
            return type("Stat", (), {"st_size": size})

        monkeypatch.setattr("aiofiles.os.stat", stat)
        for size in (3, 5):
            async with WireServer(reply(200)) as server, make_client(server.url) as client:
                with pytest.raises(OSError, match=f"it had {size} bytes at first"):
                    await client.bucket("b").object("o").put(path)

    async def test_an_upload_is_made_again(self, make_client: MakeClient, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"data")
        async with WireServer(error(503, "SlowDown"), reply(200), error(503, "SlowDown")) as server:
            async with make_client(server.url) as client:
                await client.bucket("b").object("o").put(path)
                with pytest.raises(RemoteError, match="SlowDown"):
                    await client.bucket("b").object("o").put(parts(b"data"), size=4)
        assert [asked.body for asked in server.asked] == [b"data"] * 3
        assert {asked.headers["x-amz-content-sha256"] for asked in server.asked} == {"UNSIGNED-PAYLOAD"}
        assert not any("transfer-encoding" in asked.headers for asked in server.asked)

    async def test_a_shard_that_is_changed_while_it_is_read(self, make_client: MakeClient) -> None:
        found = head(200, Content_Length="2048", ETag='"one"')
        changed = error(412, "PreconditionFailed")
        sound = head(200, Content_Length="2048", ETag='"two"')
        archive = tar([("a", b"one")])
        index = reply(206, archive, Content_Range="bytes 0-2047/2048")
        data = reply(206, b"one", Content_Range="bytes 512-514/2048")
        async with WireServer(found, changed, sound, index, data) as server:
            async with make_client(server.url) as client:
                assert await client.bucket("b").object("s.tar").get(archpath="a") == b"one"
        asked = [asked.headers.get("if-match") for asked in server.asked]
        assert asked == [None, '"one"', None, '"two"', '"two"']
        async with WireServer(found, error(403, "AccessDenied")) as server, make_client(server.url) as client:
            with pytest.raises(AuthenticationError):
                await client.bucket("b").object("s.tar").get(archpath="a")

    async def test_errors_that_break_off(self, make_client: MakeClient) -> None:
        broken = head(400, Content_Length="10", Connection="close") + b"half"
        async with WireServer(broken) as server, make_client(server.url) as client:
            with pytest.raises(RemoteError, match="the server gave no reason"):
                await client.bucket("b").object("o").get()

    async def test_what_was_deleted_meanwhile(self, make_client: MakeClient) -> None:
        gone = error(404, "NoSuchKey")
        async with WireServer(gone, head(200, Content_Length="0"), gone) as server:
            async with make_client(server.url) as client:
                await client.bucket("b").object("o").delete(missing_ok=True)
                with pytest.raises(ObjectNotFoundError):
                    await client.bucket("b").object("o").delete()


class TestCredentials:
    async def test_expired_ones_are_renewed_once(self, make_client: MakeClient) -> None:
        class Source:
            renewed = 0

            async def current(self) -> Credentials:
                return Credentials(f"key{self.renewed}", "secret", "token")

            async def renew(self, refused: Credentials) -> bool:
                self.renewed += 1
                return self.renewed < 3

        expired = error(400, "ExpiredToken")
        answers = expired, reply(200, b"x"), expired, expired, expired, error(403, "AccessDenied")
        async with WireServer(*answers) as server, make_client(server.url) as client:
            client._connection._credentials = source = Source()
            obj = client.bucket("b").object("o")
            assert await obj.get() == b"x"
            for words in ("get new credentials", "get new credentials", "lacks a right"):
                with pytest.raises(AuthenticationError, match=words):
                    await obj.get()
        assert source.renewed == 3
        assert ["key0" in asked.headers["authorization"] for asked in server.asked[:2]] == [True, False]
        assert server.asked[0].headers["x-amz-security-token"] == "token"

    async def test_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        async with Client("http://127.0.0.1:1") as client:
            with pytest.raises(UsageError, match="no credentials"):
                await client.bucket("b").object("o").get()


class TestClients:
    def test_what_could_never_work(self, make_client: MakeClient) -> None:
        bad: list[tuple[str, dict[str, Any], str]] = [
            ("ftp://x", {}, "endpoint 'ftp://x'"),
            ("http://user:secret@x", {}, "pass access_key_id"),
            ("http://x", {"max_connections": 0}, "max_connections=0"),
            ("http://x", {"bucket": "a/b"}, "bucket name 'a/b'"),
            ("http://x", {"secret_access_key": None}, "secret_access_key is missing"),
            ("http://x", {"region": "a b"}, "no name of a region"),
        ]
        for url, options, words in bad:
            with pytest.raises(UsageError, match=words):
                make_client(url, **options)

    def test_the_endpoint_is_tigris_s_own_unless_it_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        key: dict[str, Any] = {"access_key_id": "a", "secret_access_key": "b"}
        assert repr(Client(**key)) == "<tigris.Client https://t3.storage.dev>"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
        assert repr(Client(**key, max_connections=1)) == "<tigris.Client http://127.0.0.1:1>"

    def test_a_bucket_of_its_own(self, make_client: MakeClient) -> None:
        client = make_client("http://127.0.0.1:1", bucket="mine")
        assert (client.default_bucket, client.bucket().name, client.bucket("b").name) == ("mine", "mine", "b")
        assert make_client("http://127.0.0.1:1").default_bucket is None

    async def test_names_that_no_url_has_room_for(self, make_client: MakeClient) -> None:
        async with make_client("http://127.0.0.1:1") as client:
            with pytest.raises(UsageError, match="too long"):
                await anext(client.bucket("b").list_objects(prefix="x" * 70_000))

    async def test_one_loop(self, make_client: MakeClient) -> None:
        async with WireServer(reply(200, b"x")) as server, make_client(server.url) as client:
            await client.bucket("b").object("o").get()
            errors: list[BaseException] = []

            async def use() -> None:
                try:
                    await client.bucket("b").object("o").get()
                except UsageError as error:
                    errors.append(error)

            thread = threading.Thread(target=lambda: asyncio.run(use()))
            thread.start()
            thread.join()
        assert "another event loop" in str(errors[0])

    async def test_what_is_logged(self, make_client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG", "asyncbatch")
        async with WireServer(reply(200, b"x")) as server, make_client(server.url) as client:
            await client.bucket("b").object("o").get()
        assert f"GET {server.url}/b/o: 200 after" in caplog.text
        assert "secret" not in caplog.text
