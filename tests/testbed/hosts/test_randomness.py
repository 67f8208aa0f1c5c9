"""Noise and batches that protect: from the operating system on real radios, from the seed in simulations only."""

import math

import numpy as np

from testbed.hosts.randomness import (
    SeededRandomness,
    SystemRandomness,
    artificial_noise,
    device_randomness,
)


def test_real_radios_use_the_operating_system_and_simulations_the_seed():
    assert isinstance(device_randomness(simulated=False, seed=1, device=0), SystemRandomness)
    assert isinstance(device_randomness(simulated=True, seed=1, device=0), SeededRandomness)


def test_system_noise_never_repeats_and_reads_nothing_but_the_systems_source(monkeypatch):
    source = SystemRandomness()
    assert not np.array_equal(artificial_noise(source, 0, 100), artificial_noise(source, 0, 100))
    monkeypatch.setattr("testbed.hosts.randomness.os.urandom", lambda size: bytes(size))
    lowest = source.uniform(0, "noise", 3)
    assert np.all(lowest == 2.0**-53)
    monkeypatch.setattr("testbed.hosts.randomness.os.urandom", lambda size: b"\xff" * size)
    assert np.all(source.uniform(0, "noise", 3) < 1)


def test_seeded_noise_repeats_and_differs_by_device_round_and_purpose():
    some = SeededRandomness(1, 0)
    assert np.array_equal(artificial_noise(some, 3, 10), artificial_noise(SeededRandomness(1, 0), 3, 10))
    others = [SeededRandomness(1, 1).uniform(3, "a", 5), some.uniform(4, "a", 5), some.uniform(3, "b", 5)]
    assert all(not np.array_equal(some.uniform(3, "a", 5), other) for other in others)


def test_both_sources_are_standard_normal():
    for source in (SystemRandomness(), SeededRandomness(5, 0)):
        drawn = artificial_noise(source, 0, 200_000)
        assert abs(drawn.mean()) < 6 / math.sqrt(200_000)
        assert abs(drawn.var() - 1) < 6 * math.sqrt(2 / 200_000)
        assert abs(np.mean(drawn > 3) - 0.00135) < 6 * math.sqrt(0.00135 / 200_000)
