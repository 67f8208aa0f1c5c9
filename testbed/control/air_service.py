"""The simulated air as a service of its own: several processes, one air for each run. Simulation only; the control
plane never sees IQ.

A client asks, the server answers, one request at a time per client. What the air computes does not depend on the
order in which requests of one block arrive, so a run over this service is bit-equal to one inside a process.
Whoever asks is not trusted beyond its key: requests are checked before they cost anything.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from radio.air.air import Air
from radio.air.calls import (
    BYTES_PER_SAMPLE,
    MAX_CAPTURE_SAMPLES,
    Answer,
    CaptureCall,
    SilenceCall,
    StationCall,
    StreamCall,
    TransmitAtCall,
    TransmitCall,
)
from radio.air.fading import NUM_SINUSOIDS, profile_of
from radio.errors import RadioConfigError, RadioError
from testbed.control.air_wire import AirReply, AirRequest, AirWire, Answered, Ask, Failed, SetUp, make_air
from testbed.control.transport import ServerEnd
from testbed.errors import TestbedError
from testbed.failures import in_one_line, traceback_of

log = logging.getLogger(__name__)
_POLL_S = 0.2
MAX_RUNS = 8
IDLE_S = 600.0
"""For how long nobody must have asked for an air before it makes way for another run's."""
MAX_GAINS = 1 << 20
"""K·L of an air, times the sinusoids of moving gains: some 50 MiB."""
MAX_PATH_SAMPLES = 1 << 13
MAX_HELD_SAMPLES = 1 << 26
"""Of frames on one air: 1 GiB."""
MAX_CAPTURE_PRODUCTS = 1 << 34
"""Some ten seconds of filtering."""
MAX_CLIENTS = 1 << 14
MAX_KEPT_BYTES = 256 * 2**20
_MAX_NAMED = 3
_SENDING = TransmitCall | StreamCall | TransmitAtCall


def serve_air(
    server: ServerEnd[AirWire], should_stop: Callable[[], bool], *, local_key: str = "", known: set[str] | None = None
) -> int:
    """Answer requests until ``should_stop``; returns how many were answered. A bad request is answered too.

    Only the holder of ``local_key``, an access point on the same machine, sets airs up. ``known`` follows whom their
    runs let in.
    """
    airs = Airs(local_key)
    num_answered = 0
    while not should_stop():
        received = server.receive(_POLL_S)
        if received is None:
            continue
        sender, request = received
        if isinstance(request, Answered | Failed):
            continue
        reply = airs.reply(sender.key, request, server.now_s())
        if known is not None and isinstance(request, SetUp):
            known.update(airs.keys)
            known.intersection_update(airs.keys)
        if reply is not None:
            server.send(sender.route, reply)
            num_answered += 1
    return num_answered


@dataclass(slots=True)
class _Run:
    air: Air
    setup: SetUp
    used_s: float

    def check_own(self, key: str, ask: Ask) -> None:
        """Raise TestbedError for what is not a host's on another machine to ask."""
        own = self.setup.stations.get(key, ())
        for call in ask.calls:
            if not isinstance(call, StationCall):
                raise TestbedError(
                    f"run {ask.run_id!r}: got a {type(call).__name__}; allowed: to its access point only"
                )
            if call.station not in own:
                raise TestbedError(
                    f"run {ask.run_id!r}: got a call for station {call.station}; allowed to this key: its own devices; "
                    "look at [hosts] in the rig"
                )

    def check(self, ask: Ask) -> None:
        """Raise TestbedError for calls that nobody answers, RadioConfigError for what is too much."""
        for call in ask.calls[:-1]:
            if not isinstance(call, _SENDING | SilenceCall):
                raise TestbedError(
                    f"run {ask.run_id!r}: got a {type(call).__name__} before other calls; allowed: as the last one, "
                    "since only that is answered"
                )
        num_new = sum(len(call.frame) // BYTES_PER_SAMPLE for call in ask.calls if isinstance(call, _SENDING))
        if num_new and num_new + self.air.num_held_samples > MAX_HELD_SAMPLES:
            raise RadioConfigError(
                f"frames: got {num_new} samples beside those on the air; allowed: {MAX_HELD_SAMPLES} in all; send less"
            )

    def carry_out(self, ask: Ask) -> Answer:
        """All of its calls. Raises the first refusal, with whose call it was and what else was refused."""
        answer = Answer(clock_samples=self.air.clock_samples)
        refusals: list[tuple[RadioError, str]] = []
        for call in ask.calls:
            try:
                if isinstance(call, CaptureCall):
                    self._check_work(call)
                answer = call.on(self.air)
            except RadioError as err:
                whose = f"station {call.station}: " if isinstance(call, StationCall) else ""
                refusals.append((err, str(err) if str(err).startswith(whose) else whose + str(err)))
        if refusals:
            told = "; ".join(text for _, text in refusals[:_MAX_NAMED])
            more = len(refusals) - _MAX_NAMED
            raise type(refusals[0][0])(told + (f"; and {more} more" if more > 0 else ""))
        return answer

    def _check_work(self, capture: CaptureCall) -> None:
        if capture.num_samples > MAX_CAPTURE_SAMPLES:
            return  # refused for that
        products = self.air.num_products(capture.station, capture.num_samples)
        if products > MAX_CAPTURE_PRODUCTS:
            raise RadioConfigError(
                f"num_samples: got {capture.num_samples}, {products:.2g} products of samples and taps; allowed: "
                f"{MAX_CAPTURE_PRODUCTS:.2g}; capture in parts"
            )


class Airs:
    """The airs of several runs, and what their clients were told last; no socket."""

    def __init__(self, local_key: str = "") -> None:
        self._local_key = local_key
        self._runs: dict[str, _Run] = {}
        self._told: OrderedDict[tuple[str, str], tuple[int, AirReply | None]] = OrderedDict()
        self._kept_bytes = 0

    @property
    def keys(self) -> set[str]:
        """Whom any of the runs lets in, and who may set one up."""
        return {self._local_key, *(key for run in self._runs.values() for key in run.setup.stations)}

    def reply(self, key: str, request: AirRequest, now_s: float) -> AirReply | None:
        """Carry out a request of the holder of a key, once; None for one that is older than the client's last."""
        told = self._told.get((key, request.client))
        if told is not None and request.number < told[0]:
            return None
        if told is not None and request.number == told[0]:
            return told[1] or _failed(request, RadioError("its answer is kept no longer"), kind="RadioLinkError")
        reply = self._new_reply(key, request, now_s)
        self._remember((key, request.client), request.number, reply)
        return reply

    def _new_reply(self, key: str, request: AirRequest, now_s: float) -> AirReply:
        try:
            if isinstance(request, SetUp):
                return Answered(number=request.number, answer=self._set_up(key, request, now_s))
            run = self._runs.get(request.run_id)
            if run is None:
                no_air = TestbedError(f"run {request.run_id!r} has no air here; the access point sets it up first")
                return _failed(request, no_air, kind="RadioLinkError", no_air=True)
            if key != self._local_key:
                run.check_own(key, request)
            run.check(request)
            run.used_s = now_s
            return Answered(number=request.number, answer=run.carry_out(request))
        except (RadioError, TestbedError) as err:
            return _failed(request, err)
        except Exception as err:  # noqa: BLE001  a fault of the toolkit: told, and the end of this run, not of others
            trace = traceback_of(err)
            self._runs.pop(request.run_id, None)
            log.error("run %s: its air ended: %s\n%s", request.run_id, in_one_line(err), trace)
            return Failed(number=request.number, kind="CrashError", reason=in_one_line(err), trace=trace)

    def _set_up(self, key: str, setup: SetUp, now_s: float) -> Answer:
        if key != self._local_key:
            raise TestbedError(f"run {setup.run_id!r}: got a SetUp; allowed: to its access point, on the same machine")
        check_size(setup)
        if setup.run_id not in self._runs:
            self._make_room(now_s)
        air = make_air(setup)
        self._runs[setup.run_id] = _Run(air, setup, now_s)
        log.info("air for %d devices, run %s, from sample %d", setup.num_devices, setup.run_id, setup.clock_samples)
        return Answer(clock_samples=air.clock_samples)

    def _make_room(self, now_s: float) -> None:
        if len(self._runs) < MAX_RUNS:
            return
        oldest = min(self._runs, key=lambda run_id: self._runs[run_id].used_s)
        if now_s - self._runs[oldest].used_s <= IDLE_S:
            raise TestbedError(
                f"air: got a SetUp beside {len(self._runs)} runs; allowed: {MAX_RUNS} at a time; wait until one was "
                f"idle for {IDLE_S:g} s, or start another `testbed air`"
            )
        log.info("run %s: idle for long, its air makes way", oldest)
        del self._runs[oldest]

    def _remember(self, client: tuple[str, str], number: int, reply: AirReply) -> None:
        """Keep an answer until the client asks anew, as far as there is room: the oldest are forgotten, but not that
        they were given."""
        self._kept_bytes += _size(reply) - _size(self._told.get(client, (0, None))[1])
        self._told[client] = (number, reply)
        self._told.move_to_end(client)
        while len(self._told) > MAX_CLIENTS:
            self._kept_bytes -= _size(self._told.popitem(last=False)[1][1])
        if self._kept_bytes > MAX_KEPT_BYTES:
            for other, (last, kept) in list(self._told.items()):
                if other != client and _size(kept) > 0:
                    self._told[other] = (last, None)
                    self._kept_bytes -= _size(kept)
                if self._kept_bytes <= MAX_KEPT_BYTES:
                    break


def check_size(setup: SetUp) -> None:
    """Raise RadioConfigError for an air that takes more memory or time than a service may give to one run."""
    profile = profile_of(setup.config, setup.radio.sample_rate_hz)
    per_device = profile.delays_samples.size * (NUM_SINUSOIDS if setup.config.doppler_hz > 0 else 1)
    if setup.num_devices * per_device > MAX_GAINS:
        raise RadioConfigError(
            f"num_devices: got {setup.num_devices} of {per_device} gains each; allowed: {MAX_GAINS} in all; use fewer "
            "devices, fewer taps (air.tdl) or block fading (air.doppler_hz = 0)"
        )
    spread_samples = float(profile.delays_samples.max()) + setup.config.delay_max_samples
    if spread_samples > MAX_PATH_SAMPLES:
        raise RadioConfigError(
            f"air.delay_spread_s: got {setup.config.delay_spread_s:g}, paths of {spread_samples:.0f} samples; allowed: "
            f"{MAX_PATH_SAMPLES}; lower it, or radio.sample_rate_hz"
        )
    if setup.config.doppler_hz > setup.radio.sample_rate_hz / 2:
        raise RadioConfigError(
            f"air.doppler_hz: got {setup.config.doppler_hz:g}; allowed: at most half of radio.sample_rate_hz = "
            f"{setup.radio.sample_rate_hz:g}"
        )


def _failed(request: AirRequest, err: Exception, *, kind: str = "", no_air: bool = False) -> Failed:
    return Failed(number=request.number, kind=kind or type(err).__name__, reason=str(err), no_air=no_air)


def _size(reply: AirReply | None) -> int:
    """Bytes of what may be large."""
    if not isinstance(reply, Answered):
        return 0
    truth = reply.answer.truth
    return len(reply.answer.samples) + (5 * len(truth.tap_gains) if truth is not None else 0)
