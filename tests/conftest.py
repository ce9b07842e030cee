"""What all tests share: the event loop, and property tests that are the same on every run."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

# A shell that starts us in the background has SIGINT ignored, by us and by all that we start. Tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("asyncbatch", derandomize=True, deadline=None)
settings.load_profile("asyncbatch")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The loop of every async test. A module that should pass on uvloop too overrides it with parameters."""
    return "asyncio"
