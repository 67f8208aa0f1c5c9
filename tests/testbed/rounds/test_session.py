"""A session alone: begun with a model that is a few bytes, cut off at any record, resumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from radio.air.config import AirConfig
from radio.link.simulated_rig import SimulatedRig
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.errors import JournalError
from testbed.planning.ledger import Ledger
from testbed.planning.terms import terms_of
from testbed.results import journal as j
from testbed.rounds.resume import resume
from testbed.rounds.session import begin, promise_of

CONFIG = resolve(load(None, None, ["num_devices=2", "rounds.num=5", "ground_truth=false", "schedule.name=static"]))


@dataclass
class FakeReplica:
    """A model that is saved as its name."""

    num_parameters: int = 3

    def fingerprint(self) -> str:
        return "f" * 64

    def save_weights(self, path: Path) -> None:
        path.write_bytes(b"weights")


def result(round_index: int, status: j.Status = "ok") -> j.Result:
    used = (0.5,) if status == "ok" else ()
    return j.Result(round=round_index, attempt=1, status=status, seed=1, estimates=used, coefficients=used)


def begun(out: Path, *records: j.AnyRecord) -> Path:
    session = begin(CONFIG, out, FakeReplica())  # type: ignore[arg-type]
    for record in records:
        session.journal.append(record)
    session.journal.close()
    return out


def test_a_run_begins_with_its_start_and_its_promise_on_disk(tmp_path):
    path = begun(tmp_path / "run")
    start, promise = j.read(path / "journal.bin")
    assert isinstance(start, j.Start)
    assert start.initial_fingerprint == "f" * 64
    assert promise == promise_of(CONFIG)
    assert (path / "checkpoints" / "initial.safetensors").read_bytes() == b"weights"


def test_a_charge_without_a_result_is_a_skipped_round_and_never_repeated(tmp_path):
    spent = [j.Spent(round=t, attempt=1, rho=0.1) for t in range(2)]
    path = begun(tmp_path / "run", spent[0], result(0), spent[1])
    session = resume(path)
    assert [record.status for record in session.records] == ["ok", "skipped"]
    assert session.next_round == 2
    session.journal.close()


def test_what_the_journal_holds_is_in_the_rounds_file_after_a_resume(tmp_path):
    path = begun(tmp_path / "run", result(0), result(1, "silent"), result(2, "rejected"))
    session = resume(path)
    session.journal.close()
    assert [record.status for record in session.directory.read_rounds()] == ["ok", "silent", "rejected"]


def test_a_resumed_run_that_would_promise_something_else_is_refused(tmp_path):
    path = begun(tmp_path / "run")
    config = path / "config.toml"
    config.write_text(config.read_text().replace("dp_epsilon = 5.0", "dp_epsilon = 50.0"))
    with pytest.raises(JournalError, match="promises another privacy budget"):
        resume(path)


def test_a_rounds_file_ahead_of_the_journal_is_refused(tmp_path):
    path = begun(tmp_path / "run", result(0))
    early = (path / "journal.bin").read_bytes()
    session = resume(path)
    session.journal.append(result(1))
    session.journal.close()
    resume(path).journal.close()
    (path / "journal.bin").write_bytes(early)
    with pytest.raises(JournalError, match=r"rounds\.jsonl holds round 2, of which the journal knows nothing"):
        resume(path)


def test_a_budgeted_run_without_its_promise_is_refused(tmp_path):
    path = begun(tmp_path / "run")
    start = j.read(path / "journal.bin")[0]
    (path / "journal.bin").unlink()
    j.Journal.begun(path / "journal.bin", start).close()
    with pytest.raises(JournalError, match="holds no promise"):
        resume(path)


def test_what_once_voided_the_claim_voids_it_after_every_resume(tmp_path):
    path = begun(tmp_path / "run", j.Spent(round=0, attempt=1, rho=0.01, void="scalars were sent."), result(0))
    session = resume(path)
    session.journal.close()
    ledger = Ledger(None, terms_of(CONFIG), past=session.journal.records)
    assert ledger.statement == "VOID: no privacy is claimed: scalars were sent."


@pytest.mark.parametrize(
    "changed", ["bounds.doppler_max_hz=0", "radio.max_power_dbfs=-7", "learner.clip=99", "rounds.min_devices=1"]
)
def test_whatever_a_claim_rests_on_is_part_of_its_promise(changed):
    small = ["num_devices=2", "rounds.num=5", "ground_truth=false", "schedule.name=static"]
    assert promise_of(resolve(load(None, None, [*small, changed]))) != promise_of(CONFIG)
    assert promise_of(resolve(load(None, None, [*small, "control.radio_timeout_s=9"]))) == promise_of(CONFIG)


def test_a_journal_of_version_3_goes_on_and_says_that_bits_may_differ(tmp_path):
    path = begun(tmp_path / "run")
    start, promise = j.read(path / "journal.bin")
    assert isinstance(start, j.Start)
    (path / "journal.bin").unlink()
    older = j.Start(version=3, run_id=start.run_id, initial_fingerprint=start.initial_fingerprint)
    j.Journal.begun(path / "journal.bin", older, promise, result(0)).close()
    session = resume(path)
    assert session.memory is None
    assert session.clock_samples == 0
    assert session.next_round == 1
    assert "rounds from 1 on may differ in bits" in session.caution
    session.journal.close()


def test_a_round_that_was_cut_off_leaves_the_memory_of_the_round_before(tmp_path):
    memory = SimulatedRig(AirConfig(), num_devices=2).access_point.memory()
    remembered = msgspec.structs.replace(result(0), memory=memory)
    path = begun(tmp_path / "run", remembered, j.Spent(round=1, attempt=1, rho=0.1))
    session = resume(path)
    assert session.results == [remembered, session.results[1]]
    assert (session.results[1].status, session.results[1].memory) == ("skipped", None)
    assert session.memory == memory
    assert session.caution is None
    session.journal.close()


def test_results_out_of_order_are_refused(tmp_path):
    path = begun(tmp_path / "run", result(1), result(0))
    with pytest.raises(JournalError, match="the result of round 2 where that of round 1 belongs"):
        resume(path)
