"""What the tests of the tar codec share: reading an archive in every way, and the tools that make others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch.codecs import MemberData, MemberEnd, MemberStart, TarDecoder, WholeMember
from asyncbatch.errors import AsyncBatchError
from asyncbatch.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncbatch.codecs._events import Buffer, Decoder
    from asyncbatch.limits import Limits

VECTORS = Path(__file__).parent.parent / "data" / "tar"
END = bytes(1024)


@dataclass
class Member:
    """A member as a decoder told it, in one event or in many."""

    name: str
    size: int
    data: bytes
    kind: str
    linkname: str
    offset: int
    whole: bool  # whether all of its data came

    @property
    def content(self) -> tuple[str, int, bytes, str, str]:
        return self.name, self.size, self.data, self.kind, self.linkname


class Collector:
    """Turns events into members, and holds the decoder to their order."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.events: list[Any] = []

    def take(self, events: Iterable[object]) -> None:
        for event in events:
            self.events.append(event)
            open_one = self.members[-1] if self.members and not self.members[-1].whole else None
            if isinstance(event, WholeMember | MemberStart):
                assert open_one is None
                whole = isinstance(event, WholeMember)
                data = event.data if isinstance(event, WholeMember) else b""
                if whole:
                    assert type(data) is bytes
                    assert len(data) == event.size
                assert event.size is not None
                self.members.append(
                    Member(event.name, event.size, data, event.kind, event.linkname, event.offset, whole)
                )
            elif isinstance(event, MemberData):
                assert open_one is not None
                assert event.data
                open_one.data += event.data
            else:
                assert isinstance(event, MemberEnd)
                assert open_one is not None
                assert len(open_one.data) == open_one.size
                open_one.whole = True


def run(decoder: Decoder, chunks: Iterable[Buffer]) -> tuple[list[Member], AsyncBatchError | None]:
    """Feed all chunks and the end; return the members, and the error that ended it, if one did."""
    collector = Collector()
    try:
        for chunk in chunks:
            decoder.feed(chunk)
            collector.take(decoder)
        decoder.feed_eof()
        collector.take(decoder)
    except AsyncBatchError as error:
        return collector.members, error
    return collector.members, None


def decode(
    data: bytes, size: int | None = None, *, limits: Limits = DEFAULT_LIMITS, strict: bool = True
) -> tuple[list[Member], AsyncBatchError | None]:
    """Decode a tar, in chunks of `size` bytes or as one."""
    return run(TarDecoder(limits=limits, strict=strict), [data] if size is None else chop(data, size))


def members_of(data: bytes, size: int | None = None) -> list[Member]:
    """Decode a tar that is expected to be sound."""
    members, error = decode(data, size)
    assert error is None, error
    return members


def chop(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def facts(error: AsyncBatchError | None) -> tuple[object, ...] | None:
    """All that an error says, to compare two."""
    return None if error is None else (type(error), str(error), {**error.__dict__})


def vector(name: str) -> bytes:
    return (VECTORS / f"{name}.tar").read_bytes()


def go_verdicts() -> dict[str, Any]:
    """What Go's archive/tar makes of each vector, recorded by data/tar/go/verdicts.go."""
    verdicts: dict[str, Any] = json.loads((VECTORS / "go" / "verdicts.json").read_text())
    return {name.removesuffix(".tar"): verdict for name, verdict in verdicts.items()}


def crc32(data: bytes) -> int:
    return zlib.crc32(data)


# -- other people's tools ------------------------------------------------------------------------------------

_PACKAGES = {"tar": "tar", "bsdtar": "libarchive-tools"}


def run_tool(tool: str, *arguments: str | Path, stdin: bytes = b"") -> bytes:
    """Run a tar of the system and return its output; skip the test where it is missing."""
    path = shutil.which(tool)
    if path is None or (tool == "tar" and b"GNU tar" not in _run([path, "--version"])):
        pytest.skip(f"{tool} is not installed, or not GNU's (Debian package {_PACKAGES[tool]})")
    return _run([path, *arguments], stdin)


def _run(command: Sequence[str | Path], stdin: bytes = b"") -> bytes:
    # bsdtar reads and writes names that are not ASCII only where the locale knows them.
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, env=environment)  # noqa: S603 - fixed tools
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout
