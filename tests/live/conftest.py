"""Tests against whatever AIStore `$AIS_ENDPOINT` names: ``pytest -m live``.

They make buckets of their own, by random names, and remove them. Without ``-m live`` none of them runs, also
where the variable is set: nobody's cluster is to be written to by accident.
"""

from __future__ import annotations

import os
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest

from asyncbatch import AsyncBatchError, BatchRequest
from asyncbatch.aistore import Client

from .stock import OBJECTS, SHARDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from asyncbatch import BatchItem
    from asyncbatch.aistore import Bucket
    from asyncbatch.batch import BatchStream
    from asyncbatch.batch._request import ObjectRef

_HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "live: talks to the AIStore that $AIS_ENDPOINT names")
    config.addinivalue_line("markers", "slow: takes more than half a minute, whatever the machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "live" in config.getoption("markexpr"):
        return
    ours = [item for item in items if _HERE in item.path.parents]
    items[:] = [item for item in items if _HERE not in item.path.parents]
    config.hook.pytest_deselected(items=ours)


class Way(NamedTuple):
    """How a batch comes."""

    output_format: str
    streaming: bool

    def __str__(self) -> str:
        return f"{self.output_format} {'streaming' if self.streaming else 'multipart'}"


_FORMATS = (".tar", ".tgz", ".tar.lz4", ".zip")


@pytest.fixture(params=[Way(form, mode) for form in _FORMATS for mode in (True, False)], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """Every way in which a batch can come."""
    found: Way = request.param
    return found


@pytest.fixture(params=[Way(".tar", streaming=True), Way(".tar", streaming=False)], ids=str)
def tar_way(request: pytest.FixtureRequest) -> Way:
    """Both modes, where the format is of no interest."""
    found: Way = request.param
    return found


@pytest.fixture(scope="session")
def endpoint() -> str:
    found = os.environ.get("AIS_ENDPOINT")
    if not found:
        pytest.skip("AIS_ENDPOINT is not set: the live tests need an AIStore")
    return found


@pytest.fixture
async def client(endpoint: str) -> AsyncIterator[Client]:
    async with Client(endpoint) as client:
        yield client


@pytest.fixture
async def http(endpoint: str) -> AsyncIterator[httpx.AsyncClient]:
    """What knows nothing of AIStore, to see what is on the wire."""
    async with httpx.AsyncClient(base_url=endpoint, timeout=60, trust_env=False) as http:
        yield http


@asynccontextmanager
async def made_bucket(client: Client, **options: Any) -> AsyncIterator[Bucket]:  # noqa: ANN401 - of bucket()
    """Make a bucket, and remove it with all that is in it."""
    bucket = client.bucket(f"asyncbatch-live-{secrets.token_hex(6)}", **options)
    try:
        yield await bucket.create()
    finally:
        await bucket.destroy(missing_ok=True)


@pytest.fixture
async def empty_bucket(client: Client) -> AsyncIterator[Bucket]:
    async with made_bucket(client) as bucket:
        yield bucket


@dataclass(frozen=True)
class Stock:
    """The bucket that most tests read from, which has `OBJECTS` and `SHARDS`."""

    name: str


@pytest.fixture(scope="session")
async def stock(endpoint: str) -> AsyncIterator[Stock]:
    async with Client(endpoint) as client, made_bucket(client) as bucket:
        for name, data in (OBJECTS | SHARDS).items():
            await bucket.object(name).put(data)
        yield Stock(bucket.name)


@pytest.fixture
def bucket(client: Client, stock: Stock) -> Bucket:
    return client.bucket(stock.name)


def request_for(objects: Iterable[ObjectRef], way: Way | None = None, **options: Any) -> BatchRequest:  # noqa: ANN401 - of BatchRequest
    """Make a request for whole objects, to come in a way."""
    request = BatchRequest(**(way._asdict() if way else {}), **options)
    for one in objects:
        request.add_object_request(one)
    return request


async def read_to_error(batch: BatchStream) -> tuple[list[BatchItem], AsyncBatchError]:
    """Read a batch that has to fail; return the items before, and the error."""
    received = []
    try:
        async for item in batch:
            received.append(item)  # noqa: PERF401 - those before an error count
    except AsyncBatchError as error:
        return received, error
    raise AssertionError(f"all {len(received)} items came, and no error")
