"""Opening ahead: in order, within a window, and nothing left open."""

from __future__ import annotations

from contextlib import closing
from threading import Event, Lock, get_ident
from typing import TYPE_CHECKING

import pytest

from asyncbatch.server._ahead import Ahead, nothing
from asyncbatch.server._objects import open_source
from asyncbatch.server._shards import Shards
from asyncbatch.server._source import Source
from asyncbatch.server._store import NoSuchObjectError
from asyncbatch.server._stream import CHUNK_SIZE, CutError

from . import golden
from .doubles import WatchedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from .doubles import WatchedObject


class _Object:
    """A stored object of zeros that knows whether it is open, and fails to be read as often as it is told."""

    mtime = 0
    etag = ""

    def __init__(self, size: int, failures: int = 0) -> None:
        self.size = size
        self.atime_ns: int | None = None
        self.failures = failures
        self.reads = 0
        self.closed = False

    def read(self, offset: int, size: int, /) -> bytes:
        self.reads += 1
        if self.reads <= self.failures:
            raise OSError("lost")
        return bytes(min(size, self.size - offset))

    def is_changed(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


class _Shelf:
    """Opens objects whose entries are their sizes, and remembers in which order and thread."""

    def __init__(self, before: Callable[[int], None] = lambda _size: None, failures: int = 0) -> None:
        self.objects: list[_Object] = []
        self.threads: set[int] = set()
        self._before = before
        self._failures = failures
        self._lock = Lock()

    def open(self, size: int) -> Source:
        self._before(size)
        if size < 0:
            raise NoSuchObjectError("b", str(size))
        with self._lock:
            self.threads.add(get_ident())
            self.objects.append(_Object(size, self._failures))
            return Source.whole(self.objects[-1])


def test_in_order_and_with_errors_in_their_places() -> None:
    shelf = _Shelf()
    entries = [3, -1, 0, CHUNK_SIZE, CHUNK_SIZE + 1, -2, *range(100)]
    found: list[int] = []
    for entry, opened in Ahead(4).open(shelf.open, entries):
        if entry < 0:
            with pytest.raises(NoSuchObjectError):
                opened()
            found.append(entry)
            continue
        with opened() as source:
            found.append(len(b"".join(source.pieces(0, source.size))))
    assert found == entries
    assert all(opened.closed for opened in shelf.objects)
    assert get_ident() not in shelf.threads


def test_no_further_than_the_window() -> None:
    asked: list[int] = []

    def entries() -> Iterator[int]:
        for entry in range(10):
            asked.append(entry)
            yield entry

    with closing(Ahead(3).open(_Shelf().open, entries())) as opening:
        for entry, opened in opening:
            opened().close()
            assert asked == list(range(min(entry + 3, 10)))


def test_several_at_once() -> None:
    """Each of the first four waits until all four are being opened."""
    counted, all_there = [0], Event()
    lock = Lock()

    def wait(_size: int) -> None:
        with lock:
            counted[0] += 1
            if counted[0] == 4:
                all_there.set()
        assert all_there.wait(30)

    for _, opened in Ahead(4).open(_Shelf(wait).open, [1, 2, 3, 4]):
        opened().close()


def test_without_a_window_in_the_thread_that_wants_it() -> None:
    shelf = _Shelf()
    for entry, opened in Ahead(0).open(shelf.open, [1, 2]):
        assert len(shelf.objects) == entry - 1
        opened().close()
    assert shelf.threads == {get_ident()}


@pytest.mark.parametrize(("size", "reads"), [(0, 0), (1, 1), (CHUNK_SIZE, 1), (CHUNK_SIZE + 1, 0)])
def test_what_is_small_is_read_ahead(size: int, reads: int) -> None:
    shelf = _Shelf()
    for _, opened in Ahead(1).open(shelf.open, [size]):
        source = opened()
        assert shelf.objects[0].reads == reads
        assert sum(map(len, source.pieces(0, size))) == size
        assert shelf.objects[0].reads == max(reads, -(-size // CHUNK_SIZE))


def test_a_part_is_read_ahead_and_other_parts_when_they_are_wanted() -> None:
    shelf = _Shelf()
    for _, opened in Ahead(1).open(shelf.open, [100], lambda _entry, _size: (10, 5)):
        source = opened()
        assert b"".join(source.pieces(10, 5)) == bytes(5)
        assert shelf.objects[0].reads == 1
        assert b"".join(source.pieces(10, 6)) == bytes(6)
        assert shelf.objects[0].reads == 2


def test_of_what_is_only_looked_at_nothing_is_read() -> None:
    shelf = _Shelf()
    for _, opened in Ahead(1).open(shelf.open, [100], nothing):
        opened()
    assert shelf.objects[0].reads == 0


def test_what_cannot_be_read_ahead_is_tried_again_in_its_turn() -> None:
    for _, opened in Ahead(1).open(_Shelf(failures=1).open, [100]):
        assert sum(map(len, opened().pieces(0, 100))) == 100
    for _, opened in Ahead(1).open(_Shelf(failures=2).open, [100]):
        with pytest.raises(CutError):
            list(opened().pieces(0, 100))


@pytest.mark.parametrize("name", ["s.tar", "s.zip"])
def test_of_one_shard_the_index_is_learnt_once(tmp_path: Path, name: str) -> None:
    """By the first thread, which waits until the others have the shard open too."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / name).write_bytes(golden.objects()[f"golden/shards/{name}"])
    all_open = Event()

    class Store(WatchedStore):
        def open_object(self, bucket: str, name: str, /) -> WatchedObject:  # type: ignore[override]
            opened = super().open_object(bucket, name)
            if self.opened == 8:
                all_open.set()
            return opened

    def wait(_name: str, _offset: int) -> None:
        assert all_open.wait(30)

    store = Store(tmp_path, wait)
    shards = Shards()

    def open_member(_: int) -> Source:
        return open_source(store, shards, "b", name, "sub/b.bin")

    for _, opened in Ahead(8).open(open_member, range(8), nothing):
        opened().close()
    reads, shards = store.reads, Shards()
    for number in range(8):
        open_member(number).close()
    assert store.reads == 2 * reads


def test_a_bug_closes_what_was_opened() -> None:
    shelf = _Shelf()
    for _, opened in Ahead(1).open(shelf.open, [100], lambda _entry, _size: (1 // 0, 0)):
        with pytest.raises(ZeroDivisionError):
            opened()
    assert shelf.objects[0].closed


def test_closing_early_leaves_nothing_open_and_waits_for_nobody() -> None:
    """Of 20 entries one is taken, two wait for the test, and the others are never begun."""
    two, go_on = [Event(), Event()], Event()

    def wait(size: int) -> None:
        if size in {1, 2}:
            two[size - 1].set()
            assert go_on.wait(30)

    shelf = _Shelf(wait)
    ahead = Ahead(20, threads=2)
    opening = ahead.open(shelf.open, [0, 1, 2, -1, *range(10, 26)])
    _, opened = next(opening)
    opened().close()
    for event in two:
        assert event.wait(30)
    opening.close()
    go_on.set()
    ahead._pool.shutdown(wait=True)
    assert sorted(one.size for one in shelf.objects) == [0, 1, 2]
    assert all(one.closed for one in shelf.objects)


def test_closing_early_after_all_was_opened() -> None:
    shelf = _Shelf()
    ahead = Ahead(4)
    opening = ahead.open(shelf.open, [1, -1, 2, 3])
    next(opening)[1]().close()
    ahead._pool.shutdown(wait=True)
    opening.close()
    assert len(shelf.objects) == 3
    assert all(one.closed for one in shelf.objects)
