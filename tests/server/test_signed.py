"""A server with credentials: who is let in, who is not, and in what words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest

from asyncbatch.server import create_app, running
from asyncbatch.tigris.wire import Credentials, SignatureError, payload_hash, sign

from .doubles import exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

pytestmark = pytest.mark.anyio

KNOWN = Credentials("key", "secret")
BUNDLE = {"x-tigris-bundle-format": "tar", "content-type": "application/json"}
BODY = b'{"keys": ["o"]}'


def _signed(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    content: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    credentials: Credentials = KNOWN,
    late: int = 0,
    payload: str = "",
) -> httpx.Request:
    request = http.build_request(method, path, content=content, headers=headers)
    added = sign(
        method,
        request.url.raw_path.decode().partition("?")[0],
        request.url.query.decode(),
        list(request.headers.items()),
        payload or payload_hash(content),
        credentials=credentials,
        region="auto",
        at=datetime.now(UTC) - timedelta(minutes=late),
    )
    request.headers.update(added)
    return request


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.text.partition("<Code>")[2].partition("</Code>")[0]


@pytest.fixture
async def http(root: Path) -> AsyncIterator[httpx.AsyncClient]:
    (root / "b" / "o").write_bytes(b"data")
    async with running(create_app(root, credentials=KNOWN)) as url, httpx.AsyncClient(base_url=url) as client:
        yield client


async def test_what_is_signed_is_served(http: httpx.AsyncClient) -> None:
    answer = await http.send(_signed(http, "PUT", "/b/" + quote("d/ü +%\n"), b"odd"))
    assert answer.status_code == 200
    for method, path, content in (
        ("GET", "/b/" + quote("d/ü +%\n"), b"odd"),
        ("GET", "/b/o", b"data"),
        ("HEAD", "/b/o", b""),
        ("DELETE", "/b/o", b""),
        ("PUT", "/c", b""),
        ("DELETE", "/c", b""),
    ):
        answer = await http.send(_signed(http, method, path))
        assert answer.is_success, answer.text
        assert answer.content == content
    answer = await http.send(_signed(http, "GET", "/b?list-type=2&prefix=d%2F&max-keys=7"))
    assert answer.is_success
    answer = await http.send(_signed(http, "POST", "/b?bundle", BODY, BUNDLE))
    assert answer.is_success


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/b/o"), ("HEAD", "/b/o"), ("POST", "/b?bundle"), ("PUT", "/b/o"), ("GET", "/b/")],
)
async def test_what_is_not_signed_is_not(http: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await http.request(method, path, content=BODY if method == "POST" else None, headers=BUNDLE)
    assert _code(answer) == (403, "AccessDenied" if method != "HEAD" else "")


async def test_each_fault_of_a_signature_has_its_name(http: httpx.AsyncClient) -> None:
    async def code(request: httpx.Request) -> tuple[int, str]:
        return _code(await http.send(request))

    assert await code(_signed(http, "GET", "/b/o", late=16)) == (403, "RequestTimeTooSkewed")
    assert await code(_signed(http, "GET", "/b/o", late=-16)) == (403, "RequestTimeTooSkewed")
    other = Credentials("key", "other")
    assert await code(_signed(http, "GET", "/b/o", credentials=other)) == (403, "SignatureDoesNotMatch")
    other = Credentials("other", "secret")
    assert await code(_signed(http, "GET", "/b/o", credentials=other)) == (403, "InvalidAccessKeyId")
    other = Credentials("key", "secret", "token")
    assert await code(_signed(http, "GET", "/b/o", credentials=other)) == (400, "InvalidToken")
    request = _signed(http, "GET", "/b/o")
    request.url = request.url.copy_with(path="/b/p")
    assert await code(request) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/b?bundle"), ("PUT", "/b/o"), ("PUT", "/c")],
    ids=["bundle", "put", "create"],
)
async def test_a_body_that_was_not_signed(http: httpx.AsyncClient, method: str, path: str) -> None:
    request = _signed(http, method, path, BODY, BUNDLE)
    forged = http.build_request(method, path, content=BODY.replace(b"o", b"p"), headers=request.headers)
    assert _code(await http.send(forged)) == (400, "XAmzContentSHA256Mismatch")
    assert (await http.send(_signed(http, "GET", "/b/o"))).content == b"data"
    assert (await http.send(_signed(http, "HEAD", "/c"))).status_code == 404


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        ("UNSIGNED-PAYLOAD", 200),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", 200),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", 501),
    ],
)
async def test_bodies_that_nobody_signs(http: httpx.AsyncClient, payload: str, status: int) -> None:
    content = b"4\r\nnews\r\n0\r\n\r\n" if payload.startswith("STREAMING") else b"news"
    answer = await http.send(_signed(http, "PUT", "/b/o", content, payload=payload))
    assert answer.status_code == status
    expected = b"news" if answer.is_success else b"data"
    assert (await http.send(_signed(http, "GET", "/b/o"))).content == expected


async def test_credentials_that_come_and_go(root: Path) -> None:
    def known(key: str) -> Credentials | None:
        if key == "old":
            raise SignatureError("ExpiredToken", "the provided token has expired")
        return Credentials(key, "secret", "token") if key == "new" else None

    async with running(create_app(root, credentials=known)) as url, httpx.AsyncClient(base_url=url) as http:
        for key, status in (("old", 400), ("new", 200), ("none", 403)):
            request = _signed(http, "GET", "/", credentials=Credentials(key, "secret", "token"))
            assert (await http.send(request)).status_code == status


async def test_aistores_side_is_closed_then(http: httpx.AsyncClient) -> None:
    for path in ("/v1/objects/b/o", "/v1/buckets", "/v1/ml/moss", "/v1", "/v1/", "/v1/daemon?what=smap"):
        for request in (http.build_request("GET", path), _signed(http, "GET", path)):
            answer = await http.send(request)
            assert (answer.status_code, answer.json()["status"]) == (401, 401)
    assert (await http.get("/v1/health")).status_code == 200


async def test_a_path_that_is_no_ascii(http: httpx.AsyncClient) -> None:
    head = b"GET /b/\xfc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert b" 400 " in await exchange(str(http.base_url), head)


async def test_a_server_that_does_not_tell_how_the_path_came(root: Path) -> None:
    """ASGI does not ask for it."""
    app = create_app(root, credentials=KNOWN)

    async def forgetful(scope: Scope, receive: Receive, send: Send) -> None:
        del scope["raw_path"]
        await app(scope, receive, send)

    (root / "b" / "ü").write_bytes(b"data")
    transport = httpx.ASGITransport(forgetful)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        answer = await http.send(_signed(http, "GET", "/b/ü"))
    assert answer.content == b"data"
