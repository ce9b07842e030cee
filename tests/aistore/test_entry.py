"""One entry asked for by itself: its data, whole or not at all, or its own error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import (
    BatchRequest,
    BucketNotFoundError,
    ObjectNotFoundError,
    OverloadedError,
    RemoteError,
    TransportError,
)
from asyncbatch.aistore import Client
from asyncbatch.archive import ArchiveMember
from asyncbatch.limits import DEFAULT_LIMITS
from asyncbatch.server import running

from ..support.answers import read_members
from ..support.batches import FakeBucket, FakeObject, tar
from ..support.leaks import nothing_left_open, until
from ..support.wire import WireServer, chunked, head, json_error, reply

if TYPE_CHECKING:
    from pathlib import Path

    from asyncbatch.batch import EntryAnswer

pytestmark = pytest.mark.anyio

DATA = bytes(range(200))


def entry_request(name: str = "o", **options: Any) -> BatchRequest:  # noqa: ANN401 - of an entry
    request = BatchRequest(continue_on_err=True)
    request.add_object_request(FakeObject(name, FakeBucket("b")), **options)
    return request


async def ask(client: Client, **options: Any) -> EntryAnswer:  # noqa: ANN401 - of an entry
    return await client._source.open_entry(entry_request(**options))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({}, (0, 200)),
        ({"start": 150}, (150, 200)),
        ({"start": 0, "length": 1}, (0, 1)),
        ({"start": 7, "length": 100}, (7, 107)),
        ({"start": 199, "length": 1}, (199, 200)),
        ({"length": 200}, (0, 200)),
    ],
)
@pytest.mark.parametrize("archpath", [None, "dir/file"])
async def test_an_entry_by_itself_is_its_data(
    options: dict[str, Any], part: tuple[int, int], archpath: str | None, tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    archive = tar([("before", b"x" * 999), ("dir/file", DATA), ("behind", b"")])
    (tmp_path / "b" / "o.tar").write_bytes(archive if archpath else DATA)
    async with running(tmp_path) as url, nothing_left_open(), Client(url) as client:
        answer = await ask(client, name="o.tar", archpath=archpath, **options)
        members = await read_members(answer)
        assert answer.sizes in (None, [part[1] - part[0]])
    assert members == [(answer.member_names[0], DATA[slice(*part)])]
    assert answer.fault(0, "anything") is None


@pytest.mark.parametrize(
    "options", [{"start": 300}, {"start": 100, "length": 101}, {"length": 201}, {"start": 1000, "length": 1}]
)
@pytest.mark.parametrize("archpath", [None, "dir/file"])
async def test_a_range_that_is_not_there_is_an_error_and_no_data(
    options: dict[str, Any], archpath: str | None, tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "o.tar").write_bytes(tar([("dir/file", DATA)]) if archpath else DATA)
    async with running(tmp_path) as url, nothing_left_open(), Client(url) as client:
        with pytest.raises(RemoteError, match="200") as caught:
            await read_members(await ask(client, name="o.tar", archpath=archpath, **options))
    error = caught.value
    assert (type(error), error.status, error.code) == (RemoteError, 416, "ErrRangeNotSatisfiable")
    assert not error.retryable
    what = "ais://b/o.tar" if archpath is None else "dir/file in ais://b/o.tar"
    assert error.message.startswith(f"{what}: ")


@pytest.mark.parametrize("size", [1, 64, 150, 200])
@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"start": 150}, DATA[150:]),
        ({"start": 200}, b""),
        ({"start": 149, "length": 2}, DATA[149:151]),
        ({"length": 1}, DATA[:1]),
        ({"start": 201}, None),
        ({"start": 100, "length": 101}, None),
        ({"start": 500, "length": 1}, None),
    ],
)
async def test_a_range_of_a_file_of_untold_size_is_cut_out_of_it(
    options: dict[str, Any], part: bytes | None, size: int
) -> None:
    async with WireServer(chunked(DATA, size=size)) as server, nothing_left_open():
        async with Client(server.url) as client:
            answer = await ask(client, archpath="f", **options)
            assert answer.sizes == ([options["length"]] if "length" in options else None)
            if part is None:
                with pytest.raises(RemoteError, match=r"f in ais://b/o: .* it has 200 bytes") as caught:
                    await read_members(answer)
                assert caught.value.status == 416
            else:
                assert [data for _, data in await read_members(answer)] == [part]
    (asked,) = server.asked
    assert asked.target == "/v1/objects/b/o?provider=ais&archpath=f"
    assert "range" not in asked.headers


async def test_what_is_behind_a_range_is_not_waited_for() -> None:
    async def endless(writer: Any) -> None:  # noqa: ANN401 - a stream writer
        writer.write(head(200, Transfer_Encoding="chunked") + b"c8\r\n" + DATA + b"\r\n")
        while True:
            writer.write(b"400\r\n" + bytes(1024) + b"\r\n")
            await writer.drain()

    async with WireServer(endless) as server, nothing_left_open(), Client(server.url) as client:
        answer = await ask(client, archpath="f", start=10, length=20)
        assert [data for _, data in await read_members(answer)] == [DATA[10:30]]
        await until(lambda: server.connections == 0)


@pytest.mark.parametrize(
    ("answer", "kind", "status"),
    [
        (json_error(404, "ErrNotFound", "o does not exist"), ObjectNotFoundError, 404),
        (json_error(404, "ErrBckNotFound", "no b"), BucketNotFoundError, 404),
        (reply(404, b""), ObjectNotFoundError, 404),
        # A gateway that does not know the way knows nothing of the object either.
        (reply(404, b"<p>default backend - 404</p>"), RemoteError, 404),
        (json_error(503, "", "wait"), OverloadedError, 503),
        (reply(200, DATA), RemoteError, 200),
        (reply(206, DATA[:5]), RemoteError, 206),
        (reply(206, DATA[:5], Content_Range="bytes 0-4/200"), RemoteError, 206),
        (reply(206, DATA[:5], Content_Range="bytes 4-3/4"), RemoteError, 206),
        (reply(206, DATA[:5], Content_Range="bytes 4-13/200"), RemoteError, 206),
        (reply(206, DATA[4:9], Content_Range="bytes 4-8/9"), RemoteError, 416),
        (reply(416, b"", Content_Range="bytes */4"), RemoteError, 416),
    ],
)
async def test_what_is_not_the_data_is_an_error(answer: bytes, kind: type[RemoteError], status: int) -> None:
    async with WireServer(answer) as server, nothing_left_open(), Client(server.url) as client:
        with pytest.raises(RemoteError) as caught:
            await ask(client, start=4, length=10)
        assert (type(caught.value), caught.value.status) == (kind, status)
        assert len(server.asked) == 1
    if isinstance(caught.value, ObjectNotFoundError):
        assert (caught.value.name, caught.value.bucket) == ("o", "b")


@pytest.mark.parametrize("options", [{}, {"archpath": "f", "start": 10}, {"archpath": "f", "length": 150}])
@pytest.mark.parametrize("length", [True, False])
async def test_data_that_breaks_off_is_an_error(options: dict[str, Any], *, length: bool) -> None:
    async def hang_up(writer: Any) -> None:  # noqa: ANN401 - a stream writer
        if length:
            writer.write(head(200, Content_Length="200") + DATA[:100])
        else:
            writer.write(head(200, Transfer_Encoding="chunked") + b"64\r\n" + DATA[:100] + b"\r\n")

    async with WireServer(hang_up) as server, nothing_left_open(), Client(server.url) as client:
        members: list[tuple[str, bytes]] = []
        with pytest.raises(TransportError) as caught:
            await read_members(await ask(client, **options), members)
        assert caught.value.retryable
        assert not members


async def test_a_range_of_a_file_is_cut_out_as_it_comes() -> None:
    async with WireServer(reply(200, DATA)) as server, nothing_left_open(), Client(server.url) as client:
        answer = await ask(client, archpath="f", start=7, length=9)
        assert b"".join([bytes(chunk) async for chunk in answer.chunks]) == DATA[7:16]


async def test_an_answer_that_nobody_reads_is_closed() -> None:
    async with WireServer(reply(200, DATA)) as server, nothing_left_open(), Client(server.url) as client:
        answer = await ask(client, archpath="f", start=1)
        stream = answer.open_stream(DEFAULT_LIMITS)
        assert not isinstance(stream.current, ArchiveMember)
        await stream.aclose()
