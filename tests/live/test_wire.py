"""What is on the wire, seen without our client: the facts that it is built on.

A server that does one of these otherwise is one that the client does not know yet.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from .stock import OBJECTS, SHARDS

if TYPE_CHECKING:
    import httpx

    from .conftest import Stock

pytestmark = [pytest.mark.live, pytest.mark.anyio]


def entry(stock: Stock, name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"objname": name, "bucket": stock.name, "provider": "ais", **more}


async def ask(
    http: httpx.AsyncClient,
    stock: Stock,
    *entries: dict[str, Any],
    path: str = "",
    **options: Any,  # noqa: ANN401 - JSON
) -> httpx.Response:
    """Ask for a batch as a client does: at the proxy, then where that leads."""
    body = {"mime": ".tar", "strm": True, "coer": True, "in": list(entries), **options}
    url = path or f"/v1/ml/moss/{stock.name}?provider=ais"
    answer = await http.request("GET", url, json=body)
    if answer.status_code == 307:
        answer = await http.request("GET", answer.headers["location"], json=body)
    return answer


def members(answer: httpx.Response) -> list[tuple[str, int]]:
    assert answer.status_code == 200, answer.text
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode="r|") as tar:
        return [(member.name, member.size) for member in tar]


def check_error(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    text = answer.text or answer.headers["hdr-error"]
    found: dict[str, Any] = json.loads(text)
    assert found["status"] == status
    assert found["message"]
    return found


# -- the redirect ------------------------------------------------------------------------------------------


async def test_a_redirect_is_good_for_one_use(http: httpx.AsyncClient, stock: Stock) -> None:
    body = {"mime": ".tar", "strm": True, "in": [entry(stock, "small/01")]}
    proxy = await http.request("GET", f"/v1/ml/moss/{stock.name}?provider=ais", json=body)
    assert proxy.status_code == 307
    target = proxy.headers["location"]
    assert re.search(rf"/v1/ml/moss/{stock.name}/[^/]+/[^/]+/[^/?]+\?.*pid=", target)
    first = await http.request("GET", target, json=body)
    assert members(first) == [(f"{stock.name}/small/01", len(OBJECTS["small/01"]))]
    check_error(await http.request("GET", target, json=body), 404)


async def test_a_target_answers_whom_a_proxy_has_sent(http: httpx.AsyncClient, stock: Stock) -> None:
    body = {"mime": ".tar", "strm": True, "in": [entry(stock, "small/01")]}
    proxy = await http.request("GET", f"/v1/ml/moss/{stock.name}?provider=ais", json=body)
    target = proxy.headers["location"].partition("?")[0]
    answer = await http.request("GET", f"{target}?provider=ais", json=body)
    assert answer.status_code in {401, 404}


async def test_an_object_is_behind_a_redirect_too(http: httpx.AsyncClient, stock: Stock) -> None:
    url = f"/v1/objects/{stock.name}/small/01?provider=ais"
    proxy = await http.get(url)
    assert proxy.status_code in {301, 302, 307}
    assert (await http.get(proxy.headers["location"])).content == OBJECTS["small/01"]


# -- what is refused ---------------------------------------------------------------------------------------


async def test_other_methods(http: httpx.AsyncClient, stock: Stock) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert (await http.request(method, f"/v1/ml/moss/{stock.name}")).status_code == 405


@pytest.mark.parametrize(
    ("entries", "options"),
    [
        ([{"objname": "small/01"}], {"mime": ".rar"}),
        ([{"objname": "small/01"}], {"mime": ".TAR"}),
        ([], {}),
        ([{"objname": ""}], {}),
        ([{"objname": "../x"}], {}),
        ([{"objname": "folder/"}], {}),
        ([{"objname": "~/x"}], {}),
        ([{"objname": "small/01", "start": 10, "length": 0}], {}),
        ([{"objname": "small/01", "opaque": "-_-_"}], {"strm": False}),
    ],
    ids=str,
)
async def test_requests_that_make_no_sense(
    http: httpx.AsyncClient, stock: Stock, entries: list[dict[str, Any]], options: dict[str, Any]
) -> None:
    check_error(await ask(http, stock, *entries, **options), 400)


async def test_a_request_that_is_no_json(http: httpx.AsyncClient, stock: Stock) -> None:
    url = f"/v1/ml/moss/{stock.name}?provider=ais"
    check_error(await http.request("GET", url, content=b'{"mime": '), 400)


async def test_a_bucket_that_does_not_exist(http: httpx.AsyncClient, stock: Stock) -> None:
    answer = await ask(
        http,
        stock,
        {"objname": "a", "bucket": "asyncbatch-live-nowhere", "provider": "ais"},
        path="/v1/ml/moss/asyncbatch-live-nowhere?provider=ais",
    )
    assert check_error(answer, 404)["tcode"] == "ErrBckNotFound"


async def test_a_head_carries_its_error_in_a_header(http: httpx.AsyncClient) -> None:
    answer = await http.head("/v1/buckets/asyncbatch-live-nowhere?provider=ais")
    assert answer.status_code == 404
    error = answer.headers.get("hdr-error")
    assert error is None or json.loads(error)["status"] == 404


# -- answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mime", "content_type", "magic"),
    [
        (".tar", "application/x-tar", b""),
        ("", "application/x-tar", b""),
        (".tgz", "application/gzip", b"\x1f\x8b"),
        (".tar.gz", "application/gzip", b"\x1f\x8b"),
        (".tar.lz4", "application/x-lz4", b"\x04\x22\x4d\x18"),
        (".zip", "application/zip", b"PK\3\4"),
        ("application/gzip", "application/zip", b"PK\3\4"),  # it has "zip" in it
    ],
)
async def test_formats(
    http: httpx.AsyncClient, stock: Stock, mime: str, content_type: str, magic: bytes
) -> None:
    answer = await ask(http, stock, entry(stock, "small/01"), mime=mime)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert answer.headers.get("transfer-encoding") == "chunked"
    assert answer.content.startswith(magic)


async def test_entries_name_their_buckets_and_a_default_is_not_needed(
    http: httpx.AsyncClient, stock: Stock
) -> None:
    answer = await ask(http, stock, entry(stock, "small/01"), path="/v1/ml/moss")
    assert members(answer) == [(f"{stock.name}/small/01", 101)]


async def test_a_bucket_s_own_objects_need_not_name_it(http: httpx.AsyncClient, stock: Stock) -> None:
    answer = await ask(http, stock, {"objname": "small/01"}, {"objname": "small/02"})
    assert members(answer) == [(f"{stock.name}/small/01", 101), (f"{stock.name}/small/02", 102)]


async def test_members_are_named_after_objects_and_paths(http: httpx.AsyncClient, stock: Stock) -> None:
    entries = entry(stock, "small/01"), entry(stock, "shards/s.tar", archpath="a.txt")
    answer = await ask(http, stock, *entries, onob=True)
    assert members(answer) == [("small/01", 101), ("shards/s.tar/a.txt", 13)]


async def test_a_missing_entry_is_an_empty_member_of_another_name(
    http: httpx.AsyncClient, stock: Stock
) -> None:
    answer = await ask(http, stock, entry(stock, "nowhere"), entry(stock, "small/01"))
    assert members(answer) == [(f"__404__/{stock.name}/nowhere", 0), (f"{stock.name}/small/01", 101)]


async def test_a_strict_batch_says_404_or_ends_early_or_has_a_member_of_another_name(
    http: httpx.AsyncClient, stock: Stock
) -> None:
    there = (f"{stock.name}/small/01", 101)
    for number in range(8):
        entries = [entry(stock, name) for name in ("small/01", f"nowhere-{number}", "small/01")]
        found = members(await ask(http, stock, *entries, coer=False))
        assert found in ([], [there], [there, (f"__404__/{stock.name}/nowhere-{number}", 0), there])
        answer = await ask(http, stock, *entries, coer=False, strm=False)
        assert answer.status_code in {200, 404}
        if answer.status_code == 200:
            assert f"__404__/{stock.name}/nowhere-{number}".encode() in answer.content


async def test_many_missing_entries_end_a_batch_early_or_not_at_all(
    http: httpx.AsyncClient, stock: Stock
) -> None:
    entries = [entry(stock, f"nowhere-{number}") for number in range(60)]
    found = members(await ask(http, stock, *entries))
    assert [name for name, _ in found] == [
        f"__404__/{stock.name}/nowhere-{number}" for number in range(len(found))
    ]
    # Its limit is 8 by default, and may be set.
    assert len(found) in {8, 9, 60}
    answer = await ask(http, stock, *entries, strm=False)
    assert answer.status_code == (200 if len(found) == 60 else 400)


async def test_multipart_is_metadata_and_an_archive(http: httpx.AsyncClient, stock: Stock) -> None:
    entries = [
        entry(stock, "small/01", opaque="+/+/"),
        entry(stock, "nowhere"),
        *(entry(stock, shard, archpath="a.txt") for shard in SHARDS),
    ]
    answer = await ask(http, stock, *entries, strm=False, mime=".zip")
    assert answer.status_code == 200
    match = re.fullmatch(r"multipart/mixed; boundary=(\w+)", answer.headers["content-type"])
    assert match
    boundary = b"--" + match[1].encode()
    before, metadata, archive, after = answer.content.split(boundary)
    assert before == b""
    assert after.startswith(b"--")
    head, _, body = metadata.partition(b"\r\n\r\n")
    assert b'name="metadata"' in head
    out = json.loads(body)["out"]
    assert [one["size"] for one in out] == [101, 0, *[13] * len(SHARDS)]
    assert [bool(one.get("err_msg")) for one in out] == [False, True, *[False] * len(SHARDS)]
    assert out[0]["opaque"] == "+/+/"
    # An entry that another target has comes with its path in its name, and no path.
    for one, asked in zip(out[2:], entries[2:], strict=True):
        path = f"/{one['archpath']}" if one.get("archpath") else ""
        assert one["objname"] + path == f"{asked['objname']}/a.txt"
    head, _, body = archive.partition(b"\r\n\r\n")
    assert b'name="archive"' in head
    with zipfile.ZipFile(io.BytesIO(body)) as inside:
        assert len(inside.namelist()) == len(entries)


async def test_a_range_of_minus_one_is_to_the_end(http: httpx.AsyncClient, stock: Stock) -> None:
    answer = await ask(http, stock, entry(stock, "size-300000", start=299_000, length=-1))
    assert members(answer) == [(f"{stock.name}/size-300000", 1000)]


async def test_the_cluster_says_who_it_is(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/health?prr=true")).status_code == 200
    found = (await http.get("/v1/daemon?what=smap")).json()
    assert found["pmap"]
    assert found["tmap"]
