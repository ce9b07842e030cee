"""What is sent and written down about who asks: no more than is wanted. And how many may ask at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asyncbatch.errors import OverloadedError
from asyncbatch.transport import RetryPolicy, open_http_client, retried, send

from ..support.wire import WireServer, reply

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio


async def test_an_anonymous_request_says_nothing_of_who_sends_it() -> None:
    http = httpx.AsyncClient(
        auth=("user", "secret"), cookies={"session": "secret"}, headers={"X-Other": "kept"}, trust_env=False
    )
    async with WireServer(reply(200), reply(200)) as server, http:
        headers = {"Authorization": "Bearer secret", "Proxy-Authorization": "Basic secret"}
        for anonymous in (True, False):
            request = http.build_request("GET", server.url, headers=headers)
            await (await send(http, request, anonymous=anonymous)).aclose()
    anonymous_one, usual = server.asked
    assert "secret" not in str(anonymous_one)
    assert anonymous_one.headers["x-other"] == "kept"
    assert "session=secret" in usual.headers["cookie"]
    assert usual.headers["authorization"].startswith("Basic ")


async def test_a_maximum_of_connections() -> None:
    async with WireServer(reply(200, b"unread"), reply(200)) as server:
        async with open_http_client(timeout=httpx.Timeout(5, pool=0.01), max_connections=1) as http:
            response = await send(http, http.build_request("GET", server.url))
            with pytest.raises(httpx.PoolTimeout):
                await http.get(server.url)
            await response.aclose()
            assert (await http.get(server.url)).status_code == 200


class Flaky:
    """Fails once."""

    def __init__(self) -> None:
        self._errors: Iterator[Exception] = iter(
            [OverloadedError(status=503, message="busy", retryable=True, url="http://host/path")]
        )

    async def __call__(self) -> str:
        for error in self._errors:
            raise error
        return "done"


async def test_a_retry_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    policy = RetryPolicy(base_delay=0)
    assert await retried(Flaky(), policy, what="GET http://host/path") == "done"
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("asyncbatch.transport", logging.WARNING)
    assert record.getMessage() == (
        "GET http://host/path: failed attempt 1, next in 0.000 s: HTTP 503 from http://host/path: busy"
    )


async def test_nothing_is_written_where_nobody_listens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers: list[Any] = []
    monkeypatch.setattr(logging.getLogger(), "handlers", handlers)
    assert await retried(Flaky(), RetryPolicy(base_delay=0), what="GET http://host/path") == "done"
    assert capsys.readouterr().err == ""
