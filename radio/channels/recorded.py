"""The one form of recorded channels: paths of links, block after block, and within a block step after step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from radio.arrays import Complexes, Reals
from radio.errors import RadioConfigError

MAX_TAPS = 256
"""Common delays that are kept as they are; of more, paths are shared out over a grid."""
GRID_PER_SAMPLE = 16
"""Of that grid: half a percent of a path's amplitude is off at the edge of the band."""
MAX_GRID_TAPS = 1 << 14
MAX_NUMBERS = 1 << 26
"""Complex ones that an air keeps of a recording, a gigabyte."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedChannels:
    """``a`` and ``tau`` of K uplinks in B blocks of S steps; made by `complete`."""

    gains: Complexes
    """[B, S, K, P], finite, as they were recorded; 0 where a link has fewer paths."""
    delays_s: Reals
    """[B, K, P], from 0 on; behind whatever delay the air gives the link."""
    step_s: float | None = None
    """Between steps; None of blocks in which nothing moves (S = 1)."""
    sample_rate_hz: float | None = None
    """At which they were measured and hold; None: at any."""
    center_freq_hz: float | None = None
    num_left_out: int = 0
    """Blocks in which a link was not seen, or not throughout."""

    @property
    def num_devices(self) -> int:
        """K"""
        return self.gains.shape[2]

    def powers(self) -> Reals:
        """[K], mean over blocks and steps of each link's summed path powers."""
        found: Reals = np.mean(np.sum(np.abs(self.gains) ** 2, axis=3), axis=(0, 1))
        return found


def complete(
    gains: Complexes,
    delays_s: Reals,
    *,
    name: str,
    step_s: float | None = None,
    sample_rate_hz: float | None = None,
    center_freq_hz: float | None = None,
) -> RecordedChannels:
    """Without blocks that have a gap (a number that is not finite, or a link without any power).

    Gains [B, S, K, P], delays [B, K, P]. Raises RadioConfigError where nothing is left, or ``step_s`` is missing.
    """
    if gains.ndim != 4 or 0 in gains.shape or delays_s.shape != (gains.shape[0], *gains.shape[2:]):
        raise RadioConfigError(
            f"air.channel: {name}: has gains of shape {gains.shape} and delays of shape {delays_s.shape}; allowed: "
            "[blocks, steps, links, paths] and [blocks, links, paths]; record again"
        )
    if gains.shape[1] > 1 and not step_s:
        raise RadioConfigError(
            f"air.channel: {name}: has {gains.shape[1]} steps in time, and does not say how far they are apart; "
            "allowed: with sampling_frequency_hz, or one step; add ?step_s=SECONDS"
        )
    loud = np.any(gains != 0, axis=1)  # [B, K, P]; where a path has no power its delay means nothing
    is_seen = np.isfinite(gains).all(axis=1) & (np.isfinite(delays_s) & (delays_s >= 0) | ~loud)
    whole = is_seen.all(axis=(1, 2)) & np.any(gains != 0, axis=3).all(axis=(1, 2))
    if not whole.any():
        raise RadioConfigError(
            f"air.channel: {name}: has no block in which all {gains.shape[2]} links were seen throughout, with delays "
            "from 0 on; allowed: at least one; leave out the devices that were not heard"
        )
    return RecordedChannels(
        gains=np.ascontiguousarray(gains[whole], dtype=np.complex128),
        delays_s=np.where(loud, delays_s, 0.0)[whole].astype(np.float64),
        step_s=step_s if gains.shape[1] > 1 else None,
        sample_rate_hz=sample_rate_hz,
        center_freq_hz=center_freq_hz,
        num_left_out=int(np.sum(~whole)),
    )


def common_taps(channels: RecordedChannels, sample_rate_hz: float) -> tuple[Complexes, Reals]:
    """Taps [B, S, K, L] at delays in samples [L] that all links and blocks share.

    The recorded delays themselves where they are few; else a grid of sixteenths of samples, each path on the two
    points beside it. Raises RadioConfigError for paths later than the grid reaches.
    """
    gains, delays = channels.gains, channels.delays_s * sample_rate_hz
    known, place = np.unique(delays, return_inverse=True)
    if known.size <= MAX_TAPS:
        _check_size(gains, known.size)
        return _summed(gains, place.reshape(delays.shape), known.size), known
    size = int(np.floor(known[-1] * GRID_PER_SAMPLE)) + 2
    if size > MAX_GRID_TAPS:
        raise RadioConfigError(
            f"air.channel: has {known.size} different delays of up to {known[-1]:.0f} samples; allowed: up to "
            f"{MAX_GRID_TAPS // GRID_PER_SAMPLE} samples; record at a lower rate"
        )
    _check_size(gains, size)
    before = np.floor(delays * GRID_PER_SAMPLE).astype(np.int64)
    share = (delays * GRID_PER_SAMPLE - before)[:, None]
    taps = _summed(gains * (1 - share), before, size) + _summed(gains * share, before + 1, size)
    return taps, np.arange(size) / GRID_PER_SAMPLE


def _check_size(gains: Complexes, num_taps: int) -> None:
    num_blocks, num_steps, num_links = gains.shape[:3]
    if num_blocks * num_steps * num_links * num_taps > MAX_NUMBERS:
        raise RadioConfigError(
            f"air.channel: has {num_blocks} blocks of {num_steps} steps, {num_links} links and {num_taps} taps; "
            f"allowed: {MAX_NUMBERS} numbers in all; record fewer blocks, or choose devices"
        )


def _summed(gains: Complexes, place: np.ndarray[tuple[int, ...], np.dtype[np.int64]], size: int) -> Complexes:
    """Gains [B, S, K, P] added up at their places [B, K, P] of [B, S, K, size]."""
    num_blocks, num_steps, num_links, num_paths = gains.shape
    taps = np.zeros((num_blocks, num_steps, num_links, size), dtype=np.complex128)
    blocks, links = np.ogrid[:num_blocks, :num_links]
    for path in range(num_paths):
        for step in range(num_steps):
            taps[blocks, step, links, place[:, :, path]] += gains[:, step, :, path]
    return taps
