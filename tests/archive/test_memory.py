"""What reading holds: a large member read by chunks next to nothing, and a bomb no more than a step of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asyncbatch.codecs._decompress import MAX_OUTPUT, RATIO_FREE

from ..support.large import KINDS

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process's peak, and resets it"
)

GIB = 1 << 30
MIB = 1 << 20

# Compressed tars of what cannot be compressed are read at full size, but for bzip2: that would take minutes.
LARGE = [(kind, "noise", GIB) for kind in KINDS if kind != ".tar.bz2"] + [(".tar.bz2", "noise", 8 * MIB)]
COMPRESSED = [kind for kind in KINDS if kind not in {".tar", ".zip"}]
BOMB = 10 * GIB
# These make their decoder anew for each stream: xz with a dictionary, bzip2 with tables of 4 MB.
ROOM = {".tar.xz": 16 * MIB, ".tar.bz2": 12 * MIB}


def read(*arguments: object) -> list[str]:
    """Read an archive in a process of its own; return what it printed."""
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", "tests.support.large", *map(str, arguments)],
        stdout=subprocess.PIPE,
        check=True,
        cwd=Path(__file__).parents[2],
        # What was freed goes back to the system at once: the reader is measured, not malloc's holes.
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": str(MIB)},
    )
    return done.stdout.decode().split()


@pytest.mark.parametrize(("kind", "data", "size"), LARGE, ids=[kind for kind, _, _ in LARGE])
def test_a_large_member_read_by_chunks_needs_no_memory(kind: str, data: str, size: int) -> None:
    came, growth = map(int, read(kind, data, size))
    assert came == size
    assert growth <= ROOM.get(kind, 8 * MIB)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_is_stopped_within_a_step_of_the_total_size(kind: str) -> None:
    maximum = 100 * MIB
    came, growth, limit, excess = read(kind, "zeros", BOMB, f"max_total_size={maximum}", f"max_ratio={10**9}")
    assert limit == "max_total_size"
    assert 0 < int(excess) <= MAX_OUTPUT
    assert maximum - MIB <= int(came) <= maximum  # a zip's own bytes are counted, too
    assert int(growth) <= ROOM.get(kind, 8 * MIB)


@pytest.mark.parametrize("kind", [kind for kind in COMPRESSED if kind != ".tar.lz4"])
def test_a_bomb_is_stopped_by_its_ratio_without_any_option(kind: str) -> None:
    """But for LZ4, which makes 255 bytes of one at most."""
    came, growth, limit, _ = read(kind, "zeros", BOMB)
    assert limit == "max_ratio"
    assert RATIO_FREE - 2 * MAX_OUTPUT <= int(came) <= RATIO_FREE + MAX_OUTPUT
    assert int(growth) <= ROOM.get(kind, 8 * MIB)


@pytest.mark.parametrize("kind", [".zip", ".zip-deflated"])
def test_a_member_that_tells_its_size_behind_its_data_is_stopped_within_a_step(kind: str) -> None:
    maximum = 20 * MIB
    came, growth, limit, excess = read(kind, "zeros", BOMB, f"max_member_size={maximum}")
    assert limit == "max_member_size"
    assert 0 < int(excess) <= MAX_OUTPUT
    assert maximum - MIB <= int(came) <= maximum
    assert int(growth) <= 8 * MIB


@pytest.mark.parametrize("kind", [".tar", ".tar.gz"])
def test_a_member_that_tells_its_size_in_front_is_not_even_begun(kind: str) -> None:
    came, _, limit, excess = read(kind, "zeros", BOMB, f"max_member_size={20 * MIB}")
    assert (int(came), limit, int(excess)) == (0, "max_member_size", BOMB - 20 * MIB)
