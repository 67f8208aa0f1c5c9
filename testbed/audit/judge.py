"""Sets what a run did beside what it claims: what follows from the record, and what its noise proves.

Two kinds of tests. Exact ones compare what happened with what was charged, and cannot err. Statistical ones hold at a
level that is shared among all of them, so that a sound run is refuted with at most the probability that was asked for.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

from testbed.audit import bounds
from testbed.audit.attacker import STRATEGIES, RoundHeard, charged_by_round, public_coins, targets, true_rho
from testbed.audit.witness import Witness
from testbed.planning.terms import Terms, terms_of

Floats = NDArray[np.float64]

_ROUNDING = 1e-6
_GUESSED_SHARE = 5
"""The attacker guesses about one canary in so many, those that it is surest of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What one run proves of the noise of one target, at its confidence; nothing of it is a claim of safety."""

    num_values: int
    factor: float
    """Noise variance over what was charged, at most."""
    factor_limit: float
    """The same at best, of noise that is exactly as strong as charged."""
    num_canaries: int
    one_run_mu: float
    one_run_limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a claim."""

    statement: str
    claimed_epsilon: float
    charged_rho: float
    dp_delta: float
    confidence: float
    refutations: tuple[str, ...]
    """Why the claim is false, each by its test; empty where nothing speaks against it."""
    proof: Proof | None
    gaussian: bool
    """Whether the leak is that of composed Gaussians, so that ε follows from μ; not with secret batches."""

    @property
    def refuted(self) -> bool:
        """Whether the claim is false."""
        return bool(self.refutations)

    @property
    def proven_epsilon(self) -> float | None:
        """ε at least, of noise of known shape; None where the leak is not that of Gaussians."""
        if self.proof is None or not self.gaussian or not math.isfinite(self.charged_rho):
            return None
        if self.proof.factor <= 0:
            return math.inf
        return bounds.epsilon_at(math.sqrt(2 * self.charged_rho / self.proof.factor), self.dp_delta)

    @property
    def epsilon_limit(self) -> float | None:
        """What `proven_epsilon` comes to at best for a run of this size whose noise is as strong as charged."""
        if self.proof is None or not self.gaussian or not math.isfinite(self.charged_rho):
            return None
        return bounds.epsilon_at(math.sqrt(2 * self.charged_rho / self.proof.factor_limit), self.dp_delta)


def judge(watched: Sequence[Witness], *, failure: float = 0.05, seed: int = 1) -> Verdict:
    """Judge the claim of a run, played in one session or several on one directory.

    ``failure`` is how likely a sound claim may be refuted, in all tests together. ``seed`` draws canaries' coins.
    """
    last = watched[-1]
    config = last.config
    terms = terms_of(config)
    claimed = last.summary.epsilon_spent
    assert claimed is not None, "only runs that claim something are judged"
    heard = targets(watched)
    num_tests = len(STRATEGIES) * max(1, len(heard))
    refutations = [*_exact(watched, terms, heard), *_by_noise(heard, terms, failure / num_tests)]
    worst = max(heard.values(), key=len, default=[])
    return Verdict(
        statement=last.summary.privacy,
        claimed_epsilon=claimed,
        charged_rho=sum(charged_by_round(last).values()),
        dp_delta=terms.dp_delta,
        confidence=1 - failure,
        refutations=tuple(refutations),
        proof=_proof(worst, terms, failure, seed) if worst else None,
        gaussian=config.experiment.privacy.batch_rate is None,
    )


def _exact(watched: Sequence[Witness], terms: Terms, heard: dict[int, list[RoundHeard]]) -> Iterator[str]:
    """What follows from the record."""
    last = watched[-1]
    revealed = sum(bool(each.revealed) for run in watched for each in run.attempts)
    if revealed:
        yield f"bare scalars went over the control plane in {revealed} attempts"
    radiated = Counter((each.round, each.attempt) for run in watched for each in run.attempts if each.sent)
    charged = Counter((spent.round, spent.attempt) for spent in last.spent)
    missing = sum((radiated - charged).values())
    if missing:
        yield f"{missing} of {sum(radiated.values())} transmissions are not in the ledger"
    claimed_rho = last.summary.rho_spent if last.summary.rho_spent is not None else math.inf
    in_journal = sum(charged_by_round(last).values())
    if claimed_rho < in_journal * (1 - _ROUNDING):
        yield f"the statement counts rho {claimed_rho:.4g}, but the journal holds {in_journal:.4g}"
    leaks = [math.fsum(true_rho(each, terms.sensitivity) for each in rounds) for rounds in heard.values()]
    if leaks and max(leaks) > in_journal * (1 + _ROUNDING):
        yield (
            f"what was radiated leaks rho {max(leaks):.4g} by the air's own channels and noise, but {in_journal:.4g} "
            "was charged"
        )
    yield from _known_batches(watched)


def _known_batches(watched: Sequence[Witness]) -> Iterator[str]:
    rate = watched[-1].config.experiment.privacy.batch_rate
    if rate is None:
        return
    drawn = [(each.seed, k, coins) for run in watched for each in run.attempts for k, coins in each.coins.items()]
    if drawn and all(np.array_equal(coins, public_coins(seed, k, coins.size, rate)) for seed, k, coins in drawn):
        yield f"batches are not secret: all {len(drawn)} follow from public seeds, so nothing is gained by their rate"


def _by_noise(heard: dict[int, list[RoundHeard]], terms: Terms, failure: float) -> Iterator[str]:
    """Whether some combination of what was heard has less noise than was charged for its round."""
    for name, strategy in STRATEGIES.items():
        for device, rounds in heard.items():
            squares, num = 0.0, 0
            for each in rounds:
                left = strategy(each)
                if left is not None and 0 < each.rho < math.inf:
                    squares += float(np.sum(left**2)) * 2 * each.rho / terms.sensitivity**2
                    num += left.size
            factor = bounds.noise_factor(squares, num, failure)
            if num and factor < 1:
                yield f"{name}: of device {device}, noise is at most {factor:.3g} times as strong as was charged"
                break


def _proof(rounds: list[RoundHeard], terms: Terms, failure: float, seed: int) -> Proof | None:
    """What the run's own noise proves: its strength, and what it would have told of canaries that share one run."""
    kept = [each for each in rounds if 0 < each.rho < math.inf and each.heard]
    if not kept:
        return None
    scaled = np.array([each.heard[0].residual * math.sqrt(2 * each.rho) / terms.sensitivity for each in kept])  # [T, Q]
    shifts = np.array([math.sqrt(2 * each.rho / scaled.shape[1]) for each in kept])  # per value, in units of noise
    half = failure / 2
    mu, num_canaries = _canaries(scaled.ravel(), np.repeat(shifts, scaled.shape[1]), half, seed)
    return Proof(
        num_values=scaled.size,
        factor=bounds.noise_factor(float(np.sum(scaled**2)), scaled.size, half),
        factor_limit=bounds.noise_limit(scaled.size, half),
        num_canaries=num_canaries,
        one_run_mu=mu,
        one_run_limit=bounds.one_run_limit(num_canaries, half),
    )


def _canaries(scaled: Floats, shifts: Floats, failure: float, seed: int) -> tuple[float, int]:
    """μ that canaries of one run prove, and how many there were.

    Canary i is in all rounds that are kept, with signs of its own that are orthogonal to everybody else's, and as
    strong as the weakest of these rounds bears. So what tells it is a Gaussian of its own.
    """
    order = np.argsort(-shifts)
    sizes = [2**power for power in range(int(math.log2(scaled.size)) + 1)]
    size = max(sizes, key=lambda n: shifts[order[n - 1]] * math.sqrt(n))
    kept, strength = order[:size], float(shifts[order[size - 1]]) * math.sqrt(size)
    noise = hadamard(size) @ scaled[kept] / math.sqrt(size)
    coins = np.random.default_rng(seed).choice([-1.0, 1.0], size)
    scores = coins * strength / 2 + noise
    guessed = np.argsort(-np.abs(scores))[: max(1, size // _GUESSED_SHARE)]
    right = int(np.sum(np.sign(scores[guessed]) == coins[guessed]))
    return bounds.one_run_mu(size, len(guessed), right, failure), size
