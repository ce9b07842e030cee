"""The event loops that the clients are tested on."""

from __future__ import annotations

import pytest

__all__ = ["LOOPS"]

LOOPS = (
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
)
