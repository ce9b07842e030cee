"""A client for a URL, chosen by the scheme alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

import asyncbatch
from asyncbatch import BatchRequest, UsageError, aistore, connect, objectstore, tigris

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIS_ENDPOINT", "http://cluster:51080")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def request_of(client: aistore.Client | objectstore.Client | tigris.Client) -> BatchRequest:
    request = BatchRequest()
    request.add_object_request(client.bucket().object("a"))
    return request


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ais://", "http://cluster:51080"),
        ("ais://bucket", "http://cluster:51080"),
        ("AIS://bucket/", "http://cluster:51080"),
        ("http://host:81", "http://host:81"),
        ("https://host", "https://host"),
    ],
)
async def test_aistore(url: str, shown: str) -> None:
    async with connect(url) as client:
        assert isinstance(client, aistore.Client)
        assert repr(client) == f"<aistore.Client {shown}>"
        if "bucket" in url:
            assert client.bucket().name == "bucket"
        else:
            with pytest.raises(UsageError, match="name a bucket"):
                client.bucket()


async def test_tigris() -> None:
    async with connect("t3://bucket", endpoint_url="http://host") as client:
        assert isinstance(client, tigris.Client)
        assert client.bucket().name == "bucket"


@pytest.mark.parametrize("url", ["s3://bucket/a", "gs://bucket", "az://bucket", "memory:///", "file:///"])
async def test_object_stores(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    async with connect(url) as client:
        assert isinstance(client, objectstore.Client)
        assert repr(client) == f"<objectstore.Client {url}>"
        if "bucket" in url:
            assert client.bucket().name == "bucket"
            client.get_batch(["a"])
            client.get_batch(request_of(client))


async def test_the_bucket_may_be_left_out_or_be_another() -> None:
    async with connect("ais://bucket") as client:
        client.get_batch(["a"])
        client.get_batch(["a"], bucket="other")
        client.get_batch([client.bucket("other").object("a")])
        client.get_batch(request_of(client))
    async with connect("ais://") as client:
        with pytest.raises(UsageError, match="say in which bucket"):
            client.get_batch(["a"])


async def test_options_are_the_client_s() -> None:
    async with connect("http://host", bucket="bucket") as client:
        assert client.bucket().name == "bucket"
    async with connect("ais://", endpoint="http://other") as client:
        assert repr(client) == "<aistore.Client http://other>"
    with pytest.raises(UsageError, match="nonsense"):
        connect("ais://", nonsense=1)


@pytest.mark.parametrize(
    "url", ["", "bucket", "ftp://host", "ais:bucket", "ftp://user:secret@host/?sig=secret"]
)
def test_unknown_schemes_are_refused_and_the_known_are_named(url: str) -> None:
    known = "ais://, http://, https://, t3://, s3://, gs://, az://, file://, memory://"
    with pytest.raises(UsageError, match=f"its scheme is none of {known}") as caught:
        connect(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ais://bucket/prefix", "t3://bucket/prefix", "ais:///bucket", "t3:////"])
def test_a_prefix_is_not_passed_over(url: str) -> None:
    with pytest.raises(UsageError, match="there is the name of a bucket, and no more"):
        connect(url)


@pytest.mark.parametrize(
    "url",
    ["t3://key:secret@bucket/prefix", "t3://key:secret@bucket", "t3://bucket?secret", "ais://@secret#b"],
)
def test_a_bucket_has_no_user_and_no_query(url: str) -> None:
    with pytest.raises(UsageError, match="there is the name of a bucket, and no more") as caught:
        connect(url)
    assert "key:" not in str(caught.value)


@pytest.mark.parametrize("url", ["ais://.", "http://", "s3:///a"])
def test_what_no_client_takes_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        connect(url)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(UsageError, match=r"pip install 'asyncbatch\[stores\]'"):
        asyncbatch.connect("s3://bucket")
