"""Everything here runs on both loops."""

from __future__ import annotations

import pytest

from ..support.loops import LOOPS


@pytest.fixture(scope="session", params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    backend: object = request.param
    return backend
