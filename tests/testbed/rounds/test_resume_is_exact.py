"""A run that is cut off and resumed is the run that was never cut off, bit for bit: whole runs, each against itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from benchmarks.faults.disk import Disk, Image, image_of, restore, writing_to
from radio.link.block import Channels
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.rounds import loop, processes
from testbed.rounds import resume as resuming
from testbed.rounds.processes import run_in_one_process
from testbed.rounds.round import AccessPoint, Round, round_seed

NUM_ROUNDS = 6
TINY = ("num_devices=2", f"rounds.num={NUM_ROUNDS}", "rounds.eval_every=4", "task.num_test=8", "learner.batch_size=2")
TIMES = ("learner_s", "radio_s", "control_s", "wall_s")
PRIVATE = "ground_truth=false"
COUNTED = ("clock.trigger=false", "frame.start_uncertainty_samples=2000", "air.start_jitter_samples=300")

FEW = [
    ("loopback", "scheme.name=coherent"),
    ("loopback", "scheme.name=coherent", "air.doppler_hz=2", *COUNTED),
    ("awgn", "scheme.name=sign", "schedule.name=static", PRIVATE),
    ("loopback", "scheme.name=coherent", "air.level=symbol", "schedule.name=online", PRIVATE),
    ("loopback", "scheme.name=digital", "update.shrinkage=true", "update.noise_aware_step=true"),
    ("pluto_indoor", "scheme.name=energy"),
    ("pluto_indoor", "scheme.name=energy", "scheme.csi=reciprocity", "clock.trigger=true"),
    (
        "ideal",
        "scheme.name=ideal",
        "update.momentum=0.5",
        "update.normalise=std",
        "update.decay=cosine",
        "learner.num_queries=2",
        "learner.estimator=one_sided",
    ),
]
ALL = [
    (rig, f"scheme.name={scheme}", f"air.level={level}", *more)
    for rig, levels in (
        ("loopback", ("symbol", "sample")),
        ("awgn", ("symbol", "sample")),
        ("pluto_indoor", ("sample",)),
    )
    for level in levels
    for scheme in ("coherent", "sign", "energy", "fsk_vote", "digital")
    for more in (
        (),
        ("update.shrinkage=true", "update.noise_aware_step=true"),
        *((f"schedule.name={schedule}", PRIVATE) for schedule in ("static", "online", "paper", "solution")),
    )
    if not (rig == "pluto_indoor" and scheme in ("coherent", "sign"))  # its crystals run apart
    if not (more and more[0] == "schedule.name=paper" and scheme not in ("coherent", "sign"))
]


def config_of(rig: str, *overrides: str) -> RunConfig:
    return resolve(load(rig, None, [*TINY, *overrides]))


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """Nobody reads the reports of these runs, which take longer than the rounds."""
    monkeypatch.setattr(processes, "write_report", lambda directory: None)


class Counting(loop.Quiet):
    """Knows how far a run is."""

    num_rounds = 0

    def round_done(self, record) -> None:
        self.num_rounds = record.round + 1


def stopped_after(config: RunConfig, path: Path, cuts: tuple[int, ...]) -> None:
    """The run, stopped after so many rounds each time, and resumed."""
    for number, cut in enumerate((*cuts, NUM_ROUNDS)):
        seen = Counting()
        run_in_one_process(
            config,
            out=None if number else path,
            resume=path if number else None,
            progress=seen,
            should_stop=lambda seen=seen, cut=cut: seen.num_rounds >= cut,
        )


def left_by(path: Path) -> tuple[list[bytes], list[bytes], str | None]:
    """What a run left: its rounds without times, its journal without the run's name, its final weights' fingerprint.

    As bytes, so that NaN equals NaN and no bit is overlooked.
    """
    directory = RunDirectory.open(path)
    untimed = [msgspec.structs.replace(record, **dict.fromkeys(TIMES, 0.0)) for record in directory.read_rounds()]
    return (
        [msgspec.msgpack.encode(record) for record in untimed],
        [msgspec.msgpack.encode(record) for record in j.read(directory.journal)[1:]],
        directory.read_info().final_fingerprint,
    )


def check_exact(case: tuple[str, ...], tmp_path: Path, cuts: tuple[int, ...]) -> None:
    config = config_of(*case)
    run_in_one_process(config, out=tmp_path / "at once")
    stopped_after(config, tmp_path / "in parts", cuts)
    expected, found = left_by(tmp_path / "at once"), left_by(tmp_path / "in parts")
    assert found == expected
    assert len(expected[0]) >= max(cuts)


@pytest.mark.parametrize("case", FEW, ids=" ".join)
def test_a_run_that_was_stopped_and_resumed_is_the_run_at_once(case, tmp_path):
    check_exact(case, tmp_path, (1, 4))


@pytest.mark.long
@pytest.mark.parametrize("case", ALL, ids=" ".join)
def test_so_it_is_of_every_scheme_schedule_and_rig_after_every_round(case, tmp_path):
    check_exact(case, tmp_path, tuple(range(1, NUM_ROUNDS)))


def test_so_it_is_with_rounds_that_need_another_attempt(tmp_path, monkeypatch):
    receive = Channels.receive

    def receiving(channels, plan, poll):
        """The first attempt of two rounds of three is not to be trusted."""
        reception = receive(channels, plan, poll)
        air = channels._receiver.radio._medium
        if plan.round_index % 3 == 0 or air._attempt > 1:
            return reception
        return replace(reception, estimate=replace(reception.estimate, rejected="receiver saturated"))

    monkeypatch.setattr(Channels, "receive", receiving)
    check_exact(("loopback", "schedule.name=online", PRIVATE, *COUNTED), tmp_path, (2, 3))
    records = RunDirectory.open(tmp_path / "at once").read_rounds()
    assert [record.status for record in records] == ["ok", "retried", "retried", "ok", "retried"]  # and no budget left


# ---- cut off at any call of the disk

WATCHED = ("loopback", "rounds.num=3", "update.noise_aware_step=true", "air.snr_db=-5")


class Filmed(Disk):
    """A disk of which an image is kept before every call, and one of every write that was cut in half."""

    images: dict[tuple[bytes, bytes], Image]

    def _call(self, some: Callable[[], None] = lambda: None, *, may_fail: bool = True) -> None:
        super()._call(some, may_fail=may_fail)
        if (self._folder / "journal.bin").exists() and (self._folder / "checkpoints" / "initial.safetensors").exists():
            image = image_of(self._folder)
            self.images.setdefault((image["journal.bin"], image["rounds.jsonl"]), image)


def filmed(config: RunConfig, path: Path) -> list[Image]:
    """A run at once, and what a crash before each of its calls would have left."""
    disk = Filmed(path, None)  # type: ignore[arg-type]
    disk.images = {}
    with writing_to(disk):
        run_in_one_process(config, out=path)
    return [image for image in disk.images.values() if image["journal.bin"] and "summary.json" not in image]


def without_round(config: RunConfig, path: Path, round_index: int, spent: j.Spent, patch: pytest.MonkeyPatch) -> None:
    """The oracle: a run at once, whose access point charges a round and leaves it out.

    It sounds nobody, so its clock, its receiver and its schedule stay as they were; nothing of it was ever resumed.
    """
    play = AccessPoint.play

    def playing(access_point: AccessPoint, index: int) -> Round:
        if index != round_index:
            return play(access_point, index)
        access_point.ledger.charge(index, 1, spent.rho)
        seed = round_seed(config.experiment.seed, index)
        left_out = j.Result(round=index, attempt=1, status="skipped", seed=seed, estimates=(), coefficients=())
        access_point.journal.append(left_out)
        access_point.roster.tell(
            m.RoundResult(round=index, seed=seed, status="skipped", coefficients=(), fingerprint=None)
        )
        return Round(record=resuming._recovered(left_out, config))

    with patch.context() as patched:
        patched.setattr(AccessPoint, "play", playing)
        run_in_one_process(config, out=path)


def test_a_run_that_is_cut_off_at_any_call_of_the_disk_is_the_run_without_the_round_that_was_charged(
    tmp_path, monkeypatch
):
    """A round that was charged and has no result is left out, and all else is as if nothing had happened."""
    config = config_of(*WATCHED)
    images = filmed(config, tmp_path / "whole")
    whole = left_by(tmp_path / "whole")
    spent = {
        record.round: record for record in j.read(tmp_path / "whole" / "journal.bin") if isinstance(record, j.Spent)
    }
    expected = {None: whole}
    for round_index, charge in spent.items():
        path = tmp_path / f"without {round_index}"
        without_round(config, path, round_index, charge, monkeypatch)
        expected[round_index] = left_by(path)
    seen = Counter[int | None]()
    for number, image in enumerate(images):
        path = restore(image, tmp_path / f"cut {number}")
        (path / "checkpoints").mkdir()
        weights = (tmp_path / "whole" / "checkpoints" / "initial.safetensors").read_bytes()
        (path / "checkpoints" / "initial.safetensors").write_bytes(weights)
        held = j.read(path / "journal.bin")
        results = {record.round for record in held if isinstance(record, j.Result)}
        charged = {record.round for record in held if isinstance(record, j.Spent)} - results
        lines = len(RunDirectory.open(path).read_rounds())
        run_in_one_process(config, resume=path)
        (round_index,) = charged or {None}
        recovered = {*charged, *range(lines, len(results))}  # of their records, only the journal's part is known
        found, oracle = left_by(path), expected[round_index]
        assert found[1:] == oracle[1:]
        assert [line for t, line in enumerate(found[0]) if t not in recovered] == [
            line for t, line in enumerate(oracle[0]) if t not in recovered
        ]
        seen[round_index] += 1
    assert set(seen) == {None, 0, 1, 2}
