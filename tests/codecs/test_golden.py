"""Every batch that a real AIStore answered, decoded by the codecs alone, however it is cut up."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch.codecs import (
    MemberData,
    MemberStart,
    MultipartDecoder,
    WholeMember,
    ZipDecoder,
    parse_boundary,
)
from asyncbatch.codecs._formats import parse_format
from asyncbatch.codecs._pipeline import open_decoder
from asyncbatch.errors import FormatError

from ..server.golden import read_recorded
from .tars import chop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncbatch.codecs import Decoder
    from asyncbatch.codecs._events import Buffer

DATA = Path(__file__).parents[1] / "data" / "aistore"
CASES: dict[str, dict[str, Any]] = {
    case["name"]: case for case in json.loads((DATA / "getbatch.json").read_bytes())
}

WHAT = ["plain", "onob", "names", "tricky", "archpath", "missing", "range", "buckets"]
FORMATS = {"tar": ".tar", "tgz": ".tgz", "tar-lz4": ".tar.lz4", "zip": ".zip"}
STREAMED = [f"{form}-stream-{what}" for form in FORMATS for what in WHAT] + ["tar-gz-stream-plain"]
IN_PARTS = [f"{form}-multipart-{what}" for form in FORMATS for what in [*WHAT, "opaque"]] + [
    "tar-gz-multipart-plain",
    "tar-gz-multipart-opaque",
]
# What is asked for has members that do not come; so many do.
SHORT = {
    "error-strict-stream": 1,
    "error-strict-stream-mp-archpath": 1,
    "error-range-past": 0,
    "error-range-long": 0,
    "error-soft9": 9,
    "error-soft200": 8,
}
# A zip where gzip was asked for, and a mark for what is missing where it should have been an error.
ODD = {"error-mimetype", "error-strict-multipart"}
REFUSED = {
    "error-nobucket", "error-badjson", "error-badmime", "error-empty-in", "error-range", "error-opaque",
    "error-name-dotdot", "error-name-slash", "error-name-empty", "error-soft200-mp",
}  # fmt: skip

# Small answers are also cut up into single bytes, large ones into odd pieces.
SMALL = 10_000


def _chunkings(body: bytes) -> list[list[bytes]]:
    return [[body], chop(body, 4096), chop(body, 1 if len(body) <= SMALL else 7)]


def _body(name: str) -> tuple[str, bytes]:
    recorded = read_recorded(CASES[name]["response"])
    assert recorded.status == CASES[name]["status"]
    return recorded.headers["content-type"], recorded.body


def _take(decoder: Decoder, found: list[tuple[str, bytes]]) -> None:
    for event in decoder:
        if isinstance(event, WholeMember):
            found.append((event.name, event.data))
        elif isinstance(event, MemberStart):
            found.append((event.name, b""))
        elif isinstance(event, MemberData):
            name, data = found.pop()
            found.append((name, data + event.data))


def _decode(decoder: Decoder, chunks: Iterable[bytes]) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for chunk in chunks:
        decoder.feed(chunk)
        _take(decoder, found)
    decoder.feed_eof()
    _take(decoder, found)
    return found


def _decode_parts(
    content_type: str, chunks: Iterable[bytes], make: Callable[[list[int]], Decoder]
) -> tuple[list[dict[str, Any]], list[tuple[str, bytes]]]:
    """Decode metadata and archive as they come: a part is handed on while it arrives."""
    decoder = MultipartDecoder(parse_boundary(content_type))
    parts: list[Decoder | bytearray] = []
    members: list[tuple[str, bytes]] = []
    out: list[dict[str, Any]] = []

    def begin(name: str) -> None:
        assert name == ("archive" if parts else "metadata")
        if parts:
            out.extend(json.loads(metadata)["out"])
            parts.append(make([entry["size"] for entry in out]))
        else:
            parts.append(metadata)

    def go_on(data: Buffer) -> None:
        part = parts[-1]
        if isinstance(part, bytearray):
            part += data
        else:
            part.feed(bytes(data))  # it may keep a chunk, and a view is valid until the next feed
            _take(part, members)

    metadata = bytearray()
    for chunk in [*chunks, None]:
        if chunk is None:
            decoder.feed_eof()
        else:
            decoder.feed(chunk)
        for event in decoder:
            if isinstance(event, WholeMember | MemberStart):
                begin(event.name)
            if isinstance(event, WholeMember | MemberData):
                go_on(event.data)
    _, archive = parts
    assert not isinstance(archive, bytearray)
    archive.feed_eof()
    _take(archive, members)
    return out, members


def _expect(name: str, members: list[tuple[str, bytes]]) -> None:
    """Hold members against what was uploaded."""
    request, expected = CASES[name]["request"], CASES[name]["expected"]
    assert [(len(data), hashlib.sha256(data).hexdigest()) for _, data in members] == [
        (entry["size"], entry["sha256"]) for entry in expected
    ]
    for (member, _), entry in zip(members, expected, strict=True):
        path = entry["objname"] if request.get("onob") else f"{entry['bucket']}/{entry['objname']}"
        full = f"{path}/{entry['archpath']}" if entry.get("archpath") else path
        # Of a file in a missing shard the cluster names the shard alone, or both.
        wanted = {f"__404__/{path}", f"__404__/{full}"} if entry["missing"] else {full}
        assert member in wanted


def test_no_case_is_left_out() -> None:
    groups = [STREAMED, IN_PARTS, SHORT, ODD, REFUSED]
    names = [name for group in groups for name in group]
    assert len(names) == len(set(names)) == 89
    assert set(names) == set(CASES)
    answers = {case["response"].removeprefix("getbatch/") for case in CASES.values()}
    others = {"redirect.http", "redirect-used-twice.http", "target-without-pid.http", "target-directly.http"}
    assert {path.name for path in (DATA / "getbatch").iterdir()} - others == answers
    assert {name for name in names if CASES[name]["expected"] is not None} == {*STREAMED, *IN_PARTS}
    assert {CASES[name]["request"]["mime"] for name in STREAMED} == {*FORMATS.values(), ".tar.gz"}
    assert all(CASES[name]["request"]["strm"] for name in STREAMED)
    assert not any(CASES[name]["request"]["strm"] for name in IN_PARTS)


@pytest.mark.parametrize("name", STREAMED)
def test_streamed(name: str) -> None:
    _, body = _body(name)
    for form in (parse_format(CASES[name]["request"]["mime"]), None):  # as asked for, and told by its bytes
        for chunks in _chunkings(body):
            _expect(name, _decode(open_decoder(form), chunks))


@pytest.mark.parametrize("name", IN_PARTS)
def test_in_parts(name: str) -> None:
    content_type, body = _body(name)
    mime = CASES[name]["request"]["mime"]
    makes: list[Callable[[list[int]], Decoder]] = [
        lambda _: open_decoder(parse_format(mime)),
        lambda _: open_decoder(None),
    ]
    if mime == ".zip":
        makes.append(lambda sizes: ZipDecoder(sizes=sizes))
    for make in makes:
        for chunks in _chunkings(body):
            out, members = _decode_parts(content_type, chunks, make)
            _expect(name, members)
            assert [entry["size"] for entry in out] == [entry["size"] for entry in CASES[name]["expected"]]
            assert [bool(entry.get("err_msg")) for entry in out] == [
                entry["missing"] for entry in CASES[name]["expected"]
            ]
            assert [entry.get("opaque") for entry in out] == [
                entry.get("opaque") for entry in CASES[name]["expected"]
            ]


@pytest.mark.parametrize("name", SHORT)
def test_sound_archives_that_are_shorter_than_what_was_asked_for(name: str) -> None:
    _, body = _body(name)
    wanted = [
        f"golden/{entry['objname']}" + (f"/{entry['archpath']}" if "archpath" in entry else "")
        for entry in CASES[name]["request"]["in"]
    ]
    for chunks in _chunkings(body):
        members = _decode(open_decoder(parse_format(".tar")), chunks)
        assert len(members) == SHORT[name] < len(wanted)
        assert [member.removeprefix("__404__/") for member, _ in members] == wanted[: len(members)]


def test_a_zip_that_was_asked_for_as_gzip() -> None:
    content_type, body = _body("error-mimetype")
    assert content_type == "application/zip"
    for chunks in _chunkings(body):
        ((name, data),) = _decode(open_decoder(None), chunks)
        assert (name, len(data)) == ("golden/one.bin", 1)
        with pytest.raises(FormatError, match="this is not gzip"):
            _decode(open_decoder(parse_format(".tgz")), chunks)


def test_a_missing_entry_that_another_target_looked_for_in_strict_mode() -> None:
    content_type, body = _body("error-strict-multipart")
    for chunks in _chunkings(body):
        out, members = _decode_parts(content_type, chunks, lambda _: open_decoder(parse_format(".tar")))
        assert [name.startswith("__404__/") for name, _ in members] == [False, True, False]
        assert ["err_msg" in entry for entry in out] == [False, True, False]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_errors_are_no_archives(name: str) -> None:
    content_type, body = _body(name)
    assert content_type == "application/json"
    for chunks in _chunkings(body):
        with pytest.raises(FormatError, match="this is JSON, not an archive"):
            _decode(open_decoder(None), chunks)
