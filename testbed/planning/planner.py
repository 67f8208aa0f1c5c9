"""Decides the power of each round of a run: the experiment's schedule, the round's own channel, the ledger's rest."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from testbed.config.schema import RunConfig
from testbed.config.words import ScheduleName
from testbed.planning.forecast import noise_variance, weakest_amplitudes
from testbed.planning.ledger import BudgetSpentError, Ledger
from testbed.planning.terms import AGGREGATE_SCHEMES, Terms
from testbed.privacy.gaussian import leak
from testbed.schedule import artificial as artificial_noise
from testbed.schedule.causal import Online
from testbed.schedule.names import inverse_of, leaks
from testbed.schedule.power import Power, RoundLimits, credited_noise, least_noise, power_for
from testbed.schedule.problem import Problem, caps_at_full_power, log_weights

Floats = NDArray[np.float64]

_ROUNDING = 1e-9
"""A gain is made so much smaller than the budget allows that rounding never exceeds it."""
_KNOWN_CHANNELS = 1000


def limits_of(config: RunConfig, terms: Terms, amplitude: float, variance: float) -> RoundLimits:
    """What the air allows in a round whose weakest device arrives with ``amplitude`` at full power."""
    experiment = config.experiment
    return RoundLimits(
        amplitude=amplitude,
        noise_variance=variance,
        clip=terms.clip,
        noise_std=experiment.privacy.artificial_noise_std,
        min_gain=experiment.schedule.min_gain,
    )


def caps_of(config: RunConfig, terms: Terms, amplitudes: Floats, variance: float) -> Floats:
    """Leaks at full power [T] of rounds whose weakest devices arrive with ``amplitudes`` [T]."""
    floors = [least_noise(limits_of(config, terms, float(each), variance), terms.crediting) for each in amplitudes]
    return caps_at_full_power(np.array(floors), terms.sensitivity)


def problem_of(config: RunConfig, terms: Terms, caps: Floats) -> Problem:
    """The schedule's problem."""
    schedule = config.experiment.schedule
    return Problem(
        log_weights=log_weights(config.experiment.rounds.num, schedule.contraction),
        caps=caps,
        sensitivity=terms.sensitivity,
        accountant=terms.accountant,
        skip_noise=math.inf if schedule.skip_rms is None else (config.rig.num_devices * schedule.skip_rms) ** 2,
    )


def planned_leaks(
    name: ScheduleName, config: RunConfig, terms: Terms, problem: Problem, amplitudes: Floats, variance: float
) -> Floats:
    """Leaks [T] of a schedule that knows every channel in advance."""
    if name in ("solution", "reversed") and not terms.crediting.receiver_trusted and terms.votes is None:
        return artificial_noise.leaks_without_receiver(
            problem,
            problem.log_weights if name == "solution" else -problem.log_weights,
            receiver=variance / amplitudes**2 * (config.experiment.scheme.name in AGGREGATE_SCHEMES),
            num_devices=config.rig.num_devices,
            num_noise_sources=terms.crediting.num_noise_sources,
            clip=terms.clip,
        )
    return leaks(name, problem, terms.votes)


class Planner:
    """Holds the plan of a run; asks the ledger before every transmission."""

    def __init__(self, config: RunConfig, terms: Terms) -> None:
        self._config = config
        self._terms = terms
        self._name = config.experiment.schedule.name
        num_rounds = config.experiment.rounds.num
        self._plan = np.zeros(num_rounds)
        self._caps: list[float] = []
        if self._name in ("full", "online"):
            return
        amplitudes = weakest_amplitudes(config, num_rounds)
        if amplitudes is None:  # static needs none
            amplitudes = np.full(num_rounds, np.inf)
        variance = noise_variance(config)
        problem = problem_of(config, terms, caps_of(config, terms, amplitudes, variance))
        self._plan = planned_leaks(self._name, config, terms, problem, amplitudes, variance)
        costs = terms.accountant.cost(self._plan)
        self._planned_rest = np.cumsum(costs[::-1])[::-1]

    def decide(
        self, round_index: int, limits: RoundLimits, ledger: Ledger, *, margin: float = 1.0
    ) -> tuple[Power, float | None]:
        """Gain, noise and leak ρ of the next transmission; ρ is None where no leak can be stated.

        ``margin`` is by how much |h_k α_k| may exceed the gain. Raises BudgetSpentError when nothing is left.
        """
        if self._name == "full":
            power = Power(gain=limits.max_gain(limits.noise_std), noise_std=limits.noise_std)
            return power, self._leak(power, limits, margin)
        if ledger.is_spent:
            raise BudgetSpentError(f"privacy budget: all of it is spent before round {round_index}")
        wanted = ledger.affordable(round_index, self._wanted(round_index, limits, ledger)) * (1 - _ROUNDING)
        if wanted <= 0:
            return Power(gain=0.0, noise_std=limits.noise_std), 0.0
        # an attacker may hear the gain times the margin, so the gain is made for noise that much stronger
        noise = self._terms.sensitivity**2 / (2 * wanted)
        power = power_for(
            noise, replace(limits, noise_variance=limits.noise_variance / margin**2), self._terms.crediting
        )
        return power, self._leak(power, limits, margin)

    def _wanted(self, round_index: int, limits: RoundLimits, ledger: Ledger) -> float:
        if self._name == "online":
            return self._online(round_index, limits, ledger.remaining)
        planned, rest = float(self._plan[round_index]), float(self._planned_rest[round_index])
        # repeats may have spent what was meant for later rounds: then all that follow share the loss
        return planned * min(1.0, ledger.remaining / rest) if rest > 0 else planned

    def _online(self, round_index: int, limits: RoundLimits, remaining: float) -> float:
        floor = least_noise(limits, self._terms.crediting)
        cap = float(caps_at_full_power(np.array(floor), self._terms.sensitivity))
        self._caps.append(cap)
        num_known = len(self._caps)
        if num_known <= _KNOWN_CHANNELS and num_known & (num_known - 1) == 0:  # 1, 2, 4, 8 … channels are known
            problem = problem_of(self._config, self._terms, np.array(self._caps))
            self._solver = Online(problem, inverse=inverse_of("online", self._terms.votes))
        return self._solver.leak(round_index, cap, remaining)

    def _leak(self, power: Power, limits: RoundLimits, margin: float) -> float | None:
        heard = Power(gain=power.gain * margin, noise_std=power.noise_std)
        rho = leak(self._terms.sensitivity, credited_noise(heard, limits.noise_variance, self._terms.crediting))
        return rho if math.isfinite(rho) else None
