"""Plays one cell of `benchmarks.privacy_channels` through the real code, and compares what it claims with what is true.

A run is conducted as ever, with threads, messages, journal, planner and radios; only the learner's scalars are drawn.
"""

from __future__ import annotations

import math
import tempfile
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.privacy_cells import ADVANTAGES_DB, Cell
from benchmarks.privacy_witness import Floats, Jammer, Observation, WitnessedAir, observations, tone
from learner.errors import LearnerError
from learner.zo.replica import Replica, Scalars
from radio.errors import RadioError
from radio.randomness import generator
from testbed.api import load
from testbed.audit.bounds import noise_factor
from testbed.bench.rig import scheme_of
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.transport import Client, Server
from testbed.control.transport import context as zmq_context
from testbed.errors import ConfigError
from testbed.failures import Watch
from testbed.hosts.device_host import LearnerHost
from testbed.hosts.local_work import Loaded, load_model_and_task
from testbed.planning.terms import Terms, terms_of
from testbed.privacy.accountants import Accountant
from testbed.results import journal as j
from testbed.results.records import RoundRecord, Summary
from testbed.rounds.loop import Quiet, conduct
from testbed.rounds.office import RunOffice
from testbed.rounds.round import round_seed
from testbed.rounds.session import begin

IN_BAND_CYCLES = 3 / 256  # a bin of the payload's block
OUT_OF_BAND_CYCLES = 0.25
IN_BAND_JAMMER_DB = 10.0  # over the noise in the payload's band
OUT_OF_BAND_JAMMER_DB = 10.0  # over the noise of the whole band
_OCCUPIED = 16 / 256  # the block's share of the band
_RESOLUTION = 1e-7
"""Variance that any receiver has, over a value's power, so that the rounding of 32-bit samples is no observation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a cell claims and what is true; ε at the claim's δ."""

    cell: dict[str, str]
    refused: str | None = None
    """Why it was not run."""
    target: float = math.nan
    charged: float = math.nan
    """ε of the ledger"""
    true: float = math.nan
    """ε of the worst device, by the least variance of everything radiated"""
    audited: float = math.nan
    """ε that the residuals prove, at the level asked for"""
    charged_rho: float = math.nan
    true_rho: float = math.nan
    num_rounds: int = 0
    """in which something was sent"""
    num_attempts: int = 0
    num_used: int = 0
    """rounds whose estimate was applied"""

    @property
    def true_over_charged(self) -> float:
        """Of ε; 0 where nothing was sent, infinite where nothing is charged for something."""
        return _ratio(self.true, self.charged)

    @property
    def audited_over_charged(self) -> float:
        """Of ε; 0 where nothing was sent."""
        return _ratio(self.audited, self.charged)


def _ratio(above: float, below: float) -> float:
    if above <= 0:
        return 0.0
    return above / below if below > 0 else math.inf


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Played:
    """A run, and what its air remembers."""

    config: RunConfig
    terms: Terms
    summary: Summary
    records: tuple[RoundRecord, ...]
    charged: dict[int, float]
    """round → ρ that the journal holds for it"""
    rounds: dict[int, list[Observation]]
    """round → its attempts"""
    exact: dict[int, Floats]
    """round → p_k [K], clipped and as the scheme maps them"""


def judge(cell: dict[str, str], settings: Sequence[str], *, failure: float) -> Judged:
    """Play a cell; ``failure`` is how likely its audited ε may exceed the true one by chance."""
    try:
        config = load(None, None, list(settings))
    except (ConfigError, RadioError, LearnerError) as err:
        return Judged(cell=cell, refused=str(err))
    spoil_rate = float(cell["retries"])
    played = play(config, jammer=jammer_of(cell, config), spoil_rate=spoil_rate)
    if played.summary.epsilon_spent is None:
        return Judged(cell=cell, refused=f"no claim: {played.summary.privacy}")
    return compare(cell, played, failure=failure)


def play(config: RunConfig, *, jammer: Jammer | None = None, spoil_rate: float = 0.0) -> Played:
    """Conduct the run in this process, without a model's scalars."""
    air = WitnessedAir(config, jammer=jammer, spoil_rate=spoil_rate)
    drawn = _DrawnReplica.of(config)
    loaded = Loaded(drawn, load_model_and_task(config).task)
    codec, done = m.control_codec(), threading.Event()
    with tempfile.TemporaryDirectory(prefix="privacy-channels-") as folder:
        session = begin(config, Path(folder) / "run", drawn)
        with (
            session.journal,
            zmq_context() as context,
            Server(context, codec, f"inproc://control-{uuid.uuid4().hex}") as server,
            _ListeningClient(context, codec, server.address) as client,
            Watch() as watch,
        ):
            client.air = air
            host = LearnerHost(
                client, range(config.rig.num_devices), lambda _: air, load=lambda _: loaded, should_stop=done.is_set
            )
            thread = threading.Thread(target=host.run, name="learner-host", daemon=True)
            thread.start()
            try:
                summary = conduct(
                    session,
                    server=server,
                    office=RunOffice(session=session, is_one_process=True),
                    medium=air,
                    progress=Quiet(),
                    check=watch.check,
                )
            finally:
                done.set()
                thread.join(20.0)
        records = tuple(session.records)
        charged: dict[int, float] = {}
        for record in session.journal.records:
            if isinstance(record, j.Spent):
                charged[record.round] = charged.get(record.round, 0.0) + (record.rho or 0.0)
    heard: dict[int, list[Observation]] = {}
    exact: dict[int, Floats] = {}
    scheme, clip = scheme_of(config), config.experiment.learner.clip
    for payload, observation in zip(air.payloads, observations(config, air.payloads), strict=True):
        start = payload.start
        if observation.directions:
            heard.setdefault(start.round, []).append(observation)
            seed = round_seed(config.experiment.seed, start.round)
            values = drawn_values(seed, config.rig.num_devices, clip)
            exact[start.round] = np.asarray(scheme.mapped(np.clip(values, -clip, clip)))
    return Played(
        config=config,
        terms=terms_of(config),
        summary=summary,
        records=records,
        charged=charged,
        rounds=heard,
        exact=exact,
    )


def jammer_of(cell: Cell, config: RunConfig) -> Jammer | None:
    """The tone that a cell asks for; on the symbol level there is one bin only, in which it turns slowly."""
    noise_power = config.rig.air.noise_power(config.rig.radio.max_power, config.rig.radio.sample_rate_hz)
    if cell["receiver"] == "jammer in band":
        occupied = 1.0 if config.rig.air.level == "symbol" else _OCCUPIED
        return tone(math.sqrt(noise_power * occupied * 10 ** (IN_BAND_JAMMER_DB / 10)), IN_BAND_CYCLES)
    if cell["receiver"] == "jammer out of band":
        return tone(math.sqrt(noise_power * 10 ** (OUT_OF_BAND_JAMMER_DB / 10)), OUT_OF_BAND_CYCLES)
    return None


def compare(cell: dict[str, str], played: Played, *, failure: float) -> Judged:
    """Charged against true and audited."""
    config, terms = played.config, played.terms
    stronger = 10 ** (ADVANTAGES_DB.get(cell["receiver"], 0.0) / 10) * (2 if cell["receiver"] == "two antennas" else 1)
    trusted = config.experiment.privacy.receiver_noise == "trusted"
    leaks = np.zeros((len(played.rounds), config.rig.num_devices))  # ρ [R, K]
    charged = np.zeros(len(played.rounds))
    deviations = np.zeros_like(leaks)
    for position, (index, attempts) in enumerate(sorted(played.rounds.items())):
        charged[position] = played.charged.get(index, 0.0)
        found = [
            combined(attempts, played.exact[index], device, stronger=stronger if trusted else math.inf)
            for device in range(config.rig.num_devices)
        ]
        leaks[position] = [terms.sensitivity**2 * precision / 2 for precision, _ in found]
        deviations[position] = [deviation for _, deviation in found]
    device = int(np.argmax(leaks.sum(axis=0))) if leaks.size else 0
    worst = leaks[:, device]
    claimed_epsilon = played.summary.epsilon_spent or 0.0
    return Judged(
        cell=cell,
        target=config.experiment.privacy.dp_epsilon,
        charged=claimed_epsilon,
        true=_epsilon(terms.accountant, worst),
        audited=audited_epsilon(terms, charged, deviations[:, device], failure=failure),
        charged_rho=float(charged.sum()),
        true_rho=float(worst.sum()),
        num_rounds=len(played.rounds),
        num_attempts=sum(map(len, played.rounds.values())),
        num_used=played.summary.rounds_ok,
    )


def audited_epsilon(terms: Terms, charged: Floats, deviations: Floats, *, failure: float) -> float:
    """ε below which the claim's Gaussian noise cannot be, but for a probability ``failure``.

    A round's deviation from the exact value has the variance Δ²/(2ρ) that the ledger counted, or another; the sum of
    their squares over it is chi-squared, so its quantile bounds how much stronger the noise may really be.
    """
    sent = charged > 0
    if not sent.any():
        return 0.0
    claimed = terms.sensitivity**2 / (2 * charged[sent])
    total = float(np.sum(deviations[sent] ** 2 / claimed))
    factor = noise_factor(total, int(sent.sum()), failure)  # of the true to the claimed variance, at most
    return _epsilon(terms.accountant, charged[sent] / factor)


def _epsilon(accountant: Accountant, rhos: Floats) -> float:
    return accountant.epsilon(float(np.sum(accountant.cost(rhos)))) if rhos.size else 0.0


def combined(attempts: Sequence[Observation], exact: Floats, device: int, *, stronger: float) -> tuple[float, float]:
    """All attempts of a round combined for one device's value, by generalised least squares.

    Returns the precision 1/variance, and by how much the combination really missed the value. ``stronger`` divides the
    receiver's noise power; infinite where that noise does not count.
    """
    heard = [each for each in attempts if device in each.directions]
    if not heard:
        return 0.0, 0.0
    direction = np.concatenate([each.directions[device] for each in heard])  # [D]
    share = 0.0 if math.isinf(stronger) else 1 / stronger
    scale = direction @ direction
    variance = np.concatenate([np.full(each.directions[device].size, each.noise_variance * share) for each in heard])
    covariance = np.diag(variance + _RESOLUTION * scale)  # [D, D]
    missed = math.sqrt(share) * np.concatenate([each.heard(device) for each in heard])
    apart = isinstance(heard[0].noise, dict)
    for sender in [device] if apart else sorted(heard[0].directions):
        added = np.array([each.values[sender] - exact[sender, 0] for each in heard])  # the artificial noise, [A]
        missed += np.concatenate([noise * each.directions[sender] for noise, each in zip(added, heard, strict=True)])
        covariance += _artificial(heard, added, sender)
    weights = np.linalg.solve(covariance, direction)
    precision = float(direction @ weights)
    return precision, float(weights @ missed) / precision


def _artificial(heard: Sequence[Observation], added: Floats, sender: int) -> Floats:
    """Covariance of one device's artificial noise on all attempts: one draw, scaled, or a fresh one each."""
    stds = np.array([each.noise_std for each in heard])
    sizes = [each.directions[sender].size for each in heard]
    by_attempt = [std * each.directions[sender] for std, each in zip(stds, heard, strict=True)]
    whole = np.concatenate(by_attempt)
    if np.allclose(added * stds[0], added[0] * stds, rtol=1e-4, atol=1e-5 * stds[0] ** 2):
        return np.outer(whole, whole)
    edges = np.cumsum([0, *sizes])
    covariance = np.zeros((whole.size, whole.size))
    for begin_at, end, part in zip(edges[:-1], edges[1:], by_attempt, strict=True):
        covariance[begin_at:end, begin_at:end] = np.outer(part, part)
    return covariance


def drawn_values(seed: int, num_devices: int, clip: float) -> Floats:
    """p_k before clipping, [K, 1], of the round with this seed: every third one is clipped."""
    return generator(seed, purpose="drawn scalars").uniform(-1.5 * clip, 1.5 * clip, (num_devices, 1))


class _ListeningClient(Client[m.ControlMessage]):
    """Lets the air know when a payload is asked for."""

    air: WitnessedAir

    def receive(self, timeout_s: float) -> m.ControlMessage | None:
        message = super().receive(timeout_s)
        if isinstance(message, m.RoundStart):
            everybody = tuple(range(self.air.num_devices))
            active = everybody if message.active is None else m.unpacked(message.active)
            plan = msgspec.structs.replace(message.plan, active=active)
            self.air.announced(msgspec.structs.replace(message, plan=plan))
        return message


class _DrawnReplica(Replica):
    """The built-in model whose scalars are drawn: beyond the clip now and then, and never looked at."""

    clip = 1.0

    @classmethod
    def of(cls, config: RunConfig) -> _DrawnReplica:
        """Load it anew, as a run moves its weights."""
        learner = config.experiment.learner
        replica = cls.load(config.experiment.model, direction=learner.direction, num_threads=learner.num_threads)
        assert isinstance(replica, cls)
        replica.clip = learner.clip
        return replica

    def scalars(self, batches: Any, *, seed: int, **_: Any) -> Scalars:
        """Drawn, [K, 1]."""
        drawn = drawn_values(seed, len(batches), self.clip)
        return Scalars(drawn, np.full(len(drawn), np.nan), tuple(each[None] for each in drawn))
