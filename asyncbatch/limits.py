"""Bounds on what a decoder accepts: every size that comes from outside meets one of them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .errors import UsageError

__all__ = ["DEFAULT_LIMITS", "Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that real data does not meet and hostile data does.

    Attributes:
        max_item_size: Bytes of one member held whole in memory, as `read()` and batch items do.
        max_member_size: Bytes of one member, streamed or not.
        max_total_size: Bytes of an archive after decompression.
        max_members: Members of an archive.
        max_ratio: Bytes out per byte in of a decompressor, enforced once 64 MiB came out.
        max_name_length: Bytes of a member's name or link target.
        max_header_size: Bytes of one extended header (PAX records, zip extra fields, multipart heads).

    Raises:
        UsageError: if a limit is not a positive number.
    """

    max_item_size: int = 2 << 30
    max_member_size: int = 1 << 40
    max_total_size: int = 16 << 40
    max_members: int = 100_000_000
    max_ratio: float = 1000
    max_name_length: int = 65_536
    max_header_size: int = 1 << 20

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise UsageError(f"Limits({field.name}={value!r}): a limit is a number greater than zero")


DEFAULT_LIMITS = Limits()
