"""What is known of the air before a run: on a simulated one, every channel of every round; otherwise nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radio.channel import draw_gains
from radio.waveform import max_symbol_amplitude, real_noise_variance
from testbed.config import RunConfig
from testbed.terms import is_simulated

Floats = NDArray[np.float64]


def weakest_amplitudes(config: RunConfig, num_rounds: int) -> Floats | None:
    """√P·min_k|h_k| of each round's first attempt, [T]; None on a rig whose future nobody knows."""
    rig = config.rig
    if not is_simulated(rig):
        return None
    weakest = [
        np.abs(
            draw_gains(
                rig.air, num_devices=rig.num_devices, seed=config.experiment.seed, round_index=round_index, attempt=1
            )
        ).min()
        for round_index in range(num_rounds)
    ]
    return max_symbol_amplitude(rig.frame, rig.radio) * np.array(weakest)


def noise_variance(config: RunConfig) -> float:
    """N0' = Var(Re z) after the matched filter, as the simulated air makes it."""
    return real_noise_variance(config.rig.air.noise_power(config.rig.radio.max_power), config.rig.frame)
