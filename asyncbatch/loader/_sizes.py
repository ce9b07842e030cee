"""Sizes of memory, as people write them."""

from __future__ import annotations

import re
from typing import Final

from ..errors import UsageError

__all__ = ["parse_size"]

_SIZE: Final = re.compile(r"\s*(\d{1,15})\s*([kmgt]i?b?|b?)\s*", re.IGNORECASE | re.ASCII)
_UNITS: Final = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY_UNITS: Final = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_size(value: int | str, name: str) -> int:
    """Return a number of bytes, at least 1.

    Args:
        value: The number; or a text such as ``"64MiB"``, ``"2 GB"`` or ``"4096"``.
        name: Of the option, for the error.

    Raises:
        UsageError: if it is none.
    """
    size = value
    if isinstance(size, str):
        match = _SIZE.fullmatch(size)
        if match is None:
            raise UsageError(f"{name}={value!r} is no size; sizes are numbers of bytes, or like '64MiB'")
        unit = match[2].lower().rstrip("b")
        factor = _BINARY_UNITS[unit[0]] if unit.endswith("i") else _UNITS[unit]
        size = int(match[1]) * factor
    if size < 1:
        raise UsageError(f"{name}={value!r}: it is at least 1 byte")
    return size
