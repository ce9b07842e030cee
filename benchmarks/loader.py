"""The loader: many batches at once, the price of its budget, and `load` beside a GET for each object.

The objects of `load` are on our own server, or on `$AIS_ENDPOINT`, as those of `getbatch`. Batches come from
a sender that does nothing else. What is held is measured by ``python -m benchmarks.loader_memory``.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from asyncbatch import BatchRequest
from asyncbatch.aistore import Client
from asyncbatch.cli._measure import CONNECTIONS

from .data import Items
from .getbatch import gets, running_endpoint, stored
from .runner import Contender, Delivered, Expected, Row, measure
from .sender import BUCKET, running_sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .getbatch import Place
    from .runner import Check

__all__ = ["rows"]

_BATCHES: Final = 8
_DELAY: Final = 0.05  # seconds to the first byte
_UNBOUNDED: Final = "100TB"

# Of a batch that comes at once, and of one that takes a while.
_SMALL: Final = Items("1KiB", 1024, 100)
_MANY: Final = Items("10KiB", 10_240, 5000)
_LOADED: Final = (Items("1KiB", 1024, 1000), Items("10KiB", 10_240, 1000))


def rows(*, rounds: int, scale: float, only: str) -> Iterator[Row]:
    """Yield the rows."""
    for items in _LOADED:
        work = f"loader load {items.label} x {items.count}"
        if work.startswith(only):
            yield _row_of_load(work, items.scaled(scale), rounds)
    ways = (
        (f"loader {_BATCHES} batches, {_DELAY * 1000:.0f} ms to the first byte", _SMALL, _DELAY, _one_by_one),
        (f"loader {_BATCHES} batches, budget of 64 MiB", _MANY, 0.0, _without_budget),
        ("loader one batch", _MANY, 0.0, _get_batch),
    )
    for work, items, delay, compare in ways:
        if work.startswith(only):
            yield _row_of_batches(work, items.scaled(scale), delay, compare, rounds)


# -- load ---------------------------------------------------------------------------------------------------


def _row_of_load(work: str, items: Items, rounds: int) -> Row:
    names = [name for name, _ in items]
    expected = items.expected()
    requests: list[int] = []
    with running_endpoint() as url, asyncio.Runner() as runner, stored(runner, url, items) as place:
        contenders = {
            "load": Contender(lambda check: runner.run(_load_all(place, names, check, requests)), expected),
            "gets": Contender(
                lambda check: runner.run(gets(place, names, check, at_once=CONNECTIONS)), expected
            ),
        }
        seconds = measure(contenders, rounds)
    return Row(
        work=work,
        what=f"load, {max(requests)} requests on the wire",
        rival=f"aiohttp {version('aiohttp')}, GETs {CONNECTIONS} at once",
        ours=seconds["load"],
        theirs=seconds["gets"],
        items=expected.items,
        bytes=expected.bytes,
        rounds=rounds,
    )


async def _load_all(place: Place, names: Sequence[str], check: Check, requests: list[int]) -> Delivered:
    """Load all objects, each for a task of its own, as requests to a service would."""
    bucket = place.client.bucket(place.bucket)
    async with place.client.batch_loader() as loader:
        datas = await asyncio.gather(*(loader.load(bucket.object(name)) for name in names))
        requests.append(loader.statistics().requests)
    if check:
        for data in datas:
            check(data)
    return Delivered(len(datas), sum(map(len, datas)))


# -- batches ------------------------------------------------------------------------------------------------


def _row_of_batches(
    work: str,
    items: Items,
    delay: float,
    compare: Callable[[int], tuple[str, int, dict[str, Any]]],
    rounds: int,
) -> Row:
    what, count, options = compare(_BATCHES)
    expected = items.expected()
    if count > 1:
        expected = Expected(count * expected.items, count * expected.bytes, None)
    names = [name for name, _ in items]
    with running_sender(items, delay=delay) as url, asyncio.Runner() as runner:
        client = runner.run(_open_client(url))
        ours = {"max_memory": "64MiB", "way": "batch"}
        contenders = {
            "ours": Contender(lambda check: runner.run(_stream(client, names, count, ours, check)), expected),
            "theirs": Contender(
                lambda check: runner.run(_stream(client, names, count, options, check)), expected
            ),
        }
        try:
            seconds = measure(contenders, rounds)
        finally:
            runner.run(client.aclose())
    overhead = round((seconds["ours"] - seconds["theirs"]) / expected.items * 1e9)
    return Row(
        work=work,
        what="stream",
        rival=what,
        ours=seconds["ours"],
        theirs=seconds["theirs"],
        overhead_ns=overhead if count == 1 else None,
        items=expected.items,
        bytes=expected.bytes,
        rounds=rounds,
    )


def _one_by_one(batches: int) -> tuple[str, int, dict[str, Any]]:
    return "one after another", batches, {"max_concurrency": 1}


def _without_budget(batches: int) -> tuple[str, int, dict[str, Any]]:
    return "without a budget", batches, {"max_memory": _UNBOUNDED}


def _get_batch(_: int) -> tuple[str, int, dict[str, Any]]:
    return "get_batch", 1, {}


async def _open_client(url: str) -> Client:
    return Client(url)


async def _stream(
    client: Client, names: Sequence[str], batches: int, options: dict[str, Any], check: Check
) -> Delivered:
    """Stream batches through a loader with options; without, read the one batch by itself."""
    count = size = 0
    bucket = client.bucket(BUCKET)
    request = BatchRequest()
    for name in names:
        request.add_object_request(bucket.object(name))
    async with client.batch_loader(join_below=0, split_above=len(names), **options) as loader:
        source = loader.stream([request] * batches) if options else loader.get_batch(request)
        async for _, data in source:
            count += 1
            size += len(data)
            if check:
                check(data)
    return Delivered(count, size)
