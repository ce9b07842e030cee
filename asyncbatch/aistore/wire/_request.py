"""A request as a value: what is to be sent, without how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WireRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """An HTTP request to AIStore.

    Attributes:
        method: Such as ``"GET"``; AIStore's GETs may have a body.
        path: Quoted, from the endpoint's root.
        query: Parameters, not quoted yet.
        headers: Beyond those that HTTP asks for.
        body: The body, or None for none.
        name: The object concerned, for errors.
        bucket: The bucket concerned, for errors.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    name: str | None = None
    bucket: str | None = None
