"""A folder of objects that the faulty servers serve."""

from __future__ import annotations

import io
import logging
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def nothing_went_wrong(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Faults are no errors of the application's: the server that runs it has none to report."""
    yield
    said = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert said == []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A bucket ``b`` of ten objects ``o0`` to ``o9``, and a shard with a file ``in/it``."""
    bucket = tmp_path / "root" / "b"
    bucket.mkdir(parents=True)
    for number in range(10):
        (bucket / f"o{number}").write_bytes(f"object {number}\n".encode() * 100)
    with tarfile.open(bucket / "s.tar", "w") as shard:
        member = tarfile.TarInfo("in/it")
        member.size = 4
        shard.addfile(member, io.BytesIO(b"meow"))
    for path in bucket.iterdir():
        os.utime(path, (1, 1))
    return tmp_path / "root"
