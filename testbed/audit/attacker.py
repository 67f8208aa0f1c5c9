"""What an attacker makes of everything that a run radiated: all attempts, all sessions, all schemes. Pure functions.

The attacker is the access point of the threat model at its strongest: it knows every channel, every plan and seed, and
every scalar but one. What is left of an observation, per unit of that scalar, is noise; the ledger has charged a round
as if no linear combination of its observations had less than u = Δ²/(2ρ).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from radio.randomness import generator
from radio.waveform.layouts import payload_layout
from radio.waveform.misalignment import MAX_CODES
from radio.waveform.modulation import matched_filter
from testbed.audit.witness import Sent, Witness, Witnessed
from testbed.bench.rig import scheme_of
from testbed.planning.terms import Terms, terms_of

Floats = NDArray[np.float64]

_SAME = 1e-6
"""Noise draws that differ by less, relative to σ, are one draw."""
_JITTER = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heard:
    """One observation of one target, and what is known of its noise."""

    residual: Floats
    """[Q], what is left of it per unit of the target's scalar."""
    noise_std: float
    """σ of the artificial noise in it, all that counts of it."""
    unit_noise: Floats
    """[Q], the target's own draw n/σ; zeros without."""
    receiver: float
    """Variance of receiver noise in it, by the air's own truth; 0 where receiver noise does not count."""
    public_noise: Floats
    """[Q], the artificial noise in it as anybody could compute it, if it came from the round's public seed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoundHeard:
    """Everything that one round radiated of one target."""

    round: int
    rho: float
    """What the journal holds for it."""
    heard: tuple[Heard, ...]


Strategy = Callable[[RoundHeard], Floats | None]


def first(each: RoundHeard) -> Floats | None:
    """One transmission alone."""
    return each.heard[0].residual if each.heard else None


def averaged(each: RoundHeard) -> Floats | None:
    """All transmissions of one value, weighted by their receiver noise; equally where that does not count."""
    if len(each.heard) < 2:
        return None
    weights = np.array([1 / heard.receiver if heard.receiver > 0 else 1.0 for heard in each.heard])
    return np.asarray(np.tensordot(weights / weights.sum(), [heard.residual for heard in each.heard], axes=1))


def solved(each: RoundHeard) -> Floats | None:
    """Two transmissions of p + σξ under different σ, solved for p."""
    for one in each.heard[:-1]:
        other = each.heard[-1]
        if not math.isclose(one.noise_std, other.noise_std, rel_tol=1e-9):
            apart = other.noise_std - one.noise_std
            return (other.noise_std * one.residual - one.noise_std * other.residual) / apart
    return None


def public(each: RoundHeard) -> Floats | None:
    """One transmission less the noise that follows from the direction's public seed."""
    if not each.heard or each.heard[0].noise_std == 0:
        return None
    return each.heard[0].residual - each.heard[0].public_noise


STRATEGIES: dict[str, Strategy] = {
    "one transmission": first,
    "the mean of all transmissions": averaged,
    "two noises, two equations": solved,
    "noise from the public seed taken off": public,
}


def targets(watched: Sequence[Witness]) -> dict[int, list[RoundHeard]]:
    """target device → its rounds. Sums are attacked through each device in turn, as they arrive a little different."""
    config = watched[0].config
    terms, sum_heard = terms_of(config), scheme_of(config).exposes == "sum"
    charged = charged_by_round(watched[-1])
    found: dict[int, dict[int, list[Heard]]] = {device: {} for device in range(config.rig.num_devices)}
    for run in watched:
        for each in run.attempts:
            if each.plan is None:
                continue
            raw = _raw_symbols(each, run, terms) if sum_heard else None
            for sent in each.sent:
                heard = _of_sum(each, sent, raw, run, terms) if raw is not None else _of_device(each, sent, sum_heard)
                if heard is not None:
                    found[sent.device].setdefault(each.round, []).append(heard)
    return {
        device: [
            RoundHeard(round=t, rho=charged.get(t, 0.0), heard=tuple(heard)) for t, heard in sorted(rounds.items())
        ]
        for device, rounds in found.items()
    }


def charged_by_round(run: Witness) -> dict[int, float]:
    """ρ of each round in the journal, infinite where none was stated."""
    charged: dict[int, float] = {}
    for spent in run.spent:
        charged[spent.round] = charged.get(spent.round, 0.0) + (math.inf if spent.rho is None else spent.rho)
    return charged


def true_rho(each: RoundHeard, sensitivity: float) -> float:
    """ρ of a round by the air's truth: least variance over all linear combinations of what was radiated."""
    if not each.heard:
        return 0.0
    spreads = np.array([heard.noise_std for heard in each.heard])
    receiver = np.array([heard.receiver for heard in each.heard])
    draws = np.array([heard.unit_noise for heard in each.heard])  # [A, Q]
    same = np.abs(draws[:, None] - draws[None]).max(axis=2) < _SAME
    covariance = np.where(same, np.outer(spreads, spreads), 0.0) + np.diag(receiver)
    scale = float(covariance.diagonal().max())
    if scale <= 0:
        return math.inf
    covariance += _JITTER * scale * np.eye(len(spreads))
    least = 1 / float(np.linalg.solve(covariance, np.ones(len(spreads))).sum())
    return sensitivity**2 / (2 * least)


def public_noise(seed: int, device: int, num: int) -> Floats:
    """Noise as it would be if a device drew it from the direction's seed, [num]; whoever does is found out by this."""
    return np.asarray(ndtri(generator(seed, device, purpose="public").random(num)))


def public_coins(seed: int, device: int, num: int, rate: float) -> NDArray[np.bool_]:
    """The same of a Poisson batch."""
    return np.asarray(generator(seed, device, purpose="public batch").random(num) < rate)


def _raw_symbols(each: Witnessed, run: Witness, terms: Terms) -> NDArray[np.complex128] | None:
    """y [Q] before anybody turned it upright, as heard without noise where receiver noise does not count.

    None where nothing was captured.
    """
    frame, num_devices = run.config.rig.frame, run.config.rig.num_devices
    if each.capture is None or not each.capture.size or each.plan is None:
        return None
    if not terms.crediting.receiver_trusted:
        arrived = [np.nan_to_num(sent.arrived) * sent.values for sent in each.sent if sent.arrived is not None]
        return np.sum(arrived, axis=0, dtype=np.complex128) if arrived else None
    layout = payload_layout(num_devices + 1 if num_devices < MAX_CODES else 0, each.plan.num_queries)
    return matched_filter(each.capture, layout.num_symbols, frame)[layout.values]


def _of_sum(each: Witnessed, sent: Sent, raw: NDArray[np.complex128], run: Witness, terms: Terms) -> Heard | None:
    """The sum, less everybody's scalar as it arrived, per unit of what arrives of this device."""
    assert each.plan is not None
    if sent.arrived is None or not np.all(np.isfinite(sent.arrived)) or not np.all(np.abs(sent.arrived) > 0):
        return None
    sigma, shape = each.plan.artificial_noise_std, sent.exact.shape
    known = sum((np.nan_to_num(s.arrived) * s.exact for s in each.sent if s.arrived is not None), np.zeros(shape))
    num_sources = terms.crediting.num_noise_sources
    others = np.sum([public_noise(each.seed, s.device, shape[0]) for s in each.sent], axis=0)
    assert sent.energies is not None
    trusted = terms.crediting.receiver_trusted
    return Heard(
        residual=np.real(np.conj(sent.arrived) * (raw - known)) / np.abs(sent.arrived) ** 2,
        noise_std=math.sqrt(num_sources) * sigma,
        unit_noise=(sent.values - sent.exact) / sigma if sigma > 0 else np.zeros(shape),
        receiver=run.true_noise_variance / float(np.max(sent.energies)) if trusted else 0.0,
        public_noise=sigma * (others if num_sources > 1 else public_noise(each.seed, sent.device, shape[0])),
    )


def _of_device(each: Witnessed, sent: Sent, sum_heard: bool) -> Heard | None:
    """A device's own values, as it radiated them; nothing where only the sum is to be heard and was not captured."""
    if sum_heard or each.plan is None:
        return None
    sigma, shape = each.plan.artificial_noise_std, sent.exact.shape
    residual = sent.values - sent.exact
    return Heard(
        residual=residual,
        noise_std=sigma,
        unit_noise=residual / sigma if sigma > 0 else np.zeros(shape),
        receiver=0.0,
        public_noise=sigma * public_noise(each.seed, sent.device, shape[0]),
    )
