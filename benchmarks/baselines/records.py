"""What one run of one method is asked for, and what it comes to; kept as JSON, so that no run is made twice."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from testbed.config.schema import RunConfig
from testbed.errors import ConfigError
from testbed.failures import EXPECTED

NUM_LAST = 3
"""A run is judged by the mean of its last three evaluations."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one method."""

    method: str
    task: str
    seed: int
    num_rounds: int
    """Of zeroth-order methods; first-order ones make a share of them."""
    learning_rate: float | None = None
    """A candidate; None is the one that was chosen on the validation split."""

    @property
    def name(self) -> str:
        """Where it lies below --out."""
        rate = "" if self.learning_rate is None else f"-rate-{self.learning_rate:g}"
        return f"{self.task}/{self.method}{rate}/{self.num_rounds}-rounds-seed-{self.seed}"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """The model after so many rounds."""

    round: int
    loss: float
    """On the test split, as the metric."""
    metric: float
    validation_loss: float | None = None
    """On training examples that nobody trains on; runs do not record the untouched model's."""
    validation_metric: float | None = None
    """By which settings are chosen."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run reached, and what it cost; what nobody knows is null."""

    learning_rate: float | None
    points: tuple[Point, ...] = ()
    """The untouched model first."""
    metric_name: str = "accuracy"
    rounds: int = 0
    rounds_lost: float = 0
    """Rounds without an update: skipped, rejected, or silent by plan; a fraction where parts of rounds were lost."""
    forwards: int = 0
    """Examples that went forward in training, all devices."""
    backwards: int = 0
    """Examples that went backward."""
    bytes_up: int | None = 0
    """Payload that one device sends in the whole run; null of analog values."""
    values_up: int | None = None
    """Analog values that one device sends."""
    bytes_down: int = 0
    """Payload that one device receives."""
    airtime_up_s: float | None = 0.0
    """Of all devices, pilots and retries included; null where there is no air."""
    airtime_down_s: float | None = 0.0
    """Of one broadcast a round to all, two bits a symbol; counted, not played."""
    wall_s: float = 0.0
    """The whole run, evaluations included."""
    peak_mib: float | None = None
    """Most of live tensors in one round on one learner host, the model included; null where nobody trains."""
    epsilon: float | None = None
    delta: float | None = None
    threat_model: str = "none: no privacy is claimed"
    failure: str | None = None
    """Why it could not go on."""
    configuration: str = ""
    """SHA-256 of all settings."""

    def last(self, field: str) -> float:
        """Mean of a field of the last evaluations behind a round, or of the untouched model; NaN of a failed run."""
        if self.failure is not None:
            return math.nan
        judged = self.points[1:][-NUM_LAST:] or self.points
        return float(np.mean([getattr(point, field) for point in judged]))


Play = Callable[[Job, RunConfig, Path], Outcome]
"""Plays a job with its configuration; the path is for a run directory."""


def kept(play: Play, job: Job, config: RunConfig, out: Path) -> Outcome:
    """The outcome that lies below ``out``, or now; an expected failure is one, too.

    Raises ConfigError for one that was made with other settings.
    """
    file, fingerprint = out / f"{job.name}.json", hashlib.sha256(msgspec.json.encode(config)).hexdigest()
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            outcome = play(job, config, out / job.name)
        except ConfigError:
            raise
        except EXPECTED as err:
            outcome = Outcome(learning_rate=config.experiment.learner.learning_rate, failure=str(err))
        beside = file.with_suffix(".tmp")
        beside.write_bytes(msgspec.json.encode(msgspec.structs.replace(outcome, configuration=fingerprint)))
        beside.replace(file)
    found = msgspec.json.decode(file.read_bytes(), type=Outcome)
    if found.configuration != fingerprint:
        raise ConfigError(
            f"{file}: was made with other settings; allowed: one --out for one set of settings; "
            "give another --out, or remove the file and the directory beside it"
        )
    return found
