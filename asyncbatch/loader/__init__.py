"""Many batches from any source at once: in order, in bounded memory, and as the server can bear it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_exports
from ._batches import LoadedBatch, LoadedBatches, LoadedItems
from ._loader import DEFAULT_MAX_CONCURRENCY, DEFAULT_MAX_MEMORY, BatchLoader, LoaderOptions
from ._plan import Part, Plan
from ._statistics import LoaderStatistics

if TYPE_CHECKING:
    from ._prometheus import LoaderCollector

__all__ = [
    "DEFAULT_MAX_CONCURRENCY",
    "DEFAULT_MAX_MEMORY",
    "BatchLoader",
    "LoadedBatch",
    "LoadedBatches",
    "LoadedItems",
    "LoaderCollector",
    "LoaderOptions",
    "LoaderStatistics",
    "Part",
    "Plan",
]

__getattr__ = lazy_exports(__name__, {"_prometheus": ("LoaderCollector",)})
