"""sign, energy and fsk_vote as pure maps, and the posterior of votes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radio.errors import SignalError
from radio.records import Csi, Plan, Received
from radio.schemes.registry import scheme
from radio.schemes.votes import decide_shares, decide_sums
from radio.waveform.base import SymbolFormat

FORMAT = SymbolFormat(max_amplitude=0.5, period_s=288e-6, tone_power=0.06)
CSI = Csi(gain=0.1, resource_powers=(0.01, 0.02))


def plan_of(**changes: object) -> Plan:
    settings = {"gain": 1e-4, "artificial_noise_std": 0.0, "clip": 1.0, "num_queries": 2, "active": (0, 1)}
    return Plan(**(settings | changes))


def energies_of(measured: list[list[float]], **changes: object) -> Received:
    settings = {
        "symbols": np.zeros(0, dtype=complex), "noise_variance": 1e-6, "symbol_snr_db": 20.0,
        "energies": np.array(measured), "energy_variances": np.full((len(measured), 2), 1e-12),
    }  # fmt: skip
    return Received(**(settings | changes))


@given(values=st.lists(st.floats(-1, 1), min_size=2, max_size=2))
def test_a_value_arrives_as_the_difference_of_two_energies(values):
    amplitudes = scheme("energy").encode(np.array(values), plan_of(), CSI, FORMAT).reshape(2, 2)
    arriving = np.abs(amplitudes) ** 2 * np.array(CSI.resource_powers)
    assert np.allclose(arriving[:, 0] - arriving[:, 1], 1e-4 * np.array(values), atol=1e-18)
    assert (np.count_nonzero(amplitudes, axis=1) <= 1).all()


def test_energy_estimates_the_mean_with_its_variance():
    plan = plan_of(artificial_noise_std=0.1)
    received = energies_of([[3e-4, 1e-4], [0.0, 1e-4]], misalignment=0.02, value_power=0.1)
    got = scheme("energy").estimate([received], plan)
    assert np.allclose(got.values, [1.0, -0.5])
    assert np.allclose(got.error_variance, 2e-12 / 2e-4**2 + 0.1**2 / 2 + 0.02 * 0.1 / 4)


def test_energy_refuses_missing_channels_and_too_much_power():
    energy = scheme("energy")
    for csi in (None, Csi(gain=0.1), Csi(gain=0.1, resource_powers=(0.01, 0.0))):
        with pytest.raises(SignalError, match="CSI"):
            energy.encode(np.ones(2), plan_of(), csi, FORMAT)
    with pytest.raises(SignalError, match="lower the alignment gain"):
        energy.encode(np.ones(2), plan_of(gain=1.0), CSI, FORMAT)
    assert not energy.encode(np.ones(2), plan_of(gain=0.0), None, FORMAT).any()


@pytest.mark.parametrize("name", ["energy", "fsk_vote"])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"saturated": True}, "saturated"),
        ({"problem": "device 1: late"}, "device 1: late"),
        ({"energies": np.full((2, 2), np.nan)}, "finite"),
    ],
)
def test_noncoherent_schemes_reject_with_a_reason(name, changes, reason):
    got = scheme(name).estimate([energies_of([[1e-4, 0.0]] * 2, **changes)], plan_of())
    assert reason in got.rejected
    assert np.isnan(got.values).all()
    assert "silent" in scheme(name).estimate([energies_of([[0.0, 0.0]] * 2)], plan_of(active=())).rejected


def test_fsk_vote_sends_full_power_by_sign_and_rejects_when_nobody_is_heard():
    fsk = scheme("fsk_vote")
    amplitudes = fsk.encode(np.array([0.01, -0.9]), plan_of(), None, FORMAT).reshape(2, 2)
    assert np.allclose(np.abs(amplitudes) ** 2, [[0.03, 0], [0, 0.03]])
    got = fsk.estimate([energies_of([[3e-4, 1e-4], [1e-5, 2e-4]])], plan_of())
    assert got.values.tolist() == [1, -1]
    quiet = energies_of([[1e-7, 1e-7]] * 2, energy_variances=np.full((2, 2), 1e-12))
    assert "nobody was heard" in fsk.estimate([quiet], plan_of()).rejected


def test_sign_sends_signs_and_returns_the_majority():
    sign = scheme("sign")
    values = np.array([[0.3, -5.0], [2.0, -0.1], [-4.0, 0.2]])
    assert sign.mapped(values).tolist() == [[1, -1], [1, -1], [-1, 1]]
    assert sign.mapped_clip(7.0) == 1
    assert sign.reference(values).tolist() == [1, -1]
    received = Received(symbols=np.array([0.1 + 0j, -0.1]), noise_variance=1e-6, symbol_snr_db=20.0)
    got = sign.estimate([received], plan_of(gain=0.1, active=(0, 1, 2)))
    assert got.values.tolist() == [1, -1]
    assert got.error_variance.max() < 1e-9


def test_the_stated_vote_error_is_the_error_of_many_votes():
    rng, trials, num_devices, std = np.random.default_rng(1), 20_000, 5, 1.5
    sums = rng.choice([-1.0, 1.0], (trials, num_devices)).sum(axis=1)
    votes, errors = decide_sums(sums + std * rng.normal(size=trials), np.full(trials, std**2), num_devices)
    assert np.mean((votes - np.sign(sums)) ** 2) == pytest.approx(errors.mean(), rel=0.05)


@pytest.mark.parametrize("num_devices", [1, 2, 5, 20])
def test_the_stated_error_of_unequal_votes_is_that_of_rayleigh_links(num_devices):
    rng, trials = np.random.default_rng(2), 20_000
    up = rng.random((trials, num_devices)) < 0.5
    powers = rng.exponential(size=(trials, num_devices))
    shares = (powers * up).sum(axis=1) / powers.sum(axis=1) + 1e-4 * rng.normal(size=trials)
    votes, errors = decide_shares(shares, np.full(trials, 1e-8), num_devices)
    truth = np.sign((2 * up - 1).sum(axis=1))
    assert np.mean((votes - truth) ** 2) == pytest.approx(errors.mean(), rel=0.06, abs=1e-3)


def test_no_vote_is_certain_of_a_tie():
    votes, errors = decide_sums(np.zeros(1), np.array([1e-9]), 2)
    assert abs(votes[0]) == 1
    assert errors[0] == pytest.approx(1, abs=1e-6)
    assert math.isfinite(decide_shares(np.array([0.5]), np.array([0.0]), 2)[1][0])
