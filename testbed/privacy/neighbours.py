"""What a claim protects: how far the sum of scalars moves between neighbouring data sets.

Who holds which example is no part of a data set: shards are given to devices before the run, as on real devices, and
neighbours differ inside one shard. A common file that the toolkit deals out is a convenience of the laboratory; with a
row more it would be dealt out anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from testbed.config.words import Adjacency, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Which two data sets must look alike, and the bounds that make them so."""

    level: Level
    """Whether they differ in a whole client or in one example."""
    adjacency: Adjacency
    """Whether the one is exchanged for another, or left out: an example from the sum, a client by sending 0."""
    clip: float
    """γ: every client's scalar is clipped to ±γ."""
    example_clip: float
    """C: every example's projection is clipped to ±C before the sum (example level)."""
    batch_size: int
    """b, the fixed public number that the sum over a batch is divided by, however many were drawn."""

    def sensitivity(self, *, sent_bound: float | None = None, num_queries: int = 1) -> float:
        """Δ of one round's vector of Q sums, in the unit of what is sent: Euclidean, hence the factor √Q.

        Where a scheme sends something else than the scalar, within ±``sent_bound``, one example, or one client, can
        turn the least into the largest: a vote of −1 into +1, which is also what a scalar of 0 votes.
        """
        if sent_bound is not None:
            moved = 2 * sent_bound
        else:
            whole = self.clip if self.level == "client" else self.example_clip / self.batch_size
            moved = 2 * whole if self.adjacency == "replace" else whole
            moved = min(moved, 2 * self.clip)
        return moved * math.sqrt(num_queries)

    @property
    def words(self) -> str:
        """For whoever reads an (ε, δ)."""
        if self.level == "client":
            verb = "replaced by another" if self.adjacency == "replace" else "whose scalar is 0 instead"
            return f"at client level (one client with all its data, {verb}; the number of clients is public)"
        verb = "replaced by another" if self.adjacency == "replace" else "added or left out"
        return (
            f"at example level (one training example of one device's own data {verb}; who holds which is settled "
            "beforehand)"
        )
