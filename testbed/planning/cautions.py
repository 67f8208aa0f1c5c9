"""What a promise leaves open that its maker should know: a δ too large for the number of those who are protected."""

from __future__ import annotations

from learner.config import EMBEDDED, EMBEDDED_NUM_TRAIN
from testbed.config.schema import RunConfig


def cautions(config: RunConfig) -> list[str]:
    """Sentences for plan, start and summary; empty where the promise is one. Follows from the configuration alone.

    δ is the chance of giving everything away, so with δ >= 1/n publishing one whole record at random would pass.
    n counts what the level protects: clients, or the training examples of all of them.
    """
    privacy, found = config.experiment.privacy, num_protected(config)
    whom = "clients" if privacy.level == "client" else "training examples"
    if found is None:
        return [
            f"privacy.dp_delta = {privacy.dp_delta:g} means something only with many more than "
            f"{1 / privacy.dp_delta:.3g} {whom}; their number is not part of this configuration (task.num_train)"
        ]
    if privacy.dp_delta * found < 1:
        return []
    return [
        f"privacy.dp_delta = {privacy.dp_delta:g} is not below 1/{found}, one over the number of {whom}: such a "
        f"promise would allow giving one of them away entirely; use {0.1 / found:.1g} or less"
    ]


def num_protected(config: RunConfig) -> int | None:
    """n; None where only the devices know."""
    if config.experiment.privacy.level == "client":
        return config.rig.num_devices
    task = config.experiment.task
    if task.num_train is None and task.path == EMBEDDED:
        return EMBEDDED_NUM_TRAIN - (task.num_validation or 0)
    return task.num_train
