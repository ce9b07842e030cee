"""A server over a temporary folder, and a plain HTTP client that asks it over loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from asyncbatch.server import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with an empty bucket ``b``; next to it, outside, a secret."""
    (tmp_path / "secret").write_bytes(b"hush hush")
    (tmp_path / "root" / "b").mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
async def url(root: Path) -> AsyncIterator[str]:
    async with running(root) as url:
        yield url


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Follows redirects, as every client of AIStore does."""
    async with httpx.AsyncClient(base_url=url, follow_redirects=True, timeout=30) as client:
        yield client
