"""One air for all radios of a bench, on one time axis of picoseconds that only moves forward.

In real time it follows the wall clock. As fast as possible it stands still unless somebody reads samples, or streams
them with nobody reading; and it waits a bounded wall time for a gapless stream that has run dry. Samples are computed
when they are read, or just before a setting changes that they depend on.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

import msgspec
import numpy as np
from numpy.typing import NDArray

from radio.channel import Oscillator, draw_gain_error
from radio.config import RadioConfig
from radio.hardware import leak, mirror, radiate
from radio.propagation import Path, chunk_edges, propagate
from radio.randomness import generator
from radio.virtual_pluto.buffers import Cancelled, RxBuffer, TxBuffer
from radio.virtual_pluto.chip import Chip, IioError
from radio.virtual_pluto.config import VirtualConfig
from radio.virtual_pluto.kernels import digitise_noise, digitise_signal, loop_words, normal_quantiles
from radio.virtual_pluto.links import Links
from radio.virtual_pluto.station import PS_PER_S, RX_FULL_SCALE, TX_FULL_SCALE, Playout, Station, Words, sample_at

PIECE_SAMPLES = 1 << 16
AGC_PIECE_SAMPLES = 1 << 12
AGC_TARGET_DBFS = -12.0
POLL_S = 0.1
MAX_PINNED = 64
MARGIN_SAMPLES = 1 << 14


class SharedAir:
    """The stations of a bench, and who hears what. Everything is under `condition`."""

    def __init__(self, config: VirtualConfig, links: Links, reference: RadioConfig) -> None:
        """`reference` holds the gains and the power to which path loss and SNR refer."""
        self.config = config
        self.links = links
        self.reference = reference
        self.condition = Condition()
        self.stations: list[Station] = []
        keys = generator(config.seed, purpose="virtual receiver noise").integers(0, 1 << 62, links.num_stations)
        for index in range(links.num_stations):
            chip = Chip(crystal_hz=links.crystals_hz[index])
            if config.unlocked:
                chip.min_lo_hz, chip.max_lo_hz = 70_000_000, 6_000_000_000
            station = Station(index, chip, int(keys[index]))
            self.stations.append(station)
            self.relock(station, "rx")
            self.relock(station, "tx")
        self._quantiles = normal_quantiles()
        self._now_ps = 0
        self._started_ns = time.monotonic_ns()
        self._is_closed = False

    @property
    def now_ps(self) -> int:
        """Air time."""
        if self.config.pacing == "real_time":
            return (time.monotonic_ns() - self._started_ns) * 1000
        return self._now_ps

    def open_rx(self, station: Station, num_samples: int, count: int) -> RxBuffer:
        """Start to receive; raises IioError when a buffer is open already."""
        with self.condition:
            if station.rx is not None:
                raise IioError(errno.EBUSY)
            station.rx = RxBuffer(self, station, num_samples, count)
            station.rx.start()
            self.condition.notify_all()
            return station.rx

    def open_tx(self, station: Station, num_samples: int, count: int, *, cyclic: bool) -> TxBuffer:
        """Make ready to send; raises IioError when a buffer is open already."""
        with self.condition:
            if station.tx is not None:
                raise IioError(errno.EBUSY)
            with self.change():
                station.tx = TxBuffer(self, station, num_samples, count, cyclic)
            return station.tx

    def close_buffer(self, buffer: RxBuffer | TxBuffer) -> None:
        """Forget what was received, or fall silent; safe to call twice."""
        with self.condition:
            if buffer.is_closed:
                return
            buffer.is_closed = True
            if isinstance(buffer, TxBuffer):
                with self.change():
                    buffer.cut()
                    buffer.station.tx = None
            else:
                buffer.station.rx = None
            self.prune(buffer.station)
            self.condition.notify_all()

    def close(self) -> None:
        """Wake and refuse everybody who waits."""
        with self.condition:
            self._is_closed = True
            self.condition.notify_all()

    @contextmanager
    def change(self) -> Iterator[None]:
        """Around a change of settings: samples until now are computed as things were."""
        with self.condition:
            before = [(s.chip.rx_rate_uhz, s.chip.tx_rate_uhz) for s in self.stations]
            for station in self.stations:
                if station.rx is not None:
                    station.rx.settle()
            now = self.now_ps
            try:
                yield
            finally:
                for station, (rx, tx) in zip(self.stations, before, strict=True):
                    new_rx, new_tx = station.chip.rx_rate_uhz, station.chip.tx_rate_uhz
                    if (rx, tx) != (new_rx, new_tx):
                        station.shift(
                            sample_at(now, new_rx) - sample_at(now, rx), sample_at(now, new_tx) - sample_at(now, tx)
                        )

    def relock(self, station: Station, side: str) -> None:
        """An oscillator was tuned: its phase is anybody's guess."""
        station.num_relocks += 1
        phase = 0.0
        if self.config.random_phase:
            draws = generator(self.config.seed, station.index, station.num_relocks, purpose="oscillator phase")
            phase = float(draws.uniform(0, 2 * np.pi))
        if side == "rx":
            station.rx_phase_rad = phase
        else:
            station.tx_phase_rad = phase

    def draw_start(self, station: Station) -> tuple[int, float]:
        """First sample of a transmission that is pushed now, and by which factor its amplitude is off."""
        count = station.num_starts
        station.num_starts += 1
        low, high = self.config.start_jitter_min_ms, self.config.start_jitter_max_ms
        draws = generator(self.config.seed, station.index, count, purpose="virtual start jitter")
        start_ps = self.now_ps + int(draws.uniform(low, high) * PS_PER_S / 1000) if high > 0 else self.now_ps
        error = draw_gain_error(
            self.links.air, seed=self.config.seed, round_index=0, attempt=0, device=station.index, transmission=count
        )
        return sample_at(start_ps, station.chip.tx_rate_uhz), error

    def radiate(self, station: Station, playout: Playout) -> Playout:
        """With the transmitter's impairments, where there are any."""
        transmitter = self.links.air.transmitter
        if transmitter.pa != "linear" or transmitter.iq_image_dbc > -np.inf or transmitter.dc_dbc > -np.inf:
            pairs = (playout.words & -16).astype(np.float64) / TX_FULL_SCALE
            ideal = pairs.view(np.complex128)
            mixer = msgspec.structs.replace(transmitter, dac_bits=0)
            playout.distorted = playout.amplitude * radiate(ideal, mixer, self.links.angles[station.index])
        return playout

    def reach(self, target_ps: int, buffer: RxBuffer | TxBuffer, cancelled: Cancelled) -> None:
        """Wait until, or move air time to, what a read or a full queue needs; may return early: look again.

        Raises IioError when the client is gone, or the bench is closed.
        """
        while self.now_ps < target_ps:
            if self._is_closed or cancelled():
                raise IioError(errno.EPIPE)
            if buffer.is_closed:
                return
            if self.config.pacing == "real_time":
                self.condition.wait(min((target_ps - self.now_ps) / PS_PER_S, POLL_S))
                continue
            wait_s = self._wait_for_readers_s() if isinstance(buffer, TxBuffer) else 0.0
            if wait_s <= 0:
                wait_s = self._move_towards(target_ps)
            if wait_s > 0:
                self.condition.wait(min(wait_s, POLL_S))

    def _wait_for_readers_s(self) -> float:
        """How long a sender leaves it to receivers to move time."""
        now_s = time.monotonic()
        waits = [
            POLL_S if station.rx.is_reading else station.rx.last_read_s + self.config.hold_s - now_s
            for station in self.stations
            if station.rx is not None
        ]
        return max(waits, default=0.0)

    def _move_towards(self, target_ps: int) -> float:
        """Move time as far as gapless streams reach; returns how long to wait for one that has run dry."""
        now_s = time.monotonic()
        limit_ps, wait_s = target_ps, 0.0
        streams = [s.tx for s in self.stations if s.tx is not None and s.tx.is_streaming]
        for stream in streams:
            if stream.end_ps < target_ps and stream.end_ps <= self._now_ps:
                stream.dry_since_s = now_s if stream.dry_since_s is None else stream.dry_since_s
                if now_s - stream.dry_since_s >= self.config.hold_s:
                    stream.is_streaming = False
                    continue
                wait_s = max(wait_s, stream.dry_since_s + self.config.hold_s - now_s)
            limit_ps = min(limit_ps, stream.end_ps)
        if limit_ps > self._now_ps:
            self._now_ps = limit_ps
            self.condition.notify_all()
            return 0.0
        return wait_s

    def prune(self, station: Station) -> None:
        """Forget what nobody can hear any more."""
        if len(station.playouts) > MAX_PINNED:
            for other in self.stations:
                if other.rx is not None:
                    other.rx.settle()
        receivers = [other.rx.first_unknown_ps() for other in self.stations if other.rx is not None]
        oldest = sample_at(min(receivers, default=self.now_ps), station.chip.tx_rate_uhz) - MARGIN_SAMPLES
        station.playouts = [playout for playout in station.playouts if playout.stop > oldest]

    def receive(self, station: Station, first: int, out: Words) -> None:
        """Compute what a station receives from its sample `first` on, into words [2N]."""
        done, num_samples = 0, out.size // 2
        while done < num_samples:
            piece = PIECE_SAMPLES if station.chip.gain_mode == "manual" else AGC_PIECE_SAMPLES
            last = min(num_samples, done + piece, self._end_of_block(station, first + done) - first)
            self._receive_piece(station, first + done, out[2 * done : 2 * last])
            done = last

    def _end_of_block(self, station: Station, first: int) -> int:
        """Enter the fading block of a sample, and say where it ends."""
        if self.config.block_ms == 0:
            return 1 << 62
        rate, block_ps = station.chip.rx_rate_uhz, int(self.config.block_ms * PS_PER_S / 1000)
        block = first * 10**18 // rate // block_ps
        self.links.begin_block(block, 1)
        return max(sample_at((block + 1) * block_ps, rate), first + 1)

    def _receive_piece(self, station: Station, first: int, out: Words) -> None:
        chip, num_samples = station.chip, out.size // 2
        if chip.loopback == 1:
            out[:] = 0
            for playout in station.sent():
                begin, end = max(first, playout.start), min(first + num_samples, playout.stop)
                if begin < end:
                    loop_words(playout.words, begin - playout.start, begin - first, end - first, out)
            return
        rate_hz = chip.rx_rate_uhz / 1e6
        gain = 10 ** ((chip.rx_gain_db - self.reference.rx_gain_db) / 20)
        power = self.links.air.noise_power(self.reference.max_power, rate_hz)
        std = RX_FULL_SCALE * gain * np.sqrt(power / 2)
        heard = self._superpose(station, first, num_samples)
        receiver = self.links.air.receiver
        impaired = receiver.iq_image_dbc > -np.inf or receiver.dc_dbc > -np.inf
        if heard is None and not impaired:
            digitise_noise(station.noise_key, first, std, self._quantiles, out)
            mean_square = 2 * std**2 + 1 / 6
        else:
            if heard is None:
                heard = np.zeros(num_samples, dtype=np.complex128)
            if impaired:
                angles = self.links.angles[station.index]
                heard = mirror(heard, receiver.iq_image_dbc, angles.image_rad)
                if receiver.dc_dbc > -np.inf:
                    heard = heard + leak(receiver.dc_dbc, angles.dc_rad) / gain
            mean_square = digitise_signal(
                heard, RX_FULL_SCALE * gain, station.noise_key, first, std, self._quantiles, out
            )
        station.rx_power_dbfs = float(10 * np.log10(max(mean_square, 1e-3) / RX_FULL_SCALE**2))
        if chip.gain_mode != "manual":
            step = np.clip(np.floor(AGC_TARGET_DBFS - station.rx_power_dbfs), -20, 10)
            chip.rx_gain_db = float(np.clip(chip.rx_gain_db + step, -3, 71))

    def _superpose(self, receiver: Station, first: int, num_samples: int) -> NDArray[np.complex128] | None:
        """The sum of everybody at the reference's receive gain, [num_samples]; None where nobody is heard."""
        total: NDArray[np.complex128] | None = None
        for sender in self.stations:
            path = self._path(sender, receiver)
            if path is None:
                continue
            begin = first + int(np.floor(first * path.oscillator.sro)) - path.length_samples
            end = begin + num_samples + path.length_samples + 2 * MARGIN_SAMPLES
            sent = [p for p in sender.sent() if p.start < end and p.stop > begin - MARGIN_SAMPLES]
            if not sent:
                continue
            gains = self._gains(sender, receiver, first, num_samples)
            arriving = propagate(sent, path, gains, first, first + num_samples)
            total = arriving if total is None else total + arriving
        return total

    def _path(self, sender: Station, receiver: Station) -> Path | None:
        tx, rx = sender.chip, receiver.chip
        if not sender.sent() or not tx.tx_lo_on or not rx.rx_lo_on or (rx.loopback == 2 and sender is not receiver):
            return None
        tx_uhz, rx_uhz = tx.tx_rate_uhz, rx.rx_rate_uhz
        rx_hz = rx_uhz / 1e6
        cfo_hz = tx.tx_carrier_hz - rx.rx_carrier_hz
        same_rate = tx.sample_rate_hz // (8 if tx.tx_by_8 else 1) == rx.sample_rate_hz // (8 if rx.rx_by_8 else 1)
        if not same_rate or abs(cfo_hz) >= rx_hz / 2:
            return None
        noise_rad = self.links.phase_noise_rad if sender is not receiver else 0.0
        return Path(
            delay_samples=self.links.delay_s(sender.index, receiver.index) * rx_hz,
            tap_delays_samples=self.links.tap_delays_s(sender.index, receiver.index) * rx_hz,
            oscillator=Oscillator(
                cfo_hz=cfo_hz,
                sro=(tx_uhz - rx_uhz) / rx_uhz,
                phase_noise_rad=noise_rad,
                key=self.links.phase_noise_keys[sender.index],
            ),
            cycles_per_sample=cfo_hz / rx_hz,
        )

    def _gains(self, sender: Station, receiver: Station, first: int, num_samples: int) -> NDArray[np.complex128]:
        times_s = chunk_edges(first, first + num_samples) / (receiver.chip.rx_rate_uhz / 1e6)
        if receiver.chip.loopback == 2:
            gains = np.array([1.0 + 0j])
        else:
            gains = self.links.gains(sender.index, receiver.index, times_s)
        level = 10 ** ((sender.chip.tx_gain_db - self.reference.tx_gain_db) / 20)
        turned: NDArray[np.complex128] = gains * level * np.exp(1j * (sender.tx_phase_rad - receiver.rx_phase_rad))
        return turned
