"""From noise to gain and artificial noise, under every threat model."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from radio.records import NOISE_CLIP_STDS
from testbed.privacy.accountants import accountant
from testbed.schedule.artificial import DeviceNoise
from testbed.schedule.power import (
    Crediting,
    Power,
    RoundLimits,
    credited_noise,
    least_noise,
    power_for,
    total_noise,
)
from testbed.schedule.problem import Problem
from testbed.schedule.registry import schedule

limits = st.builds(
    RoundLimits,
    amplitude=st.floats(1e-4, 1e2),
    noise_variance=st.floats(1e-8, 1.0),
    clip=st.floats(0.1, 100),
    noise_std=st.just(0.0) | st.floats(0.01, 10),
    min_gain=st.just(0.0) | st.floats(1e-6, 1e-1),
)
crediting = st.builds(
    Crediting,
    receiver_trusted=st.booleans(),
    num_noise_sources=st.integers(1, 20),
    payload_energy=st.floats(1, 4),
)


@given(wanted=st.floats(1e-6, 1e9), limits=limits, crediting=crediting)
def test_the_noise_that_counts_is_at_least_what_was_wanted_and_power_is_kept(wanted, limits, crediting):
    power = power_for(wanted, limits, crediting)
    assert credited_noise(power, limits.noise_variance, crediting) >= wanted * (1 - 1e-9)
    assert power.gain * (limits.clip + NOISE_CLIP_STDS * power.noise_std) <= limits.amplitude * (1 + 1e-9)
    assert power.noise_std >= limits.noise_std
    assert power.gain == 0 or power.gain >= limits.min_gain


@given(wanted=st.floats(1e-3, 1e6), limits=limits)
def test_trusted_receiver_noise_needs_no_artificial_noise_above_the_gain_floor(wanted, limits):
    trusted = Crediting(receiver_trusted=True, num_noise_sources=5)
    power = power_for(wanted, limits, trusted)
    if power.gain > limits.min_gain:
        assert power.noise_std == limits.noise_std


@given(wanted=st.floats(1e-3, 1e6), limits=limits, num_colluders=st.integers(0, 9))
def test_colluders_raise_everybodys_noise(wanted, limits, num_colluders):
    honest = Crediting(receiver_trusted=False, num_noise_sources=10 - num_colluders)
    power = power_for(wanted, limits, honest)
    if power.gain > 0 and power.noise_std > limits.noise_std:
        assert power.noise_std**2 == pytest.approx(wanted / (10 - num_colluders))


def test_every_repeat_is_charged():
    power = Power(gain=0.1, noise_std=0.0)
    once, thrice = (
        credited_noise(power, 0.3, Crediting(receiver_trusted=True, num_noise_sources=1, payload_energy=energy))
        for energy in (1.0, 3.0)
    )
    assert once == pytest.approx(3 * thrice)


def test_silence_is_infinitely_noisy_and_receivers_that_are_not_trusted_have_no_floor():
    some = RoundLimits(amplitude=1.0, noise_variance=0.1, clip=1.0)
    assert credited_noise(
        Power(gain=0.0, noise_std=1.0), 0.1, Crediting(receiver_trusted=True, num_noise_sources=1)
    ) == (math.inf)
    assert least_noise(some, Crediting(receiver_trusted=False, num_noise_sources=1)) == 0
    assert total_noise(Power(gain=0.5, noise_std=2.0), 0.1, 5) == pytest.approx(0.4 + 20)
    assert power_for(math.inf, some, Crediting(receiver_trusted=True, num_noise_sources=1)).gain == 0


@pytest.mark.parametrize("seed", range(4))
def test_artificial_noise_is_spread_as_well_as_a_general_solver_does_it(seed):
    generator = np.random.default_rng(seed)
    num, devices, sources, clip = 8, 5, 3, 2.0
    receiver = generator.uniform(0.001, 0.5, num)
    device_noise = DeviceNoise(receiver=receiver, num_devices=devices, num_noise_sources=sources, clip=clip)
    problem = Problem(
        log_weights=np.linspace(-2, 0, num),
        caps=np.full(num, np.inf),
        sensitivity=1.0,
        accountant=accountant("exact", 3.0, 1e-3, rate=None, num_rounds=num),
        device_noise=device_noise,
    )
    found = schedule("solution").leaks(problem)

    def cost(log_noise):
        return float(np.sum(np.exp(problem.log_weights) * device_noise.total(np.exp(log_noise))))

    def slack(log_noise):
        return problem.accountant.limit - float(np.sum(0.5 / np.exp(log_noise)))

    start = np.full(num, math.log(0.5 * num / problem.accountant.limit * 1.1))
    best = minimize(
        cost,
        start,
        method="SLSQP",
        constraints=[{"type": "ineq", "fun": slack}],
        options={"ftol": 1e-15, "maxiter": 999},
    )
    assert problem.spent(found) <= problem.accountant.limit
    assert cost(np.log(problem.noise(found))) <= best.fun * (1 + 1e-6)
