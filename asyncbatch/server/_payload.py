"""What is put into an object, out of what S3's clients send: in chunks of their own, and with checksums.

Sources: AWS's S3 API Reference, "Signature Calculations for the Authorization Header: Transferring Payload in
Multiple Chunks" (and ``…: Including Trailing Headers``), and its User Guide, "Checking object integrity".
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import TYPE_CHECKING, Final, Protocol

from ._s3_errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from ..codecs._events import Buffer
    from ._store import Upload

__all__ = ["AwsChunks", "Payload"]

_MAX_LINE: Final = 8192
_MAX_TRAILERS: Final = 16


class Payload:
    """An `Upload` that is written to as a body comes, and gives on what the object is to hold.

    Args:
        headers: The request's.
        upload: Where the object goes.
    """

    def __init__(self, headers: Mapping[str, str], upload: Upload) -> None:
        self._upload = upload
        self._chunks = AwsChunks() if _is_chunked(headers) else None
        self._expected = headers.get("x-amz-decoded-content-length") if self._chunks else None
        self._checks = _Checks(headers)
        self._size = 0

    def write(self, chunk: Buffer, /) -> None:
        """Take the next bytes of the body.

        Raises:
            S3Error: if they are not what the headers say.
        """
        data = chunk if self._chunks is None else self._chunks.feed(chunk)
        self._size += len(data)
        self._checks.update(data)
        self._upload.write(data)

    def commit(self) -> str:
        """Check what came, and give the object its name.

        Raises:
            S3Error: if it is not what the client meant to send.
        """
        trailers = {} if self._chunks is None else self._chunks.feed_eof()
        if self._expected is not None and self._expected != str(self._size):
            raise S3Error(400, "IncompleteBody", f"the body decoded to {self._size} bytes")
        self._checks.check(trailers)
        return self._upload.commit()

    def abort(self) -> None:
        """Forget it."""
        self._upload.abort()


def _is_chunked(headers: Mapping[str, str]) -> bool:
    # Of requests that are not signed, the encoding alone tells.
    return (
        headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
        or headers.get("content-encoding", "").partition(",")[0].strip() == "aws-chunked"
    )


class AwsChunks:
    """Decodes the content coding ``aws-chunked``: HTTP's chunks inside of HTTP's body, perhaps signed.

    The signatures of chunks are not looked at: where requests have to be signed, such bodies are refused.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._trailers: dict[str, str] | None = None
        self._found: list[bytes] = []
        self._parser = self._parse()
        next(self._parser)

    def feed(self, chunk: Buffer, /) -> bytes:
        """Give the next bytes; return what they decode to.

        Raises:
            S3Error: if they are no such chunks.
        """
        self._buffer += chunk
        next(self._parser)
        found, self._found = self._found, []
        return b"".join(found)

    def feed_eof(self) -> dict[str, str]:
        """Say that no more will come; return the trailers, names in lower case.

        Raises:
            S3Error: if the last chunk has not come.
        """
        if self._trailers is None:
            raise S3Error(400, "IncompleteBody", "the body ended before its last chunk")
        return self._trailers

    def _parse(self) -> Generator[None]:
        """Read the body, top to bottom; yield where there is nothing to do until more is fed."""
        while size := self._parse_size((yield from self._line())):
            while size:
                while not self._buffer:
                    yield
                data = bytes(self._buffer[:size])
                del self._buffer[:size]
                self._found.append(data)
                size -= len(data)
            if (yield from self._line()):
                raise S3Error(400, "InvalidRequest", "a chunk of the body is longer than it says")
        # Not every client puts an empty line behind a last chunk: what has come by the end is all there is.
        trailers: dict[str, str] = {}
        self._trailers = trailers
        while len(trailers) < _MAX_TRAILERS and (line := (yield from self._line())):
            name, _, value = line.decode("latin-1").partition(":")
            trailers[name.strip().lower()] = value.strip()
        while True:
            self._buffer.clear()
            yield

    def _line(self) -> Generator[None, None, bytes]:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _MAX_LINE:
                raise S3Error(400, "InvalidRequest", "a line between the body's chunks is too long")
            yield
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    @staticmethod
    def _parse_size(line: bytes) -> int:
        digits = line.partition(b";")[0].strip()
        if not 0 < len(digits) <= 16 or not set(digits) <= set(b"0123456789abcdefABCDEF"):
            raise S3Error(400, "InvalidRequest", "a chunk of the body does not say how long it is")
        return int(digits, 16)


class _Hash(Protocol):
    def update(self, data: Buffer, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


# What the standard library can compute. CRC-32C and CRC-64/NVME are taken unchecked.
_HASHES: Final[Mapping[str, Callable[[], _Hash]]] = {
    "content-md5": lambda: hashlib.md5(usedforsecurity=False),
    "x-amz-checksum-crc32": _Crc32,
    "x-amz-checksum-sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "x-amz-checksum-sha256": hashlib.sha256,
}


class _Checks:
    """The checksums that a request promises, in its headers or behind its body."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        behind = headers.get("x-amz-trailer", "").lower().split(",")
        promised = {*(name.strip() for name in behind), *headers}
        self._headers = headers
        self._hashes = {name: make() for name, make in _HASHES.items() if name in promised}
        signed = headers.get("x-amz-content-sha256", "")
        # Others are markers, such as UNSIGNED-PAYLOAD.
        self._signed = signed if len(signed) == 64 else ""
        self._sha256 = hashlib.sha256()

    def update(self, data: Buffer) -> None:
        if self._signed:
            self._sha256.update(data)
        for computed in self._hashes.values():
            computed.update(data)

    def check(self, trailers: Mapping[str, str]) -> None:
        if self._signed and self._sha256.hexdigest() != self._signed:
            message = "the body's SHA-256 is not x-amz-content-sha256"
            raise S3Error(400, "XAmzContentSHA256Mismatch", message)
        for name, computed in self._hashes.items():
            expected = trailers.get(name, self._headers.get(name))
            if expected != base64.b64encode(computed.digest()).decode():
                raise S3Error(400, "BadDigest", f"{name} is not that of the body")
