"""`testbed audit RUN_DIR`: plays a simulated run again, attacks all that it radiated, and judges what it claims.

A run that cannot be played again bit for bit, such as one that was resumed, is attacked by what it recorded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from radio.schemes.registry import scheme
from testbed.audit import bounds
from testbed.audit.attack import Finding, Observations, attack
from testbed.audit.attacker import RoundHeard, targets
from testbed.audit.canaries import measured_shifts
from testbed.audit.judge import Verdict, judge
from testbed.audit.witness import Witness, witness
from testbed.config.schema import RunConfig
from testbed.errors import RunDirectoryError
from testbed.hosts.local_work import Loaded, device_scalars, load_model_and_task
from testbed.hosts.randomness import SeededRandomness
from testbed.planning.ledger import Ledger
from testbed.planning.terms import Terms, is_simulated, scheme_of, terms_of
from testbed.plugins import registered
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.results.records import RoundRecord

_CANARY_ROUNDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The claim of a run, and what was found out about it."""

    claimed_epsilon: float
    statement: str
    confidence: float
    refutations: tuple[str, ...]
    """Why the claim is false; empty where nothing speaks against it."""
    finding: Finding
    """Of hypothetical canaries on what was received."""
    verdict: Verdict | None
    """Of everything that was radiated; None of a run that could not be played again."""

    @property
    def refuted(self) -> str | None:
        """Why the claim is false, or None."""
        return "; ".join(self.refutations) or None

    @property
    def text(self) -> str:
        """For people; the verdict first."""
        lines = [f"REFUTED: {reason}" for reason in self.refutations] or [
            f"NOT REFUTED: nothing speaks against the claim at {self.confidence:.4g} confidence"
        ]
        lines.append(f"claim: {self.statement}")
        lines += self._of_noise() if self.verdict is not None else [_NOT_AGAIN]
        found = self.finding
        known = [f"{found.epsilon_any:.3g} for any mechanism (two error rates)"]
        if found.epsilon_gaussian is not None:
            known.append(f"{found.epsilon_gaussian:.3g} for Gaussian noise")
        lines.append(
            f"proven by {found.num_trials} canaries played on {found.num_rounds} rounds, by who knows every other "
            f"scalar: epsilon is at least {', '.join(known)}; claimed {self.claimed_epsilon:.3g}"
        )
        lines.append(f"noise measured over noise charged: {found.noise_ratio_low:.3g} to {found.noise_ratio_high:.3g}")
        return "\n".join(lines)

    def _of_noise(self) -> list[str]:
        verdict = self.verdict
        assert verdict is not None
        proof = verdict.proof
        if proof is None:
            return []
        lines = []
        if verdict.proven_epsilon is not None and verdict.epsilon_limit is not None:
            lines.append(
                f"proven by the noise of {proof.num_values} values (chi-squared, Gaussian noise assumed): epsilon is "
                f"at least {verdict.proven_epsilon:.3g}; the limit of so many values is {verdict.epsilon_limit:.3g}"
            )
        if verdict.gaussian:
            proven, limit = (bounds.epsilon_at(mu, verdict.dp_delta) for mu in (proof.one_run_mu, proof.one_run_limit))
            lines.append(
                f"proven by {proof.num_canaries} canaries of this one run (arXiv 2410.22235, trade-off of mu-GDP): "
                f"epsilon is at least {proven:.3g}; the limit of so many canaries is {limit:.3g}"
            )
        return lines


_NOT_AGAIN = (
    "this run could not be played again as it was recorded (it was resumed, or made by another version), so only what "
    "it recorded of its last attempts was attacked"
)


def audit_run(path: Path, *, max_rounds: int | None = None, confidence: float = 0.999) -> Audit:
    """Judge a run by what it radiated, or, if it cannot be played again, by what it recorded.

    A sound claim is refuted with probability 1 − ``confidence`` at most. Raises RunDirectoryError for runs that claim
    nothing, or that nobody can compute again.
    """
    directory = RunDirectory.open(path)
    config = directory.read_config()
    terms = terms_of(config)
    _check(path, config, terms)
    recorded = j.read(directory.journal)
    ledger = Ledger(None, terms, past=recorded)
    if ledger.void is not None:
        raise RunDirectoryError(f"{path}: nothing to audit, no privacy is claimed: {ledger.void}")
    epsilon, statement = ledger.epsilon, ledger.statement
    assert epsilon is not None, "a run with a claim has stated leaks only"
    loaded = load_model_and_task(config)
    loaded.replica.load_weights(directory.initial_weights)
    shifts = measured_shifts(config, loaded, num_rounds=min(_CANARY_ROUNDS, config.experiment.rounds.num))
    refutations = [shifts.refutation] if shifts.refutation else []
    run = _played_again(config, loaded, recorded, max_rounds)
    failure = (1 - confidence) / 2
    verdict = None
    if run is not None:
        run = replace(
            run, summary=msgspec.structs.replace(run.summary, epsilon_spent=epsilon, privacy=statement, rho_spent=None)
        )
        verdict = judge([run], failure=failure, seed=config.experiment.seed)
        refutations += verdict.refutations
        seen = _observed(config, terms, max(targets([run]).values(), key=len, default=[]))
    else:
        loaded.replica.load_weights(directory.initial_weights)
        seen = _as_recorded(path, directory, config, terms, loaded, recorded, max_rounds)
    finding = attack(
        seen,
        dp_delta=config.experiment.privacy.dp_delta,
        confidence=1 - failure,
        generator=np.random.default_rng(config.experiment.seed),
    )
    by_canaries = finding.refutes(epsilon)
    return Audit(
        claimed_epsilon=epsilon,
        statement=statement,
        confidence=confidence,
        refutations=(*refutations, *([by_canaries] if by_canaries else [])),
        finding=finding,
        verdict=verdict,
    )


def _check(path: Path, config: RunConfig, terms: Terms) -> None:
    if terms.void is not None:
        raise RunDirectoryError(f"{path}: nothing to audit, no privacy is claimed: {terms.void}")
    if not is_simulated(config.rig):
        raise RunDirectoryError(
            f"{path}: got a run on real radios, whose secret batches and noise nobody can compute again; allowed: "
            "simulated runs; audit the same experiment on the loopback rig"
        )


def _played_again(
    config: RunConfig, loaded: Loaded, recorded: Sequence[j.AnyRecord], max_rounds: int | None
) -> Witness | None:
    """The run under a witness, with the recorded journal's charges; None where anything differs from the record."""
    results = [r for r in recorded if isinstance(r, j.Result)][:max_rounds]
    run = witness(config, load=lambda _: loaded, num_rounds=len(results))
    played = {r.round for r in results}
    spent = tuple(r for r in recorded if isinstance(r, j.Spent) and r.round in played)
    again = [(r.round, r.attempt, r.status, r.estimates, r.updates) for r in run.results]
    if again != [(r.round, r.attempt, r.status, r.estimates, r.updates) for r in results]:
        return None
    if [(s.round, s.attempt, s.rho) for s in spent] != [(s.round, s.attempt, s.rho) for s in run.spent]:
        return None
    return replace(run, spent=spent)


def _observed(config: RunConfig, terms: Terms, rounds: Sequence[RoundHeard]) -> Observations:
    """The first transmission of each round, for canaries that are only thought of."""
    kept = [each for each in rounds if each.heard and 0 < each.rho < math.inf]
    if not kept:
        raise RunDirectoryError("no round of this run radiated anything that was charged; audit a longer run")
    return Observations(
        residuals=np.array([each.heard[0].residual for each in kept]),
        claimed_noise=np.array([terms.sensitivity**2 / (2 * each.rho) for each in kept]),
        sensitivity=terms.sensitivity,
        rate=config.experiment.privacy.batch_rate or 1.0,
    )


def _as_recorded(
    path: Path,
    directory: RunDirectory,
    config: RunConfig,
    terms: Terms,
    loaded: Loaded,
    recorded: Sequence[j.AnyRecord],
    max_rounds: int | None,
) -> Observations:
    """The received symbols in rounds.jsonl, less everybody's scalars, computed again on the journal's weights."""
    sent = scheme_of(config.experiment)
    if sent.exposes != "sum" or sent.frame_symbols(1) != 1:
        known = [name for name in registered("scheme") if scheme(name).exposes == "sum"]
        raise RunDirectoryError(
            f"{path}: could not be played again as it was recorded, and got scheme {sent.name!r}, which exposes "
            f"{sent.exposes!r} on {sent.frame_symbols(1)} symbols; allowed: one that exposes 'sum' on one symbol, so "
            f"that y(t) is recorded: {', '.join(known)}; or a run that was not resumed"
        )
    spent: dict[int, float | None] = {}
    for each in recorded:
        if isinstance(each, j.Spent):
            before = spent.get(each.round, 0.0)
            spent[each.round] = None if before is None or each.rho is None else before + each.rho
    records = {r.round: r for r in directory.read_rounds()}
    residuals, noise = [], []
    for result in [r for r in recorded if isinstance(r, j.Result)][:max_rounds]:
        record, rho = records.get(result.round), spent.get(result.round)
        if record is not None and record.received and record.gain and rho:
            residuals.append(_residual(config, loaded, record))
            noise.append(terms.sensitivity**2 / (2 * rho))
        loaded.replica.replay(result.updates)
    if not residuals:
        raise RunDirectoryError(f"{path}: no round with a recorded y(t); run it again with this version of the toolkit")
    return Observations(
        residuals=np.array(residuals),
        claimed_noise=np.array(noise),
        sensitivity=terms.sensitivity,
        rate=config.experiment.privacy.batch_rate or 1.0,
    )


def _residual(config: RunConfig, loaded: Loaded, record: RoundRecord) -> list[float]:
    """Re(y)/c minus the sum of everybody's scalars, per query."""
    experiment, devices = config.experiment, range(config.rig.num_devices)
    sources = {device: SeededRandomness(experiment.seed, device) for device in devices}
    scalars = device_scalars(
        loaded, experiment, devices, sources, round_index=record.round, seed=record.seed
    ).projected_gradients  # [K, Q]
    sent = scheme_of(experiment).mapped(np.clip(scalars, -experiment.learner.clip, experiment.learner.clip))
    assert record.received is not None
    assert record.gain is not None
    heard = np.array([real for real, _ in record.received]) / record.gain
    return [float(value) for value in heard - sent.sum(axis=0)]
