"""Folders as buckets: what is an object, what is none, and no way out."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Never

import pytest

from asyncbatch.errors import UsageError
from asyncbatch.server._folder import FolderStore, _walk
from asyncbatch.server._store import (
    BucketExistsError,
    InvalidNameError,
    NameConflictError,
    NoSuchBucketError,
    NoSuchObjectError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(root: Path) -> FolderStore:
    return FolderStore(root)


def _put(store: FolderStore, name: str, data: bytes, bucket: str = "b") -> None:
    upload = store.put_object(bucket, name)
    upload.write(data)
    upload.commit()


def _get(store: FolderStore, name: str, bucket: str = "b") -> bytes:
    with store.open_object(bucket, name) as stored:
        return stored.read(0, stored.size)


def _names(store: FolderStore, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[str]:
    return [info.name for info in store.list_objects("b", prefix=prefix, after=after, limit=limit).objects]


@pytest.mark.parametrize("kind", ["nothing", "file"])
def test_the_root_must_be_a_folder(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="not a folder"):
        FolderStore(tmp_path / kind)


def test_the_root_itself_may_be_reached_through_a_link(root: Path, tmp_path: Path) -> None:
    (root / "b" / "o").write_bytes(b"data")
    (tmp_path / "link").symlink_to(root)
    assert _get(FolderStore(tmp_path / "link"), "o") == b"data"


def test_what_is_put_is_there(store: FolderStore, root: Path) -> None:
    for name in ("o", "dir/sub/o", "dir/o", ".hidden", "a b", "日本/ü", "line\nbreak", "back\\slash", "a..b"):
        _put(store, name, name.encode())
        assert _get(store, name) == (root / "b" / name).read_bytes() == name.encode()
    _put(store, "o", b"new")
    assert _get(store, "o") == b"new"


BAD_NAMES = ["", "/", "/o", "o/", "a//b", ".", "..", "../secret", "a/../../secret", "a/./b", "a\0b", "\udcff"]


@pytest.mark.parametrize("name", [*BAD_NAMES, "x" * 5000, "/".join(["d"] * 201)])
def test_names_that_no_object_can_have(store: FolderStore, name: str) -> None:
    for call in (store.open_object, store.put_object, store.delete_object):
        with pytest.raises(InvalidNameError):
            call("b", name)


@pytest.mark.parametrize(
    "bucket", ["", ".", "..", "../root/b", "b/", "/etc", ".asyncbatch", "b\0", "\udcff", "no"]
)
def test_names_that_no_bucket_has(store: FolderStore, root: Path, bucket: str) -> None:
    _put(store, "o", b"data")  # makes the hidden folder
    for call in (store.check_bucket, store.destroy_bucket):
        with pytest.raises(NoSuchBucketError):
            call(bucket)
    with pytest.raises(NoSuchBucketError):
        store.open_object(bucket, "o")
    with pytest.raises(NoSuchBucketError):
        store.put_object(bucket, "o")
    with pytest.raises(NoSuchBucketError):
        store.delete_object(bucket, "o")
    with pytest.raises(NoSuchBucketError):
        store.list_objects(bucket, prefix="", after="", limit=1)
    assert (root / "b" / "o").exists()


def test_buckets(store: FolderStore, root: Path) -> None:
    (root / "file").write_bytes(b"")
    (root / "with space").mkdir()
    store.create_bucket("new")
    assert store.list_buckets() == ["b", "new", "with space"]
    with pytest.raises(BucketExistsError):
        store.create_bucket("new")
    for name in ("", ".new", "a/b", "..", "with space", "x" * 65, "ü"):
        with pytest.raises(InvalidNameError):
            store.create_bucket(name)
    _put(store, "deep/er/o", b"data", "new")
    store.destroy_bucket("new")
    assert store.list_buckets() == ["b", "with space"]
    assert list((root / ".asyncbatch").iterdir()) == []


def test_a_bucket_that_goes_away_while_it_is_destroyed(store: FolderStore, root: Path) -> None:
    class Slow(FolderStore):
        @contextmanager
        def _open_hidden(self, root_fd: int) -> Iterator[int]:
            shutil.rmtree(root / "b")
            with super()._open_hidden(root_fd) as fd:
                yield fd

    with pytest.raises(NoSuchBucketError):
        Slow(root).destroy_bucket("b")


@pytest.mark.parametrize("target", ["secret", "root/other/o", "nowhere"])
def test_a_link_is_no_object(store: FolderStore, root: Path, tmp_path: Path, target: str) -> None:
    (root / "other").mkdir()
    (root / "other" / "o").write_bytes(b"other")
    (root / "b" / "link").symlink_to(tmp_path / target)
    with pytest.raises(NoSuchObjectError):
        store.open_object("b", "link")
    with pytest.raises(NoSuchObjectError):
        store.delete_object("b", "link")
    assert _names(store) == []
    # Putting replaces the link and not what it leads to.
    _put(store, "link", b"new")
    assert _get(store, "link") == b"new"
    assert (tmp_path / "secret").read_bytes() == b"hush hush"
    assert (root / "other" / "o").read_bytes() == b"other"


def test_a_linked_folder_leads_nowhere(store: FolderStore, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "o").write_bytes(b"data")
    (root / "b" / "link").symlink_to(outside)
    with pytest.raises(NoSuchObjectError):
        store.open_object("b", "link/o")
    with pytest.raises(NoSuchObjectError):
        store.delete_object("b", "link/o")
    with pytest.raises(NameConflictError):
        _put(store, "link/new", b"data")
    assert _names(store) == []
    assert [path.name for path in outside.iterdir()] == ["o"]


def test_a_linked_bucket_is_none(store: FolderStore, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "o").write_bytes(b"data")
    (root / "link").symlink_to(outside)
    assert store.list_buckets() == ["b"]
    with pytest.raises(NoSuchBucketError):
        store.open_object("link", "o")
    with pytest.raises(NoSuchBucketError):
        store.destroy_bucket("link")
    assert (outside / "o").read_bytes() == b"data"


def test_a_linked_hidden_folder_is_not_used(store: FolderStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (root / ".asyncbatch").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="asyncbatch"):
        store.put_object("b", "o")
    assert list((tmp_path / "outside").iterdir()) == []


def test_what_is_no_file_is_no_object(store: FolderStore, root: Path) -> None:
    (root / "b" / "folder").mkdir()
    os.mkfifo(root / "b" / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        # The path of a socket is short.
        listener.bind(os.path.relpath(root / "b" / "socket"))
    (root / "b" / "file").write_bytes(b"")
    for name in ("folder", "fifo", "socket", "file/o", "x" * 300):
        with pytest.raises(NoSuchObjectError):
            store.open_object("b", name)
        with pytest.raises(NoSuchObjectError):
            store.delete_object("b", name)
    assert _names(store) == ["file"]


def test_what_may_not_be_read_is_not_missing(store: FolderStore, root: Path) -> None:
    class Forbidden(FolderStore):
        """The tests may run as root, whom nothing is forbidden."""

        def _open_root(self) -> Never:
            raise PermissionError(13, "no")

    with pytest.raises(PermissionError):
        Forbidden(root).open_object("b", "o")


def test_names_in_each_others_way(store: FolderStore, root: Path) -> None:
    _put(store, "a", b"a")
    _put(store, "d/o", b"o")
    with pytest.raises(NameConflictError):
        _put(store, "a/b/c", b"c")
    with pytest.raises(NameConflictError):
        _put(store, "d", b"d")
    assert _names(store) == ["a", "d/o"]


def test_a_name_too_long_leaves_no_folders(store: FolderStore, root: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        _put(store, "new/folder/" + "x" * 300, b"")
    assert list((root / "b").iterdir()) == []


def test_empty_folders_go_with_their_last_object(store: FolderStore, root: Path) -> None:
    _put(store, "a/b/c", b"")
    _put(store, "a/o", b"")
    store.delete_object("b", "a/b/c")
    assert not (root / "b" / "a" / "b").exists()
    store.delete_object("b", "a/o")
    assert list((root / "b").iterdir()) == []
    _put(store, "a", b"now an object")


def test_an_aborted_upload_leaves_nothing(store: FolderStore, root: Path) -> None:
    _put(store, "o", b"old")
    upload = store.put_object("b", "o")
    upload.write(b"new")
    assert _get(store, "o") == b"old"
    assert _names(store) == ["o"]
    upload.abort()
    upload.abort()
    with pytest.raises(ValueError, match="over"):
        upload.commit()
    assert _get(store, "o") == b"old"
    assert list((root / ".asyncbatch").iterdir()) == []


def test_an_upload_is_not_aborted_after_it_was_committed(store: FolderStore) -> None:
    upload = store.put_object("b", "o")
    upload.write(b"data")
    etag = upload.commit()
    upload.abort()
    with store.open_object("b", "o") as stored:
        assert stored.etag == etag


def test_somebody_tidies_up_behind_us(store: FolderStore, root: Path) -> None:
    upload = store.put_object("b", "o")
    shutil.rmtree(root / ".asyncbatch")
    upload.abort()
    upload = store.put_object("b", "o")
    shutil.rmtree(root / ".asyncbatch")
    with pytest.raises(NoSuchBucketError):
        upload.commit()


def test_a_bucket_that_goes_away_under_an_upload(store: FolderStore, root: Path) -> None:
    upload = store.put_object("b", "dir/o")
    upload.write(b"data")
    store.destroy_bucket("b")
    with pytest.raises(NoSuchBucketError):
        upload.commit()
    upload.abort()
    assert list((root / ".asyncbatch").iterdir()) == []


def test_a_read_beyond_the_end_is_short(store: FolderStore) -> None:
    _put(store, "o", b"0123456789")
    stored = store.open_object("b", "o")
    assert [stored.read(*where) for where in ((8, 5), (10, 5), (3, 0))] == [b"89", b"", b""]
    stored.close()
    stored.close()
    with pytest.raises(ValueError, match="closed"):
        stored.read(0, 1)


@pytest.mark.parametrize("change", ["append", "truncate", "overwrite"])
def test_a_change_is_noticed(store: FolderStore, root: Path, change: str) -> None:
    path = root / "b" / "o"
    path.write_bytes(b"0123456789")
    os.utime(path, (1, 1))
    with store.open_object("b", "o") as stored:
        assert not stored.is_changed()
        if change == "append":
            path.open("ab").close()
            with path.open("ab") as file:
                file.write(b"x")
        elif change == "truncate":
            os.truncate(path, 5)
        else:
            with path.open("r+b") as file:
                file.write(b"x")
        assert stored.is_changed()
        with store.open_object("b", "o") as again:
            assert again.etag != stored.etag


def test_replacing_or_deleting_is_no_change_of_what_is_open(store: FolderStore) -> None:
    _put(store, "o", b"old")
    with store.open_object("b", "o") as stored:
        _put(store, "o", b"new!")
        store.delete_object("b", "o")
        assert stored.read(0, 10) == b"old"
        assert not stored.is_changed()


def test_listing_is_in_the_order_of_bytes(store: FolderStore, root: Path) -> None:
    names = ["a-b", "a.b/c", "a/b-c", "a/b/c", "a0", "ab", "b/c/d/e", "z", "é", "日本/x", "line\nbreak"]
    for name in names:
        _put(store, name, b"x")
    os.close(os.open(os.fsencode(root / "b") + b"/\xff", os.O_CREAT))  # no URL and no JSON can hold it
    (root / "b" / "empty" / "folder").mkdir(parents=True)
    expected = sorted(names, key=str.encode)
    assert _names(store) == expected
    for limit in range(1, len(names) + 2):
        page = store.list_objects("b", prefix="", after="", limit=limit)
        assert page.more == (limit < len(names))
        assert [info.name for info in page.objects] == expected[:limit]
    for n, after in enumerate(expected, 1):
        assert _names(store, after=after) == expected[n:]
    for prefix in ("a", "a/", "a/b", "a/b/", "b/c/d/", "é", "no", "a."):
        assert _names(store, prefix=prefix) == [name for name in expected if name.startswith(prefix)]


@pytest.mark.parametrize("where", [{"prefix": "\ud800"}, {"after": "\ud800"}])
def test_a_listing_of_no_text(store: FolderStore, where: dict[str, str]) -> None:
    with pytest.raises(InvalidNameError):
        _names(store, **where)  # type: ignore[arg-type]


def test_as_deep_as_can_be(store: FolderStore) -> None:
    name = "/".join(["d"] * 200)
    _put(store, name, b"deep")
    assert _names(store) == [name]
    assert _get(store, name) == b"deep"
    store.destroy_bucket("b")


def test_what_vanishes_while_it_is_listed_is_left_out(store: FolderStore, root: Path) -> None:
    for name in ("a/o", "b/o", "c"):
        _put(store, name, b"")

    found = []
    fd = os.open(root / "b", os.O_RDONLY)
    try:
        for info in _walk(fd, b"", b""):
            found.append(info.name)
            shutil.rmtree(root / "b" / "b", ignore_errors=True)
    finally:
        os.close(fd)
    assert found == ["a/o", "c"]
