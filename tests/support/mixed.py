"""A batch of fifty mixed items, and what a cluster answers to any part of it, by the writers of others."""

from __future__ import annotations

import json
import random
from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx

from asyncbatch.batch import BatchRequest
from asyncbatch.limits import DEFAULT_LIMITS

from .batches import FakeBucket, FakeObject, pack, tar
from .zips import Entry as ZipEntry
from .zips import build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from asyncbatch.aistore.wire import WireRequest
    from asyncbatch.batch import BatchItem

__all__ = ["EXPECTED", "FORMATS", "FakeConnection", "answer", "mixed_request", "values"]

FORMATS = (".tar", ".tar.gz", ".tar.lz4", ".zip")
BOUNDARY = "5d1f0b" * 10
_CONTENT_TYPES = {
    ".tar": "application/x-tar",
    ".tar.gz": "application/gzip",
    ".tar.lz4": "application/x-lz4",
    ".zip": "application/zip",
}


def _make() -> list[dict[str, Any]]:
    """Choose objects of all sizes around a block, ranges, files in shards, names of all kinds, and gaps."""
    chance = random.Random(6)
    made: list[dict[str, Any]] = []
    sizes = [0, 1, 5, 511, 512, 513, 0, 90, 1030, 7]
    for index in range(50):
        size = sizes[index % 10]
        names = [f"plain/{index}", f"{'long-' * 25}{index}", f"ünï çødé {index}", f"a b%2F{index}"]
        one: dict[str, Any] = {
            "name": names[index % 4],
            "data": chance.randbytes(size) if index % 3 else b"PK\x03\x04\0" * (size // 5),
            "archpath": f"in/{index}.txt" if index % 7 == 3 else None,
            "missing": index % 11 == 4,
            "opaque": bytes([index, 255]) if index % 5 == 0 else None,
            "bucket": "other" if index % 13 == 6 else "b",
        }
        if one["missing"]:
            one["data"] = b""
        elif index % 6 == 5 and len(one["data"]) > 4:
            one |= {"start": 3, "length": len(one["data"])}
        made.append(one)
    made[20] = made[19]  # asked for twice
    return made


_ITEMS = _make()
EXPECTED = [(one["name"], one["archpath"], one["data"], one["missing"], one["opaque"]) for one in _ITEMS]
"""Of each item: name, archpath, data, whether it is missing, opaque."""


def values(items: Sequence[BatchItem]) -> list[tuple[Any, ...]]:
    """Return items as `EXPECTED` has them."""
    return [(meta.name, meta.archpath, data, meta.missing, meta.opaque) for meta, data in items]


def mixed_request(form: str, *, streaming: bool) -> BatchRequest:
    request = BatchRequest(output_format=form, streaming=streaming, continue_on_err=True)
    for one in _ITEMS:
        request.add_object_request(
            FakeObject(one["name"], FakeBucket(one["bucket"])),
            archpath=one["archpath"],
            opaque=one["opaque"],
            start=one.get("start", 0),
            length=one.get("length"),
        )
    return request


def _member_name(one: dict[str, Any]) -> str:
    path = f"{one['bucket']}/{one['name']}" + (f"/{one['archpath']}" if one["archpath"] else "")
    return f"__404__/{path}" if one["missing"] else path


@cache
def answer(form: str, streaming: bool, first: int) -> tuple[bytes, str]:  # noqa: FBT001 - to be cached
    """Return the body, and its type, that answers the entries from `first` on."""
    items = _ITEMS[first:]
    if form == ".zip":
        archive = build(
            [ZipEntry(_member_name(one).encode(), one["data"], 0, 0x800, "signed") for one in items]
        )
    else:
        archive = pack(tar([(_member_name(one), one["data"]) for one in items], form=2), form)
    if streaming:
        return archive, _CONTENT_TYPES[form]
    parts = [
        b'Content-Disposition: form-data; name="metadata"\r\n\r\n' + _metadata(items),
        b'Content-Disposition: form-data; name="archive"; filename="get-batch[x]"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + archive,
    ]
    boundary = b"--" + BOUNDARY.encode()
    body = boundary + b"\r\n" + (b"\r\n" + boundary + b"\r\n").join(parts) + b"\r\n" + boundary + b"--\r\n"
    return body, f"multipart/mixed; boundary={BOUNDARY}"


def _metadata(items: Sequence[dict[str, Any]]) -> bytes:
    out = []
    for one in items:
        facts = {"objname": one["name"], "bucket": one["bucket"], "provider": "ais", "size": len(one["data"])}
        if one["archpath"]:
            facts["archpath"] = one["archpath"]
        if one["missing"]:
            facts["err_msg"] = f"{one['name']} does not exist"
        if one["opaque"]:
            facts["opaque"] = b64encode(one["opaque"]).decode()
        out.append(facts)
    return json.dumps({"uuid": "x", "out": out}, ensure_ascii=False).encode() + b"\n"


class _Stream(httpx.AsyncByteStream):
    def __init__(self, body: bytes, size: int, error: Exception | None) -> None:
        self._body, self._size, self._error = body, size, error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), self._size):
            yield self._body[start : start + self._size]
        if self._error is not None:
            raise self._error


class FakeConnection:
    """In place of a connection: answers the mixed batch, or any rest of it, cut as `cut` says.

    Args:
        cut: Takes the number of the request and the body, and returns what comes of the body, and the error
            behind that; None for a clean end.
        size: Of the chunks.
    """

    limits = DEFAULT_LIMITS
    endpoint = httpx.URL("http://cluster")

    def __init__(
        self, cut: Callable[[int, bytes], tuple[bytes, Exception | None]], *, size: int = 1 << 16
    ) -> None:
        self._cut = cut
        self._size = size
        self.asked: list[int] = []
        self.responses: list[httpx.Response] = []

    async def open_once(self, request: WireRequest) -> httpx.Response:
        headers: dict[str, str] = {}
        error: Exception | None
        if "/ml/moss" in request.path:
            asked = json.loads(request.body or b"")
            self.asked.append(len(asked["in"]))
            form = {".tgz": ".tar.gz"}.get(asked["mime"], asked["mime"])
            body, headers["content-type"] = answer(form, asked["strm"], len(_ITEMS) - len(asked["in"]))
            body, error = self._cut(len(self.asked), body)
            headers["transfer-encoding"] = "chunked"
            status = 200
        else:
            status, headers, body = _get(request)
            error = None
        response = httpx.Response(
            status,
            headers=headers,
            stream=_Stream(body, self._size, error),
            request=httpx.Request("GET", "http://cluster"),
        )
        self.responses.append(response)
        return response


def _get(request: WireRequest) -> tuple[int, dict[str, str], bytes]:
    """Answer a GET of an object, which has to be there."""
    archpath = request.query.get("archpath")
    wanted = (request.name, archpath, False)
    one = next(one for one in _ITEMS if (one["name"], one["archpath"], one["missing"]) == wanted)
    data = bytes(one.get("start", 0)) + one["data"]
    if "Range" not in request.headers:
        return 200, {"content-length": str(len(data))}, data
    start, end = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
    told = {"content-range": f"bytes {start}-{end}/{len(data)}", "content-length": str(end + 1 - start)}
    return 206, told, data[start : end + 1]
