"""What the live tests put into their bucket, the same in every run."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile

import lz4.frame

__all__ = ["FILES", "NOISE", "OBJECTS", "ODD_NAMES", "SHARDS"]

NOISE = random.Random(11).randbytes(1 << 20)

# Around tar's blocks, HTTP's chunks, and the buffers of a server.
_SIZES = (0, 1, 511, 512, 513, 1024, 4095, 4096, 10_240, 32_768, 65_537, 300_000)

ODD_NAMES = (
    "with spaces in it",
    "per%cent%20and%2F",
    "hash#tag",
    "question?mark=1&more",
    "plus+semi;colon,comma",
    "quotes'\"`",
    "back\\slash",
    "dots...",
    "a/b/c/d/e/f",
    "äöü/日本語/Ελλάδα.bin",
    "emoji-🐍",
    "c" * 100,
    "d" * 101,
    "e" * 201,
    "/".join(["f" * 50] * 4),  # what USTAR can split
    "ü" * 60,  # more than 100 bytes, but not characters
)

OBJECTS: dict[str, bytes] = (
    {f"size-{size}": NOISE[size : 2 * size] for size in _SIZES}
    | {f"small/{number:02}": NOISE[number : number + 100 + number] for number in range(50)}
    | {name: b"this is " + name.encode() for name in ODD_NAMES}
    | {
        # What a reader might take for the end, or for the beginning of something else.
        "zeros": bytes(5000),
        "zip-signatures": b"PK\x01\x02PK\x03\x04PK\x05\x06PK\x07\x08" * 300,
        "boundary-like": b"\r\n--boundary\r\n\r\n--" * 100,
        "spaces": b" \r\n\t " * 200,
    }
)

FILES: dict[str, bytes] = {
    "a.txt": b"the text of a",
    "dir/deep/b.bin": NOISE[:70_000],
    "empty": b"",
    "üñ-日本.txt": b"unicode",
    "g" * 120: b"a long name",
}


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return file.getvalue()


# One of each format that AIStore reads files from.
SHARDS: dict[str, bytes] = {
    "shards/s.tar": _tar(),
    "shards/s.tgz": gzip.compress(_tar(), mtime=0),
    "shards/s.tar.lz4": lz4.frame.compress(_tar()),
    "shards/s.zip": _zip(),
}
