"""Zeroth-order methods that the toolkit does not run itself: none at all, DPZero, DeComFL and FedKSeed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.baselines.costs import (
    COEFFICIENT_BYTES,
    SCALAR_BYTES,
    counted_airtime_s,
    played_airtime_s,
    simulated_rig,
    zeroth_order_peak_mib,
)
from benchmarks.baselines.records import Job, Outcome
from benchmarks.baselines.settings import LOCAL_STEPS
from benchmarks.baselines.training import trained
from benchmarks.measure import live_bytes, peak_bytes
from benchmarks.private_learning import dpzero_rounds
from radio.schemes.digital import dequantise, quantise
from testbed.config.schema import RunConfig
from testbed.hosts.local_work import Loaded, judged, load_model_and_task
from testbed.optimisers.updates import coefficients_of
from testbed.rounds.round import round_seed

Floats = NDArray[np.float64]

NUM_SEEDS = 4096
"""Of FedKSeed's pool, as in arXiv 2312.06353."""
SEED_BYTES = 2


def zero_shot(job: Job, config: RunConfig, where: Path) -> Outcome:
    """The untouched model."""
    loaded = load_model_and_task(config)
    points, wall_s = trained(iter(()), 0, config, partial(judged, loaded))
    return Outcome(
        learning_rate=None,
        points=tuple(points),
        metric_name=loaded.task.template.metric,
        wall_s=wall_s,
        threat_model="nothing is sent",
    )


def dpzero(job: Job, config: RunConfig, where: Path) -> Outcome:
    """One curator has everybody's data, so nothing is sent; its noise is as small as the accountant allows."""
    loaded, experiment = load_model_and_task(config), config.experiment
    points, wall_s = trained(dpzero_rounds(config, loaded), job.num_rounds, config, partial(judged, loaded))
    return Outcome(
        learning_rate=experiment.learner.learning_rate,
        points=tuple(points),
        metric_name=loaded.task.template.metric,
        rounds=job.num_rounds,
        forwards=2 * experiment.learner.batch_size * config.rig.num_devices * job.num_rounds,
        wall_s=wall_s,
        peak_mib=zeroth_order_peak_mib(config),
        epsilon=experiment.privacy.dp_epsilon,
        delta=experiment.privacy.dp_delta,
        threat_model="VOID: simulated, noise and batches come from a seed. It would be example-level differential "
        "privacy, an example added or left out, against whoever sees the model; the curator who has all data is "
        "trusted, and so is its noise; batches are secret",
    )


def decomfl(job: Job, config: RunConfig, where: Path) -> Outcome:
    """DeComFL (arXiv 2405.15861): local steps along directions that all share, whose mean scalars everybody replays.

    The scalars of a round go up in one frame of the scheme `digital` over the sampled air.
    """
    num_rounds, clip = max(1, job.num_rounds // LOCAL_STEPS), config.experiment.learner.clip
    rig, lost, airtime = simulated_rig(config, "digital"), 0, 0.0
    learner, seed = config.experiment.learner, config.experiment.seed
    elsewhere = live_bytes()
    loaded = load_model_and_task(config)

    def play() -> Iterator[None]:
        nonlocal lost, airtime
        for t in range(num_rounds + 2):
            seeds = [round_seed(seed, t * LOCAL_STEPS + step) for step in range(LOCAL_STEPS)]
            found = [_local_scalars(loaded, config, device, t, seeds) for device in range(config.rig.num_devices)]
            played = rig.play(np.clip(np.array(found), -clip, clip), clip=clip, round_index=t)  # [K, S]
            if t < num_rounds:
                airtime += played.reception.airtime_s
                lost += played.reception.estimate.rejected is not None
            if played.reception.estimate.rejected is None:
                for each, value in zip(seeds, played.reception.estimate.values, strict=True):
                    loaded.replica.update(each, coefficients_of(np.array([value]), learner.learning_rate))
            yield

    rounds = play()
    points, wall_s = trained(rounds, num_rounds, config, partial(judged, loaded))
    bits = 8 * COEFFICIENT_BYTES * LOCAL_STEPS
    return Outcome(
        learning_rate=learner.learning_rate,
        points=tuple(points),
        metric_name=loaded.task.template.metric,
        rounds=num_rounds,
        rounds_lost=lost,
        forwards=2 * learner.batch_size * config.rig.num_devices * LOCAL_STEPS * num_rounds,
        bytes_up=SCALAR_BYTES * LOCAL_STEPS * num_rounds,
        bytes_down=bits // 8 * num_rounds,
        airtime_up_s=airtime,
        airtime_down_s=counted_airtime_s(config.rig, bits) * num_rounds,
        wall_s=wall_s,
        peak_mib=peak_bytes(lambda: next(rounds), elsewhere_bytes=elsewhere) / 2**20,
    )


def fedkseed(job: Job, config: RunConfig, where: Path) -> Outcome:
    """FedKSeed (arXiv 2312.06353): local steps along directions that each device draws from a pool of 4,096 seeds.

    What goes up is pairs of a seed's number and a scalar of 16 bits; what comes down is the sum of scalars that each
    seed of the pool has got so far. Bits are quantised and counted; that a frame may be lost is left out.
    """
    num_rounds, learner = max(1, job.num_rounds // LOCAL_STEPS), config.experiment.learner
    num_devices, seed = config.rig.num_devices, config.experiment.seed
    elsewhere = live_bytes()
    loaded = load_model_and_task(config)
    draws = np.random.default_rng([seed, NUM_SEEDS])

    def play() -> Iterator[None]:
        for t in range(num_rounds + 2):
            chosen = draws.integers(NUM_SEEDS, size=(num_devices, LOCAL_STEPS))
            pool = [[round_seed(seed, int(number)) for number in row] for row in chosen]
            found = [_local_scalars(loaded, config, device, t, seeds) for device, seeds in enumerate(pool)]
            sent = dequantise(quantise(np.array(found), learner.clip), learner.clip) / num_devices
            for seeds, values in zip(pool, sent, strict=True):
                for each, value in zip(seeds, values, strict=True):
                    loaded.replica.update(each, coefficients_of(np.array([value]), learner.learning_rate))
            yield

    rounds = play()
    points, wall_s = trained(rounds, num_rounds, config, partial(judged, loaded))
    bytes_down = COEFFICIENT_BYTES * NUM_SEEDS
    return Outcome(
        learning_rate=learner.learning_rate,
        points=tuple(points),
        metric_name=loaded.task.template.metric,
        rounds=num_rounds,
        forwards=2 * learner.batch_size * num_devices * LOCAL_STEPS * num_rounds,
        bytes_up=(SCALAR_BYTES + SEED_BYTES) * LOCAL_STEPS * num_rounds,
        bytes_down=bytes_down * num_rounds,
        airtime_up_s=played_airtime_s(config, "digital", 2 * LOCAL_STEPS) * num_rounds,
        airtime_down_s=counted_airtime_s(config.rig, 8 * bytes_down) * num_rounds,
        wall_s=wall_s,
        peak_mib=peak_bytes(lambda: next(rounds), elsewhere_bytes=elsewhere) / 2**20,
    )


def _local_scalars(loaded: Loaded, config: RunConfig, device: int, t: int, seeds: list[int]) -> list[float]:
    """Scalars [S] of a device that steps along each direction by its own scalar; its weights are put back."""
    learner, model = config.experiment.learner, loaded.replica.model
    start = [parameter.detach().clone() for parameter in model.parameters()]
    found = []
    for step, seed in enumerate(seeds):
        batch = loaded.task.batch(device, t * len(seeds) + step, learner.batch_size)
        scalars = loaded.replica.scalars(
            [batch], seed=seed, num_queries=1, perturbation_scale=learner.perturbation_scale
        )
        value = float(np.clip(scalars.projected_gradients[0, 0], -learner.clip, learner.clip))
        loaded.replica.update(seed, coefficients_of(np.array([value]), learner.learning_rate))
        found.append(value)
    with torch.no_grad():
        for parameter, values in zip(model.parameters(), start, strict=True):
            parameter.copy_(values)
    return found
