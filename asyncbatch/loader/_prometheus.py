"""A loader's figures for Prometheus."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from ._loader import BatchLoader

__all__ = ["LoaderCollector"]

_GAUGES: Final = {
    "held_bytes": "Bytes held now",
    "peak_held_bytes": "The most bytes that were ever held",
    "running": "Batches that are being received",
    "waiting": "Batches that wait for room, or for others to be received",
    "concurrency": "Batches that may be received at once",
}
_COUNTERS: Final = {
    "requests": "Requests sent",
    "items": "Items that have arrived",
    "retries": "Requests that failed and were sent again",
    "resumes": "How often the rest of a batch was asked for",
    "hedges": "Second requests for what was slow",
}


class LoaderCollector(Collector):
    """Collects the figures of loaders: ``REGISTRY.register(LoaderCollector({"train": loader}))``.

    The metrics are ``asyncbatch_loader_held_bytes`` and so on, by the names of `LoaderStatistics`, with the
    label ``loader``. Needs the extra ``prometheus``.

    Args:
        loaders: By the values of the label; may be changed at any time. Those that were not entered are left
            out.
    """

    def __init__(self, loaders: Mapping[str, BatchLoader]) -> None:
        self._loaders = loaders

    def describe(self) -> Iterable[Metric]:
        """Return what there is, without a value: a registry would ask the loaders for it otherwise."""
        return self._families()

    def collect(self) -> Iterator[Metric]:
        """Yield the figures as of now."""
        families = self._families()
        for name, loader in list(self._loaders.items()):
            if loader.is_entered:
                figures = asdict(loader.statistics())
                for family in families:
                    figure = family.name.removeprefix("asyncbatch_loader_")
                    family.add_metric([name], figures[figure])
        yield from families

    def _families(self) -> list[GaugeMetricFamily | CounterMetricFamily]:
        prefix = "asyncbatch_loader_"
        gauges = [GaugeMetricFamily(prefix + name, text, labels=["loader"]) for name, text in _GAUGES.items()]
        counters = [
            CounterMetricFamily(prefix + name, text, labels=["loader"]) for name, text in _COUNTERS.items()
        ]
        return [*gauges, *counters]
