"""Multipart answers: metadata first, then the archive as it comes, in any pieces and cut anywhere."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch import (
    AsyncBatchError,
    FormatError,
    LimitExceededError,
    Limits,
    TransportError,
    TruncatedArchiveError,
)
from asyncbatch.aistore._batch import GetBatchSource
from asyncbatch.aistore._multipart import open_parts
from asyncbatch.batch import BatchRequest
from asyncbatch.server import running
from asyncbatch.transport import Body

from ..support.answers import OneAnswer, read_members
from ..support.batches import FakeBucket, FakeObject, request_of, split, tar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.anyio

FORMATS = [".tar", ".tar.gz", ".tar.lz4", ".zip"]
BOUNDARY = "b" * 60
TYPE = f"multipart/mixed; boundary={BOUNDARY}"


def parts(metadata: bytes, archive: bytes, *, names: tuple[str, ...] = ("metadata", "archive")) -> bytes:
    """Make a multipart body; its parts are as many as the names."""
    data = [metadata, *[archive] * (len(names) - 1)]
    body = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        % (BOUNDARY.encode(), name.encode(), one)
        for name, one in zip(names, data, strict=False)
    )
    return body + b"--%b--\r\n" % BOUNDARY.encode()


def told(*sizes: int) -> bytes:
    return json.dumps({"uuid": "u", "out": [{"objname": "x", "size": size} for size in sizes]}).encode()


def source_of(
    chunks: Iterable[bytes | Exception],
    *,
    content_type: str | None = TYPE,
    limits: Limits | None = None,
) -> tuple[GetBatchSource, OneAnswer]:
    headers = {"transfer-encoding": "chunked"}
    if content_type is not None:
        headers["content-type"] = content_type
    connection = OneAnswer(chunks, headers=headers, limits=limits or Limits())
    return GetBatchSource(connection), connection  # type: ignore[arg-type]


def one_request(**options: Any) -> BatchRequest:  # noqa: ANN401 - of a request
    return request_of(["o"], streaming=False, **options)


# -- as our server makes them --------------------------------------------------------------------------------

SMALL = {"empty": b"", "one": b"1", "crlf": b"\r\n--" + BOUNDARY.encode()[:9], "block": bytes(512)}
LARGE = {**SMALL, "large": bytes(range(256)) * 400, "larger": b"PK\x03\x04\r\n--" * 30_000}


async def record(root: Path, objects: dict[str, bytes], form: str) -> tuple[BatchRequest, str, bytes]:
    """Return a request for objects and more, and what our server answers."""
    (root / "b").mkdir()
    for name, data in objects.items():
        (root / "b" / name).write_bytes(data)
    (root / "b" / "s.tar").write_bytes(tar([("in/side", b"file")]))
    request = BatchRequest(output_format=form, continue_on_err=True, streaming=False)
    bucket = FakeBucket()
    for name in objects:
        request.add_object_request(FakeObject(name, bucket), opaque=name.encode())
    request.add_object_request(FakeObject("nonsense", bucket))
    request.add_object_request(FakeObject("s.tar", bucket), archpath="in/side", start=1, length=2)
    sent: list[httpx.Response] = []

    class Recorder:
        limits = Limits()

        async def open_once(self, wire: Any) -> httpx.Response:  # noqa: ANN401 - a wire request
            async with httpx.AsyncClient(base_url=url) as http:
                asked = http.build_request("GET", wire.path, params=wire.query, content=wire.body)
                response = await http.send(asked, follow_redirects=False)
                assert response.status_code == 307
                asked = http.build_request("GET", response.headers["location"], content=wire.body)
                sent.append(await http.send(asked))
            return sent[0]

    async with running(root) as url:
        answer = await GetBatchSource(Recorder()).open_batch(request)  # type: ignore[arg-type]
        assert [name for name, _ in await read_members(answer)] == [
            *[f"b/{name}" for name in objects],
            "__404__/b/nonsense",
            "b/s.tar/in/side",
        ]
    return request, sent[0].headers["content-type"], sent[0].content


async def read(
    request: BatchRequest, content_type: str, chunks: Iterable[bytes | Exception]
) -> list[tuple[str, bytes]]:
    source, connection = source_of(chunks, content_type=content_type)
    members: list[tuple[str, bytes]] = []
    try:
        answer = await source.open_batch(request)
        await read_members(answer, members)
    except (TruncatedArchiveError, TransportError):
        if len(members) < len(request):
            raise
    finally:
        assert connection.responses[0].is_closed
    assert answer.sizes == [len(data) for _, data in members]
    assert answer.fault(len(request) - 2, members[-2][0]) is not None
    return members


@pytest.mark.parametrize("form", FORMATS)
async def test_an_answer_may_arrive_in_any_pieces(form: str, tmp_path: Path) -> None:
    request, content_type, body = await record(tmp_path, LARGE, form)
    whole = await read(request, content_type, [body])
    assert [data for _, data in whole] == [*LARGE.values(), b"", b"il"]
    for size in (1, 7, 61, 64, 65, 4099, 65_536):
        if len(body) / size < 20_000:
            assert await read(request, content_type, split(body, size)) == whole

    @settings(max_examples=40, deadline=None, database=None)
    @given(st.lists(st.integers(0, len(body)), max_size=12))
    def in_pieces(cuts: list[int]) -> None:
        edges = [0, *sorted(cuts), len(body)]
        pieces.append([body[first:end] for first, end in pairwise(edges)])

    pieces: list[list[bytes]] = []
    in_pieces()
    for some in pieces:
        assert await read(request, content_type, some) == whole


@pytest.mark.sweep
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("end", ["clean", "reset"])
async def test_an_answer_that_is_cut_anywhere_is_whole_or_broken_off(
    form: str, end: str, tmp_path: Path
) -> None:
    request, content_type, body = await record(tmp_path, SMALL, form)
    whole = await read(request, content_type, [body])
    least = body.index(b"--" + body[2:62] + b"\r\n", 1)  # where the archive's part begins
    tail = [] if end == "clean" else [httpx.ReadError("reset")]
    for cut in range(0, len(body), 3 if form == ".tar" else 1):
        source, connection = source_of([body[:cut], *tail], content_type=content_type)
        members: list[tuple[str, bytes]] = []
        try:
            answer = await source.open_batch(request)
            assert cut > least
            await read_members(answer, members)
        except (TruncatedArchiveError, TransportError) as error:
            assert isinstance(error, TransportError) == (end == "reset")  # noqa: PT017 - which, depends
            assert whole[: len(members)] == members
        else:
            assert members == whole
        assert connection.responses[0].is_closed


# -- the metadata --------------------------------------------------------------------------------------------


async def test_the_metadata_is_known_before_the_archive() -> None:
    request = request_of(["o", "p"], streaming=False, continue_on_err=True)
    metadata = b'{"out":[{"size":5,"err_msg":"t[1]: ais://b/o does not exist"},{"size":3}]}'
    start = parts(metadata, b"")[: -len(BOUNDARY) - 8]
    source, connection = source_of([start, httpx.ReadError("gone")])
    answer = await source.open_batch(request)
    assert answer.sizes == [0, 3]
    assert list(answer.member_names) == ["__404__/", "b/p"]
    with pytest.raises(TransportError):
        await read_members(answer)
    assert connection.responses[0].is_closed


@pytest.mark.parametrize(
    ("message", "kind", "retryable"),
    [
        ("t[IvHt8083]: ais://b/o does not exist", "ObjectNotFoundError", False),
        ("ais://b/o doesn't exist", "ObjectNotFoundError", False),
        ("open /mnt/o: no such file or directory", "ObjectNotFoundError", False),
        ("NoSuchKey: of the cloud", "ObjectNotFoundError", False),
        ("http error 404", "ObjectNotFoundError", False),
        ("stream[x] sbr: [sender: t[1], detail: connection reset]", "RemoteError", True),
    ],
)
async def test_what_the_server_says_of_an_item_is_its_error(message: str, kind: str, retryable: bool) -> None:  # noqa: FBT001
    metadata = json.dumps({"out": [{"size": 0, "err_msg": message}]}).encode()
    source, _ = source_of([parts(metadata, tar([("__404__/b/o", b"")]))])
    answer = await source.open_batch(one_request())
    ((name, data),) = await read_members(answer)
    fault = answer.fault(0, name)
    assert fault is not None
    assert (type(fault).__name__, fault.message, fault.retryable, data) == (kind, message, retryable, b"")


async def test_an_item_with_an_error_is_none_under_its_own_name() -> None:
    metadata = b'{"out":[{"size":0,"err_msg":"does not exist"}]}'
    source, _ = source_of([parts(metadata, tar([("b/o", b"")]))])
    answer = await source.open_batch(one_request())
    ((name, _),) = await read_members(answer)
    assert name != answer.member_names[0]
    assert answer.fault(0, name) is None


@pytest.mark.parametrize("size", [1, 1 << 16])
async def test_metadata_meets_its_limit(size: int) -> None:
    body = parts(told(1) + b" " * 5000, b"")
    source, connection = source_of(split(body, size), limits=Limits(max_item_size=4096))
    with pytest.raises(LimitExceededError, match="metadata of a batch") as caught:
        await source.open_batch(one_request())
    assert caught.value.limit == "max_item_size"
    assert connection.responses[0].is_closed


async def test_limits_of_members_are_not_those_of_parts() -> None:
    archive = tar([("b/o", bytes(10_000))])
    limits = Limits(max_member_size=10_000, max_members=1, max_total_size=len(archive))
    source, _ = source_of(split(parts(told(10_000), archive), 999), limits=limits)
    members = await read_members(await source.open_batch(one_request()), limits=limits)
    assert members == [("b/o", bytes(10_000))]
    source, _ = source_of([parts(told(1), bytes(9000))], limits=Limits(max_total_size=1, max_item_size=100))
    with pytest.raises(LimitExceededError):
        await read_members(await source.open_batch(one_request()))


# -- other answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type", ["application/x-tar", "text/html", None, "multipart/mixed", TYPE[:-60]]
)
async def test_an_answer_of_another_type_is_an_error(content_type: str | None) -> None:
    source, connection = source_of([tar([("b/o", b"")])], content_type=content_type)
    with pytest.raises(FormatError, match=r"asked for by streaming=False") as caught:
        await source.open_batch(one_request())
    assert type(caught.value) is FormatError
    assert repr(content_type or "") in str(caught.value)
    assert connection.responses[0].is_closed


@pytest.mark.parametrize("content_type", [None, TYPE])
async def test_an_empty_answer_is_one_cut_short(content_type: str | None) -> None:
    source, connection = source_of([], content_type=content_type)
    with pytest.raises(TruncatedArchiveError, match="empty"):
        await source.open_batch(one_request())
    assert connection.responses[0].is_closed


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ((), "without its metadata"),
        (("metadata",), "without its archive"),
    ],
)
async def test_an_answer_without_a_part_is_one_cut_short(names: tuple[str, ...], reason: str) -> None:
    source, connection = source_of([parts(told(1), b"", names=names)])
    with pytest.raises(TruncatedArchiveError, match=reason):
        await read_members(await source.open_batch(one_request()))
    assert connection.responses[0].is_closed


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("archive", "metadata"), "'archive' where the name is to be 'metadata'"),
        (("metadata", "other"), "'other' where the name is to be 'archive'"),
        (("metadata", "archive", "archive"), "a part follows the archive"),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 16])
async def test_an_answer_of_other_parts_is_an_error(names: tuple[str, ...], reason: str, size: int) -> None:
    source, connection = source_of(split(parts(told(0), tar([("b/o", b"")]), names=names), size))
    with pytest.raises(FormatError, match=reason) as caught:
        await read_members(await source.open_batch(one_request()))
    assert type(caught.value) is FormatError
    assert connection.responses[0].is_closed


# -- chunks that are there -----------------------------------------------------------------------------------


class ReadyBody(Body):
    """A body that has its chunks already."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._left = chunks
        self.closed = False

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": TYPE}

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop(0)

    def take_ready(self) -> bytes | None:
        return self._left.pop(0) if self._left else None

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("size", [1, 50, 1 << 16])
async def test_what_is_there_is_handed_out_without_waiting(size: int) -> None:
    data = bytes(range(256)) * 3
    body = ReadyBody(list(split(parts(b"{}", data), size)))
    metadata, archive = await open_parts(body, limits=Limits())
    assert metadata == b"{}"
    ready = b"".join(bytes(chunk) for chunk in iter(archive.take_ready, None))
    assert ready + b"".join([bytes(chunk) async for chunk in archive]) == data
    assert archive.take_ready() is None
    await archive.aclose()
    assert body.closed


async def test_an_error_in_what_is_there_waits_for_whoever_awaits_it() -> None:
    body = ReadyBody(list(split(parts(b"{}", b"data", names=("metadata", "archive", "more")), 16)))
    _, archive = await open_parts(body, limits=Limits())
    ready = [bytes(chunk) for chunk in iter(archive.take_ready, None)]
    assert b"".join(ready) == b"data"
    for _ in range(2):
        assert archive.take_ready() is None
        with pytest.raises(AsyncBatchError, match="a part follows"):
            await anext(archive)
