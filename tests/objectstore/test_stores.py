"""Where buckets and objects are, for every kind of URL: nothing here asks the network."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from obstore.store import HTTPStore, LocalStore, MemoryStore, S3Store

from asyncbatch import UsageError
from asyncbatch.objectstore._stores import _MAX_STORES, Stores

if TYPE_CHECKING:
    from pathlib import Path

    from obstore.store import ObjectStore

_INEXPRESSIBLE = ["/a", "a/", "a//b", ".", "..", "a/./b", "../a", "a\nb", "a\x00", "\x7f", "a\udce4", "/"]


def test_the_folders_of_a_folder_are_buckets(tmp_path: Path) -> None:
    stores = Stores(f"file://{tmp_path}")
    place = stores.locate("images", "a/b.jpg")
    assert isinstance(place.store, LocalStore)
    assert place.store.prefix == tmp_path
    assert place.path == "images/a/b.jpg"
    assert stores.name_of("images", place.path) == "a/b.jpg"
    assert stores.locate("images").path == "images/"
    assert stores.folders() == (place.store, "")
    assert (stores.provider, stores.default_bucket, stores.has_folders) == ("file", None, True)
    assert repr(stores) == f"file://{tmp_path}"


def test_the_path_of_a_file_url_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "a b%").mkdir()
    store = Stores(f"file://{tmp_path}/a%20b%25").locate("b").store
    assert isinstance(store, LocalStore)
    assert store.prefix == tmp_path / "a b%"


@pytest.mark.parametrize("url", ["file://", "file://data", "file://host/data", "memory://name"])
def test_a_folder_has_a_whole_path_and_no_host(url: str) -> None:
    with pytest.raises(UsageError, match="there is a host, or a relative path"):
        Stores(url)


def test_a_folder_exists(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("absent", "file"):
        with pytest.raises(UsageError, match="there is no such folder"):
            Stores(f"file://{tmp_path}/{name}")


@pytest.mark.parametrize(
    ("url", "prefix"), [("memory://", ""), ("memory:///", ""), ("MEMORY:///a/b/", "a/b/")]
)
def test_memory_has_folders_too(url: str, prefix: str) -> None:
    stores = Stores(url)
    place = stores.locate("bucket", "name")
    assert isinstance(place.store, MemoryStore)
    assert place.path == f"{prefix}bucket/name"
    assert stores.name_of("bucket", place.path) == "name"
    assert stores.folders().path == prefix


def test_what_is_at_a_web_server_is_in_its_folders() -> None:
    stores = Stores("https://host:81/a%20b/")
    place = stores.locate("bucket", "name")
    assert isinstance(place.store, HTTPStore)
    assert place.store.url == "https://host:81/a%20b"
    assert place.path == "bucket/name"
    assert stores.provider == "http"


def test_a_cloud_has_all_buckets() -> None:
    stores = Stores("s3://", region="eu-north-1")
    place = stores.locate("one", "name")
    assert isinstance(place.store, S3Store)
    assert (place.store.config["bucket"], place.store.config["region"]) == ("one", "eu-north-1")
    assert place.path == "name"
    assert stores.locate("one").store is place.store
    assert stores.locate("two").store is not place.store
    assert stores.name_of("one", "a/b") == "a/b"
    assert (stores.provider, stores.default_bucket, stores.has_folders) == ("s3", None, False)


@pytest.mark.parametrize("url", ["s3://name/pre/fix", "s3://name/pre/fix/"])
def test_a_cloud_has_one_bucket_by_default_and_its_objects_are_named_behind_the_prefix(url: str) -> None:
    stores = Stores(url)
    assert stores.default_bucket == "name"
    assert stores.locate("name", "a").path == "pre/fix/a"
    assert stores.name_of("name", "pre/fix/a") == "a"
    assert stores.locate("other", "a").path == "a"
    assert stores.name_of("other", "pre/fix/a") == "pre/fix/a"


def test_google_and_azure_are_clouds() -> None:
    assert Stores("gs://bucket").locate("bucket", "a").path == "a"
    assert Stores("az://bucket/p", account_name="account").locate("bucket", "a").path == "p/a"
    with pytest.raises(UsageError, match=r"az://: .*Account must be specified"):
        Stores("az://bucket")


def test_stores_of_a_cloud_are_not_kept_without_end() -> None:
    stores = Stores("s3://")
    made: dict[str, ObjectStore] = {f"bucket{number}": MemoryStore() for number in range(_MAX_STORES)}
    stores._stores = made
    stores.locate("another")
    assert len(stores._stores) == _MAX_STORES
    assert "bucket0" not in stores._stores


@pytest.mark.parametrize("name", _INEXPRESSIBLE)
@pytest.mark.parametrize("url", ["memory:///", "s3://bucket"])
def test_names_that_obstore_cannot_express_are_refused(url: str, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be asked for") as caught:
        Stores(url).locate("bucket", name, index=3)
    assert caught.value.index == 3


@pytest.mark.parametrize(
    "name", ["a b", "a%20b", "a#b", "a?b", "ü", "...", ".a", "a/..b", "x" * 1024, "a\\b", "\x85"]
)
def test_other_names_are_taken_as_they_are(name: str) -> None:
    assert Stores("s3://bucket").locate("bucket", name).path == name
    store, path = Stores("memory:///").locate("bucket", name)
    assert isinstance(store, MemoryStore)
    store.put(path, b"data")
    assert store.head(path)["path"] == f"bucket/{name}"


def test_files_being_written_are_no_objects(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a file that is being written"):
        Stores(f"file://{tmp_path}").locate("bucket", "name#12")
    assert Stores("memory:///").locate("bucket", "name#12").path == "bucket/name#12"


@pytest.mark.parametrize("bucket", ["", "a/b", ".", "..", "a\n"])
def test_a_folder_s_bucket_is_one_folder(bucket: str) -> None:
    with pytest.raises(UsageError, match="the name of one folder") as caught:
        Stores("memory:///").locate(bucket, "a", index=1)
    assert caught.value.index == 1


@pytest.mark.parametrize("bucket", ["", "a/b", "..", "a?b", "a b", "x" * 256])
def test_a_cloud_s_bucket_becomes_part_of_a_url(bucket: str) -> None:
    with pytest.raises(UsageError, match="s3:// has no bucket of that name"):
        Stores("s3://").locate(bucket, "a")


def test_a_store_of_the_user_is_used_as_it_is() -> None:
    memory = MemoryStore()
    stores = Stores(memory)
    assert stores.locate("bucket", "name") == (memory, "bucket/name")
    assert repr(stores) == "memory://"
    cloud = S3Store("bucket", prefix="prefix")
    stores = Stores(cloud)
    assert stores.default_bucket == "bucket"
    assert stores.locate("bucket", "name") == (cloud, "name")
    with pytest.raises(UsageError, match="the store that was passed is 'bucket'"):
        stores.locate("other", "name")
    with pytest.raises(UsageError, match="settings belong into the store"):
        Stores(memory, client_options={})
    with pytest.raises(UsageError, match="not dict"):
        Stores({})  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["ftp://host", "data", "s3:bucket", ""])
def test_unknown_schemes_are_refused_and_the_known_are_named(url: str) -> None:
    with pytest.raises(
        UsageError, match=r"none of s3://, gs://, az://, file://, memory://, http://, https://"
    ):
        Stores(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3:///prefix", "no bucket in front"),
        ("s3://key:secret@bucket/a", "^s3://bucket: credentials are passed by name$"),
        ("s3://bucket/a//b", "a part of the path is empty"),
        ("memory:///a/../b", "a part of the path is empty"),
        ("http://host/a?b", "and no query"),
        ("http://host/a#b", "and no query"),
        ("http://", "has a host"),
        ("http://host:x/", "is no URL"),
        ("s3://a b", "no bucket of that name"),
    ],
)
def test_urls_that_are_none_are_refused(url: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Stores(url)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(UsageError, match="as a header") as caught:
        Stores("http://user:secret@host:8080/a")
    assert "secret" not in str(caught.value)


def test_settings_that_obstore_does_not_take_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="foo"):
        Stores("s3://bucket", foo="bar")
    with pytest.raises(UsageError, match="file://: "):
        Stores(f"file://{tmp_path}", foo="bar")


def test_buckets_of_a_cloud_are_not_listed() -> None:
    with pytest.raises(UsageError, match="name the one you want"):
        Stores("s3://").folders()


@pytest.mark.parametrize("url", ["s3://", "s3://bucket", "memory:///"])
def test_a_missing_extra_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(UsageError, match=r"pip install 'asyncbatch\[stores\]'"):
        Stores(url)
