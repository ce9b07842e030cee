"""What a real AIStore cluster answered, as it stood on the wire."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["cases", "moved", "objects", "shard_members", "wire"]

_DATA = Path(__file__).parents[1] / "data" / "aistore"


def cases(file: str) -> dict[str, dict[str, Any]]:
    """Return the cases of ``getbatch.json`` or ``objects.json``, by their names."""
    return {case["name"]: case for case in json.loads((_DATA / file).read_bytes())}


def wire(path: str) -> bytes:
    """Return an answer: head, then the body with its framing."""
    return (_DATA / path).read_bytes()


def objects() -> dict[str, bytes]:
    """Return what the cluster held, by ``bucket/name``."""
    files = json.loads((_DATA / "data.json").read_bytes())["objects"]
    return {name: (_DATA / "data" / file).read_bytes() for name, file in files.items()}


def shard_members() -> dict[str, bytes]:
    """Return what every shard of the cluster held, by name."""
    files = json.loads((_DATA / "data.json").read_bytes())["shard_members"]
    return {name: (_DATA / "data" / file).read_bytes() for name, file in files.items()}


def moved(answer: bytes, address: str) -> bytes:
    """Return a redirect that leads to another address, and is otherwise as recorded."""
    head, end, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    location = next(line for line in lines if line.startswith(b"Location: "))
    recorded = location.removeprefix(b"Location: http://").partition(b"/")[0]
    assert recorded.startswith(b"127.0.0.1:")
    body = body.replace(recorded, address.encode())
    for index, line in enumerate(lines):
        if line == location:
            lines[index] = line.replace(recorded, address.encode())
        elif line.startswith(b"Content-Length: "):
            lines[index] = b"Content-Length: %d" % len(body)
    return b"\r\n".join(lines) + end + body
