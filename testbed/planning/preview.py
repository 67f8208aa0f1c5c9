"""What every schedule would do on a rig: gain, noise and leak by round, and how far from the optimum. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from testbed.config.schema import RunConfig
from testbed.errors import ConfigError
from testbed.planning.checks import check_zeroth_order
from testbed.planning.forecast import noise_variance, weakest_amplitudes
from testbed.planning.planner import limits_of, problem_of
from testbed.planning.terms import Terms, scheme_of, terms_of
from testbed.privacy.accountants import accountant
from testbed.privacy.neighbours import Neighbours
from testbed.privacy.sampled import pld_epsilon, rdp_epsilon
from testbed.schedule.base import Schedule, Scope
from testbed.schedule.power import Power, credited_noise, power_for, total_noise
from testbed.schedule.problem import Problem, caps_at_full_power, snr_threshold
from testbed.schedule.registry import schedule

Floats = NDArray[np.float64]

SHOWN = ("solution", "online", "static", "reversed", "paper", "full")
"""What every plan compares, beside the experiment's own schedule."""
_LOG_HUGE = 700.0
_DISTINGUISHABLE = 1.05
"""Objectives that differ by less than this factor cannot be told apart in any run."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Preview:
    """One schedule on one rig."""

    name: str
    gains: Floats
    """[T]"""
    noise_stds: Floats
    """[T], of each device's own noise"""
    leaks: Floats
    """[T], Gaussian leak ρ"""
    error_stds: Floats
    """[T], of the noise on the mean p̂; infinite in silent rounds"""
    share_of_budget: float
    gap: float
    """objective over that of the solution"""

    @property
    def num_silent(self) -> int:
        """Rounds in which nobody transmits."""
        return int(np.sum(self.gains == 0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Previews:
    """All schedules on one rig."""

    symbol_snr_db: float
    """P·E|h|²/N0'"""
    snr_threshold_db: float
    """SNR*, below which full power keeps the budget: privacy for free; infinite where receiver noise does not count"""
    previews: tuple[Preview, ...]
    terms: Terms

    def preview(self, name: str) -> Preview:
        """The one of that name."""
        return next(each for each in self.previews if each.name == name)

    @property
    def tells_apart(self) -> bool:
        """Whether the schedules differ enough at this SNR to show in any run."""
        static, reversed_ = self.preview("static").gap, self.preview("reversed").gap
        return max(static, reversed_) > _DISTINGUISHABLE


def plan_of(config: RunConfig, others: Sequence[str] = SHOWN) -> Previews:
    """The experiment's schedule, the solution, which all are measured by, and others, over the channels that the
    simulated rig will have."""
    check_zeroth_order(config)
    terms = terms_of(config)
    amplitudes = weakest_amplitudes(config, config.experiment.rounds.num)
    if amplitudes is None:
        raise ConfigError(
            "testbed plan: got a rig with real radios, whose channels are not known in advance; allowed: a simulated "
            "rig; measure the channels first, and plan on a rig that replays them"
        )
    variance = noise_variance(config)
    problem = problem_of(config, terms, amplitudes, variance)
    shown = dict.fromkeys(("solution", *others, config.experiment.schedule.name))
    powers = {name: _powers(schedule(name), config, terms, problem, amplitudes, variance) for name in shown}
    best = _log_objective(problem, _totals(powers["solution"], variance, config.rig.num_devices))
    previews = tuple(_preview(name, chosen, config, terms, problem, variance, best) for name, chosen in powers.items())
    mean_weakest = float(np.mean(amplitudes**2)) / (config.rig.radio.max_power * config.rig.air.mean_gain_power)
    threshold = snr_threshold(
        terms.accountant.leak_for(terms.accountant.limit, problem.num_rounds) / terms.crediting.payload_energy,
        sensitivity=terms.sensitivity,
        sent_bound=terms.clip,
        mean_weakest_gain=mean_weakest,
    )
    snr = config.rig.radio.max_power * config.rig.air.mean_gain_power / variance if variance > 0 else math.inf
    return Previews(
        symbol_snr_db=_db(snr),
        snr_threshold_db=_db(threshold) if terms.crediting.receiver_trusted else -math.inf,
        previews=previews,
        terms=terms,
    )


def at_symbol_snr(config: RunConfig, symbol_snr_db: float) -> RunConfig:
    """The same rig with another SNR."""
    samples = config.rig.frame.samples_per_symbol
    air = msgspec.structs.replace(config.rig.air, snr_db=symbol_snr_db - _db(2.0 * samples))
    return msgspec.structs.replace(config, rig=msgspec.structs.replace(config.rig, air=air))


def warnings_of(plans: Sequence[Previews]) -> list[str]:
    """What a reader of these plans should know before spending a day on them."""
    found = []
    threshold, snrs = plans[0].snr_threshold_db, [plan.symbol_snr_db for plan in plans]
    if not any(plan.tells_apart for plan in plans):
        where = f"{snrs[0]:.1f} dB" if len(snrs) == 1 else f"{min(snrs):.1f} to {max(snrs):.1f} dB"
        found.append(
            f"at a symbol SNR of {where} the schedules differ by less than {_DISTINGUISHABLE - 1:.0%} in their "
            f"objective: such runs cannot tell them apart. Go well above SNR* = {threshold:.1f} dB, lower "
            "schedule.contraction, or ask for a smaller dp_epsilon"
        )
    elif len(snrs) > 1 and not min(snrs) <= threshold <= max(snrs):
        found.append(
            f"the range {min(snrs):.1f} to {max(snrs):.1f} dB does not straddle SNR* = {threshold:.1f} dB: it shows "
            "one side only of where privacy stops being free"
        )
    if plans[0].terms.void is not None:
        found.append(f"no privacy may be claimed of such a run: {plans[0].terms.void}")
    return found


def sampled_epsilons(config: RunConfig, leaks: Floats) -> tuple[float, float] | None:
    """ε of a plan by dp-accounting's RDP and PLD accountants, where batches are secret."""
    privacy = config.experiment.privacy
    if privacy.batch_rate is None:
        return None
    rhos = [float(rho) for rho in leaks]
    return (
        rdp_epsilon(rhos, rate=privacy.batch_rate, dp_delta=privacy.dp_delta),
        pld_epsilon(rhos, rate=privacy.batch_rate, dp_delta=privacy.dp_delta),
    )


def _leaks(shown: Schedule, config: RunConfig, problem: Problem) -> Floats:
    """Leaks [T] for this problem's neighbours, of a plan that protects what its own equations are about."""
    if shown.scope is None:
        return shown.leaks(problem)
    own = _problem_within(shown.scope, config, problem)
    return shown.leaks(own) / (own.sensitivity / problem.sensitivity) ** 2


def _problem_within(scope: Scope, config: RunConfig, problem: Problem) -> Problem:
    experiment = config.experiment
    learner, privacy = experiment.learner, experiment.privacy
    neighbours = Neighbours(
        level=scope.level,
        adjacency=scope.adjacency,
        clip=learner.clip,
        example_clip=privacy.example_clip,
        batch_size=learner.batch_size,
    )
    moved = neighbours.sensitivity(
        sent_bound=scheme_of(experiment).sent_bound, num_queries=experiment.learner.num_queries
    )
    return Problem(
        log_weights=problem.log_weights,
        caps=problem.caps * (moved / problem.sensitivity) ** 2,
        sensitivity=moved,
        accountant=accountant(
            scope.accountant, privacy.dp_epsilon, privacy.dp_delta, rate=None, num_rounds=problem.num_rounds
        ),
        votes=problem.votes,
    )


def _powers(
    shown: Schedule, config: RunConfig, terms: Terms, problem: Problem, amplitudes: Floats, variance: float
) -> list[Power]:
    limits = [limits_of(config, terms, float(amplitude), variance) for amplitude in amplitudes]
    if not shown.keeps_budget:
        return [Power(gain=each.max_gain(each.noise_std), noise_std=each.noise_std) for each in limits]
    noise = problem.noise(_leaks(shown, config, problem))
    return [power_for(float(wanted), each, terms.crediting) for wanted, each in zip(noise, limits, strict=True)]


def _preview(
    name: str,
    powers: list[Power],
    config: RunConfig,
    terms: Terms,
    problem: Problem,
    variance: float,
    best: float,
) -> Preview:
    credited = np.array([credited_noise(power, variance, terms.crediting) for power in powers])
    leaks = caps_at_full_power(credited, problem.sensitivity)
    totals = _totals(powers, variance, config.rig.num_devices)
    log_gap = _log_objective(problem, totals) - best
    return Preview(
        name=name,
        gains=np.array([power.gain for power in powers]),
        noise_stds=np.array([power.noise_std for power in powers]),
        leaks=leaks,
        error_stds=np.sqrt(totals) / config.rig.num_devices,
        share_of_budget=problem.spent(leaks) / problem.accountant.limit,
        gap=math.exp(log_gap) if log_gap < _LOG_HUGE else math.inf,
    )


def _totals(powers: list[Power], variance: float, num_devices: int) -> Floats:
    return np.array([total_noise(power, variance, num_devices) for power in powers])


def _log_objective(problem: Problem, totals: Floats) -> float:
    """log Σ W_t·min(total noise, K²s²)."""
    with np.errstate(divide="ignore"):  # without any noise
        terms = problem.log_weights + np.log(np.minimum(totals, problem.skip_noise))
    return float(logsumexp(terms))


def _db(power: float) -> float:
    return 10 * math.log10(power) if 0 < power < math.inf else math.inf
