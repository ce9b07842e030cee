"""Ranges of objects: how they are asked for, and whether what comes may be taken for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import httpx

__all__ = ["range_header", "size_of", "what_is_wrong"]

# RFC 9110, section 14.4; 20 digits are more than any object has bytes.
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,20})-([0-9]{1,20})/([0-9]{1,20}|\*)")


def range_header(start: int, length: int | None) -> dict[str, str]:
    """Return the header that asks for a range (RFC 9110, section 14.2), or none for the whole."""
    if not start and length is None:
        return {}
    return {"range": f"bytes={start}-{'' if length is None else start + length - 1}"}


def size_of(response: httpx.Response) -> int | None:
    """Return how many bytes of data an answer has, as far as its head tells."""
    told = _parse_content_range(response.headers.get("content-range", ""))
    if told is not None:
        return told[1] - told[0]
    length = response.headers.get("content-length")
    return None if length is None else int(length)


def what_is_wrong(response: httpx.Response, start: int, length: int | None) -> str | None:
    """Return why a body must not be taken for the data that was asked for, or None if it may.

    Args:
        response: To a GET that was sent with the `range_header` of:
        start: First byte wanted.
        length: Bytes wanted, fewer coming if the object ends sooner; None for all from `start`.
    """
    headers = response.headers
    wanted = range_header(start, length).get("range")
    if wanted is not None:
        if response.status_code != 206:
            return "a range was asked for, and the whole object came"
        told = _parse_content_range(headers.get("content-range", ""))
        if told is None or not _is_range(told, start, length):
            return f"{wanted} was asked for, and another range came: {headers.get('content-range')}"
        if headers.get("content-length", str(told[1] - told[0])) != str(told[1] - told[0]):
            return f"{headers['content-range']} came with {headers['content-length']} bytes"
    elif response.status_code == 206:
        return "the whole object was asked for, and a part of it came"
    if "content-length" not in headers and "transfer-encoding" not in headers:
        # Such a body ends with the connection, whole or not (RFC 9112, section 6.3).
        return "the answer does not tell where it ends, so whether it is whole could not be told either"
    return None


def _is_range(told: tuple[int, int, int | None], start: int, length: int | None) -> bool:
    """Whether a Content-Range is that of a range that was asked for, cut only by the object's end."""
    first, behind, total = told
    if first != start:
        return False
    if length is not None and behind == start + length:
        return True
    return total in {None, behind} and (length is None or behind < start + length)


def _parse_content_range(content_range: str) -> tuple[int, int, int | None] | None:
    """Read a Content-Range: the first byte, that behind the last, and the object's size unless not told."""
    match = _CONTENT_RANGE.fullmatch(content_range)
    if match is None or int(match[2]) < int(match[1]):  # RFC 9110, section 14.4
        return None
    return int(match[1]), int(match[2]) + 1, None if match[3] == "*" else int(match[3])
