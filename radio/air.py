"""The shared simulated medium: superposes every station on one continuous time axis.

Time is a sample counter that only the access point's captures advance. Contributions are summed in device
order and noise comes from counters, so neither arrival order nor the number of processes can change one bit.
"""

from __future__ import annotations

from threading import Lock
from typing import Protocol

import numpy as np

from radio.backend import IQ
from radio.channel import (
    Truth,
    draw_delays,
    draw_gains,
    draw_noise,
    draw_oscillators,
    draw_start_jitter,
)
from radio.config import FILTER_HALF_LENGTH_SAMPLES, AirConfig
from radio.errors import RadioConfigError
from radio.propagation import FOREVER_SAMPLES, Rotation, Transmission, delayed


class Medium(Protocol):
    """What a loopback radio needs of an air, whether in this process or behind a socket."""

    @property
    def access_point(self) -> int:
        """The station that receives; devices are the stations below it."""
        ...

    @property
    def sample_rate_hz(self) -> float:
        """The one sample rate of everybody on this air."""
        ...

    @property
    def clock_samples(self) -> int:
        """Index of the sample at which the next capture starts."""
        ...

    def transmit(self, station: int, frame: IQ, num_repeats: int | None) -> None:
        """Send from now on so many times, or cyclically (None); replaces what the station was sending."""
        ...

    def stream(self, station: int, frame: IQ) -> None:
        """Append right behind what the station is still sending; starts now when it is silent."""
        ...

    def silence(self, station: int) -> None:
        """Take the station off the air."""
        ...

    def capture(self, station: int, num_samples: int) -> IQ:
        """What the station receives next, shape [num_samples]."""
        ...

    def elapse(self, num_samples: int) -> None:
        """Let time pass unheard."""
        ...

    def begin_block(self, round_index: int, attempt: int) -> None:
        """Draw a new fading block; silences everyone."""
        ...


class Air:
    """K devices and an access point on a simulated channel; thread-safe.

    Frames are taken as they are: the radio in front of the air checks them.
    """

    def __init__(
        self, config: AirConfig, *, num_devices: int, seed: int, sample_rate_hz: float, tx_power: float
    ) -> None:
        """`tx_power` is P, linear, from which `snr_db` sets N0. Raises RadioConfigError."""
        if num_devices < 1:
            raise RadioConfigError(f"num_devices: got {num_devices}; allowed: at least 1")
        if not tx_power > 0:
            raise RadioConfigError(f"tx_power: got {tx_power}; allowed: a linear power > 0")
        self.config = config
        self.num_devices = num_devices
        self._seed = seed
        self._sample_rate_hz = sample_rate_hz
        self._noise_power = config.noise_power(tx_power)
        self._oscillators = draw_oscillators(config, num_devices=num_devices, seed=seed)
        self._delays = draw_delays(config, num_devices=num_devices, seed=seed)
        self._rotations: dict[int, Rotation] = {}  # built when a device is first heard: 64 KiB each
        self._lock = Lock()
        self._clock = 0
        self._start_block(0, 0)

    @property
    def access_point(self) -> int:
        """Station K; devices are stations 0..K-1."""
        return self.num_devices

    @property
    def sample_rate_hz(self) -> float:
        """The one sample rate of everybody on this air."""
        return self._sample_rate_hz

    @property
    def clock_samples(self) -> int:
        """Index of the sample at which the next capture starts."""
        with self._lock:
            return self._clock

    def transmit(self, station: int, frame: IQ, num_repeats: int | None) -> None:
        """Send from now on so many times, or cyclically (None); replaces what the station was sending."""
        self._check_device(station)
        if num_repeats is not None and num_repeats < 1:
            raise RadioConfigError(f"num_repeats: got {num_repeats}; allowed: at least 1, or None for cyclic")
        with self._lock:
            start = self._clock + self._jitter(station)
            stop = FOREVER_SAMPLES if num_repeats is None else start + frame.size * num_repeats
            self._on_air[station] = [Transmission(frame.astype(np.complex128), start, stop)]

    def stream(self, station: int, frame: IQ) -> None:
        """Append right behind what the station is still sending; starts now when it is silent.

        Raises RadioConfigError behind a cyclic transmission, which has no end to append to.
        """
        self._check_device(station)
        with self._lock:
            queue = self._on_air.setdefault(station, [])
            if queue and queue[-1].stop == FOREVER_SAMPLES:
                raise RadioConfigError(f"station {station}: got a stream behind a cyclic transmission; stop that first")
            still_sending = bool(queue) and queue[-1].stop >= self._clock
            start = queue[-1].stop if still_sending else self._clock + self._jitter(station)
            queue.append(Transmission(frame.astype(np.complex128), start, start + frame.size))

    def silence(self, station: int) -> None:
        """Take the station off the air."""
        with self._lock:
            self._on_air.pop(station, None)

    def capture(self, station: int, num_samples: int) -> IQ:
        """What the access point receives next, shape [num_samples].

        Saturates at ±1 per I and Q on the sample level. Raises RadioConfigError for any other station.
        """
        if station != self.access_point:
            raise RadioConfigError(
                f"station {station}: got a capture; allowed: the access point only "
                f"(station {self.access_point}); devices cannot receive on this air"
            )
        _check_length(num_samples)
        with self._lock:
            received = self._superpose(self._clock, self._clock + num_samples)
            if self._noise_power > 0:
                received += draw_noise(
                    num_samples,
                    noise_power=self._noise_power,
                    seed=self._seed,
                    round_index=self._round_index,
                    attempt=self._attempt,
                    capture=self._num_captures,
                )
            self._num_captures += 1
            self._advance(num_samples)
        samples = received.astype(np.complex64)
        if self.config.level == "sample":
            parts = samples.view(np.float32)
            np.clip(parts, -1, 1, out=parts)
        return samples

    def elapse(self, num_samples: int) -> None:
        """Let time pass unheard."""
        if num_samples == 0:
            return
        _check_length(num_samples)
        with self._lock:
            self._advance(num_samples)

    def begin_block(self, round_index: int, attempt: int) -> None:
        """Draw a new fading block; silences everyone."""
        with self._lock:
            self._start_block(round_index, attempt)

    def truth(self) -> Truth:
        """The current block's ground truth."""
        with self._lock:
            return Truth(
                gains=self._gains.copy(),
                cfo_hz=np.array([oscillator.cfo_hz for oscillator in self._oscillators]),
                delays_samples=np.array(self._delays),
                noise_power=self._noise_power,
            )

    def _start_block(self, round_index: int, attempt: int) -> None:
        self._gains = draw_gains(
            self.config,
            num_devices=self.num_devices,
            seed=self._seed,
            round_index=round_index,
            attempt=attempt,
        )
        self._round_index, self._attempt = round_index, attempt
        self._num_captures = 0
        self._num_transmissions = dict.fromkeys(range(self.num_devices), 0)
        self._on_air: dict[int, list[Transmission]] = {}

    def _superpose(self, start: int, stop: int) -> np.ndarray[tuple[int], np.dtype[np.complex128]]:
        total = np.zeros(stop - start, dtype=np.complex128)
        for device in sorted(self._on_air):
            arriving = delayed(self._on_air[device], self._delays[device], start, stop)
            self._rotation(device).apply(arriving, start)
            arriving *= self._gains[device]
            total += arriving
        return total

    def _advance(self, num_samples: int) -> None:
        self._clock += num_samples
        for device, queue in list(self._on_air.items()):
            heard_until = self._clock - self._delays[device] - FILTER_HALF_LENGTH_SAMPLES
            self._on_air[device] = [transmission for transmission in queue if transmission.stop >= heard_until]
            if not self._on_air[device]:
                del self._on_air[device]

    def _rotation(self, device: int) -> Rotation:
        if device not in self._rotations:
            self._rotations[device] = Rotation(self._oscillators[device].cfo_hz / self._sample_rate_hz)
        return self._rotations[device]

    def _jitter(self, station: int) -> int:
        transmission = self._num_transmissions[station]
        self._num_transmissions[station] += 1
        return draw_start_jitter(
            self.config,
            seed=self._seed,
            round_index=self._round_index,
            attempt=self._attempt,
            device=station,
            transmission=transmission,
        )

    def _check_device(self, station: int) -> None:
        if not 0 <= station < self.num_devices:
            raise RadioConfigError(f"station {station}: got a transmission; allowed: devices 0..{self.num_devices - 1}")


def _check_length(num_samples: int) -> None:
    if num_samples < 1:
        raise RadioConfigError(f"num_samples: got {num_samples}; allowed: at least 1")
