"""Where a body ends (RFC 9112, sections 6 and 7): bytes of a buffer in, payload out. Sans-IO.

A decoder is given what has been received and was not consumed yet, as a range of a buffer, and returns views
of that: whoever wants the payload for longer than the buffer stays as it is makes the copy.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

import httpx

__all__ = ["BodyDecoder", "ChunkedDecoder", "LengthDecoder", "UntilCloseDecoder"]

_MAX_LINE: Final = 4096  # bytes of a chunk's line, extensions included
_MAX_TRAILERS: Final = 65_536  # bytes of the trailer section
# Lines that are remembered, so that a server cannot make us remember everything.
_MAX_GUESSES: Final = 64
_MAX_GUESS: Final = 32
_NO_GUESS: Final = (b"", 0, 0, 0)

# Section 7.1: digits only, and no more of them than fit into any integer, as others may overflow at.
# Extensions are ignored, but end at CR, LF and NUL, about which implementations disagree.
_SIZE: Final = rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\x00]*)?\r\n"
_FIRST_LINE: Final = re.compile(_SIZE)
_LINE: Final = re.compile(rb"\r\n" + _SIZE)
_BEGINNING: Final = re.compile(rb"(?:[0-9A-Fa-f]{1,15}[ \t]*(?:;[^\r\n\x00]*)?\r?)?")
# RFC 9110, section 5.5. A line that begins with a space, obs-fold, is none.
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_FIELD_BEGINNING: Final = re.compile(
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+(?::[^\x00-\x08\x0a-\x1f\x7f]*\r?)?|\r)?"
)


class BodyDecoder(Protocol):
    """What finds the end of a body.

    Attributes:
        done: Whether the end was met.
        expected: Bytes that are still to come if the body is sound; 0 where its head does not tell.
        trailers: Name, in lower case, and value of the fields behind the body; complete when `done`.
    """

    done: bool
    expected: int
    trailers: list[tuple[bytes, bytes]]

    def decode(self, buffer: bytearray, start: int, end: int) -> tuple[list[memoryview], int]:
        """Return the payload in ``buffer[start:end]``, and where what was not consumed begins.

        The payload is in pieces, some of which may be empty.

        Raises:
            httpx.RemoteProtocolError: if it is malformed.
        """
        ...

    def feed_eof(self) -> None:
        """Tell that nothing more will come.

        Raises:
            httpx.RemoteProtocolError: if there should be more.
        """
        ...


class LengthDecoder:
    """A body of `length` bytes, which may be none."""

    def __init__(self, length: int) -> None:
        self.done = length == 0
        self.trailers: list[tuple[bytes, bytes]] = []
        self.expected = length

    def decode(self, buffer: bytearray, start: int, end: int) -> tuple[list[memoryview], int]:
        """See `BodyDecoder`."""
        stop = min(end, start + self.expected)
        self.expected -= stop - start
        self.done = self.expected == 0
        return [memoryview(buffer)[start:stop]], stop

    def feed_eof(self) -> None:
        """See `BodyDecoder`."""
        raise httpx.RemoteProtocolError(
            f"the server closed the connection {self.expected} bytes before the end of the body"
        )


class UntilCloseDecoder:
    """A body that ends where the connection does."""

    expected = 0

    def __init__(self) -> None:
        self.done = False
        self.trailers: list[tuple[bytes, bytes]] = []

    def decode(self, buffer: bytearray, start: int, end: int) -> tuple[list[memoryview], int]:
        """See `BodyDecoder`."""
        return [memoryview(buffer)[start:end]], end

    def feed_eof(self) -> None:
        """See `BodyDecoder`."""
        self.done = True


class ChunkedDecoder:
    """A body in the chunked transfer coding, and its trailers.

    Servers send thousands of small chunks whose sizes recur, all the same or a few by turns. So what stood
    behind a chunk of this size, behind one of that size, the first time, CRLF and the next chunk's line, is
    what is looked for: one comparison, instead of a search and a conversion. It halves the time for chunks of
    2,048 bytes (benchmark `http`).
    """

    expected = 0  # a chunk's size is a poor guess at how much is on its way

    def __init__(self) -> None:
        self.done = False
        self.trailers: list[tuple[bytes, bytes]] = []
        self._trailers_size = 0
        self._size = -1  # of the chunk that has begun, -1 before the first, 0 in the trailers
        self._left = 0  # of its data
        # What follows a chunk: the line, its length, the size it tells, and the number of the next guess.
        self._guesses = [_NO_GUESS]
        self._numbers: dict[tuple[int, int], int] = {}  # of guesses, by the sizes of two chunks in a row
        self._guess = 0  # the number for the chunk that has begun

    def decode(self, buffer: bytearray, start: int, end: int) -> tuple[list[memoryview], int]:
        """See `BodyDecoder`."""
        view = memoryview(buffer)
        parts: list[memoryview] = []
        keep, follows, guesses = parts.append, buffer.startswith, self._guesses
        position, size, stop, guess = start, self._size, start + self._left, self._guess
        while size:
            if stop >= end:
                keep(view[position:end])
                self._size, self._left, self._guess = size, stop - end, guess
                return parts, end
            keep(view[position:stop])
            expected, length, next_size, next_guess = guesses[guess]
            if expected and follows(expected, stop, end):
                position, size, guess = stop + length, next_size, next_guess
            else:
                line = self._find_line(buffer, stop, end, size)
                if line is None:
                    self._size, self._left, self._guess = size, 0, guess
                    return parts, stop
                guess = self._learn(guess, size, *line)
                position, size = stop + len(line[0]), line[1]
            stop = position + size
        self._size = self._left = 0
        return parts, self._take_trailers(buffer, position, end)

    def feed_eof(self) -> None:
        """See `BodyDecoder`."""
        raise httpx.RemoteProtocolError("the server closed the connection before the last chunk's end")

    def _learn(self, guess: int, size: int, line: bytes, next_size: int) -> int:
        """Remember what was behind a chunk, if it is the first time; return the number of the next guess."""
        next_guess = self._numbers.get((size, next_size), 0)
        if not next_guess and len(self._guesses) <= _MAX_GUESSES:
            next_guess = self._numbers[size, next_size] = len(self._guesses)
            self._guesses.append(_NO_GUESS)
        if guess and len(line) <= _MAX_GUESS and self._guesses[guess] is _NO_GUESS:
            self._guesses[guess] = line, len(line), next_size, next_guess
        return next_guess

    @staticmethod
    def _find_line(buffer: bytearray, start: int, end: int, size: int) -> tuple[bytes, int] | None:
        """Return what stands between two chunks' data, and the size it tells; None if it is not complete."""
        pattern, ending = (_LINE, b"\r\n") if size > 0 else (_FIRST_LINE, b"")
        match = pattern.match(buffer, start, min(end, start + _MAX_LINE))
        if match:
            return match[0], int(match[1], 16)
        there = bytes(buffer[start : min(end, start + _MAX_LINE)])
        if there[: len(ending)] != ending[: len(there)]:
            raise httpx.RemoteProtocolError(f"no CRLF behind a chunk's data, but {there[:2]!r}")
        line = there[len(ending) :]
        if b"\n" in line:
            raise httpx.RemoteProtocolError(f"malformed line of a chunk: {line[: line.index(10) + 1][:80]!r}")
        if len(there) == _MAX_LINE:
            raise httpx.RemoteProtocolError(f"the line of a chunk exceeds {_MAX_LINE} bytes")
        if not _BEGINNING.fullmatch(line):  # what cannot become one is not waited for
            raise httpx.RemoteProtocolError(f"malformed line of a chunk: {line[:80]!r}")
        return None

    def _take_trailers(self, buffer: bytearray, start: int, end: int) -> int:
        """Read the lines of the trailer section that are there; return where what was not consumed begins."""
        position = start
        while (stop := buffer.find(b"\n", position, end)) >= 0:
            line = bytes(buffer[position : stop + 1])
            position = stop + 1
            if line == b"\r\n":
                self.done = True
                return position
            field = _FIELD.fullmatch(line[:-2])
            if field is None or line[-2:] != b"\r\n":
                raise httpx.RemoteProtocolError(f"malformed trailer field: {line.rstrip()[:80]!r}")
            self._count_trailers(len(line))
            self.trailers.append((field[1].lower(), field[2].rstrip(b" \t")))
        self._count_trailers(0, end - position)
        beginning = bytes(buffer[position:end])
        if not _FIELD_BEGINNING.fullmatch(beginning):
            raise httpx.RemoteProtocolError(f"malformed trailer field: {beginning[:80]!r}")
        return position

    def _count_trailers(self, size: int, waiting: int = 0) -> None:
        self._trailers_size += size
        if self._trailers_size + waiting > _MAX_TRAILERS:
            raise httpx.RemoteProtocolError(f"the trailers exceed {_MAX_TRAILERS} bytes")
