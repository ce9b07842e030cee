"""What ``asyncbatch bench`` and ``python -m benchmarks getbatch`` share: what is fetched, and from where.

A batch of objects is held against GETs of the same objects. Batches that would be larger than a bound are cut
down to it, so that 10,000 objects of 10 MiB do not mean 100 GiB.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from contextlib import asynccontextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from ..errors import AsyncBatchError, UsageError
from ._run import complain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from ..aistore import Bucket, Client

__all__ = [
    "BATCH_SIZES",
    "CONNECTIONS",
    "MAX_BYTES",
    "OBJECT_SIZES",
    "Cell",
    "fill",
    "for_each",
    "parse_numbers",
    "parse_sizes",
    "plan",
    "size_label",
    "temporary_bucket",
]

_T = TypeVar("_T")

OBJECT_SIZES: Final = "1KiB,10KiB,100KiB,1MiB,10MiB"
BATCH_SIZES: Final = "100,1000,10000"
CONNECTIONS: Final = 64  # GETs at once
MAX_BYTES: Final = 200 << 20  # of a batch

_UNITS: Final = {
    "B": 1,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}
_SIZE: Final = re.compile(r"([1-9][0-9]{0,11}) *([KMG]I?B|B|)", re.IGNORECASE | re.ASCII)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_REMOVAL_PATIENCE: Final = 60.0  # seconds; whoever pressed Ctrl-C may press it once more


class Cell(NamedTuple):
    """One thing to measure.

    Attributes:
        batch_size: Objects that were to be in the batch.
        objects: Those that are: the first ones, as many as fit.
    """

    batch_size: int
    objects: int


def parse_sizes(text: str) -> list[int]:
    """Read sizes in bytes, such as ``1KiB,10 MB,512``.

    Raises:
        UsageError: if they are none.
    """
    found = []
    for part in text.split(","):
        match = _SIZE.fullmatch(part.strip())
        if match is None:
            raise UsageError(f"{part.strip()!r} is no size; sizes are like 1KiB,10KiB,1MiB")
        found.append(int(match[1]) * _UNITS[match[2].upper() or "B"])
    return list(dict.fromkeys(found))


def parse_numbers(text: str) -> list[int]:
    """Read numbers of objects, such as ``100,1000``; they come back in order.

    Raises:
        UsageError: if they are none.
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if _NUMBER.fullmatch(part) is None:
            raise UsageError(f"{part!r} is no number of objects; they are like 100,1000")
    return sorted(set(map(int, parts)))


def size_label(size: int) -> str:
    """Write a size in the largest unit that it is a whole number of, as ``10KiB``."""
    for unit in ("GiB", "MiB", "KiB"):
        if size % _UNITS[unit.upper()] == 0:
            return f"{size // _UNITS[unit.upper()]}{unit}"
    return f"{size}B"


def plan(
    sizes: Sequence[int], batch_sizes: Iterable[int], *, max_bytes: int = MAX_BYTES
) -> tuple[list[Cell], list[int]]:
    """Decide how many objects each batch has.

    Args:
        sizes: Those of the objects, of which a batch has the first ones.
        batch_sizes: Objects that batches were to have, in ascending order.
        max_bytes: Of a batch, unless it is of one object.

    Returns:
        What to measure; and the batch sizes that are left out, since as many objects are in a smaller one.
    """
    fitting = sum(total <= max_bytes for total in accumulate(sizes)) or 1
    cells: dict[int, Cell] = {}
    left_out = []
    for batch_size in batch_sizes:
        objects = min(batch_size, fitting, len(sizes))
        if objects in cells:
            left_out.append(batch_size)
        else:
            cells[objects] = Cell(batch_size, objects)
    return list(cells.values()), left_out


@asynccontextmanager
async def temporary_bucket(client: Client) -> AsyncIterator[Bucket]:
    """Make a bucket by a random name; remove it, with all that is in it, whatever happens.

    Raises:
        RemoteError, TransportError: as the server and the network have it.
    """
    bucket = client.bucket(f"asyncbatch-bench-{secrets.token_hex(6)}")
    made = False
    try:
        await bucket.create()
        made = True
        yield bucket
    finally:
        # Also if it was not made, as far as we know: it may have been, and the answer was not waited for.
        try:
            async with asyncio.timeout(_REMOVAL_PATIENCE):
                await bucket.destroy(missing_ok=True)
        except (AsyncBatchError, TimeoutError) as error:
            if made:
                complain(
                    f"bucket {bucket.name} is left behind, remove it yourself: {str(error) or 'no answer'}"
                )


async def fill(bucket: Bucket, objects: Iterable[tuple[str, bytes]], advance: Callable[[int], None]) -> None:
    """Store objects.

    Args:
        bucket: Where to.
        objects: Their names and data.
        advance: Called with 1 for each that is stored.

    Raises:
        RemoteError, TransportError: as the server and the network have it.
    """

    async def put(one: tuple[str, bytes]) -> None:
        name, data = one
        await bucket.object(name).put(data)
        advance(1)

    await for_each(objects, put, at_once=16)


async def for_each(
    wanted: Iterable[_T], work: Callable[[_T], Awaitable[object]], *, at_once: int = CONNECTIONS
) -> None:
    """Work on all, some at once, in order of their beginning. The first error ends it."""
    left = iter(wanted)

    async def worker() -> None:
        for one in left:
            await work(one)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None  # one is as good as all: whoever called ends with it
