"""Random instances of the schedule's problem, for tests and benchmarks; everything follows from the generator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from testbed.privacy.accountants import accountant
from testbed.schedule.online import Balance
from testbed.schedule.problem import Problem, caps_at_full_power, log_weights
from testbed.schedule.registry import schedule

Floats = NDArray[np.float64]

BUDGETED = ("paper", "solution", "static", "reversed")


def weakest_gain_powers(generator: np.random.Generator, num_rounds: int, num_devices: int, rice_k: float) -> Floats:
    """min_k |h_k|² of block-fading rounds, E|h|² = 1, shape [T]; Rice factor 0 is Rayleigh."""
    scattered = generator.standard_normal((num_rounds, num_devices, 2)) @ np.array([1, 1j]) / math.sqrt(2)
    gains = (math.sqrt(rice_k) + scattered) / math.sqrt(1 + rice_k)
    return np.asarray((np.abs(gains) ** 2).min(axis=1))


def problem(
    weakest: Floats,
    *,
    snr_db: float,
    clip: float,
    sensitivity: float,
    contraction: float,
    judge: Any,
    skip_noise: float,
) -> Problem:
    """The problem of rounds with these channels at a symbol SNR (P·E|h|²/N0')."""
    least_noise = clip**2 / (10 ** (snr_db / 10) * weakest)
    return Problem(
        log_weights=log_weights(len(weakest), contraction),
        caps=caps_at_full_power(least_noise, sensitivity),
        sensitivity=sensitivity,
        accountant=judge,
        skip_noise=skip_noise,
    )


def random_problem(generator: np.random.Generator, *, max_rounds: int = 40) -> Problem:
    """Anything that a user could ask for, small."""
    num_rounds, num_devices = int(generator.integers(1, max_rounds)), int(generator.integers(1, 30))
    epsilon, delta = float(generator.uniform(0.1, 12)), float(10 ** generator.uniform(-7, -1.5))
    name = str(generator.choice(["exact", "zcdp", "paper"]))
    clip = float(10 ** generator.uniform(-1, 3))
    return problem(
        weakest_gain_powers(generator, num_rounds, num_devices, float(generator.choice([0.0, 5.0]))),
        snr_db=float(generator.uniform(-60, 60)),
        clip=clip,
        sensitivity=clip * float(generator.choice([2.0, 1.0, 2 / 16, 1 / 64])),
        contraction=float(1 - 10 ** generator.uniform(-5, -0.5)),
        judge=accountant(name, epsilon, delta, rate=None, num_rounds=num_rounds),  # type: ignore[arg-type]
        skip_noise=float(generator.choice([math.inf, (clip * 10 ** generator.uniform(-1, 2)) ** 2])),
    )


def leaks(name: str, asked: Problem) -> Floats:
    """Leaks [T] of the schedule of that name."""
    return schedule(name).leaks(asked)


def play_online(asked: Problem, forecast: Problem | None = None) -> Floats:
    """The causal schedule over a whole run, with caps sampled from ``forecast`` (default: this run's own)."""
    online = Balance(forecast or asked)
    remaining, played = asked.accountant.limit, []
    for round_index, cap in enumerate(asked.caps):
        rho = online.leak(round_index, float(cap), remaining)
        remaining -= float(asked.accountant.cost(np.array(rho)))
        played.append(rho)
    return np.array(played)


def worst_overspend(asked: Problem) -> float:
    """max over budgeted schedules and prefixes of (spent − budget)/budget; costs are never negative, so ≤ 0 is safe."""
    runs = [leaks(name, asked) for name in BUDGETED] + [play_online(asked)]
    limit = asked.accountant.limit
    return max((math.fsum(asked.accountant.cost(run)) - limit) / limit for run in runs)


def objective_by_slsqp(asked: Problem, noise_variance: float, num_devices: int, clip: float, start: Floats) -> float:
    """The least Σ W_t·(N0'/c² + Kσ²) over gains and noises jointly, by a general-purpose solver that knows no KKT.

    Variables are log(c²/N0') and σ² in units of the first guess's noise; constraints are power and total leak.
    """
    weights = np.exp(asked.log_weights)
    scale = asked.noise(start)
    num = asked.num_rounds
    highest = np.log(2 * asked.caps / asked.sensitivity**2)  # log(c²/N0') at full power without noise

    def noise(x: Floats) -> Floats:
        return np.asarray(np.exp(-x[:num]) + num_devices * x[num:] ** 2 * scale)

    def total(x: Floats) -> float:
        return float(np.sum(weights * noise(x)) / np.sum(weights * scale))

    def slack(x: Floats) -> float:
        return 1 - float(np.sum(asked.sensitivity**2 / (2 * noise(x)))) / asked.accountant.limit

    guess = np.concatenate([np.minimum(-np.log(scale) - 0.2, highest), np.full(num, 0.05)])
    found = minimize(
        total,
        guess,
        method="SLSQP",
        bounds=[*((None, float(top)) for top in highest), *[(0.0, None)] * num],
        constraints=[{"type": "ineq", "fun": slack}],
        options={"maxiter": 2000, "ftol": 1e-15},
    )
    feasible = slack(found.x) >= -1e-9
    return math.log(total(found.x) * float(np.sum(weights * scale))) if feasible else math.inf
