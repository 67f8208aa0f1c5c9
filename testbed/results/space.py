"""How much disk a run will need, from its configuration alone: checked before the first byte is written."""

from __future__ import annotations

from dataclasses import dataclass

from radio.schemes.registry import scheme
from radio.waveform.layouts import MAX_DATA_BETWEEN_PILOTS
from testbed.config.schema import RunConfig
from testbed.plugins import look_for

MIB = 2**20
_ROUND_BYTES, _QUERY_BYTES = 1000, 150
"""Of one round and of each of its queries, in rounds.jsonl and the journal together."""
_MEMORY_BYTES, _MEMORY_DEVICE_BYTES = 2000, 32
"""Of what the receiver remembers, and of each device in it, once a round in the journal."""
_REPORT_BYTES = 2 * MIB
_RESERVE_BYTES = 32 * MIB
_META_BYTES, _META_DEVICE_BYTES, _META_SLOT_BYTES = 5000, 1000, 2000
"""Of a recording's JSON, of each device in it, and of each that has a slot."""
_SYMBOLS_PER_QUERY = 64
_BYTES_PER_SAMPLE = 8
_BYTES_PER_WEIGHT = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What a run will write, in bytes; rather too much than too little."""

    rounds: int
    captures: int
    weights: int
    report: int

    @property
    def total(self) -> int:
        """All of it, with a reserve for everybody else on this disk."""
        return self.rounds + self.captures + self.weights + self.report + _RESERVE_BYTES

    def __str__(self) -> str:
        parts = ("rounds", "captures", "weights", "report")
        return ", ".join(f"{name} {getattr(self, name) / MIB:.0f}" for name in parts)


def needed_space(config: RunConfig, *, num_parameters: int, first_round: int = 0) -> Space:
    """What the rounds from ``first_round`` on will write; initial and final weights count in any case."""
    experiment = config.experiment
    rounds = max(0, experiment.rounds.num - first_round)
    queries = experiment.learner.num_queries
    attempts = experiment.rounds.max_attempts
    captures = min(1 + rounds // experiment.rounds.eval_every, rounds) * capture_bytes(config)
    return Space(
        rounds=rounds
        * (
            _ROUND_BYTES * attempts
            + _QUERY_BYTES * queries
            + _MEMORY_BYTES
            + _MEMORY_DEVICE_BYTES * config.rig.num_devices
        ),
        captures=min(captures, int(experiment.results.max_capture_mib * MIB)),
        weights=2 * num_parameters * _BYTES_PER_WEIGHT.get(experiment.model.dtype, 4),
        report=_REPORT_BYTES,
    )


def capture_bytes(config: RunConfig) -> int:
    """At most what one recorded payload takes: pilots of all devices and the values, or every slot; with its JSON."""
    rig, queries = config.rig, config.experiment.learner.num_queries
    chosen = config.experiment.scheme.name
    look_for("scheme", chosen)
    if not scheme(chosen).superposed:
        data = scheme(chosen).frame_symbols(queries)
        slot = rig.frame.num_capture_samples(data + data // MAX_DATA_BETWEEN_PILOTS + 2)
        return rig.num_devices * (_BYTES_PER_SAMPLE * slot + _META_SLOT_BYTES) + _META_BYTES
    symbols = 2 * rig.num_devices + 2 + _SYMBOLS_PER_QUERY * queries
    samples = max(rig.frame.num_capture_samples(symbols), rig.frame.tone_period_samples)
    return _BYTES_PER_SAMPLE * samples + rig.num_devices * _META_DEVICE_BYTES + _META_BYTES
