"""Complex samples of full scale 1 and the integers of the Pluto's converters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radio.samples import IQ

TX_FULL_SCALE = 1 << 14
"""Of `adi.Pluto.tx`; the DAC takes the upper 12 bits."""
DAC_STEP = 1 << 4
RX_FULL_SCALE = (1 << 11) - 1
"""Of the ADC's 12 bits, −2048…2047: what is clipped at either end is at least 1."""

Codes = NDArray[np.int16]


def to_codes(frame: IQ) -> Codes:
    """Interleaved I and Q, shape [2·N], rounded to the DAC's steps; the frame is within full scale (`check_frame`)."""
    parts = np.ascontiguousarray(frame).view(np.float32)
    return (np.rint(parts * (TX_FULL_SCALE / DAC_STEP)) * DAC_STEP).astype(np.int16)


def from_codes(codes: Codes) -> IQ:
    """Complex64 samples, shape [N], of interleaved I and Q."""
    scaled = codes.astype(np.float32)
    scaled /= RX_FULL_SCALE
    return scaled.view(np.complex64)
