"""What looks at httpx from outside sees our requests too: OpenTelemetry, the trace extension, mocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from asyncbatch.transport import DEFAULT_TIMEOUT, Body, StreamingTransport, open_http_client

from ..support.raw import RawServer, answering
from ..support.wire import WireServer, head, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def check(exporter: InMemorySpanExporter, server: WireServer) -> None:
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["http.status_code"] == 200
    assert span.attributes["http.method"] == "GET"
    assert "traceparent" in server.asked[0].headers


async def test_opentelemetry_for_every_client(
    exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        async with (
            WireServer(reply(200, b"body")) as server,
            open_http_client(timeout=DEFAULT_TIMEOUT) as client,
        ):
            async with client.stream("GET", server.url) as response:
                assert b"".join([chunk async for chunk in Body(response)]) == b"body"
    finally:
        instrumentor.uninstrument()
    check(exporter, server)


async def test_opentelemetry_for_one_client(exporter: InMemorySpanExporter, provider: TracerProvider) -> None:
    async with WireServer(reply(200, b"body")) as server, open_http_client(timeout=DEFAULT_TIMEOUT) as client:
        HTTPXClientInstrumentor.instrument_client(client, tracer_provider=provider)
        try:
            assert (await client.get(server.url)).text == "body"
        finally:
            HTTPXClientInstrumentor.uninstrument_client(client)
    check(exporter, server)


async def test_a_mock_of_httpxs_transport_answers_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"mock"

    async def answer(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=content())

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)
    async with open_http_client(timeout=DEFAULT_TIMEOUT) as client:
        async with client.stream("GET", "http://nowhere.invalid/") as response:
            assert [chunk async for chunk in Body(response)] == [b"mock"]


class Steps:
    """Hears of each step."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.infos: dict[str, Mapping[str, Any]] = {}

    async def __call__(self, name: str, info: Mapping[str, Any]) -> None:
        self.names.append(name)
        self.infos[name] = info


STEPS = [
    "http11.send_request_headers",
    "http11.send_request_body",
    "http11.receive_response_headers",
    "http11.receive_response_body",
]


def both(*steps: str) -> list[str]:
    return [f"{step}.{what}" for step in steps for what in ("started", "complete")]


async def test_trace() -> None:
    async with RawServer(answering(*[reply(200, b"x" * 500_000)] * 2)) as server:
        async with httpx.AsyncClient(transport=StreamingTransport()) as client:
            steps = Steps()
            await client.get(server.url, extensions={"trace": steps})
            assert steps.names == both("connection.connect_tcp", *STEPS)
            assert steps.infos["connection.connect_tcp.started"]["host"] == "127.0.0.1"
            returned = steps.infos["http11.receive_response_headers.complete"]["return_value"]
            assert returned == (b"HTTP/1.1", 200, b"Status", [(b"Content-Length", b"500000")])
            steps = Steps()
            await client.get(server.url, extensions={"trace": steps})
            assert steps.names == both(*STEPS)


async def test_trace_of_failures(tmp_path: Path) -> None:
    steps = Steps()
    async with RawServer(answering(head(200, Content_Length="5") + b"1")) as server:
        async with httpx.AsyncClient(transport=StreamingTransport()) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(server.url, extensions={"trace": steps})
    assert steps.names[-1] == "http11.receive_response_body.failed"
    assert isinstance(steps.infos[steps.names[-1]]["exception"], httpx.RemoteProtocolError)
    async with httpx.AsyncClient(transport=StreamingTransport(uds=str(tmp_path / "none"))) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://host/", extensions={"trace": steps})
    assert steps.names[-1] == "connection.connect_unix_socket.failed"
