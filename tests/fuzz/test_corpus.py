"""What fuzzing found worth keeping, through the same functions and without a fuzzer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .__main__ import write_seeds
from .targets import TARGETS

CORPUS = Path(__file__).parents[1] / "data" / "fuzz"


def _inputs() -> list[Path]:
    return sorted(path for path in CORPUS.rglob("*") if path.is_file())


def test_the_corpus_is_small_and_every_target_has_one() -> None:
    paths = _inputs()
    assert {path.parent.name for path in paths} == set(TARGETS)
    assert {path.parent.parent for path in paths} == {CORPUS}
    assert len(paths) <= 200
    assert sum(path.stat().st_size for path in paths) <= 500 << 10


@pytest.mark.parametrize("path", _inputs(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_inputs_that_were_found(path: Path) -> None:
    data = path.read_bytes()
    TARGETS[path.parent.name](data)
    for options in range(8):
        TARGETS[path.parent.name](data[:1] + bytes([options]) + data[2:])


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_to_begin_with_and_damaged_ones(target: str, tmp_path: Path) -> None:
    write_seeds(tmp_path)
    damage = random.Random(target)  # the same in every run
    for path in sorted((tmp_path / target).iterdir()):
        data = bytearray(path.read_bytes())
        TARGETS[target](bytes(data))
        for _ in range(10):
            data[damage.randrange(len(data))] = damage.randrange(256)
            TARGETS[target](bytes(data))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", range(4))
def test_inputs_of_next_to_nothing(target: str, size: int) -> None:
    TARGETS[target](bytes(size))
