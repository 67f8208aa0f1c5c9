"""Tasks, settings common to all methods, and learning rates: which were tried, and which the validation split chose."""

from __future__ import annotations

from pathlib import Path

import testbed
from benchmarks.baselines.records import Job
from testbed.config.schema import RunConfig
from testbed.errors import ConfigError

NUM_ROUNDS, NUM_EVALUATIONS = 200, 5
SEEDS = (1, 2, 3, 4)
SEARCH_SEED = 101
"""Not among those that are reported: other examples, partition, batches, directions and channels."""
BATCH_SIZE, NUM_TRAIN, NUM_VALIDATION = 8, 1500, 500
NUM_DEVICES = 5
BATCH_RATE = BATCH_SIZE * NUM_DEVICES / NUM_TRAIN
"""q, at which secret batches have BATCH_SIZE examples on average."""
FIRST_ORDER_SHARE = 10
"""First-order methods get one batch for so many of the zeroth-order ones."""
LOCAL_STEPS = 5
"""Of FedAvg, DeComFL and FedKSeed, between two rounds; they make so many fewer rounds."""

EPSILON, DELTA = 0.5, 1e-5
"""Of the sound claims: one at which a run of 200 rounds feels its noise."""
PUBLISHED_EPSILON, PUBLISHED_DELTA = 5.0, 1e-2
"""Of the published equations, at client level: the paper's own."""
EXAMPLE_CLIP = 40.0
CONTRACTION = 0.97
"""A with which the schedules are told apart: weights of the rounds differ by A^−T = 442."""

COMMON = (
    "ground_truth=false",
    f"task.num_train={NUM_TRAIN}",
    f"task.num_validation={NUM_VALIDATION}",
    f"learner.batch_size={BATCH_SIZE}",
    f"num_devices={NUM_DEVICES}",
    "results.max_capture_mib=0",
)
EXAMPLE_LEVEL = (
    "privacy.level=example",
    "privacy.adjacency=remove",
    f"privacy.batch_rate={BATCH_RATE:.6f}",
    f"privacy.example_clip={EXAMPLE_CLIP}",
    f"privacy.dp_epsilon={EPSILON}",
    f"privacy.dp_delta={DELTA}",
)
PUBLISHED = (
    "schedule.name=paper",
    "schedule.contraction=0.998",
    f"privacy.dp_epsilon={PUBLISHED_EPSILON}",
    f"privacy.dp_delta={PUBLISHED_DELTA}",
)
TASKS: dict[str, tuple[str, ...]] = {
    "embedded": (),
    "embedded_hard": ("task.prompt={text}", 'task.verbalizer={ "0" = " the", "1" = " a" }'),
    "sst2": (),
}
"""`embedded_hard` asks without the cue that the embedded model was pretrained with, and for words that mean nothing."""

SCHEDULE_TASKS = ("sst2",)
"""Where schedules are compared unless they are asked for by name."""

CANDIDATES: dict[str, tuple[float, ...]] = {
    "scalar": (1e-4, 3e-4, 1e-3, 3e-3),
    "vote": (3e-4, 1e-3, 3e-3),
    "private": (1e-4, 3e-4, 1e-3),
    "private_vote": (3e-4, 1e-3, 3e-3),
    "decomfl": (3e-4, 1e-3, 3e-3),
    "fedkseed": (3e-4, 1e-3, 3e-3),
    "fedsgd": (3e-3, 1e-2, 3e-2, 1e-1),
    "fedavg": (3e-4, 1e-3, 3e-3),
}
"""By group of methods that share a learning rate."""
CHOSEN: dict[str, dict[str, float]] = {
    "embedded": {
        "scalar": 3e-4, "vote": 1e-3, "private": 3e-4, "private_vote": 3e-3, "decomfl": 3e-4, "fedkseed": 3e-4,
        "fedsgd": 1e-2, "fedavg": 1e-3,
    },
    "embedded_hard": {},
    "sst2": {},
}  # fmt: skip
"""By task and group: what `python -m benchmarks.baselines --search` printed."""


def task_of(name: str, sst2: Path) -> tuple[str, ...]:
    """Overrides of a task."""
    return (f"task.path={sst2.resolve()}",) if name == "sst2" else TASKS[name]


def configuration(job: Job, group: str, overrides: tuple[str, ...], sst2: Path) -> RunConfig:
    """The quickstart with what is common to all methods, the task's and the method's own settings, in this order.

    Raises ConfigError.
    """
    rate = job.learning_rate or CHOSEN[job.task].get(group)
    if rate is None:
        raise ConfigError(
            f"{job.method} on {job.task}: got no learning rate; allowed: one that was chosen in "
            f"benchmarks/baselines/settings.py; choose it with --search --tasks {job.task}"
        )
    own = (
        f"seed={job.seed}",
        f"learner.learning_rate={rate}",
        f"rounds.num={job.num_rounds}",
        f"rounds.eval_every={max(1, job.num_rounds // NUM_EVALUATIONS)}",
    )
    return testbed.load("quickstart", "loopback", [*COMMON, *task_of(job.task, sst2), *own, *overrides])
