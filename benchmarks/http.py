"""Draining a body over HTTP/1.1: our transport, httpx's own, aiohttp and curl, one after the other.

From nginx, with Content-Length, plain and with TLS; and from a sender that answers from memory in chunks.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import ssl
import subprocess
import sys
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import aiohttp
import httpx

from asyncbatch.transport import StreamingTransport

from .http_sender import CHUNKINGS, body, running_sender
from .nginx import running_nginx
from .runner import Contender, Delivered, Expected, Row, measure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .runner import Check

__all__ = ["rows"]

_SIZE: Final = 192 << 20  # bytes of a body
_CURL: Final = shutil.which("curl")
_FROM_NGINX: Final = ("http nginx length", "http nginx TLS")


def rows(*, rounds: int, scale: float, only: str) -> Iterator[Row]:
    """Yield two rows for each way to send a body: beside httpx's own transport, and beside aiohttp."""
    size = max(4096, round(_SIZE * scale))
    with running_sender(size) as url:
        for name in ("length", *CHUNKINGS):
            work = "http length" if name == "length" else f"http chunks {name}"
            if work.startswith(only):
                yield from _rows_of(work, url + name, size, rounds)
    wanted = [work for work in _FROM_NGINX if work.startswith(only)]
    if not wanted:
        return
    with running_nginx(body(size)) as nginx:
        for work in wanted:
            if nginx is None:
                print(f"{work} is left out: nginx is not installed", file=sys.stderr)
            elif work.endswith("TLS"):
                yield from _rows_of(work, nginx.tls, size, rounds, nginx.authority)
            else:
                yield from _rows_of(work, nginx.plain, size, rounds)


def _rows_of(work: str, url: str, size: int, rounds: int, authority: Path | None = None) -> Iterator[Row]:
    expected = Expected(1, size, hashlib.blake2b(body(size)).hexdigest())
    context = ssl.create_default_context(cafile=authority)
    with asyncio.Runner() as runner:

        def contender(drain: object) -> Contender:
            return Contender(lambda check: runner.run(drain(check)), expected)  # type: ignore[operator]

        contenders = {
            "ours": contender(partial(_httpx, url, context, ours=True)),
            "httpx": contender(partial(_httpx, url, context, ours=False)),
            "aiohttp": contender(partial(_aiohttp, url, context)),
        }
        if _CURL is not None:
            contenders["curl"] = Contender(lambda _: _curl(_CURL, url, authority), Expected(1, size, None))
        seconds = measure(contenders, rounds)
    for rival, suffix in {"httpx": "", "aiohttp": ", aiohttp"}.items():
        yield Row(
            work=work + suffix,
            what="StreamingTransport",
            rival=f"{rival} {version(rival)}",
            ours=seconds["ours"],
            theirs=seconds[rival],
            of_curl=seconds["curl"] / seconds["ours"] if "curl" in seconds else None,
            items=1,
            bytes=size,
            rounds=rounds,
        )


async def _httpx(url: str, context: ssl.SSLContext, check: Check, *, ours: bool) -> Delivered:
    make = StreamingTransport if ours else httpx.AsyncHTTPTransport
    size = 0
    async with (
        httpx.AsyncClient(transport=make(verify=context)) as client,
        client.stream("GET", url, headers={"accept-encoding": "identity"}) as response,
    ):
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if check:
                check(chunk)
    return Delivered(1, size)


async def _aiohttp(url: str, context: ssl.SSLContext, check: Check) -> Delivered:
    size = 0
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(url, ssl=context) as response,
    ):
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if check:
                check(chunk)
    return Delivered(1, size)


def _curl(curl: str, url: str, authority: Path | None) -> Delivered:
    """Let curl throw the body away; its own clock does not count its start."""
    trust = [] if authority is None else ["--cacert", str(authority)]
    asked_for = "%{size_download} %{time_total}"
    command = [curl, "--silent", "--fail", "--output", "/dev/null", "--write-out", asked_for, *trust, url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    size, seconds = output.split()
    return Delivered(1, int(size), float(seconds))
