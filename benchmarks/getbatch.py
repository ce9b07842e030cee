"""A batch beside a GET for each of its objects: from our server in a process of its own, or `$AIS_ENDPOINT`.

The GETs are aiohttp's, one by one and 64 at once, each with its redirect, as AIStore has them.
The objects are made in a bucket that is removed at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import aiohttp
from aistore import Client as SdkClient

from asyncbatch.aistore import Client
from asyncbatch.cli._measure import (
    BATCH_SIZES,
    CONNECTIONS,
    OBJECT_SIZES,
    fill,
    for_each,
    parse_numbers,
    parse_sizes,
    plan,
    size_label,
    temporary_bucket,
)

from .data import Items
from .processes import serving
from .runner import Contender, Delivered, Expected, Row, measure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asyncbatch.cli._measure import Cell

    from .runner import Check

__all__ = ["AT_ONCE", "Place", "gets", "rows", "running_endpoint", "stored"]

AT_ONCE: Final = f", {CONNECTIONS} at once"  # behind the work of the rows beside GETs at once
_MAX_ONE_BY_ONE: Final = 1000  # GETs in a row; the time of more is told by these
_CURL: Final = shutil.which("curl")


def rows(*, rounds: int, scale: float, only: str) -> Iterator[Row]:
    """Yield two rows for each size of objects and batch: beside GETs one by one, and beside GETs at once."""
    batch_sizes = parse_numbers(BATCH_SIZES)
    with running_endpoint() as url, asyncio.Runner() as runner:
        for size in parse_sizes(OBJECT_SIZES):
            label = size_label(size)
            cells, left_out = plan([size] * batch_sizes[-1], batch_sizes)
            wanted = [cell for cell in cells if _work(label, cell.batch_size).startswith(only)]
            for batch_size in left_out:
                if _work(label, batch_size).startswith(only):
                    print(
                        f"{_work(label, batch_size)} is left out: no more objects fit than the "
                        f"{cells[-1].objects} of {_work(label, cells[-1].batch_size)}",
                        file=sys.stderr,
                    )
            if wanted:
                items = Items(label, size, wanted[-1].objects).scaled(scale)
                with stored(runner, url, items) as place:
                    for cell in wanted:
                        part = Items(label, size, cell.objects).scaled(scale)
                        yield from _rows_of(place, part, cell, rounds)


def _work(label: str, batch_size: int) -> str:
    return f"getbatch {label} x {batch_size}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the objects are, and who fetches them."""

    runner: asyncio.Runner
    url: str
    bucket: str
    client: Client
    session: aiohttp.ClientSession
    sdk: SdkClient


@contextmanager
def running_endpoint() -> Iterator[str]:
    """Give the cluster's URL, or that of our own server, which is started and stopped."""
    if url := os.environ.get("AIS_ENDPOINT"):
        yield url
        return
    with TemporaryDirectory() as folder, serving(folder) as (url, _):
        yield url


@contextmanager
def stored(runner: asyncio.Runner, url: str, items: Items) -> Iterator[Place]:
    """Store the objects; remove them in the end."""
    stack = AsyncExitStack()

    async def store() -> Place:
        client = await stack.enter_async_context(Client(url))
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                raise_for_status=True,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        )
        bucket = await stack.enter_async_context(temporary_bucket(client))
        await fill(bucket, items, lambda _: None)
        return Place(runner, url, bucket.name, client, session, SdkClient(url))

    try:
        yield runner.run(store())
    finally:
        runner.run(stack.aclose())


def _rows_of(place: Place, items: Items, cell: Cell, rounds: int) -> Iterator[Row]:
    run = place.runner.run
    expected = items.expected()
    first = replace(items, count=min(items.count, _MAX_ONE_BY_ONE))
    names = [name for name, _ in items]
    contenders = {
        "get_batch": Contender(lambda check: run(_ours(place, names, check)), expected),
        "one by one": Contender(
            lambda check: run(gets(place, names[: first.count], check, at_once=1)), first.expected()
        ),
        "at once": Contender(lambda check: run(gets(place, names, check, at_once=CONNECTIONS)), expected),
        "sdk": Contender(lambda check: _sdk(place, names, check), expected),
    }
    if _CURL is not None:
        body = _curl(_CURL, place, names)
        contenders["curl"] = Contender(lambda _: _curl(_CURL, place, names), Expected(*body[:2], None))
    seconds = measure(contenders, rounds)
    seconds["one by one"] *= items.count / first.count
    cut_down = f"{cell.objects} objects, no more fit" if cell.objects < cell.batch_size else ""
    sampled = f"from the first {first.count}" if first.count < items.count else ""
    for way, suffix, more in (("one by one", "", sampled), ("at once", AT_ONCE, "")):
        yield Row(
            work=_work(items.label, cell.batch_size) + suffix,
            what="get_batch",
            rival=f"aiohttp {version('aiohttp')}, GETs {suffix.removeprefix(', ') or way}",
            settings="; ".join(filter(None, (cut_down, more))),
            ours=seconds["get_batch"],
            theirs=seconds[way],
            of_curl=seconds["curl"] / seconds["get_batch"] if "curl" in seconds else None,
            beside={f"aistore SDK {version('aistore')}, batch": seconds["sdk"]},
            items=expected.items,
            bytes=expected.bytes,
            rounds=rounds,
        )


async def _ours(place: Place, names: Sequence[str], check: Check) -> Delivered:
    count = size = 0
    async with place.client.get_batch(names, bucket=place.bucket) as batch:
        async for item in batch:
            data = item.data
            count += 1
            size += len(data)
            if check:
                check(data)
    return Delivered(count, size)


async def gets(place: Place, names: Sequence[str], check: Check, *, at_once: int) -> Delivered:
    """Let aiohttp get the objects, which then come in any order; they are checked in that of the names."""
    sizes: list[int] = []
    kept: dict[str, bytes] = {}

    async def get(name: str) -> None:
        async with place.session.get(f"{place.url}/v1/objects/{place.bucket}/{name}?provider=ais") as answer:
            data = await answer.read()
        sizes.append(len(data))
        if check:
            kept[name] = data

    await for_each(names, get, at_once=at_once)
    if check:
        for name in names:
            check(kept[name])
    return Delivered(len(sizes), sum(sizes))


def _sdk(place: Place, names: Sequence[str], check: Check) -> Delivered:
    count = size = 0
    for _, data in place.sdk.batch(list(names), bucket=place.sdk.bucket(place.bucket)).get():
        count += 1
        size += len(data)
        if check:
            check(data)
    return Delivered(count, size)


def _curl(curl: str, place: Place, names: Sequence[str]) -> Delivered:
    """Let curl throw the batch away; its own clock does not count its start."""
    entries = [{"objname": name, "bucket": place.bucket, "provider": "ais"} for name in names]
    request = json.dumps({"mime": ".tar", "strm": True, "in": entries})
    command = [
        *(curl, "--silent", "--fail", "--location", "--request", "GET", "--data-binary", "@-"),
        *("--header", "Content-Type: application/json", "--header", "Expect:", "--output", "/dev/null"),
        *("--write-out", "%{size_download} %{time_total}"),
        f"{place.url}/v1/ml/moss/{place.bucket}?provider=ais",
    ]
    done = subprocess.run(command, input=request, check=True, capture_output=True, text=True)  # noqa: S603
    size, seconds = done.stdout.split()
    return Delivered(0, int(size), float(seconds))
