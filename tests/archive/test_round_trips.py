"""What we write is read by other people's programs, and what they write by us: all data, and every name."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import encode_archive, open_archive
from asyncbatch.archive import EncodeMember
from asyncbatch.codecs import TarEncoder
from asyncbatch.errors import FormatError, UnsupportedFormatError

from ..support.tools import run_tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

FILES = {
    "plain.txt": b"plain",
    "empty": b"",
    "with space & plus+.txt": b"x" * 511,
    "größe/日本.bin": b"y" * 512,
    "/".join(["directory"] * 10) + "/beyond 100 bytes": b"z" * 513,
    "n" * 150: b"beyond 100 bytes, and nothing to split it at",
    "/".join(["größer"] * 40) + "/beyond 255 bytes.txt": bytes(range(256)) * 5,
    "noise.bin": bytes(n * n % 251 for n in range(700_000)),
}
TARS = [".tar", ".tar.gz", ".tar.lz4", ".tar.zst", ".tar.bz2", ".tar.xz"]
MTIME = 1_700_000_000

every_file_size = pytest.mark.parametrize("known", [True, False], ids=["sizes-known", "sizes-unknown"])


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


async def _encode(form: str, *, known: bool) -> bytes:
    members = [
        EncodeMember(name, data if known else _pieces(data), mtime=MTIME) for name, data in FILES.items()
    ]
    async with encode_archive(members, format=form) as archive:
        return b"".join([bytes(chunk) async for chunk in archive])


def _files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def _extracted(form: str, folder: Path, *command: str, known: bool) -> dict[str, bytes]:
    """Encode, have a program extract it below a folder, and return what it made."""
    path = folder / f"archive{form}"
    path.write_bytes(await _encode(form, known=known))
    out = folder / "out"
    out.mkdir()
    run_tool(*command, path, cwd=out)
    return _files_below(out)


# -- ours, read by others ------------------------------------------------------------------------------------


@every_file_size
@pytest.mark.parametrize("form", TARS)
async def test_gnu_tar_reads_ours(form: str, tmp_path: Path, *, known: bool) -> None:
    by = {".tar.lz4": "--use-compress-program=lz4"}.get(form, "--auto-compress")
    assert await _extracted(form, tmp_path, "tar", by, "-xf", known=known) == FILES


@every_file_size
@pytest.mark.parametrize("form", [*TARS, ".zip"])
async def test_bsdtar_reads_ours(form: str, tmp_path: Path, *, known: bool) -> None:
    assert await _extracted(form, tmp_path, "bsdtar", "-xf", known=known) == FILES


@every_file_size
@pytest.mark.parametrize("form", [".tar", ".zip"])
async def test_7z_reads_ours(form: str, tmp_path: Path, *, known: bool) -> None:
    assert await _extracted(form, tmp_path, "7z", "x", known=known) == FILES


@pytest.mark.parametrize("form", [".tar.gz", ".tar.bz2", ".tar.xz"])
async def test_7z_undoes_our_compression(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"archive{form}"
    path.write_bytes(await _encode(form, known=True))
    assert run_tool("7z", "x", "-so", path) == await _encode(".tar", known=True)


@every_file_size
async def test_unzip_reads_ours(tmp_path: Path, *, known: bool) -> None:
    assert await _extracted(".zip", tmp_path, "unzip", "-q", known=known) == FILES


@every_file_size
@pytest.mark.parametrize("form", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
async def test_tarfile_reads_ours(form: str, *, known: bool) -> None:
    data = io.BytesIO(await _encode(form, known=known))
    with tarfile.open(fileobj=data, mode="r:*") as archive:
        found = {}
        for member in archive:
            assert (member.mtime, member.mode, member.isreg()) == (MTIME, 0o644, True)
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    assert found == FILES


@every_file_size
async def test_zipfile_reads_ours(*, known: bool) -> None:
    with zipfile.ZipFile(io.BytesIO(await _encode(".zip", known=known))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == FILES


@every_file_size
@pytest.mark.parametrize("form", [*TARS, ".zip"])
async def test_we_read_ours_and_write_it_again_alike(form: str, *, known: bool) -> None:
    data = await _encode(form, known=known)
    assert data == await _encode(form, known=known)
    async with open_archive(data, format=form) as archive:
        assert {member.name: await member.read() async for member in archive} == FILES


@pytest.mark.parametrize("size", [(8 << 30) - 1, 8 << 30, (8 << 30) + 513])
@pytest.mark.parametrize("program", ["tar", "bsdtar", "python"])
def test_a_member_of_8_gib(program: str, size: int, tmp_path: Path) -> None:
    """It is a hole in a file, which nobody has to write or read."""
    path, encoder = tmp_path / "large.tar", TarEncoder()
    with path.open("wb") as file:
        file.write(encoder.start("large", size))
        file.seek((size + 511) // 512 * 512, io.SEEK_CUR)
        file.write(TarEncoder().encode("behind", b"data"))
        file.write(bytes(1024))
    if program == "python":
        with tarfile.open(path) as archive:
            found = [(member.name, member.size) for member in archive]
    else:
        lines = run_tool(program, "-tvf", path).decode().splitlines()
        column = 2 if program == "tar" else 4
        found = [(line.split()[-1], int(line.split()[column])) for line in lines]
    assert found == [("large", size), ("behind", 4)]


# -- theirs, read by us --------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The files, in a folder."""
    root = tmp_path / "tree"
    for name, data in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


async def _read(data: bytes, form: str | None, *, strict: bool = True) -> dict[str, bytes]:
    """Read an archive in chunks of several sizes, which must not matter; leave out the folders."""
    results = []
    for size in (len(data), 65_536, 4093):
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        async with open_archive(chunks, format=form, strict=strict) as archive:
            files = [(member.name, await member.read()) async for member in archive if member.is_file]
        if archive.directory is not None:
            # Info-ZIP writes UTF-8, and says so only where there is a locale of the name en_US.UTF-8.
            records = [record for record in archive.directory if record.kind == "file"]
            files = [
                (record.raw_name.decode(), content)
                for record, (_, content) in zip(records, files, strict=True)
            ]
        results.append({name.removeprefix("./"): content for name, content in files})
        assert len(files) == len(results[-1])
    assert results[0] == results[1] == results[2]
    return results[0]


@pytest.mark.parametrize(
    ("option", "form"),
    [
        ("", ".tar"),
        ("--gzip", ".tar.gz"),
        ("--use-compress-program=lz4", ".tar.lz4"),
        ("--zstd", ".tar.zst"),
        ("--bzip2", ".tar.bz2"),
        ("--xz", ".tar.xz"),
    ],
)
@pytest.mark.parametrize("kind", ["gnu", "posix"])
async def test_we_read_gnu_tars(tree: Path, option: str, form: str, kind: str) -> None:
    data = run_tool("tar", f"--format={kind}", *filter(None, [option]), "-cf", "-", ".", cwd=tree)
    assert await _read(data, form) == await _read(data, None) == FILES


@pytest.mark.parametrize(
    ("option", "form"),
    [
        ("", ".tar"),
        ("--gzip", ".tar.gz"),
        ("--lz4", ".tar.lz4"),
        ("--zstd", ".tar.zst"),
        ("--bzip2", ".tar.bz2"),
        ("--xz", ".tar.xz"),
    ],
)
@pytest.mark.parametrize("kind", ["gnutar", "pax"])
async def test_we_read_bsdtars(tree: Path, option: str, form: str, kind: str) -> None:
    path = tree.parent / "archive"
    run_tool("bsdtar", f"--format={kind}", *filter(None, [option]), "-cf", path, ".", cwd=tree)
    assert await _read(path.read_bytes(), form) == await _read(path.read_bytes(), None) == FILES


@pytest.mark.parametrize("option", ["--gzip", "--lz4", "--zstd", "--bzip2", "--xz"])
async def test_bsdtar_fills_the_last_record_of_a_pipe(tree: Path, option: str) -> None:
    """Zeros behind a compressed stream are no garbage."""
    data = run_tool("bsdtar", option, "-cf", "-", ".", cwd=tree)
    assert len(data) % 10_240 == 0
    assert await _read(data, None) == FILES


@pytest.mark.parametrize(
    "options", [[], ["--options=zip:compression=store"], ["--options=zip:zip64"]], ids=str
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_we_read_bsdtars_zips(tree: Path, options: list[str], *, streamed: bool) -> None:
    target = "-" if streamed else "../a.zip"
    data = run_tool("bsdtar", "--format=zip", *options, "-cf", target, ".", cwd=tree)
    data = data if streamed else (tree / target).read_bytes()
    assert await _read(data, ".zip") == FILES


@pytest.mark.parametrize("options", [["-0"], ["-1"], ["-9"], ["-Z", "bzip2"], ["-X"]], ids=str)
@pytest.mark.parametrize("streamed", [True, False])
async def test_we_read_info_zips(tree: Path, options: list[str], *, streamed: bool) -> None:
    target = "-" if streamed else "../a.zip"
    data = run_tool("zip", "-q", "-r", *options, target, ".", cwd=tree)
    data = data if streamed else (tree / target).read_bytes()
    assert await _read(data, ".zip") == FILES


async def test_info_zip_with_zip64_that_nothing_asks_for(tree: Path) -> None:
    run_tool("zip", "-q", "-r", "-fz", "../a.zip", ".", cwd=tree)
    assert await _read((tree.parent / "a.zip").read_bytes(), ".zip") == FILES
    # Into a pipe it points to a record that it does not write: unzip, 7z and Python refuse that as well.
    with pytest.raises(FormatError, match="offset 4294967295"):
        await _read(run_tool("zip", "-q", "-r", "-fz", "-", ".", cwd=tree), ".zip")


async def test_we_read_what_info_zip_makes_of_a_pipe() -> None:
    data = run_tool("zip", "-q", "-", "-", stdin=FILES["noise.bin"])
    assert await _read(data, ".zip") == {"-": FILES["noise.bin"]}


@pytest.mark.parametrize("method", ["Copy", "Deflate", "BZip2", "LZMA"])
async def test_we_read_7z_zips(tree: Path, method: str) -> None:
    run_tool("7z", "a", "-tzip", f"-mm={method}", "../a.zip", ".", cwd=tree)
    assert await _read((tree.parent / "a.zip").read_bytes(), ".zip") == FILES


@pytest.mark.parametrize("method", ["Deflate64", "PPMd"])
async def test_methods_of_7z_that_are_refused_by_name(tree: Path, method: str) -> None:
    run_tool("7z", "a", "-tzip", f"-mm={method}", "../a.zip", ".", cwd=tree)
    with pytest.raises(UnsupportedFormatError, match=f"(?i){method}"):
        await _read((tree.parent / "a.zip").read_bytes(), ".zip")


async def test_we_read_7z_tars(tree: Path) -> None:
    run_tool("7z", "a", "-ttar", "../a.tar", ".", cwd=tree)
    assert await _read((tree.parent / "a.tar").read_bytes(), ".tar") == FILES


class _Pipe(io.RawIOBase):
    """A file that cannot seek."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        self.data += data
        return len(data)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_we_read_pythons_zips(method: int, *, streamed: bool) -> None:
    pipe, file = _Pipe(), io.BytesIO()
    with zipfile.ZipFile(pipe if streamed else file, "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    assert await _read(bytes(pipe.data) if streamed else file.getvalue(), ".zip") == FILES


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(("mode", "form"), [("w:gz", ".tar.gz"), ("w:bz2", ".tar.bz2"), ("w:xz", ".tar.xz")])
async def test_we_read_pythons_tars(kind: int, mode: Any, form: str) -> None:  # noqa: ANN401 - typeshed lists modes
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=kind) as archive:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert await _read(file.getvalue(), form) == FILES
