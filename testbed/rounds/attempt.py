"""One transmission of a round: sound the channels, plan the power, charge the ledger, transmit, estimate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from radio.errors import RadioLinkError
from radio.link.access_point import AccessPointLink
from radio.link.block import Block, Channels
from radio.link.bounds import Credit
from radio.link.reception import Reception
from radio.records import Estimate, Plan, value_bound
from radio.schemes.alignment import Alignment
from radio.schemes.base import Scheme
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.polls import Polls, check_nobody_lost, check_transmitted
from testbed.control.roster import AttemptFailedError, Roster
from testbed.control.seats import Seat, devices_in_words
from testbed.errors import DivergenceError
from testbed.planning.ledger import Ledger
from testbed.planning.planner import Decision, Planner, limits_of
from testbed.planning.radiated import Radiated
from testbed.planning.terms import Terms, is_simulated
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
    absent: tuple[int, ...] = ()
    """Devices that took no part."""
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


def _fault_of_prepared(prepared: m.Prepared, *, compares: bool) -> str | None:
    """What everybody is told to compare with must have been asked of everybody."""
    if (prepared.fingerprint is not None) == compares:
        return None
    return "its answer says no fingerprint" if compares else "its answer says a fingerprint that nobody asked for"


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
    truth: Callable[[], str]
    """Fingerprint of the weights that the journal leads to; asked where hosts differ."""

    @property
    def quorum(self) -> int:
        """How many devices a round needs."""
        return self.config.experiment.rounds.min_devices or self.config.rig.num_devices

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
        present: tuple[int, ...] = ()
        hosts_radio_s = self.polls.radio_s
        try:
            self._wait_for_hosts()
            with learner.running():
                fingerprint, draws = self._prepare(round_index, attempt, seed)
            self._check_draws(before, draws)
            present = tuple(self.roster.served)
            with radio.running():
                block = self.link.block(round_index, attempt)
            self.carriers.correct(block, round_index, attempt)
            self._align_starts(block, round_index, attempt, present)
            self._sound(block, round_index, attempt, present, radio)
            with radio.running():
                channels = block.channels(present)
                known = before.of(draws) if before is not None else None
                plan, decision = self._plan(round_index, channels, known)
            rho, told = decision.rho, decision.told
            if plan.gain > 0:
                self.ledger.charge(round_index, attempt, rho)
                radiated = decision.radiated.by(draws)
                ready = self._start(round_index, attempt, plan, channels)
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
            absent=tuple(sorted(set(range(self.config.rig.num_devices)) - set(present))),
            fingerprint=fingerprint,
            failure=failure,
            learner_s=learner.seconds,
            radio_s=radio.seconds + self.polls.radio_s - hosts_radio_s,
            airtime_s=block.airtime_s if block is not None else 0.0,
        )

    def _wait_for_hosts(self) -> None:
        timeout_s = self.config.rig.control.rejoin_timeout_s
        if not self.roster.wait_for(self.quorum, timeout_s):
            missing = self.roster.missing
            raise AttemptFailedError(
                f"{devices_in_words(missing)} {'has' if len(missing) == 1 else 'have'} no host"
                f"{self.roster.why_missing()}, and none came in {timeout_s:g} s",
                missing,
            )

    def _prepare(self, round_index: int, attempt: int, seed: int) -> tuple[str | None, frozenset[int]]:
        """Let every host compute its scalars; returns the fingerprint that all agree on, where they compare, and which
        draws of batches and noise the scalars are. Goes on without hosts that are late, if enough devices are left."""
        learner, rounds = self.config.experiment.learner, self.config.experiment.rounds
        seats = self.roster.seated
        compares = round_index % learner.fingerprint_every == 0 or not all(seat.is_compared for seat in seats)
        timeout_s = self.config.rig.control.learner_timeout_s
        answers = self.roster.ask(
            seats,
            m.SoundStart(round=round_index, attempt=attempt, seed=seed, compare=compares),
            m.Prepared,
            min(timeout_s, rounds.deadline_s or timeout_s),
            what="scalars",
            accept=lambda a: (a.round, a.attempt) == (round_index, attempt),
            fault=lambda _, a: _fault_of_prepared(a, compares=compares),
        )
        fingerprint = self._agreed(round_index, {seat: a.fingerprint for seat, a in answers.of.items()})
        if len(self.roster.served) < self.quorum:
            check_nobody_lost(answers.losses)
            missing = self.roster.missing
            raise AttemptFailedError(f"{devices_in_words(missing)} left{self.roster.why_missing()}", missing)
        present = set(self.roster.seated)
        return fingerprint, frozenset(answer.draw for seat, answer in answers.of.items() if seat in present)

    def _check_draws(self, before: Radiated | None, draws: frozenset[int]) -> None:
        """Values that were once sent in one sum are sent in no other, where a claim counts the noise of several
        devices: the difference of two sums is a few devices', with their noise alone. Raises AttemptFailedError."""
        if before is None or before.noise_std == 0 or self.terms.crediting.num_noise_sources <= 1:
            return
        if before.draws & draws and before.draws != draws:
            raise AttemptFailedError(
                "other hosts took part in an earlier attempt of this round, whose values may not be sent in another sum"
            )

    def _agreed(self, round_index: int, fingerprints: dict[Seat, str | None]) -> str | None:
        """The one fingerprint of all hosts, None where none was asked for. Where they differ, the journal decides who
        goes. Raises DivergenceError when none holds the journal's weights."""
        found = {fingerprint for fingerprint in fingerprints.values() if fingerprint is not None}
        if len(found) > 1:
            truth = self.truth()
            for seat, fingerprint in fingerprints.items():
                if fingerprint != truth:
                    reason = (
                        f"round {round_index + 1}: its weights are {str(fingerprint)[:12]}, those of the journal "
                        f"{truth[:12]}; run the same version on all hosts, and start this one again"
                    )
                    self.roster.drop(seat, reason, refuse=True)
            if truth not in found:
                raise DivergenceError(
                    f"round {round_index + 1}: hosts hold different weights "
                    f"({', '.join(sorted(f[:12] for f in found))}), "
                    f"none of them the journal's ({truth[:12]}); run the same version and model on all of them"
                )
            found = {truth}
        for seat, fingerprint in fingerprints.items():
            seat.is_compared = seat.is_compared or fingerprint is not None
        return next(iter(found), None)

    @property
    def _batches(self) -> bool:
        """Whether slots need no poll each: simulated air waits for nobody."""
        return is_simulated(self.config.rig)

    def _align_starts(self, block: Block, round_index: int, attempt: int, present: Sequence[int]) -> None:
        """Learn where the samples of those devices arrive whose count is new, or whose distance was forgotten."""
        for device in sorted(set(block.unaligned()) & set(present)):
            answer = self.polls.poll(round_index, attempt, [device], "pilot")[device]
            if answer.start_sample is None or not block.hear_start(device, answer.start_sample):
                raise AttemptFailedError(f"device {device}: its alignment frame was not heard")

    def _sound(self, block: Block, round_index: int, attempt: int, present: Sequence[int], radio: _Stopwatch) -> None:
        """Learn every present device's channel: all pilots in one poll on simulated air, else one after the other."""
        if not block.needs_sounding:
            block.measure_noise()
            return
        listens = self.config.experiment.scheme.csi == "reciprocity"
        may_be_silent = self.config.experiment.scheme.alignment.name == "truncated"
        if listens:
            block.measure_noise()
            block.send_pilot()
        slot: m.Slot = "listen" if listens else "pilot"
        for group in [list(present)] if self._batches else [[device] for device in present]:
            slots = block.pilot_slots(group)
            reports = self.polls.poll(
                round_index,
                attempt,
                group,
                slot,
                start_samples={each.device: each.start_sample for each in slots if each.start_sample is not None},
                after_samples={each.device: each.after_samples for each in slots if each.after_samples},
            )
            for device in group:
                with radio.running():
                    estimate = block.learn(device, reports[device].heard) if listens else block.sound(device)
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

    def _start(self, round_index: int, attempt: int, plan: Plan, channels: Channels) -> tuple[m.Ready, ...]:
        """Announce the plan, to each host with its own devices' channels, and wait until all are ready."""
        csi, starts = channels.csi, channels.starts(plan)
        after = {each.device: each.after_samples for each in channels.payload_slots(plan)} if self._batches else {}

        everybody = len(plan.active) == self.config.rig.num_devices
        active = None if everybody else m.packed(plan.active)
        told = msgspec.structs.replace(plan, active=())

        def request(seat: Seat) -> m.RoundStart:
            return m.RoundStart(
                round=round_index,
                attempt=attempt,
                plan=told,
                active=active,
                csi={k: csi[k] for k in seat.devices if k in csi},
                start_samples={k: starts[k] for k in seat.devices if k in starts},
                after_samples={k: after[k] for k in seat.devices if k in after},
            )

        answers = self.roster.ask(
            self.roster.seated,
            request,
            m.Ready,
            self.config.rig.control.radio_timeout_s,
            what="payload",
            accept=lambda a: (a.round, a.attempt) == (round_index, attempt),
            fault=self._fault_of_ready,
        )
        check_nobody_lost(answers.losses)
        ready = tuple(answers.of.values())
        self.polls.radio_s += max((answer.radio_s for answer in ready), default=0.0)
        check_transmitted({k: why for answer in ready for k, why in answer.problems.items()})
        return ready

    def _fault_of_ready(self, seat: Seat, ready: m.Ready) -> str | None:
        """What a host says that it may not say; None if nothing."""
        own, learner = set(seat.devices), self.config.experiment.learner
        for revealed in (ready.ground_truth, ready.losses):
            if (revealed is not None) != self.config.experiment.ground_truth:
                return "its answer holds scalars or losses that nobody asked for, or not those that were"
        for name, known in (("scalars", ready.ground_truth), ("losses", ready.losses), ("problems", ready.problems)):
            if known is not None and not set(known) <= own:
                return f"its answer holds {name} of devices {sorted(set(known) - own)}, which it does not serve"
        for device, values in (ready.ground_truth or {}).items():
            if len(values) != learner.num_queries or any(abs(v) > learner.clip * (1 + _ROUNDING) for v in values):
                return (
                    f"device {device}: got {len(values)} scalars; allowed: {learner.num_queries}, within "
                    f"±{learner.clip:g}"
                )
        return None

    def _receive(self, round_index: int, attempt: int, plan: Plan, channels: Channels, radio: _Stopwatch) -> Reception:
        """Capture the payload, or every active device's slot in turn, and estimate."""

        def poll(device: int) -> None:
            if not self._batches:
                self.polls.poll(round_index, attempt, [device], "payload")

        reception = channels.receive(plan, poll)
        radio.seconds += reception.radio_s
        return reception
