"""The access point: sounds the channels, plans the power, estimates the over-the-air sum, announces the update."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from radio.errors import RadioLinkError
from radio.link.access_point import AccessPointLink
from radio.records import Csi, Estimate, Plan, value_bound
from radio.samples import IQ
from radio.schemes.base import Scheme
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.polls import Polls, check_transmitted
from testbed.control.roster import AttemptFailedError, Roster
from testbed.plan.ledger import Ledger
from testbed.plan.planner import Planner, limits_of
from testbed.plan.terms import Terms
from testbed.privacy.confidence import amplitude_margin, least_variance
from testbed.results.journal import Journal, Result, Status
from testbed.results.records import RoundRecord
from testbed.results.statistics import nmse_db
from testbed.rounds.carriers import CarrierCorrection
from testbed.rounds.updates import Updater

log = logging.getLogger(__name__)
_EVALUATION_ATTEMPTS = 3
_SILENT = "silent: no device is strong enough, or the schedule allows no power"
_ROUNDING = 1e-14
"""Within so much of the alignment's gain, that gain itself is sent; the planner keeps far more in reserve."""


def round_seed(run_seed: int, round_index: int) -> int:
    """The public seed of one round's directions, 63 bits."""
    digest = hashlib.sha256(f"airzero round {run_seed} {round_index}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def log_waiting(missing: list[int]) -> None:
    """Say whom a round waits for."""
    log.info("waiting for devices %s", missing)


@dataclass(slots=True)
class _Attempt:
    """What one transmission of a round came to."""

    plan: m.Plan | None = None
    estimate: Estimate | None = None
    rho: float | None = 0.0
    symbols: NDArray[np.complex128] = field(default_factory=lambda: np.zeros(0, dtype=np.complex128))
    fingerprint: str | None = None
    ready: list[m.Ready] = field(default_factory=list)
    learner_s: float = 0.0
    radio_s: float = 0.0
    airtime_s: float = 0.0

    @property
    def truth(self) -> dict[int, tuple[float, ...]]:
        """device → clipped scalars, where the experiment reveals them."""
        return {k: v for ready in self.ready for k, v in (ready.ground_truth or {}).items()}


class AccessPoint:
    """Plays rounds with the hosts of a roster over one radio link."""

    def __init__(
        self,
        config: RunConfig,
        *,
        roster: Roster,
        link: AccessPointLink,
        scheme: Scheme,
        journal: Journal,
        ledger: Ledger,
        terms: Terms,
        past: Sequence[RoundRecord] = (),
    ) -> None:
        self._config = config
        self._rig = config.rig
        self._experiment = config.experiment
        self._roster = roster
        self._link = link
        self._scheme = scheme
        self._journal = journal
        self._ledger = ledger
        self._terms = terms
        self._planner = Planner(config, terms)
        self._updater = Updater.after(config.experiment, past)
        self._polls = Polls(roster, config.rig.control.radio_timeout_s)
        self._carriers = CarrierCorrection(config, roster, link, self._polls)
        self.last_capture: IQ | None = None

    def play(self, round_index: int) -> RoundRecord:
        """One round: up to ``max_attempts`` transmissions, then the result on disk, then the announcement.

        Raises BudgetSpentError before a transmission that the budget does not cover.
        """
        started = time.perf_counter()
        seed = round_seed(self._experiment.seed, round_index)
        attempts: list[_Attempt] = []
        reason: str | None = None
        missing = False
        for number in range(1, self._experiment.rounds.max_attempts + 1):
            attempt = _Attempt()
            attempts.append(attempt)
            try:
                self._transmit(round_index, number, seed, attempt)
            except AttemptFailedError as err:
                reason, missing = err.reason, bool(err.missing)
                log.warning("round %d, attempt %d: %s", round_index, number, reason)
                self._link.starts.forget()
                continue
            missing = False
            if attempt.estimate is not None and attempt.estimate.rejected is None:
                break
            reason = attempt.estimate.rejected if attempt.estimate else _SILENT
            if attempt.estimate is None:
                break
            log.warning("round %d, attempt %d rejected: %s", round_index, number, reason)
            self._link.starts.forget()
        last = attempts[-1]
        accepted = last.estimate if last.estimate is not None and last.estimate.rejected is None else None
        status: Status
        if accepted is not None:
            status = "ok" if len(attempts) == 1 else "retried"
        else:
            status = "skipped" if missing or last.estimate is None else "rejected"
        estimates = tuple(float(v) for v in accepted.values) if accepted is not None else ()
        coefficients = (
            self._updater.coefficients(round_index, estimates, accepted.error_variance) if accepted is not None else ()
        )
        self._journal.append(
            Result(
                round=round_index,
                attempt=len(attempts),
                status=status,
                seed=seed,
                estimates=estimates,
                coefficients=coefficients,
            )
        )
        self._roster.broadcast(
            m.RoundResult(
                round=round_index,
                seed=seed,
                status=status,
                coefficients=coefficients,
                fingerprint=last.fingerprint,
            )
        )
        return self._record(round_index, seed, status, reason, attempts, estimates, time.perf_counter() - started)

    def evaluate(self, round_index: int) -> m.Evaluated | None:
        """Loss and metric of the current weights, from the host of the first device; None if nobody answers."""
        for _ in range(_EVALUATION_ATTEMPTS):
            try:
                peer = self._roster.peer_of(min(self._roster.served, default=0))
                self._roster.send(peer, m.Evaluate(round=round_index))
                answers = self._roster.collect(
                    m.Evaluated,
                    [peer],
                    self._rig.control.learner_timeout_s,
                    what="evaluation",
                    accept=lambda answer: answer.round == round_index,
                )
            except AttemptFailedError as err:
                log.warning("evaluation after round %d: %s", round_index, err.reason)
            else:
                return answers[peer]
        return None

    # ---- one attempt

    def _transmit(self, round_index: int, number: int, seed: int, attempt: _Attempt) -> None:
        """Sound, plan, charge, transmit, estimate; fills ``attempt``. Raises AttemptFailedError."""
        roster, control = self._roster, self._rig.control
        if roster.missing and not roster.wait_for_everyone(control.rejoin_timeout_s, log_waiting):
            raise AttemptFailedError(
                f"devices {roster.missing} have no host, and none came in {control.rejoin_timeout_s:g} s",
                roster.missing,
            )
        clock = time.perf_counter()
        roster.broadcast(m.SoundStart(round=round_index, attempt=number, seed=seed))
        prepared = roster.collect(
            m.Prepared,
            list(roster.hosts),
            control.learner_timeout_s,
            what="scalars",
            accept=lambda a: (a.round, a.attempt) == (round_index, number),
        )
        attempt.fingerprint = roster.check_agreement(
            {peer: answer.fingerprint for peer, answer in prepared.items()}, f"round {round_index}"
        )
        attempt.learner_s = time.perf_counter() - clock
        try:
            self._link.begin_block(round_index, number)
            self._carriers.correct(round_index, number)
            self._align(round_index, number)
            margin = self._sound(round_index, number, attempt)
            clock = time.perf_counter()
            csi = self._link.predict_csi()
            attempt.plan, attempt.rho = self._plan(round_index, csi, margin)
            attempt.radio_s += time.perf_counter() - clock
            if attempt.plan.gain <= 0:
                return
            self._ledger.charge(round_index, number, attempt.rho)
            attempt.ready = self._start(round_index, number, seed, attempt.plan, csi)
            attempt.estimate = self._receive(round_index, number, attempt)
        except RadioLinkError as err:
            raise AttemptFailedError(f"access point: {err}") from err
        finally:
            attempt.airtime_s = self._link.airtime_s

    def _align(self, round_index: int, number: int) -> None:
        """Learn where the samples of those devices arrive whose count is new, or whose distance was forgotten."""
        for device in self._link.starts.unaligned():
            answer = self._polls.poll(round_index, number, device, "pilot")
            if answer.start_sample is None or not self._link.capture_alignment(device, answer.start_sample):
                raise AttemptFailedError(f"device {device}: its alignment frame was not heard")

    def _sound(self, round_index: int, number: int, attempt: _Attempt) -> float:
        """Poll every device's pilot; returns by how much |h_k α_k| may exceed c, from the estimates' variances."""
        if not self._link.needs_sounding:
            self._link.measure_noise()
            return 1.0
        drift = 10 ** (self._rig.radio.residual_gain_max_db / 20)  # of transmit gains since the sounding
        margin = drift
        listens = self._experiment.scheme.csi == "reciprocity"
        if listens:
            self._link.measure_noise()
            self._link.send_pilot()
        for device in range(self._rig.num_devices):
            start_sample = self._link.starts.choose([device]).get(device)
            answer = self._polls.poll(
                round_index, number, device, "listen" if listens else "pilot", start_sample=start_sample
            )
            clock = time.perf_counter()
            estimate = self._link.learn_csi(device, _own(answer.heard)) if listens else self._link.capture_pilot(device)
            attempt.radio_s += time.perf_counter() - clock
            if not estimate.is_heard and self._experiment.scheme.alignment.name != "truncated":
                raise AttemptFailedError(f"device {device}: its pilot was not heard")
            if estimate.is_heard:
                margin = max(
                    margin,
                    drift * amplitude_margin(abs(estimate.gain), estimate.gain_variance, self._terms.estimate_failure),
                )
        if listens:
            self._link.pass_pilot()
        return margin

    def _start(self, round_index: int, number: int, seed: int, plan: m.Plan, csi: dict[int, Csi]) -> list[m.Ready]:
        """Announce the plan, to each host with its own devices' channels, and wait until all are ready."""
        starts = self._link.starts.choose(plan.active) if self._scheme.superposed else {}
        for peer, host in list(self._roster.hosts.items()):
            own = {
                k: m.DeviceCsi(
                    gain_real=csi[k].gain.real,
                    gain_imag=csi[k].gain.imag,
                    cfo_hz=csi[k].cfo_hz,
                    resource_powers=csi[k].resource_powers,
                )
                for k in host.devices
                if k in csi
            }
            self._roster.send(
                peer,
                m.RoundStart(
                    round=round_index,
                    attempt=number,
                    seed=seed,
                    plan=plan,
                    csi=own,
                    start_samples={k: starts[k] for k in host.devices if k in starts},
                ),
            )
        answers = self._roster.collect(
            m.Ready,
            list(self._roster.hosts),
            self._rig.control.radio_timeout_s,
            what="payload",
            accept=lambda a: (a.round, a.attempt) == (round_index, number),
        )
        check_transmitted({k: why for answer in answers.values() for k, why in answer.problems.items()})
        return list(answers.values())

    def _receive(self, round_index: int, number: int, attempt: _Attempt) -> Estimate:
        assert attempt.plan is not None
        plan = radio_plan(attempt.plan, round_index)
        if self._scheme.superposed:
            clock = time.perf_counter()
            estimate = self._link.receive_superposed(plan)
            attempt.symbols = self._link.last_symbols
        else:
            for device in plan.active:
                self._polls.poll(round_index, number, device, "payload")
                clock = time.perf_counter()
                self._link.receive_slot(device, plan)
                attempt.radio_s += time.perf_counter() - clock
            clock = time.perf_counter()
            estimate = self._link.combine(plan)
        attempt.radio_s += time.perf_counter() - clock
        self.last_capture = self._link.last_capture
        return estimate

    def _plan(self, round_index: int, csi: dict[int, Csi], margin: float) -> tuple[m.Plan, float | None]:
        """The round's plan and its leak ρ, None where no leak can be stated."""
        learner, least_std = self._experiment.learner, self._experiment.privacy.artificial_noise_std
        clip = self._scheme.mapped_clip(learner.clip)
        alignment = self._link.align(csi, clip=clip, noise_std=least_std, num_queries=learner.num_queries)
        amplitude = alignment.gain * value_bound(clip, least_std)
        variance = least_variance(self._link.noise_variance, self._link.num_noise_samples, self._terms.estimate_failure)
        limits = limits_of(self._config, self._terms, amplitude, variance)
        power, rho = self._planner.decide(round_index, limits, self._ledger, margin=margin)
        at_full_power = math.isclose(power.gain, alignment.gain, rel_tol=_ROUNDING, abs_tol=0.0)
        plan = m.Plan(
            gain=alignment.gain if at_full_power else power.gain,
            artificial_noise_std=power.noise_std,
            clip=clip,
            num_queries=learner.num_queries,
            active=alignment.active,
            ridge=alignment.ridge,
        )
        return plan, rho

    # ---- what is written down

    def _record(
        self,
        round_index: int,
        seed: int,
        status: Status,
        reason: str | None,
        attempts: list[_Attempt],
        estimates: tuple[float, ...],
        wall_s: float,
    ) -> RoundRecord:
        last = attempts[-1]
        truth = last.truth
        active = last.plan.active if last.plan else ()
        reference: tuple[float, ...] | None = None
        if active and set(active) <= set(truth):
            exact = self._scheme.reference(np.array([truth[k] for k in active]))
            reference = tuple(float(v) for v in exact)
        losses = [loss for ready in last.ready for loss in (ready.losses or {}).values()]
        radio_s = sum(a.radio_s for a in attempts)
        learner_s = sum(a.learner_s for a in attempts)
        rhos = [a.rho for a in attempts if a.plan is not None]
        estimate = last.estimate
        return RoundRecord(
            round=round_index,
            seed=seed,
            scheme=self._scheme.name,
            status=status,
            attempt=len(attempts),
            reason=reason,
            estimate=estimates or None,
            true_mean=reference,
            nmse_db=nmse_db(estimates, reference) if estimates and reference else None,
            predicted_error_std=math.sqrt(estimate.error_variance[0]) if estimate and estimates else None,
            symbol_snr_db=estimate.symbol_snr_db if estimate and math.isfinite(estimate.symbol_snr_db) else None,
            gain=last.plan.gain if last.plan and self._scheme.superposed else None,
            artificial_noise_std=last.plan.artificial_noise_std if last.plan else 0.0,
            rho_spent=None if None in rhos else math.fsum(r for r in rhos if r is not None),
            epsilon_spent=self._ledger.epsilon if self._terms.void is None else None,
            received=tuple((float(y.real), float(y.imag)) for y in last.symbols) or None,
            loss=float(np.mean(losses)) if losses else None,
            airtime_s=sum(a.airtime_s for a in attempts),
            uplink_bits_per_device=self._scheme.uplink_bits_per_device(self._experiment.learner.num_queries),
            learner_s=learner_s,
            radio_s=radio_s,
            control_s=max(0.0, wall_s - learner_s - radio_s),
            wall_s=wall_s,
        )


def _own(told: m.DeviceCsi | None) -> Csi | None:
    if told is None:
        return None
    gain = complex(told.gain_real, told.gain_imag)
    return Csi(gain=gain, cfo_hz=told.cfo_hz, resource_powers=told.resource_powers)


def radio_plan(plan: m.Plan, round_index: int) -> Plan:
    """The plan as the radio layer knows it."""
    return Plan(
        gain=plan.gain,
        artificial_noise_std=plan.artificial_noise_std,
        clip=plan.clip,
        num_queries=plan.num_queries,
        active=plan.active,
        ridge=plan.ridge,
        round_index=round_index,
    )
