"""A thousand scripts of faults: each item once, right and in order, or an error that says what is missing."""

from __future__ import annotations

import gc
import io
import logging
import tarfile
from typing import TYPE_CHECKING
from weakref import WeakSet

import pytest

from asyncbatch import BatchRequest, FormatError, IncompleteBatchError
from asyncbatch.aistore import Client
from asyncbatch.testing import DEFAULT_WEIGHTS, Expired, FaultyServer, random_faults
from asyncbatch.transport import RetryPolicy

from ..support.leaks import nothing_left_open

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asyncbatch import ItemMetadata
    from asyncbatch.batch import BatchStream
    from asyncbatch.testing import Fault

pytestmark = [pytest.mark.anyio, pytest.mark.sweep]

SEEDS = 1000
ENTRIES = 50
FORMS = (".tar", ".tar.gz", ".tar.lz4", ".zip")
AT_ONCE = RetryPolicy(base_delay=0, max_attempts=8)
# An object's 404 is no redirect that has expired, but to be believed.
OF_OBJECTS = {kind: weight for kind, weight in DEFAULT_WEIGHTS.items() if kind is not Expired}
SHARD = {f"in/{number}.txt": bytes([number]) * number * 7 for number in range(10)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    (root / "b").mkdir()
    for number in range(ENTRIES):
        if number % 4:
            (root / "b" / f"o{number}").write_bytes(b"%d " % number * (number * 37 % 300))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in SHARD.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    (root / "b" / "shard.tar").write_bytes(buffer.getvalue())
    return root


def wanted(client: Client, root: Path, seed: int) -> tuple[BatchRequest, list[bytes | None]]:
    """Return a request, and of each entry its data, None if it is missing: a fourth of them are."""
    request = BatchRequest(
        output_format=FORMS[seed % 4],
        streaming=seed % 8 < 4,
        continue_on_err=True,
        only_obj_name=seed % 3 == 0,
    )
    bucket = client.bucket("b")
    expected: list[bytes | None] = []
    for number in range(ENTRIES):
        file = root / "b" / f"o{number}"
        data = file.read_bytes() if file.exists() else None
        if number % 5 == 3:
            name = f"in/{number // 5}.txt"
            request.add_object_request(bucket.object("shard.tar"), archpath=name)
            data = SHARD[name]
        elif number % 5 == 2 and data and len(data) > 30:
            request.add_object_request(bucket.object(file.name), start=10, length=20)
            data = data[10:30]
        else:
            request.add_object_request(bucket.object(file.name))
        expected.append(data)
    return request, expected


async def read(batch: BatchStream, *, in_chunks: bool) -> list[tuple[int, bytes | None]]:
    """Return index and data of each item that comes whole, None for what is missing."""
    found: list[tuple[int, bytes | None]] = []

    def add(metadata: ItemMetadata, data: bytes) -> None:
        found.append((metadata.index, None if metadata.missing else data))

    try:
        if in_chunks:
            async for member in batch.members():
                add(member.metadata, b"".join([chunk async for chunk in member]))
        else:
            async for metadata, data in batch:
                add(metadata, data)
    except IncompleteBatchError as error:
        assert error.delivered == len(found)  # noqa: PT017 - that it raises is no failure
        assert len(error.missing) == ENTRIES - len(found)  # noqa: PT017
    except FormatError as error:  # the last one came twice
        assert (error.codec, len(found)) == ("batch", ENTRIES)  # noqa: PT017
    return found


@pytest.mark.parametrize("part", range(0, 8, 2))
async def test_each_item_comes_once_and_right_or_not_at_all(
    root: Path, part: int, anyio_backend: tuple[str, dict[str, bool]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "asyncbatch")  # what is captured keeps errors, and these their batches
    batches: WeakSet[BatchStream] = WeakSet()
    complete = resumes = 0
    seeds = range(part + anyio_backend[1]["use_uvloop"], SEEDS, 8)  # each is run on one of the loops
    faults: Iterator[Fault | None] = iter(())
    object_faults = faults
    async with FaultyServer(
        root, lambda _: next(faults), object_faults=lambda _: next(object_faults), max_soft_errors=8
    ) as server:
        async with nothing_left_open():
            for seed in seeds:
                faults = random_faults(seed, entries=ENTRIES, size=20_000, pause=0)
                object_faults = random_faults(~seed, weights=OF_OBJECTS, entries=1, size=500, pause=0)
                async with Client(server.url, retry=AT_ONCE, max_resumes=4) as client:
                    request, expected = wanted(client, root, seed)
                    async with client.get_batch(request) as batch:
                        batches.add(batch)
                        found = await read(batch, in_chunks=seed % 5 < 2)
                    resumes += batch.stats.resumes
                assert found == list(enumerate(expected))[: len(found)], f"seed {seed}"
                complete += len(found) == ENTRIES
    del batch
    gc.collect()
    assert not batches
    assert complete > len(seeds) * 0.8
    assert resumes > len(seeds)
