"""Everything here runs on both loops, and asks once unless it says otherwise."""

from __future__ import annotations

import os

import pytest

from asyncbatch.aistore import Client
from asyncbatch.transport import RetryPolicy

from ..support.loops import LOOPS


@pytest.fixture(scope="session", params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    backend: object = request.param
    return backend


@pytest.fixture(autouse=True)
def _ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an answer means is told by one of them."""
    defaults = Client.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "retry", RetryPolicy(max_attempts=1))
    monkeypatch.setitem(defaults, "max_resumes", 0)


@pytest.fixture(autouse=True)
def _on_a_clean_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A developer's own cluster and token do not enter the tests."""
    for name in list(os.environ):
        if name.startswith("AIS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
