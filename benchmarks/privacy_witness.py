"""A simulated air that remembers what was radiated and received, and what an attacker could make of it.

`WitnessedAir` is the air of a run: it keeps every payload's frames and noise, adds a jammer, and spoils captures so
that rounds are retried. `observations` turns what it kept into linear observations of each device's value, by the
channels as they really were and the frames as the real transmitter makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from radio.air.air import Air
from radio.air.channel import draw_gain_error
from radio.backends.loopback import LoopbackRadio
from radio.errors import RadioLinkError
from radio.link.device import DeviceLink
from radio.randomness import generator
from radio.samples import IQ
from testbed.bench.rig import scheme_of
from testbed.config.schema import RunConfig
from testbed.control import messages as m

Floats = NDArray[np.float64]
Jammer = Callable[[int, int], NDArray[np.complex128]]
"""First sample on the access point's clock, number of samples → what it adds."""


def tone(amplitude: float, cycles_per_sample: float) -> Jammer:
    """An unmodulated carrier."""

    def heard(first_sample: int, num_samples: int) -> NDArray[np.complex128]:
        times = first_sample + np.arange(num_samples)
        return np.asarray(amplitude * np.exp(2j * np.pi * ((cycles_per_sample * times) % 1.0)))

    return heard


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Payload:
    """One payload that was sent, whatever became of it."""

    start: m.RoundStart
    begin_samples: int
    """Clock at its first captured sample."""
    frames: dict[int, IQ]
    """device → what its radio was given."""
    transmissions: dict[int, int]
    """device → which transmission of its block this was."""
    noise: NDArray[np.complex128]
    """What the receiver itself added, [N]."""


@dataclass(slots=True)
class _Pending:
    start: m.RoundStart
    frames: dict[int, IQ] = field(default_factory=dict)
    transmissions: dict[int, int] = field(default_factory=dict)


class WitnessedAir(Air):
    """The air of one run, and a noiseless twin of it, whose captures say what of a capture is noise."""

    def __init__(self, config: RunConfig, *, jammer: Jammer | None = None, spoil_rate: float = 0.0) -> None:
        """``spoil_rate``: how likely a payload's capture is made useless, which the access point finds out itself."""
        super().__init__(config.rig.air, **_arguments(config))
        noiseless = msgspec.structs.replace(config.rig.air, snr_db=float("inf"))
        self._twin = Air(noiseless, **_arguments(config))
        self._run_seed = config.experiment.seed
        self._jammer = jammer
        self._spoil_rate = spoil_rate
        self._counts: dict[int, int] = {}
        self._pending: _Pending | None = None
        self.payloads: list[Payload] = []

    def announced(self, start: m.RoundStart) -> None:
        """The devices were told to send a payload."""
        self._pending = _Pending(start)

    def begin_block(self, round_index: int, attempt: int) -> None:
        """Draw a new fading block, in the twin too."""
        super().begin_block(round_index, attempt)
        self._twin.begin_block(round_index, attempt)
        self._counts, self._pending = {}, None

    def transmit(self, station: int, frame: IQ, num_repeats: int | None, *, after_samples: int = 0) -> None:
        """Send, and keep what is part of a payload."""
        super().transmit(station, frame, num_repeats, after_samples=after_samples)
        self._twin.transmit(station, frame, num_repeats, after_samples=after_samples)
        if self._pending is not None and station != self.access_point:
            self._pending.frames[station] = frame if num_repeats is None else np.tile(frame, num_repeats)
            self._pending.transmissions[station] = self._counts.get(station, 0)
        self._counts[station] = self._counts.get(station, 0) + 1

    def silence(self, station: int) -> None:
        """Take the station off both airs."""
        super().silence(station)
        self._twin.silence(station)

    def elapse(self, num_samples: int) -> None:
        """Let time pass unheard."""
        super().elapse(num_samples)
        self._twin.elapse(num_samples)

    def capture(self, station: int, num_samples: int) -> IQ:
        """What the station receives; of a payload, kept, and spoiled now and then. Raises RadioLinkError."""
        begin = self.clock_samples
        received, clean = super().capture(station, num_samples), self._twin.capture(station, num_samples)
        if station != self.access_point:
            self._counts[station] = self._counts.get(station, 0) + 1
            return received
        heard = received.copy()
        if self._jammer is not None:
            heard += self._jammer(begin, num_samples).astype(np.complex64)
        pending, self._pending = self._pending, None
        if pending is None:
            return heard
        start = pending.start
        draw = generator(self._run_seed, start.round, start.attempt, purpose="spoiled captures").random()
        self.payloads.append(
            Payload(
                start=start,
                begin_samples=begin,
                frames=pending.frames,
                transmissions=pending.transmissions,
                noise=received.astype(np.complex128) - clean,
            )
        )
        if draw < self._spoil_rate and self.config.level == "symbol":  # where nothing is ever at full scale
            raise RadioLinkError("its radio lost the samples of this capture")
        if draw < self._spoil_rate:
            heard[-1] = 1.0  # full scale: the receiver was saturated
        return heard


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """What one attempt tells an attacker who knows everything but one device's value: real numbers, [D] each.

    On the sample level delays and carriers tell devices apart, so there is one number a device, the matched filter's;
    on the symbol level everybody is in the same few samples.
    """

    directions: dict[int, Floats]
    """device → what one unit of its value adds."""
    values: dict[int, float]
    """device → the value that it radiated, with its noise."""
    noise: Floats | dict[int, Floats]
    """What the receiver added; by device where devices are told apart."""
    noise_variance: float
    """Of each of these numbers."""
    noise_std: float
    """σ as announced."""

    def heard(self, device: int) -> Floats:
        """The receiver's noise on that device's numbers."""
        return self.noise[device] if isinstance(self.noise, dict) else self.noise


class _Oracle(Air):
    """Tells gains at any later time, and keeps the frames that links send."""

    def transmit(self, station: int, frame: IQ, num_repeats: int | None, *, after_samples: int = 0) -> None:
        """Keep the frame."""
        self.kept = frame if num_repeats is None else np.tile(frame, num_repeats)


def observations(config: RunConfig, payloads: Sequence[Payload]) -> list[Observation]:
    """One of every payload, in the order in which they were sent."""
    oracle = _Oracle(config.rig.air, **_arguments(config))
    rig = config.rig
    links = [
        DeviceLink(
            LoopbackRadio(oracle, device), rig.radio, rig.frame, scheme_of(config), device, num_devices=rig.num_devices
        )
        for device in range(rig.num_devices)
    ]
    return [_observation(config, payload, oracle, links) for payload in payloads]


def _observation(config: RunConfig, payload: Payload, oracle: _Oracle, links: Sequence[DeviceLink]) -> Observation:
    start, apart = payload.start, config.rig.air.level == "sample"
    oracle.begin_block(start.round, start.attempt)
    directions: dict[int, Floats] = {}
    values: dict[int, float] = {}
    noises: dict[int, Floats] = {}
    for device, frame in sorted(payload.frames.items()):
        idle, unit = (_frame(links[device], oracle, start, device, value) for value in (0.0, 1.0))
        change = unit - idle
        values[device] = float(np.vdot(change, frame - idle).real / np.vdot(change, change).real)
        where = np.flatnonzero(change)
        time = payload.begin_samples + int(where.mean())
        if time > oracle.clock_samples:
            oracle.elapse(time - oracle.clock_samples)
        truth = oracle.truth()
        error = draw_gain_error(
            config.rig.air, seed=config.experiment.seed, round_index=start.round, attempt=start.attempt,
            device=device, transmission=payload.transmissions[device],
        )  # fmt: skip
        arriving = truth.gains[device] * error * change[where]
        if apart:
            norm = float(np.linalg.norm(arriving))
            directions[device] = np.array([norm])
            noises[device] = np.array([np.vdot(arriving, payload.noise[where]).real / norm])
        else:
            directions[device], noises[device] = _reals(arriving), _reals(payload.noise[where])
    return Observation(
        directions=directions,
        values=values,
        noise=noises if apart else next(iter(noises.values())),
        noise_variance=oracle.truth().noise_power / 2,
        noise_std=start.plan.artificial_noise_std,
    )


def _frame(link: DeviceLink, oracle: _Oracle, start: m.RoundStart, device: int, value: float) -> NDArray[np.complex128]:
    """What the real transmitter makes of a value under the announced plan."""
    link.send_values(np.full(start.plan.num_queries, value), start.plan, start.csi.get(device))
    return oracle.kept.astype(np.complex128)


def _reals(values: NDArray[np.complex128]) -> Floats:
    return np.concatenate((values.real, values.imag))


def _arguments(config: RunConfig) -> dict[str, Any]:
    """As the air of a run is made."""
    rig = config.rig
    return {
        "num_devices": rig.num_devices,
        "seed": config.experiment.seed,
        "sample_rate_hz": rig.radio.sample_rate_hz,
        "tx_power": rig.radio.max_power,
        "center_freq_hz": rig.radio.center_freq_hz,
    }
