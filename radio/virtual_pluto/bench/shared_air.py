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
from functools import cache
from threading import Condition

import msgspec
import numpy as np

from radio.air.channel import draw_gain_error
from radio.air.config import AirConfig, TransmitterConfig
from radio.air.hardware import radiate
from radio.config import RadioConfig
from radio.randomness import generator
from radio.virtual_pluto.bench.buffers import Cancelled, RxBuffer, TxBuffer
from radio.virtual_pluto.bench.chip import Chip, IioError
from radio.virtual_pluto.bench.links import Links
from radio.virtual_pluto.bench.reception import Reception
from radio.virtual_pluto.bench.station import PS_PER_S, TX_FULL_SCALE, Playout, Station, sample_at
from radio.virtual_pluto.config import VirtualConfig

POLL_S = 0.1
MAX_PINNED = 64
MARGIN_SAMPLES = 1 << 14


class SharedAir:
    """The stations of a bench, and who hears what. Everything is under `condition`."""

    def __init__(self, config: VirtualConfig, links: Links, reference: RadioConfig) -> None:
        """`reference` holds the gains and the power to which path loss and SNR refer."""
        self.config = config
        self.links = links
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
        self.reception = Reception(links, reference, self.stations, block_ms=config.block_ms)
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


@cache
def warm_up() -> None:
    """Compile every loop, so that no client has to wait for that."""
    config = VirtualConfig(start_jitter_min_ms=0.0, start_jitter_max_ms=0.0)
    hardware = TransmitterConfig(phase_noise_deg=1.0, dc_dbc=-40.0)
    for transmitter in (TransmitterConfig(), hardware):
        channel = AirConfig(cfo_max_hz=0.0, transmitter=transmitter)
        links = Links(config, channel, num_devices=1, rig_rate_hz=1e6, shared_clock=False)
        air = SharedAir(config, links, RadioConfig())
        sender, receiver = air.stations
        sender.chip.tx_lo_hz = receiver.chip.rx_lo_hz
        listening = air.open_rx(receiver, 256, 4)
        listening.read(lambda: False)
        for device in (sender, receiver):
            device.chip.loopback = int(device is sender)
            words = np.ones(512, dtype=np.int16)
            air.open_tx(device, 256, 4, cyclic=True).push(words, lambda: False)
        listening.read(lambda: False)
        air.open_rx(sender, 256, 4).read(lambda: False)
