"""How an answer to a batch is made to differ from what it should be: for `asyncbatch.testing` alone.

Middleware puts an `Alteration` into a request's scope, which no client can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from starlette.types import Scope

    from ._getbatch import Entry

__all__ = ["Alteration", "Facts", "alter", "alteration_of"]

_KEY: Final = "asyncbatch.alteration"
_Thing = TypeVar("_Thing")

if TYPE_CHECKING:
    Facts: TypeAlias = dict[str, str | int]
    """What a multipart answer's metadata say of one entry."""


class _Selection(Protocol):
    def __call__(self, things: list[_Thing], /) -> list[_Thing]: ...


def _as_it_is(value: Any) -> Any:  # noqa: ANN401 - of any type, and returned as it came
    return value


@dataclass(frozen=True, slots=True)
class Alteration:
    """What is done to a batch on its way to the client.

    Attributes:
        entries: Takes the request's entries and returns as many, which are answered in their places.
        sent: Takes, in order, what the archive should have a member for, and returns what it has one for.
        told: Takes what the metadata should say of each entry, and returns what they say.
    """

    entries: Callable[[list[Entry]], list[Entry]] = _as_it_is
    sent: _Selection = _as_it_is
    told: Callable[[Iterator[Facts]], Iterable[Facts]] = _as_it_is


_NONE: Final = Alteration()


def alter(scope: Scope, alteration: Alteration) -> None:
    """Have the request of this scope answered otherwise."""
    scope[_KEY] = alteration


def alteration_of(scope: Scope) -> Alteration:
    """Return what `alter` said; if nothing, one that leaves everything as it is."""
    found: Alteration = scope.get(_KEY, _NONE)
    return found
