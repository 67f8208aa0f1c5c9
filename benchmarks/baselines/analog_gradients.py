"""Gradients over the air: every weight's entry is an analog symbol, channels inverted, all devices at once.

In the manner of arXiv 2006.05459: what the access point wants is a mean of gradients, and a sum is what the air makes.
Frames have 64 values, after which devices are sounded again, as residual carriers would turn longer ones. A round of
440,592 weights is some 6,900 frames; in samples it would take minutes to compute. So one block of the *symbol-level*
air stands for 64 frames, at the SNR that the sampled air has behind its matched filter, and airtime is that of sampled
frames. That errors of the two are alike is a test (tests/benchmarks/test_baselines.py).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines.costs import played_airtime_s
from radio.link.simulated_rig import SimulatedRig
from testbed.config.schema import RunConfig

Floats = NDArray[np.float64]

FRAME_VALUES, BLOCK_VALUES = 64, 4096
MAX_ATTEMPTS = 2


def symbol_level_rig(config: RunConfig) -> SimulatedRig:
    """This configuration's rig on the symbol-level air, pilots and estimated channels included."""
    rig = config.rig
    gain_db = 10 * math.log10(rig.frame.samples_per_symbol)
    air = msgspec.structs.replace(rig.air, level="symbol", snr_db=rig.air.snr_db + gain_db)
    return SimulatedRig(
        air,
        "coherent",
        num_devices=rig.num_devices,
        seed=config.experiment.seed,
        frame=rig.frame,
        tuning=rig.radio,
        rule=config.experiment.scheme.alignment,
    )


class AnalogGradients:
    """The uplink of one run."""

    def __init__(self, config: RunConfig, num_weights: int) -> None:
        self._rig = symbol_level_rig(config)
        self._num_weights = num_weights
        self._frame_airtime_s = played_airtime_s(config, "coherent", FRAME_VALUES)
        self.num_blocks = -(-num_weights // BLOCK_VALUES)
        """Of one round."""
        self.num_retried = 0
        """Blocks that took a second attempt, so far."""
        self.num_lost = 0
        """Blocks that were rejected twice; their entries count as 0."""

    def mean(self, gradients: Floats, round_index: int) -> Floats:
        """What the access point makes of gradients [K, d], shape [d].

        Entries are scaled by the largest of all devices, which they tell each other beside the air: nothing is clipped.
        """
        clip = float(np.abs(gradients).max()) or 1.0
        found = np.zeros(self._num_weights)
        for block in range(self.num_blocks):
            span = slice(block * BLOCK_VALUES, (block + 1) * BLOCK_VALUES)
            found[span] = self._played(gradients[:, span] / clip, round_index * self.num_blocks + block)
        return clip * found

    def airtime_s(self, num_rounds: int) -> float:
        """Of so many rounds in sampled frames, every one sounded, blocks that were retried twice."""
        frames = num_rounds * -(-self._num_weights // FRAME_VALUES) + self.num_retried * BLOCK_VALUES // FRAME_VALUES
        return frames * self._frame_airtime_s

    def _played(self, values: Floats, block: int) -> Floats:
        for attempt in range(MAX_ATTEMPTS):
            self.num_retried += attempt
            estimate = self._rig.round(values, round_index=MAX_ATTEMPTS * block + attempt)
            if estimate.rejected is None:
                return estimate.values
        self.num_lost += 1
        return np.zeros(values.shape[1])
