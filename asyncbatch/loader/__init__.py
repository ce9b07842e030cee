"""Batches from any source: today one at a time, each read as it arrives."""

from __future__ import annotations

from ._loader import BatchLoader

__all__ = ["BatchLoader"]
