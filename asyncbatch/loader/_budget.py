"""How much may be held: one number for all batches of a loader, and who may add to it, by values alone."""

from __future__ import annotations

from typing import Final

__all__ = ["ITEM_COST", "Budget"]

ITEM_COST: Final = 256
"""Bytes that an item takes besides its data: the tuple, its metadata, the object of the data itself."""

# What batches read ahead leave over for the one that is read: an eighth, so that it never goes hand to mouth.
_LEFT_TO_HEAD: Final = 8

_QUANTUM: Final = 65_536


class Budget:
    """Bytes that are held.

    Attributes:
        maximum: Bytes that may be held.
        ahead: Bytes up to which batches are read ahead of their turn.
        quantum: Bytes that may be handed out before they are released together: small items are many.
        held: Bytes that are held now.
        peak: The most that ever were.
    """

    __slots__ = ("ahead", "held", "maximum", "peak", "quantum")

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.ahead = maximum - maximum // _LEFT_TO_HEAD
        self.quantum = min(_QUANTUM, maximum // 16)
        self.held = 0
        self.peak = 0

    def reserve(self, size: int) -> None:
        """Take a part of it out, for somebody who counts by himself."""
        self.maximum = max(self.maximum - size, 1)
        self.ahead = self.maximum - self.maximum // _LEFT_TO_HEAD

    def hold(self, size: int) -> None:
        """Count bytes that are held from now on; a negative number of those that are not any more."""
        self.held += size
        self.peak = max(self.peak, self.held)

    def admits(self, *, is_head: bool, has_ready: bool, wanted: int = 0) -> bool:
        """Decide whether a batch may receive more.

        The head of the line may, however much is held, as long as its reader has nothing to take: or nobody
        would ever release anything. All others have what is left over.

        Args:
            is_head: Whether it is the one whose turn it is.
            has_ready: Whether it has items that its reader could take.
            wanted: Bytes that it would hold at once.
        """
        if is_head:
            return not has_ready or self.held + wanted < self.maximum
        return self.held + wanted < self.ahead
