"""Object stores of obstore behind the server: in memory, and on a web server that counts and misbehaves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore

from asyncbatch.errors import UsageError
from asyncbatch.objectstore._stores import Stores
from asyncbatch.server._folder import FolderStore
from asyncbatch.server._remote import RemoteStore
from asyncbatch.server._root import open_root
from asyncbatch.server._source import Source
from asyncbatch.server._store import (
    BucketExistsError,
    InvalidNameError,
    NoSuchBucketError,
    NoSuchObjectError,
    UnsupportedError,
    UpstreamError,
)
from asyncbatch.server._stream import CutError

from .upstream import Upstream, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asyncbatch.server._store import Page
    from asyncbatch.server._upstream import RemoteUpload

KIB = 1024
MIB = 1024 * KIB
LARGE = bytes(range(256)) * (12 * MIB // 256)


@pytest.fixture
def memory() -> RemoteStore:
    """A store with a bucket ``b``."""
    store = open_root("memory:///")
    assert isinstance(store, RemoteStore)
    store.create_bucket("b")
    return store


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serving(Upstream()) as upstream:
        yield upstream


@pytest.fixture
def web(upstream: Upstream) -> RemoteStore:
    return _web(upstream)


def _web(upstream: Upstream) -> RemoteStore:
    return RemoteStore(Stores(upstream.url, retry_config={"max_retries": 0}))


def _put(store: RemoteStore, name: str, data: bytes, bucket: str = "b") -> str:
    upload = store.put_object(bucket, name)
    try:
        upload.write(data)
        return upload.commit()
    finally:
        upload.abort()


def _write_for_ever(upload: RemoteUpload) -> None:
    while True:
        upload.write(LARGE)


def _names(page: Page) -> list[str]:
    return [info.name for info in page.objects]


# What is served


def test_folders_are_folders(tmp_path: Path) -> None:
    (tmp_path / "a b" / "bucket").mkdir(parents=True)
    for root in (tmp_path / "a b", str(tmp_path / "a b"), f"file://{tmp_path}/a%20b"):
        store = open_root(root)
        assert isinstance(store, FolderStore)
        assert store.list_buckets() == ["bucket"]


@pytest.mark.parametrize("url", ["ftp://host/", "s3://b/a//b", "file:///nowhere", "http://user:pw@host/"])
def test_what_cannot_be_served(url: str) -> None:
    with pytest.raises(UsageError):
        open_root(url)


def test_without_obstore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(UsageError, match=r"pip install 'asyncbatch\[stores\]'"):
        open_root("memory:///")


def test_a_store_of_obstore() -> None:
    inner = MemoryStore()
    obstore.put(inner, "bucket/o", b"data")
    with open_root(inner).open_object("bucket", "o") as stored:
        assert stored.read(0, 9) == b"data"


def test_a_folder_of_obstore(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pass the path"):
        open_root(LocalStore(tmp_path))


# Buckets


def test_buckets_in_memory(memory: RemoteStore) -> None:
    assert memory.list_buckets() == ["b"]
    memory.create_bucket("empty")
    _put(memory, "o", b"1")
    assert memory.list_buckets() == ["b", "empty"]
    memory.check_bucket("b")
    memory.check_bucket("empty")
    with pytest.raises(BucketExistsError):
        memory.create_bucket("b")
    memory.destroy_bucket("b")
    assert memory.list_buckets() == ["empty"]
    for call in (memory.check_bucket, memory.destroy_bucket):
        with pytest.raises(NoSuchBucketError):
            call("b")
    with pytest.raises(NoSuchBucketError):
        memory.put_object("b", "o")
    with pytest.raises(NoSuchBucketError):
        memory.list_objects("b", prefix="", after="", limit=1)


@pytest.mark.parametrize("name", ["", ".", "a/b", "a\nb", "ü"])
def test_bucket_names_that_cannot_be(memory: RemoteStore, name: str) -> None:
    with pytest.raises(InvalidNameError):
        memory.create_bucket(name)
    with pytest.raises(NoSuchBucketError):
        memory.open_object(name, "o")


def test_a_url_of_one_bucket_serves_no_other(upstream: Upstream) -> None:
    store = RemoteStore(Stores(upstream.s3("one")))
    store.check_bucket("one")
    assert upstream.requests == []
    upstream.objects = {"/one/o": b"1", "/two/o": b"2"}
    assert store.list_buckets() == ["one"]
    store.open_object("one", "o").close()
    with pytest.raises(NoSuchBucketError):
        store.open_object("two", "o")


def test_what_cannot_be_done_to_buckets(web: RemoteStore) -> None:
    web.check_bucket("any")
    with pytest.raises(UnsupportedError):
        web.list_buckets()
    for call in (web.create_bucket, web.destroy_bucket):
        with pytest.raises(UnsupportedError):
            call("b")


# Objects


def test_what_is_known_of_an_object(web: RemoteStore, upstream: Upstream) -> None:
    upstream.objects["/b/o"] = b"data"
    upstream.etags = lambda _data: '"tag"'
    with web.open_object("b", "o") as stored:
        assert (stored.size, stored.mtime, stored.atime_ns, stored.etag) == (4, 1_761_998_400, None, "tag")
    with pytest.raises(ValueError, match="closed"):
        stored.read(0, 1)


@pytest.mark.parametrize(("etag", "expected"), [('W/"weak"', "weak"), ("", "4-6905f640"), ('"a b"', "ab")])
def test_etags_that_are_none(web: RemoteStore, upstream: Upstream, etag: str, expected: str) -> None:
    upstream.objects["/b/o"] = b"data"
    upstream.etags = lambda _data: etag
    with web.open_object("b", "o") as stored:
        assert stored.etag == expected


@pytest.mark.parametrize("size", [0, 1, 256 * KIB])
def test_a_small_object_costs_one_request(web: RemoteStore, upstream: Upstream, size: int) -> None:
    upstream.objects["/b/o"] = LARGE[:size]
    with web.open_object("b", "o") as stored:
        assert stored.read(0, size) == LARGE[:size]
        assert stored.read(size, 1) == b""
        assert stored.read(0, size + 1) == LARGE[:size]
        assert not stored.is_changed()
    # An empty one has no range that could be asked for.
    assert [method for method, _, _ in upstream.requests] == (["GET"] if size else ["GET", "HEAD"])


def test_a_large_object_is_read_in_growing_pieces(web: RemoteStore, upstream: Upstream) -> None:
    upstream.objects["/b/o"] = LARGE
    with web.open_object("b", "o") as stored:
        assert b"".join(Source.whole(stored).pieces(0, len(LARGE))) == LARGE
    ranges = [wanted.removeprefix("bytes=").split("-") for _, _, wanted in upstream.requests]
    assert [int(last) - int(first) + 1 for first, last in ranges] == [
        256 * KIB,
        512 * KIB,
        1 * MIB,
        2 * MIB,
        4 * MIB,
        4 * MIB,
        256 * KIB,
    ]


def test_reading_here_and_there(web: RemoteStore, upstream: Upstream) -> None:
    """In pieces that are small, but not as small as what a parser asks for."""
    upstream.objects["/b/o"] = LARGE
    with web.open_part("b", "o", 0, 0) as stored:
        for offset in (9 * MIB, 5 * MIB, 5 * MIB + 100, 100):
            assert stored.read(offset, 30) == LARGE[offset : offset + 30]
        assert stored.read(12 * MIB - 10, 100) == LARGE[-10:]
    assert upstream.requests == [
        ("HEAD", "/b/o", ""),
        ("GET", "/b/o", f"bytes={9 * MIB}-{9 * MIB + 32 * KIB - 1}"),
        ("GET", "/b/o", f"bytes={5 * MIB}-{5 * MIB + 32 * KIB - 1}"),
        ("GET", "/b/o", f"bytes=100-{32 * KIB + 99}"),
        ("GET", "/b/o", f"bytes={12 * MIB - 10}-{12 * MIB - 1}"),
    ]


def test_of_a_part_no_more_is_read_than_is_wanted(web: RemoteStore, upstream: Upstream) -> None:
    upstream.objects["/b/o"] = LARGE
    with web.open_part("b", "o", MIB, 300 * KIB) as stored:
        assert stored.size == len(LARGE)
        assert stored.read(MIB, 300 * KIB) == LARGE[MIB : MIB + 300 * KIB]
        # What goes beyond it is not refused.
        assert stored.read(MIB + 300 * KIB - 1, 2) == LARGE[MIB - 1 : MIB + 1]
    assert [wanted for _, _, wanted in upstream.requests] == [
        f"bytes={MIB}-{MIB + 256 * KIB - 1}",
        f"bytes={MIB + 256 * KIB}-{MIB + 300 * KIB - 1}",
        f"bytes={MIB + 300 * KIB}-{2 * MIB + 300 * KIB - 1}",
    ]


def test_a_part_that_the_object_does_not_have(web: RemoteStore, upstream: Upstream) -> None:
    upstream.objects["/b/o"] = b"data"
    with web.open_part("b", "o", 4, 1) as stored:
        assert stored.size == 4
        assert stored.read(4, 1) == b""
    with web.open_part("b", "o", 2, 100) as stored:
        assert (stored.read(2, 100), stored.read(0, 2)) == (b"ta", b"da")


@pytest.mark.parametrize("etag", ["strong", "weak", "none"])
@pytest.mark.parametrize("data", [LARGE[1:] + b"x", b"short", None])
def test_two_versions_are_never_spliced(
    web: RemoteStore, upstream: Upstream, etag: str, data: bytes | None
) -> None:
    prefix = {"strong": "", "weak": "W/", "none": None}[etag]
    upstream.etags = lambda found: "" if prefix is None else f'{prefix}"{len(found)}{found[0]}"'
    upstream.objects["/b/o"] = LARGE
    with web.open_object("b", "o") as stored:
        assert stored.read(0, 1000) == LARGE[:1000]
        if data is None:
            del upstream.objects["/b/o"]
        else:
            upstream.objects["/b/o"] = data
        # A change that not even an ETag tells of is all that can go unnoticed.
        if (etag, data) != ("none", LARGE[1:] + b"x"):
            with pytest.raises(CutError):
                list(Source.whole(stored).pieces(0, len(LARGE)))


def test_a_web_server_without_ranges(web: RemoteStore, upstream: Upstream) -> None:
    upstream.ranges = False
    upstream.objects = {"/b/o": LARGE[: 4 * MIB], "/b/large": LARGE, "/b/empty": b""}
    for opened in (web.open_object("b", "o"), web.open_part("b", "o", 0, 0), web.open_part("b", "o", 9, 9)):
        with opened as stored:
            assert stored.read(5, 100) == LARGE[5:105]
            assert stored.read(0, len(LARGE)) == LARGE[: 4 * MIB]
    with web.open_object("b", "empty") as stored:
        assert stored.read(0, 1) == b""
    with pytest.raises(UnsupportedError, match="does not support that"):
        web.open_object("b", "large")


def test_missing_objects(memory: RemoteStore, web: RemoteStore) -> None:
    for store in (memory, web):
        for call in (store.open_object, store.delete_object):
            with pytest.raises(NoSuchObjectError, match="ais://b/o"):
                call("b", "o")


@pytest.mark.parametrize("name", ["/", "a//b", "..", "a/", "a\nb", "\ud800"])
def test_object_names_that_cannot_be(memory: RemoteStore, name: str) -> None:
    for call in (memory.open_object, memory.put_object, memory.delete_object):
        with pytest.raises(InvalidNameError):
            call("b", name)


# Uploads


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 20 * MIB])
def test_uploads(memory: RemoteStore, size: int) -> None:
    data = (LARGE * 2)[:size]
    upload = memory.put_object("b", "o")
    for start in range(0, size, 3 * MIB):
        upload.write(memoryview(data)[start : start + 3 * MIB])
    with pytest.raises(NoSuchObjectError):
        memory.open_object("b", "o")
    etag = upload.commit()
    upload.abort()
    with pytest.raises(ValueError, match="over"):
        upload.commit()
    with memory.open_object("b", "o") as stored:
        assert (stored.etag, stored.size) == (etag, size)
        assert stored.read(0, size) == data
    memory.delete_object("b", "o")
    assert memory.list_objects("b", prefix="", after="", limit=1).objects == []


@pytest.mark.parametrize("size", [1, 9 * MIB])
def test_aborted_uploads(memory: RemoteStore, size: int) -> None:
    upload = memory.put_object("b", "o")
    upload.write(bytes(size))
    upload.abort()
    upload.abort()
    with pytest.raises(NoSuchObjectError):
        memory.open_object("b", "o")


def test_uploads_that_are_refused(upstream: Upstream) -> None:
    upstream.refusal = lambda _method, _path: (403, "AccessDenied")
    store = RemoteStore(Stores(upstream.s3("b")))
    with pytest.raises(UpstreamError, match="403 Forbidden, AccessDenied"):
        _put(store, "o", b"small")
    upload = store.put_object("b", "o")
    with pytest.raises(UpstreamError, match="403 Forbidden, AccessDenied"):
        _write_for_ever(upload)
    upload.abort()
    with pytest.raises(UpstreamError, match="403"):
        _put(store, "o", LARGE)


# Listings


def test_pages(memory: RemoteStore) -> None:
    names = ["a", "a b", "a/b", "a/c/d", "ab", "b%20", "b/x", "é"]
    for name in names:
        _put(memory, name, b"12")
    assert _names(memory.list_objects("b", prefix="", after="", limit=100)) == names
    found, after, more = [], "", True
    while more:
        page = memory.list_objects("b", prefix="", after=after, limit=3)
        found += _names(page)
        after, more = found[-1], page.more
    assert found == names
    for prefix in ("", "a", "a/", "a/c", "a/c/d", "b", "é", "x", "a//", "../", "\ud800/"):
        for after in ("", "a", "a/b", "a/", "b\n", "zz", "\ud800"):
            expected = [name for name in names if name.startswith(prefix) and name > after]
            page = memory.list_objects("b", prefix=prefix, after=after, limit=100)
            assert (_names(page), page.more) == (expected, False), (prefix, after)
    (info,) = memory.list_objects("b", prefix="ab", after="", limit=1).objects
    assert (info.size, info.atime) == (2, None)


# What goes wrong upstream


@pytest.mark.parametrize(
    ("status", "code", "error", "message"),
    [
        (404, "NoSuchKey", NoSuchObjectError, "ais://b/o does not exist"),
        (404, "NoSuchBucket", NoSuchBucketError, '"ais://b" does not exist'),
        (404, "ContainerNotFound", NoSuchBucketError, '"ais://b" does not exist'),
        (
            403,
            "SignatureDoesNotMatch",
            UpstreamError,
            "b/o: .* answered 403 Forbidden, SignatureDoesNotMatch$",
        ),
        (401, "", UpstreamError, "b/o: .* answered 401 Unauthorized$"),
        (500, "InternalError", UpstreamError, "b/o: .* answered 500 Internal Server Error, InternalError$"),
        (501, "NotImplemented", UnsupportedError, "b/o: .* does not support that$"),
    ],
)
def test_refusals(upstream: Upstream, status: int, code: str, error: type[Exception], message: str) -> None:
    upstream.refusal = lambda _method, _path: (status, code)
    store = RemoteStore(Stores(upstream.s3("b")))
    with pytest.raises(error, match=message) as caught:
        store.open_object("b", "o")
    assert upstream.url not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(404, "NoSuchBucket", NoSuchBucketError), (403, "SignatureDoesNotMatch", UpstreamError)],
)
def test_refusals_of_listings(upstream: Upstream, status: int, code: str, error: type[Exception]) -> None:
    upstream.refusal = lambda _method, _path: (status, code)
    with pytest.raises(error):
        RemoteStore(Stores(upstream.s3("b"))).list_objects("b", prefix="", after="", limit=1)


def test_a_name_that_is_too_long_is_not_asked_for(upstream: Upstream, memory: RemoteStore) -> None:
    """A cloud would refuse it, and with it the batch that it is in."""
    upstream.refusal = lambda _method, _path: (400, "KeyTooLongError")
    store = RemoteStore(Stores(upstream.s3("b")))
    with pytest.raises(InvalidNameError, match="at most 1024 bytes, and not 1026"):
        store.open_object("b", "é" * 513)
    assert upstream.requests == []
    with pytest.raises(UpstreamError):
        store.open_object("b", "é" * 512)
    with pytest.raises(NoSuchObjectError):
        memory.open_object("b", "é" * 513)


def test_a_listing_of_names_that_obstore_does_not_have(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = "<Size>1</Size><LastModified>2025-11-01T12:00:00Z</LastModified>"
    listing = f"<ListBucketResult><Contents><Key>a//b</Key>{facts}</Contents></ListBucketResult>"
    monkeypatch.setattr("tests.server.upstream._LISTING", listing.encode())
    with pytest.raises(UnsupportedError, match="b: an object there has a name that this server cannot say"):
        RemoteStore(Stores(upstream.s3("b"))).list_objects("b", prefix="", after="", limit=1)


@pytest.mark.parametrize(
    ("code", "error"),
    [("", None), ("NoSuchBucket", NoSuchBucketError), ("AccessDenied", UpstreamError)],
)
def test_any_bucket_of_a_cloud(upstream: Upstream, code: str, error: type[Exception] | None) -> None:
    upstream.refusal = lambda _method, _path: (404 if code == "NoSuchBucket" else 403, code) if code else None
    store = RemoteStore(
        Stores(
            "s3://",
            endpoint=upstream.url,
            region="us-east-1",
            skip_signature=True,
            client_options={"allow_http": True},
        )
    )
    with pytest.raises(UnsupportedError):
        store.list_buckets()
    if error is None:
        store.check_bucket("any")
    else:
        with pytest.raises(error):
            store.check_bucket("any")


def test_an_upstream_that_is_down() -> None:
    with serving(Upstream()) as gone:
        store = _web(gone)
    with pytest.raises(UpstreamError, match=r"b/o: .* failed or cannot be reached"):
        store.open_object("b", "o")
