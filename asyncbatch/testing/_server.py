"""The server that fails on request."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from ..errors import UsageError
from ..server import create_app, running
from ._app import FaultyApp, Watched
from ._script import FaultScript

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from ._faults import Fault
    from ._script import Asked

__all__ = ["FaultyServer"]


class FaultyServer:
    """A server of a folder, as `asyncbatch.server.running` has it, that fails on request.

    It runs in this event loop, on loopback and a free port, for as long as its ``async with`` block does.
    Each request for a batch takes the next fault of the script, once, when the proxy gets it, wherever on the
    way it then strikes. What has no fault is answered as it should be. Bundles are batches, too, and objects
    those of S3's side as well.

    Args:
        root: A folder; its sub-folders are the buckets, the files in them the objects.
        faults: What happens to requests for batches: a list in their order, where None is no fault, and
            behind which all is well; an iterator, perhaps without end; or a function of the request.
        object_faults: The same for requests for objects, of all methods. Faults that concern entries do
            nothing to them.
        redirect: Whether requests are first redirected, as AIStore's proxies do.
        max_soft_errors: End a batch after that many missing entries, as AIStore does after 8. None: never.

    Attributes:
        url: ``http://127.0.0.1:PORT``; empty when it does not run.
        requests: The requests for batches so far, first to last.
        object_requests: Those for objects.

    Raises:
        UsageError: if `root` is not a folder, or one of a list is no fault.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        faults: Iterable[Fault | None] | Callable[[Asked], Fault | None] = (),
        *,
        object_faults: Iterable[Fault | None] | Callable[[Asked], Fault | None] = (),
        redirect: bool = True,
        max_soft_errors: int | None = None,
    ) -> None:
        app = create_app(root, redirect=redirect, max_soft_errors=max_soft_errors)
        self.url = ""
        self.requests: list[Asked] = []
        self.object_requests: list[Asked] = []
        self._faults = FaultScript(faults)
        self._object_faults = FaultScript(object_faults)
        self._app = FaultyApp(
            app,
            Watched(self._faults, self.requests),
            Watched(self._object_faults, self.object_requests),
            redirects=redirect,
        )
        self._stack = AsyncExitStack()

    @property
    def faults(self) -> FaultScript:
        """What will happen to requests for batches; can be changed at any time."""
        return self._faults

    @property
    def object_faults(self) -> FaultScript:
        """What will happen to requests for objects."""
        return self._object_faults

    async def __aenter__(self) -> Self:
        if self.url:
            raise UsageError("this server runs already")
        self.url = await self._stack.enter_async_context(running(self._app))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.url = ""
        await self._stack.aclose()
