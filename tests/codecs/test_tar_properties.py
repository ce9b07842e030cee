"""Properties of the tar codec: what goes in comes out, whoever reads it, and nothing is ever made up."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asyncbatch.codecs import TarDecoder, TarEncoder
from asyncbatch.errors import TruncatedArchiveError
from asyncbatch.limits import Limits

from .tars import END, VECTORS, chop, decode, facts, members_of, run, run_tool

if TYPE_CHECKING:
    from pathlib import Path

    from asyncbatch.codecs import MemberKind


@dataclass(frozen=True)
class Given:
    """A member to encode."""

    name: str
    data: bytes
    kind: MemberKind
    mode: int
    mtime: float
    linkname: str


# Bytes that are no UTF-8 come as surrogates, as they do from os.listdir.
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300),
    st.text("ab/", min_size=90, max_size=300),
    st.binary(min_size=1, max_size=120).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"-"))),
)
payloads = st.one_of(
    st.binary(max_size=600), st.sampled_from([0, 1, 511, 512, 513, 1024, 3000]).map(lambda size: b"d" * size)
)
times = st.one_of(st.integers(0, 2**34), st.integers(-(2**40), 2**40).map(lambda number: number / 64))
files = st.builds(Given, texts, payloads, st.just("file"), st.integers(0, 0o7777), times, st.just(""))
others = st.builds(
    Given, texts, st.just(b""), st.sampled_from(["dir", "symlink", "hardlink"]), st.just(0o755), times, texts
)
archives = st.lists(st.one_of(files, files, others), max_size=6)
sizes = st.sampled_from([1, 3, 100, 511, 512, 513, 1024, 5000])


def encode(members: list[Given]) -> bytes:
    encoder = TarEncoder()
    pieces = [
        encoder.encode(
            each.name, each.data, kind=each.kind, mode=each.mode, mtime=each.mtime, linkname=each.linkname
        )
        for each in members
    ]
    return b"".join([*pieces, encoder.finish()])


def decoded(data: bytes, size: int | None = None) -> list[tuple[object, ...]]:
    return [(member.name, member.data, member.kind, member.linkname) for member in members_of(data, size)]


@given(archives, sizes)
def test_what_was_encoded_is_decoded(members: list[Given], size: int) -> None:
    data = encode(members)
    expected = [(each.name, each.data, each.kind, each.linkname) for each in members]
    assert decoded(data) == decoded(data, size) == expected
    decoder = TarDecoder()
    decoder.feed(data)
    assert [(event.mode, event.mtime) for event in decoder] == [(each.mode, each.mtime) for each in members]  # type: ignore[union-attr]


@given(archives)
def test_python_reads_what_was_encoded(members: list[Given]) -> None:
    with tarfile.open(fileobj=io.BytesIO(encode(members))) as archive:
        theirs = list(archive)
        for info, each in zip(theirs, members, strict=True):
            assert info.name.rstrip("/") == each.name.rstrip("/")  # tarfile drops them, mostly
            assert (info.size, info.mode, info.mtime) == (len(each.data), each.mode, each.mtime)
            assert info.linkname.rstrip("/") == each.linkname.rstrip("/")
            assert (info.isreg(), info.isdir(), info.issym(), info.islnk()) == tuple(
                each.kind == kind for kind in ("file", "dir", "symlink", "hardlink")
            )
            if each.kind == "file":
                assert archive.fileobj is not None
                archive.fileobj.seek(info.offset_data)
                assert archive.fileobj.read(info.size) == each.data


plain_names = st.from_regex(r"[a-zA-Z0-9_äß日][a-zA-Z0-9_äß日. -]{0,70}[a-z]", fullmatch=True)
trees = st.dictionaries(
    st.lists(plain_names, min_size=1, max_size=5).map("/".join), payloads, min_size=1, max_size=5
).filter(lambda tree: not any(one != two and two.startswith(one + "/") for one in tree for two in tree))


@pytest.mark.parametrize("tool", ["tar", "bsdtar"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_other_tools_unpack_what_was_encoded(tmp_path: Path, tool: str, tree: dict[str, bytes]) -> None:
    target = tmp_path / os.urandom(8).hex()
    target.mkdir()
    encoder = TarEncoder()
    data = b"".join([*(encoder.encode(name, body) for name, body in tree.items()), encoder.finish()])
    run_tool(tool, "-xf", "-", "-C", target, stdin=data)
    for name, body in tree.items():
        assert (target / name).read_bytes() == body
    assert sum(path.is_file() for path in target.rglob("*")) == len(tree)


@given(archives, st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), sizes)
def test_what_python_encoded_is_decoded(members: list[Given], kind: int, size: int) -> None:
    buffer = io.BytesIO()
    written = []
    with tarfile.open(fileobj=buffer, mode="w", format=kind, errors="surrogateescape") as archive:
        for each in members:
            info = tarfile.TarInfo(each.name)
            info.size = len(each.data)
            info.type = {"file": b"0", "dir": b"5", "symlink": b"2", "hardlink": b"1"}[each.kind]
            info.linkname = each.linkname
            try:
                archive.addfile(info, io.BytesIO(each.data))
            except (ValueError, UnicodeError):  # more than that format holds
                continue
            slash = "/" if each.kind == "dir" and not each.name.endswith("/") else ""
            written.append((each.name + slash, each.data, each.kind, each.linkname))
    assert decoded(buffer.getvalue(), size) == written


@given(archives, st.data())
def test_chunks_cut_anywhere_give_the_same(members: list[Given], data: st.DataObject) -> None:
    raw = encode(members)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    chunks = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    got, error = run(TarDecoder(), chunks)
    assert error is None
    assert [member.content for member in got] == [member.content for member in members_of(raw)]
    assert [member.offset for member in got] == [member.offset for member in members_of(raw)]


@given(archives, st.data(), st.booleans(), sizes)
def test_a_truncation_is_told_and_what_came_is_right(
    members: list[Given],
    data: st.DataObject,
    strict: bool,  # noqa: FBT001
    size: int,
) -> None:
    raw = encode(members)
    cut = data.draw(st.integers(0, len(raw) - 1))
    expected = members_of(raw)
    got, error = decode(raw[:cut], size, strict=strict)
    whole = [member.content for member in got if member.whole]
    assert whole == [member.content for member in expected[: len(whole)]]
    if strict:
        assert type(error) is TruncatedArchiveError
    elif error is None:  # nothing is lost but padding and the end
        assert [name for name, *_ in whole] == [
            member.name for member in expected if member.offset + member.size <= cut
        ]
    else:
        assert type(error) is TruncatedArchiveError


@settings(max_examples=300)
@given(st.data())
def test_a_flipped_bit_in_a_header_is_found(data: st.DataObject) -> None:
    encoder = TarEncoder()
    raw = bytearray(
        encoder.encode("dir/name.txt", b"data", mtime=1_700_000_000) + encoder.encode("b", b"more")
    )
    raw += encoder.finish()
    at = data.draw(st.one_of(st.integers(0, 511), st.integers(1024, 1535)))
    before = raw[at]
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    members, error = decode(bytes(raw))
    if error is None:  # a blank for a NUL in the checksum's own field
        assert at % 512 in range(148, 156)
        assert before in b" \0" or raw[at] in b" \0"
        assert [member.data for member in members] == [b"data", b"more"]
    else:
        assert [member.data for member in members] == [b"data"][: at // 1024]


def mangled() -> st.SearchStrategy[bytes]:
    """Vectors with some bytes overwritten, and checksums made right again, so that the parser is reached."""
    bases = [path.read_bytes()[:6144] for path in sorted(VECTORS.glob("*.tar"))]
    edits = st.lists(st.tuples(st.integers(0, 6143), st.binary(min_size=1, max_size=12)), max_size=4)

    def apply(base: bytes, changes: list[tuple[int, bytes]]) -> bytes:
        raw = bytearray(base)
        for at, value in changes:
            raw[at % len(raw) : at % len(raw) + len(value)] = value
        for start in range(0, len(raw) - 511, 512):
            if raw[start + 257 : start + 262] == b"ustar":
                raw[start + 148 : start + 156] = b" " * 8
                raw[start + 148 : start + 156] = b"%06o\0 " % sum(raw[start : start + 512])
        return bytes(raw)

    return st.builds(apply, st.sampled_from(bases), edits)


@settings(max_examples=400)
@given(mangled(), sizes, st.booleans())
def test_mangled_archives_give_the_same_however_they_are_cut(data: bytes, size: int, strict: bool) -> None:  # noqa: FBT001
    limits = Limits(max_member_size=1 << 20, max_header_size=1 << 12)
    members, error = decode(data, limits=limits, strict=strict)  # raises anything but our own errors
    again, error_again = decode(data, size, limits=limits, strict=strict)
    assert [member.content for member in again] == [member.content for member in members]
    assert facts(error_again) == facts(error)


@settings(max_examples=200)
@given(st.binary(max_size=3000), sizes)
@example(b"\0" * 1024, 1)
@example(b"\0" * 3000, 512)
def test_random_bytes_are_an_error_of_ours_or_an_empty_archive(data: bytes, size: int) -> None:
    members, error = decode(data, size)
    assert members == []
    assert error is not None or data.startswith(END)


@settings(max_examples=20)
@given(archives)
def test_one_byte_at_a_time(members: list[Given]) -> None:
    raw = encode(members[:2])
    got, error = run(TarDecoder(), chop(raw, 1))
    assert error is None
    assert [(member.name, member.data) for member in got] == [(each.name, each.data) for each in members[:2]]
    assert all(member.whole for member in got)
