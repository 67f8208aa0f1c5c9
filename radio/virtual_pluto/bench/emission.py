"""What leaves a station's antenna: when a transmission starts, with which error, through which hardware."""

from __future__ import annotations

import msgspec
import numpy as np

from radio.air.channel import draw_gain_error
from radio.air.hardware import radiate
from radio.randomness import generator
from radio.virtual_pluto.bench.clock import PS_PER_S, sample_at
from radio.virtual_pluto.bench.links import Links
from radio.virtual_pluto.bench.station import TX_FULL_SCALE, Playout, Station
from radio.virtual_pluto.config import VirtualConfig


class Emission:
    """Draws starts and applies the transmitters' impairments; the caller holds the air's lock."""

    def __init__(self, config: VirtualConfig, links: Links) -> None:
        self._config = config
        self._links = links

    def draw_start(self, station: Station, now_ps: int) -> tuple[int, float]:
        """First sample of a transmission that is pushed now, and by which factor its amplitude is off."""
        count = station.num_starts
        station.num_starts += 1
        low, high = self._config.start_jitter_min_ms, self._config.start_jitter_max_ms
        draws = generator(self._config.seed, station.index, count, purpose="virtual start jitter")
        start_ps = now_ps + int(draws.uniform(low, high) * PS_PER_S / 1000) if high > 0 else now_ps
        error = draw_gain_error(
            self._links.air, seed=self._config.seed, round_index=0, attempt=0, device=station.index, transmission=count
        )
        return sample_at(start_ps, station.chip.tx_rate_uhz), error

    def radiate(self, station: Station, playout: Playout) -> Playout:
        """With the transmitter's impairments, where there are any."""
        transmitter = self._links.air.transmitter
        if transmitter.pa != "linear" or transmitter.iq_image_dbc > -np.inf or transmitter.dc_dbc > -np.inf:
            pairs = (playout.words & -16).astype(np.float64) / TX_FULL_SCALE
            ideal = pairs.view(np.complex128)
            mixer = msgspec.structs.replace(transmitter, dac_bits=0)
            playout.distorted = playout.amplitude * radiate(ideal, mixer, self._links.angles[station.index])
        return playout
