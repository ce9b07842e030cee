"""A server that says what it is told to say, byte for byte, and writes down what it was asked."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import TracebackType

__all__ = ["Asked", "WireServer", "chunked", "head", "json_error", "redirect", "reply"]


@dataclass(frozen=True)
class Asked:
    """A request, as it came."""

    method: str
    target: str
    headers: dict[str, str]  # by their names in lower case
    body: bytes


Answer: TypeAlias = "bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]"


class WireServer:
    """Answers each request with the next of `answers`: bytes as they are, or whatever a function writes.

    A connection is kept unless the answer says ``Connection: close`` or is a function.
    """

    def __init__(
        self, *answers: Answer, split: Callable[[bytes], Iterable[bytes]] = lambda data: (data,)
    ) -> None:
        self.answers = deque(answers)
        self.asked: list[Asked] = []
        self.connections = 0
        self._split = split
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (asked := await _read_request(reader)) is not None:
                self.asked.append(asked)
                if not await self._answer(reader, writer):
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client went away, or the test is over; asyncio would log an error about either
        finally:
            self.connections -= 1
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        answer = self.answers.popleft() if self.answers else reply(500, b"no answer is left for this request")
        if not isinstance(answer, bytes):
            await _until_gone(reader, answer(writer))
            return False
        for piece in self._split(answer):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)  # the client's turn
        return b"\r\nconnection: close" not in answer.partition(b"\r\n\r\n")[0].lower()


async def _until_gone(reader: asyncio.StreamReader, answering: Awaitable[None]) -> None:
    """Await an answer, unless the client goes away."""
    tasks = {asyncio.ensure_future(answering), asyncio.ensure_future(reader.read())}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> Asked | None:
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        line, *lines = text[:-4].split("\r\n")
        method, target, _ = line.split(" ")
        pairs = [line.partition(": ") for line in lines]
        headers = {name.lower(): value for name, _, value in pairs}
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
    except asyncio.IncompleteReadError:
        return None
    return Asked(method, target, headers, body)


def head(status: int, **headers: str) -> bytes:
    """Make the head of an answer; underscores of names become hyphens."""
    lines = [f"HTTP/1.1 {status} Status"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def reply(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Make an answer whose length is told."""
    return head(status, Content_Length=str(len(body)), **headers) + body


def chunked(body: bytes, *, size: int = 2048, status: int = 200, **headers: str) -> bytes:
    """Make an answer in chunks, as a batch comes; the connection is closed behind it."""
    headers = {"Content_Type": "application/x-tar", "Connection": "close"} | headers
    parts = [head(status, Transfer_Encoding="chunked", **headers)]
    for start in range(0, len(body), size):
        chunk = body[start : start + size]
        parts.append(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    return b"".join([*parts, b"0\r\n\r\n"])


def redirect(location: str, status: int = 307) -> bytes:
    """Make the answer of a proxy, which names a target."""
    body = f'<a href="{location}">Temporary Redirect</a>.\n\n'.encode()
    return reply(status, body, Content_Type="text/html; charset=utf-8", Location=location)


def json_error(status: int, code: str, message: str) -> bytes:
    """Make an error as AIStore sends it."""
    body = f'{{"tcode":"{code}","message":"{message}","status":{status}}}'.encode()
    return reply(status, body, Content_Type="application/json")
