"""What came of the items of a command: counted, told one by one, and summed up."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ._output import in_units
from ._run import Status, complain
from ._sinks import item_name

if TYPE_CHECKING:
    from ..batch import ItemMetadata
    from ..loader import LoaderStatistics
    from ._output import Output

__all__ = ["Tally"]


@dataclass(slots=True)
class Tally:
    """What came of the items."""

    output: Output
    started: float = field(default_factory=time.perf_counter)
    fetched: int = 0
    bytes: int = 0
    missing: int = 0
    failed: int = 0

    def add(self, item: ItemMetadata) -> None:
        """Count an item, and tell of it."""
        self.output.record(
            name=item.name, archpath=item.archpath, size=item.size, missing=item.missing, error=item.error
        )
        if item.error is None:
            self.fetched += 1
            self.bytes += item.size
            return
        self.missing += item.missing
        self.failed += not item.missing
        if not self.output.as_json:
            complain(f"{'missing' if item.missing else 'failed'}: {item_name(item)}: {item.error}")

    def live(self, loader: LoaderStatistics) -> str:
        """Tell how it goes: how fast, and what the loader does."""
        seconds = max(time.perf_counter() - self.started, 0.001)
        done = self.fetched + self.missing + self.failed
        return (
            f"{done / seconds:,.0f} objects/s, {in_units(self.bytes / seconds)}/s, "
            f"{in_units(loader.held_bytes)} held, {loader.running} running, "
            f"{loader.retries + loader.resumes} retries"
        )

    def summary(self) -> str:
        """Sum up, in a line."""
        seconds = time.perf_counter() - self.started
        lost = "".join(
            f", {count} {what}"
            for count, what in ((self.missing, "missing"), (self.failed, "failed"))
            if count
        )
        return f"{self.fetched} fetched ({in_units(self.bytes)}) in {seconds:.2f} s{lost}"

    def status(self) -> Status:
        """Return the exit status that this makes."""
        if self.failed:
            return Status.FAILED
        return Status.MISSING if self.missing else Status.OK
