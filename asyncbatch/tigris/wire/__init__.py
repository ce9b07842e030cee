"""Tigris's protocol, sans-IO: requests out as plain values, responses in as bytes and headers."""

from __future__ import annotations

from ._sigv4 import (
    UNSIGNED_PAYLOAD,
    Credentials,
    SignatureError,
    check_payload,
    payload_hash,
    sign,
    verify,
)

__all__ = [
    "UNSIGNED_PAYLOAD",
    "Credentials",
    "SignatureError",
    "check_payload",
    "payload_hash",
    "sign",
    "verify",
]
