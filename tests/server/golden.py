"""The recorded answers of a real cluster, and readers of archives that are not ours."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lz4.frame

DATA = Path(__file__).parents[1] / "data" / "aistore"


def load(name: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads((DATA / name).read_text())


def objects() -> dict[str, bytes]:
    """Every object that the cluster held: ``bucket/name`` and content."""
    names = load("data.json")["objects"]
    return {name: (DATA / "data" / file).read_bytes() for name, file in names.items()}


@dataclass
class Recorded:
    """An answer as it stood on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


def read_recorded(name: str) -> Recorded:
    head, _, body = (DATA / name).read_bytes().partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunk(body)
    return Recorded(int(status.split()[1]), headers, body)


def _unchunk(body: bytes) -> bytes:
    data = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if int(size, 16) == 0:
            return data
        data += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]


def read_parts(body: bytes, content_type: str) -> tuple[dict[str, Any], bytes]:
    """Take a multipart answer apart: the metadata and the archive, whose heads are exactly as recorded."""
    kind, _, boundary = content_type.partition("; boundary=")
    assert kind == "multipart/mixed"
    assert len(boundary) == 60
    mark = f"--{boundary}".encode()
    assert body.startswith(mark + b'\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n')
    assert body.endswith(b"\r\n" + mark + b"--\r\n")
    first, second = body[len(mark) : -len(mark) - 6].split(b"\r\n" + mark)
    metadata = first.split(b"\r\n\r\n", 1)[1]
    assert metadata.endswith(b"}\n")
    facts = json.loads(metadata)
    head, archive = second.split(b"\r\n\r\n", 1)
    assert head.decode() == (
        '\r\nContent-Disposition: form-data; name="archive"; '
        f'filename="get-batch[{facts["uuid"]}]"\r\nContent-Type: application/octet-stream'
    )
    return facts, archive


def read_archive(data: bytes, mime: str = ".tar") -> list[tuple[str, bytes]]:
    """Return the members of an archive, with the standard library alone; it must be whole."""
    if mime == ".zip":
        return _read_zip(data)
    if mime in {".tgz", ".tar.gz"}:
        data = gzip.decompress(data)
    elif mime == ".tar.lz4":
        data = lz4.frame.decompress(data)
    assert data.endswith(bytes(1024))
    assert len(data) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        members = archive.getmembers()
        for member in members:
            facts = (member.type, member.mode, member.uid, member.gid)
            assert facts == (tarfile.REGTYPE, 0o644, 0, 0)
        return [(member.name, _content(archive, member)) for member in members]


def _read_zip(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        for member in members:
            assert member.compress_type == zipfile.ZIP_STORED
            assert member.compress_size == member.file_size
        # By the record: names may be there twice.
        return [(member.filename, archive.read(member)) for member in members]


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def describe(members: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    """Say of each member what a golden case's ``expected`` says of it."""
    return [
        {
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "missing": name.startswith("__404__/"),
        }
        for name, content in members
    ]
