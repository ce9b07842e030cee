"""``asyncbatch demo``: the same objects one by one and in batches, from a server that it starts and stops."""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

import httpx
from rich.console import Console
from rich.table import Table

from ..aistore import Client
from ..errors import AsyncBatchError
from ._output import Output
from ._run import Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from ..aistore import Bucket

__all__ = ["demo"]

_SERVE: Final = (sys.executable, "-m", "asyncbatch", "serve")
_START_PATIENCE: Final = 30.0  # seconds
_STOP_PATIENCE: Final = 5.0

_SEED: Final = 1
_MIN_SIZE: Final = 4096
_MAX_SIZE: Final = 65_536
_NOISE_SIZE: Final = 1 << 20

_CONCURRENCY: Final = 16  # GETs in flight, enough to keep client and server busy
_BATCH_SIZE: Final = 500
_MAX_ROUNDS: Final = 3
_ENOUGH: Final = 5.0  # seconds of measuring after which no further round begins


class _Sample(NamedTuple):
    """An object whose content anybody can tell again."""

    name: str
    start: int
    size: int


@dataclass(slots=True)
class _Demo:
    """Objects of a bucket, and the seconds that it took to fetch all of them."""

    bucket: Bucket
    client: Client
    samples: Sequence[_Sample]
    noise: bytes
    advance: Callable[[int], None]
    single: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)

    async def write(self) -> None:
        """Store the objects."""

        async def put(sample: _Sample) -> None:
            await self.bucket.object(sample.name).put(self._content(sample))
            self.advance(1)

        await _for_each(self.samples, put)

    async def measure(self) -> None:
        """Fetch all objects in turns: in batches, one by one, in batches again."""
        begin = time.perf_counter()
        while len(self.single) < _MAX_ROUNDS and time.perf_counter() - begin < _ENOUGH:
            self.batch.append(await _timed(self.fetch_in_batches))
            self.single.append(await _timed(self.fetch_one_by_one))
            self.batch.append(await _timed(self.fetch_in_batches))

    async def fetch_one_by_one(self) -> None:
        """Fetch each object by a GET of its own."""

        async def get(sample: _Sample) -> None:
            self._check(sample, await self.bucket.object(sample.name).get())

        await _for_each(self.samples, get)

    async def fetch_in_batches(self) -> None:
        """Fetch the objects by one GetBatch after the other."""
        for begin in range(0, len(self.samples), _BATCH_SIZE):
            samples = self.samples[begin : begin + _BATCH_SIZE]
            batch = self.client.get_batch([sample.name for sample in samples], bucket=self.bucket)
            async with batch:
                async for metadata, data in batch:
                    self._check(samples[metadata.index], data)

    def _content(self, sample: _Sample) -> bytes:
        return self.noise[sample.start : sample.start + sample.size]

    def _check(self, sample: _Sample, data: bytes) -> None:
        if data != self._content(sample):
            raise AsyncBatchError(f"object {sample.name!r} came back with other bytes than were stored")
        self.advance(1)


async def demo(objects: int, *, as_json: bool) -> Status:
    """Write objects, fetch them both ways, check every byte, and show how long it took."""
    output = Output(as_json=as_json)
    noise = random.Random(_SEED).randbytes(_NOISE_SIZE)  # noqa: S311 - reproducible, not secret
    samples = _make_samples(objects)
    with TemporaryDirectory(prefix="asyncbatch-demo-") as folder:
        # No proxy: one that the environment names does not know our loopback.
        async with (
            _started_server(folder) as url,
            httpx.AsyncClient(timeout=60, trust_env=False) as http,
            Client(url, http_client=http) as client,
        ):
            bucket = await client.bucket("demo").create()
            with output.progress(f"{objects} objects: writing, then fetching", None) as advance:
                run = _Demo(bucket, client, samples, noise, advance)
                await run.write()
                await run.measure()
    _report(run, output)
    return Status.OK


def _make_samples(objects: int) -> list[_Sample]:
    sizes = random.Random(_SEED)  # noqa: S311 - reproducible, not secret
    return [
        _Sample(
            f"object-{number:06}",
            sizes.randrange(_NOISE_SIZE - _MAX_SIZE),
            sizes.randint(_MIN_SIZE, _MAX_SIZE),
        )
        for number in range(objects)
    ]


async def _timed(fetch: Callable[[], Awaitable[None]]) -> float:
    begin = time.perf_counter()
    await fetch()
    return time.perf_counter() - begin


async def _for_each(samples: Sequence[_Sample], work: Callable[[_Sample], Awaitable[None]]) -> None:
    """Work on all samples, `_CONCURRENCY` of them at once."""
    left = iter(samples)

    async def worker() -> None:
        for sample in left:
            await work(sample)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_CONCURRENCY):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None  # one is as good as all: the command ends with it


@asynccontextmanager
async def _started_server(folder: str) -> AsyncIterator[str]:
    """Run ``asyncbatch serve`` in a process of its own, so that it does not share our time, and stop it."""
    process = await asyncio.create_subprocess_exec(
        *_SERVE, folder, "--port", "0", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _START_PATIENCE)
        before, listening, url = line.decode().strip().partition("listening on ")
        if before or not listening:
            raise AsyncBatchError("the demo's server did not start: `asyncbatch serve .` may say why")
        yield url
    finally:
        with suppress(ProcessLookupError):  # it may have ended by the same Ctrl-C
            process.terminate()
        try:
            await asyncio.wait_for(process.communicate(), _STOP_PATIENCE)
        except TimeoutError:
            process.kill()
            await process.communicate()


def _report(run: _Demo, output: Output) -> None:
    objects, size = len(run.samples), sum(sample.size for sample in run.samples)
    single, batch = statistics.median(run.single), statistics.median(run.batch)
    output.record(
        objects=objects,
        bytes=size,
        single_seconds=round(single, 4),
        batch_seconds=round(batch, 4),
        speedup=round(single / batch, 2),
        rounds=len(run.single),
        concurrency=_CONCURRENCY,
        batch_size=_BATCH_SIZE,
    )
    if output.as_json:
        return
    table = Table(title=f"{objects:,} objects, {size / 1e6:,.1f} MB, every byte checked")
    for heading in ("", "seconds", "objects/s", "MB/s", "speed-up"):
        table.add_column(heading, justify="right" if heading else "left")
    rows = ((f"one GET each, {_CONCURRENCY} at once", single), (f"batches of {_BATCH_SIZE}", batch))
    for label, seconds in rows:
        rates = f"{objects / seconds:,.0f}", f"{size / 1e6 / seconds:,.1f}"
        table.add_row(label, f"{seconds:.2f}", *rates, f"{single / seconds:.1f} x")
    console = Console()
    console.print(table)
    console.print(f"Medians of {len(run.single)} and {len(run.batch)} runs in turns, over loopback.")
