"""A learner that costs nothing: its weights are a chain of hashes, its scalars follow from seed and device.

What is left of a round is what the control plane, the radios and the disk take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from learner.zo.evaluation import Evaluation
from learner.zo.replica import Scalars
from testbed.config.schema import Experiment, RunConfig
from testbed.control.proof import Proof
from testbed.hosts.local_work import Contribution, Loaded
from testbed.hosts.proof import code_fingerprint, config_fingerprint

_NOTHING = hashlib.sha256(b"").hexdigest()


class ChainReplica:
    """Equal weights mean the same updates in the same order."""

    num_parameters = 1

    def __init__(self) -> None:
        self._chain = hashlib.sha256(b"untouched").digest()

    def fingerprint(self) -> str:
        """Of the weights."""
        return self._chain.hex()

    def architecture(self) -> str:
        """There is none."""
        return _NOTHING

    def update(self, seed: int, coefficients: Sequence[float]) -> None:
        """One more link."""
        self._chain = hashlib.sha256(self._chain + repr((seed, tuple(coefficients))).encode()).digest()

    def replay(self, results: Iterable[tuple[int, Sequence[float]]]) -> None:
        """Many links."""
        for seed, coefficients in results:
            self.update(seed, coefficients)

    def scalars(self, batches: Sequence[int], *, seed: int, num_queries: int, **_: Any) -> Scalars:
        """p_k [K, Q] within ±1; a batch is its device's number."""
        phase = np.array(batches, dtype=np.float64)[:, None] + np.arange(num_queries) + seed % 1000
        gradients = np.sin(phase)
        return Scalars(projected_gradients=gradients, loss=np.abs(gradients[:, 0]), example_projections=())

    def save_weights(self, path: Path) -> None:
        """As bytes."""
        path.write_bytes(self._chain)

    def load_weights(self, path: Path) -> None:
        """As they were saved."""
        self._chain = path.read_bytes()


class Numbers:
    """A task whose batches are the devices' numbers."""

    def batch(self, device: int, round_index: int, batch_size: int) -> int:
        """The device."""
        return device


def load(config: RunConfig) -> Loaded:
    """An untouched chain."""
    made: Any = SimpleNamespace(replica=ChainReplica(), task=Numbers())
    return made


def prove(loaded: Loaded, config: RunConfig) -> Proof:
    """Of a chain; code and configuration are the real ones."""
    return Proof(
        weights=loaded.replica.fingerprint(),
        architecture=_NOTHING,
        num_parameters=1,
        data=_NOTHING,
        code=code_fingerprint(config),
        config=config_fingerprint(config),
    )


def judge(loaded: Loaded) -> tuple[Evaluation, None]:
    """The same of all weights."""
    return Evaluation(1.0, "accuracy", 0.5, 1), None


def prepared(loaded: Loaded, experiment: Experiment, devices: Sequence[int], *_: Any, **__: Any) -> Any:
    """The same contributions in every round, made once."""
    made = _PREPARED.get(tuple(devices))
    if made is None:
        zero = np.zeros(experiment.learner.num_queries)
        made = {device: Contribution(clipped=zero + np.sin(device), noise=zero, loss=None) for device in devices}
        _PREPARED[tuple(devices)] = made
    return made


_PREPARED: dict[tuple[int, ...], dict[int, Contribution]] = {}
