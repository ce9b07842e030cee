"""What a batch tells of itself when it is over: a span and figures, by OpenTelemetry, and a line of the log.

OpenTelemetry is used if the program has imported it, as every program has that lets it record anything. Else
nothing of it is imported here, and nothing of this costs anything.

Spans have the kind CLIENT and the name ``get_batch``. They and the figures have these attributes:

=================================== ===================================================================
``asyncbatch.system``               what was asked, such as ``"aistore"``
``server.address``, ``server.port`` where
``asyncbatch.batch.outcome``        ``"complete"``; ``"closed"`` by its reader before its end;
                                    ``"cancelled"`` with the task that read it; ``"failed"``
``error.type``                      class of the error of a batch that failed
=================================== ===================================================================

Spans have ``asyncbatch.batch.entries``, ``.format`` and ``.streaming`` too, and the fields of `BatchStats`,
but for the seconds that a span has anyway. The figures are the histograms ``asyncbatch.batch.duration`` and
``.time_to_first_item``, in seconds, and the counters ``asyncbatch.batch.items``, ``.bytes``, ``.missing``,
``.resumes`` and ``.requests``.
"""

from __future__ import annotations

import logging
import sys
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from .._version import __version__

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from opentelemetry.metrics import Counter, Histogram, Meter, MeterProvider
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from ._item import BatchStats
    from ._request import BatchRequest
    from ._source import Server

__all__ = ["BatchTelemetry", "begin_batch"]

_logger: Final = logging.getLogger("asyncbatch.batch")

_COUNTERS: Final = {
    "items": ("{item}", "Items delivered, those with an error included"),
    "bytes": ("By", "Data of the items"),
    "missing": ("{item}", "Items that do not exist"),
    "resumes": ("{resume}", "How often batches were asked for again"),
    "requests": ("{request}", "Requests sent for batches, redirects not counted"),
}
# OpenTelemetry's own bounds are meant for milliseconds.
_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)  # seconds


def begin_batch(request: BatchRequest, server: Server) -> BatchTelemetry:
    """Begin the span of a batch, below the caller's, when its first request is about to be sent.

    Args:
        request: What is asked for.
        server: Who is asked.

    Returns:
        What is to be ended with the batch. A batch that is left to the garbage collector is not told of.
    """
    entries = len(request)
    where: dict[str, str | int] = {"asyncbatch.system": server.system}
    if server.address is not None:
        where["server.address"] = server.address
    if server.port is not None:
        where["server.port"] = server.port
    tracer = _tracer()
    if tracer is None:
        return BatchTelemetry(entries, where, None)
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 - not before the program does

    attributes = {
        **where,
        "asyncbatch.batch.entries": entries,
        "asyncbatch.batch.format": request.output_format,
        "asyncbatch.batch.streaming": request.streaming,
    }
    span = tracer.start_span("get_batch", kind=SpanKind.CLIENT, attributes=attributes)
    return BatchTelemetry(entries, where, span)


class BatchTelemetry:
    """What is told of one batch. Made by `begin_batch`."""

    __slots__ = ("_entries", "_is_ended", "_span", "_where")

    def __init__(self, entries: int, where: dict[str, str | int], span: Span | None) -> None:
        self._entries = entries
        self._where = where
        self._span = span
        self._is_ended = False

    def active(self) -> AbstractContextManager[object]:
        """Return a context in which requests are sent, so that their spans come below the batch's.

        It is for one task, and around no ``yield``: what runs in between would come below it too.
        """
        if self._span is None:
            return nullcontext()
        from opentelemetry.trace import use_span  # noqa: PLC0415 - not before the program does

        return use_span(self._span, end_on_exit=False, record_exception=False, set_status_on_exception=False)

    def end(self, stats: BatchStats, error: BaseException | None = None) -> None:
        """Tell how the batch went, once: further calls do nothing.

        Args:
            stats: Its figures.
            error: What it failed with, or what cancelled it; None if it came to its end or was closed.
        """
        if self._is_ended:
            return
        self._is_ended = True
        outcome = self._outcome(stats, error)
        attributes = {**self._where, "asyncbatch.batch.outcome": outcome}
        if outcome == "failed":
            kind = type(error)
            attributes["error.type"] = f"{kind.__module__}.{kind.__qualname__}"
        if self._span is not None:
            self._end_span(self._span, attributes, stats, error if outcome == "failed" else None)
        instruments = _instruments()
        if instruments is not None:
            instruments.record(stats, attributes)
        if _logger.isEnabledFor(logging.DEBUG):
            _logger.debug("batch %s, %d entries: %s", outcome, self._entries, stats)

    def _outcome(self, stats: BatchStats, error: BaseException | None) -> str:
        if error is None:
            return "complete" if stats.items == self._entries else "closed"
        return "failed" if isinstance(error, Exception) else "cancelled"

    def _end_span(
        self,
        span: Span,
        attributes: dict[str, str | int],
        stats: BatchStats,
        error: BaseException | None,
    ) -> None:
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - not before the program does

        span.set_attributes(attributes)
        span.set_attributes({f"asyncbatch.batch.{name}": getattr(stats, name) for name in _COUNTERS})
        if stats.seconds_to_first_item is not None:
            span.set_attribute("asyncbatch.batch.seconds_to_first_item", stats.seconds_to_first_item)
        if error is not None:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, str(error)))
        span.end()


class _Instruments(NamedTuple):
    """Those of one meter."""

    duration: Histogram
    time_to_first_item: Histogram
    counters: dict[str, Counter]

    def record(self, stats: BatchStats, attributes: dict[str, str | int]) -> None:
        self.duration.record(stats.seconds, attributes)
        if stats.seconds_to_first_item is not None:
            self.time_to_first_item.record(stats.seconds_to_first_item, attributes)
        for name, counter in self.counters.items():
            counter.add(getattr(stats, name), attributes)


def _tracer() -> Tracer | None:
    """Return the tracer; None if nothing is recorded."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    # No look at sys.modules alone: the statement waits for another thread that is still importing.
    from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider  # noqa: PLC0415 - not before the program does

    provider = get_tracer_provider()
    return None if isinstance(provider, ProxyTracerProvider) else _tracer_of(provider)


def _instruments() -> _Instruments | None:
    """Return the instruments, which do nothing if nothing is recorded; None if nothing ever was."""
    if "opentelemetry.metrics" not in sys.modules:
        return None
    from opentelemetry.metrics import get_meter_provider  # noqa: PLC0415 - not before the program does

    return _instruments_of(get_meter_provider())


# Of one provider, since a program has one, and of another one once it has set that.
@lru_cache(maxsize=1)
def _tracer_of(provider: TracerProvider) -> Tracer:
    return provider.get_tracer("asyncbatch", __version__)


@lru_cache(maxsize=1)
def _instruments_of(provider: MeterProvider) -> _Instruments:
    meter = provider.get_meter("asyncbatch", __version__)
    return _Instruments(
        _histogram(meter, "duration", "Seconds from the request to the end of the batch"),
        _histogram(meter, "time_to_first_item", "Seconds from the request to the first item"),
        {
            name: meter.create_counter(f"asyncbatch.batch.{name}", unit, description)
            for name, (unit, description) in _COUNTERS.items()
        },
    )


def _histogram(meter: Meter, name: str, description: str) -> Histogram:
    name = f"asyncbatch.batch.{name}"
    try:
        return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=_BOUNDS)
    except TypeError:  # of an API before 1.30, which the program may have
        return meter.create_histogram(name, "s", description)
