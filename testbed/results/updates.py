"""What changes the weights in one round: its own directions' coefficients, and those of earlier rounds' directions."""

from __future__ import annotations

from typing import TypeAlias

Update: TypeAlias = tuple[int, tuple[float, ...]]
"""A seed, and the float32 values that its directions are multiplied with."""


class HasUpdates:
    """Base of every record that carries them."""

    __slots__ = ()
    seed: int
    coefficients: tuple[float, ...]
    earlier: tuple[Update, ...]

    @property
    def updates(self) -> tuple[Update, ...]:
        """In the order in which everyone applies them: this round's own first; none of a round that was not used."""
        return ((self.seed, self.coefficients), *self.earlier) if self.coefficients else ()
