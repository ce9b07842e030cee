"""One connection: a buffer that the loop reads into, and what its reader and writer wait for. No HTTP.

All that was received and not yet consumed lies at the beginning of one buffer, which is used again and
again. When it holds more than one read's worth, reading pauses, the socket's own buffers fill, and the peer
has to wait.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._framing import BodyDecoder
    from ._head import Messages, ResponseHead

__all__ = ["Connection"]

# Reads are small, so that what is on its way stays in the caches of both sides. But where the reader is the
# slower one, each of them wakes the server for little: behind some reads that were as large as they could be,
# they are large, until there is less than a small one (benchmarks `http` and `e2e`). With the slack, a small
# one must have room for the largest head, which is not consumed before it is whole.
_READ_SIZE: Final = 98_304  # bytes
_LARGE_READ_SIZE: Final = 917_504
_FULL_READS: Final = 16
# Seconds since the loop's last turn for which what has arrived is read without another one, which would cost
# as much as the data of a small read. It is some ten of those, if little is done with what they bring.
_BETWEEN_TURNS: Final = 0.000_25
# A read behind the beginning of a chunk's line is no reason to pause: the next turn is the consumer's.
_SLACK: Final = 8192
# If it does not take its turn, the next read has this much space, less the slack.
_SPARE: Final = 65_536
# What TLS may hold undecrypted, one read aside, before it stops reading. The default of the loops, 512 KiB,
# would make it most of the 1 MiB that a response may hold.
_TLS_HIGH_WATER: Final = 16_384

# A body of known length mostly is a file, which a server sends while it waits for us to make room. When so
# much of it is certain to come, reads are large, and the kernel is to report no less (SO_RCVLOWAT): being
# woken for every 64 KiB costs both sides more than the data does (benchmark `http nginx`). Only Linux
# reports at once what is there when this is lowered.
_LOW_WATER: Final = 524_288 if sys.platform == "linux" else 0
# Seconds after which what there is will do, of which uvloop may take off a thousandth, and bytes from then on
# that are read as they come: whoever is slower than that, or pauses, is not waited for.
_PATIENCE: Final = 0.002
_EAGER: Final = 4 << 20

# Bytes of a block that is taken and given back once: it has glibc keep as much at hand (mallopt(3),
# "dynamic mmap threshold"). If nothing larger than our chunks comes and goes, it may give each of them back
# to the system at once and take it again, which costs three times what reading it does.
_KEPT_AT_HAND: Final = 4 << 20
bytes(_KEPT_AT_HAND)  # touches none of them


class Connection(asyncio.BufferedProtocol):
    """A connection to a server.

    Attributes:
        loop: Its event loop.
        origin: What it leads to; the pool's key.
        used: Requests that were begun on it.
        rested: When the last of them ended, by the loop's clock.
        answered: Whether anything arrived since the last of them began.
        ended: Whether nothing more will arrive.
        error: What it broke with, if it did.
        writable: Whether the peer keeps up with what is written.

    Args:
        loop: The running one.
        on_lost: Called if the connection ends, or should, while no request is under way.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[Connection], object]) -> None:
        self.origin: object = None
        self.rested = 0.0
        self.used = 0
        self.answered = False
        self.ended = False
        self.error: Exception | None = None
        self.writable = True
        self.loop = loop
        self._on_lost = on_lost
        self._transport: asyncio.Transport
        self._made = False
        self._is_tls = False
        self._can_read_itself = False
        self._turn = 0.0  # when somebody last waited, and the loop so had a turn, by its clock
        self._read_size = _READ_SIZE
        self._full_reads = 0  # since one was small
        self._low_water = 1
        self._can_wait_for_more = False
        self._eager = 0  # bytes
        self._idle = False
        self._buffer = bytearray(_READ_SIZE + _SPARE)
        self._view = memoryview(self._buffer)
        self._held = 0  # bytes that were received and not consumed
        self._reading = True
        self._resuming = False  # it may turn out that more was received
        self._waiter: asyncio.Future[None] | None = None
        self._expired: type[httpx.TimeoutException] = httpx.ReadTimeout
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self._made = True
        if transport.get_extra_info("sslcontext") is not None:
            self._is_tls = True
            # Of every loop's TLS transport, though typeshed does not know of it.
            cast("Any", transport).set_read_buffer_limits(_TLS_HIGH_WATER)
        else:
            # Other loops may have begun to read before there was anything.
            self._can_read_itself = isinstance(self.loop, asyncio.SelectorEventLoop)
            family = transport.get_extra_info("socket").family
            self._can_wait_for_more = bool(_LOW_WATER) and family in {socket.AF_INET, socket.AF_INET6}

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """See `asyncio.BufferedProtocol`."""
        return self._view[self._held : self._held + self._read_size]

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self._held += nbytes
        self._eager -= nbytes
        self.answered = True
        if nbytes == self._read_size:
            self._full_reads += 1
            # With TLS the time goes into decrypting, and what decrypts has buffers as well.
            if self._full_reads == _FULL_READS and not self._is_tls:
                self._grow()
        elif self._held < _READ_SIZE:
            self._full_reads = 0
            self._read_size = _READ_SIZE
        if self._held > self._read_size + _SLACK and self._reading:
            self._reading = False
            self._transport.pause_reading()
        if self._idle:  # nothing was asked, so whatever this is, it is no answer to the next request
            self._end_now(None)
        else:
            self._wake()

    def _grow(self) -> None:
        self._read_size = _LARGE_READ_SIZE
        if len(self._buffer) < _LARGE_READ_SIZE:
            self._replace_buffer(_LARGE_READ_SIZE)

    def _replace_buffer(self, read_size: int) -> None:
        held = self._view[: self._held]
        self._buffer = bytearray(read_size + _SPARE)
        self._view = memoryview(self._buffer)
        self._view[: self._held] = held

    def eof_received(self) -> None:
        """See `asyncio.BaseProtocol`. The transport then closes: a request needs both directions."""
        self._end_now(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._end_now(exc)

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self.writable = False

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self.writable = True
        self._wake()

    def _end_now(self, error: Exception | None) -> None:
        self.ended = True
        self.error = self.error or error
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._idle:
            self._idle = False
            self._on_lost(self)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the exchange calls.

    def begin(self) -> None:
        """Begin a request: what arrives from now on answers it."""
        self._idle = False
        self.used += 1
        self.answered = False

    def rest(self) -> bool:
        """End a request that was answered in full, and return whether the connection can take another one."""
        if self.ended or self._held or self._resuming or not self.writable:
            return False
        self._set_low_water(1)
        self._full_reads = 0
        self._read_size = _READ_SIZE
        if len(self._buffer) > _LARGE_READ_SIZE:
            self._replace_buffer(_READ_SIZE)  # many connections may rest
        self._idle = True
        self.rested = self.loop.time()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return True

    def is_alive(self) -> bool:
        """Whether nothing has happened to a resting connection, seen by the loop or not yet."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def abort(self, error: Exception | None = None) -> None:
        """Close without waiting for anything; a request that is under way fails with `error`."""
        self._idle = False
        self._end_now(error)
        if self._made:
            self._transport.abort()

    @property
    def waiting(self) -> bool:
        """Whether somebody waits."""
        return self._waiter is not None

    def get_extra_info(self, name: str) -> Any:  # noqa: ANN401 - depends on the name
        """Return what `asyncio.BaseTransport.get_extra_info` knows, by httpcore's names for it too."""
        known = {"client_addr": "sockname", "server_addr": "peername"}
        return self._transport.get_extra_info(known.get(name, name))

    def write(self, parts: list[bytes]) -> None:
        """Send, or keep for sending; `writable` then tells whether to `wait` before more is written."""
        if not self.ended:  # uvloop raises, and asyncio logs
            # Not `writelines`, which in some versions of Python does not pause whoever writes too much
            # (CVE-2024-12254).
            self._transport.write(b"".join(parts))

    def take_head(self, messages: Messages) -> ResponseHead | None:
        """Return the head of the response if it has arrived in full."""
        if not self._held:
            return None
        head, consumed = messages.take_head(self._buffer, 0, self._held)
        self._consume(consumed)
        return head

    def take_body(self, decoder: BodyDecoder) -> bytes:
        """Return the payload that has arrived, which may be none."""
        if not self._held:
            return b""
        pieces, consumed = decoder.decode(self._buffer, 0, self._held)
        data = b"".join(pieces)
        self._consume(consumed)
        return data

    def pass_body(
        self, decoder: BodyDecoder, keep: Callable[[memoryview], object], maximum: int
    ) -> int | None:
        """Hand the payload that has arrived to `keep`, as views of the buffer; return how many bytes.

        A view is valid until `keep` returns. None is returned, and nothing handed on, if it may be more than
        `maximum` bytes.
        """
        if not self._held:
            return 0
        if self._held > maximum:
            return None
        pieces, consumed = decoder.decode(self._buffer, 0, self._held)
        for piece in pieces:
            keep(piece)
        self._consume(consumed)
        return sum(map(len, pieces))

    def _consume(self, consumed: int) -> None:
        left = self._held - consumed
        if left and consumed:  # little, but behind a head: part of a chunk's line, or of the trailers
            self._view[:left] = self._view[consumed : self._held]
        self._held = left
        if not self._reading and left <= self._read_size + _SLACK:
            self._reading = True
            if not self.ended:
                self._transport.resume_reading()
                if self._is_tls:  # what was received and not decrypted yet comes in the loop's next turn
                    self._resuming = True
                    self.loop.call_soon(self._resumed)

    def _resumed(self) -> None:
        self._resuming = False

    def read_now(self, *, expected: int = 0) -> bool:
        """Read what has arrived and the loop does not know of yet; return whether there was something.

        Nothing is read if the loop's last turn was long ago, nor where many bytes are `expected`, as in
        `wait`. An error is something, too: the connection then has ended. Not to be called when it has.
        """
        if sys.platform == "win32" or not self._can_read_itself or not self._reading:
            return False
        if self.loop.time() - self._turn > _BETWEEN_TURNS or self._is_patient(expected):
            return False
        # Asked for each time: of a socket that was closed it is -1, and not what was opened since.
        descriptor = self._transport.get_extra_info("socket").fileno()
        try:
            nbytes = os.readv(descriptor, [self.get_buffer(-1)])
        except BlockingIOError:
            return False
        except OSError as error:  # which the kernel tells only once
            self.abort(error)
            return True
        if nbytes:  # the end is for the loop to see
            self.buffer_updated(nbytes)
        return nbytes > 0

    def _is_patient(self, expected: int) -> bool:
        """Whether few bytes will not do, as many more are sure to come at once."""
        return self._can_wait_for_more and self._eager <= 0 and expected >= _LOW_WATER

    async def wait(
        self, seconds: float | None, expired: type[httpx.TimeoutException], *, expected: int = 0
    ) -> None:
        """Wait until something happens: bytes arrive, the peer takes bytes, or the connection ends.

        Where many bytes are `expected` for certain, and come fast, one or a few are not reported. Not to be
        called once the connection has ended. A timer for the timeout is not set for each wait, but only if
        there is none: when it fires too early, it is set again.

        Raises:
            httpx.TimeoutException: of the type `expired`, after `seconds` of nothing; None is no limit.
        """
        self._expired = expired
        self._deadline = None
        if seconds is not None:
            self._deadline = self.loop.time() + seconds
            if self._timer is None or self._timer.when() > self._deadline:
                self._set_timer(self._deadline)
        patience = None
        if self._is_patient(expected):
            self._grow()
            self._set_low_water(_LOW_WATER)
            patience = self.loop.call_later(_PATIENCE, self._lose_patience)
        else:
            self._set_low_water(1)
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._turn = self.loop.time()
            if patience is not None:
                patience.cancel()

    def _lose_patience(self) -> None:
        self._eager = _EAGER
        self._set_low_water(1)

    def _set_low_water(self, size: int) -> None:
        """Tell the kernel how much must have arrived to be reported."""
        if size != self._low_water and not self.ended:
            self._low_water = size
            of_transport = self._transport.get_extra_info("socket")
            with suppress(OSError):  # where a sandbox refuses it, only speed is lost
                of_transport.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done() or self._deadline is None:
            return
        if self.loop.time() < self._deadline:
            self._set_timer(self._deadline)
        else:
            self._waiter.set_exception(self._expired("nothing happened for as long as the timeout allows"))
