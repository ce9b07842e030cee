"""The faults: small values that say what is to go wrong with one answer, and nothing of how it is done.

A place beyond the end of an answer, a byte or an entry, is no error: the answer is well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from ..errors import UsageError

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = [
    "Cut",
    "DroppedRange",
    "Duplicate",
    "Empty",
    "Expired",
    "Fault",
    "HangUp",
    "Missing",
    "OtherTarget",
    "Short",
    "Stall",
    "Status",
    "Trickle",
    "WrongName",
]

_MAX_ZIP_NAME: Final = 0xFFFF - len("__404__/")

if TYPE_CHECKING:
    Hop: TypeAlias = Literal["proxy", "target"]


class Fault:
    """Base of all faults: frozen values that can be compared, hashed and used again."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Status(Fault):
    """An error instead of an answer, in AIStore's JSON.

    Args:
        status: 400 to 599.
        retry_after: The header ``Retry-After``: whole seconds, or a string that is sent as it is, say a date.
        message: For a human; by default that it is a test's.
        hop: Who says so: ``"proxy"``, instead of the redirect, or the ``"target"`` that the redirect names.
            Without redirects both are the same.

    Raises:
        UsageError: if `status` is no error's, or another argument is none of these.
    """

    status: int
    retry_after: int | str | None = None
    message: str = ""
    hop: Hop = "proxy"

    def __post_init__(self) -> None:
        _check(type(self.status) is int and 400 <= self.status <= 599, "status is 400 to 599", self)
        if isinstance(self.retry_after, str):
            fits = self.retry_after.isascii() and self.retry_after.isprintable()
        else:
            fits = self.retry_after is None or _is_count(self.retry_after)
        _check(fits, "retry_after is whole seconds from 0, or a header's value", self)
        _check_hop(self, self.hop)


@dataclass(frozen=True, slots=True)
class Expired(Fault):
    """A 404 from the target: the redirect's URL is no longer good. Only a redirected batch can expire."""


@dataclass(frozen=True, slots=True)
class HangUp(Fault):
    """The connection ends before any answer.

    Args:
        how: By a TCP ``"reset"``, or ``"close"``, an orderly end.
        hop: As in `Status`.

    Raises:
        UsageError: if an argument is none of these.
    """

    how: Literal["reset", "close"] = "reset"
    hop: Hop = "proxy"

    def __post_init__(self) -> None:
        _check(self.how in {"reset", "close"}, "how is 'reset' or 'close'", self)
        _check_hop(self, self.hop)


@dataclass(frozen=True, slots=True)
class Cut(Fault):
    """The body ends after `at` bytes.

    A reset comes when the client's system has them all; whether the client gets to read them is its affair.

    Args:
        at: Bytes of the body that are sent. In multipart the metadata, which come first, count as well.
        how: By a TCP ``"reset"``; by ``"close"``, an orderly end of the connection, as a rule in the midst of
            a chunk and always without the final one; or by ``"end"``, with that chunk, so that HTTP has
            nothing to object to. What has no chunks but announces its length, as objects do, cannot end so,
            and is closed.

    Raises:
        UsageError: if an argument is none of these.
    """

    at: int
    how: Literal["reset", "close", "end"] = "reset"

    def __post_init__(self) -> None:
        _check(_is_count(self.at), "at is bytes, from 0", self)
        _check(self.how in {"reset", "close", "end"}, "how is 'reset', 'close' or 'end'", self)


@dataclass(frozen=True, slots=True)
class Empty(Fault):
    """Status 200, and a body of no bytes that ends as it should: AIStore's answer when a job is aborted.

    The same as ``Cut(0, "end")``.
    """


@dataclass(frozen=True, slots=True)
class Stall(Fault):
    """Nothing comes for a while; then the answer goes on.

    Args:
        seconds: How long; `math.inf` for as long as the client stays.
        at: Bytes of the body that are sent before; None for nothing at all, not even the head.

    Raises:
        UsageError: if an argument is negative.
    """

    seconds: float
    at: int | None = None

    def __post_init__(self) -> None:
        _check(self.seconds >= 0, "seconds are 0 or more", self)
        _check(self.at is None or _is_count(self.at), "at is bytes, from 0", self)


@dataclass(frozen=True, slots=True)
class Trickle(Fault):
    """The body comes in small pieces, each an HTTP chunk, with pauses between them.

    Args:
        size: Bytes of a piece.
        pause: Seconds after each.

    Raises:
        UsageError: if `size` is not positive, or `pause` negative or without end.
    """

    size: int = 100
    pause: float = 0.001

    def __post_init__(self) -> None:
        _check(_is_count(self.size) and self.size > 0, "size is bytes, from 1", self)
        _check(0 <= self.pause < math.inf, "pause is seconds, 0 or more", self)


@dataclass(frozen=True, slots=True)
class Short(Fault):
    """A whole archive, well ended, of too few members: AIStore's answer when something fails between entries.

    Args:
        members: How many, from the front. None for all, with only the metadata short.
        out: In multipart, of how many the metadata tell; by default of as many as there are members.

    Raises:
        UsageError: if both are None, or one is negative.
    """

    members: int | None = None
    out: int | None = None

    def __post_init__(self) -> None:
        _check(self.members is not None or self.out is not None, "one of members and out is needed", self)
        for count in (self.members, self.out):
            _check(count is None or _is_count(count), "members and out are 0 or more", self)


@dataclass(frozen=True, slots=True)
class Missing(Fault):
    """Objects that are there are taken for missing.

    What comes of it is the request's choice: members ``__404__/…``; in a strict batch a short archive, or
    a 404 in multipart. Where the server has `max_soft_errors=8`, nine of them end any batch.

    Args:
        at: Position of the first in the request, from 0.
        count: How many, one behind the other.
        remote: Whether they are another target's: then even a strict batch has members ``__404__/…``.

    Raises:
        UsageError: if `at` is negative, or `count` not positive.
    """

    at: int
    count: int = 1
    remote: bool = False

    def __post_init__(self) -> None:
        _check_position(self, self.at)
        _check(_is_count(self.count) and self.count > 0, "count is 1 or more", self)


@dataclass(frozen=True, slots=True)
class WrongName(Fault):
    """A member that is named otherwise than its entry.

    Args:
        at: Position of the entry in the request, from 0.
        name: The member's whole name, bucket included.

    Raises:
        UsageError: if `at` is negative, or no archive can hold `name`.
    """

    at: int
    name: str = "wrong/name"

    def __post_init__(self) -> None:
        _check_position(self, self.at)
        # A name without its UTF-8 (a lone surrogate) counts as one that is too long.
        size = len(self.name.encode(errors="ignore")) if _is_text(self.name) else math.inf
        fits = 0 < size <= _MAX_ZIP_NAME and "\0" not in self.name and not self.name.endswith("/")
        _check(fits, "name is a file's, of up to 65,527 bytes of UTF-8", self)


@dataclass(frozen=True, slots=True)
class Duplicate(Fault):
    """An archive that has a member twice, one behind the other. The metadata tell of one.

    Args:
        at: Position of its entry in the request, from 0.

    Raises:
        UsageError: if it is negative.
    """

    at: int

    def __post_init__(self) -> None:
        _check_position(self, self.at)


@dataclass(frozen=True, slots=True)
class DroppedRange(Fault):
    """The whole object comes instead of the range asked for: what AIStore's recovery from a neighbour does.

    Args:
        at: Position of the entry in the request, from 0; None for all.

    Raises:
        UsageError: if it is negative.
    """

    at: int | None = None

    def __post_init__(self) -> None:
        _check_position(self, self.at)


@dataclass(frozen=True, slots=True)
class OtherTarget(Fault):
    """A multipart answer names a file in a shard as another target would: ``objname`` is ``shard/file``.

    Every client has to bear that, for it is no error. Where there is no `archpath`, nothing is different.

    Args:
        at: Position of the entry in the request, from 0; None for all.

    Raises:
        UsageError: if it is negative.
    """

    at: int | None = None

    def __post_init__(self) -> None:
        _check_position(self, self.at)


def _check(fits: bool, rule: str, fault: Fault) -> None:  # noqa: FBT001 - what is checked comes first
    if not fits:
        raise UsageError(f"{fault}: {rule}")


def _check_hop(fault: Fault, hop: Hop) -> None:
    _check(hop in {"proxy", "target"}, "hop is 'proxy' or 'target'", fault)


def _check_position(fault: Fault, at: int | None) -> None:
    _check(at is None or _is_count(at), "at is a position in the request, from 0", fault)


def _is_count(value: Any) -> bool:  # noqa: ANN401 - callers without mypy pass anything
    return type(value) is int and value >= 0


def _is_text(value: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in value)
