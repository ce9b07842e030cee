"""asyncbatch bundle; and get and list from wherever objects are."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from .conftest import MANY, OBJECTS, call, tree

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run

SOME = ["a.txt", "dir/b.bin", "empty"]
EXPECTED = {name: OBJECTS[name] for name in SOME}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "TIGRIS_STORAGE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


# -- get and list -------------------------------------------------------------------------------------------


def test_objects_of_a_folder(run: Run, root: Path, tmp_path: Path) -> None:
    url = root.as_uri()
    result = run("get", url, "--bucket", "b", *SOME, "gone", "--output", tmp_path / "out")
    assert (result.status, result.out) == (1, "")
    assert "missing: gone: " in result.err
    assert tree(tmp_path / "out") == EXPECTED

    assert run("list", url).out == "file://b\nfile://many\nfile://none\n"
    listed = run("list", url, "--bucket", "b", "--prefix", "dir/")
    assert listed.out == "         100000 dir/b.bin\n        3000000 dir/deep/large.bin\n"


def test_files_in_shards_of_a_folder(root: Path, tmp_path: Path) -> None:
    names = b"shard.tar\tin/side.txt\n"
    result = call("get", root.as_uri(), "--bucket", "b", "-", stdin=names, cwd=tmp_path)
    assert result.status == 0
    assert tree(tmp_path) == {"shard.tar/in/side.txt": b"inside"}


def test_an_endpoint_instead_of_a_bucket(run: Run, endpoint: str, tmp_path: Path) -> None:
    result = run("get", endpoint, "--bucket", "b", *SOME, "--output", tmp_path)
    assert result.status == 0
    assert tree(tmp_path) == EXPECTED


def test_objects_of_tigris(run: Run, endpoint: str, tmp_path: Path) -> None:
    result = run("get", "t3://b", *SOME, "--endpoint", endpoint, "--output", tmp_path)
    assert result.status == 0
    assert tree(tmp_path) == EXPECTED
    assert run("list", "t3://", "--endpoint", endpoint).out == "t3://b\nt3://many\nt3://none\n"


def test_objects_of_an_object_store(
    run: Run, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    result = run("get", "s3://b/dir", "b.bin", "--endpoint", endpoint, "--output", tmp_path)
    assert result.status == 0
    assert tree(tmp_path) == {"b.bin": OBJECTS["dir/b.bin"]}
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert run("list", "s3://none").out == ""


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["get", "file:///", "a"], "names no bucket: say which one: pass --bucket"),
        (["get", "file://host/x", "a"], "there is a host"),
        (["list", "s3://"], "name the one you want"),
        (["list", "nothing://x"], "its scheme is none of"),
        (["list", "t3://b", "--bucket", "x/y"], "x/y"),
    ],
)
def test_what_is_no_place(run: Run, arguments: list[str], match: str) -> None:
    result = run(*arguments)
    assert (result.status, result.out) == (2, "")
    assert match in result.err


# -- bundle -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_bundle_becomes_files(run: Run, endpoint: str, tmp_path: Path, compression: str) -> None:
    options = "--endpoint", endpoint, "--output", tmp_path / "out", "--compression", compression
    result = run("bundle", "t3://b", *SOME, *options)
    assert (result.status, result.out) == (0, "")
    assert result.err.startswith("3 fetched (100.0 kB) in ")
    assert tree(tmp_path / "out") == EXPECTED


def test_keys_from_a_file_and_standard_input(endpoint: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("\n".join(list(MANY)[1:]))
    options = "--from", keys, "--endpoint", endpoint, "--output", "out"
    result = call("bundle", "many", "-", *options, stdin=next(iter(MANY)).encode(), cwd=tmp_path)
    assert result.status == 0
    assert tree(tmp_path / "out") == MANY


def test_what_was_skipped_is_told_with_the_reason(run: Run, endpoint: str, tmp_path: Path) -> None:
    options = "--endpoint", endpoint, "--output", tmp_path
    result = run("bundle", "b", "a.txt", "gone", *options)
    assert result.status == 1
    assert "skipped gone: NoSuchKey" in result.err
    result = run("bundle", "b", "gone", "a.txt", "--json", *options)
    assert (result.status, result.err) == (1, "")
    found = [json.loads(line) for line in result.out.splitlines()]
    assert [(line.get("name"), line.get("missing")) for line in found[:2]] == [
        ("gone", True),
        ("a.txt", False),
    ]
    assert found[2] == {"skipped": "gone", "reason": "NoSuchKey"}


def test_the_archive_is_saved_as_it_comes(run: Run, endpoint: str, tmp_path: Path) -> None:
    path = tmp_path / "bundle.tar"
    result = run("bundle", "b", *SOME, "--endpoint", endpoint, "--archive", path)
    assert (result.status, result.out) == (0, "")
    assert result.err.endswith("bundle.tar: 3 objects\n")
    assert members(path.read_bytes()) == EXPECTED

    options = "--compression", "gzip", "--archive", "-", "--endpoint", endpoint
    done = call("bundle", "b", "a.txt", "gone", *options)
    assert done.status == 1
    assert "bundle: 1 object\n" in done.err
    assert "missing: 1 of the keys" in done.err
    found = members(gzip.decompress(done.out.encode("utf-8", "surrogateescape")))
    assert found["a.txt"] == OBJECTS["a.txt"]
    assert json.loads(found["__bundle_errors.json"])["skipped"][0]["key"] == "gone"

    result = run("bundle", "b", "a.txt", "gone", "--endpoint", endpoint, "--archive", path)
    assert result.status == 1
    assert "missing: 1 of the keys" in result.err
    result = run("bundle", "b", "a.txt", "--json", "--endpoint", endpoint, "--archive", path)
    assert json.loads(result.out) == {"objects": 1, "bytes": 13, "skipped": 0}


def test_a_bundle_may_fail_as_a_whole(run: Run, endpoint: str, tmp_path: Path) -> None:
    options = "--on-error", "fail", "--endpoint", endpoint, "--output", tmp_path / "out"
    result = run("bundle", "b", "a.txt", "gone", *options)
    assert result.status == 3
    assert "gone" in result.err
    assert not (tmp_path / "out").exists() or tree(tmp_path / "out") == {}
    assert run("bundle", "b", *SOME, *options).status == 0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["b"], "no keys"),
        (["b", "a", "--output", "x", "--archive", "x.tar"], "exclude each other"),
        (["b", "a", "--archive", "-", "--json"], "both want standard output"),
        (["s3://b", "a"], "a bundle comes from Tigris"),
        (["t3://", "a"], "pass --bucket"),
        (["b", "../a"], "use --archive"),
        (["b", "a", "--compression", "lz4"], "it is one of 'none', 'gzip', 'zstd'"),
        (["b", "a", "--on-error", "panic"], "it is 'skip' or 'fail'"),
    ],
)
def test_what_is_no_bundle(run: Run, arguments: list[str], match: str) -> None:
    result = run("bundle", *arguments)
    assert (result.status, result.out) == (2, "")
    assert match in result.err


def test_a_bundle_has_no_files_in_shards(run: Run, tmp_path: Path, endpoint: str) -> None:
    (tmp_path / "keys").write_text("shard.tar\tin/side.txt")
    result = run("bundle", "b", "--from", tmp_path / "keys", "--endpoint", endpoint)
    assert result.status == 2
    assert "asyncbatch get has files in them" in result.err


# -- what is large ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 200_000])
def test_objects_too_large_to_be_held_are_written_as_they_come(
    run: Run, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("asyncbatch.cli._get._MAX_HELD", size)
    names = ["empty", "a.txt", "dir/deep/large.bin", "gone", "dir/b.bin"]
    result = run("get", "b", *names, "--endpoint", endpoint, "--output", tmp_path, "--memory", "1KiB")
    assert result.status == 1
    assert "4 fetched (3.1 MB)" in result.err
    assert tree(tmp_path) == {name: OBJECTS[name] for name in names if name != "gone"}


def test_other_limits_are_errors(run: Run, endpoint: str, tmp_path: Path) -> None:
    result = run("get", "b", "a.txt", "--endpoint", endpoint, "--output", tmp_path, "--memory", "much")
    assert result.status == 2
    assert "memory" in result.err


def test_files_of_unknown_size_out_of_compressed_shards(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "b"
    folder.mkdir(parents=True)
    data = OBJECTS["dir/deep/large.bin"]
    with tarfile.open(folder / "shard.tar.gz", "w:gz") as archive:
        for name, content in {"first": b"1", "large": data, "last": b"2"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    names = b"shard.tar.gz\tlarge\nshard.tar.gz\tlast\n"
    url = (tmp_path / "data").as_uri()
    result = call("get", url, "--bucket", "b", "-", "--output", "out", stdin=names, cwd=tmp_path)
    assert result.status == 0
    assert tree(tmp_path / "out") == {"shard.tar.gz/large": data, "shard.tar.gz/last": b"2"}
    result = call("get", url, "--bucket", "b", "-", "--archive", "out.tar", stdin=names, cwd=tmp_path)
    assert result.status == 0
    assert members((tmp_path / "out.tar").read_bytes())["shard.tar.gz/large"] == data
