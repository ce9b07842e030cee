"""Test your own program against a real server: ``pytest examples/server_in_a_test.py``.

The server runs in the same event loop, and stops with the block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncbatch.aistore import Client
from asyncbatch.server import running

if TYPE_CHECKING:
    from pathlib import Path


async def total_size(client: Client, names: list[str]) -> int:
    """Your own program."""
    async with client.get_batch(names, bucket="example") as batch:
        return sum([len(data) async for _, data in batch])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_total_size(tmp_path: Path) -> None:
    (tmp_path / "example").mkdir()  # a folder is a bucket
    (tmp_path / "example" / "a").write_bytes(b"12")
    (tmp_path / "example" / "b").write_bytes(b"345")
    async with running(tmp_path) as url, Client(url) as client:
        assert await total_size(client, ["a", "b"]) == 5
