"""Privacy through the real command line: plans, budgets that end runs, ledgers that survive SIGKILL, audits."""

import json
import signal
import time

import numpy as np
import pytest

from testbed.audit.audit import audit_run
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.errors import JournalError, RunDirectoryError
from testbed.planning.terms import terms_of
from testbed.results import journal as j
from testbed.rounds.processes import run_in_one_process
from testbed.rounds.resume import resume
from tests.system.conftest import GIVE_UP_S

SHORT = ["--set", "task.num_test=64", "--set", "rounds.eval_every=1000", "--set", "ground_truth=false"]
UNTRUSTED = [
    "ground_truth=false", "rounds.num=60", "rounds.eval_every=60", "task.num_test=64", "schedule.name=static",
    "air.level=symbol", "air.csi=genie", "air.snr_db=60", "privacy.receiver_noise=untrusted",
]  # fmt: skip


def spent(run):
    return [record for record in j.read(run / "journal.bin") if isinstance(record, j.Spent)]


def budget(*overrides):
    config = resolve(load(None, None, [text for text in overrides if text != "--set"]))
    return terms_of(config).accountant.limit


def kill_after_spending(process, run, num_records):
    while not ((run / "journal.bin").exists() and (run / "journal.bin").stat().st_size > 100 * num_records):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=GIVE_UP_S)


@pytest.mark.parametrize("schedule", [pytest.param("static", marks=pytest.mark.long), "online"])
def test_a_ledger_survives_sigkill_and_the_run_never_overspends(bench, schedule):
    options = [*SHORT, "--set", "rounds.num=80", "--set", f"schedule.name={schedule}", "--set", "air.snr_db=0"]
    run = bench.directory / "run"
    kill_after_spending(bench.start("run", "--out", "run", *options), run, 5)
    before = spent(run)
    kill_after_spending(bench.start("run", "--resume", "run"), run, 40)
    between = spent(run)
    done = bench.run("run", "--resume", "run")
    assert done.returncode == 0, done.stderr
    after = spent(run)
    assert after[: len(between)] == between
    assert between[: len(before)] == before
    assert len({(record.round, record.attempt) for record in after}) == len(after)
    total = sum(record.rho for record in after)
    assert 0 < total <= budget(*options)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["rho_spent"] == pytest.approx(total)
    assert summary["epsilon_spent"] <= 5
    assert "differential privacy at client level" in summary["privacy"]
    assert "Threat model" in (run / "report.html").read_text()
    audited = bench.run("audit", "run")
    assert audited.returncode == 0, audited.stderr
    assert audited.stdout.startswith("NOT REFUTED")
    assert "Threat model" in audited.stdout


def test_a_run_that_has_spent_everything_stops_and_says_so(bench):
    """A budget for one round is gone after the first, however many rounds the configuration is made to ask for."""
    options = ["rounds.num=1", "schedule.name=static", "air.snr_db=0", "air.level=symbol", "air.csi=genie"]
    options += ["ground_truth=false", "task.num_test=64"]
    run = bench.directory / "run"
    run_in_one_process(resolve(load(None, None, options)), out=run)
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("num = 1\n", "num = 30\n", 1))
    done = bench.run("run", "--resume", "run")
    assert done.returncode == 0, done.stderr
    summary = json.loads((run / "summary.json").read_text())
    assert "privacy budget" in summary["stopped"]
    assert summary["rho_spent"] <= budget(*options)


def test_a_resumed_run_cannot_be_given_another_budget(tmp_path):
    options = ["rounds.num=2", "schedule.name=static", "air.snr_db=0", "ground_truth=false", "task.num_test=64"]
    run_in_one_process(resolve(load(None, None, options)), out=tmp_path / "run")
    path = tmp_path / "run" / "config.toml"
    path.write_text(path.read_text().replace("dp_epsilon = 5.0", "dp_epsilon = 50.0"))
    with pytest.raises(JournalError, match="another privacy budget"):
        resume(tmp_path / "run")


def test_plan_shows_every_schedule_and_draws_a_picture(bench):
    options = ["--set", "schedule.name=online", "--set", "rounds.num=200", "--set", "ground_truth=false"]
    done = bench.run("plan", *options, "--set", "schedule.contraction=0.98", "--snr-db=-60,0,40")
    assert done.returncode == 0, done.stderr
    for part in ("solution", "online", "static", "reversed", "paper", "full", "SNR*", "Threat model", "x 1"):
        assert part in done.stdout
    assert (bench.directory / "plan.png").stat().st_size > 10_000
    assert "warning" not in done.stdout


def test_plan_warns_where_schedules_cannot_be_told_apart(bench):
    done = bench.run("plan", "--set", "schedule.name=static", "--set", "rounds.num=100", "--snr-db=-60,-50")
    assert "cannot tell them apart" in " ".join(done.stdout.split())
    assert "no privacy may be claimed" in " ".join(done.stdout.split())  # the quickstart reveals ground truth


@pytest.mark.parametrize("command", ["plan", "audit"])
def test_the_commands_have_help_with_an_example(bench, command):
    done = bench.run(command, "--help")
    assert done.returncode == 0
    assert f"testbed {command}" in done.stdout.replace("Usage: testbed", "")


def test_an_audit_catches_devices_that_add_no_noise(tmp_path, monkeypatch):
    config = resolve(load(None, None, UNTRUSTED))
    run_in_one_process(config, out=tmp_path / "honest")
    assert audit_run(tmp_path / "honest").refuted is None
    revealing = resolve(load(None, None, [*UNTRUSTED, "ground_truth=true", "rounds.num=1"]))
    run_in_one_process(revealing, out=tmp_path / "revealing")
    with pytest.raises(RunDirectoryError, match="nothing to audit"):
        audit_run(tmp_path / "revealing")
    monkeypatch.setattr("testbed.hosts.local_work.artificial_noise", lambda source, t, num: np.zeros(num))
    run_in_one_process(config, out=tmp_path / "broken")
    found = audit_run(tmp_path / "broken")
    assert found.finding.epsilon > found.claimed_epsilon
    assert found.refuted is not None
    assert "REFUTED" in found.text


@pytest.mark.long
def test_the_audit_never_exceeds_a_true_claim_over_20_seeds(tmp_path):
    for seed in range(1, 21):
        sampled = seed % 2 == 0
        example = ["privacy.level=example", "privacy.adjacency=remove", "privacy.batch_rate=0.05"] if sampled else []
        config = resolve(load(None, None, [*UNTRUSTED, "rounds.num=150", f"seed={seed}", *example]))
        run_in_one_process(config, out=tmp_path / f"{seed}")
        found = audit_run(tmp_path / f"{seed}")
        assert found.refuted is None
        assert found.finding.epsilon <= found.claimed_epsilon
