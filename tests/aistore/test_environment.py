"""Timeouts and connections as the environment says, by the official SDK's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from asyncbatch import UsageError
from asyncbatch.aistore import Client
from asyncbatch.aistore._environment import max_connections_of, timeout_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_nothing_is_asked_for() -> None:
    nothing: Mapping[str, str] = {"AIS_CONNECT_TIMEOUT": "", "AIS_READ_TIMEOUT": "", "AIS_MAX_CONN_POOL": ""}
    for environment in ({}, nothing):
        assert timeout_of(environment) == httpx.Timeout(60, connect=10)
        assert max_connections_of(environment) is None


def test_seconds_and_no_limit() -> None:
    environment = {"AIS_CONNECT_TIMEOUT": "1.5", "AIS_READ_TIMEOUT": "0"}
    assert timeout_of(environment) == httpx.Timeout(connect=1.5, read=None, write=60, pool=60)
    assert max_connections_of({"AIS_MAX_CONN_POOL": "7"}) == 7


@pytest.mark.parametrize("name", ["AIS_CONNECT_TIMEOUT", "AIS_READ_TIMEOUT", "AIS_MAX_CONN_POOL"])
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1s", "ten"])
def test_what_makes_no_sense_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"^{name}='{value}': it is a number"):
        Client("http://host")
    Client("http://host", http_client=httpx.AsyncClient())  # whose own affair it is
    with pytest.raises(UsageError, match="AIS_MAX_CONN_POOL"):
        max_connections_of({"AIS_MAX_CONN_POOL": "0"})


def test_what_is_passed_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_READ_TIMEOUT", "7")
    monkeypatch.setenv("AIS_MAX_CONN_POOL", "8")
    client = Client("http://host")
    assert client._own_http is not None
    assert client._own_http.timeout == httpx.Timeout(60, connect=10, read=7)
    monkeypatch.setenv("AIS_READ_TIMEOUT", "never")
    monkeypatch.setenv("AIS_MAX_CONN_POOL", "many")
    client = Client("http://host", timeout=None, max_connections=1)
    assert client._own_http is not None
    assert client._own_http.timeout == httpx.Timeout(None)
    with pytest.raises(UsageError, match="max_connections=0"):
        Client("http://host", max_connections=0)
