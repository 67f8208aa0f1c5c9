"""A learner host: one replica of the model, the radios of the devices that it serves, and its part in each round."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from learner.zo.evaluation import evaluate
from learner.zo.replica import Replica
from radio.air.medium import Medium
from radio.backends.base import Radio
from radio.errors import RadioLinkError, SignalError
from radio.link.device import DeviceLink
from radio.randomness import generator
from radio.records import Csi
from radio.schemes.base import Scheme
from testbed.bench.rig import device_radio, scheme_of
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.transport import Client
from testbed.errors import CrashError, DivergenceError, PeerTimeoutError, TransportError
from testbed.failures import EXPECTED, in_one_line, traceback_of
from testbed.hosts.local_work import AnotherNoiseError, Loaded, LocalRound, load_model_and_task, prepare
from testbed.hosts.randomness import DeviceRandomness, device_randomness
from testbed.planning.terms import is_simulated

log = logging.getLogger(__name__)
_HELLO_EVERY_S = 1.0
_PING_EVERY_S = 5.0

MediumFactory = Callable[[m.Welcome], Medium | None]
"""Makes the air of a simulated rig; None for real radios."""


class SilentAccessPointError(PeerTimeoutError):
    """The access point was not heard for too long; nobody is there to be told."""


class LearnerHost:
    """Serves ``devices`` to the access point at the other end of ``client`` until the run is over."""

    def __init__(
        self,
        client: Client[m.ControlMessage],
        devices: Sequence[int],
        make_medium: MediumFactory,
        *,
        load: Callable[[RunConfig], Loaded] = load_model_and_task,
        localise: Callable[[RunConfig], RunConfig] = lambda config: config,
        host_name: str = "",
        timeout_s: float = 60.0,
        should_stop: Callable[[], bool] = lambda: False,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """``check`` is asked again and again, and raises what has gone wrong elsewhere in this process."""
        self._client = client
        self._devices = tuple(sorted(devices))
        self._make_medium = make_medium
        self._loader = load
        self._localise = localise
        self._host_name = host_name or socket.gethostname()
        self._timeout_s = timeout_s
        self._should_stop = should_stop
        self._check = check
        self._stop = threading.Event()
        self._run_id = ""
        self._next_round = 0
        self._config: RunConfig
        self._loaded: Loaded | None = None
        self._scheme: Scheme
        self._radios: dict[int, Radio] = {}
        self._links: dict[int, DeviceLink] = {}
        self._sources: dict[int, DeviceRandomness] = {}
        self._local = LocalRound()
        """What this host brings into round `_next_round`; empty before that is computed."""
        self._plan: m.RoundStart | None = None

    @property
    def _replica(self) -> Replica:
        assert self._loaded is not None, "no message that needs the model comes before Welcome"
        return self._loaded.replica

    @property
    def has_model(self) -> bool:
        """Whether this host got as far as loading a model."""
        return self._loaded is not None

    def stop(self) -> None:
        """Ask `run` to return soon; any thread may call this."""
        self._stop.set()

    # ---- the conversation

    def run(self) -> str:
        """Take part until the access point says Finish; returns its reason.

        Raises PeerTimeoutError if nothing was heard for ``timeout_s``, and TestbedError if refused. Transmitters are
        silent when this returns or raises.
        """
        try:
            self._hello()
            return self._serve()
        except EXPECTED as err:
            if not isinstance(err, TransportError | SilentAccessPointError):
                self._client.send(m.Trouble(reason=str(err), trace=err.trace if isinstance(err, CrashError) else ""))
            raise
        except Exception as err:
            self._client.send(m.Trouble(reason=in_one_line(err), trace=traceback_of(err)))
            raise CrashError(
                f"devices {self._names()}: {in_one_line(err)}; its traceback went to the access point, whose run "
                "directory keeps it",
                trace=traceback_of(err),
            ) from err
        finally:
            self._close_radios()

    def save_weights(self, path: Path) -> None:
        """Write the live weights as safetensors."""
        self._replica.save_weights(path)

    def _hello(self) -> None:
        self._client.send(
            m.Hello(
                protocol_version=m.PROTOCOL_VERSION,
                host=self._host_name,
                devices=self._devices,
                run_id=self._run_id,
                next_round=self._next_round,
            )
        )

    def _serve(self) -> str:
        heard = time.monotonic()
        while not (self._stop.is_set() or self._should_stop()):
            self._check()
            message = self._client.receive(_PING_EVERY_S if self._run_id else _HELLO_EVERY_S)
            if message is None:
                if time.monotonic() - heard > self._timeout_s:
                    raise SilentAccessPointError(
                        f"access point at {self._client.address}: nothing heard for {self._timeout_s:g} s; "
                        "start it, or check --connect"
                    )
                if self._run_id:
                    self._client.send(m.Ping())
                elif heard < time.monotonic() - _HELLO_EVERY_S:
                    self._hello()
                continue
            heard = time.monotonic()
            if isinstance(message, m.Finish):
                if self._run_id:
                    goodbye = m.Goodbye(next_round=self._next_round, fingerprint=self._replica.fingerprint())
                    self._client.send(goodbye)
                return message.reason
            self._answer(message)
            heard = time.monotonic()
        return "stopped"

    def _answer(self, message: m.ControlMessage) -> None:
        match message:
            case m.Welcome():
                self._join(message)
            case m.WhoAreYou():
                self._hello()
            case m.Refused(reason=reason):
                raise TransportError(
                    f"access point at {self._client.address} refused devices {self._names()}: {reason}"
                )
            case m.SoundStart():
                self._prepare(message)
            case m.Poll():
                self._transmit_slot(message)
            case m.RoundStart():
                self._start_payload(message)
            case m.RoundResult():
                self._apply(message)
            case m.Evaluate(round=round_index):
                self._evaluate(round_index)
            case _:
                pass

    def _names(self) -> str:
        return ", ".join(map(str, self._devices))

    # ---- joining

    def _join(self, welcome: m.Welcome) -> None:
        """Load what the run needs (once per run), then apply the results that this host missed."""
        if welcome.run_id != self._run_id:
            self._load(welcome)
        missed = [past for past in welcome.results if past.round >= self._next_round]
        self._replica.replay((past.seed, past.coefficients) for past in missed)
        if welcome.next_round > self._next_round:
            self._next_round = welcome.next_round
            self._local = LocalRound()
        self._plan = None
        self._client.send(
            m.Joined(
                next_round=self._next_round,
                num_parameters=self._replica.num_parameters,
                fingerprint=self._replica.fingerprint(),
            )
        )

    def _load(self, welcome: m.Welcome) -> None:
        self._config = config = welcome.config
        self._loaded = self._loader(config)
        self._close_radios()
        medium = self._make_medium(welcome)
        self._scheme = scheme_of(config)
        self._sources = {
            device: device_randomness(simulated=is_simulated(config.rig), seed=config.experiment.seed, device=device)
            for device in self._devices
        }
        bench = self._localise(config)
        self._radios = {device: device_radio(bench, medium, device) for device in self._devices}
        self._links = {
            device: DeviceLink(
                radio, config.rig.radio, config.rig.frame, self._scheme, device, num_devices=config.rig.num_devices
            )
            for device, radio in self._radios.items()
        }
        self._run_id = welcome.run_id
        self._next_round = 0
        self._local = LocalRound()

    def _close_radios(self) -> None:
        for radio in self._radios.values():
            radio.close()
        self._radios = {}

    # ---- one round

    def _prepare(self, start: m.SoundStart) -> None:
        """Compute the scalars of this round; a retry uses the same scalars and the same noise."""
        if start.round != self._next_round:
            self._hello()
            return
        assert self._loaded is not None
        experiment = self._config.experiment
        if not self._local.contributions:
            self._local = LocalRound(
                prepare(
                    self._loaded, experiment, self._devices, self._sources, round_index=start.round, seed=start.seed
                )
            )
        self._plan = None
        compares = start.round % experiment.learner.fingerprint_every == 0
        self._client.send(
            m.Prepared(
                round=start.round,
                attempt=start.attempt,
                fingerprint=self._replica.fingerprint() if compares else None,
                draw=self._local.draw,
            )
        )

    def _transmit_slot(self, poll: m.Poll) -> None:
        if not self._local.contributions or poll.round != self._next_round or poll.device not in self._links:
            return
        link = self._links[poll.device]
        heard: Csi | None = None
        start_sample: int | None = None
        problem: str | None = None
        try:
            if poll.slot == "pilot":
                start_sample = link.send_pilot(poll.start_sample)
            elif poll.slot == "tone":
                link.send_tone(poll.shift_hz)
            elif poll.slot == "listen":
                heard = self._listen(poll.device)
            elif self._plan is not None:
                self._send_values(poll.device, self._plan)
            else:
                return
        except (RadioLinkError, AnotherNoiseError) as err:
            problem = str(err)
        self._client.send(
            m.Transmitting(
                round=poll.round,
                attempt=poll.attempt,
                device=poll.device,
                heard=heard,
                start_sample=start_sample,
                problem=problem,
            )
        )

    def _listen(self, device: int) -> Csi | None:
        try:
            return self._links[device].hear_pilot()
        except SignalError as err:
            log.warning("%s", err)
            return None

    def _start_payload(self, start: m.RoundStart) -> None:
        """Superposed payloads start now; slots wait for their poll."""
        if not self._local.contributions or start.round != self._next_round:
            return
        self._plan = start
        problems: dict[int, str] = {}
        if self._scheme.superposed:
            for device in self._devices:
                if device in start.plan.active:
                    try:
                        self._send_values(device, start)
                    except (RadioLinkError, AnotherNoiseError) as err:
                        problems[device] = str(err)
        reveal, brought = self._config.experiment.ground_truth, self._local.contributions
        self._client.send(
            m.Ready(
                round=start.round,
                attempt=start.attempt,
                ground_truth={k: tuple(map(float, p.clipped)) for k, p in brought.items()} if reveal else None,
                losses={k: p.loss for k, p in brought.items() if p.loss is not None} if reveal else None,
                problems=problems,
            )
        )

    def _send_values(self, device: int, start: m.RoundStart) -> None:
        self._links[device].send_values(
            self._local.value(device, self._scheme, start.plan),
            start.plan,
            start.csi.get(device),
            self._secret(device, start),
            start_sample=start.start_samples.get(device),
        )

    def _secret(self, device: int, start: m.RoundStart) -> np.random.Generator | None:
        """What draws this device's tone phases: in a simulation a seed, which protects nobody; else the system's."""
        if not is_simulated(self._config.rig):
            return None
        return generator(self._config.experiment.seed, device, start.round, start.attempt, purpose="secret phases")

    def _apply(self, result: m.RoundResult) -> None:
        for link in self._links.values():
            try:
                link.silence()
            except RadioLinkError as err:  # its transmission ends with the link
                log.warning("%s", err)
        if result.round != self._next_round:
            if result.round > self._next_round:
                self._hello()
            return
        if result.fingerprint is not None and result.fingerprint != self._replica.fingerprint():
            raise DivergenceError(
                f"round {result.round}: devices {self._names()} hold other weights than the access point announced; "
                "check that all hosts run the same version, then restart this host"
            )
        if result.coefficients:
            self._replica.update(result.seed, result.coefficients)
        self._next_round += 1
        self._local = LocalRound()
        self._plan = None

    def _evaluate(self, round_index: int) -> None:
        assert self._loaded is not None
        evaluation = evaluate(self._loaded.replica, self._loaded.task)
        self._client.send(
            m.Evaluated(
                round=round_index,
                loss=evaluation.loss,
                metric=evaluation.metric,
                num_examples=evaluation.num_examples,
            )
        )
