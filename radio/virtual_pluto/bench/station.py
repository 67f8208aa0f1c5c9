"""One radio as the shared air sees it: its chip, its two oscillators' phases, what it sends."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from radio.air.hardware import Samples
from radio.air.kernels import read_cyclic
from radio.air.propagation import FOREVER_SAMPLES
from radio.virtual_pluto.bench.chip import Chip, Tone
from radio.virtual_pluto.bench.gain_control import GainControl
from radio.virtual_pluto.bench.kernels import read_words

Words = NDArray[np.int16]
"""Interleaved I and Q, shape [2N]."""

TX_FULL_SCALE = 1 << 14
RX_FULL_SCALE = 1 << 11
DDS_PERIOD_SAMPLES = 1 << 16


@dataclass(slots=True, eq=False)
class Playout:
    """A buffer on its way out: `words` repeated from the transmitter's sample `start` until its sample `stop`."""

    words: Words
    start: int
    stop: int
    amplitude: float = 1.0
    distorted: Samples | None = None
    """The buffer as radiated by hardware that is not ideal; full scale is 1."""
    _is_silent: bool | None = None

    @property
    def is_silent(self) -> bool:
        """Whether nothing is radiated; gapless streams mostly are."""
        if self._is_silent is None:
            self._is_silent = self.distorted is None and not self.words.any()
        return self._is_silent

    def add_to(self, real: NDArray[np.float32], imag: NDArray[np.float32], start: int) -> None:
        """Add what the antenna radiates from its sample `start` on; full scale is 1."""
        first, last = max(start, self.start), min(start + real.size, self.stop)
        if first >= last:
            return
        if self.distorted is not None:
            read_cyclic(self.distorted, first - self.start, first - start, last - start, real, imag)
        else:
            gain = np.float32(self.amplitude / TX_FULL_SCALE)
            read_words(self.words, first - self.start, first - start, last - start, gain, real, imag)


@dataclass(slots=True, eq=False)
class Station:
    """One radio on the air; guarded by the air's lock."""

    index: int
    chip: Chip
    noise_key: int
    rx_phase_rad: float = 0.0
    tx_phase_rad: float = 0.0
    num_relocks: int = 0
    num_rate_changes: int = 0
    num_starts: int = 0
    playouts: list[Playout] = field(default_factory=list)
    has_tx_buffer: bool = False
    """A transmit buffer is open, which silences the synthesiser."""
    overflowed: bool = False
    """Received samples were lost since the flag was cleared."""
    underflowed: bool = False
    """An open transmit buffer had nothing left to send since the flag was cleared."""
    rx_power_dbfs: float = -100.0
    gain_control: GainControl = field(default_factory=GainControl)
    _dds: tuple[object, Playout | None] = ((), None)

    def sent(self) -> list[Playout]:
        """What is on the air: buffers, or the tones of the synthesiser while no buffer is open."""
        if self.has_tx_buffer:
            return self.playouts
        tones = self._tones()
        return [*self.playouts, tones] if tones is not None else self.playouts

    def shift(self, num_samples: int) -> None:
        """Renumber what is sent after the clocks were changed."""
        for playout in self.playouts:
            playout.start += num_samples
            if playout.stop < FOREVER_SAMPLES:
                playout.stop += num_samples

    def _tones(self) -> Playout | None:
        tones, rate = self.chip.tones, self.chip.sample_rate_hz // (8 if self.chip.tx_by_8 else 1)
        state = (rate, *((t.frequency_hz, t.phase_mdeg, t.scale, t.enabled) for t in tones))
        if state != self._dds[0]:
            audible = any(tone.enabled and tone.scale > 0 for tone in tones)
            playout = Playout(synthesise(tones, rate), 0, FOREVER_SAMPLES) if audible else None
            self._dds = (state, playout)
        return self._dds[1]


def synthesise(tones: list[Tone], rate_hz: int) -> Words:
    """One period of I (two tones) and Q (two tones); frequencies are rounded to the accumulator's 16 bits."""
    n = np.arange(DDS_PERIOD_SAMPLES)
    parts = np.zeros((DDS_PERIOD_SAMPLES, 2))
    for k, tone in enumerate(tones):
        if tone.enabled and tone.scale > 0:
            step = round(tone.frequency_hz / rate_hz * DDS_PERIOD_SAMPLES)
            turns = (n * step % DDS_PERIOD_SAMPLES) / DDS_PERIOD_SAMPLES + tone.phase_mdeg / 360_000
            parts[:, k // 2] += tone.scale * 32767 * np.sin(2 * math.pi * turns)
    return np.clip(np.rint(parts), -32768, 32767).astype(np.int16).reshape(-1)
