"""A batch of mixed items, cut on its way from a server: by a reset, an early close and a clean end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asyncbatch import BatchRequest
from asyncbatch.aistore import Client
from asyncbatch.aistore.wire import encode_batch
from asyncbatch.testing import Cut, FaultyServer
from asyncbatch.transport import RetryPolicy

from ..support.leaks import nothing_left_open
from .test_cuts import structural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asyncbatch import BatchItem

pytestmark = [pytest.mark.anyio, pytest.mark.sweep]

ENTRIES = 50
AT_ONCE = RetryPolicy(base_delay=0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    (root / "b").mkdir()
    for number in range(ENTRIES):
        if number % 9 != 4:
            data = b"%d," % number * [0, 1, 90, 171, 700][number % 5]
            (root / "b" / f"{'long' * 30 if number % 7 == 1 else 'o'}{number}").write_bytes(data)
    return root


def request_for(client: Client, **options: Any) -> BatchRequest:  # noqa: ANN401 - of BatchRequest
    request = BatchRequest(continue_on_err=True, **options)
    bucket = client.bucket("b")
    for number in range(ENTRIES):
        name = f"{'long' * 30 if number % 7 == 1 else 'o'}{number}"
        ranged = number % 10 == 4 and number % 9 != 4
        request.add_object_request(bucket.object(name), start=2 * ranged, length=50 if ranged else None)
    return request


async def body_of(server: FaultyServer, request: BatchRequest) -> bytes:
    """Return the answer to a request as it is, from the server itself."""
    wire = encode_batch(request)
    async with httpx.AsyncClient(timeout=60) as http:
        url = f"{server.url}{wire.path}?provider=ais"
        place = (await http.request("GET", url, content=wire.body)).headers["location"]
        return (await http.request("GET", place, content=wire.body)).content


def values(items: Sequence[BatchItem]) -> list[tuple[str, bool, bytes]]:
    return [(metadata.name, metadata.missing, data) for metadata, data in items]


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "multipart"])
@pytest.mark.parametrize("form", [".tar", ".tar.gz", ".tar.lz4", ".zip"])
@pytest.mark.parametrize("how", ["reset", "close", "end"])
async def test_a_cut_is_not_seen(root: Path, how: Any, form: str, streaming: bool) -> None:  # noqa: ANN401, FBT001
    async with (
        FaultyServer(root) as server,
        nothing_left_open(),
        Client(server.url, retry=AT_ONCE, max_resumes=4) as client,
    ):
        request = request_for(client, output_format=form, streaming=streaming)
        body = await body_of(server, request)
        whole = values(await client.get_batch(request).read_all())
        assert [missing for _, missing, _ in whole].count(True) == 6
        places = structural(body, first=5) | set(range(7, len(body), len(body) // 10))
        again = 0
        for at in sorted(places):
            server.faults.append(Cut(at=at, how=how))
            async with client.get_batch(request) as batch:
                assert values(await batch.read_all()) == whole, f"cut at {at}"
            again += batch.stats.requests > 1
        assert again > len(places) / 2  # behind the last item nothing is missed
