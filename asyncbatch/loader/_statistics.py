"""What a loader tells of itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LoaderStatistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderStatistics:
    """Figures of a loader, as of the moment they were asked for.

    Attributes:
        held_bytes: Held now: items that were not handed out, with their metadata, and what has come of the
            next ones. An item counts until the reader asks for another, or a little longer.
        peak_held_bytes: The most that ever were.
        running: Batches that are being received.
        waiting: Batches that wait: for room in the budget, or for others to be received.
        concurrency: Batches that may be received at once, as of now.
        requests: Sent for batches and for single objects; redirects are not counted.
        items: That have arrived, those with an error included.
        retries: Requests that failed and were sent again.
        resumes: How often the rest of a batch was asked for: because an answer broke off, or because
            nobody had read it for so long that the server might.
        hedges: Second requests for the rest of a batch that was slow.
    """

    held_bytes: int
    peak_held_bytes: int
    running: int
    waiting: int
    concurrency: int
    requests: int
    items: int
    retries: int
    resumes: int
    hedges: int
