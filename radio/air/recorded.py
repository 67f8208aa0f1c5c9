"""Recorded channels as the gains of an air: block after block, or as they moved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from radio.air.kernels import CHUNK_SAMPLES, MIN_CHUNK_SAMPLES
from radio.arrays import Complexes, Reals
from radio.channels.files import load_channels
from radio.channels.recorded import RecordedChannels, common_taps
from radio.errors import RadioConfigError

_RATE_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedFading:
    """Gains [K, L] of each block, scaled so that devices have a mean power of 1.

    Round n has the n-th recorded block, and so on from the beginning once all were had; another attempt is one on.
    """

    taps: Complexes
    """[blocks, steps, K, L]"""
    delays_samples: Reals
    """[L]"""
    step_samples: float | None = None
    """Between steps; None of gains that stay as they are for a block."""

    @property
    def powers(self) -> Reals:
        """[L], mean over devices, blocks and steps."""
        found: Reals = np.mean(np.abs(self.taps) ** 2, axis=(0, 1, 2))
        return found

    @property
    def block_samples(self) -> float | None:
        """How long a block was recorded; None where it may last for ever, as gains stay or are repeated."""
        if self.step_samples is None or len(self.taps) == 1:
            return None
        return (self.taps.shape[1] - 1) * self.step_samples

    def gains(self, round_index: int, attempt: int) -> Complexes:
        """The block's gains; of moving ones, where they begin."""
        found: Complexes = self.taps[self._block(round_index, attempt), 0]
        return found

    def motion(self, round_index: int, attempt: int, start_samples: float) -> RecordedMotion | None:
        """How the gains of a block move that begins at a time of the air; None if they do not."""
        if self.step_samples is None:
            return None
        return RecordedMotion(
            track=self.taps[self._block(round_index, attempt)],
            step_samples=self.step_samples,
            start_samples=start_samples if len(self.taps) > 1 else None,
        )

    def _block(self, round_index: int, attempt: int) -> int:
        return (round_index + max(attempt, 1) - 1) % len(self.taps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedMotion:
    """Gains of one block on the air's clock, straight lines between what was recorded.

    A block of several ends where its recording does. A single one goes on from its beginning, with a jump.
    """

    track: Complexes
    """[steps, K, L]"""
    step_samples: float
    start_samples: float | None
    """When the track begins; None of one that began at 0 and is repeated."""

    @property
    def chunk_samples(self) -> int:
        """Over which gains may be joined by straight lines: no longer than a step that is shorter than a chunk."""
        chunk = CHUNK_SAMPLES
        while chunk > max(self.step_samples, MIN_CHUNK_SAMPLES):
            chunk //= 2
        return chunk

    def gains(self, device: int, times_samples: Reals) -> Complexes:
        """[times, L]. Raises RadioConfigError for times that were not recorded."""
        last = len(self.track) - 1
        if self.start_samples is None:
            places = times_samples / self.step_samples % last
        else:
            places = (times_samples - self.start_samples) / self.step_samples
            beyond = float(places.max()) - last
            if beyond > max(1.0, CHUNK_SAMPLES / self.step_samples):  # what is computed ahead of a capture's end
                raise RadioConfigError(
                    f"air.channel: a block was recorded for {last * self.step_samples:.0f} samples; the round goes on "
                    f"for {beyond * self.step_samples:.0f} more; allowed: rounds within a block; record longer blocks "
                    "(`testbed measure --capture-ms`), or shorten the frame"
                )
            places = np.clip(places, 0, last)
        before = np.minimum(places.astype(np.int64), last - 1)
        share = (places - before)[:, None]
        found: Complexes = (1 - share) * self.track[before, device] + share * self.track[before + 1, device]
        return found


def recorded_fading(channel: str, sample_rate_hz: float) -> RecordedFading:
    """Of the line in a rig. Raises RadioConfigError for what cannot be read, or was measured at another rate."""
    channels = load_channels(channel)
    recorded_hz = channels.sample_rate_hz
    if recorded_hz is not None and abs(recorded_hz / sample_rate_hz - 1) > _RATE_TOLERANCE:
        raise RadioConfigError(
            f"air.channel: {channel!r} was recorded at {recorded_hz:g} samples/s; this rig has {sample_rate_hz:g}; set "
            "radio.sample_rate_hz to that, or measure again"
        )
    return _as_fading(channels, sample_rate_hz)


@lru_cache(maxsize=2)
def _as_fading(channels: RecordedChannels, sample_rate_hz: float) -> RecordedFading:
    step_samples = channels.step_s * sample_rate_hz if channels.step_s is not None else None
    if step_samples is not None and step_samples < MIN_CHUNK_SAMPLES:
        raise RadioConfigError(
            f"air.channel: got steps of {step_samples:.3g} samples at {sample_rate_hz:g} samples/s; allowed: at least "
            f"{MIN_CHUNK_SAMPLES}; raise radio.sample_rate_hz, or leave steps out of the recording"
        )
    taps, delays = common_taps(channels, sample_rate_hz)
    mean_power = float(np.mean(np.sum(np.abs(taps) ** 2, axis=3)))
    return RecordedFading(
        taps=taps / np.sqrt(mean_power),
        delays_samples=delays,
        step_samples=step_samples,
    )
