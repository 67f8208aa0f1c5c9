"""Decides the power of each round of a run: the experiment's schedule, the round's own channel, the ledger's rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from testbed.config.schema import RunConfig
from testbed.planning.forecast import noise_variance, weakest_amplitudes
from testbed.planning.ledger import BudgetSpentError, Ledger
from testbed.planning.radiated import Radiated
from testbed.planning.terms import Terms, scheme_of
from testbed.privacy.gaussian import leak
from testbed.schedule.artificial import DeviceNoise
from testbed.schedule.base import Told
from testbed.schedule.power import Power, RoundLimits, least_noise, noise_at, power_again, power_for, precision_of
from testbed.schedule.problem import Problem, caps_at_full_power, log_weights
from testbed.schedule.registry import schedule

Floats = NDArray[np.float64]

_DEEPEST_FADE = 1e100
"""Receiver noise over received power from which on a round is as good as lost."""
_ROUNDING = 1e-9
"""A gain is made so much smaller than the budget allows that rounding never exceeds it."""


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


def problem_of(config: RunConfig, terms: Terms, amplitudes: Floats, variance: float) -> Problem:
    """The schedule's problem, for rounds whose weakest devices arrive with ``amplitudes`` [T] at full power."""
    rig, schedule = config.rig, config.experiment.schedule
    floors = [least_noise(limits_of(config, terms, float(each), variance), terms.crediting) for each in amplitudes]
    device_noise = None
    if terms.votes is None and not terms.crediting.receiver_trusted:
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            floor = np.minimum((math.sqrt(variance) / amplitudes) ** 2, _DEEPEST_FADE) if variance > 0 else 0.0
        device_noise = DeviceNoise(
            receiver=np.asarray(floor * (scheme_of(config.experiment).exposes == "sum") * np.ones_like(amplitudes)),
            num_devices=rig.num_devices,
            num_noise_sources=terms.crediting.num_noise_sources,
            clip=terms.clip,
        )
    return Problem(
        log_weights=log_weights(config.experiment.rounds.num, schedule.contraction),
        caps=caps_at_full_power(np.array(floors), terms.sensitivity),
        sensitivity=terms.sensitivity,
        accountant=terms.accountant,
        skip_noise=math.inf if schedule.skip_rms is None else (rig.num_devices * schedule.skip_rms) ** 2,
        votes=terms.votes,
        device_noise=device_noise,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The next transmission."""

    power: Power
    rho: float | None
    """What it leaks beyond what its round has leaked; None where no leak can be stated."""
    radiated: Radiated
    """What its round will have radiated with it."""
    told: Told | None = None
    """What the schedule was told, which decides its later rounds too; None where it was not asked."""


class Planner:
    """Holds the schedule of a run; asks the ledger before every transmission."""

    def __init__(self, config: RunConfig, terms: Terms, past: Sequence[Told] = ()) -> None:
        """``past``: what the schedule was told in the rounds before, oldest first."""
        self._terms = terms
        self._schedule = schedule(config.experiment.schedule.name)
        if not self._schedule.keeps_budget:
            return
        num_rounds = config.experiment.rounds.num
        amplitudes = None if self._schedule.is_causal else weakest_amplitudes(config, num_rounds)
        if amplitudes is None:
            amplitudes = np.full(num_rounds, np.inf)
        self._schedule.begin(problem_of(config, terms, amplitudes, noise_variance(config)))
        self._schedule.replay(past)

    def decide(
        self,
        round_index: int,
        limits: RoundLimits,
        ledger: Ledger,
        *,
        margin: float = 1.0,
        before: Radiated | None = None,
    ) -> Decision:
        """Gain and noise of the next transmission, and what it leaks beside what its round has radiated ``before``.

        ``margin`` is by how much |h_k α_k| may exceed the gain. Raises BudgetSpentError when nothing is left.
        """
        if before is not None:
            limits = replace(limits, noise_std=before.noise_std)
        # an attacker may hear the gain times the margin, so the gain is made for noise that much weaker
        heard = replace(limits, noise_variance=limits.noise_variance / margin**2)
        if not self._schedule.keeps_budget or (before is not None and self._is_free(before)):
            power = Power(gain=limits.max_gain(limits.noise_std), noise_std=limits.noise_std)
            return self._decision(power, heard, before)
        if ledger.is_spent:
            raise BudgetSpentError(f"privacy budget: all of it is spent before round {round_index + 1}")
        told = Told(round_index, self._cap(limits), ledger.remaining)
        power = self._affordable(told, limits, heard, ledger, before)
        return replace(self._decision(power, heard, before), told=told)

    def _affordable(
        self, told: Told, limits: RoundLimits, heard: RoundLimits, ledger: Ledger, before: Radiated | None
    ) -> Power:
        """As much as schedule and ledger allow."""
        asked = self._schedule.next(told.round_index, told.cap, told.remaining)
        wanted = ledger.affordable(told.round_index, asked) * (1 - _ROUNDING)
        if wanted <= 0:
            return Power(gain=0.0, noise_std=limits.noise_std)
        sensitivity, crediting = self._terms.sensitivity, self._terms.crediting
        if before is None:
            return power_for(sensitivity**2 / (2 * wanted), heard, crediting)
        together = wanted + (before.rho or 0.0)
        return power_again(sensitivity**2 / (2 * together), heard, crediting, precision=before.precision)

    def _is_free(self, before: Radiated) -> bool:
        """Whether what was sent may be sent again at no cost: all that hides it is a noise that does not change."""
        return not self._terms.crediting.receiver_trusted and before.precision > 0

    def _cap(self, limits: RoundLimits) -> float:
        floor = least_noise(limits, self._terms.crediting)
        return float(caps_at_full_power(np.array(floor), self._terms.sensitivity))

    def _decision(self, power: Power, heard: RoundLimits, before: Radiated | None) -> Decision:
        crediting = self._terms.crediting
        before = before or Radiated(noise_std=power.noise_std)
        precision = before.precision + precision_of(power.gain, heard.noise_variance, crediting)
        total = leak(self._terms.sensitivity, noise_at(precision, power.noise_std, crediting))
        if before.rho is None or not math.isfinite(total):
            return Decision(power=power, rho=None, radiated=replace(before, precision=precision, rho=None))
        charged = max(0.0, total - before.rho)
        return Decision(
            power=power, rho=charged, radiated=replace(before, precision=precision, rho=before.rho + charged)
        )
