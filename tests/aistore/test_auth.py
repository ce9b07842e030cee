"""Tokens: where they come from, where they are sent, and that they are shown nowhere else."""

from __future__ import annotations

import json
import logging
import pickle
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trustme

from asyncbatch import AuthenticationError, RemoteError, UsageError
from asyncbatch.aistore import Client
from asyncbatch.aistore._auth import Credentials
from asyncbatch.transport import RetryPolicy

from ..support.batches import tar
from ..support.raw import RawServer, answering
from ..support.wire import WireServer, json_error, redirect, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

SECRET = "eyJhbGciOiJIUzI1NiJ9.e30.c2VjcmV0"  # noqa: S105 - of nobody
REFUSED = json_error(401, "", "token expired")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without a token, and an environment without one."""
    for name in ("AIS_AUTHN_TOKEN", "AIS_AUTHN_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def default_file(home: Path) -> Path:
    return home / ".config/ais/cli/auth.token"


async def shown(url: str = "", **options: Any) -> str | None:  # noqa: ANN401 - of Client
    """Return the `Authorization` that a client sends."""
    async with WireServer(reply(200, b"data")) as server:
        async with Client(url or server.url, **options) as client:
            assert await client.bucket("b").object("o").get() == b"data"
        return server.asked[0].headers.get("authorization")


# -- where it comes from ----------------------------------------------------------------------------------


async def test_the_places_are_looked_at_in_their_order(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    assert await shown() is None
    write(default_file(home), '{"token": "of-the-command-line"}\n')
    assert await shown() == "Bearer of-the-command-line"
    monkeypatch.setenv("AIS_AUTHN_TOKEN_FILE", str(write(home / "token", '{"token":"of-a-file"}')))
    assert await shown() == "Bearer of-a-file"
    monkeypatch.setenv("AIS_AUTHN_TOKEN", "of-the-environment\n")
    assert await shown() == "Bearer of-the-environment"
    assert await shown(token="passed") == "Bearer passed"  # noqa: S106
    assert await shown(token="") is None


async def test_a_bare_token_is_read_too(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("AIS_AUTHN_TOKEN_FILE", str(write(home / "token", f"{SECRET}\n")))
    assert await shown() == f"Bearer {SECRET}"


async def test_an_http_client_with_credentials_of_its_own_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_AUTHN_TOKEN", "of-the-environment")
    async with httpx.AsyncClient(headers={"Authorization": "Own header"}, trust_env=False) as http:
        assert await shown(http_client=http) == "Own header"
        assert await shown(http_client=http, token="passed") == "Bearer passed"  # noqa: S106
    async with httpx.AsyncClient(auth=("user", "password"), trust_env=False) as http:
        assert await shown(http_client=http) == "Basic dXNlcjpwYXNzd29yZA=="
    async with httpx.AsyncClient(trust_env=False) as http:
        assert await shown(http_client=http) == "Bearer of-the-environment"


async def test_a_password_of_the_endpoint_is_sent_instead(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIS_AUTHN_TOKEN", "of-the-environment")
    caplog.set_level(logging.DEBUG)
    async with WireServer(reply(200)) as server:
        endpoint = f"http://user:pass%40word@127.0.0.1:{server.port}"
        async with Client(endpoint) as client:
            await client.bucket("b").object("o").get()
            assert "word" not in f"{client!r} {client.bucket('b')!r} {caplog.text}"
    assert server.asked[0].headers["authorization"] == "Basic dXNlcjpwYXNzQHdvcmQ="
    with pytest.raises(UsageError, match="leave one out"):
        Client(endpoint, token="passed")  # noqa: S106


@pytest.mark.parametrize("token", ["a b", "a\r\nX-Other: b", "a\n", "Bearer a", "tökén", "a\0", "\x7f"])
def test_what_no_header_can_carry_is_refused_and_not_shown(
    token: str, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    with pytest.raises(UsageError, match=r"^token: a token is one word") as caught:
        Client("http://host", token=token)
    if token.strip().isprintable() and token == token.strip():
        monkeypatch.setenv("AIS_AUTHN_TOKEN", token)
        with pytest.raises(UsageError, match=r"^AIS_AUTHN_TOKEN: a token is one word"):
            Client("http://host")
        monkeypatch.delenv("AIS_AUTHN_TOKEN")
    write(default_file(home), json.dumps({"token": token}))
    with pytest.raises(UsageError, match=r"auth\.token: a token is one word"):
        Client("http://host")
    assert repr(token)[1:-1] not in str(caught.value).replace("'Bearer'", "")


@pytest.mark.parametrize(
    "text", ["", "{", '{"token": 1}', '{"other": "x"}', '{"token": ""}', "{" * 5000, '{"token": "a"} b']
)
def test_a_file_without_a_token_is_named(text: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    file = write(home / "token", text)
    monkeypatch.setenv("AIS_AUTHN_TOKEN_FILE", str(file))
    with pytest.raises(UsageError, match=r"AIS_AUTHN_TOKEN_FILE=/[^:]*/token: "):
        Client("http://host")


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("AIS_AUTHN_TOKEN_FILE", str(home / "missing"))
    with pytest.raises(UsageError, match=r"AIS_AUTHN_TOKEN_FILE=.*/missing: No such file"):
        Client("http://host")
    monkeypatch.setenv("AIS_AUTHN_TOKEN_FILE", "/dev/zero")
    with pytest.raises(UsageError, match="AIS_AUTHN_TOKEN_FILE=/dev/zero: it is too large"):
        Client("http://host")


# -- a token that is replaced -----------------------------------------------------------------------------


async def test_a_token_that_was_replaced_is_read_again(
    monkeypatch: pytest.MonkeyPatch, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asyncbatch")
    file = write(home / "token", '{"token": "old"}')
    monkeypatch.setenv("AIS_AUTHN_TOKEN_FILE", str(file))
    async with WireServer(reply(200, b"1"), REFUSED, reply(200, b"2"), reply(200, b"3")) as server:
        async with Client(server.url) as client:
            one = client.bucket("b").object("o")
            assert await one.get() == b"1"
            write(file, '{"token": "new"}')
            assert [await one.get(), await one.get()] == [b"2", b"3"]
    tokens = [asked.headers["authorization"] for asked in server.asked]
    assert tokens == ["Bearer old", "Bearer old", "Bearer new", "Bearer new"]
    assert [record.getMessage() for record in caplog.records] == [
        "the server refused the token, and there is another one in its file: trying that"
    ]


async def test_a_batch_is_asked_for_with_the_new_token(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    file = write(home / "token", "old")
    monkeypatch.setenv("AIS_AUTHN_TOKEN_FILE", str(file))
    archive = tar([("b/o", b"data")])
    async with WireServer(REFUSED, reply(200, archive, Content_Type="application/x-tar")) as server:
        async with Client(server.url) as client:
            write(file, "new")
            items = await client.get_batch(["o"], bucket="b").read_all()
    assert [item.data for item in items] == [b"data"]
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer old", "Bearer new"]


async def test_who_logs_in_later_is_let_in(home: Path) -> None:
    async with WireServer(REFUSED, REFUSED, reply(200, b"data")) as server, Client(server.url) as client:
        one = client.bucket("b").object("o")
        with pytest.raises(AuthenticationError):
            await one.get()
        write(default_file(home), '{"token": "new"}')
        assert await one.get() == b"data"
    assert [asked.headers.get("authorization") for asked in server.asked] == [None, None, "Bearer new"]


async def test_it_is_tried_once(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    file = write(home / "token", "old")
    monkeypatch.setenv("AIS_AUTHN_TOKEN_FILE", str(file))
    async with WireServer(*[REFUSED] * 3, json_error(403, "", "no")) as server:
        async with Client(server.url, retry=RetryPolicy(base_delay=0)) as client:
            one = client.bucket("b").object("o")
            write(file, "new")
            with pytest.raises(AuthenticationError):
                await one.get()
            assert len(server.asked) == 2
            write(file, "{")  # it is just being written
            with pytest.raises(AuthenticationError):
                await one.get()
            assert len(server.asked) == 3
            write(file, "newer")  # which brings no other rights
            with pytest.raises(AuthenticationError):
                await one.get()
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer old", *["Bearer new"] * 3]


async def test_many_that_are_refused_together_are_all_let_in(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    file = write(home / "token", "old")
    monkeypatch.setenv("AIS_AUTHN_TOKEN_FILE", str(file))
    client = Client("http://host")
    credentials = client._connection._credentials
    write(file, "new")
    used = "Bearer old"
    assert await credentials.renew(used)
    assert await credentials.renew(used)  # it was another one's turn before
    assert not await credentials.renew("Bearer new")
    assert not await Credentials(used).renew(used)
    await client.aclose()


async def test_a_stream_is_put_with_the_new_token(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"data"

    file = write(home / "token", "old")
    monkeypatch.setenv("AIS_AUTHN_TOKEN_FILE", str(file))
    async with WireServer(REFUSED) as server, Client(server.url) as client:
        server.answers.extend([redirect(f"{server.url}/t"), reply(200)])
        write(file, "new")
        await client.bucket("b").object("o").put(stream())
    assert [asked.body for asked in server.asked] == [b"", b"", b"data"]
    assert server.asked[-1].headers["authorization"] == "Bearer new"


# -- where it is sent -------------------------------------------------------------------------------------


async def test_a_token_goes_to_the_endpoints_host_and_no_other() -> None:
    async with WireServer() as proxy, WireServer() as target:
        proxy.answers.extend(
            [redirect(f"{target.url}/t"), redirect(target.url.replace("127.0.0.1", "localhost"))]
        )
        target.answers.extend([reply(200), reply(200)])
        async with Client(proxy.url, token=SECRET) as client:
            await client.bucket("b").object("o").get()
            await client.bucket("b").object("o").get()
    assert [asked.headers.get("authorization") for asked in proxy.asked] == [f"Bearer {SECRET}"] * 2
    assert [asked.headers.get("authorization") for asked in target.asked] == [f"Bearer {SECRET}", None]


@pytest.mark.parametrize("own", [False, True])
async def test_nothing_is_shown_on_the_way_from_https_to_http(*, own: bool) -> None:
    authority = trustme.CA()
    serving, asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    authority.configure_trust(asking)
    async with WireServer(reply(200, b"data")) as target:
        location = redirect(f"{target.url}/v1/objects/b/o")
        async with RawServer(answering(location), ssl_context=serving) as proxy:
            http = httpx.AsyncClient(
                verify=asking, auth=("user", "secret"), cookies={"session": "secret"}, trust_env=False
            )
            options: Any = {"http_client": http} if own else {"token": SECRET, "ssl_context": asking}
            async with http, Client(proxy.url, **options) as client:
                assert await client.bucket("b").object("o").get() == b"data"
    assert not {"authorization", "cookie"} & target.asked[0].headers.keys()


# -- where it is shown ------------------------------------------------------------------------------------


async def test_a_token_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told = f"token {SECRET} is expired"
    answers = [
        reply(401, told.encode()),
        json_error(401, "", told),
        reply(401, hdr_error=json.dumps({"message": told})),
        json_error(503, "", told),
        reply(200, b"data"),
    ]
    async with WireServer(*answers) as server:
        async with Client(server.url, token=SECRET, retry=RetryPolicy(base_delay=0)) as client:
            one = client.bucket("b").object("o")
            for ask in (one.get, one.get, one.head):
                with pytest.raises(AuthenticationError, match=r"token \*\*\* is expired") as caught:
                    await ask()
                assert SECRET.encode() not in pickle.dumps(caught.value)
            assert await one.get() == b"data"
            texts = [
                repr(each) for each in (client, one, client._connection, client._connection._credentials)
            ]
            with pytest.raises(TypeError):
                pickle.dumps(client._connection._credentials)
    assert "failed attempt 1" in caplog.text
    assert SECRET not in f"{texts} {caplog.text}"
    assert repr(Credentials()) == "<Credentials: none>"


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://user:secret@host:99999",
        "http://user:sec/ret@host",
        "user:secret@host",
        "ftp://host?key=secret",
    ],
)
def test_a_bad_endpoint_is_named_without_its_secrets(endpoint: str) -> None:
    with pytest.raises(UsageError, match=r"endpoint '.*…") as caught:
        Client(endpoint)
    assert "sec" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_bad_redirect_is_named_without_its_secrets() -> None:
    async with WireServer(redirect("ftp://user:secret@host/path?key=secret")) as server:
        async with Client(server.url) as client:
            with pytest.raises(RemoteError, match=r"redirected to 'ftp://…host/path…'"):
                await client.bucket("b").object("o").get()


async def test_requests_are_logged_without_their_queries(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "asyncbatch")
    async with WireServer() as server, Client(server.url, token=SECRET) as client:
        server.answers.extend([redirect(f"{server.url}/t?pid=secret"), reply(200)])
        await client.bucket("b").object("o").get()
    first, second = [record.getMessage() for record in caplog.records if record.name == "asyncbatch.aistore"]
    assert first.startswith(f"GET {server.url}/v1/objects/b/o: 307 after 0.")
    assert second.startswith(f"GET {server.url}/t: 200 after 0.")
