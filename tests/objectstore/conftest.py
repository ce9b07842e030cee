"""Everything here runs with nobody's credentials, and without pauses before a second try."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from asyncbatch.objectstore import Client
from asyncbatch.transport import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncbatch.objectstore import Bucket


@pytest.fixture(scope="session")
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": False}


@pytest.fixture(autouse=True)
def _on_a_clean_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_")):
            monkeypatch.delenv(name)
    defaults = Client.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "retry", RetryPolicy(max_attempts=2, base_delay=0))


@pytest.fixture(params=["file", "memory"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a store that is empty."""
    async with Client(f"file://{tmp_path}" if request.param == "file" else "memory:///") as client:
        yield client


@pytest.fixture
async def bucket(client: Client) -> Bucket:
    """An empty bucket of it."""
    return await client.bucket("bucket").create()
