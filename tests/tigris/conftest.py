"""What the tests of the client share: credentials that open nothing, and no others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch.tigris import Client
from asyncbatch.transport import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

FAST = RetryPolicy(max_attempts=3, base_delay=0)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("AWS_", "TIGRIS_")):
            monkeypatch.delenv(name)


@pytest.fixture
def make_client() -> Callable[..., Client]:
    """Make a client of a server on this machine."""

    def make(url: str, **options: Any) -> Client:  # noqa: ANN401 - of Client
        key = {"access_key_id": "tid_key", "secret_access_key": "tsec_secret"}
        return Client(url, **{"retry": FAST} | key | options)

    return make
