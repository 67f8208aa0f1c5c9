"""The benchmark of the paper's promise: its design covers, its truth is the truth, and it sees an undercharge."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, product

import numpy as np
import pytest

from benchmarks import privacy_channels
from benchmarks.privacy_cells import FACTORS, covered, design, fits, overrides, targets
from benchmarks.privacy_play import (
    IN_BAND_CYCLES,
    OUT_OF_BAND_CYCLES,
    audited_epsilon,
    combined,
    drawn_values,
    judge,
    play,
)
from benchmarks.privacy_witness import Observation, tone
from radio.config import FrameConfig
from radio.waveform.modulation import matched_filter
from testbed.api import load
from testbed.audit.witness import witness
from testbed.planning.ledger import Ledger
from testbed.planning.terms import terms_of
from testbed.privacy.gaussian import epsilon_of
from testbed.rounds.round import round_seed

PLAIN = {
    "snr": "47 dB",
    "fading": "rayleigh blocks",
    "csi": "short pilots",
    "drift": "0 dB",
    "receiver": "own",
    "retries": "0",
    "schedule": "online",
    "claim": "coherent, receiver",
}
GENIE = {**PLAIN, "csi": "genie", "snr": "5 dB"}


def settings(cell, num_rounds=6):
    return overrides(cell, num_rounds=num_rounds, seed=3)


# ---- the design


@pytest.mark.parametrize("strength", [2, 3])
def test_every_pair_of_levels_that_fit_is_in_some_cell(strength):
    cells = design(strength, seed=1)
    assert len(cells) <= 300
    assert all(fits(cell) and list(cell) == list(FACTORS) for cell in cells)
    pairs = set().union(*(covered(cell, 2) for cell in cells))
    assert targets(2) <= pairs
    assert targets(strength) <= set().union(*(covered(cell, strength) for cell in cells))


def test_a_pair_is_left_out_only_where_no_whole_cell_could_hold_it():
    possible = set()
    for levels in product(*FACTORS.values()):
        cell = dict(zip(FACTORS, levels, strict=True))
        if fits(cell):
            possible |= covered(cell, 2)
    assert targets(2) == possible


def test_a_design_follows_from_its_seed():
    assert design(2, seed=4) == design(2, seed=4)
    assert design(2, seed=4) != design(2, seed=5)


# ---- the truth


def seen(noise_std, *, gain=2.0, noise_variance=0.5):
    return Observation(
        directions={0: np.array([gain])},
        values={0: 0.25 + 0.1 * noise_std},
        noise={0: np.array([0.3])},
        noise_variance=noise_variance,
        noise_std=noise_std,
    )


def test_attempts_that_repeat_a_value_under_one_noise_add_their_precisions_below_it():
    exact = np.array([[0.25]])
    alone, _ = combined([seen(3.0)], exact, 0, stronger=1.0)
    twice, _ = combined([seen(3.0), seen(3.0)], exact, 0, stronger=1.0)
    assert 1 / alone == pytest.approx(0.5 / 4 + 9.0, rel=1e-6)
    assert 1 / twice == pytest.approx(0.5 / 8 + 9.0, rel=1e-6)


def test_one_draw_under_two_noises_gives_the_value_away():
    exact = np.array([[0.25]])
    precision, missed = combined([seen(3.0), seen(4.0)], exact, 0, stronger=math.inf)
    assert precision > 1e5
    assert missed == pytest.approx(0.0, abs=1e-5)


def test_fresh_noise_in_every_attempt_is_averaged():
    first, second = seen(3.0), replace(seen(3.0), values={0: 0.25 - 0.7})
    precision, _ = combined([first, second], np.array([[0.25]]), 0, stronger=math.inf)
    assert 1 / precision == pytest.approx(4.5, rel=1e-6)


def test_a_better_receiver_has_so_much_less_noise():
    exact = np.array([[0.25]])
    own, missed = combined([seen(0.0)], exact, 0, stronger=1.0)
    better, missed_better = combined([seen(0.0)], exact, 0, stronger=100.0)
    assert better == pytest.approx(100 * own, rel=1e-4)
    assert missed_better == pytest.approx(missed / 10, rel=1e-4)


def test_what_the_air_remembers_adds_up_to_what_the_access_point_received():
    played = play(load(None, None, settings(GENIE)))
    assert [record.round for record in played.records if record.received] == sorted(played.rounds)
    for record in played.records:
        (attempt,) = played.rounds[record.round]
        assert attempt.values == pytest.approx(dict(enumerate(played.exact[record.round][:, 0])), abs=1e-6)
        parts = attempt.noise + sum(attempt.directions[k] * attempt.values[k] for k in attempt.values)
        (received,) = record.received
        assert math.hypot(*parts) == pytest.approx(math.hypot(*received), rel=1e-5)


def test_on_samples_every_device_arrives_with_the_energy_of_its_whole_symbol():
    played = play(load(None, None, settings({**PLAIN, "retries": "0.25"})))
    frame = played.config.rig.frame
    for record in (record for record in played.records if record.gain):
        attempt = played.rounds[record.round][-1]
        expected = record.gain * math.sqrt(frame.symbol_samples)
        for device, direction in attempt.directions.items():
            assert direction[0] == pytest.approx(expected, rel=0.2), device  # estimated channels at 47 dB, and delays
        variance = played.config.rig.air.noise_power(played.config.rig.radio.max_power) / 2
        assert attempt.noise_variance == pytest.approx(variance)


def test_the_noise_that_a_twin_air_leaves_over_is_the_air_s_own():
    played = play(load(None, None, settings(PLAIN, num_rounds=12)))
    noise = np.array([each.noise[k][0] for each in chain(*played.rounds.values()) for k in each.noise])
    variance = played.rounds[0][0].noise_variance
    # devices share one capture, so there are only 12 independent values: chi-squared within 5 standard deviations
    assert np.mean(noise**2) == pytest.approx(variance, rel=5 * math.sqrt(2 / 12))


@pytest.mark.parametrize("cell", [GENIE, {**PLAIN, "fading": "doppler 20 Hz", "drift": "0.75 dB"}])
def test_two_witnesses_built_in_different_ways_agree_on_what_arrived(cell):
    """This one asks the air for its gains and the transmitter for frames; the audit's has each device arrive alone."""
    config = load(None, None, settings(cell))
    clip = config.experiment.learner.clip
    ours = play(config)
    theirs = witness(config, scalars=lambda t, devices: drawn_values(round_seed(3, t), len(devices), clip))
    compared = 0
    for index, attempts in theirs.rounds().items():
        for one, other in zip(ours.rounds[index], attempts, strict=True):
            for sent in other.sent:
                energy = float(np.sum(one.directions[sent.device] ** 2)) / config.rig.frame.samples_per_symbol
                assert one.values[sent.device] == pytest.approx(sent.values[0], abs=1e-5 * clip)
                if abs(sent.values[0]) > 0.2 * clip:  # beside which the tails of neighbouring pilots are small
                    assert energy == pytest.approx(sent.energies[0], rel=0.02)
                    compared += 1
    assert compared >= 15


@pytest.mark.parametrize(("cycles", "lands"), [(IN_BAND_CYCLES, True), (OUT_OF_BAND_CYCLES, False)])
def test_a_jammer_lands_on_the_payload_s_band_or_not(cycles, lands):
    frame = FrameConfig()
    heard = tone(1.0, cycles)(1000, frame.num_samples(1)).astype(np.complex64)
    power = abs(matched_filter(heard, 1, frame)[0]) ** 2
    assert (power > 1e-2) == lands
    assert power < 1e-6 or lands


@pytest.mark.parametrize(("cell", "reason"), [(PLAIN, "saturated"), (GENIE, "lost the samples")])
def test_captures_are_spoiled_so_that_the_access_point_itself_rejects_them(cell, reason):
    played = play(load(None, None, settings(cell)), spoil_rate=1.0)
    assert all(reason in record.reason for record in played.records)
    attempts = [len(each) for each in played.rounds.values()]
    assert max(attempts) == 3


# ---- charged against true


@pytest.mark.parametrize(
    "cell",
    [
        GENIE,
        {**GENIE, "retries": "0.5", "receiver": "jammer in band", "schedule": "paper"},
        {**GENIE, "claim": "coherent, devices", "retries": "0.5", "schedule": "static"},
        {**PLAIN, "retries": "0.5", "claim": "sign, receiver", "drift": "0.75 dB"},
        {**PLAIN, "csi": "reciprocity", "fading": "rician-5 blocks", "schedule": "reversed"},
        {**PLAIN, "fading": "doppler 20 Hz", "receiver": "+10 dB"},
        {**PLAIN, "receiver": "jammer out of band", "schedule": "solution"},
        {**PLAIN, "receiver": "two antennas", "claim": "sign, receiver", "csi": "long pilots"},
        {**GENIE, "fading": "doppler 20 Hz", "claim": "coherent, devices", "retries": "0.25"},
    ],
    ids=lambda cell: ", ".join(cell.values()),
)
def test_no_device_leaks_more_than_was_charged(cell):
    found = judge(cell, settings(cell, num_rounds=8), failure=1e-4)
    assert found.refused is None
    assert found.num_rounds >= 4
    assert 0 < found.true <= found.charged * (1 + 1e-6) <= found.target * (1 + 2e-6)
    assert found.audited <= found.charged


def test_on_exact_channels_nothing_is_charged_beyond_the_truth():
    found = judge(GENIE, settings(GENIE), failure=1e-4)
    assert found.true_over_charged == pytest.approx(1.0, rel=1e-3)


def test_half_a_charge_is_seen(monkeypatch):
    whole = Ledger.charge
    monkeypatch.setattr(
        Ledger, "charge", lambda self, t, n, rho, *rest, **named: whole(self, t, n, rho / 2, *rest, **named)
    )
    found = judge(GENIE, settings(GENIE), failure=1e-4)
    assert found.true_rho == pytest.approx(2 * found.charged_rho, rel=1e-3)
    assert found.true_over_charged > 1.2


# ---- what residuals prove


def test_the_audited_epsilon_exceeds_the_true_one_no_more_often_than_allowed():
    terms = terms_of(load(None, None, settings(GENIE)))
    generator, num, failure = np.random.default_rng(1), 2000, 0.05
    charged = np.full(20, 0.1)
    true = epsilon_of(2.0, terms.accountant.dp_delta)
    std = terms.sensitivity / math.sqrt(0.2)
    exceeded = sum(
        audited_epsilon(terms, charged, generator.normal(0, std, 20), failure=failure) > true for _ in range(num)
    )
    assert exceeded <= num * failure + 4 * math.sqrt(num * failure * (1 - failure))
    assert exceeded >= num * failure - 4 * math.sqrt(num * failure * (1 - failure))  # the bound is exact


def test_noise_that_is_not_there_is_proven_to_be_missing():
    terms = terms_of(load(None, None, settings(GENIE)))
    charged = np.full(20, 0.1)
    deviations = np.random.default_rng(2).normal(0, terms.sensitivity / math.sqrt(0.2) / 5, 20)
    assert audited_epsilon(terms, charged, deviations, failure=1e-4) > epsilon_of(2.0, terms.accountant.dp_delta)


# ---- the command


def test_figures_table_and_picture_come_from_the_judged_cells(tmp_path):
    cells = privacy_channels.jobs(2, 4, seed=1, num_cells=2)
    with ThreadPoolExecutor(1) as pool:
        found = privacy_channels.play_all(cells, pool)
    result = privacy_channels.summary(found)
    assert json.loads(json.dumps(result))["cells"] == 4
    text = privacy_channels.markdown(found)
    assert all(level in text for levels in FACTORS.values() for level in levels)
    privacy_channels.picture(found).savefig(tmp_path / "cells.png")
