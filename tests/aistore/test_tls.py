"""TLS as the environment says, by the official SDK's names."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from asyncbatch import TransportError, UsageError
from asyncbatch.aistore import Client
from asyncbatch.aistore._tls import ssl_context_of

from ..support.raw import RawServer, read_head
from ..support.wire import reply

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

pytestmark = pytest.mark.anyio

AUTHORITY = trustme.CA()


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIS_CLIENT_CA", "AIS_CRT", "AIS_CRT_KEY", "AIS_SKIP_VERIFY_CRT", "AIS_SKIP_VERIFY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def authority(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return str(path)


def server(*, ask: bool = False) -> RawServer:
    """Make a server that wants to know who comes, if it is to `ask`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    if ask:
        AUTHORITY.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(reply(200, b"data"))

    return RawServer(serve, ssl_context=context)


async def get(url: str, context: ssl.SSLContext | None = None) -> bytes:
    async with Client(url, ssl_context=context) as client:
        return await client.bucket("b").object("o").get()


async def test_nobody_is_trusted_unasked() -> None:
    async with server() as one:
        with pytest.raises(TransportError, match="certificate verify failed"):
            await get(one.url)


async def test_the_environments_authority_is_trusted(monkeypatch: pytest.MonkeyPatch, authority: str) -> None:
    monkeypatch.setenv("AIS_CLIENT_CA", authority)
    async with server() as one:
        assert await get(one.url) == b"data"
        with pytest.raises(TransportError):  # what is passed comes first
            await get(one.url, ssl.create_default_context())


async def test_whoever_answers_is_trusted_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIS_SKIP_VERIFY_CRT", "true")
    async with server() as one:
        assert await get(one.url) == b"data"
    assert "AIS_SKIP_VERIFY_CRT: no certificate is verified" in caplog.text


def test_the_older_name_counts_where_the_newer_one_is_not_set() -> None:
    context = ssl_context_of({"AIS_SKIP_VERIFY": "1"})
    assert context is not None
    assert context.verify_mode == ssl.CERT_NONE
    assert ssl_context_of({"AIS_SKIP_VERIFY": "1", "AIS_SKIP_VERIFY_CRT": "false"}) is None


async def test_a_certificate_of_the_clients_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: str
) -> None:
    monkeypatch.setenv("AIS_CLIENT_CA", authority)
    own = AUTHORITY.issue_cert("client@example.org")
    own.cert_chain_pems[0].write_to_path(tmp_path / "own.pem")
    own.private_key_pem.write_to_path(tmp_path / "own.key")
    async with server(ask=True) as one:
        with pytest.raises(TransportError):
            await get(one.url)
        monkeypatch.setenv("AIS_CRT", str(tmp_path / "own.pem"))
        monkeypatch.setenv("AIS_CRT_KEY", str(tmp_path / "own.key"))
        assert await get(one.url) == b"data"


def test_nothing_is_asked_for() -> None:
    assert ssl_context_of({}) is None
    assert ssl_context_of({"AIS_SKIP_VERIFY_CRT": "false", "AIS_CLIENT_CA": ""}) is None


def test_a_folder_of_authorities(tmp_path: Path) -> None:
    context = ssl_context_of({"AIS_CLIENT_CA": str(tmp_path)})
    assert context is not None
    assert context.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize("name", ["AIS_CLIENT_CA", "AIS_CRT"])
def test_what_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{name}=.*No such file"):
        ssl_context_of({name: str(tmp_path / "missing.pem")})
    (tmp_path / "empty.pem").touch()
    with pytest.raises(UsageError, match=f"{name}="):
        ssl_context_of({name: str(tmp_path / "empty.pem")})
