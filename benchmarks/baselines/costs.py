"""What bytes cost on this rig's air, and what a learner step costs in memory."""

from __future__ import annotations

import numpy as np

from benchmarks.measure import live_bytes, peak_bytes
from radio.link.simulated_rig import SimulatedRig
from radio.schemes.digital import CRC_BITS
from testbed.config.schema import Rig, RunConfig
from testbed.hosts.local_work import device_scalars, load_model_and_task
from testbed.hosts.randomness import SeededRandomness
from testbed.optimisers.updates import coefficients_of

BITS_PER_SYMBOL = 2
SCALAR_BYTES = 2
"""Up: 16 bits, as the scheme `digital` sends them."""
COEFFICIENT_BYTES = 4
"""Down: what is announced is a float32."""
WEIGHT_BYTES = 4


def counted_airtime_s(rig: Rig, num_bits: int) -> float:
    """Of one message in QPSK at this rig's symbol rate, with its CRC but without pilots and guards: a lower bound."""
    symbols = -(-(num_bits + CRC_BITS) // BITS_PER_SYMBOL)
    return symbols * rig.frame.symbol_samples / rig.radio.sample_rate_hz


def played_airtime_s(config: RunConfig, scheme: str, num_values: int) -> float:
    """Of one round of so many values, soundings included, as the sampled air of this rig has it."""
    played = simulated_rig(config, scheme).play(np.zeros((config.rig.num_devices, num_values)))
    return played.reception.airtime_s


def simulated_rig(config: RunConfig, scheme: str) -> SimulatedRig:
    """This configuration's rig as a radio layer without a learner."""
    rig = config.rig
    return SimulatedRig(
        rig.air,
        scheme,
        num_devices=rig.num_devices,
        seed=config.experiment.seed,
        frame=rig.frame,
        tuning=rig.radio,
        rule=config.experiment.scheme.alignment,
    )


def zeroth_order_peak_mib(config: RunConfig) -> float:
    """Most of live tensors in one round of all devices on one host, the model included."""
    elsewhere, experiment = live_bytes(), config.experiment
    loaded = load_model_and_task(config)
    devices = range(config.rig.num_devices)
    sources = {device: SeededRandomness(experiment.seed, device) for device in devices}

    def step() -> None:
        found = device_scalars(loaded, experiment, devices, sources, round_index=0, seed=0)
        mean = found.projected_gradients.mean(axis=0)
        loaded.replica.update(0, coefficients_of(np.nan_to_num(mean), experiment.learner.learning_rate))

    return peak_bytes(step, elsewhere_bytes=elsewhere) / 2**20
