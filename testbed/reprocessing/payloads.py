"""Estimates the recorded rounds of a run again, with its own scheme or another that reads the same waveform."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radio.allowed import suggestion
from radio.errors import RadioError
from radio.link.reception import estimate_from
from radio.link.setup import LinkSetup, waveform_type
from radio.schemes.base import Scheme
from radio.schemes.registry import scheme, scheme_names
from testbed.bench.rig import capabilities, scheme_of
from testbed.config.schema import RunConfig
from testbed.errors import ConfigError, RunDirectoryError
from testbed.plugins import look_for
from testbed.reprocessing.records import PayloadAgain, PayloadsAgain
from testbed.results.directory import RunDirectory
from testbed.results.provenance import versions
from testbed.results.records import RoundRecord
from testbed.results.sigmf.reading import PayloadRecording, load_recording
from testbed.results.statistics import nmse_db

_REMEDY = "restore it from a copy, or leave it out"


def readable_by(own: Scheme, num_queries: int) -> tuple[str, ...]:
    """Names of the schemes that can estimate from what ``own`` receives: one waveform, as many symbols a value."""
    return tuple(name for name in scheme_names() if _reads(scheme(name), own, num_queries))


def reprocess_run(directory: RunDirectory, scheme_name: str | None = None) -> PayloadsAgain:
    """Every recorded round of a run.

    Raises ConfigError for a scheme that does not read what was recorded, RunDirectoryError where nothing is recorded.
    """
    config, info = directory.read_config(), directory.read_info()
    own = scheme_of(config)
    chosen = own if scheme_name is None else _chosen(scheme_name, own, config.experiment.learner.num_queries)
    receiver = _Receiver.of(config, own, chosen)
    metas = sorted(directory.captures.glob("*.sigmf-meta"))
    if not metas:
        raise RunDirectoryError(
            f"{directory.captures}: got no *.sigmf-meta; allowed: at least one; set results.max_capture_mib above 0"
        )
    records = {record.round: record for record in directory.read_rounds()}
    rounds = tuple(_again(meta, records, receiver) for meta in metas)
    compared = [each for each in rounds if each.problem is None]
    pooled = [(each.estimate, each.recorded, each.truth) for each in compared]
    known = [(new, old, truth) for new, old, truth in pooled if new and old and truth]
    return PayloadsAgain(
        run_id=info.run_id,
        scheme=chosen.name,
        run_scheme=own.name,
        rounds=rounds,
        nmse_db=_pooled((new, truth) for new, _, truth in known),
        recorded_nmse_db=_pooled((old, truth) for _, old, truth in known),
        num_same=sum(each.estimate == each.recorded for each in compared),
        num_same_sign=sum(_signs(each.estimate) == _signs(each.recorded) for each in compared),
        num_compared=len(compared),
        remarks=tuple(_remarks(config, own, chosen)),
        versions=versions(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Receiver:
    """How captures of this run are read."""

    own: Scheme
    chosen: Scheme
    setup: LinkSetup
    """Of the run's own scheme: what was on the air."""
    num_devices: int
    num_queries: int

    @classmethod
    def of(cls, config: RunConfig, own: Scheme, chosen: Scheme) -> _Receiver:
        rig = config.rig
        return cls(
            own=own,
            chosen=chosen,
            setup=LinkSetup.of(own, rig.frame, rig.radio, rig.num_devices, capabilities(rig)),
            num_devices=rig.num_devices,
            num_queries=config.experiment.learner.num_queries,
        )

    def fault_of(self, recording: PayloadRecording) -> str | None:
        """What of a recording is not this run's; None if all is."""
        keys, plan = recording.keys, recording.plan
        if keys.scheme != self.own.name:
            return f"airzero:scheme: got {keys.scheme!r}; allowed: {self.own.name!r}, the run's"
        if plan.num_queries != self.num_queries or plan.round_index != keys.round:
            return (
                f"airzero:plan: got {plan.num_queries} values of round {plan.round_index}; allowed: "
                f"{self.num_queries} of round {keys.round}"
            )
        if plan.active and plan.active[-1] >= self.num_devices:
            return f"airzero:plan: got device {plan.active[-1]}; allowed: 0 to {self.num_devices - 1}"
        slots = [None] if self.own.superposed else list(plan.active)
        if [each.device for each in recording.captured] != slots:
            return (
                f"captures: got {len(recording.captured)}; allowed: {len(slots)}, the payload or a slot of each device"
            )
        length = self.setup.waveform.payload_lengths(plan).capture_samples
        if any(each.samples.size != length for each in recording.captured):
            return f"captures: got {recording.captured[0].samples.size} samples; allowed: {length}"
        return None


def _reads(candidate: Scheme, own: Scheme, num_queries: int) -> bool:
    return (
        waveform_type(candidate) is waveform_type(own)
        and candidate.superposed
        and own.superposed
        and candidate.frame_symbols(num_queries) == own.frame_symbols(num_queries)
    ) or candidate.name == own.name


def _chosen(name: str, own: Scheme, num_queries: int) -> Scheme:
    look_for("scheme", name)
    if name not in scheme_names():
        raise ConfigError(f"--scheme: got {name!r}; {suggestion(name, scheme_names())}")
    chosen = scheme(name)
    if not _reads(chosen, own, num_queries):
        raise ConfigError(
            f"--scheme: got {name!r}, which reads another waveform than the recorded payloads of {own.name!r} have; "
            f"allowed: {', '.join(readable_by(own, num_queries))}"
        )
    return chosen


def _again(path: Path, records: Mapping[int, RoundRecord], receiver: _Receiver) -> PayloadAgain:
    try:
        recording = load_recording(path)
        if not isinstance(recording, PayloadRecording):
            raise RunDirectoryError(f"{path}: got a probe; allowed: the payload of a round; move it away")
        if (fault := receiver.fault_of(recording)) is not None:
            raise RunDirectoryError(f"{path}: {fault}; {_REMEDY}")
        record = records.get(recording.keys.round)
        if record is None or record.attempt != recording.keys.attempt:
            raise RunDirectoryError(
                f"{path}: got round {recording.keys.round}, attempt {recording.keys.attempt}; allowed: those of "
                f"rounds.jsonl; {_REMEDY}"
            )
        return _estimated(path.name, recording, record, receiver)
    except (RunDirectoryError, RadioError) as err:
        return PayloadAgain(file=path.name, problem=str(err))
    except ArithmeticError as err:
        problem = f"{path}: got numbers from which no estimate follows ({err}); allowed: those of a round; {_REMEDY}"
        return PayloadAgain(file=path.name, problem=problem)


def _estimated(name: str, recording: PayloadRecording, record: RoundRecord, receiver: _Receiver) -> PayloadAgain:
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        estimate, _ = estimate_from(recording.captured, recording.plan, receiver.chosen, receiver.setup.waveform)
    values = tuple(estimate.values.tolist()) if estimate.rejected is None else None
    truth = record.true_mean if receiver.chosen.votes == receiver.own.votes else None
    return PayloadAgain(
        file=name,
        round=record.round,
        recorded=record.estimate,
        estimate=values,
        rejected=estimate.rejected,
        error_std=tuple(math.sqrt(each) for each in estimate.error_variance.tolist()) if values is not None else None,
        truth=truth,
        nmse_db=nmse_db(values, truth) if values and truth else None,
        recorded_nmse_db=nmse_db(record.estimate, truth) if record.estimate and truth else None,
    )


def _signs(values: Sequence[float] | None) -> tuple[float, ...]:
    return tuple(math.copysign(1.0, value) for value in values or ())


def _pooled(pairs: Iterable[tuple[Sequence[float], Sequence[float]]]) -> float | None:
    """10 log10(Σ|e|²/Σ|p̄|²)."""
    every = list(pairs)
    return nmse_db([v for new, _ in every for v in new], [v for _, truth in every for v in truth])


def _remarks(config: RunConfig, own: Scheme, chosen: Scheme) -> Iterable[str]:
    if chosen.votes != own.votes:
        kinds = {True: "the majority of signs", False: "the mean of values"}
        yield (
            f"{chosen.name!r} estimates {kinds[chosen.votes]}, {own.name!r} sent for {kinds[own.votes]}: "
            "the truth of the one does not judge the other, and no NMSE is given"
        )
    elif not config.experiment.ground_truth:
        yield "the run has no ground truth (ground_truth = false): no NMSE is given"
