"""`testbed audit`: attacks the recorded observations of a simulated run, and sets what is proven beside the claim."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radio.schemes.registry import scheme
from testbed.audit.attack import Finding, Observations, attack
from testbed.config.schema import RunConfig
from testbed.errors import RunDirectoryError
from testbed.planning.ledger import Ledger
from testbed.planning.terms import Terms, is_simulated, scheme_of, terms_of
from testbed.plugins import registered
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.results.records import RoundRecord
from testbed.rounds.local_work import Loaded, device_scalars, load_model_and_task
from testbed.rounds.randomness import SeededRandomness


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The claim of a run, and what the attack found."""

    claimed_epsilon: float
    statement: str
    finding: Finding

    @property
    def refuted(self) -> str | None:
        """Why the claim is false, or None."""
        return self.finding.refutes(self.claimed_epsilon)

    @property
    def text(self) -> str:
        """For people."""
        found = self.finding
        bounds = [f"{found.epsilon_any:.3g} for any mechanism"]
        if found.epsilon_gaussian is not None:
            bounds.append(f"{found.epsilon_gaussian:.3g} for Gaussian noise")
        verdict = f"REFUTED: {self.refuted}" if self.refuted else "nothing speaks against the claim"
        return (
            f"claim: {self.statement}\n"
            f"attack: {found.num_trials} canaries on {found.num_rounds} rounds of y(t), by an attacker who knows every "
            f"other scalar; false positives {found.false_positive_rate:.2%}, false negatives "
            f"{found.false_negative_rate:.2%}\n"
            f"epsilon is at least {', '.join(bounds)}; claimed {self.claimed_epsilon:.3g} "
            f"(confidence {found.confidence:g}, same delta and threat model)\n"
            f"noise measured over noise counted: {found.noise_ratio_low:.3g} to {found.noise_ratio_high:.3g}\n"
            f"verdict: {verdict}"
        )


def audit_run(path: Path, *, max_rounds: int | None = None, confidence: float = 0.999) -> Audit:
    """Rebuild every round of a run from its journal and attack what was received.

    Raises RunDirectoryError for runs that claim nothing, or whose scalars cannot be computed again.
    """
    directory = RunDirectory.open(path)
    config = directory.read_config()
    terms = terms_of(config)
    _check(path, config, terms)
    past = j.read(directory.journal)
    ledger = Ledger(None, terms, past=past)
    spent = {(r.round, r.attempt): r.rho for r in past if isinstance(r, j.Spent)}
    results = [r for r in past if isinstance(r, j.Result)]
    records = {r.round: r for r in directory.read_rounds()}
    loaded = load_model_and_task(config)
    loaded.replica.load_weights(directory.initial_weights)
    residuals, noise = [], []
    for result in results[:max_rounds]:
        record, rho = records.get(result.round), spent.get((result.round, result.attempt))
        if record is not None and record.received and record.gain and rho:
            residuals.append(_residual(config, loaded, record))
            noise.append(terms.sensitivity**2 / (2 * rho))
        if result.coefficients:
            loaded.replica.update(result.seed, result.coefficients)
    if not residuals:
        raise RunDirectoryError(f"{path}: no round with a recorded y(t); run it again with this version of the toolkit")
    epsilon = ledger.epsilon
    assert epsilon is not None, "a run with a claim has stated leaks only"
    finding = attack(
        Observations(
            residuals=np.array(residuals),
            claimed_noise=np.array(noise),
            sensitivity=terms.sensitivity,
            rate=config.experiment.privacy.batch_rate or 1.0,
        ),
        dp_delta=config.experiment.privacy.dp_delta,
        confidence=confidence,
        generator=np.random.default_rng(config.experiment.seed),
    )
    return Audit(claimed_epsilon=epsilon, statement=ledger.statement, finding=finding)


def _check(path: Path, config: RunConfig, terms: Terms) -> None:
    sent = scheme_of(config.experiment)
    if terms.void is not None:
        raise RunDirectoryError(f"{path}: nothing to audit, no privacy is claimed: {terms.void}")
    if sent.exposes != "sum" or sent.frame_symbols(1) != 1:
        known = [name for name in registered("scheme") if scheme(name).exposes == "sum"]
        raise RunDirectoryError(
            f"{path}: got scheme {sent.name!r}, which exposes {sent.exposes!r} on {sent.frame_symbols(1)} symbols; "
            f"allowed: a scheme that exposes 'sum' on one symbol, so that y(t) is recorded: {', '.join(known)}; audit "
            "a run of one of these"
        )
    if not is_simulated(config.rig):
        raise RunDirectoryError(
            f"{path}: got a run on real radios, whose secret batches and noise nobody can compute again; allowed: "
            "simulated runs; audit the same experiment on the loopback rig"
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
