"""The text of multipart bodies as pure functions: header fields, their parameters, and the boundary.

Sources: RFC 2046, 5.1 (multipart), RFC 2045, 5.1 (parameters), RFC 5322, 2.2 (fields and folding), RFC 2183
and RFC 7578 (Content-Disposition). Functions raise `ValueError` with the reason; callers add the place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..errors import FormatError
from ._tar_header import decode_text

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["boundary_fault", "parse_boundary", "parse_fields", "parse_parameters"]

# RFC 2046, 5.1.1: 1 to 70 characters of `bchars`, the last of them no space.
_MAX_BOUNDARY: Final = 70
_BOUNDARY: Final = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]*[0-9A-Za-z'()+_,\-./:=?]")

_FOLD: Final = re.compile(rb"\r\n(?=[ \t])")  # RFC 5322, 2.2.3: unfolding takes the line end away
_FIELD_NAME: Final = re.compile(rb"[!-9;-~]+")  # RFC 5322, 3.6.8
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_MULTIPART: Final = re.compile(r"multipart/[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.IGNORECASE)

# RFC 2045, 5.1: a token has no space, no control and none of the tspecials. The quantifiers are possessive
# (nothing to go back to), so that no input makes matching slower than linear.
_PARAMETER: Final = re.compile(
    r"""[ \t]*+ (?:
        (?P<key>[!#$%&'*+\-.^_`|{}~0-9A-Za-z]++)
        = (?: (?P<token>[!#$%&'*+\-.^_`|{}~0-9A-Za-z]++) | "(?P<quoted>(?:[^"\\]++|\\.)*+)" )
        [ \t]*+ )?+ (?:;|\Z)""",
    re.VERBOSE,
)
# Backslashes escape the tspecials only: browsers wrote the ones of C:\path as they were, and Go reads it so.
_QUOTED_PAIR: Final = re.compile(r'\\([()<>@,;:\\"/\[\]?=])')


def boundary_fault(boundary: bytes) -> str | None:
    """Say what is wrong with a boundary, if something is."""
    if not 0 < len(boundary) <= _MAX_BOUNDARY:
        return f"a multipart boundary of {len(boundary)} characters, where 1 to {_MAX_BOUNDARY} are allowed"
    if not _BOUNDARY.fullmatch(boundary):
        return f"a multipart boundary has characters that are not allowed in one: {boundary!r}"
    return None


def parse_boundary(content_type: str) -> bytes:
    r"""Return the boundary that a Content-Type header of a multipart body tells.

    A boundary with any of ``()<>@,;:\"/[]?=`` or a space in it must be quoted (RFC 2046, 5.1.1).

    Raises:
        FormatError: if the type is not multipart, or the boundary is missing, given twice or malformed.
    """
    media_type, _, parameters = content_type.partition(";")
    try:
        if not _MULTIPART.fullmatch(media_type.strip(" \t")):
            raise ValueError(f"the media type is not multipart: {media_type.strip()[:60]!r}")
        boundary = parse_parameters(parameters).get("boundary")
        if boundary is None:
            raise ValueError("the Content-Type of a multipart body tells no boundary")
        raw = boundary.encode("utf-8", "surrogateescape")
        if fault := boundary_fault(raw):
            raise ValueError(fault)
    except ValueError as error:
        raise FormatError(str(error), codec="multipart", offset=0) from None
    return raw


def parse_parameters(text: str) -> dict[str, str]:
    """Parse what stands behind the first semicolon of a header's value; keys in lower case.

    Raises:
        ValueError: if it is malformed, or gives a parameter twice: which of them counts is anyone's guess.
    """
    parameters: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            raise ValueError(f"malformed parameters of a header: {text[position : position + 60]!r}")
        position = match.end()
        key, token, quoted = match.group("key", "token", "quoted")
        if key is None:
            continue  # nothing between two semicolons, or behind the last, which many write
        if key.lower() in parameters:
            raise ValueError(f"a header gives the parameter {key.lower()!r} twice")
        parameters[key.lower()] = _QUOTED_PAIR.sub(r"\1", quoted) if token is None else token
    return parameters


def parse_fields(block: bytes) -> Mapping[str, str]:
    r"""Parse the header fields of a part, without the blank line that ends them; names in lower case.

    Raises:
        ValueError: for anything but fields that end with CRLF: lines without a colon, spaces around names,
            NUL and other controls, CR or LF alone, and a field that comes twice.
    """
    fields: dict[str, str] = {}
    if not block:
        return fields
    for line in _FOLD.sub(b"", block).split(b"\r\n"):
        if control := _CONTROL.search(line):
            raise ValueError(
                f"a header has a control character (0x{control[0][0]:02x}), or no CRLF at its end"
            )
        name, colon, value = line.partition(b":")
        if not colon or not _FIELD_NAME.fullmatch(name):
            raise ValueError(f"a header of a part is not 'name: value': {line[:60]!r}")
        key = name.decode("ascii").lower()
        if key in fields:
            raise ValueError(f"a part has the header {key!r} twice")
        fields[key] = decode_text(value.strip(b" \t"))
    return fields
