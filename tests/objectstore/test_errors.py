"""What a store's error, or a lost connection, becomes; as obstore tells it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

import pytest

from asyncbatch import (
    AuthenticationError,
    BucketNotFoundError,
    LimitExceededError,
    Limits,
    ObjectNotFoundError,
    OverloadedError,
    RemoteError,
    TransportError,
    UsageError,
)
from asyncbatch.objectstore import Client
from asyncbatch.objectstore._data import Download, ask
from asyncbatch.objectstore._errors import cause_of, explain, translating
from asyncbatch.objectstore._stores import Stores
from asyncbatch.transport import RetryPolicy

from .upstream import Answer, upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from asyncbatch import AsyncBatchError

    from .upstream import Upstream

pytestmark = pytest.mark.anyio

_ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture
def server() -> Iterator[Upstream]:
    with upstream() as server:
        yield server


def s3(server: Upstream, url: str = "s3://bucket", retry: RetryPolicy = _ONCE) -> Client:
    return Client(
        url,
        endpoint=server.url,
        access_key_id="key",
        secret_access_key="secret",  # noqa: S106
        client_options={"allow_http": True},
        retry=retry,
    )


def xml(code: str, message: str = "words") -> bytes:
    return f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "retryable"),
    [
        (404, xml("NoSuchKey"), ObjectNotFoundError, "NoSuchKey", False),
        (404, xml("NoSuchBucket"), BucketNotFoundError, "NoSuchBucket", False),
        (404, xml("ContainerNotFound"), BucketNotFoundError, "ContainerNotFound", False),
        (403, xml("RequestTimeTooSkewed"), AuthenticationError, "RequestTimeTooSkewed", False),
        (403, b"", AuthenticationError, "", False),
        (401, b"", AuthenticationError, "", False),
        (400, xml("ExpiredToken"), AuthenticationError, "ExpiredToken", False),
        (400, xml("KeyTooLongError"), RemoteError, "KeyTooLongError", False),
        (416, xml("Whatever"), RemoteError, "InvalidRange", False),
        (429, b"less", OverloadedError, "", True),
        (503, xml("SlowDown"), OverloadedError, "SlowDown", True),
        (500, xml("InternalError"), RemoteError, "InternalError", True),
        (502, b"", RemoteError, "", True),
        (409, xml("OperationAborted"), RemoteError, "OperationAborted", True),
        (405, b"", RemoteError, "", False),
    ],
    ids=range(15),
)
async def test_an_error_answer(
    server: Upstream, status: int, body: bytes, kind: type[RemoteError], code: str, *, retryable: bool
) -> None:
    server.answers = [Answer(status, body)]
    async with s3(server) as client:
        with pytest.raises(kind) as caught:
            await client.bucket().object("a").get()
        error = caught.value
        assert (error.status, error.code, error.retryable) == (status, code, retryable)
        assert error.url == "s3://bucket/a"
        assert error.message
        assert "Debug" not in error.message
        assert error.__cause__ is not None
        # And the same as an item's, but for what is about whoever asks.
        if not retryable and (kind is not AuthenticationError or not code) and status != 401:
            ((item, data),) = await client.get_batch(["a"], continue_on_err=True).read_all()
            assert (data, item.missing) == (b"", status == 404)
            assert item.error == error.message


async def test_what_passes_is_tried_again(server: Upstream) -> None:
    server.answers = [Answer(503), Answer(200, b"data")]
    async with s3(server, retry=RetryPolicy(max_attempts=2, base_delay=0)) as client:
        assert await client.bucket().object("a").get() == b"data"
        server.answers = [Answer(500), Answer(200, b"data")]
        assert [data for _, data in await client.get_batch(["a"]).read_all()] == [b"data"]
        server.answers = [Answer(500), Answer(200, b"", {"ETag": "1"})]
        await client.bucket().object("a").put(b"data")
    assert server.asked == ["GET /bucket/a"] * 4 + ["PUT /bucket/a"] * 2


async def test_an_iterable_is_sent_once(server: Upstream) -> None:
    server.answers = [Answer(500)]

    class Once:
        def __aiter__(self) -> Once:
            return self

        async def __anext__(self) -> bytes:
            raise StopAsyncIteration

    async with s3(server, retry=RetryPolicy(max_attempts=2, base_delay=0)) as client:
        with pytest.raises(RemoteError):
            await client.bucket().object("a").put(Once())
    assert server.asked == ["PUT /bucket/a"]


async def test_parts_that_are_refused_end_an_upload(server: Upstream) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(9 << 20)

    server.answers = [Answer(500)]
    async with s3(server) as client:
        with pytest.raises(RemoteError):
            await client.bucket().object("a").put(endless())


async def test_a_listing_goes_on_where_it_stopped(server: Upstream) -> None:
    def page(*names: str, more: str = "") -> Answer:
        entries = "".join(
            f"<Contents><Key>{name}</Key><Size>1</Size><ETag>x</ETag>"
            "<LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents>"
            for name in names
        )
        token = f"<NextContinuationToken>{more}</NextContinuationToken>" if more else ""
        body = f"<ListBucketResult>{entries}{token}</ListBucketResult>"
        return Answer(200, body.encode())

    server.answers = [page("a", "b", more="t"), Answer(500), page("c")]
    async with s3(server, retry=RetryPolicy(max_attempts=2, base_delay=0)) as client:
        listing = client.bucket().list_objects(page_size=2)
        assert [info.name async for info in listing] == ["a", "b", "c"]
    assert "start-after=b" in server.asked[-1]


async def test_a_body_that_is_cut_is_no_whole_one(server: Upstream) -> None:
    for size in (10, 2 << 20):
        server.answers = [Answer(200, bytes(size), missing=9)]
        async with s3(server) as client:
            with pytest.raises(TransportError) as caught:
                await client.bucket().object("a").get()
            assert caught.value.retryable
            async with client.bucket().object("a").open() as body:
                with pytest.raises(TransportError):
                    async for _ in body:
                        pass


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer(200, b"0123456789"), 200),
        (Answer(206, b"01", {"Content-Range": "bytes 0-1/10"}), 500),
    ],
    ids=["whole", "another range"],
)
async def test_another_range_than_was_asked_for_is_not_taken(
    server: Upstream, answer: Answer, status: int
) -> None:
    server.answers = [answer]
    async with s3(server) as client:
        with pytest.raises(RemoteError) as caught:
            await client.bucket().object("a").get(start=2, length=2)
        assert caught.value.status == status


class Result:
    """What obstore brings, but not as much as it says."""

    meta: ClassVar = {"e_tag": None}

    def __init__(self, size: int, *chunks: bytes | Exception) -> None:
        self.range = 0, size
        self._chunks = iter(chunks)

    def stream(self, min_chunk_size: int) -> AsyncIterator[bytes]:
        return self._stream()

    async def _stream(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    async def bytes_async(self) -> bytes:
        return b"".join([chunk async for chunk in self._stream()])


@pytest.mark.parametrize(
    ("size", "chunks"),
    [
        (3, [b"12"]),
        (3, [b"1234"]),
        (2 << 20, [b"1", b"2"]),
        (2 << 20, [b"1", b""]),
        (2 << 20, [bytes(3 << 20)]),
    ],
    ids=range(5),
)
async def test_another_length_than_was_announced_is_not_taken(size: int, chunks: list[bytes]) -> None:
    download = Download(Result(size, *chunks), url="url", bucket="b", name="a")
    with pytest.raises(TransportError, match=f"{size} bytes were announced"):
        async for _ in download:
            pass


async def test_a_mistake_of_ours_is_not_the_store_s() -> None:
    stores = Stores("memory:///")
    download = Download(Result(3, KeyError("mine")), url="url", bucket="b", name="a")
    with pytest.raises(KeyError, match="mine"):
        await anext(download)
    with pytest.raises(KeyError, match="mine"):
        await ask(Result(3, KeyError("mine")).bytes_async(), stores, "b", "a")
    with pytest.raises(KeyError, match="mine"), translating("url", bucket="b"):
        raise KeyError("mine")


async def test_a_missing_bucket_is_not_asked_for_where_that_is_forbidden(server: Upstream) -> None:
    server.answers = [Answer(404), Answer(403)]
    async with s3(server) as client:
        with pytest.raises(ObjectNotFoundError):
            await client.bucket().object("a").head()


async def test_a_server_that_knows_no_conditions_does_not_mix_versions(server: Upstream) -> None:
    old = {"ETag": '"1"', "Content-Length": "2048"}
    server.answers = [
        Answer(200, bytes(2048), old),
        Answer(206, bytes(2048), {"Content-Range": "bytes 0-2047/2048", "ETag": '"2"'}),
    ]
    async with s3(server) as client:
        with pytest.raises(TransportError, match="changed while it was read"):
            await client.bucket().object("a.tar").get(archpath="b")
    async with s3(server) as client:
        server.answers = [Answer(200, bytes(2048), {"ETag": '"1"'}), Answer(500)]
        with pytest.raises(RemoteError, match="HTTP 500"):
            await client.bucket().object("a.tar").get(archpath="b")


async def test_a_weak_tag_is_no_condition(server: Upstream) -> None:
    shard = {"ETag": 'W/"1"'}
    server.answers = [
        Answer(200, bytes(2048), shard),
        Answer(206, bytes(2048), {"Content-Range": "bytes 0-2047/2048", **shard}),
    ]
    async with s3(server) as client:
        with pytest.raises(ObjectNotFoundError, match="there is no file 'b' in it"):
            await client.bucket().object("a.tar").get(archpath="b")
    assert server.conditions == [None, None]
    async with s3(server) as client:
        longer = {"Content-Range": "bytes 0-2047/4096", **shard}
        server.answers = [Answer(200, bytes(2048), shard), Answer(206, bytes(2048), longer)]
        with pytest.raises(TransportError, match="changed while it was read"):
            await client.bucket().object("a.tar").get(archpath="b")


# -- folders of a web server -------------------------------------------------------------------------------


async def test_what_is_at_a_web_server(server: Upstream) -> None:
    server.answers = [Answer(200, b"data")]
    async with Client(f"{server.url}/base/", retry=_ONCE) as client:
        bucket = client.bucket("dir")
        assert await bucket.object("a b#").get() == b"data"
        assert await client.get_batch(["c"], bucket=bucket).read_all()
        assert await bucket.exists()
        await bucket.object("a").put(b"data")

        async def chunks() -> AsyncIterator[bytes]:
            yield b"da"
            yield b"ta"

        await bucket.object("a").put(chunks())
        for call in (bucket.create, bucket.destroy):
            with pytest.raises(UsageError, match="folders of a web server"):
                await call()
        server.answers = [Answer(405)]
        with pytest.raises(RemoteError):
            await anext(bucket.list_objects())
        with pytest.raises(RemoteError):
            await anext(client.list_buckets())
        server.answers = [Answer(404, b"<Code>no</Code>")]
        with pytest.raises(ObjectNotFoundError):
            await bucket.object("gone").get()
    assert server.asked[:4] == [
        "GET /base/dir/a%20b%23",
        "GET /base/dir/c",
        "PUT /base/dir/a",
        "PUT /base/dir/a",
    ]


async def test_what_is_sent_to_a_web_server_is_held(server: Upstream, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(11))
    async with Client(server.url, limits=Limits(max_item_size=10)) as client:
        with pytest.raises(LimitExceededError, match="max_item_size"):
            await client.bucket("dir").object("a").put(tmp_path / "file")
    assert server.asked == []


# -- of texts ------------------------------------------------------------------------------------------------


class GenericError(Exception):
    __module__ = "obstore.exceptions"


def of(error: Exception, name: str | None = "a") -> AsyncBatchError:
    return explain(error, "file:///b/a", bucket="b", name=name)


@pytest.mark.parametrize(
    ("number", "kind", "status"),
    [
        (errno.ENOENT, ObjectNotFoundError, 404),
        (errno.ENAMETOOLONG, ObjectNotFoundError, 404),
        (errno.EACCES, AuthenticationError, 403),
        (errno.EROFS, AuthenticationError, 403),
        (errno.EMFILE, OverloadedError, 503),
        (errno.ENOSPC, RemoteError, 500),
    ],
)
def test_what_the_system_says(number: int, kind: type[RemoteError], status: int) -> None:
    error = of(
        GenericError(f"Generic LocalFileSystem error: Unable to (os error {number})\n\nDebug source:\nx")
    )
    assert type(error) is kind
    assert isinstance(error, RemoteError)
    assert error.status == status
    assert "Debug" not in error.message


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("PermissionDeniedError", 403),
        ("UnauthenticatedError", 401),
        ("PreconditionError", 412),
        ("NotSupportedError", 501),
        ("FileNotFoundError", 404),
    ],
)
def test_errors_without_a_status_have_that_of_their_kind(name: str, status: int) -> None:
    error = of(type(name, (Exception,), {})("words"))
    assert isinstance(error, RemoteError)
    assert error.status == status


def test_no_credentials_are_told_as_such() -> None:
    text = (
        "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 1ms - HTTP error"
    )
    error = of(GenericError(text))
    assert isinstance(error, AuthenticationError)
    assert "there are no credentials" in str(error)


def test_a_query_is_not_shown_and_a_signature_not_chained() -> None:
    text = (
        "Generic MicrosoftAzure error: Error performing GET https://a.blob/b?sv=1&sig=hidden in 1ms - oh no"
    )
    error = GenericError(text)
    assert "hidden" not in str(of(error))
    assert cause_of(error) is None
    assert cause_of(GenericError("other")) is not None


def test_a_connection_that_is_lost() -> None:
    debug = 'HttpError { kind: Connect, source: x "dns error", Custom { error: "failed to lookup" } }'
    error = of(GenericError(f"HTTP error: error sending request\n\nDebug source:\n{debug}"))
    assert isinstance(error, TransportError)
    assert (str(error), error.retryable) == ("file:///b/a: failed to lookup", True)
    error = of(GenericError("HTTP error: request failed\n\nDebug source:\nHttpError { kind: Timeout }"))
    assert str(error) == "file:///b/a: timeout"
    error = of(GenericError("HTTP error: strange"))
    assert isinstance(error, TransportError)
    assert not error.retryable


def test_a_value_that_obstore_refuses_is_the_caller_s_error() -> None:
    assert isinstance(of(ValueError("no such thing")), UsageError)
