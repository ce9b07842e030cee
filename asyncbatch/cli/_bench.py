"""``asyncbatch bench``: on the user's own cluster, one batch against a GET for each object."""

from __future__ import annotations

import random
import statistics
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.console import Console
from rich.table import Table

from ..batch import BatchRequest
from ..errors import AsyncBatchError, UsageError
from ._cluster import is_endpoint, open_bucket, open_client
from ._measure import (
    MAX_BYTES,
    OBJECT_SIZES,
    fill,
    for_each,
    parse_numbers,
    parse_sizes,
    plan,
    size_label,
    temporary_bucket,
)
from ._output import Output, in_units
from ._run import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..aistore import Bucket, Client
    from ._measure import Cell

__all__ = ["BenchOptions", "bench"]

_NOISE_SIZE: Final = 1 << 20
_SEED: Final = 1
_STRIDE: Final = 13  # bytes between the beginnings of two objects
_MAX_ONE_BY_ONE: Final = 1000  # GETs in a row: no more tell more, and each takes its time
_WARM_UP: Final = 16  # objects


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """The options of the command, as they were typed."""

    url: str
    bucket: str
    sizes: str
    batch: str
    connections: int
    transfer_format: str
    rounds: int
    as_json: bool


class _Sample(NamedTuple):
    """An object, and what it has to be.

    Attributes:
        name: The object.
        size: Bytes.
        start: Where in the noise its bytes begin, if we made it.
    """

    name: str
    size: int
    start: int = 0


class _Rates(NamedTuple):
    """How fast it was.

    Attributes:
        objects: Per second.
        bytes: Per second.
    """

    objects: float
    bytes: float

    def as_dict(self) -> dict[str, float]:
        """Return the rates for JSON."""
        return {"objects_per_second": round(self.objects, 2), "bytes_per_second": round(self.bytes)}


@dataclass(frozen=True, slots=True)
class _Bench:
    """Objects in a bucket, and the ways to fetch them; each that comes is checked.

    Attributes:
        client: Who fetches.
        bucket: Where they are.
        samples: The objects, of which a batch has the first ones.
        noise: What they were cut from; None if they are not ours, and only their sizes are known.
        options: The command's.
    """

    client: Client
    bucket: Bucket
    samples: Sequence[_Sample]
    noise: bytes | None
    options: BenchOptions

    async def measure(self, objects: int, advance: Callable[[int], None]) -> list[_Rates]:
        """Return the median rates of GETs one by one, of GETs at once, and of a batch, measured in turns."""
        samples = self.samples[:objects]
        ways = (
            # How fast one goes after the other the first ones tell.
            (self._one_by_one, samples[:_MAX_ONE_BY_ONE]),
            (self._at_once, samples),
            (self._in_a_batch, samples),
        )
        for fetch, _ in ways:  # connections are made, and caches filled, before the clock runs
            await fetch(samples[:_WARM_UP])
        seconds: list[list[float]] = [[] for _ in ways]
        for _ in range(self.options.rounds):
            for (fetch, part), of_way in zip(ways, seconds, strict=True):
                begin = time.perf_counter()
                await fetch(part)
                of_way.append(time.perf_counter() - begin)
                advance(1)
        return [
            _Rates(
                len(part) / statistics.median(of_way),
                sum(sample.size for sample in part) / statistics.median(of_way),
            )
            for (_, part), of_way in zip(ways, seconds, strict=True)
        ]

    async def _one_by_one(self, samples: Sequence[_Sample]) -> None:
        for sample in samples:
            await self._get(sample)

    async def _at_once(self, samples: Sequence[_Sample]) -> None:
        await for_each(samples, self._get, at_once=self.options.connections)

    async def _get(self, sample: _Sample) -> None:
        self._check(sample, await self.bucket.object(sample.name).get())

    async def _in_a_batch(self, samples: Sequence[_Sample]) -> None:
        names = [sample.name for sample in samples]
        async with self.client.get_batch(
            names, bucket=self.bucket, output_format=self.options.transfer_format
        ) as batch:
            async for metadata, data in batch:
                self._check(samples[metadata.index], data)

    def _check(self, sample: _Sample, data: bytes) -> None:
        if len(data) != sample.size:
            raise AsyncBatchError(f"object {sample.name!r} has {sample.size} bytes, and {len(data)} came")
        if self.noise is not None and not self.noise.startswith(data, sample.start):
            raise AsyncBatchError(f"object {sample.name!r} came back with other bytes than were stored")


async def bench(options: BenchOptions) -> Status:
    """Measure, print a table or JSON lines, and leave nothing behind."""
    batch_sizes = parse_numbers(options.batch)
    sizes = parse_sizes(options.sizes or OBJECT_SIZES)
    BatchRequest(output_format=options.transfer_format)  # which says now what is wrong with it
    if options.bucket and options.sizes:
        raise UsageError("--sizes and --bucket exclude each other: the objects of a bucket have their sizes")
    if options.url and not is_endpoint(options.url):
        raise UsageError(f"{options.url!r} is no endpoint; one is like http://localhost:8080")
    output = Output(as_json=options.as_json)
    report = _Report(output, options)
    async with open_client(options.url) as client:
        if options.bucket:
            bucket = open_bucket(client, options.bucket)
            samples = await _listed(bucket, batch_sizes[-1])
            await _measure(_Bench(client, bucket, samples, None, options), batch_sizes, report, None)
        else:
            for size in sizes:
                await _measure_made(client, size, batch_sizes, options, report)
    report.print_table()
    return Status.OK


async def _listed(bucket: Bucket, count: int) -> list[_Sample]:
    """Return the first objects of somebody's bucket."""
    samples: list[_Sample] = []
    async with aclosing(bucket.list_objects()) as listing:
        async for info in listing:
            samples.append(_Sample(info.name, info.size))
            if len(samples) == count:
                break
    if not samples:
        raise AsyncBatchError(f"bucket {bucket.name!r} is empty: there is nothing to fetch")
    return samples


async def _measure_made(
    client: Client, size: int, batch_sizes: Sequence[int], options: BenchOptions, report: _Report
) -> None:
    """Measure with objects of our own, in a bucket of our own."""
    cells, _ = plan([size] * batch_sizes[-1], batch_sizes)
    # No two are the same: their beginnings are less than the noise's length apart.
    samples = [
        _Sample(f"object-{number:06}", size, number * _STRIDE % _NOISE_SIZE)
        for number in range(cells[-1].objects)
    ]
    noise = random.Random(_SEED).randbytes(_NOISE_SIZE)  # noqa: S311 - reproducible, not secret
    noise *= 2 + size // _NOISE_SIZE
    objects = ((sample.name, noise[sample.start : sample.start + size]) for sample in samples)
    async with temporary_bucket(client) as bucket:
        with report.output.progress(f"storing objects of {size_label(size)}", len(samples)) as advance:
            await fill(bucket, objects, advance)
        await _measure(_Bench(client, bucket, samples, noise, options), batch_sizes, report, size)


async def _measure(one: _Bench, batch_sizes: Sequence[int], report: _Report, size: int | None) -> None:
    cells, left_out = plan([sample.size for sample in one.samples], batch_sizes)
    of_size = "" if size is None else f" of {size_label(size)}"
    for cell in cells:
        with report.output.progress(
            f"fetching {cell.objects:,} objects{of_size}", 3 * one.options.rounds
        ) as advance:
            rates = await one.measure(cell.objects, advance)
        in_all = sum(sample.size for sample in one.samples[: cell.objects])
        report.add(cell, size, in_all, *rates)
    for batch_size in left_out:
        report.output.note(
            f"a batch of {batch_size:,} objects{of_size} is left out: with what fits into "
            f"{in_units(MAX_BYTES)}, or is there, it would be the one of {cells[-1].objects:,}"
        )


class _Report:
    """What was found out, as a table or as JSON lines."""

    def __init__(self, output: Output, options: BenchOptions) -> None:
        self.output = output
        self._options = options
        self._table = Table()
        for heading in ("objects", "fetched by", "objects/s", "MB/s", "a batch is"):
            self._table.add_column(heading, justify="left" if heading == "fetched by" else "right")

    def add(
        self,
        cell: Cell,
        size: int | None,
        in_all: int,
        one_by_one: _Rates,
        at_once: _Rates,
        in_a_batch: _Rates,
    ) -> None:
        """Add what one batch and the GETs of its objects came to."""
        speedups = [in_a_batch.objects / other.objects for other in (one_by_one, at_once)]
        options = self._options
        self.output.record(
            object_size=size,
            batch_size=cell.batch_size,
            objects=cell.objects,
            bytes=in_all,
            one_by_one=one_by_one.as_dict(),
            at_once=at_once.as_dict(),
            batch=in_a_batch.as_dict(),
            speedup_over_one_by_one=round(speedups[0], 2),
            speedup_over_at_once=round(speedups[1], 2),
            connections=options.connections,
            format=options.transfer_format,
            rounds=options.rounds,
        )
        each = f" ({in_units(in_all)})" if size is None else f" x {size_label(size)}"
        what = f"{cell.objects:,}{each}"
        if cell.objects < cell.batch_size:
            self.output.note(
                f"the batch of {cell.batch_size:,} is one of {what}: no more fit, or there are no more"
            )
        lines = (
            (what, "GETs one by one", one_by_one, f"{speedups[0]:.1f} x as fast"),
            ("", f"{options.connections} GETs at once", at_once, f"{speedups[1]:.1f} x as fast"),
            ("", "one batch", in_a_batch, ""),
        )
        for begin, way, rates, ratio in lines:
            self._table.add_row(begin, way, f"{rates.objects:,.0f}", f"{rates.bytes / 1e6:,.1f}", ratio)
        self._table.add_section()

    def print_table(self) -> None:
        """Print it all, if people read."""
        if self.output.as_json:
            return
        console = Console()
        console.print(self._table)
        console.print(f"Medians of {self._options.rounds} rounds in turns; all objects were checked.")
