"""A learner host: one replica of the model, the radios of the devices that it serves, and its part in each round."""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from learner.zo.evaluation import Evaluation
from learner.zo.replica import Replica
from radio.air.medium import Medium
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.proof import Proof
from testbed.control.transport import ClientEnd
from testbed.errors import CrashError, DivergenceError, TransportError
from testbed.failures import EXPECTED, in_one_line, traceback_of
from testbed.hosts.local_work import Loaded, LocalRound, judged, load_model_and_task, prepare
from testbed.hosts.membership import Membership, SilentAccessPointError
from testbed.hosts.proof import proof_of, toolkit_fingerprint
from testbed.hosts.randomness import DeviceRandomness, device_randomness
from testbed.hosts.transmissions import Transmissions
from testbed.planning.terms import is_simulated

log = logging.getLogger(__name__)
_LOOK_UP_EVERY_S = 1.0
MediumFactory = Callable[[m.Welcome], Medium | None]
"""Makes the air of a simulated rig; None for real radios."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a host has nothing more to do."""

    reason: str
    failed: bool = False
    """Whether the run came to nothing, as the access point says."""


class LearnerHost:
    """Serves ``devices`` to the access point at the other end of ``client`` until the run is over."""

    def __init__(
        self,
        client: ClientEnd[m.ControlMessage],
        devices: Sequence[int],
        make_medium: MediumFactory,
        *,
        load: Callable[[RunConfig], Loaded] = load_model_and_task,
        prove: Callable[[Loaded, RunConfig], Proof] = proof_of,
        judge: Callable[[Loaded], tuple[Evaluation, Evaluation | None]] = judged,
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
        self._prove = prove
        self._judge = judge
        self._localise = localise
        self._host_name = host_name or socket.gethostname()
        self._instance = secrets.token_hex(16)
        self._should_stop = should_stop
        self._check = check
        self._stop = threading.Event()
        self._member = Membership(client, timeout_s)
        self._run_id = ""
        self._next_round = 0
        self._config: RunConfig
        self._everybody: tuple[int, ...] = ()
        self._loaded: Loaded | None = None
        self._proof: Proof
        self._radios: Transmissions | None = None
        self._sources: dict[int, DeviceRandomness] = {}
        self._local = LocalRound()
        """What this host brings into round `_next_round`; empty before that is computed."""
        self._attempt: tuple[int, int] | None = None
        """Round and attempt that `_answers` and `_plan` are of."""
        self._answers: dict[object, m.FromHost] = {}
        """What was asked in this attempt → the answer: asked again, nothing is done again."""
        self._plan: m.RoundStart | None = None
        self._pending: m.SoundStart | m.Evaluate | m.Finish | None = None
        """To be answered once this host has caught up."""

        self._parts: dict[type, Callable[[Any], None]] = {
            m.SoundStart: self._prepare,
            m.Poll: self._polled,
            m.RoundStart: self._start_payload,
            m.RoundResult: self._apply,
            m.Evaluate: self._evaluate,
        }
        """What is asked of a host that has joined."""

    @property
    def _replica(self) -> Replica:
        assert self._loaded is not None, "no message that needs the model comes before Welcome"
        return self._loaded.replica

    def has_model(self) -> bool:
        """Whether this host got as far as loading a model."""
        return self._loaded is not None

    def stop(self) -> None:
        """Ask `run` to return soon; any thread may call this."""
        self._stop.set()

    # ---- the conversation

    def run(self) -> Ended:
        """Take part until the access point says Finish; returns why.

        Raises PeerTimeoutError if nothing was heard for ``timeout_s``, and TestbedError if refused. Transmitters are
        silent when this returns or raises.
        """
        try:
            self.greet()
            return self._serve()
        except EXPECTED as err:
            if not isinstance(err, TransportError | SilentAccessPointError):
                self._leave(str(err), err.trace if isinstance(err, CrashError) else "")
            raise
        except KeyboardInterrupt:
            self._leave("stopped by its user")
            raise
        except Exception as err:
            self._leave(in_one_line(err), traceback_of(err))
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

    def greet(self) -> None:
        """Say Hello, and again until it is answered."""
        hello = m.Hello(
            protocol_version=m.PROTOCOL_VERSION,
            host=self._host_name,
            instance=self._instance,
            devices=self._devices,
            run_id=self._run_id,
            next_round=self._next_round,
            code=toolkit_fingerprint(),
        )
        self._member.ask(hello, "outside")

    def _leave(self, reason: str, trace: str = "") -> None:
        with contextlib.suppress(TransportError):  # why this host ends is what must be said
            self._client.send(m.Trouble(reason=m.cut(reason), trace=trace[-40_000:]))

    def _serve(self) -> Ended:
        while not (self._stop.is_set() or self._should_stop()):
            self._check()
            message = self._member.receive(at_most_s=_LOOK_UP_EVERY_S)
            ended = self.attend(message) if message is not None else None
            if ended is None and self._member.has_left and isinstance(self._pending, m.Finish):
                ended = Ended(self._pending.reason, self._pending.failed)
            if ended is not None:
                return ended
            if message is not None:
                self._member.worked()
        self._leave("stopped")
        return Ended("stopped")

    def attend(self, message: m.ControlMessage) -> Ended | None:
        """Do what one message asks; returns why there is nothing more to do, once that is so."""
        part = self._parts.get(type(message))
        if part is not None:
            if self._loaded is not None and self._member.state != "outside":
                part(message)
            return None
        match message:
            case m.Welcome():
                self._enter(message)
            case m.WhoAreYou():
                if self._member.state != "outside":
                    self.greet()
            case m.Occupied(reason=reason):
                self._member.occupied(reason)
            case m.Refused(reason=reason):
                raise TransportError(
                    f"access point at {self._client.address} refused devices {self._names()}: {reason}"
                )
            case m.Results():
                self._take(message)
            case m.Seated():
                if self._member.state == "joining":
                    self._member.answered("seated")
            case m.Finish():
                return self._finish(message)
            case m.Farewell():
                if isinstance(self._pending, m.Finish):
                    return Ended(self._pending.reason, self._pending.failed)
        return None

    def _names(self) -> str:
        return ", ".join(map(str, self._devices))

    # ---- joining

    def _enter(self, welcome: m.Welcome) -> None:
        """Load what the run needs, once per run; then catch up with it, or say what this host is."""
        if self._member.state != "outside":
            return  # it was said twice
        if welcome.run_id != self._run_id:
            self._load(welcome)
        self._pending = None
        if welcome.next_round > self._next_round:
            self._member.ask(m.CatchUp(first=self._next_round), "joining")
        else:
            self._join()

    def _join(self) -> None:
        self._member.ask(m.Joined(next_round=self._next_round, proof=self._proof), "joining")

    def _take(self, results: m.Results) -> None:
        """Apply results that this host missed, and ask for more, or go on with what it was asked meanwhile."""
        if self._loaded is None or self._member.state == "outside" or results.first != self._next_round:
            return  # of an earlier question
        self._replica.replay(update for past in results.results for update in past.updates)
        if results.until > self._next_round:
            self._next_round = results.until
            self._forget_round()
        if self._next_round < results.next_round:
            self._member.ask(m.CatchUp(first=self._next_round), self._member.state)
        elif (pending := self._pending) is not None:
            self._member.answered("seated")  # who has no seat is asked nothing
            self._pending = None
            self.attend(pending)
        elif self._member.state == "joining":
            self._join()
        elif self._member.state == "seated":
            self._member.answered("seated")

    def _behind(self, waits: m.SoundStart | m.Evaluate | m.Finish | None) -> None:
        """Something is asked of weights that this host has not yet."""
        self._pending = waits
        self._member.ask(m.CatchUp(first=self._next_round), self._member.state)

    def _load(self, welcome: m.Welcome) -> None:
        config = welcome.config
        bench = self._localise(config)
        self._loaded = self._loader(bench)
        self._proof = self._prove(self._loaded, bench)
        self._config = config
        self._everybody = tuple(range(config.rig.num_devices))
        self._close_radios()
        self._radios = Transmissions(config, bench, self._devices, self._make_medium(welcome))
        self._sources = {
            device: device_randomness(simulated=is_simulated(config.rig), seed=config.experiment.seed, device=device)
            for device in self._devices
        }
        self._run_id = welcome.run_id
        self._next_round = 0
        self._forget_round()

    def _forget_round(self) -> None:
        self._local = LocalRound()
        self._attempt, self._plan = None, None

    def _close_radios(self) -> None:
        if self._radios is not None:
            self._radios.close()
            self._radios = None

    def _finish(self, finish: m.Finish) -> Ended | None:
        """Say Goodbye with the live weights, once they are those of the run's end."""
        if self._loaded is None or finish.failed or self._member.state == "outside":
            return Ended(finish.reason, finish.failed)
        self._silence()
        if finish.next_round > self._next_round:
            self._behind(finish)
        elif self._member.state != "leaving":
            self._pending = finish
            goodbye = m.Goodbye(next_round=self._next_round, fingerprint=self._replica.fingerprint())
            self._member.ask(goodbye, "leaving")
        return None

    # ---- one round

    def _prepare(self, start: m.SoundStart) -> None:
        """Compute the scalars of this round; a retry uses the same scalars and the same noise."""
        if start.round != self._next_round:
            if start.round > self._next_round:
                self._behind(start)
            return
        if self._member.state == "joining":
            self._member.answered("seated")  # its Seated was lost: who has no seat is asked nothing
        if self._attempt is not None and (start.round, start.attempt) < self._attempt:
            return
        if self._attempt != (start.round, start.attempt):
            self._attempt, self._answers, self._plan = (start.round, start.attempt), {}, None
        assert self._loaded is not None
        if not self._local.contributions:
            experiment = self._config.experiment
            self._local = LocalRound.drawn(
                prepare(
                    self._loaded, experiment, self._devices, self._sources, round_index=start.round, seed=start.seed
                )
            )
        self._once(
            start,
            lambda: m.Prepared(
                round=start.round,
                attempt=start.attempt,
                fingerprint=self._replica.fingerprint() if start.compare else None,
                draw=self._local.draw,
            ),
        )

    def _once(self, question: m.ToHost, answer: Callable[[], m.FromHost]) -> None:
        """Answer a question of this attempt; the same one again gets the same answer, and nothing is done twice."""
        match question:
            case m.Poll(number=number):
                key: tuple[object, ...] = (m.Poll, number)
            case m.SoundStart(compare=compare):
                key = (m.SoundStart, compare)  # an access point that has died may have asked otherwise
            case _:
                key = (type(question),)
        if key not in self._answers:
            self._answers[key] = answer()
        self._client.send(self._answers[key])

    def _is_now(self, question: m.Poll | m.RoundStart) -> bool:
        return bool(self._local.contributions) and (question.round, question.attempt) == self._attempt

    def _polled(self, poll: m.Poll) -> None:
        radios, plan = self._radios, self._plan
        if radios is not None and self._is_now(poll) and (plan is not None or poll.slot != "payload"):
            self._once(poll, lambda: radios.polled(poll, plan, self._local))

    def _start_payload(self, start: m.RoundStart) -> None:
        radios = self._radios
        if radios is not None and self._is_now(start):
            active = self._everybody if start.active is None else m.unpacked(start.active)
            self._plan = start = msgspec.structs.replace(start, plan=msgspec.structs.replace(start.plan, active=active))
            self._once(start, lambda: radios.ready(start, self._local))

    def _silence(self) -> None:
        if self._radios is not None:
            self._radios.silence()

    def _apply(self, result: m.RoundResult) -> None:
        if result.round < self._next_round:
            return  # heard again; what is on the air now is not of that round
        self._silence()
        if result.round > self._next_round:
            self._behind(None)
            return
        if result.fingerprint is not None and result.fingerprint != self._replica.fingerprint():
            raise DivergenceError(
                f"round {result.round}: devices {self._names()} hold other weights than the access point announced; "
                "check that all hosts run the same version, then restart this host"
            )
        self._replica.replay(result.updates)
        self._next_round += 1
        self._forget_round()

    def _evaluate(self, asked: m.Evaluate) -> None:
        if asked.round + 1 != self._next_round:
            if asked.round + 1 > self._next_round:
                self._behind(asked)
            return
        if self._attempt != (asked.round, 0):
            self._attempt, self._answers = (asked.round, 0), {}
        self._once(asked, lambda: self._evaluated(asked.round))

    def _evaluated(self, round_index: int) -> m.Evaluated:
        assert self._loaded is not None
        evaluation, held_out = self._judge(self._loaded)
        return m.Evaluated(
            round=round_index,
            loss=evaluation.loss,
            metric=evaluation.metric,
            num_examples=evaluation.num_examples,
            validation_loss=None if held_out is None else held_out.loss,
            validation_metric=None if held_out is None else held_out.metric,
        )
