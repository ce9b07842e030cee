"""The same batches that a real cluster was asked for, and the same answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asyncbatch.server import create_app, running

from . import golden

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

CASES: list[dict[str, Any]] = golden.load("getbatch.json")
DELIVERED = [case for case in CASES if case["expected"] is not None]
REFUSED = [case for case in CASES if case["status"] >= 400 and case["name"] != "error-soft200-mp"]
SHORT = [case for case in CASES if case["name"].startswith(("error-strict-stream", "error-range-"))]
SOFT = [case for case in CASES if case["name"].startswith("error-soft")]
MIME = [case for case in CASES if case["name"] == "error-mimetype"]


def _ids(cases: list[dict[str, Any]]) -> dict[str, Any]:
    return {"argvalues": cases, "ids": [case["name"] for case in cases], "argnames": "case"}


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """A server that was given the cluster's objects by its own API."""
    app = create_app(tmp_path_factory.mktemp("golden"), max_soft_errors=8)
    async with running(app) as url, httpx.AsyncClient(base_url=url, follow_redirects=True) as client:
        for bucket in ("golden", "golden2"):
            await client.post(f"/v1/buckets/{bucket}", json={"action": "create-bck"})
        for name, content in golden.objects().items():
            answer = await client.put(f"{url}/v1/objects/{name}", content=content)
            assert answer.status_code == 200
        yield client


async def _ask(client: httpx.AsyncClient, case: dict[str, Any]) -> tuple[httpx.Response, httpx.Response]:
    """Return the proxy's answer and the last one."""
    raw = case["request"].get("raw")
    body = json.dumps(case["request"]) if raw is None else raw
    answer = await client.request(case["method"], case["path"], content=body)
    return (*answer.history, answer)[0], answer


@pytest.mark.parametrize(**_ids(DELIVERED))
async def test_delivers_what_was_uploaded(cluster: httpx.AsyncClient, case: dict[str, Any]) -> None:
    proxy, answer = await _ask(cluster, case)
    assert (proxy.status_code, answer.status_code) == (case["proxy_status"], case["status"]) == (307, 200)
    recorded = golden.read_recorded(case["response"])
    request, expected = case["request"], case["expected"]
    ours, theirs = answer.content, recorded.body
    if request["strm"]:
        assert answer.headers["content-type"] == recorded.headers["content-type"]
    else:
        ours_said, ours = golden.read_parts(ours, answer.headers["content-type"])
        theirs_said, theirs = golden.read_parts(theirs, recorded.headers["content-type"])
        assert ours_said.keys() == theirs_said.keys()
        _compare_metadata(ours_said["out"], theirs_said["out"])
        assert [entry.get("opaque") for entry in ours_said["out"]] == [e.get("opaque") for e in expected]
    members = golden.read_archive(ours, request["mime"])
    wanted = [{key: entry[key] for key in ("size", "sha256", "missing")} for entry in expected]
    assert golden.describe(members) == wanted
    for (name, _), (their_name, _) in zip(members, golden.read_archive(theirs, request["mime"]), strict=True):
        # Of a file in a missing shard the cluster names the shard alone, or both.
        assert name == their_name or (name.startswith("__404__/") and name.startswith(their_name + "/"))


def _compare_metadata(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    for entry, other in zip(ours, theirs, strict=True):
        # What came from another target has the archpath behind the name.
        if "archpath" in entry and "archpath" not in other:
            entry["objname"] += "/" + entry.pop("archpath")
        assert list(entry) == list(other)
        # Nodes have names of their own.
        message, other_message = entry.pop("err_msg", ""), other.pop("err_msg", "")
        assert entry == other
        assert message.partition("]")[2] == other_message.partition("]")[2]


@pytest.mark.parametrize(**_ids(REFUSED))
async def test_refuses_in_the_same_words(cluster: httpx.AsyncClient, case: dict[str, Any]) -> None:
    proxy, answer = await _ask(cluster, case)
    assert (proxy.status_code, answer.status_code) == (case["proxy_status"], case["status"])
    recorded = golden.read_recorded(case["response"])
    error, other = answer.json(), json.loads(recorded.body)
    assert list(error) == list(other)
    assert [answer.headers[name] for name in ("content-type", "x-content-type-options")] == [
        recorded.headers[name] for name in ("content-type", "x-content-type-options")
    ]
    assert (error["status"], error.get("tcode")) == (other["status"], other.get("tcode"))
    if case["name"] not in {"error-badjson", "error-badmime"}:  # Go's parser; a proxy that asked a target
        assert (error["method"], error["url_path"]) == (other["method"], other["url_path"])
        # Behind this the cluster quotes a part of the body.
        assert error["message"] == other["message"].partition(", error found in")[0]


@pytest.mark.parametrize(**_ids(SHORT))
async def test_ends_an_archive_where_a_cluster_does(cluster: httpx.AsyncClient, case: dict[str, Any]) -> None:
    _, answer = await _ask(cluster, case)
    assert answer.status_code == case["status"] == 200
    ours, theirs = answer.content, golden.read_recorded(case["response"]).body
    assert golden.read_archive(ours) == golden.read_archive(theirs)


async def test_multipart_refuses_a_missing_entry_in_strict_mode(cluster: httpx.AsyncClient) -> None:
    """The recorded cluster delivers: there the entry is on another target. This one has no other."""
    case = next(case for case in CASES if case["name"] == "error-strict-multipart")
    _, answer = await _ask(cluster, case)
    assert answer.status_code == 404
    error = answer.json()
    assert error["tcode"] == "ErrNotFound"
    assert error["message"].endswith("]: ais://golden/nope.bin does not exist")


@pytest.mark.parametrize(**_ids(SOFT))
async def test_stops_after_eight_missing_entries(cluster: httpx.AsyncClient, case: dict[str, Any]) -> None:
    _, answer = await _ask(cluster, case)
    recorded = golden.read_recorded(case["response"])
    assert answer.status_code == recorded.status
    if answer.status_code == 200:
        ours, theirs = golden.read_archive(answer.content), golden.read_archive(recorded.body)
        assert [len(ours), len(theirs)] in ([8, 8], [8, 9])
        assert ours == theirs[:8]
    else:
        error, other = answer.json(), json.loads(recorded.body)
        assert error["status"] == other["status"] == 400
        assert error["message"].endswith(other["message"].partition('" exceeded')[2])


@pytest.mark.parametrize(**_ids(MIME))
async def test_takes_a_part_of_a_media_type_for_an_extension(
    cluster: httpx.AsyncClient, case: dict[str, Any]
) -> None:
    """There is a "zip" in application/gzip."""
    _, answer = await _ask(cluster, case)
    recorded = golden.read_recorded(case["response"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, recorded.headers["content-type"])
    assert golden.read_archive(answer.content, ".zip") == golden.read_archive(recorded.body, ".zip")


async def test_redirects_as_a_proxy_does(cluster: httpx.AsyncClient) -> None:
    recorded = golden.read_recorded("getbatch/redirect.http")
    request = {"in": [{"objname": "one.bin"}], "strm": True}
    answer = await cluster.request("GET", "/v1/ml/moss/golden", json=request, follow_redirects=False)
    assert answer.status_code == recorded.status
    location = httpx.URL(answer.headers["location"])
    assert answer.text == f'<a href="{str(location).replace("&", "&amp;")}">Temporary Redirect</a>.\n\n'
    assert answer.headers["content-type"] == recorded.headers["content-type"]
    theirs = httpx.URL(recorded.headers["location"])
    ours_path, their_path = location.path.split("/"), theirs.path.split("/")
    assert len(ours_path) == len(their_path)
    assert ours_path[:5] == their_path[:5]
    assert set(location.params) == {"pid", "utm"}
    assert set(theirs.params) == {"provider", "pid", "utm"}

    first = await cluster.request("GET", location, json=request)
    assert golden.read_archive(first.content) == [("golden/one.bin", golden.objects()["golden/one.bin"])]
    second = await cluster.request("GET", location, json=request)
    used = json.loads(golden.read_recorded("getbatch/redirect-used-twice.http").body)
    assert second.status_code == used["status"]
    assert second.json()["tcode"] == used["tcode"]
    assert "(prep-rx not done?) does not exist" in second.json()["message"]


@pytest.mark.parametrize("query", ["", "?pid=x", "?utm=x"])
async def test_a_target_is_not_asked_directly(cluster: httpx.AsyncClient, query: str) -> None:
    answer = await cluster.request(
        "GET", f"/v1/ml/moss/golden/gbt-x/y/3{query}", json={"in": [{"objname": "one.bin"}]}
    )
    recorded = golden.read_recorded("getbatch/target-without-pid.http")
    assert answer.status_code == recorded.status
    assert answer.json()["message"] == json.loads(recorded.body)["message"]


async def test_only_get_asks_for_a_batch(cluster: httpx.AsyncClient) -> None:
    answer = await cluster.post("/v1/ml/moss/golden", json={"in": []})
    recorded = golden.read_recorded("objects/moss-post.http")
    assert answer.status_code == recorded.status
    assert answer.content == recorded.body
    for name in ("allow", "content-type", "x-content-type-options"):
        assert answer.headers[name] == recorded.headers[name]


async def test_a_batch_without_redirect(root: Path) -> None:
    (root / "b" / "o").write_bytes(b"data")
    async with (
        running(create_app(root, redirect=False)) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        for path, name in (("/v1/ml/moss/b", ""), ("/v1/ml/moss", "b")):
            entry = {"objname": "o", "bucket": name}
            answer = await client.request("GET", path, json={"in": [entry], "strm": True})
            assert golden.read_archive(answer.content) == [("b/o", b"data")]
