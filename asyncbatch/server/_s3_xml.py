"""XML as S3 writes it: elements in elements, with text in the innermost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NAMESPACE", "answer_xml", "can_carry", "element", "leaf"]

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
# What no XML 1.0 holds, not even as a reference (its section 2.2).
_NOT_CARRIED: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# A carriage return that is not a reference is read as a newline (section 2.11).
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def can_carry(text: str) -> bool:
    """Return whether XML can hold a text."""
    return text.isprintable() or _NOT_CARRIED.search(text) is None


def leaf(name: str, text: str) -> str:
    """Return an element with a text, in which U+FFFD stands for what XML cannot hold."""
    carried = _NOT_CARRIED.sub("\ufffd", text).translate(_ESCAPES)
    return f"<{name}>{carried}</{name}>"


def element(name: str, *children: str, namespace: str = "") -> str:
    """Return an element with others in it."""
    attribute = f' xmlns="{namespace}"' if namespace else ""
    return f"<{name}{attribute}>{''.join(children)}</{name}>"


def answer_xml(root: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that is a document."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{root}'.encode()
    return Response(body, status, headers, "application/xml")
