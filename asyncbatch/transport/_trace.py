"""httpx's ``trace`` extension: a callback that hears of each step, by httpcore's names for them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

__all__ = ["Trace", "Tracer", "traced"]

Tracer: TypeAlias = "Callable[[str, Mapping[str, Any]], Awaitable[None]]"
Trace: TypeAlias = "Tracer | None"


@asynccontextmanager
async def traced(trace: Trace, name: str, **info: Any) -> AsyncIterator[dict[str, Any]]:  # noqa: ANN401 - any
    """Tell `trace` that a step has started, and whether it was completed or failed.

    What is yielded goes with the news of its completion, once it has a ``return_value``.
    """
    result: dict[str, Any] = {"return_value": None}
    if trace is None:
        yield result
        return
    await trace(f"{name}.started", info)
    try:
        yield result
    except BaseException as error:
        await trace(f"{name}.failed", {"exception": error})
        raise
    await trace(f"{name}.complete", result)
