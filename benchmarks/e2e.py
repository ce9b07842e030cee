"""Batches end to end: our client and the official SDK, one after the other, from the same sender.

Both clients are made once; a round is a batch, from the list of names to the last byte, redirect included.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from aistore import Client as SdkClient

from asyncbatch.aistore import Client

from .data import Items
from .runner import Contender, Delivered, Expected, Row, measure
from .sender import BUCKET, TARGET_PATH, running_sender

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .runner import Check

__all__ = ["rows"]

_ITEMS: Final = (
    Items("1KiB", 1024, 20_000),
    Items("4KiB", 4096, 20_000),
    Items("10KiB", 10_240, 10_000),
    Items("100KiB", 102_400, 2000),
    Items("20MiB", 20 << 20, 10),
)
_LARGE: Final = 1 << 20  # from here on, reading chunk by chunk is of interest
_CURL: Final = shutil.which("curl")


def rows(*, rounds: int, scale: float, only: str) -> Iterator[Row]:
    """Yield the rows: for each size whole items; for large ones, chunks too."""
    for items in _ITEMS:
        if f"e2e {items.label}".startswith(only):
            yield from _rows_of(items.scaled(scale), rounds)


def _rows_of(items: Items, rounds: int) -> Iterator[Row]:
    expected = items.expected()
    names = [name for name, _ in items]
    with running_sender(items) as url, asyncio.Runner() as runner:
        client = runner.run(_open_client(url))
        sdk = SdkClient(url)
        contenders = {
            "get_batch": Contender(lambda check: runner.run(_whole(client, names, check)), expected),
            "sdk": Contender(lambda check: _sdk(sdk, names, check), expected),
        }
        if items.size >= _LARGE:
            contenders["members"] = Contender(
                lambda check: runner.run(_chunk_by_chunk(client, names, check)), expected
            )
        if _CURL is not None:
            body = _drain(_CURL, url)
            contenders["curl"] = Contender(lambda _: _drain(_CURL, url), Expected(*body[:2], None))
        try:
            seconds = measure(contenders, rounds)
        finally:
            runner.run(client.aclose())
    for what, suffix in {"get_batch": "", "members": ", members, chunk by chunk"}.items():
        if what in seconds:
            yield Row(
                work=f"e2e {items.label}{suffix}",
                what=what,
                rival=f"aistore SDK {version('aistore')}",
                ours=seconds[what],
                theirs=seconds["sdk"],
                of_curl=seconds["curl"] / seconds[what] if "curl" in seconds else None,
                items=expected.items,
                bytes=expected.bytes,
                rounds=rounds,
            )


async def _open_client(url: str) -> Client:
    return Client(url)


async def _whole(client: Client, names: list[str], check: Check) -> Delivered:
    count = size = 0
    async with client.get_batch(names, bucket=BUCKET) as batch:
        async for item in batch:
            data = item.data
            count += 1
            size += len(data)
            if check:
                check(data)
    return Delivered(count, size)


async def _chunk_by_chunk(client: Client, names: list[str], check: Check) -> Delivered:
    count = size = 0
    async with client.get_batch(names, bucket=BUCKET) as batch:
        async for member in batch.members():
            count += 1
            async for chunk in member:
                size += len(chunk)
                if check:
                    check(chunk)
    return Delivered(count, size)


def _sdk(client: SdkClient, names: list[str], check: Check) -> Delivered:
    count = size = 0
    for _, data in client.batch(names, bucket=client.bucket(BUCKET)).get():
        count += 1
        size += len(data)
        if check:
            check(data)
    return Delivered(count, size)


def _drain(curl: str, url: str) -> Delivered:
    """Let curl throw the body away; its own clock does not count its start."""
    asked_for = "%{size_download} %{time_total}"
    command = [curl, "--silent", "--fail", "--output", "/dev/null", "--write-out", asked_for]
    output = subprocess.run([*command, url + TARGET_PATH], check=True, capture_output=True, text=True).stdout  # noqa: S603
    size, seconds = output.split()
    return Delivered(0, int(size), float(seconds))
