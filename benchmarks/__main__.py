"""The command: ``python -m benchmarks NAME… [--json] [--rounds N] [--plot FILE]``, from the root."""

from __future__ import annotations

import argparse
import json
import platform
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from asyncbatch.codecs._backends import BACKEND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .runner import Row

_BENCHMARKS: Final = {
    "tar": "tar archives in memory, beside tarfile",
    "zip": "zip archives in memory, beside zipfile",
    "compression": "decompressors alone, beside the usual readers of streams",
    "stalls": "how long the event loop stands still while a compressed archive is read",
    "http": "bodies over loopback, beside httpx, aiohttp and curl",
    "e2e": "batches from a sender over loopback, beside the official SDK",
    "loader": "many batches at once, and load(), beside one batch after another and beside GETs",
    "getbatch": "a batch beside a GET for each object, on our server or on $AIS_ENDPOINT",
    "stores": "small objects from a folder, S3's API and a gateway, beside aiobotocore, aiohttp and threads",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "benchmarks",
        nargs="+",
        metavar="benchmark",
        choices=_BENCHMARKS,
        help="; ".join(f"{name}: {what}" for name, what in _BENCHMARKS.items()),
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per row and line")
    parser.add_argument("--rounds", type=int, default=5, help="rounds to take the median of (default: 5)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only work whose name begins so")
    parser.add_argument("--plot", default="", metavar="FILE", help="draw what getbatch measured (matplotlib)")
    # For the tests: the fraction of the usual number of items.
    parser.add_argument("--scale", type=float, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    if arguments.plot:
        _check_plot(parser, arguments.benchmarks)
    options = {"rounds": arguments.rounds, "scale": arguments.scale, "only": arguments.only}
    measured: list[Row] = []
    rows = _kept(_rows(arguments.benchmarks, options), measured)
    if arguments.json:
        for row in rows:
            print(json.dumps(row.as_dict()), flush=True)
    else:
        _print_table(rows)
    if arguments.plot:
        import_module(".plot", __package__).draw(measured, arguments.plot)


def _check_plot(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Refuse a chart that cannot be drawn, before anything is measured for it."""
    if "getbatch" not in names:
        parser.error("--plot: it draws what getbatch measures, which is not asked for")
    if not import_module(".plot", __package__).is_possible():
        parser.error("--plot: it needs matplotlib; install it: pip install matplotlib")


def _kept(rows: Iterable[Row], measured: list[Row]) -> Iterator[Row]:
    """Pass rows on, and keep them."""
    for row in rows:
        measured.append(row)
        yield row


def _rows(names: Iterable[str], options: Mapping[str, Any]) -> Iterator[Row]:
    for name in names:
        yield from import_module(f".{name}", __package__).rows(**options)


def _print_table(rows: Iterable[Row]) -> None:
    print(f"{platform.python_implementation()} {platform.python_version()}, checksums by {BACKEND.name}\n")
    print(f"{'work':48} {'ratio':>7} {'ours':>10} {'theirs':>10} {'of curl':>8} {'overhead':>9}  rival")
    for row in rows:
        curl = "" if row.of_curl is None else f"{row.of_curl:.2f}"
        overhead = "" if row.overhead_ns is None else f"{row.overhead_ns} ns"
        rival = f"{row.rival} ({row.settings})" if row.settings else row.rival
        beside = "".join(f"; {name} {seconds / row.ours:.2f}x" for name, seconds in row.beside.items())
        print(
            f"{row.work:48} {row.ratio:6.2f}x {row.ours * 1e3:7.1f} ms {row.theirs * 1e3:7.1f} ms {curl:>8}"
            f" {overhead:>9}  {rival}{beside}",
            flush=True,
        )


main()
