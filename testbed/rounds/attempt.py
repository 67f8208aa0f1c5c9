"""One transmission of a round: sound the channels, plan the power, charge the ledger, transmit, estimate."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from radio.errors import RadioLinkError
from radio.link.access_point import AccessPointLink
from radio.link.block import Block, Channels, Reception
from radio.link.bounds import Credit
from radio.records import Csi, Estimate, Plan, value_bound
from radio.schemes.alignment import Alignment
from radio.schemes.base import Scheme
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.polls import Polls, check_transmitted
from testbed.control.roster import AttemptFailedError, Roster
from testbed.planning.ledger import Ledger
from testbed.planning.planner import Decision, Planner, limits_of
from testbed.planning.radiated import Radiated
from testbed.planning.terms import Terms
from testbed.rounds.carriers import CarrierCorrection
from testbed.schedule.base import Told

SILENT = "silent: no device is strong enough, or the schedule allows no power"
_ROUNDING = 1e-14
"""Within so much of the alignment's gain, that gain itself is sent; the planner keeps far more in reserve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What one transmission of a round came to."""

    plan: Plan | None = None
    """None if it failed before there was one."""
    rho: float | None = 0.0
    """The leak that was charged; None where none can be stated."""
    radiated: Radiated | None = None
    """All that the round has radiated with it; None if that is nothing."""
    told: Told | None = None
    """What the schedule was told of it."""
    reception: Reception | None = None
    """None if nothing was sent, or nothing received."""
    ready: tuple[m.Ready, ...] = ()
    fingerprint: str | None = None
    """Of the weights before this round, where this round compares them."""
    failure: str | None = None
    """Why nothing came of it."""
    learner_s: float = 0.0
    radio_s: float = 0.0
    airtime_s: float = 0.0

    @property
    def accepted(self) -> Estimate | None:
        """The estimate, if it may be used."""
        estimate = self.reception.estimate if self.reception is not None else None
        return estimate if estimate is not None and estimate.rejected is None else None

    @property
    def is_silent(self) -> bool:
        """Whether the plan was that nobody transmits."""
        return self.failure is None and self.plan is not None and self.plan.gain <= 0

    @property
    def reason(self) -> str | None:
        """Why it may not be used; None if it may."""
        if self.is_silent:
            return SILENT
        return self.failure or (self.reception.estimate.rejected if self.reception is not None else None)

    @property
    def true_values(self) -> dict[int, tuple[float, ...]]:
        """device → clipped scalars [Q], where the experiment reveals them."""
        return {k: v for ready in self.ready for k, v in (ready.ground_truth or {}).items()}


@dataclass(slots=True)
class _Stopwatch:
    seconds: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmitter:
    """Plays attempts with the hosts of a roster over one radio link."""

    config: RunConfig
    roster: Roster
    link: AccessPointLink
    scheme: Scheme
    terms: Terms
    planner: Planner
    ledger: Ledger
    polls: Polls
    carriers: CarrierCorrection

    def play(self, round_index: int, attempt: int, seed: int, before: Radiated | None = None) -> Attempt:
        """One transmission, whatever it came to, ``before`` which its round has radiated something, or nothing.

        Raises BudgetSpentError for one that the budget does not cover.
        """
        learner, radio = _Stopwatch(), _Stopwatch()
        block: Block | None = None
        plan: Plan | None = None
        rho: float | None = 0.0
        radiated = before
        told: Told | None = None
        ready: tuple[m.Ready, ...] = ()
        reception: Reception | None = None
        fingerprint = failure = None
        try:
            self._wait_for_hosts()
            with learner.running():
                fingerprint, draws = self._prepare(round_index, attempt, seed)
            block = self.link.block(round_index, attempt)
            self.carriers.correct(block, round_index, attempt)
            self._align_starts(block, round_index, attempt)
            self._sound(block, round_index, attempt, radio)
            with radio.running():
                channels = block.channels()
                known = before.of(draws) if before is not None else None
                plan, decision = self._plan(round_index, channels, known)
            rho, told = decision.rho, decision.told
            if plan.gain > 0:
                self.ledger.charge(round_index, attempt, rho)
                radiated = decision.radiated.by(draws)
                ready = self._start(round_index, attempt, seed, plan, channels)
                reception = self._receive(round_index, attempt, plan, channels, radio)
        except AttemptFailedError as err:
            failure = err.reason
        except RadioLinkError as err:
            failure = f"access point: {err}"
        return Attempt(
            plan=plan,
            rho=rho,
            radiated=radiated,
            told=told,
            reception=reception,
            ready=ready,
            fingerprint=fingerprint,
            failure=failure,
            learner_s=learner.seconds,
            radio_s=radio.seconds,
            airtime_s=block.airtime_s if block is not None else 0.0,
        )

    def _wait_for_hosts(self) -> None:
        timeout_s = self.config.rig.control.rejoin_timeout_s
        if self.roster.missing and not self.roster.wait_for_everyone(timeout_s):
            missing = self.roster.missing
            raise AttemptFailedError(f"devices {missing} have no host, and none came in {timeout_s:g} s", missing)

    def _prepare(self, round_index: int, attempt: int, seed: int) -> tuple[str | None, frozenset[int]]:
        """Let every host compute its scalars; returns the fingerprint that all agree on, where they compare, and which
        draws of batches and noise the scalars are."""
        self.roster.broadcast(m.SoundStart(round=round_index, attempt=attempt, seed=seed))
        prepared = self.roster.collect(
            m.Prepared,
            list(self.roster.hosts),
            self.config.rig.control.learner_timeout_s,
            what="scalars",
            accept=lambda a: (a.round, a.attempt) == (round_index, attempt),
        )
        fingerprints = {peer: answer.fingerprint for peer, answer in prepared.items()}
        fingerprint = self.roster.check_agreement(fingerprints, f"round {round_index}")
        return fingerprint, frozenset(answer.draw for answer in prepared.values())

    def _align_starts(self, block: Block, round_index: int, attempt: int) -> None:
        """Learn where the samples of those devices arrive whose count is new, or whose distance was forgotten."""
        for device in block.unaligned():
            answer = self.polls.poll(round_index, attempt, device, "pilot")
            if answer.start_sample is None or not block.hear_start(device, answer.start_sample):
                raise AttemptFailedError(f"device {device}: its alignment frame was not heard")

    def _sound(self, block: Block, round_index: int, attempt: int, radio: _Stopwatch) -> None:
        """Poll every device's pilot."""
        if not block.needs_sounding:
            block.measure_noise()
            return
        listens = self.config.experiment.scheme.csi == "reciprocity"
        may_be_silent = self.config.experiment.scheme.alignment.name == "truncated"
        if listens:
            block.measure_noise()
            block.send_pilot()
        for device in range(self.config.rig.num_devices):
            start_sample = block.start_of(device)
            slot: m.Slot = "listen" if listens else "pilot"
            answer = self.polls.poll(round_index, attempt, device, slot, start_sample=start_sample)
            with radio.running():
                estimate = block.learn(device, answer.heard) if listens else block.sound(device)
            if not estimate.is_heard and not may_be_silent:
                raise AttemptFailedError(f"device {device}: its pilot was not heard")
        if listens:
            block.pass_pilot()

    def _plan(self, round_index: int, channels: Channels, before: Radiated | None) -> tuple[Plan, Decision]:
        """The plan of a transmission, and what it leaks beside what its round has radiated before."""
        learner = self.config.experiment.learner
        least_std = self.config.experiment.privacy.artificial_noise_std if before is None else before.noise_std
        clip = self.scheme.mapped_clip(learner.clip)
        alignment = channels.align(clip=clip, noise_std=least_std, num_queries=learner.num_queries)
        amplitude = alignment.gain * value_bound(clip, least_std)
        credit = self._credit(channels, alignment)
        limits = limits_of(self.config, self.terms, amplitude, credit.noise_variance)
        decision = self.planner.decide(round_index, limits, self.ledger, margin=credit.margin, before=before)
        power = decision.power
        at_full_power = math.isclose(power.gain, alignment.gain, rel_tol=_ROUNDING, abs_tol=0.0)
        plan = Plan(
            gain=alignment.gain if at_full_power else power.gain,
            artificial_noise_std=power.noise_std,
            clip=clip,
            num_queries=learner.num_queries,
            active=alignment.active,
            ridge=alignment.ridge,
            round_index=round_index,
        )
        return plan, decision

    def _credit(self, channels: Channels, alignment: Alignment) -> Credit:
        """What a claim may count on; where it counts no receiver noise, none is needed."""
        bounds, num_queries = self.terms.bounds, self.config.experiment.learner.num_queries
        if not self.terms.crediting.receiver_trusted or bounds is None:
            return Credit(noise_variance=0.0, margin=1.0)
        return channels.credit(alignment, bounds, self.terms.estimate_failure, num_queries=num_queries)

    def _start(self, round_index: int, attempt: int, seed: int, plan: Plan, channels: Channels) -> tuple[m.Ready, ...]:
        """Announce the plan, to each host with its own devices' channels, and wait until all are ready."""
        csi, starts = channels.csi, channels.starts(plan)
        for peer, host in list(self.roster.hosts.items()):
            own: dict[int, Csi] = {k: csi[k] for k in host.devices if k in csi}
            own_starts = {k: starts[k] for k in host.devices if k in starts}
            start = m.RoundStart(
                round=round_index, attempt=attempt, seed=seed, plan=plan, csi=own, start_samples=own_starts
            )
            self.roster.send(peer, start)
        answers = self.roster.collect(
            m.Ready,
            list(self.roster.hosts),
            self.config.rig.control.radio_timeout_s,
            what="payload",
            accept=lambda a: (a.round, a.attempt) == (round_index, attempt),
        )
        check_transmitted({k: why for answer in answers.values() for k, why in answer.problems.items()})
        return tuple(answers.values())

    def _receive(self, round_index: int, attempt: int, plan: Plan, channels: Channels, radio: _Stopwatch) -> Reception:
        """Capture the payload, or every active device's slot in turn, and estimate."""
        reception = channels.receive(plan, lambda device: self._poll_payload(round_index, attempt, device))
        radio.seconds += reception.radio_s
        return reception

    def _poll_payload(self, round_index: int, attempt: int, device: int) -> None:
        self.polls.poll(round_index, attempt, device, "payload")
