"""What Prometheus is told."""

from __future__ import annotations

import pytest

from asyncbatch import BatchLoader

from .sources import Shelf, request_of, run

prometheus = pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")


def test_the_figures_of_loaders() -> None:
    from asyncbatch.loader import LoaderCollector  # noqa: PLC0415 - needs what may not be installed

    async def main() -> str:
        registry = prometheus.CollectorRegistry()
        loaders = {"idle": BatchLoader(Shelf())}
        registry.register(LoaderCollector(loaders))
        async with BatchLoader(Shelf()) as loader:
            loaders["train"] = loader
            assert len([item async for item in loader.stream([request_of("a-1", "b-1")])]) == 2
            text: bytes = prometheus.generate_latest(registry)
            return text.decode()

    text = run(main())
    for line in (
        "# TYPE asyncbatch_loader_held_bytes gauge",
        'asyncbatch_loader_held_bytes{loader="train"} 0.0',
        'asyncbatch_loader_concurrency{loader="train"} 8.0',
        "# TYPE asyncbatch_loader_items_total counter",
        'asyncbatch_loader_items_total{loader="train"} 2.0',
        'asyncbatch_loader_requests_total{loader="train"} 1.0',
        'asyncbatch_loader_hedges_total{loader="train"} 0.0',
    ):
        assert line in text.splitlines()
    assert "idle" not in text
