"""What came of a payload: the captures with all that their receiver knew, and the estimate, which follows from both.

Pure: who has the same captures and knowledge, from a file say, comes to the same estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from radio.arrays import Complexes
from radio.records import Estimate, Plan, Received
from radio.samples import IQ
from radio.schemes.base import Scheme
from radio.waveform.base import Known, Waveform


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Captured:
    """One capture of a payload, or of one device's slot of it."""

    samples: IQ
    """Shape [N]."""
    known: Known
    device: int | None = None
    """Whose slot it is; None when superposed."""
    began_unix_s: float = 0.0
    """When its first sample was received, by this computer's clock, within what the radio's buffers hold it up."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reception:
    """What one payload came to."""

    estimate: Estimate
    captured: tuple[Captured, ...]
    """The payload, or every slot in turn."""
    symbols: Complexes
    """y, superposed values after the matched filter, turned upright, shape [S]; empty for tones and slots."""
    airtime_s: float
    """Since the block began, to the payload's end."""
    radio_s: float
    """Wall-clock time of capturing and estimating, without that of polls."""

    @property
    def capture(self) -> IQ:
        """The payload's samples, shape [N]; of slots, the last one's."""
        return self.captured[-1].samples if self.captured else np.zeros(0, dtype=np.complex64)


def estimate_from(
    captured: Sequence[Captured], plan: Plan, scheme: Scheme, waveform: Waveform
) -> tuple[Estimate, list[Received]]:
    """What a scheme makes of captures in the waveform that they were sent in, and what it made that of."""
    received = [waveform.receive(each.samples, plan, each.known, device=each.device) for each in captured]
    return scheme.estimate(received, plan), received
