"""The privacy ledger: charged on disk before a transmission is announced, never refunded."""

from __future__ import annotations

import math
from collections.abc import Iterable

from testbed.config import Experiment
from testbed.journal import AnyRecord, Journal, Spent
from testbed.privacy import budget_exact, epsilon_of, sensitivity
from testbed.schedule import Budget

_ROUNDING = 1e-9


class BudgetSpentError(Exception):
    """The next transmission would exceed the budget: the run ends here."""


def budget_of(experiment: Experiment) -> Budget:
    """What the experiment's (ε, δ) allows over all its rounds."""
    return Budget(
        rho=budget_exact(experiment.privacy.dp_epsilon, experiment.privacy.dp_delta),
        sensitivity=sensitivity(experiment.privacy.adjacency, experiment.learner.clip)
        * math.sqrt(experiment.learner.num_queries),
        num_rounds=experiment.rounds.num,
    )


class Ledger:
    """Total leak ρ of a run; ``limit`` is infinite where nothing is claimed."""

    def __init__(self, journal: Journal, *, limit: float, dp_delta: float, past: Iterable[AnyRecord]) -> None:
        self._journal = journal
        self._limit = limit
        self._dp_delta = dp_delta
        self.rho = 0.0
        self.unbounded = False
        """Whether something was sent whose leak cannot be stated."""
        for record in past:
            if isinstance(record, Spent):
                self._count(record.rho)

    def _count(self, rho: float | None) -> None:
        if rho is None:
            self.unbounded = True
        else:
            self.rho += rho

    def charge(self, round_index: int, attempt: int, rho: float | None) -> None:
        """Put a transmission's leak on disk. Raises BudgetSpentError, and charges nothing, if it is not affordable."""
        if self._limit < math.inf and (rho is None or self.rho + rho > self._limit * (1 + _ROUNDING)):
            raise BudgetSpentError(
                f"privacy budget: round {round_index} needs rho {rho if rho is None else f'{rho:.3g}'}, "
                f"{max(0.0, self._limit - self.rho):.3g} of {self._limit:.4g} is left"
            )
        self._journal.append(Spent(round=round_index, attempt=attempt, rho=rho))
        self._count(rho)

    @property
    def epsilon(self) -> float | None:
        """ε at the experiment's δ of everything sent so far; None where the leak cannot be stated."""
        return None if self.unbounded else epsilon_of(self.rho, self._dp_delta)


def claims_privacy(experiment: Experiment, *, has_receiver_noise: bool) -> bool:
    """Whether a run may state an ε at all."""
    return (
        experiment.schedule.name == "static"
        and experiment.scheme.name == "coherent"
        and not experiment.ground_truth
        and has_receiver_noise
    )


def privacy_statement(experiment: Experiment, *, has_receiver_noise: bool, epsilon: float | None) -> str:
    """What may be claimed, with its threat model, in words."""
    if experiment.ground_truth:
        return (
            "No privacy is claimed: ground_truth = true sends every device's scalar over the control plane, "
            "so that NMSE can be measured."
        )
    if not claims_privacy(experiment, has_receiver_noise=has_receiver_noise) or epsilon is None:
        return (
            f"No privacy is claimed: scheme {experiment.scheme.name!r} with schedule "
            f"{experiment.schedule.name!r} keeps no budget."
        )
    clients = "replacing" if experiment.privacy.adjacency == "client-replace" else "zeroing out"
    return (
        f"({epsilon:.3g}, {experiment.privacy.dp_delta:g})-differential privacy at client level ({clients} one "
        "client's scalars), against an honest-but-curious access point that sees every received sample, seed, gain and "
        "channel estimate, and passive devices that see the announced mean; receiver noise is trusted, nobody "
        "colludes, batches are not secret. Simulated: noise comes from a seed, so the guarantee itself is void here."
    )
