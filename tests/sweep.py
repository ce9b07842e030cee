"""Every answer to a batch of fifty mixed items, cut at every byte: ``python -m tests.sweep``.

In each format, streamed and multipart, by a lost connection and by a clean end, and each of them in one chunk
and in many. It takes half an hour of a processor; the tests do a hundredth of it.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import TYPE_CHECKING

from asyncbatch.aistore._batch import GetBatchSource
from asyncbatch.batch import BatchStream
from asyncbatch.errors import TransportError
from asyncbatch.transport import RetryPolicy

from .support.mixed import EXPECTED, FORMATS, FakeConnection, answer, mixed_request, values

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CASES", "sweep"]

CASES = [
    (form, streaming, end, chunk)
    for chunk, form, streaming, end in product((1 << 16, 1000), FORMATS, (True, False), ("lost", "clean end"))
]
"""Format, whether it streams, how it ends, bytes per chunk."""

_AT_ONCE = RetryPolicy(base_delay=0)


async def sweep(
    form: str,
    streaming: bool,  # noqa: FBT001 - as `CASES` has it
    end: str,
    chunk: int,
    offsets: Iterable[int] | None = None,
) -> int:
    """Cut an answer at each offset, by default all, raise unless all items come, and return how often."""
    request = mixed_request(form, streaming=streaming)
    size = len(answer(form, streaming, 0)[0])
    count = 0
    for at in range(size) if offsets is None else offsets:
        error = TransportError("lost", retryable=True) if end == "lost" else None
        connection = FakeConnection(
            lambda number, body, at=at, error=error: (body[:at], error) if number == 1 else (body, None),  # type: ignore[misc]
            size=chunk,
        )
        batch = BatchStream(GetBatchSource(connection), request, retry=_AT_ONCE)  # type: ignore[arg-type]
        items = await batch.read_all()
        if values(items) != EXPECTED:
            raise AssertionError(f"{form}, {streaming=}, {end}, {chunk=}, cut at {at}: other items")
        if not all(response.is_closed for response in connection.responses):
            raise AssertionError(f"{form}, {streaming=}, {end}, {chunk=}, cut at {at}: an answer is open")
        count += 1
    return count


def _run(case: tuple[str, bool, str, int]) -> int:
    return asyncio.run(sweep(*case))


def main() -> None:
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for case, count in zip(CASES, pool.map(_run, CASES), strict=True):
            print(*case, "all right at", count, "offsets", flush=True)  # noqa: T201 - for whoever ran it


if __name__ == "__main__":
    main()
