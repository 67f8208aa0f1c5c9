"""The audit of a run and of an experiment: what it says, what it refuses, and what real canaries show."""

import numpy as np
import pytest

from testbed.audit import audit as module
from testbed.audit.attacker import Heard, RoundHeard, averaged, solved, true_rho
from testbed.audit.audit import audit_run
from testbed.audit.canaries import measured_shifts
from testbed.audit.lab import play_many
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.errors import RunDirectoryError
from testbed.hosts import local_work
from testbed.hosts.local_work import load_model_and_task
from testbed.rounds.processes import run_in_one_process

SHORT = [
    "ground_truth=false", "rounds.num=12", "rounds.eval_every=1000", "task.num_test=16", "task.num_train=200",
    "schedule.name=static", "air.level=symbol", "air.csi=genie", "air.snr_db=0",
]  # fmt: skip


def short(*overrides):
    return resolve(load(None, None, [*SHORT, *overrides]))


def heard(residual, sigma=1.0, draw=0.0, receiver=0.0):
    return Heard(
        residual=np.array([residual]),
        noise_std=sigma,
        unit_noise=np.array([draw]),
        receiver=receiver,
        public_noise=np.zeros(1),
    )


def test_the_least_variance_of_a_round_is_that_of_its_best_combination():
    def rho(*each):
        return true_rho(RoundHeard(round=0, rho=0.0, heard=each), 2.0)

    once = heard(0.5, sigma=2.0, draw=0.25)
    assert rho(once) == pytest.approx(2 / 4)
    assert rho(once, once) == pytest.approx(2 / 4)  # said twice, known once
    assert rho(once, heard(0.1, sigma=2.0, draw=0.9)) == pytest.approx(2 / 2)  # drawn anew: half the variance
    assert rho(once, heard(0.25, sigma=1.0, draw=0.25)) > 1e6  # two equations
    assert rho(heard(0, 0.0, receiver=1.0), heard(0, 0.0, receiver=3.0)) == pytest.approx(2 / 0.75)
    assert rho() == 0
    assert rho(heard(0, 0.0)) == np.inf


def test_two_noises_are_solved_and_several_hearings_averaged():
    twice = RoundHeard(round=0, rho=1.0, heard=(heard(3.0, sigma=1.0), heard(6.0, sigma=2.0)))
    np.testing.assert_allclose(solved(twice), 0)
    again = RoundHeard(round=0, rho=1.0, heard=(heard(3.0, receiver=1.0), heard(6.0, receiver=2.0)))
    np.testing.assert_allclose(averaged(again), 4)
    assert solved(again) is None
    assert averaged(RoundHeard(round=0, rho=1.0, heard=(heard(1.0),))) is None


@pytest.mark.parametrize(
    "overrides",
    [
        ["privacy.level=client", "learner.clip=3"],
        ["privacy.level=example", "privacy.example_clip=2"],
        ["privacy.level=example", "privacy.example_clip=2", "privacy.adjacency=remove", "privacy.batch_rate=0.5"],
        ["scheme.name=sign"],
    ],
)
def test_the_worst_canary_moves_a_device_by_what_is_charged_and_no_more(overrides):
    config = short(*overrides)
    found = measured_shifts(config, load_model_and_task(config), num_rounds=10)
    assert found.refutation is None
    if overrides != ["scheme.name=sign"]:
        assert found.moved.max() == pytest.approx(found.sensitivity, rel=1e-3)


@pytest.mark.parametrize("overrides", [[], ["scheme.name=digital", "air.snr_db=20"]])
def test_a_run_is_played_again_and_judged_by_all_that_it_radiated(tmp_path, overrides):
    run_in_one_process(short(*overrides), out=tmp_path / "run")
    before = (tmp_path / "run" / "journal.bin").read_bytes()
    found = audit_run(tmp_path / "run")
    assert found.refuted is None
    assert found.verdict is not None
    assert found.text.startswith("NOT REFUTED")
    for part in ("claim:", "the limit of so many values", "canaries of this one run", "for any mechanism"):
        assert part in found.text
    assert (tmp_path / "run" / "journal.bin").read_bytes() == before
    assert found.verdict.proven_epsilon <= found.claimed_epsilon


def test_a_run_without_noise_is_refuted_first_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr(local_work, "artificial_noise", lambda source, t, num: np.zeros(num))
    run_in_one_process(short("scheme.name=digital", "air.snr_db=20"), out=tmp_path / "run")
    found = audit_run(tmp_path / "run", max_rounds=6)
    assert found.text.startswith("REFUTED: ")
    assert "times as strong as was charged" in found.refuted


def test_a_run_that_cannot_be_played_again_is_attacked_by_what_it_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_played_again", lambda *given: None)
    run_in_one_process(short(), out=tmp_path / "sum")
    found = audit_run(tmp_path / "sum")
    assert found.verdict is None
    assert "could not be played again" in found.text
    run_in_one_process(short("scheme.name=digital", "air.snr_db=20"), out=tmp_path / "each")
    with pytest.raises(RunDirectoryError, match="could not be played again as it was recorded, and got scheme 'dig"):
        audit_run(tmp_path / "each")


def test_the_laboratory_plays_many_short_runs():
    found = play_many(short("rounds.num=6"), num_runs=3, failure=1e-3)
    assert found.refutations == ()
    assert found.num_releases == 18
    assert 0 < found.proven_epsilon < found.claimed_epsilon
