"""The seam between everything above and any radio: one small protocol, and the check of every frame."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from radio.config import Capabilities, RadioConfig
from radio.errors import SignalError

IQ: TypeAlias = NDArray[np.complex64]
"""Complex baseband samples, shape [N]; full scale is |x| = 1."""

FULL_SCALE_TOLERANCE = 1e-6  # a few units of float32 rounding at 1
DMA_MULTIPLE_SAMPLES = 4


@runtime_checkable
class Radio(Protocol):
    """One half-duplex baseband radio; full scale is |x| = 1. A context manager: it falls silent on exit."""

    @property
    def capabilities(self) -> Capabilities:
        """What this radio can do."""
        ...

    @property
    def clock_samples(self) -> int:
        """Receive-clock index of the sample at which the next capture starts."""
        ...

    @property
    def epoch(self) -> int:
        """How often the receive clock's count was broken; indices of two epochs cannot be compared."""
        ...

    def configure(self, config: RadioConfig) -> None:
        """Tune; raises RadioConfigError when the radio does not follow."""
        ...

    def transmit(self, frame: IQ, *, num_repeats: int) -> None:
        """Send a frame so many times back to back, then fall silent; replaces what was on the air."""
        ...

    def start_cyclic(self, frame: IQ) -> None:
        """Repeat a frame until `stop`; replaces what was on the air."""
        ...

    def stream(self, frame: IQ) -> None:
        """Append a frame right behind what is still being sent; starts now when nothing is."""
        ...

    def transmit_at(self, frame: IQ, start_sample: int | None) -> int:
        """Send a frame once from a sample of the radio's own transmit count on; returns that sample.

        None is as soon as can be. Raises TooLateError for a sample that has passed, or that belongs to a count that was
        broken since. Needs the capability `streaming`.
        """
        ...

    def shift_carrier(self, shift_hz: float) -> None:
        """Move the transmitter's carrier by so much more."""
        ...

    def stop(self) -> None:
        """Fall silent; safe to call twice. A stream first ends what was already handed over, and keeps its count."""
        ...

    def capture(self, num_samples: int, *, skip_samples: int = 0) -> IQ:
        """Receive fresh samples, shape [num_samples], right behind `skip_samples` that are forgotten."""
        ...

    def elapse(self, num_samples: int) -> None:
        """Let air time pass without keeping samples."""
        ...

    def begin_block(self, round_index: int, attempt: int) -> None:
        """Tell a simulated medium that a new fading block starts; a real radio forgets what it has received."""
        ...

    def close(self) -> None:
        """Fall silent and let go of the hardware; safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


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
        raise SignalError(f"frame: got peak amplitude {peak:.6g}; allowed: at most 1 (full scale); scale it down")
