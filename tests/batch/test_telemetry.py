"""Spans, figures and the log of batches: by OpenTelemetry's own SDK, and without it."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from asyncbatch.batch import BatchStats, Server
from asyncbatch.batch._telemetry import _BOUNDS, _histogram, _instruments_of, begin_batch
from asyncbatch.errors import IncompleteBatchError
from asyncbatch.transport import DEFAULT_TIMEOUT, open_http_client

from ..support.batches import request_of
from ..support.wire import WireServer, reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

pytestmark = pytest.mark.anyio

REQUEST = request_of(["a", "b", "c"], output_format=".tar.lz4")
STATS = BatchStats(
    items=3, bytes=300, missing=1, resumes=2, requests=3, seconds_to_first_item=0.25, seconds=1.5
)
NOTHING = BatchStats(
    items=0, bytes=0, missing=0, resumes=0, requests=1, seconds_to_first_item=None, seconds=0.5
)
WHERE = {"asyncbatch.system": "aistore", "server.address": "host", "server.port": 8080}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> Iterator[TracerProvider]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # Set for good, it would be that of all tests behind this one.
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield provider
    provider.shutdown()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    yield reader
    provider.shutdown()
    _instruments_of.cache_clear()


def begin() -> Any:  # noqa: ANN401 - BatchTelemetry
    return begin_batch(REQUEST, Server("aistore", "host", 8080))


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


@pytest.mark.usefixtures("tracing")
def test_a_span_of_a_batch_that_came_whole(exporter: InMemorySpanExporter) -> None:
    begin().end(STATS)
    span = only(exporter)
    assert (span.name, span.kind) == ("get_batch", trace.SpanKind.CLIENT)
    assert span.status.status_code is trace.StatusCode.UNSET
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "asyncbatch"
    assert dict(span.attributes or {}) == WHERE | {
        "asyncbatch.batch.outcome": "complete",
        "asyncbatch.batch.entries": 3,
        "asyncbatch.batch.format": ".tar.lz4",
        "asyncbatch.batch.streaming": True,
        "asyncbatch.batch.items": 3,
        "asyncbatch.batch.bytes": 300,
        "asyncbatch.batch.missing": 1,
        "asyncbatch.batch.resumes": 2,
        "asyncbatch.batch.requests": 3,
        "asyncbatch.batch.seconds_to_first_item": 0.25,
    }


@pytest.mark.usefixtures("tracing")
def test_a_span_of_a_batch_that_failed(exporter: InMemorySpanExporter) -> None:
    error = IncompleteBatchError("the answer broke off", delivered=0, missing=REQUEST.entries)
    begin().end(NOTHING, error)
    span = only(exporter)
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.status.description == str(error)
    (event,) = span.events
    assert event.name == "exception"
    attributes = dict(span.attributes or {})
    assert attributes["asyncbatch.batch.outcome"] == "failed"
    assert attributes["error.type"] == "asyncbatch.errors.IncompleteBatchError"
    assert "asyncbatch.batch.seconds_to_first_item" not in attributes


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "closed"), (asyncio.CancelledError(), "cancelled")], ids=str
)
def test_to_be_given_up_is_no_failure(
    error: BaseException | None, outcome: str, exporter: InMemorySpanExporter
) -> None:
    begin().end(NOTHING, error)
    span = only(exporter)
    assert span.status.status_code is trace.StatusCode.UNSET
    assert not span.events
    assert dict(span.attributes or {})["asyncbatch.batch.outcome"] == outcome
    assert "error.type" not in (span.attributes or {})


@pytest.mark.usefixtures("tracing")
def test_a_batch_ends_once(exporter: InMemorySpanExporter, reader: InMemoryMetricReader) -> None:
    batch = begin()
    batch.end(STATS)
    batch.end(NOTHING, ValueError("late"))
    assert only(exporter).status.status_code is trace.StatusCode.UNSET
    assert figures(reader)["asyncbatch.batch.items"].value == 3


@pytest.mark.usefixtures("tracing")
def test_what_is_not_known_is_left_out(exporter: InMemorySpanExporter) -> None:
    begin_batch(REQUEST, Server("fake")).end(STATS)
    assert not {"server.address", "server.port"} & (only(exporter).attributes or {}).keys()


async def test_requests_come_below_the_batch_and_the_batch_below_its_caller(
    exporter: InMemorySpanExporter, tracing: TracerProvider
) -> None:
    async with (
        WireServer(reply(200), reply(200)) as server,
        open_http_client(timeout=DEFAULT_TIMEOUT) as http,
    ):
        HTTPXClientInstrumentor.instrument_client(http, tracer_provider=tracing)
        with tracing.get_tracer("test").start_as_current_span("caller") as caller:
            batch = begin()
            for _ in range(2):  # a resume
                with batch.active():
                    await http.get(server.url)
                assert trace.get_current_span() is caller
            batch.end(STATS)
    first, second, span, outermost = exporter.get_finished_spans()
    assert (span.name, outermost.name) == ("get_batch", "caller")
    assert span.parent == outermost.context
    assert first.parent == second.parent == span.context


async def test_an_error_while_a_request_is_sent_is_told_by_the_batch_alone(
    exporter: InMemorySpanExporter, tracing: TracerProvider
) -> None:
    del tracing
    batch = begin()
    with pytest.raises(ValueError, match="tried again"), batch.active():
        raise ValueError("tried again")
    batch.end(STATS)
    span = only(exporter)
    assert span.status.status_code is trace.StatusCode.UNSET
    assert not span.events


def figures(reader: InMemoryMetricReader) -> dict[str, Any]:
    """Return the only point of each instrument."""
    data = reader.get_metrics_data()
    assert data is not None
    ((scope,),) = [resource.scope_metrics for resource in data.resource_metrics]
    return {metric.name: metric.data.data_points[0] for metric in scope.metrics}


def test_figures(reader: InMemoryMetricReader) -> None:
    begin().end(STATS)
    begin().end(STATS)
    points = figures(reader)
    counted = {
        name: point.value for name, point in points.items() if not isinstance(point, HistogramDataPoint)
    }
    assert counted == {
        "asyncbatch.batch.items": 6,
        "asyncbatch.batch.bytes": 600,
        "asyncbatch.batch.missing": 2,
        "asyncbatch.batch.resumes": 4,
        "asyncbatch.batch.requests": 6,
    }
    duration, first = points["asyncbatch.batch.duration"], points["asyncbatch.batch.time_to_first_item"]
    assert (duration.count, duration.sum, first.count, first.sum) == (2, 3.0, 2, 0.5)
    assert duration.explicit_bounds == _BOUNDS
    assert dict(duration.attributes) == WHERE | {"asyncbatch.batch.outcome": "complete"}


def test_figures_of_a_batch_without_an_item(reader: InMemoryMetricReader) -> None:
    begin().end(NOTHING, ValueError())
    points = figures(reader)
    assert "asyncbatch.batch.time_to_first_item" not in points
    assert dict(points["asyncbatch.batch.duration"].attributes)["error.type"] == "builtins.ValueError"


def test_an_older_api_knows_no_bounds() -> None:
    class Older:
        def create_histogram(self, name: str, unit: str, description: str) -> tuple[str, str, str]:
            return name, unit, description

    older: Any = Older()
    made: Any = _histogram(older, "duration", "…")
    assert made == ("asyncbatch.batch.duration", "s", "…")


def test_where_nothing_is_recorded_there_is_no_span() -> None:
    batch = begin()
    with batch.active():
        assert trace.get_current_span() is trace.INVALID_SPAN
    batch.end(STATS)


def test_opentelemetry_is_not_imported_for_it() -> None:
    program = """
import sys
from asyncbatch.batch import BatchRequest, BatchStats, Server
from asyncbatch.batch._telemetry import begin_batch
batch = begin_batch(BatchRequest(), Server("fake"))
with batch.active():
    pass
batch.end(BatchStats(0, 0, 0, 0, 0, None, 0.0))
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)  # noqa: S603 - ourselves
    assert done.stdout == "[]\n"


def test_without_opentelemetry_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("opentelemetry.trace", "opentelemetry.metrics"):
        monkeypatch.delitem(sys.modules, name)
    batch = begin()
    with batch.active():
        pass
    batch.end(STATS)
    assert not [name for name in sys.modules if name in {"opentelemetry.trace", "opentelemetry.metrics"}]


def test_the_end_of_a_batch_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    begin().end(STATS)
    assert not caplog.records
    caplog.set_level(logging.DEBUG, "asyncbatch")
    begin().end(STATS)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("asyncbatch.batch", logging.DEBUG)
    assert record.getMessage() == f"batch complete, 3 entries: {STATS}"
