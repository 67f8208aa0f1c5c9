"""The exact mean, as a baseline: the coherent scheme on an air without fading, delay, offset or noise."""

from __future__ import annotations

from typing import Literal

from radio.air.config import AirConfig
from radio.schemes.coherent import Coherent


class Ideal(Coherent):
    """y = c Σ p_k, exact to the rounding of complex64; runs on any rig, as its air is not the rig's."""

    name: str = "ideal"
    exposes: Literal["sum", "each", "unknown"] = "unknown"
    needs: tuple[frozenset[str], ...] = ()
    needs_sounding: bool = False
    air_override: AirConfig | None = AirConfig.perfect()
