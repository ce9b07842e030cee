"""Bundles over the wire: a server that says what it is told to, and what the client makes of it."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import tigris_boto3_ext
from tigris_boto3_ext.objects import bundle as official

from asyncbatch import (
    AuthenticationError,
    BatchRequest,
    FormatError,
    IncompleteBatchError,
    ObjectNotFoundError,
    OverloadedError,
    TransportError,
    TruncatedArchiveError,
    UnsupportedFormatError,
    UsageError,
    tigris,
)
from asyncbatch.errors import BucketNotFoundError, RemoteError
from asyncbatch.tigris import (
    BUNDLE_ON_ERROR_FAIL,
    BundleError,
    SkippedKey,
    bundle_objects,
)
from asyncbatch.transport import StreamingTransport

from ..support.batches import tar
from ..support.wire import WireServer, reply
from .bundles import ERRORS, answer, bundle, error, pack, report, trailers_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncbatch.tigris import Client, RawBundle

    from ..support.wire import Asked

    MakeClient = Callable[..., Client]

pytestmark = pytest.mark.anyio

OBJECTS = {"a": b"one", "b": b"", "c": b"three" * 100}
KEYS = ["x", "a", "b", "x", "c", "y"]


def whole(keys: list[str], objects: dict[str, bytes] = OBJECTS, compression: str = "none") -> bytes:
    return answer(pack(bundle(keys, objects), compression), trailers_of(keys, objects))


def keys_of(asked: Asked) -> list[str]:
    keys: list[str] = json.loads(asked.body)["keys"]
    return keys


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_a_bundle(make_client: MakeClient, compression: str) -> None:
    async with WireServer(whole(KEYS, compression=compression)) as server, make_client(server.url) as client:
        async with bundle_objects(client, "my-bucket", KEYS, compression=compression) as response:
            assert (response.object_count, response.bundle_bytes, response.skipped_count) == (None,) * 3
            items = [item async for item in response]
    assert [(data, metadata.missing) for metadata, data in items] == [
        (OBJECTS.get(key, b""), key not in OBJECTS) for key in KEYS
    ]
    assert items[0].metadata.error == "t3://my-bucket/x does not exist, or may not be read: it was skipped"
    assert [item.metadata.name for item in items] == KEYS
    assert (response.object_count, response.bundle_bytes, response.skipped_count) == (3, 503, 3)
    assert response.skipped == [SkippedKey(key, "NoSuchKey") for key in ("x", "x", "y")]
    assert (response.stats.items, response.stats.missing, response.stats.requests) == (6, 3, 1)
    assert repr(response) == "<BundleResponse complete, 6 of 6 items delivered>"
    (asked,) = server.asked
    assert (asked.method, asked.target) == ("POST", "/my-bucket?bundle")
    assert keys_of(asked) == KEYS
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["x-tigris-bundle-format"] == "tar"
    assert asked.headers["x-tigris-bundle-compression"] == compression
    assert asked.headers["x-tigris-bundle-on-error"] == "skip"
    signed = asked.headers["authorization"]
    assert "Credential=tid_key/" in signed
    assert "/auto/s3/aws4_request" in signed
    assert "host;x-amz-content-sha256;x-amz-date;x-tigris-bundle-compression" in signed


async def test_members_in_chunks(make_client: MakeClient) -> None:
    objects = {"a": b"one", "large": bytes(range(256)) * 4000}
    keys = ["x", "large", "a"]
    async with WireServer(whole(keys, objects)) as server, make_client(server.url) as client:
        async with bundle_objects(client, client.bucket("b"), keys) as response:
            read = [(member.metadata.missing, await member.read()) async for member in response.members()]
    assert read == [(True, b""), (False, objects["large"]), (False, b"one")]
    assert (response.object_count, response.bundle_bytes, response.skipped_count) == (2, 1_024_003, 1)
    assert response.skipped == [SkippedKey("x", "NoSuchKey")]


async def test_in_xml(make_client: MakeClient) -> None:
    keys = ["a & b", "<c>", "ü\n"]
    async with WireServer(whole(keys, dict.fromkeys(keys, b""))) as server, make_client(server.url) as client:
        async with bundle_objects(client, "b", keys, encoding="xml") as response:
            assert len(await response.read_all()) == 3
        for key in ("\x01", "\r", "￿"):
            with pytest.raises(UsageError, match="XML cannot say") as caught:  # before anything is sent
                bundle_objects(client, "b", ["a", key], encoding="xml")
            assert caught.value.index == 1
    assert server.asked[0].headers["content-type"] == "application/xml"
    assert server.asked[0].body.decode() == (
        '<Bundle xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a &amp; b</Key></Object>'
        "<Object><Key>&lt;c&gt;</Key></Object><Object><Key>ü\n</Key></Object></Bundle>"
    )


async def test_without_trailers_nothing_is_counted(make_client: MakeClient) -> None:
    async with WireServer(answer(bundle(KEYS, OBJECTS)), whole(KEYS), whole(KEYS)) as server:
        async with make_client(server.url) as client:
            async with bundle_objects(client, "b", KEYS) as response:
                await response.read_all()
            assert (response.object_count, response.bundle_bytes, response.skipped_count) == (None,) * 3
            assert len(response.skipped) == 3
        async with (
            httpx.AsyncClient(trust_env=False) as http,
            make_client(server.url, http_client=http) as client,
        ):
            response = bundle_objects(client, "b", KEYS)
            assert len(await response.read_all()) == 6
            assert response.object_count is None
        transport = StreamingTransport()
        async with httpx.AsyncClient(transport=transport) as http:
            response = bundle_objects(make_client(server.url, http_client=http), "b", KEYS)
            assert len(await response.read_all()) == 6
            assert response.object_count == 3


async def test_cut_anywhere_it_goes_on(make_client: MakeClient) -> None:
    """Every cut of the answer, the rest of which is asked for then."""
    archive = bundle(KEYS, OBJECTS)
    expected = [(key, OBJECTS.get(key, b""), key not in OBJECTS) for key in KEYS]
    edges = range(0, len(archive), 512)
    ends = [end for edge in edges for end in (edge - 1, edge, edge + 1, edge + 50) if 0 <= end < len(archive)]
    async with WireServer() as server, make_client(server.url) as client:
        for end in ends:
            for is_lost in (False, True):
                server.asked.clear()
                server.answers.clear()
                cut = answer(archive[:end], end=not is_lost)
                server.answers.append(cut.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

                async def rest(writer: Any) -> None:  # noqa: ANN401 - a stream's
                    asked = server.asked[-1]
                    keys = keys_of(asked) if asked.method == "POST" else [asked.target.rpartition("/")[2]]
                    if asked.method == "POST":
                        writer.write(whole(keys))
                    elif keys[0] in OBJECTS:
                        writer.write(reply(200, OBJECTS[keys[0]]))
                    else:
                        writer.write(error(404, "NoSuchKey"))
                    await writer.drain()

                server.answers.extend([rest] * 8)
                async with client.get_batch(KEYS, bucket="b", continue_on_err=True) as batch:
                    items = await batch.read_all()
                assert [(m.name, data, m.missing) for m, data in items] == expected, end


async def test_what_was_cut_is_counted(make_client: MakeClient) -> None:
    keys = ["a", "x", "c", "d", "y"]
    objects = OBJECTS | {"d": b"four" * 100}
    cut = answer(tar([(key, objects[key]) for key in ("a", "c", "d")])[:2700], end=False)
    cut = cut.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    async with WireServer(cut, whole(["d", "y"], objects)) as server, make_client(server.url) as client:
        response = bundle_objects(client, "b", keys)
        items = await response.read_all()
    assert [item.metadata.missing for item in items] == [False, True, False, False, True]
    assert [keys_of(asked) for asked in server.asked] == [keys, ["d", "y"]]
    assert (response.object_count, response.bundle_bytes, response.skipped_count) == (3, 903, 2)
    assert response.skipped == [SkippedKey("x", None), SkippedKey("y", "NoSuchKey")]


async def test_trailers_that_contradict(make_client: MakeClient) -> None:
    wrong = answer(bundle(KEYS, OBJECTS), [(b"x-tigris-bundle-count", b"4")])
    async with WireServer(wrong) as server, make_client(server.url) as client:
        response = bundle_objects(client, "b", KEYS)
        for key in KEYS:
            assert (await anext(response)).metadata.name == key
        with pytest.raises(FormatError, match="3 objects, and its trailers say 4"):
            await anext(response)
    assert response.object_count is None


async def test_strict_batches_ask_for_what_is_missing_by_itself(make_client: MakeClient) -> None:
    async with WireServer(whole(["a", "x", "c"]), error(404, "NoSuchKey")) as server:
        async with make_client(server.url, bucket="b") as client:
            with pytest.raises(ObjectNotFoundError) as caught:
                await client.get_batch(["a", "x", "c"]).read_all()
    assert (caught.value.name, caught.value.code) == ("x", "NoSuchKey")
    assert [asked.headers.get("x-tigris-bundle-on-error") for asked in server.asked] == ["skip", None]
    assert [asked.target for asked in server.asked] == ["/b?bundle", "/b/x"]


async def test_members_that_were_not_asked_for(make_client: MakeClient) -> None:
    other = answer(tar([("a", b"one"), ("other", b"two")]))
    async with WireServer(other, whole(["b"])) as server, make_client(server.url) as client:
        items = await client.get_batch(["a", "b"], bucket="b").read_all()
    assert [item.data for item in items] == [b"one", b""]
    assert [keys_of(asked) for asked in server.asked] == [["a", "b"], ["b"]]


async def test_a_bundle_that_lacks_its_end_is_not_asked_for_for_ever(make_client: MakeClient) -> None:
    short = answer(tar([("a", b"one")]))
    async with WireServer(*[short] * 9) as server, make_client(server.url, max_resumes=0) as client:
        with pytest.raises(IncompleteBatchError) as caught:
            await client.get_batch(["a", "b"], bucket="b").read_all()
    assert (caught.value.delivered, len(caught.value.items)) == (1, 1)
    assert isinstance(caught.value.__cause__, TruncatedArchiveError)


class TestFailMode:
    async def test_keys_that_do_not_exist(self, make_client: MakeClient) -> None:
        missing = error(
            404,
            "BundleKeyNotFound",
            "<RequestId>17</RequestId><MissingKeys><Key>x</Key><Key> y&amp;\n</Key></MissingKeys>",
        )
        async with WireServer(missing) as server, make_client(server.url) as client:
            with pytest.raises(BundleError, match="because") as caught:
                async with bundle_objects(client, "b", KEYS, on_error=BUNDLE_ON_ERROR_FAIL):
                    pass
        assert server.asked[0].headers["x-tigris-bundle-on-error"] == "fail"
        found = caught.value
        for one in (found, pickle.loads(pickle.dumps(found))):  # noqa: S301 - our own
            assert (one.status, one.status_code, one.code) == (404, 404, "BundleKeyNotFound")
            assert one.missing_keys == ("x", " y&\n")
            assert str(one).endswith(r"; missing: 'x', ' y&\n'")
            assert one.body.startswith("<Error><Code>BundleKeyNotFound")
            assert one.request_id == "17"
            assert isinstance(one, RemoteError)
            assert not one.retryable

    async def test_as_many_keys_as_can_be_missing(self, make_client: MakeClient) -> None:
        keys = [f"{index:04}{'x' * 990}" for index in range(5000)]
        missing = "".join(f"<Key>{key}</Key>" for key in keys)
        refusal = error(404, "BundleKeyNotFound", f"<MissingKeys>{missing}</MissingKeys>")
        async with (
            WireServer(refusal, error(413, "EntityTooLarge")) as server,
            make_client(server.url) as client,
        ):
            with pytest.raises(BundleError) as caught:
                await bundle_objects(client, "b", keys[:2], on_error="fail").read_all()
            assert caught.value.missing_keys == tuple(keys)
            with pytest.raises(BundleError, match="EntityTooLarge"):
                await bundle_objects(client, "b", keys[:2], on_error="fail").read_all()

    async def test_a_bundle_of_what_exists(self, make_client: MakeClient) -> None:
        async with WireServer(whole(["a", "c"])) as server, make_client(server.url) as client:
            async with bundle_objects(client, "b", ["a", "c"], on_error="fail") as response:
                assert [data async for _, data in response] == [OBJECTS["a"], OBJECTS["c"]]
        assert (response.object_count, response.skipped_count) == (2, 0)

    async def test_lists_that_must_be_split(self, make_client: MakeClient) -> None:
        keys = [str(index) for index in range(5001)]
        objects = dict.fromkeys(keys, b"")
        async with WireServer(whole(keys[:5000], objects), whole(keys[5000:], objects)) as server:
            async with make_client(server.url) as client:
                with pytest.raises(UsageError, match="allow_split=True"):
                    bundle_objects(client, "b", keys, on_error="fail")
                response = bundle_objects(client, "b", keys, on_error="fail", allow_split=True)
                assert len(await response.read_all()) == 5001
                assert response.object_count == 5001


async def test_a_long_list_takes_several_requests(make_client: MakeClient) -> None:
    keys = [f"k{index % 9000}" for index in range(12_001)]
    objects = {key: key.encode() for key in keys if not key.endswith("7")}
    parts = [keys[:5000], keys[5000:10_000], keys[10_000:]]
    async with WireServer(*[whole(part, objects) for part in parts]) as server:
        async with make_client(server.url) as client, bundle_objects(client, "b", keys) as response:
            items = await response.read_all()
            with pytest.raises(UsageError, match="several requests"):
                response.aiter_raw()
    assert [keys_of(asked) for asked in server.asked] == parts
    assert [(m.name, data, m.missing) for m, data in items] == [
        (key, objects.get(key, b""), key not in objects) for key in keys
    ]
    skipped = [key for key in keys if key not in objects]
    assert (response.object_count, response.skipped_count) == (len(keys) - len(skipped), len(skipped))
    assert response.skipped == [SkippedKey(key, "NoSuchKey") for key in skipped]


class TestTheArchiveItself:
    async def test_it_comes_as_it_is(self, make_client: MakeClient) -> None:
        packed = pack(bundle(KEYS, OBJECTS), "gzip")
        async with WireServer(answer(packed, trailers_of(KEYS, OBJECTS))) as server:
            async with make_client(server.url) as client:
                async with bundle_objects(client, "b", KEYS, compression="gzip") as response:
                    raw = response.aiter_raw()
                    assert b"".join([bytes(chunk) async for chunk in raw]) == packed
                    with pytest.raises(StopAsyncIteration):
                        await anext(raw)
                    with pytest.raises(UsageError, match="was read already"):
                        await anext(response.aiter_raw())
                    with pytest.raises(UsageError, match="ask for another bundle"):
                        await anext(response)
                    with pytest.raises(UsageError, match="ask for another bundle"):
                        await anext(response.members())
        assert (response.object_count, response.bundle_bytes, response.skipped_count) == (3, 503, 3)
        assert response.skipped == []
        assert len(server.asked) == 1

    async def test_its_trailers_are_held_against_the_keys(self, make_client: MakeClient) -> None:
        archive = bundle(KEYS, OBJECTS)
        fewer, more = trailers_of(["a"], OBJECTS), trailers_of([*KEYS, "z"], OBJECTS)
        answers = answer(archive, fewer), answer(archive, more), answer(b""), answer(archive)
        async with WireServer(*answers) as server, make_client(server.url) as client:
            with pytest.raises(TruncatedArchiveError, match=r"6 keys were asked for, .* account for 1"):
                await read_raw(client)
            with pytest.raises(FormatError, match="account for 7"):
                await read_raw(client)
            with pytest.raises(TruncatedArchiveError, match="nothing came"):
                await read_raw(client)
            assert await read_raw(client) == archive

    async def test_it_is_not_asked_for_again(self, make_client: MakeClient) -> None:
        cut = answer(bundle(KEYS, OBJECTS)[:700], end=False).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        async with WireServer(cut, whole(KEYS)) as server, make_client(server.url) as client:
            with pytest.raises(TransportError):
                await read_raw(client)
            assert len(server.asked) == 1
            async with bundle_objects(client, "b", KEYS) as response:
                await anext(response)
                with pytest.raises(UsageError, match="was read already"):
                    await anext(response.aiter_raw())
                raw = response.aiter_raw()
                await raw.aclose()
                assert [chunk async for chunk in raw] == []

    async def test_one_task_reads_it(self, make_client: MakeClient) -> None:
        async def silence(writer: asyncio.StreamWriter) -> None:
            writer.write(answer(b"half", end=False))
            await asyncio.Event().wait()

        async with WireServer(silence, silence) as server, make_client(server.url) as client:
            raw = bundle_objects(client, "b", KEYS).aiter_raw()
            assert await anext(raw) == b"half"
            task = asyncio.create_task(read_rest(raw))
            await asyncio.sleep(0)
            with pytest.raises(UsageError, match="one consumer"):
                await anext(raw)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [chunk async for chunk in raw] == []
            raw = bundle_objects(client, "b", KEYS).aiter_raw()
            await anext(raw)
            task = asyncio.create_task(read_rest(raw))
            await asyncio.sleep(0)
            await raw.aclose()
            with pytest.raises(TransportError):
                await task


async def read_rest(raw: RawBundle) -> bytes:
    return b"".join([bytes(chunk) async for chunk in raw])


async def read_raw(client: Client) -> bytes:
    response = bundle_objects(client, "b", KEYS)
    async with response.aiter_raw() as raw:
        return await read_rest(raw)


class TestErrors:
    async def test_a_request_that_is_too_large_is_halved(self, make_client: MakeClient) -> None:
        answers = error(413, "EntityTooLarge"), whole(KEYS[:3]), whole(KEYS[3:])
        async with WireServer(*answers) as server, make_client(server.url) as client:
            response = bundle_objects(client, "b", KEYS)
            assert [item.metadata.name for item in await response.read_all()] == KEYS
        assert [keys_of(asked) for asked in server.asked] == [KEYS, KEYS[:3], KEYS[3:]]
        assert (response.object_count, response.skipped_count) == (3, 3)

    async def test_who_has_too_much_to_do_is_asked_again(self, make_client: MakeClient) -> None:
        answers = error(429, "SlowDown", Retry_After="0"), error(503, "ServiceUnavailable"), whole(KEYS)
        async with WireServer(*answers) as server, make_client(server.url) as client:
            assert len(await bundle_objects(client, "b", KEYS).read_all()) == 6
        assert len(server.asked) == 3
        async with WireServer(*[error(503, "SlowDown", Retry_After="1000")] * 3) as server:
            async with make_client(server.url) as client:
                with pytest.raises(OverloadedError) as caught:
                    await bundle_objects(client, "b", KEYS).read_all()
        assert caught.value.retry_after == 1000
        assert len(server.asked) == 1

    @pytest.mark.parametrize(
        ("status", "code", "kind", "words"),
        [
            (404, "NoSuchBucket", BucketNotFoundError, "because"),
            (403, "SignatureDoesNotMatch", AuthenticationError, "the secret key is wrong"),
            (403, "RequestTimeTooSkewed", AuthenticationError, "set this machine's clock"),
            (400, "ExpiredToken", AuthenticationError, "get new credentials"),
            (403, "AccessDenied", AuthenticationError, "s3:GetObject"),
            (401, "Other", AuthenticationError, "check the credentials"),
            (400, "InvalidRequest", BundleError, "because"),
            (404, "NoSuchKey", BundleError, "because"),
            (501, "NotImplemented", BundleError, "because"),
            (
                307,
                "TemporaryRedirect",
                RemoteError,
                r"pass endpoint_url= or region= .* \(http://elsewhere/…\)",
            ),
        ],
    )
    async def test_refusals(
        self, make_client: MakeClient, status: int, code: str, kind: type[RemoteError], words: str
    ) -> None:
        location = {"Location": "http://elsewhere/?secret"} if status == 307 else {}
        async with WireServer(error(status, code, **location)) as server, make_client(server.url) as client:
            with pytest.raises(kind, match=words) as caught:
                await bundle_objects(client, "b", KEYS).read_all()
        assert type(caught.value) is kind
        assert (caught.value.status, caught.value.code) == (status, code)
        assert len(server.asked) == 1

    async def test_answers_of_others(self, make_client: MakeClient) -> None:
        page = b"<html><body>" + b"no " * 500
        async with WireServer(reply(502, page), reply(404, b"nothing here")) as server:
            async with make_client(server.url) as client:
                with pytest.raises(BundleError, match="nothing here") as caught:
                    await bundle_objects(client, "b", KEYS).read_all()
        assert caught.value.missing_keys == ()
        assert caught.value.body == "nothing here"


class TestUse:
    def test_names_are_those_of_the_official_sdk(self) -> None:
        names = [name for name in tigris_boto3_ext.__all__ if "bundle" in name.lower()]
        assert len(names) == 9
        for name in names:
            assert name in tigris.__all__
            if name.isupper():
                assert getattr(tigris, name) == getattr(official, name)
        theirs = official.BundleError("words", status_code=404, body="b", code="c", request_id="r")
        ours = BundleError(status=404, message="words", body="b", code="c", request_id="r")
        for name, value in vars(theirs).items():
            assert getattr(ours, name) == value

    def test_what_could_never_work(self, make_client: MakeClient) -> None:
        client = make_client("http://127.0.0.1:1")
        bad: list[tuple[dict[str, Any], str]] = [
            ({"format": "zip"}, "format='zip'"),
            ({"compression": "lz4"}, "one of 'none', 'gzip', 'zstd'"),
            ({"on_error": "ignore"}, "'skip' or 'fail'"),
            ({"encoding": "yaml"}, "'json' or 'xml'"),
            ({"keys": []}, "is empty"),
            ({"keys": "abc"}, "not one key"),
            ({"keys": ["a", b"b"]}, "entry 1: a key is a str, not bytes"),
            ({"keys": ["a", ""]}, "name is empty"),
            ({"keys": ["a", "x" * 1025]}, "entry 1: .* 1 to 1024 bytes, not 1025"),
            ({"keys": ["a", "ü" * 513]}, "entry 1: .* not 1026"),
            ({"keys": ["a", "\ud800"]}, "entry 1: .* not valid Unicode"),
            ({"bucket": "a/b"}, "bucket name 'a/b'"),
            ({"bucket": ".."}, "bucket name"),
        ]
        for options, words in bad:
            with pytest.raises(UsageError, match=words):
                bundle_objects(client, **{"bucket": "b", "keys": ["a"]} | options)

    def test_batches_that_could_never_work(self, make_client: MakeClient) -> None:
        client = make_client("http://127.0.0.1:1")
        with pytest.raises(UnsupportedFormatError, match=r"\.tar, \.tar\.gz, \.tar\.zst"):
            client.get_batch(["a"], bucket="b", output_format=".zip")
        for provider, namespace in (("ais", None), ("t3", "@#n")):
            request = BatchRequest()
            bucket = client.bucket("b")
            bucket.provider, bucket.namespace = provider, namespace
            request.add_object_request(bucket.object("a"))
            with pytest.raises(UsageError, match="is not one of Tigris"):
                client.get_batch(request)
        request = BatchRequest()
        request.add_object_request(client.bucket("b").object("a"), start=True)
        with pytest.raises(UsageError, match="is no range"):
            client.get_batch(request)
        with pytest.raises(UsageError, match="say in which bucket"):
            client.get_batch(["a"])
        with pytest.raises(UsageError, match="make the client with bucket="):
            client.bucket()

    async def test_a_content_type_that_is_another_s(self, make_client: MakeClient) -> None:
        """A server that does not compress, or has its own mind about it."""
        plain = whole(["a"]).replace(b"application/x-tar", b"application/gzip")
        async with WireServer(plain, whole(["a"])) as server, make_client(server.url) as client:
            assert (await bundle_objects(client, "b", ["a"]).read_all())[0].data == b"one"
            assert (await bundle_objects(client, "b", ["a"], compression="zstd").read_all())[0].data == b"one"

    async def test_an_object_that_is_called_as_the_list_of_skipped_keys(
        self, make_client: MakeClient
    ) -> None:
        objects = {ERRORS: report(["other"])}
        async with WireServer(whole(["a", ERRORS], objects)) as server, make_client(server.url) as client:
            items = await bundle_objects(client, "b", ["a", ERRORS]).read_all()
        assert [item.data for item in items] == [b"", report(["other"])]


def test_an_error_shows_a_few_of_many_missing_keys() -> None:
    error = BundleError(status=404, message="gone", body="", missing_keys=tuple("abcde"))
    assert str(error).endswith("; missing: 'a', 'b', 'c' and 2 more")
