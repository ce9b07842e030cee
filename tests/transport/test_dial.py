"""Hosts of several addresses: the first that answers is taken, and nothing of the others is left."""

from __future__ import annotations

import asyncio
import socket

import pytest

from asyncbatch.transport import _dial
from asyncbatch.transport._dial import dial

from ..support.leaks import nothing_left_open

pytestmark = pytest.mark.anyio

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # whose look-ups pass through the standard library's, where the addresses below come in


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[Address]:
    """Return the addresses that every host has; to be filled."""
    found: list[Address] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    return found


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def address(port: int, host: str = "127.0.0.1", family: socket.AddressFamily = socket.AF_INET) -> Address:
    return family, socket.SOCK_STREAM, 6, "", (host, port)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


async def test_an_address_that_refuses_is_passed_over(
    addresses: list[Address], listener: socket.socket
) -> None:
    port = listener.getsockname()[1]
    addresses += [address(closed_port()), address(closed_port()), address(port)]
    with listener:
        async with nothing_left_open():
            with await dial("host", 80, local_address=None) as opened:
                assert opened.getpeername() == ("127.0.0.1", port)


async def test_all_refuse(addresses: list[Address]) -> None:
    addresses += [address(closed_port()), address(closed_port())]
    async with nothing_left_open():
        with pytest.raises(ConnectionRefusedError):
            await dial("host", 80, local_address=None)


async def test_no_address(addresses: list[Address]) -> None:
    with pytest.raises(OSError, match="host has no address"):
        await dial("host", 80, local_address=None)


async def test_silence_is_not_waited_for(
    addresses: list[Address], listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_dial, "_DELAY", 0.01)
    with listener, socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        addresses += [address(silent.getsockname()[1]), address(listener.getsockname()[1])]
        async with nothing_left_open():
            with await dial("host", 80, local_address=None) as opened:
                assert opened.getpeername() == listener.getsockname()
        for filler in fillers:
            filler.close()


async def test_the_last_address_is_waited_for(addresses: list[Address]) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        addresses += [address(silent.getsockname()[1]), address(closed_port())]
        async with nothing_left_open():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(dial("host", 80, local_address=None), 0.5)
        for filler in fillers:
            filler.close()


async def test_cancelled_at_any_turn_it_leaves_nothing(
    addresses: list[Address], listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_dial, "_DELAY", 0)
    with listener:
        addresses += [address(listener.getsockname()[1])] * 3
        async with nothing_left_open():
            for turns in range(200):
                task = asyncio.ensure_future(dial("host", 80, local_address=None))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.result().close()
                    break
            else:
                pytest.fail("it never came to its end")


def test_families_take_turns() -> None:
    six = [address(port, "::1", socket.AF_INET6) for port in (1, 2, 3)]
    four = [address(port) for port in (1,)]
    assert _dial._alternate(six + four) == [six[0], four[0], six[1], six[2]]
    assert _dial._alternate(four + six) == [four[0], six[0], six[1], six[2]]
    assert _dial._alternate([]) == []
