"""What a run says to hosts that come, from its record: a real session, in a real directory."""

from __future__ import annotations

import msgspec
import pytest

from testbed.control import messages as m
from testbed.control.proof import Proof
from testbed.control.seats import Loss
from testbed.control.transport import MAX_MESSAGE_BYTES
from testbed.errors import CrashError, RunDirectoryError, TestbedError
from testbed.hosts.proof import code_fingerprint, config_fingerprint, toolkit_fingerprint
from testbed.results import journal as j
from testbed.results.directory import MAX_TRACEBACKS
from testbed.rounds import office as offices
from testbed.rounds.office import RunOffice
from testbed.rounds.session import begin
from tests.testbed.rounds.test_session import CONFIG, FakeReplica

CODEC = m.control_codec()


@pytest.fixture
def office(tmp_path):
    session = begin(CONFIG, tmp_path / "run", FakeReplica())  # type: ignore[arg-type]
    yield RunOffice(session=session, air_address="tcp://127.0.0.1:5")
    session.journal.close()


def play(office: RunOffice, *, skipped: tuple[int, ...] = (), num: int = 1) -> None:
    for round_index in range(office.next_round, office.next_round + num):
        used = () if round_index in skipped else (0.5,)
        status: j.Status = "ok" if used else "skipped"
        office.session.journal.append(
            j.Result(round=round_index, attempt=1, status=status, seed=round_index, estimates=used, coefficients=used)
        )


def hello(**changed) -> m.Hello:
    said = m.Hello(
        protocol_version=5, host="h", instance="i", devices=(0,), run_id="", next_round=0, code=toolkit_fingerprint()
    )
    return msgspec.structs.replace(said, **changed)


def joined(office: RunOffice, **changed) -> m.Joined:
    proof = Proof(
        weights=office.session.info.initial_fingerprint,
        architecture="e" * 64,
        num_parameters=office.session.info.num_parameters,
        data="d" * 64,
        code=code_fingerprint(CONFIG),
        config=config_fingerprint(CONFIG),
    )
    return m.Joined(next_round=0, proof=msgspec.structs.replace(proof, **changed))


def test_a_welcome_has_all_that_a_host_must_know(office):
    play(office, num=2)
    said = office.welcome(hello())
    assert (said.run_id, said.next_round, said.air_address) == (office.session.info.run_id, 2, "tcp://127.0.0.1:5")
    assert said.config == CONFIG


def test_another_toolkit_and_a_host_ahead_are_refused(office):
    with pytest.raises(TestbedError, match=r"toolkit \(000000000000\) is not that of the access point"):
        office.welcome(hello(code="0" * 64))
    ahead = hello(run_id=office.session.info.run_id, next_round=1)
    with pytest.raises(TestbedError, match="the host is at round 1, the journal at 0"):
        office.welcome(ahead)
    assert office.welcome(msgspec.structs.replace(ahead, run_id="of another run")).next_round == 0


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_a_history_is_told_in_chunks_without_what_changed_nothing(office, chunk, monkeypatch):
    monkeypatch.setattr(offices, "RESULTS_PER_MESSAGE", chunk)
    play(office, num=7, skipped=(1, 2, 6))
    first, told = 0, []
    while first < office.next_round:
        said = office.results(first)
        assert (said.first, said.next_round) == (first, 7)
        assert first < said.until <= first + chunk
        told += said.results
        first = said.until
    assert [past.round for past in told] == [0, 3, 4, 5]
    assert office.results(7).until == 7
    with pytest.raises(TestbedError, match="the host is at round 8, the journal at 7"):
        office.results(8)


@pytest.mark.parametrize("num_queries", [1, 7, 30_000, 300_000])
def test_no_chunk_is_larger_than_a_message_may_be(num_queries):
    num = max(1, offices.RESULTS_PER_MESSAGE // num_queries)
    past = m.PastResult(round=2**40, seed=2**63 - 1, coefficients=(0.1,) * num_queries)
    said = m.Results(first=0, until=num, next_round=2**40, results=(past,) * num)
    assert len(CODEC.encode(said)) < MAX_MESSAGE_BYTES


def test_the_first_hosts_data_are_written_down_and_everyones_after(office):
    office.check(joined(office))
    assert office.session.directory.read_info().data_fingerprint == "d" * 64
    with pytest.raises(TestbedError, match="data: the host has 000000000000, the access point dddddddddddd"):
        office.check(joined(office, data="0" * 64))
    office.check(joined(office))


@pytest.mark.parametrize("kind", ["weights", "code", "config"])
def test_a_host_that_is_refused_leaves_no_data_behind(office, kind):
    with pytest.raises(TestbedError, match=f"{kind}: the host has 000000000000"):
        office.check(joined(office, **{kind: "0" * 64}))
    assert office.session.info.data_fingerprint is None


def test_data_that_could_not_be_written_down_are_not_remembered(office, monkeypatch):
    def full(*_, **__):
        raise RunDirectoryError("run.json: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(type(office.session.directory), "write_json", full)
        with pytest.raises(RunDirectoryError):
            office.check(joined(office))
    assert office.session.info.data_fingerprint is None


def test_a_loss_ends_a_run_of_one_process_only_if_its_host_said_so(office, tmp_path):
    said = Loss(devices=(0,), reason="no memory", trace="Traceback", is_said=True)
    office.lost(said)
    assert (tmp_path / "run" / "crash-1.txt").read_text().strip() == "Traceback"
    office.is_one_process = True
    office.lost(Loss(devices=(0,), reason="left"))
    with pytest.raises(CrashError, match="no memory"):
        office.lost(said)
    with pytest.raises(TestbedError, match="stopped"):
        office.lost(Loss(devices=(0,), reason="stopped", is_said=True))


def test_hosts_that_come_and_crash_for_ever_neither_fill_the_disk_nor_end_the_run(office):
    for serial in range(1, MAX_TRACEBACKS + 1):
        office.lost(Loss(devices=(0,), reason="r", trace=f"Traceback {serial}", is_said=True))
    for _ in range(10):
        office.lost(Loss(devices=(0,), reason="r", trace="the newest", is_said=True))
    kept = sorted(office.session.directory.path.glob("crash-*.txt"))
    assert len(kept) == MAX_TRACEBACKS
    assert (office.session.directory.path / f"crash-{MAX_TRACEBACKS}.txt").read_text() == "the newest"
