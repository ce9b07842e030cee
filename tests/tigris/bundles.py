"""Bundles as Tigris makes them, by the standard library, and answers that carry them."""

from __future__ import annotations

import gzip
import json
import tarfile
from typing import TYPE_CHECKING

import zstandard

from ..support.batches import tar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["ERRORS", "answer", "bundle", "error", "pack", "report", "trailers_of"]

ERRORS = "__bundle_errors.json"


def report(skipped: Iterable[str], reason: str = "NoSuchKey") -> bytes:
    """Return the list of skipped keys."""
    return json.dumps({"skipped": [{"key": key, "reason": reason} for key in skipped]}).encode()


def bundle(keys: Sequence[str], objects: Mapping[str, bytes]) -> bytes:
    """Return the tar of what there is, with what there is not as its last member."""
    members = [(key, objects[key]) for key in keys if key in objects]
    skipped = [key for key in keys if key not in objects]
    if skipped:
        members.append((ERRORS, report(skipped)))
    return tar(members, form=tarfile.PAX_FORMAT)


def trailers_of(keys: Sequence[str], objects: Mapping[str, bytes]) -> list[tuple[bytes, bytes]]:
    """Return what the server counts."""
    found = [objects[key] for key in keys if key in objects]
    counts = {
        b"count": len(found),
        b"bytes": sum(map(len, found)),
        b"skipped": len(keys) - len(found),
    }
    return [(b"x-tigris-bundle-" + name, str(count).encode()) for name, count in counts.items()]


def pack(archive: bytes, compression: str) -> bytes:
    """Compress a tar."""
    if compression == "gzip":
        return gzip.compress(archive, 1, mtime=0)
    return zstandard.compress(archive, 1) if compression == "zstd" else archive


def answer(body: bytes, trailers: Iterable[tuple[bytes, bytes]] = (), *, end: bool = True) -> bytes:
    """Return a chunked answer; one without its end breaks off."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    fields = b"".join(b"%b: %b\r\n" % field for field in trailers)
    return head + chunk + (b"0\r\n" + fields + b"\r\n" if end else b"")


def error(status: int, code: str, inner: str = "", **headers: str) -> bytes:
    """Return S3's answer to what cannot be done."""
    body = f"<Error><Code>{code}</Code><Message>because</Message>{inner}</Error>".encode()
    lines = [f"HTTP/1.1 {status} No", f"Content-Length: {len(body)}", "Content-Type: application/xml"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
