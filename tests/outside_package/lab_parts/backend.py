"""A backend: simulated radios whose receivers have a pad in front of them. Real ones say is_simulated = False."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

import testbed
from radio.air.medium import Medium
from radio.backends.backend import Backend, Setup
from radio.backends.loopback import LoopbackRadio
from radio.config import Capabilities
from radio.samples import IQ


class PadSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `settings` of a rig with this backend."""

    attenuation_db: Annotated[float, msgspec.Meta(ge=0, le=40)] = 0.0
    """Of what is received, signal and noise alike."""


class PaddedRadio(LoopbackRadio):
    """One station; all but its captures is that of a radio on the simulated air."""

    def __init__(self, medium: Medium, station: int, capabilities: Capabilities, attenuation_db: float) -> None:
        super().__init__(medium, station, capabilities)
        self._amplitude = np.float32(10 ** (-attenuation_db / 20))

    def capture(self, num_samples: int, *, skip_samples: int = 0) -> IQ:
        """Fresh samples behind the pad, shape [num_samples]."""
        return self._amplitude * super().capture(num_samples, skip_samples=skip_samples)


@testbed.register
class Padded(Backend):
    """Opens such radios."""

    name = "padded"
    is_simulated = True
    settings = PadSettings

    def open(self, settings: Any, station: int, setup: Setup, medium: Medium | None) -> PaddedRadio:
        """The radio of one station; simulated backends get the air that all of them share."""
        assert medium is not None, "a simulated backend comes with its air"
        return PaddedRadio(medium, station, setup.capabilities, settings.attenuation_db)
