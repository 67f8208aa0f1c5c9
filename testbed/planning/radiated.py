"""What a round has radiated so far, of which no linear combination may have less noise than was charged.

A device draws its value p + n once a round and sends it under one σ, so a further attempt adds receiver noise of its
own to the same value, and nothing else. All attempts together are as good as one of the summed precision
(docs/method.md §2.2). Where values were drawn anew, by a host that was started again, the new ones are charged by
themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Radiated:
    """Everything that one round has sent."""

    noise_std: float
    """σ of the artificial noise, the same in every attempt of a round."""
    precision: float = 0.0
    """Σ c²E/N0' over what carried the values drawn last, as an attacker may hear it: over the variance of receiver
    noise on their sum."""
    rho: float | None = 0.0
    """What was charged for these values; None where no leak can be stated."""
    draws: frozenset[int] = frozenset()
    """Which draws of batches and noise these values are, one token a host."""

    def of(self, draws: frozenset[int]) -> Radiated:
        """What was sent of the values of these draws; of others than before nothing yet, under the round's σ."""
        if draws == self.draws:
            return self
        return Radiated(noise_std=self.noise_std, draws=draws)

    def by(self, draws: frozenset[int]) -> Radiated:
        """The same, and whose values they were."""
        return replace(self, draws=draws)
