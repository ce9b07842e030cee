"""Whoever wants to know is told how a loader gets on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncbatch import BatchLoader

from .sources import Shelf, request_of, run

if TYPE_CHECKING:
    import pytest

    from asyncbatch.loader import LoaderStatistics


async def read(loader: BatchLoader) -> None:
    async with loader:
        assert len([item async for item in loader.stream(request_of(f"{n}-1") for n in range(10))]) == 10


def test_progress_is_told_again_and_again_and_at_the_end() -> None:
    told: list[LoaderStatistics] = []
    shelf = Shelf(latency=1)
    run(read(BatchLoader(shelf, max_concurrency=1, join_below=0, progress=told.append, progress_interval=2)))
    assert len(told) in {5, 6}
    assert told[0].items in {1, 2}
    assert (told[-1].items, told[-1].held_bytes) == (10, 0)


def test_what_it_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: LoaderStatistics) -> None:
        raise LookupError("no terminal")

    run(read(BatchLoader(Shelf(), progress=fail)))
    assert [record.name for record in caplog.records] == ["asyncbatch.loader"]
