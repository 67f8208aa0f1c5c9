"""What is known of the air before a run: on a simulated one, every channel of every round; otherwise nothing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from radio.air.channel import draw_amplitudes
from radio.air.fading import block_fading
from radio.schemes.alignment import strong_enough
from radio.waveform.modulation import max_symbol_amplitude, real_noise_variance
from testbed.config.schema import RunConfig
from testbed.planning.terms import is_simulated

Floats = NDArray[np.float64]


def weakest_amplitudes(config: RunConfig, num_rounds: int) -> Floats | None:
    """√P·min_k|h_k| over the devices that the alignment keeps, at each round's first attempt, [T].

    None on a rig whose future nobody knows. Channels that move (doppler_hz) are drawn anew for every round instead:
    as likely, but not the run's own.
    """
    rig = config.rig
    if not is_simulated(rig):
        return None
    scale = draw_amplitudes(rig.air, num_devices=rig.num_devices, seed=config.experiment.seed)
    seed = config.experiment.seed
    fading = block_fading(rig.air, rig.radio.sample_rate_hz, num_devices=rig.num_devices, seed=seed)
    rule = config.experiment.scheme.alignment
    weakest = []
    for round_index in range(num_rounds):
        strengths = scale * np.abs(fading.gains(round_index, 1).sum(axis=1))
        kept = strengths[strong_enough(strengths**2, rule, rig.air.mean_gain_power)]
        weakest.append(float(kept.min(initial=math.inf)) if kept.size else 0.0)
    return max_symbol_amplitude(rig.frame, rig.radio) * np.array(weakest)


def noise_variance(config: RunConfig) -> float:
    """N0' = Var(Re z) after the matched filter, as the simulated air makes it."""
    radio = config.rig.radio
    return real_noise_variance(config.rig.air.noise_power(radio.max_power, radio.sample_rate_hz), config.rig.frame)
