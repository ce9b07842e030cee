"""TLS by `ssl.SSLContext`: whom we trust, who we are, and bodies at the size of several buffers."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme

from asyncbatch.transport import StreamingTransport
from asyncbatch.transport._connection import Connection
from asyncbatch.transport._framing import LengthDecoder

from ..support.leaks import nothing_left_open, until
from ..support.raw import RawServer, answering, read_head
from ..support.wire import chunked, head, reply

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

AUTHORITY = trustme.CA()


def server_context(*hosts: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*hosts).configure_cert(context)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


async def test_bodies() -> None:
    body = bytes(range(256)) * 8000
    answers = [reply(200, body), chunked(body, size=5000, Connection="keep-alive"), reply(200, b"end")]
    async with RawServer(answering(*answers), ssl_context=server_context("127.0.0.1")) as server:
        async with (
            nothing_left_open(),
            httpx.AsyncClient(transport=StreamingTransport(verify=client_context())) as client,
        ):
            for expected in (body, body, b"end"):
                async with client.stream("GET", server.url) as response:
                    assert await response.aread() == expected
                    tls = response.extensions["network_stream"].get_extra_info("ssl_object")
                    assert tls.version().startswith("TLS")
            assert server.accepted == 1


async def test_uploads() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await reader.readexactly(2_000_000)
        writer.write(reply(200, b"thanks"))

    async with RawServer(serve, ssl_context=server_context("127.0.0.1")) as server:
        async with httpx.AsyncClient(transport=StreamingTransport(verify=client_context())) as client:
            assert (await client.post(server.url, content=bytes(2_000_000))).text == "thanks"


async def test_a_stranger_is_not_trusted() -> None:
    async with RawServer(answering(reply(200)), ssl_context=server_context("127.0.0.1")) as server:
        async with nothing_left_open(), httpx.AsyncClient(transport=StreamingTransport()) as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED") as caught:
                await client.get(server.url)
            assert caught.value.request.url == server.url


async def test_a_stranger_is_trusted_if_one_insists() -> None:
    async with RawServer(answering(reply(200)), ssl_context=server_context("127.0.0.1")) as server:
        async with httpx.AsyncClient(transport=StreamingTransport(verify=False)) as client:
            assert (await client.get(server.url)).status_code == 200


async def test_the_name_has_to_be_right_and_can_be_told() -> None:
    async with RawServer(answering(reply(200)), ssl_context=server_context("example.org")) as server:
        async with httpx.AsyncClient(transport=StreamingTransport(verify=client_context())) as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(server.url)
            extensions = {"sni_hostname": "example.org"}
            assert (await client.get(server.url, extensions=extensions)).status_code == 200


async def test_a_client_may_have_to_say_who_it_is(tmp_path: Path) -> None:
    context = server_context("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(context)
    file = tmp_path / "certificate.pem"
    AUTHORITY.issue_cert("me@example.org").private_key_and_cert_chain_pem.write_to_path(file)
    authority = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(authority)
    verify = ssl.create_default_context(cafile=authority)
    verify.load_cert_chain(file)
    async with RawServer(answering(reply(200)), ssl_context=context) as server:
        async with httpx.AsyncClient(transport=StreamingTransport(verify=verify)) as client:
            assert (await client.get(server.url)).status_code == 200
        async with httpx.AsyncClient(transport=StreamingTransport(verify=client_context())) as client:
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError)):
                await client.get(server.url)


async def test_a_server_without_tls() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(400))
        await reader.read()

    async with RawServer(serve) as server, nothing_left_open():
        async with httpx.AsyncClient(transport=StreamingTransport()) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(server.url.replace("http", "https"))


async def test_a_handshake_that_does_not_end() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with RawServer(serve) as server, nothing_left_open():
        async with httpx.AsyncClient(transport=StreamingTransport()) as client:
            url = server.url.replace("http", "https")
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(url, timeout=httpx.Timeout(30, connect=0.05))
        await until(lambda: server.open == 0)


async def test_a_half_read_response_leaves_nothing_though_the_server_does_not_say_goodbye() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(head(200, Content_Length=str(1 << 40)))
        while True:
            writer.write(bytes(65_536))
            await writer.drain()

    async with RawServer(serve, ssl_context=server_context("127.0.0.1")) as server:
        async with httpx.AsyncClient(transport=StreamingTransport(verify=client_context())) as client:
            async with nothing_left_open(), client.stream("GET", server.url) as response:
                await anext(response.aiter_raw())
                await asyncio.sleep(0.2)  # for it to fill every buffer
                assert response.extensions["network_stream"]._held < 1 << 19
            await until(lambda: server.open == 0)


async def test_cancellation_at_any_turn_leaves_nothing() -> None:
    finished = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            writer.write(reply(200, b"body"))

    async with RawServer(serve, ssl_context=server_context("127.0.0.1")) as server, nothing_left_open():
        for turns in range(0, 1000, 3):
            async with httpx.AsyncClient(transport=StreamingTransport(verify=client_context())) as client:
                task = asyncio.ensure_future(client.get(server.url))
                for _ in range(turns):
                    await asyncio.sleep(0)
                finished += task.done()
                task.cancel()
                await asyncio.wait([task])
            if finished:
                break
        else:
            pytest.fail("it never came to its end")
        await until(lambda: server.open == 0)


async def test_what_follows_an_answer_is_no_answer_to_the_next_request() -> None:
    """Not even where it was received, and not decrypted, when the answer was read to its end."""
    forged = reply(200, b"forged")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            size = int((await read_head(reader)).split()[1].strip(b"/") or b"0")
            writer.write(reply(200, bytes(size)) + forged if size else reply(200, b"right"))

    async with RawServer(serve, ssl_context=server_context("127.0.0.1")) as server, nothing_left_open():
        for size in (100_000, 114_641, 163_793, 262_144, 278_481, 360_401, 442_321, 524_288):
            transport = StreamingTransport(verify=client_context())
            async with httpx.AsyncClient(transport=transport) as client:
                async with client.stream("GET", f"{server.url}{size}") as response:
                    await asyncio.sleep(0.02)  # until the buffer is full
                    assert len(await response.aread()) == size
                assert (await client.get(server.url)).text == "right"


async def test_a_connection_does_not_rest_while_something_may_be_undecrypted() -> None:
    class Transport(asyncio.Transport):
        paused = resumed = 0

        def get_extra_info(self, name: str, default: object = None) -> object:
            return client_context() if name == "sslcontext" else default

        def set_read_buffer_limits(self, high: int) -> None:
            assert high < 1 << 20

        def pause_reading(self) -> None:
            self.paused += 1

        def resume_reading(self) -> None:
            self.resumed += 1

    transport = Transport()
    connection = Connection(asyncio.get_running_loop(), print)
    connection.connection_made(transport)
    connection.begin()
    size = 0
    while not transport.paused:
        received = len(connection.get_buffer(-1))
        connection.buffer_updated(received)
        size += received
    body = LengthDecoder(size)
    assert len(connection.take_body(body)) == size
    assert body.done
    assert transport.resumed == 1
    assert not connection.rest()
    await asyncio.sleep(0)  # the turn in which what TLS had would have come
    assert connection.rest()
