"""Learning under one (ε, δ): every schedule over the air, DPZero in one place, and no privacy at all."""

from __future__ import annotations

import itertools
import math
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from learner.zo.evaluation import evaluate
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.config.schema import RunConfig
from testbed.hosts.local_work import Loaded, load_model_and_task
from testbed.hosts.randomness import SeededRandomness, artificial_noise
from testbed.optimisers.updates import coefficients_of
from testbed.planning.preview import at_symbol_snr, plan_of
from testbed.privacy.accountants import accountant
from testbed.rounds.processes import run_in_one_process
from testbed.rounds.round import round_seed

DELTA = 1e-5
OFFSETS_DB = (0, 20)
"""Symbol SNR relative to SNR*"""
SCHEDULES = ("solution", "online", "static", "reversed", "full")
SETTINGS = {
    f"K={num_devices} {fading}": (f"num_devices={num_devices}", *overrides)
    for num_devices in (5, 20)
    for fading, overrides in {
        "rayleigh": ("air.fading=rayleigh",),
        "rician-5": ("air.fading=rice", f"air.rice_k_db={10 * math.log10(5)}"),
    }.items()
}
ABLATED = "K=5 rayleigh"
"""Setting in which the options that cost no privacy are tried"""
ABLATIONS = {"shrinkage": "update.shrinkage=true", "noise-aware step": "update.noise_aware_step=true"}
EXAMPLE_CLIP, EXAMPLES, RATE = 40.0, 80, 0.04
"""C, about three standard deviations of an example's projection; of all devices a round; of the 2,000 that there are"""
EXAMPLE_LEVEL = (
    "privacy.level=example",
    "privacy.adjacency=remove",
    f"privacy.batch_rate={RATE}",
    f"privacy.example_clip={EXAMPLE_CLIP}",
)


def configuration(
    model: str, task: str, seed: int, num_rounds: int, epsilon: float, setting: str, *overrides: str
) -> RunConfig:
    """The built-in experiment on the symbol-level air."""
    num_devices = int(setting.partition(" ")[0].removeprefix("K="))
    common = (
        *SETTINGS[setting],
        f"model.path={model}", f"task.path={task}", f"seed={seed}", "ground_truth=false", f"rounds.num={num_rounds}",
        f"rounds.eval_every={max(1, num_rounds // 4)}", "rounds.max_attempts=1", "air.level=symbol", "air.csi=genie",
        f"learner.batch_size={EXAMPLES // num_devices}", "learner.batch_devices=true", f"privacy.dp_epsilon={epsilon}",
        f"privacy.dp_delta={DELTA}", "schedule.contraction=0.998",
    )  # fmt: skip
    return resolve(load(None, None, [*common, *overrides]))


def over_the_air(config: RunConfig) -> float:
    """Final test accuracy of a whole run."""
    with tempfile.TemporaryDirectory() as scratch:
        accuracy = run_in_one_process(config, out=Path(scratch) / "run").summary.metric_last
    assert accuracy is not None
    return accuracy


def dpzero(config: RunConfig) -> float:
    """Final test accuracy of DPZero, one curator with all data."""
    loaded = load_model_and_task(config)
    for _ in dpzero_rounds(config, loaded):
        pass
    return evaluate(loaded.replica, loaded.task).accuracy


def dpzero_rounds(config: RunConfig, loaded: Loaded) -> Iterator[float]:
    """Plays DPZero (arXiv 2310.09639), mean of clipped projections plus Gaussian noise; yields what it stepped by.

    Same learner, examples a round and accountant as the runs over the air; the curator's batch is everybody's.
    """
    learner, privacy, seed = config.experiment.learner, config.experiment.privacy, config.experiment.seed
    num_rounds, num_devices, rate = config.experiment.rounds.num, config.rig.num_devices, privacy.batch_rate
    assert rate is not None, "DPZero draws its batches secretly"
    judge = accountant("rdp", privacy.dp_epsilon, privacy.dp_delta, rate=rate, num_rounds=num_rounds)
    multiplier = 1 / math.sqrt(2 * judge.leak_for(judge.limit, num_rounds))
    sources = [SeededRandomness(seed, device) for device in range(num_devices)]
    curator = SeededRandomness(seed, num_devices)
    examples = learner.batch_size * num_devices
    for t in range(num_rounds):
        coins = [source.uniform(t, "batch", len(loaded.task.shard(k))) < rate for k, source in enumerate(sources)]
        batches = [loaded.task.poisson_batch(k, drawn) for k, drawn in enumerate(coins)]
        sums = loaded.replica.scalars(
            batches, seed=round_seed(seed, t), num_queries=1, perturbation_scale=learner.perturbation_scale,
            example_clip=privacy.example_clip, normaliser=examples,
        ).projected_gradients.sum()  # fmt: skip
        noise = multiplier * privacy.example_clip / examples * artificial_noise(curator, t, 1)[0]
        loaded.replica.update(round_seed(seed, t), coefficients_of(np.array([sums + noise]), learner.learning_rate))
        yield float(sums + noise)


def learning(model: str, task: str, num_seeds: int, num_rounds: int, epsilon: float) -> dict[str, list[float]]:
    """Test accuracies by setting and run, one a seed. The paper's schedule protects clients, at the same (ε, δ)."""
    found: dict[str, list[float]] = {}
    for setting, seed in itertools.product(SETTINGS, range(1, num_seeds + 1)):
        plain = partial(configuration, model, task, seed, num_rounds, epsilon, setting)
        private = partial(plain, *EXAMPLE_LEVEL)

        def note(run: str, accuracy: float, setting: str = setting, seed: int = seed) -> None:
            found.setdefault(f"{setting}, {run}", []).append(accuracy)
            print(f"{setting}, {run}, seed {seed}: {accuracy:.1%}", file=sys.stderr, flush=True)

        threshold_db = plan_of(private("schedule.name=static")).snr_threshold_db
        note("no privacy", over_the_air(plain("scheme.name=ideal")))
        note("DPZero, central", dpzero(private()))
        for offset_db in OFFSETS_DB:
            for name in SCHEDULES:
                asked = at_symbol_snr(private(f"schedule.name={name}"), threshold_db + offset_db)
                note(f"{name}, SNR*{offset_db:+d} dB", over_the_air(asked))
            for name, override in ABLATIONS.items() if setting == ABLATED else ():
                asked = at_symbol_snr(private("schedule.name=online", override), threshold_db + offset_db)
                note(f"online with {name}, SNR*{offset_db:+d} dB", over_the_air(asked))
            published = at_symbol_snr(plain("schedule.name=paper"), threshold_db + offset_db)
            note(f"paper (client level), SNR*{offset_db:+d} dB", over_the_air(published))
    return found
