"""S3's API as its clients speak it: boto3, and what boto3 would not say."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import zlib
from typing import TYPE_CHECKING, Any, NoReturn
from xml.etree import ElementTree as ET

import boto3
import botocore
import httpx
import pytest
from anyio.to_thread import run_sync
from botocore.config import Config
from botocore.exceptions import ClientError

from asyncbatch.server import running
from asyncbatch.server._app import serve_store
from asyncbatch.server._payload import AwsChunks
from asyncbatch.server._s3_errors import S3Error
from asyncbatch.server._store import ObjectInfo, Page

from .doubles import WatchedStore, exchange, open_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

ODD = "d/e/n\n\x01 +%20&<ü\ufffe\U0001f600"
STREAMING = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def _client(url: str) -> Any:  # noqa: ANN401 - made at run time
    config = Config(
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 1},
        signature_version=botocore.UNSIGNED,
    )
    return boto3.client("s3", endpoint_url=url, region_name="auto", config=config)


def _error(answer: httpx.Response) -> tuple[int, str]:
    root = ET.fromstring(answer.content)  # noqa: S314 - our own
    assert root.tag == "Error"
    assert root.findtext("Message")
    return answer.status_code, root.findtext("Code") or ""


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        yield client


async def test_boto3(url: str, root: Path) -> None:
    def work() -> None:
        s3 = _client(url)
        s3.create_bucket(Bucket="made")
        assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["b", "made"]
        assert s3.head_bucket(Bucket="made")["ResponseMetadata"]["HTTPStatusCode"] == 200
        s3.put_object(Bucket="made", Key="a", Body=b"0123456789")
        s3.put_object(Bucket="made", Key=ODD, Body=io.BytesIO(b"odd"))
        s3.upload_fileobj(io.BytesIO(bytes(300_000)), "made", "z")
        whole = s3.get_object(Bucket="made", Key="a")
        assert whole["Body"].read() == b"0123456789"
        head = s3.head_object(Bucket="made", Key="a")
        assert (head["ContentLength"], head["ETag"]) == (10, whole["ETag"])
        part = s3.get_object(Bucket="made", Key="a", Range="bytes=2-4", IfMatch=whole["ETag"])
        assert (part["Body"].read(), part["ContentRange"]) == (b"234", "bytes 2-4/10")
        assert s3.get_object(Bucket="made", Key=ODD)["Body"].read() == b"odd"
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="made", PaginationConfig={"PageSize": 2})
        found = [(each["Key"], each["Size"]) for page in pages for each in page["Contents"]]
        assert found == [("a", 10), (ODD, 3), ("z", 300_000)]
        page = s3.list_objects_v2(Bucket="made", Prefix="d/e/")
        assert [each["Key"] for each in page["Contents"]] == [ODD]
        assert page["Contents"][0]["LastModified"].year > 2000
        with pytest.raises(ClientError, match="BucketNotEmpty"):
            s3.delete_bucket(Bucket="made")
        for key, _ in found:
            s3.delete_object(Bucket="made", Key=key)
        s3.delete_bucket(Bucket="made")
        with pytest.raises(ClientError, match="404"):
            s3.head_bucket(Bucket="made")
        s3.close()

    await run_sync(work)
    assert not (root / "made").exists()


async def test_the_same_objects_as_in_aistore(http: httpx.AsyncClient) -> None:
    await http.put("/b/d/o", content=b"data")
    answer = await http.get("/v1/objects/b/d/o", follow_redirects=True)
    assert answer.content == b"data"
    assert answer.headers["etag"] == (await http.head("/b/d/o")).headers["etag"]


@pytest.mark.parametrize(
    ("wanted", "status", "content", "told"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=4-2", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("", 200, b"0123456789", None),
    ],
)
async def test_ranges(
    http: httpx.AsyncClient, root: Path, wanted: str, status: int, content: bytes, told: str | None
) -> None:
    (root / "b" / "o").write_bytes(b"0123456789")
    answer = await http.get("/b/o", headers={"range": wanted})
    assert (answer.status_code, answer.content, answer.headers.get("content-range")) == (
        status,
        content,
        told,
    )
    head = await http.head("/b/o", headers={"range": wanted})
    assert (head.status_code, head.headers["content-length"]) == (status, str(len(content)))


async def test_a_range_that_is_not_there(http: httpx.AsyncClient, root: Path) -> None:
    (root / "b" / "o").write_bytes(b"0123456789")
    answer = await http.get("/b/o", headers={"range": "bytes=10-12"})
    assert _error(answer) == (416, "InvalidRange")
    assert answer.headers["content-range"] == "bytes */10"
    head = await http.head("/b/o", headers={"range": "bytes=10-12"})
    assert (head.status_code, head.content) == (416, b"")


async def test_conditions(http: httpx.AsyncClient) -> None:
    etag = (await http.put("/b/o", content=b"0123456789")).headers["etag"]

    async def status(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await http.get("/b/o", headers=named)).status_code

    assert await status(if_match=etag) == await status(if_match=f'"x", {etag}') == 200
    assert await status(if_match=etag.strip('"')) == await status(if_match="*") == 200
    assert await status(if_match='"x"') == 412
    assert await status(if_none_match=etag) == await status(if_none_match="*") == 304
    assert await status(if_none_match='"x"') == 200
    assert await status(range="bytes=0-1", if_range=etag) == 206
    assert await status(range="bytes=0-1", if_range='"x"') == 200
    answer = await http.get("/b/o", headers={"if-match": '"x"'})
    assert _error(answer) == (412, "PreconditionFailed")
    answer = await http.get("/b/o", headers={"if-none-match": etag})
    assert (answer.content, answer.headers["etag"]) == (b"", etag)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/b/o", (404, "NoSuchKey")),
        ("GET", "/b//o", (404, "NoSuchKey")),
        ("GET", "/b/d/../o", (404, "NoSuchKey")),
        ("GET", "/x/o", (404, "NoSuchBucket")),
        ("PUT", "/x/o", (404, "NoSuchBucket")),
        ("PUT", "/b/d//o", (400, "InvalidArgument")),
        ("DELETE", "/x/o", (404, "NoSuchBucket")),
        ("GET", "/x?list-type=2", (404, "NoSuchBucket")),
        ("DELETE", "/x", (404, "NoSuchBucket")),
        ("POST", "/b/o", (405, "MethodNotAllowed")),
        ("DELETE", "/", (405, "MethodNotAllowed")),
        ("PUT", "/b", (409, "BucketAlreadyOwnedByYou")),
        ("PUT", "/%C3%BC", (400, "InvalidBucketName")),
        ("GET", "/b/%FF", (400, "InvalidArgument")),
        ("GET", "/b/o?acl", (501, "NotImplemented")),
        ("PUT", "/b/o?partNumber=1&uploadId=2", (501, "NotImplemented")),
        ("GET", "/b?versioning", (501, "NotImplemented")),
        ("POST", "/b/o?uploads", (501, "NotImplemented")),
        ("GET", "/b", (501, "NotImplemented")),
        ("GET", "/b?list-type=2&delimiter=/", (501, "NotImplemented")),
        ("GET", "/b?list-type=2&max-keys=x", (400, "InvalidArgument")),
        ("GET", "/b?list-type=2&max-keys=-1", (400, "InvalidArgument")),
        ("GET", "/b?list-type=2&encoding-type=x", (400, "InvalidArgument")),
        ("GET", "/b?list-type=2&continuation-token=x", (400, "InvalidArgument")),
        ("GET", "/b?list-type=2&continuation-token=_w==", (400, "InvalidArgument")),
    ],
)
async def test_what_is_refused(url: str, method: str, path: str, expected: tuple[int, str]) -> None:
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    head, _, body = (await exchange(url, request.encode())).partition(b"\r\n\r\n")
    assert _error(httpx.Response(int(head.split()[1]), content=body)) == expected


async def test_a_delete_of_what_is_not_there_is_none(http: httpx.AsyncClient) -> None:
    for path in ("/b/o", "/b/d//o"):
        assert (await http.delete(path)).status_code == 204


async def test_a_key_in_the_way(http: httpx.AsyncClient) -> None:
    await http.put("/b/a", content=b"")
    assert _error(await http.put("/b/a/b", content=b"")) == (409, "KeyConflict")


@pytest.mark.parametrize("header", ["x-amz-copy-source", "if-none-match", "if-match"])
async def test_uploads_that_would_not_be_what_was_meant(http: httpx.AsyncClient, header: str) -> None:
    answer = await http.put("/b/o", content=b"data", headers={header: "*"})
    assert _error(answer) == (501, "NotImplemented")
    assert (await http.get("/b/o")).status_code == 404


async def test_an_object_that_cannot_be_read(root: Path) -> None:
    def fail(_name: str, _offset: int) -> None:
        raise OSError(5, "for a test")

    (root / "b" / "o").write_bytes(b"data")
    app = serve_store(WatchedStore(root, fail))
    async with running(app) as url, httpx.AsyncClient() as http:
        assert _error(await http.get(f"{url}/b/o")) == (503, "ServiceUnavailable")
    assert str(root / "b" / "o") not in open_files()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EACCES, (403, "AccessDenied")),
        (errno.ENOSPC, (507, "InsufficientStorage")),
        (errno.EIO, (500, "InternalError")),
    ],
)
async def test_what_the_system_refuses(root: Path, number: int, expected: tuple[int, str]) -> None:
    class Refusing(WatchedStore):
        def open_object(self, bucket: str, name: str, /) -> NoReturn:
            raise OSError(number, "for a test")

    async with running(serve_store(Refusing(root))) as url, httpx.AsyncClient() as http:
        assert _error(await http.get(f"{url}/b/o")) == expected


# -- uploads ----------------------------------------------------------------------------------------------


def _chunked(*chunks: bytes, end: bytes = b"\r\n", extension: bytes = b"") -> bytes:
    parts = [b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks]
    return b"".join(parts) + b"0" + extension + b"\r\n" + end


def _crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-content-sha256": hashlib.sha256(b"data").hexdigest()},
        {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
        {"content-md5": base64.b64encode(hashlib.md5(b"data").digest()).decode()},  # noqa: S324
        {"x-amz-checksum-crc32": _crc32(b"data")},
        {"x-amz-checksum-sha1": base64.b64encode(hashlib.sha1(b"data").digest()).decode()},  # noqa: S324
        {"x-amz-checksum-crc64nvme": "unchecked"},
    ],
    ids="".join,
)
async def test_checksums(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert (await http.put("/b/o", content=b"data", headers=headers)).status_code == 200
    answer = await http.put("/b/o", content=b"dato", headers=headers)
    ((name, value),) = headers.items()
    if value in {"unchecked", "UNSIGNED-PAYLOAD"}:
        assert answer.status_code == 200
    else:
        code = "XAmzContentSHA256Mismatch" if name == "x-amz-content-sha256" else "BadDigest"
        assert _error(answer) == (400, code)
        assert (await http.get("/b/o")).content == b"data"


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-content-sha256": STREAMING},
        {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
        {"content-encoding": "aws-chunked"},
    ],
    ids=["unsigned", "signed", "anonymous"],
)
async def test_chunks_in_the_body(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    extension = b";chunk-signature=" + b"0" * 64 if "PAYLOAD" in "".join(headers.values()) else b""
    body = _chunked(b"da", b"ta" * 200_000, extension=extension)
    headers["x-amz-decoded-content-length"] = "400002"
    assert (await http.put("/b/o", content=body, headers=headers)).status_code == 200
    assert (await http.get("/b/o")).content == b"da" + b"ta" * 200_000
    for wrong in ({"x-amz-decoded-content-length": "7"}, {"x-amz-trailer": "x-amz-checksum-crc32"}):
        answer = await http.put("/b/p", content=body, headers=headers | wrong)
        assert _error(answer) in [(400, "IncompleteBody"), (400, "BadDigest")]
    assert (await http.get("/b/p")).status_code == 404


async def test_a_checksum_behind_the_chunks(http: httpx.AsyncClient) -> None:
    headers = {"x-amz-content-sha256": STREAMING, "x-amz-trailer": "x-amz-checksum-crc32"}
    for data, status in ((b"data", 200), (b"dato", 400)):
        body = _chunked(data, end=f"x-amz-checksum-crc32: {_crc32(b'data')}\r\n\r\n".encode())
        assert (await http.put("/b/o", content=body, headers=headers)).status_code == status


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_chunks_come_out_however_they_go_in(size: int) -> None:
    body = _chunked(b"abc", b"d" * 50, end=b"x-a: 1\r\nX-B:2\r\n\r\n") + b"anything"
    chunks = AwsChunks()
    found = b"".join(chunks.feed(body[at : at + size]) for at in range(0, len(body), size))
    assert found == b"abc" + b"d" * 50
    assert chunks.feed_eof() == {"x-a": "1", "x-b": "2"}


@pytest.mark.parametrize(
    "body", [b"", b"3\r\nabc", b"3\r\nabc\r\n", b"3\r\nabc\r\n0"], ids=["0", "data", "chunk", "last"]
)
def test_chunks_that_do_not_end(body: bytes) -> None:
    chunks = AwsChunks()
    chunks.feed(body)
    with pytest.raises(S3Error, match="before its last chunk"):
        chunks.feed_eof()


def test_a_last_chunk_with_nothing_behind_it() -> None:
    chunks = AwsChunks()
    assert chunks.feed(b"3\r\nabc\r\n0\r\n") == b"abc"
    assert chunks.feed_eof() == {}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\r\n", "does not say how long"),
        (b"x\r\n", "does not say how long"),
        (b"-1\r\n", "does not say how long"),
        (b"1" * 17 + b"\r\n", "does not say how long"),
        (b"3\r\nabcd\r\n", "longer than it says"),
        (b"1;" + b"x" * 9000, "too long"),
    ],
    ids=["empty", "letter", "sign", "digits", "longer", "line"],
)
def test_chunks_that_are_none(body: bytes, message: str) -> None:
    with pytest.raises(S3Error, match=message):
        AwsChunks().feed(body)


# -- listings ---------------------------------------------------------------------------------------------


async def _list(http: httpx.AsyncClient, **parameters: str) -> dict[str, list[str | None]]:
    named = {name.replace("_", "-"): value for name, value in parameters.items()}
    answer = await http.get("/b", params={"list-type": "2", **named})
    assert answer.status_code == 200, answer.text
    found: dict[str, list[str | None]] = {"Key": []}
    for node in ET.fromstring(answer.content).iter():  # noqa: S314 - our own
        found.setdefault(node.tag.rpartition("}")[2], []).append(node.text)
    return found


async def test_pages(http: httpx.AsyncClient, root: Path) -> None:
    for name in ("a", "b", "c", "d"):
        (root / "b" / name).write_bytes(b"x")
    first = await _list(http, max_keys="2", start_after="a")
    assert (first["Key"], first["IsTruncated"], first["StartAfter"]) == (["b", "c"], ["true"], ["a"])
    (token,) = first["NextContinuationToken"]
    second = await _list(http, max_keys="2", start_after="a", continuation_token=token or "")
    assert (second["Key"], second["IsTruncated"], second["ContinuationToken"]) == (["d"], ["false"], [token])
    none = await _list(http, max_keys="0")
    assert (none["Key"], none["IsTruncated"], none["KeyCount"]) == ([], ["false"], ["0"])
    assert len((await _list(http, max_keys="99999"))["Key"]) == 4


async def test_keys_that_xml_cannot_hold(http: httpx.AsyncClient, root: Path) -> None:
    (root / "b" / "a\r <&>").write_bytes(b"x")
    assert (await _list(http))["Key"] == ["a\r <&>"]
    (root / "b" / "b\x01").write_bytes(b"x")
    answer = await http.get("/b?list-type=2")
    assert _error(answer) == (400, "InvalidArgument")
    listing = await _list(http, encoding_type="url", prefix="b\x01")
    assert (listing["Key"], listing["Prefix"], listing["EncodingType"]) == (["b%01"], ["b%01"], ["url"])


async def test_a_store_that_does_not_know_when(root: Path) -> None:
    class Forgetful(WatchedStore):
        def list_objects(self, bucket: str, /, *, prefix: str, after: str, limit: int) -> Page:
            return Page([ObjectInfo("o", 5, None)], more=False)

    async with running(serve_store(Forgetful(root))) as url, httpx.AsyncClient(base_url=url) as http:
        listing = await _list(http)
    assert (listing["Key"], listing.get("LastModified")) == (["o"], None)
