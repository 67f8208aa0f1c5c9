"""Complex baseband samples, and what a radio may be given and may give."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from radio.errors import SignalError

IQ: TypeAlias = NDArray[np.complex64]
"""Complex baseband samples, shape [N]; full scale is |x| = 1."""


FULL_SCALE_TOLERANCE = 1e-6  # a few units of float32 rounding at 1


DMA_MULTIPLE_SAMPLES = 4


def check_capture(capture: IQ, num_samples: int) -> None:
    """Raise SignalError unless a radio gave what was asked: complex64 [num_samples], not empty, finite."""
    got = f"{getattr(capture, 'dtype', type(capture).__name__)} {getattr(capture, 'shape', '')}"
    if not isinstance(capture, np.ndarray) or capture.dtype != np.complex64 or capture.shape != (num_samples,):
        raise SignalError(f"capture: got {got}; allowed: complex64 ({num_samples},); look at the radio's backend")
    if not capture.size:
        raise SignalError("capture: got no samples; allowed: at least 1; ask for more")
    if not np.isfinite(capture.view(np.float32)).all():
        raise SignalError("capture: got NaN or infinite samples; allowed: finite ones; look at the radio's backend")


def check_frame(frame: IQ, *, multiple: int = DMA_MULTIPLE_SAMPLES) -> None:
    """Raise SignalError unless `frame` is complex64 [N], N a multiple of `multiple`, finite, and |x| <= 1.

    Converters wrap around instead of clipping, so a frame over full scale must never reach one.
    """
    if not isinstance(frame, np.ndarray) or frame.dtype != np.complex64:
        got = getattr(frame, "dtype", type(frame).__name__)
        raise SignalError(f"frame: got {got}; allowed: a numpy array of complex64; convert it")
    if frame.ndim != 1 or frame.size == 0:
        raise SignalError(f"frame: got shape {frame.shape}; allowed: one non-empty axis; flatten it")
    if frame.size % multiple:
        raise SignalError(f"frame: got {frame.size} samples; allowed: a multiple of {multiple}; pad it with zeros")
    peak = float(np.abs(frame).max())  # NaN and inf survive abs and max
    if not np.isfinite(peak):
        raise SignalError("frame: got NaN or infinite samples; allowed: finite ones; look at what made the frame")
    if peak > 1 + FULL_SCALE_TOLERANCE:
        raise SignalError("frame: got a peak beyond full scale; allowed: |x| at most 1; scale it down")
