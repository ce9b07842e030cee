"""Everything here runs on both loops, and asks once unless it says otherwise."""

from __future__ import annotations

import pytest

from asyncbatch.batch import BatchStream
from asyncbatch.transport import RetryPolicy

from ..support.loops import LOOPS


@pytest.fixture(scope="session", params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    backend: object = request.param
    return backend


@pytest.fixture(autouse=True)
def _ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an answer means is told by one of them."""
    defaults = BatchStream.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "max_resumes", 0)
    monkeypatch.setitem(defaults, "retry", RetryPolicy(max_attempts=1))
