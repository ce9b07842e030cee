"""What 20 GB of bundles take of the client's and the server's memory: ``python -m benchmarks.bundle_memory``.

The objects are sparse files behind ``asyncbatch serve``, of 1 GiB and, as many bytes of them, of 1 MiB. The
client throws them away as they come. Peaks are the kernel's (`VmHWM`), over those behind a small bundle.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from asyncbatch.tigris import Client, bundle_objects

from .processes import serving

_GIB: Final = 1 << 30
_MIB: Final = 1 << 20
_ALLOWED: Final = 32 * _MIB


def _peak(process: int) -> int:
    """Return the most bytes of memory that a process has had."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def _drain(url: str, keys: list[str], compression: str) -> int:
    size = 0
    async with (
        Client(url, access_key_id="key", secret_access_key="secret") as client,  # noqa: S106 - nobody asks
        bundle_objects(client, "bucket", keys, compression=compression) as response,
    ):
        async for member in response.members():
            async for chunk in member:
                size += len(chunk)
        if response.bundle_bytes != size:
            raise SystemExit(f"{size} bytes came, and the trailers say {response.bundle_bytes}")
    return size


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bundle_memory", description=__doc__)
    parser.add_argument("--gigabytes", type=int, default=20)
    parser.add_argument("--compression", default="none", choices=["none", "gzip", "zstd"])
    arguments = parser.parse_args()
    half = arguments.gigabytes * 10**9 // 2
    large, small = half // _GIB + 1, half // _MIB + 1
    with TemporaryDirectory() as folder:
        bucket = Path(folder) / "bucket"
        bucket.mkdir()
        sizes = {"large": _GIB, "small": _MIB}
        for name, size in sizes.items():
            (bucket / name).touch()
            os.truncate(bucket / name, size)
        with serving(folder) as (url, server):
            warm = ["small"] * 200 + ["large"]
            asyncio.run(_drain(url, warm, arguments.compression))
            before = _peak(os.getpid()), _peak(server)
            begin = time.perf_counter()
            size = asyncio.run(
                _drain(url, ["small", "large"] * large + ["small"] * small, arguments.compression)
            )
            seconds = time.perf_counter() - begin
            after = _peak(os.getpid()), _peak(server)
    grown = [most - least for most, least in zip(after, before, strict=True)]
    print(
        f"{size / 1e9:.1f} GB in {seconds:.0f} s: the client's peak grew by {grown[0] / _MIB:.1f} MiB to "
        f"{after[0] / _MIB:.0f} MiB, the server's by {grown[1] / _MIB:.1f} MiB to {after[1] / _MIB:.0f} MiB"
    )
    if max(grown) > _ALLOWED:
        raise SystemExit(f"that is more than {_ALLOWED // _MIB} MiB")


if __name__ == "__main__":
    main()
