"""A request as a value: what is to be sent, without how, and by whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WireRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """An HTTP request to an S3 endpoint, not signed yet.

    Attributes:
        method: Such as ``"GET"``.
        path: Quoted, from the endpoint's root, bucket first.
        query: Parameters, not quoted yet; a flag has the value ``""``.
        headers: Beyond those that HTTP and the signature ask for, names in lower case.
        body: The body; ``b""`` for none.
        name: The object concerned, for errors.
        bucket: The bucket concerned, for errors.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    name: str | None = None
    bucket: str | None = None
