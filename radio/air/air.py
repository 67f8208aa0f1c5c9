"""The shared simulated medium: superposes every station on one continuous time axis.

Time is a sample counter that only the access point's captures advance. Contributions are summed in device
order and noise comes from counters, so neither arrival order nor the number of processes can change one bit.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from radio.air.channel import (
    Truth,
    draw_amplitudes,
    draw_delays,
    draw_gain_error,
    draw_noise,
    draw_oscillators,
    draw_start_jitter,
)
from radio.air.config import FILTER_HALF_LENGTH_SAMPLES, AirConfig, TransmitterConfig
from radio.air.fading import MovingFading, block_fading, check_doppler, profile_of
from radio.air.hardware import digitise, draw_angles, radiate
from radio.air.kernels import CHUNK_SAMPLES
from radio.air.on_air import Heard, OnAir
from radio.air.propagation import FOREVER_SAMPLES, Path, Samples, Transmission, chunk_edges, propagate
from radio.air.recorded import RecordedFading, RecordedMotion
from radio.air.wander import Wander, tracking_keys, tracking_phasors
from radio.errors import RadioConfigError, TooLateError
from radio.samples import IQ

BLOCK_SAMPLES = 1 << 14
"""Long captures are computed in blocks of absolute time that fit a cache, by as many threads as there are."""


class Air:
    """K devices and an access point on a simulated channel; thread-safe.

    Uplink and downlink of a device are reciprocal: one delay, the same taps, mirrored clocks. Devices do not hear
    each other. Frames are taken as they are: the radio in front of the air checks them.
    """

    def __init__(
        self,
        config: AirConfig,
        *,
        num_devices: int,
        seed: int,
        sample_rate_hz: float,
        tx_power: float,
        center_freq_hz: float = 915e6,
        num_threads: int = 1,
        clock_samples: int = 0,
    ) -> None:
        """`tx_power` is P, linear, from which `snr_db` sets N0; threads change no bit. Raises RadioConfigError.

        One that starts at `clock_samples` is from its next block on the air that has run until then.
        """
        if num_devices < 1:
            raise RadioConfigError(f"num_devices: got {num_devices}; allowed: at least 1")
        if not tx_power > 0:
            raise RadioConfigError(f"tx_power: got {tx_power}; allowed: a linear power > 0")
        self.config = config
        self.num_devices = num_devices
        self._seed = seed
        self._sample_rate_hz = sample_rate_hz
        self._noise_power = config.noise_power(tx_power, sample_rate_hz)
        self._oscillators = draw_oscillators(config, num_devices=num_devices, seed=seed, center_freq_hz=center_freq_hz)
        self._delays = draw_delays(config, num_devices=num_devices, seed=seed)
        self._amplitudes = draw_amplitudes(config, num_devices=num_devices, seed=seed)
        self._angles = draw_angles(num_devices + 1, seed=seed)
        self._center_freq_hz = center_freq_hz
        self._wanders = Wander.draw(
            config.transmitter if config.level == "sample" else TransmitterConfig(), num_stations=num_devices, seed=seed
        )
        self._tracking_keys = tracking_keys(num_devices + 1, seed=seed)
        self._profile = profile_of(config, sample_rate_hz)
        self._fading = block_fading(config, sample_rate_hz, num_devices=num_devices, seed=seed)
        doppler = config.doppler_hz / sample_rate_hz
        check_doppler(doppler)
        self._moving: MovingFading | RecordedMotion | None = (
            MovingFading.draw(self._profile, num_devices=num_devices, seed=seed, doppler_per_sample=doppler)
            if doppler > 0 and config.fading != "none"
            else None
        )
        self._uplinks = [self._make_path(device, back=False) for device in range(num_devices)]
        self._downlinks = [self._make_path(device, back=True) for device in range(num_devices)]
        self._longest_samples = max(path.length_samples for path in self._uplinks)
        self._threads = ThreadPoolExecutor(num_threads) if num_threads > 1 else None
        self._lock = Lock()
        self._clock = clock_samples
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

    def transmit(self, station: int, frame: IQ, num_repeats: int | None, *, after_samples: int = 0) -> None:
        """Send so many times, or cyclically (None), from now on; replaces what the station was sending.

        A device may be asked `after_samples` ahead of time: the same bits as if it were asked only then.
        """
        self._check_station(station)
        if num_repeats is not None and num_repeats < 1:
            raise RadioConfigError(f"num_repeats: got {num_repeats}; allowed: at least 1, or None for cyclic")
        if after_samples < 0 or (after_samples > 0 and station == self.access_point):
            raise RadioConfigError(f"after_samples: got {after_samples}; allowed: 0, or of a device more than 0")
        with self._lock:
            samples, start = self._send(station, frame, after_samples)
            stop = FOREVER_SAMPLES if num_repeats is None else start + frame.size * num_repeats
            sent = Transmission(samples, start, stop)
            if after_samples:
                self._on_air.replace_later(station, sent, self._clock + after_samples)
            else:
                self._on_air.replace(station, sent)

    def stream(self, station: int, frame: IQ) -> None:
        """Append right behind what the station is still sending; starts now when it is silent.

        Raises RadioConfigError behind a cyclic transmission, which has no end to append to.
        """
        self.transmit_at(station, frame, None)

    def transmit_at(self, station: int, frame: IQ, start_sample: int | None) -> int:
        """Send once from a sample of the station's own clock on, without jitter; None streams. Returns the sample.

        Raises TooLateError for a sample that has passed, or that is before the end of what the station sends.
        """
        self._check_station(station)
        with self._lock:
            self._on_air.check_open_ended(station)
            queue = self._on_air.queue_of(station)
            now = self._clock if station == self.access_point else self._uplinks[station].sample_at(self._clock)
            soonest = max(now, queue[-1].stop) if queue else now
            if start_sample is not None:
                if start_sample < soonest:
                    raise TooLateError(
                        f"station {station}: got a start at sample {start_sample}; allowed: from {soonest} on; raise "
                        "frame.start_uncertainty_samples"
                    )
                samples, start = self._distorted(station, frame, self._num_actions[station]), start_sample
                self._num_actions[station] += 1
            elif queue and queue[-1].stop >= now:
                start, samples = queue[-1].stop, self._distorted(station, frame, self._num_actions[station])
            else:
                samples, start = self._send(station, frame)
            sent = Transmission(samples, start, start + frame.size)
            self._on_air.append(station, sent, now - self._longest_samples)
            return start

    def silence(self, station: int) -> None:
        """Take the station off the air, with what it is yet to send."""
        with self._lock:
            self._on_air.silence(station)

    def flush(self) -> None:
        """Nothing waits: every call is carried out at once."""

    def capture(self, station: int, num_samples: int) -> IQ:
        """What a station receives next, shape [num_samples]; saturates at ±1 per I and Q on the sample level.

        The access point hears the devices and moves the clock on; a device hears the access point and does not.
        """
        self._check_station(station)
        _check_length(num_samples)
        with self._lock:
            noise = self._noise_of(station, num_samples)
            received = self._superpose(station, self._clock, self._clock + num_samples)
            turned = self._tracked(station, num_samples)
            if turned is not None:
                received *= turned
            received += noise()
            self._num_captures[station] += 1
            if station == self.access_point:
                self._advance(num_samples)
            else:
                self._num_actions[station] += 1  # hearing a pilot is a sounding too: see draw_gain_error
        if self.config.level == "symbol":
            return received.astype(np.complex64)
        return digitise(received, self.config.receiver, self._angles[station])

    def arriving(self, device: int, num_samples: int) -> NDArray[np.complex128]:
        """What of one device alone the access point would hear next, without noise and converter, shape [N]; nothing
        passes. For who judges a run: no receiver could tell."""
        self._check_station(device)
        with self._lock:
            return self._superpose(self.access_point, self._clock, self._clock + num_samples, only=device)

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

    @property
    def num_held_samples(self) -> int:
        """What is kept of frames on the air, the few bytes of each one's record counted as samples too."""
        with self._lock:
            return self._on_air.num_held_samples

    def num_products(self, station: int, num_samples: int) -> int:
        """Products of samples and filter taps that the station's next capture takes at most."""
        self._check_station(station)
        with self._lock:
            num_heard = (
                1 if station != self.access_point else len(self._on_air.heard(self._clock, self._clock + num_samples))
            )
            in_filter = self._longest_samples + FILTER_HALF_LENGTH_SAMPLES
            in_taps = self._profile.delays_samples.size * 2 * FILTER_HALF_LENGTH_SAMPLES // self._chunk_samples
            return num_heard * num_samples * (in_filter + in_taps)

    @property
    def _chunk_samples(self) -> int:
        return CHUNK_SAMPLES if self._moving is None else self._moving.chunk_samples

    def truth(self) -> Truth:
        """The current block's ground truth; of moving gains, as they are now."""
        with self._lock:
            taps = np.array([self._gains_of(device, np.array([self._clock]))[0] for device in range(self.num_devices)])
            shifts_hz, turns = self._wandered()
            taps = taps * turns[:, None]
            return Truth(
                gains=taps.sum(axis=1),
                cfo_hz=np.array([oscillator.cfo_hz for oscillator in self._oscillators]) + shifts_hz,
                delays_samples=np.array(self._delays),
                noise_power=self._noise_power,
                sro=np.array([oscillator.sro for oscillator in self._oscillators]),
                tap_gains=taps,
                tap_delays_samples=self._profile.delays_samples.copy(),
            )

    def _wandered(self) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
        """By how much carriers have moved, in Hz, and their phasors at sample 0 had they always been there."""
        now_s, carrier_hz = self._clock / self._sample_rate_hz, self._center_freq_hz
        shifts_hz, turns = np.zeros(self.num_devices), np.ones(self.num_devices, dtype=np.complex128)
        for device, wander in enumerate(self._wanders):
            if wander is not None:
                shifts_hz[device] = carrier_hz * wander.frequency_error(now_s)
                cycles = carrier_hz * wander.time_error_s(np.array([now_s]))[0] - shifts_hz[device] * now_s
                turns[device] = np.exp(2j * np.pi * cycles)
        return shifts_hz, turns

    def _start_block(self, round_index: int, attempt: int) -> None:
        if isinstance(self._fading, RecordedFading):
            self._moving = self._fading.motion(round_index, attempt, self._clock)
        if self._moving is None:
            self._block_gains = self._amplitudes[:, None] * self._fading.gains(round_index, attempt)
        self._round_index, self._attempt = round_index, attempt
        self._num_captures = dict.fromkeys(range(self.num_devices + 1), 0)
        self._num_actions = dict.fromkeys(range(self.num_devices + 1), 0)
        self._on_air = OnAir(self._uplinks)

    def _gains_of(self, device: int, times: NDArray[np.int64]) -> NDArray[np.complex128]:
        """Tap gains, shape [times, L]."""
        if self._moving is not None:
            return self._amplitudes[device] * self._moving.gains(device, times.astype(np.float64))
        return np.broadcast_to(self._block_gains[device], (times.size, self._block_gains.shape[1]))

    def _superpose(self, station: int, start: int, stop: int, only: int | None = None) -> Samples:
        if station == self.access_point:
            links, paths = self._on_air.heard(start, stop, only), self._uplinks
        else:
            queue, paths = self._on_air.queue_of(self.access_point), self._downlinks
            links = [Heard(station, queue, start, stop)] if queue else []
        chunk = self._chunk_samples

        def heard(block: tuple[int, int]) -> Samples:
            begin, end = block
            total = np.zeros(end - begin, dtype=np.complex128)
            for link in links:
                first, last = max(begin, link.first), min(end, link.last)
                if first < last:
                    edges = chunk_edges(first, last, chunk)
                    gains = self._gains_of(link.device, edges) if self._moving else self._block_gains[link.device]
                    path = paths[link.device]
                    total[first - begin : last - begin] += propagate(link.queue, path, gains, first, last, chunk)
            return total

        edges = [start, *range((start // BLOCK_SAMPLES + 1) * BLOCK_SAMPLES, stop, BLOCK_SAMPLES), stop]
        blocks = list(pairwise(edges))
        if len(blocks) == 1:
            return heard(blocks[0])
        return np.concatenate(list((self._threads.map if self._threads else map)(heard, blocks)))

    def _tracked(self, station: int, num_samples: int) -> NDArray[np.complex128] | None:
        """What the receiver's own corrections make of the next samples' phase."""
        if self.config.level == "symbol":
            return None
        key = self._tracking_keys[station]
        return tracking_phasors(
            self.config.receiver, key, self._clock, num_samples, sample_rate_hz=self._sample_rate_hz
        )

    def _noise_of(self, station: int, num_samples: int) -> Callable[[], NDArray[np.complex128] | float]:
        """Begins to draw a capture's noise, beside the rest where there are threads for it."""
        if self._noise_power == 0:
            return lambda: 0.0
        draw = partial(
            draw_noise,
            num_samples,
            noise_power=self._noise_power,
            seed=self._seed,
            round_index=self._round_index,
            attempt=self._attempt,
            capture=self._num_captures[station],
            station=station,
        )
        return self._threads.submit(draw).result if self._threads else draw

    def _make_path(self, device: int, *, back: bool) -> Path:
        oscillator, wander = self._oscillators[device], self._wanders[device]
        return Path(
            delay_samples=self._delays[device],
            tap_delays_samples=self._profile.delays_samples,
            oscillator=oscillator.mirrored() if back else oscillator,
            cycles_per_sample=(-1 if back else 1) * oscillator.cfo_hz / self._sample_rate_hz,
            carrier_hz=self._center_freq_hz,
            sample_rate_hz=self._sample_rate_hz,
            wander=None if back else wander,
            receiver_wander=wander if back else None,
        )

    def _send(self, station: int, frame: IQ, after_samples: int = 0) -> tuple[Samples, int]:
        """The frame as radiated, and its first sample on the transmitter's own clock."""
        action = self._num_actions[station]
        self._num_actions[station] += 1
        if station == self.access_point:
            return frame.astype(np.complex128), self._clock + after_samples
        jitter = draw_start_jitter(
            self.config,
            seed=self._seed,
            round_index=self._round_index,
            attempt=self._attempt,
            device=station,
            transmission=action,
        )
        return self._distorted(station, frame, action), self._uplinks[station].sample_at(
            self._clock + after_samples + jitter
        )

    def _distorted(self, station: int, frame: IQ, action: int) -> Samples:
        samples = frame.astype(np.complex128)
        if station == self.access_point or self.config.level == "symbol":
            return samples
        error = draw_gain_error(
            self.config,
            seed=self._seed,
            round_index=self._round_index,
            attempt=self._attempt,
            device=station,
            transmission=action,
        )
        return error * radiate(samples, self.config.transmitter, self._angles[station])

    def _advance(self, num_samples: int) -> None:
        self._clock += num_samples
        self._on_air.pass_until(self._clock)

    def _check_station(self, station: int) -> None:
        if not 0 <= station <= self.num_devices:
            raise RadioConfigError(
                f"station: got {station}; allowed: devices 0..{self.num_devices - 1} "
                f"and the access point, {self.num_devices}"
            )


def _check_length(num_samples: int) -> None:
    if num_samples < 1:
        raise RadioConfigError(f"num_samples: got {num_samples}; allowed: at least 1")
