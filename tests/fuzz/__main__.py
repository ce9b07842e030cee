"""Fuzz a target with atheris: ``python -m tests.fuzz TARGET CORPUS… [libFuzzer options]``.

It has to be installed beside what the library needs. Few Pythons have it, hence no test needs it.

``python -m tests.fuzz --seed FOLDER`` writes inputs to begin with: a folder of them for each target, made of
the archives that the tests have.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import lz4.frame
import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATA: Final = Path(__file__).parents[1] / "data"
_MAX_SEED: Final = 6000
_TEXT: Final = b"one two three " * 20 + bytes(300)


def fuzz(arguments: list[str]) -> None:
    """Run a target until it is stopped, by an option or by what it finds."""
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["asyncbatch"]):
        targets = import_module("tests.fuzz.targets").TARGETS
    atheris.Setup([sys.argv[0], *arguments[1:]], targets[arguments[0]])
    atheris.Fuzz()


def write_seeds(root: Path) -> None:
    """Write what to begin with."""
    for target, number, content in _seeds():
        folder = root / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"seed-{number:03}").write_bytes(bytes((number % 256, 0)) + content)


def _seeds() -> Iterator[tuple[str, int, bytes]]:
    for form in ("tar", "zip"):
        paths = sorted((_DATA / form).glob(f"*.{form}"))
        contents = [path.read_bytes() for path in paths if path.stat().st_size <= _MAX_SEED]
        for number, content in enumerate(contents):
            yield form, number, content
        for number, content in enumerate(contents[:20]):
            yield "archive", number + (100 if form == "zip" else 0), content
    part = b'--b\r\nContent-Disposition: form-data; name="a"; filename="f"\r\nX: y\r\n\r\ndata\r\n--bad'
    yield "multipart", 0, part + b"\r\n--b \t\r\n\r\n\r\n--b--\r\nepilogue"
    yield "multipart", 1, b"preamble\r\n" + part + b"\r\n--b\r\n\r\n--b--"
    yield "multipart", 2, b"--b--\r\n"
    yield "multipart", 3, part.replace(b"\r\n--bad", b"\r\n-" * 20 + b"\r\n--b--")
    yield "multipart", 4, part.replace(b'"a"', rb'"a\"\\;ue"').replace(b"X: y", b"X: y\r\n z") + b"\r\n--b--"
    for target, packed in _compressed():
        for number, content in enumerate(packed):
            yield target, number, content
            yield "archive", 200 + number, content


def _compressed() -> Iterator[tuple[str, list[bytes]]]:
    noise = bytes(hash((n, 7)) % 251 for n in range(600))
    texts = b"", b"a", _TEXT, noise
    yield (
        "gzip",
        [gzip.compress(text, mtime=0) for text in texts]
        + [
            gzip.compress(b"a") + gzip.compress(b"b"),
            b"\x1f\x8b\x08\x1f\0\0\0\0\0\xff\2\0ABname\0comment\0" + gzip.compress(b"a")[10:],
            gzip.compress(b"a") + bytes(100),
        ],
    )
    frames = [lz4.frame.compress(text) for text in texts]
    checked = lz4.frame.compress(_TEXT, content_checksum=True, block_checksum=True, store_size=True)
    linked = lz4.frame.compress(_TEXT * 9, block_linked=True)
    skippable = b"\x50\x2a\x4d\x18\3\0\0\0abc"
    yield "lz4", [*frames, checked, linked, skippable + frames[2], frames[1] + frames[2]]
    plain = [zstandard.ZstdCompressor(write_checksum=True).compress(text) for text in texts]
    sizeless = zstandard.ZstdCompressor(write_content_size=False).compress(_TEXT)
    yield "zstd", [*plain, sizeless, skippable + plain[2], plain[1] + plain[3]]
    packed = [bz2.compress(text) for text in texts]
    yield "bzip2", [*packed, packed[1] + packed[2], bz2.compress(_TEXT, 1)]
    checks = lzma.CHECK_NONE, lzma.CHECK_CRC32, lzma.CHECK_CRC64, lzma.CHECK_SHA256
    streams = [lzma.compress(_TEXT, check=check) for check in checks]
    delta: list[dict[str, int]] = [
        {"id": lzma.FILTER_DELTA, "dist": 4},
        {"id": lzma.FILTER_LZMA2, "preset": 1},
    ]
    yield "xz", [*streams, streams[0] + bytes(8) + streams[1], lzma.compress(noise, filters=delta)]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--seed"]:
        write_seeds(Path(sys.argv[2]))
    else:
        fuzz(sys.argv[1:])
