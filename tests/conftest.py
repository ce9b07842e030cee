"""What all tests share: the event loop, and property tests that are the same on every run."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("asyncbatch", derandomize=True, deadline=None)
settings.load_profile("asyncbatch")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The loop of every async test. A module that should pass on uvloop too overrides it with parameters."""
    return "asyncio"
