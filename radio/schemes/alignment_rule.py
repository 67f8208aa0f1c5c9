"""How experiments ask for alignment; apart from its mathematics, so that configuration loads without NumPy."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from radio.settings import Checked


class AlignmentRule(Checked, frozen=True, kw_only=True):
    """How channels of different strength are made to arrive alike (docs/method.md §5)."""

    name: Literal["min_k", "truncated", "regularised"] = "min_k"
    """``min_k``: everybody inverts, the weakest sets the gain. ``truncated``: too weak devices keep silent.
    ``regularised``: c|h|/(|h|² + λ), at most full power; the gain weighs misalignment against noise."""
    truncate_below_db: Annotated[float, msgspec.Meta(ge=-100, le=20)] = -10.0
    """Of ``truncated``: devices whose |h|² lies so far below the mean over devices and rounds keep silent."""
