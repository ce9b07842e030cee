"""The chart of ``getbatch``: how many times as fast batches are, by the size of objects. Needs matplotlib."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Final

from .getbatch import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from .runner import Row

__all__ = ["draw", "is_possible"]

_WORK: Final = re.compile(rf"getbatch (\w+) x (\d+)({AT_ONCE})?")
_WIDTH: Final = 0.8  # of the bars of a size, of the room that there is for them


def is_possible() -> bool:
    """Whether matplotlib is installed."""
    try:
        import_module("matplotlib")
    except ImportError:
        return False
    return True


def draw(rows: Sequence[Row], file: str) -> None:
    """Draw what `getbatch` measured into a file, whose ending tells its kind, such as ``.png``."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only who wants a chart has to have it

    ratios: dict[str, dict[int, dict[str, float]]] = {"": {}, AT_ONCE: {}}
    for row in rows:
        if match := _WORK.fullmatch(row.work):
            ratios[match[3] or ""].setdefault(int(match[2]), {})[match[1]] = row.ratio
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    figure.suptitle("One batch, compared with a GET for each object")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, (suffix, of_batches) in zip(panels, ratios.items(), strict=True):
        panel.set_title(f"GETs{suffix.removeprefix(',') or ' one by one'}")
        _draw_bars(panel, of_batches)
    panels[0].set_ylabel("times as fast")
    figure.savefig(file)


def _draw_bars(panel: Axes, of_batches: dict[int, dict[str, float]]) -> None:
    sizes = list(dict.fromkeys(size for ratios in of_batches.values() for size in ratios))
    width = _WIDTH / max(len(of_batches), 1)
    for number, (batch_size, ratios) in enumerate(sorted(of_batches.items())):
        places = [sizes.index(size) + width * number for size in ratios]
        bars = panel.bar(places, list(ratios.values()), width, label=f"{batch_size:,} objects in a batch")
        panel.bar_label(bars, fmt="%.1f", fontsize=7)
    panel.axhline(1, color="black", linewidth=0.8)
    panel.set_yscale("log", base=2)
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_xticks([place + (_WIDTH - width) / 2 for place in range(len(sizes))], sizes)
    panel.set_xlabel("size of the objects")
    if of_batches:
        panel.legend(fontsize=8)
