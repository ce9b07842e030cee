"""Archives made by others: Info-ZIP, 7-Zip, bsdtar, Go, Python, and a real AIStore."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ..support.zips import VECTORS, read, split

AISTORE = Path(__file__).parent.parent / "data" / "aistore"
REAL = [
    "7z", "7z-bzip2", "7z-lzma", "7z-lzma-without-end", "7z-utf8", "bsdtar", "bsdtar-streamed",
    "bsdtar-streamed-stored", "bsdtar-streamed-zip64", "go-deflated", "go-empty", "go-modes", "go-not-utf8",
    "go-raw", "go-stored", "infozip", "infozip-bzip2", "infozip-from-pipe", "infozip-streamed",
    "infozip-streamed-stored", "infozip-zip64", "python", "python-lzma", "python-streamed",
    "python-streamed-bzip2", "python-streamed-lzma", "python-streamed-stored",
    "python-streamed-stored-zip64", "python-streamed-zip64", "python-zip64",
]  # fmt: skip


@pytest.mark.parametrize("chunk_size", [1, 100, 1 << 20])
@pytest.mark.parametrize("name", REAL)
def test_what_tools_write_is_read_as_the_standard_library_reads_it(name: str, chunk_size: int) -> None:
    data = (VECTORS / f"{name}.zip").read_bytes()
    result = read(split(data, chunk_size))

    assert result.error is None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        assert result.members == [(info.filename, archive.read(info)) for info in infos]
    for record, info in zip(result.directory, infos, strict=True):
        assert (record.size, record.compressed_size) == (info.file_size, info.compress_size)
        assert (record.crc, record.compress_method, record.offset) == (
            info.CRC, info.compress_type, info.header_offset,
        )  # fmt: skip
        mode = info.external_attr >> 16 if info.create_system == 3 else 0
        assert record.mode == (mode & 0o7777 if mode else None)
        assert record.is_symlink == (mode & 0o170000 == 0o120000)
        assert (record.kind == "dir") == info.is_dir()


def test_modes_and_links() -> None:
    directory = read([(VECTORS / "go-modes.zip").read_bytes()]).directory

    assert [(record.name, record.kind, record.mode) for record in directory] == [
        ("run", "file", 0o755),
        ("link", "symlink", 0o777),
        ("dir/", "dir", 0o700),
    ]


# -- AIStore ------------------------------------------------------------------------------------------------

CASES = [
    case
    for case in json.loads((AISTORE / "getbatch.json").read_text())
    if case["status"] == 200 and case["name"].startswith("zip-")
]


def _body(case: dict[str, Any]) -> tuple[bytes, list[int] | None]:
    """Return the archive of an answer, and the sizes that its metadata tells, if it has any."""
    head, _, rest = (AISTORE / case["response"]).read_bytes().partition(b"\r\n\r\n")
    body = b""
    while not rest.startswith(b"0\r\n") and b"chunked" in head.lower():
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    body = body or rest
    if b"multipart" not in head.lower():
        return body, None
    metadata = body.split(b"\r\n\r\n", 2)[1].rpartition(b"\r\n--")[0]
    archive = body.split(b"\r\n\r\n", 2)[2].rpartition(b"\r\n--")[0]
    return archive, [entry.get("size", 0) for entry in json.loads(metadata)["out"]]


@pytest.mark.parametrize("chunk_size", [3, 1000, 65_536])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_every_answer_of_a_real_cluster(case: dict[str, Any], chunk_size: int) -> None:
    body, sizes = _body(case)
    for known in (None, sizes):
        result = read(split(body, chunk_size), sizes=known)

        assert result.error is None
        assert [(len(data), hashlib.sha256(data).hexdigest()) for _, data in result.members] == [
            (entry["size"], entry["sha256"]) for entry in case["expected"]
        ]
        assert [record.name for record in result.directory] == [name for name, _ in result.members]


def test_there_are_answers_in_both_modes() -> None:
    assert len(CASES) == 17
    assert len([case for case in CASES if _body(case)[1] is not None]) == 9
