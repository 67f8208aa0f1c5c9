"""What a host's radios send and hear in a round, as the access point asks for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import numpy as np

from radio.air.medium import Medium
from radio.backends.base import Radio
from radio.errors import RadioLinkError, SignalError
from radio.link.device import DeviceLink
from radio.randomness import generator
from radio.records import Csi
from testbed.bench.rig import device_radio, scheme_of
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.hosts.local_work import AnotherNoiseError, Contribution, LocalRound
from testbed.planning.terms import is_simulated

log = logging.getLogger(__name__)


class Transmissions:
    """The radios of some devices; silent once closed. Raises RadioError where one cannot be opened or tuned."""

    def __init__(self, config: RunConfig, bench: RunConfig, devices: tuple[int, ...], medium: Medium | None) -> None:
        """`bench` is the configuration as it is on this host: where its radios are."""
        self._config = config
        self._medium = medium
        self._scheme = scheme_of(config)
        self._radios: dict[int, Radio] = {}
        self._links: dict[int, DeviceLink] = {}
        try:
            for device in devices:
                self._radios[device] = radio = device_radio(bench, medium, device)
                self._links[device] = DeviceLink(
                    radio, config.rig.radio, config.rig.frame, self._scheme, device, num_devices=config.rig.num_devices
                )
        except BaseException:
            self.close()
            raise

    def polled(self, poll: m.Poll, plan: m.RoundStart | None, local: LocalRound) -> m.Transmitting:
        """Let the polled devices send or listen. A payload needs its plan."""
        started = time.perf_counter()
        reports = tuple(self._polled(poll, device, plan, local) for device in poll.devices if device in self._links)
        unsent = self._flush()
        if unsent is not None:
            reports = tuple(m.Report(device=report.device, problem=unsent) for report in reports)
        return m.Transmitting(
            round=poll.round,
            attempt=poll.attempt,
            number=poll.number,
            reports=reports,
            radio_s=time.perf_counter() - started,
        )

    def _polled(self, poll: m.Poll, device: int, plan: m.RoundStart | None, local: LocalRound) -> m.Report:
        link = self._links[device]
        heard: Csi | None = None
        start_sample: int | None = None
        problem: str | None = None
        try:
            if poll.slot == "pilot":
                start_sample = link.send_pilot(
                    poll.start_samples.get(device), after_samples=poll.after_samples.get(device, 0)
                )
            elif poll.slot == "tone":
                link.send_tone(poll.shift_hz)
            elif poll.slot == "listen":
                heard = self._listen(device)
            elif plan is not None:
                self._send_values(device, plan, local)
        except (RadioLinkError, AnotherNoiseError) as err:
            problem = str(err)
        return m.Report(device=device, heard=heard, start_sample=start_sample, problem=problem)

    def _listen(self, device: int) -> Csi | None:
        try:
            return self._links[device].hear_pilot()
        except SignalError as err:
            log.warning("%s", err)
            return None

    def ready(self, start: m.RoundStart, local: LocalRound) -> m.Ready:
        """Start superposed payloads, and those in slots that are told when; other slots wait for their poll."""
        started = time.perf_counter()
        problems: dict[int, str] = {}
        if self._scheme.superposed or start.after_samples:
            for device in self._links:
                if device in start.plan.active:
                    try:
                        self._send_values(device, start, local)
                    except (RadioLinkError, AnotherNoiseError) as err:
                        problems[device] = str(err)
        unsent = self._flush()
        if unsent is not None:
            problems |= dict.fromkeys(set(self._links) & set(start.plan.active), unsent)
        reveal, brought = self._config.experiment.ground_truth, local.contributions
        return m.Ready(
            round=start.round,
            attempt=start.attempt,
            ground_truth=_values(brought) if reveal else None,
            losses={k: p.loss for k, p in brought.items() if p.loss is not None} if reveal else None,
            problems=problems,
            radio_s=time.perf_counter() - started,
        )

    def _send_values(self, device: int, start: m.RoundStart, local: LocalRound) -> None:
        self._links[device].send_values(
            local.value(device, self._scheme, start.plan),
            start.plan,
            start.csi.get(device),
            self._secret(device, start),
            start_sample=start.start_samples.get(device),
            after_samples=start.after_samples.get(device, 0),
        )

    def _secret(self, device: int, start: m.RoundStart) -> np.random.Generator | None:
        """What draws this device's tone phases: in a simulation a seed, which protects nobody; else the system's."""
        if not is_simulated(self._config.rig):
            return None
        return generator(self._config.experiment.seed, device, start.round, start.attempt, purpose="secret phases")

    def _flush(self) -> str | None:
        """Have a remote air do what it was asked; why it did not, or None."""
        try:
            if self._medium is not None:
                self._medium.flush()
        except RadioLinkError as err:
            return str(err)
        return None

    def silence(self) -> None:
        """Stop whatever is on the air."""
        for link in self._links.values():
            try:
                link.silence()
            except RadioLinkError as err:  # its transmission ends with the link
                log.warning("%s", err)

    def close(self) -> None:
        """Let go of the radios, which fall silent; safe to call twice."""
        for radio in self._radios.values():
            radio.close()
        self._flush()
        self._radios, self._links = {}, {}


def _values(brought: Mapping[int, Contribution]) -> dict[int, tuple[float, ...]]:
    return {device: tuple(map(float, each.clipped)) for device, each in brought.items()}
