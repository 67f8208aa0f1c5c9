"""The auditor's laboratory: many releases of one mechanism, so that what is proven comes close to what is claimed.

`bare_mechanism` releases a device's own value with its own noise, nothing else, and says how close the proof comes to
the claim: how good the auditor is. `play_many` does the same with many short runs of an experiment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
from scipy.special import ndtri

from radio.records import Plan
from radio.schemes.registry import scheme
from testbed.audit import bounds
from testbed.audit.attacker import RoundHeard, targets
from testbed.audit.judge import Verdict, judge
from testbed.audit.witness import Witness, witness
from testbed.config.schema import RunConfig
from testbed.hosts.local_work import Contribution, load_model_and_task
from testbed.hosts.randomness import SeededRandomness, artificial_noise
from testbed.planning.terms import terms_of
from testbed.privacy.gaussian import budget_exact

NUM_RELEASES = 10_000
EPSILONS = (1.0, 2.0, 4.0, 8.0)
DELTA = 1e-5
FAILURE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What many releases under one claim proved."""

    claimed_epsilon: float
    proven_epsilon: float
    """From how often both worlds were told right, of the trade-off of μ-GDP."""
    any_epsilon: float
    """From the two error rates alone, whatever the mechanism."""
    num_releases: int

    @property
    def tightness(self) -> float:
        """Proven over claimed; above 1 the claim is refuted."""
        return self.proven_epsilon / self.claimed_epsilon


def bare_mechanism(
    *, num_releases: int = NUM_RELEASES, seed: int = 1, failure: float = FAILURE
) -> tuple[Released, ...]:
    """A device's value with the artificial noise that (ε, δ) asks for, at each of `EPSILONS`, released many times.

    Each noise draw is played in both worlds, ±γ, with the threshold in the middle; ``failure`` is of all bounds
    together.
    """
    share = failure / len(EPSILONS)
    return tuple(_bare(epsilon, num_releases, seed + index, share) for index, epsilon in enumerate(EPSILONS))


def audit_tightness(*, num_releases: int = NUM_RELEASES, seed: int = 1, failure: float = FAILURE) -> float:
    """Proven over claimed ε of the bare mechanism, worst of `EPSILONS`."""
    return min(each.tightness for each in bare_mechanism(num_releases=num_releases, seed=seed, failure=failure))


def _bare(epsilon: float, num_releases: int, seed: int, failure: float) -> Released:
    sent, clip = scheme("coherent"), 1.0
    noise = artificial_noise(SeededRandomness(seed, 0), 0, num_releases)
    sigma = 2 * clip / math.sqrt(2 * budget_exact(epsilon, DELTA))
    plan = Plan(gain=1.0, artificial_noise_std=sigma, clip=clip, num_queries=num_releases, active=(0,))
    worlds = [
        Contribution(np.full(num_releases, value), noise, None).value(sent, plan) for value in (-clip, clip)
    ]  # what the radio is handed of the two neighbours
    missed, raised = worlds[1] <= 0, worlds[0] > 0
    assert not np.any(missed & raised), "the upper world lies above the lower one"
    share = 0.05 * failure  # for each of the two rates of the looser bound
    mu = bounds.window_mu(int(np.sum(~missed & ~raised)), num_releases, failure - 2 * share)
    rates = [bounds.upper_rate(int(np.sum(errors)), num_releases, share) for errors in (raised, missed)]
    return Released(
        claimed_epsilon=epsilon,
        proven_epsilon=bounds.epsilon_at(mu, DELTA),
        any_epsilon=bounds.any_bound(rates[0], rates[1], DELTA),
        num_releases=num_releases,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What many short runs of one experiment proved together."""

    verdicts: tuple[Verdict, ...]
    claimed_epsilon: float
    """The largest claim among the runs."""
    proven_epsilon: float | None
    """Of one run, from the noise of all; None where the leak is not that of Gaussians."""
    num_releases: int

    @property
    def refutations(self) -> tuple[str, ...]:
        """Why the claim is false, each reason once."""
        found = [reason for verdict in self.verdicts for reason in verdict.refutations]
        if self.proven_epsilon is not None and self.proven_epsilon > self.claimed_epsilon:
            found.append(f"epsilon is at least {self.proven_epsilon:.3g}, but {self.claimed_epsilon:.3g} is claimed")
        return tuple(dict.fromkeys(found))


def play_many(
    config: RunConfig, *, num_runs: int, failure: float = FAILURE, progress: Callable[[int], object] = lambda _: None
) -> Played:
    """Play an experiment under so many seeds, judge every run, and pool what their noise proves.

    ``failure`` is of all tests together. The model is loaded once, and the data dealt out once.
    """
    loaded = load_model_and_task(config)
    verdicts, releases = [], []
    for index in range(num_runs):
        seeded = msgspec.structs.replace(
            config, experiment=msgspec.structs.replace(config.experiment, seed=config.experiment.seed + index)
        )
        run = witness(seeded, load=lambda _: loaded)
        verdicts.append(judge([run], failure=failure / 2 / num_runs))
        releases.append(_releases(run))
        progress(index)
    scaled, shifts = (np.concatenate(parts) for parts in zip(*releases, strict=True))
    claims = [verdict.claimed_epsilon for verdict in verdicts]
    gaussian = all(verdict.gaussian for verdict in verdicts) and shifts.size > 0
    proven = None
    if gaussian:
        factor = bounds.noise_factor(float(np.sum(scaled**2)), scaled.size, failure / 4)
        strength = max(_by_window(scaled, shifts, failure / 4), 1 / math.sqrt(factor) if factor > 0 else math.inf)
        rho = min(verdict.charged_rho for verdict in verdicts)
        mu = math.sqrt(2 * rho) * strength
        proven = bounds.epsilon_at(mu, config.experiment.privacy.dp_delta) if math.isfinite(mu) else math.inf
    return Played(
        verdicts=tuple(verdicts), claimed_epsilon=max(claims), proven_epsilon=proven, num_releases=int(scaled.size)
    )


def _releases(run: Witness) -> tuple[bounds.Floats, bounds.Floats]:
    """Residuals in units of the charged noise, and the shift that was charged, of every value of the worst target."""
    terms = terms_of(run.config)
    rounds: list[RoundHeard] = max(targets([run]).values(), key=len, default=[])
    kept = [each for each in rounds if 0 < each.rho < math.inf and each.heard]
    if not kept:
        return np.zeros(0), np.zeros(0)
    scaled = [each.heard[0].residual * math.sqrt(2 * each.rho) / terms.sensitivity for each in kept]
    shifts = [np.full(r.size, math.sqrt(2 * each.rho / r.size)) for r, each in zip(scaled, kept, strict=True)]
    return np.concatenate(scaled), np.concatenate(shifts)


def _by_window(scaled: bounds.Floats, shifts: bounds.Floats, failure: float) -> float:
    """μ over what was charged, at least: from the window of the median shift, which the plans alone fix."""
    half = float(np.median(shifts)) / 2
    rate = bounds.lower_rate(int(np.sum(np.abs(scaled) < half)), scaled.size, failure)
    return float(ndtri((1 + rate) / 2)) / half
