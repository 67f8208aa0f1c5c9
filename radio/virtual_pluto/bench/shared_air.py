"""One air for all radios of a bench: its stations, their open buffers, and what happens when a setting changes.

Samples are computed when they are read, or just before a setting changes that they depend on.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Condition

import numpy as np

from radio.air.config import AirConfig, TransmitterConfig
from radio.config import RadioConfig
from radio.randomness import generator
from radio.virtual_pluto.bench.buffers import RxBuffer, RxClient, TxBuffer, forget_unheard
from radio.virtual_pluto.bench.chip import Chip, IioError
from radio.virtual_pluto.bench.clock import PS_PER_S, Clock, sample_at
from radio.virtual_pluto.bench.emission import Emission
from radio.virtual_pluto.bench.links import Links
from radio.virtual_pluto.bench.reception import Reception
from radio.virtual_pluto.bench.station import TX_FULL_SCALE, Playout, Station
from radio.virtual_pluto.config import VirtualConfig

BURST_PERIOD_SAMPLES = 16


class SharedAir:
    """The stations of a bench, and who hears what. Everything is under `condition`."""

    def __init__(self, config: VirtualConfig, links: Links, reference: RadioConfig) -> None:
        """`reference` holds the gains and the power to which path loss and SNR refer."""
        self.config = config
        self.links = links
        self.receiving: dict[int, RxBuffer] = {}
        """Open receive buffers by station."""
        self.sending: dict[int, TxBuffer] = {}
        """Open transmit buffers by station."""
        self.clock = Clock(config, self.receiving.values(), self.sending.values())
        self.stations: list[Station] = []
        keys = generator(config.seed, purpose="virtual receiver noise").integers(0, 1 << 62, links.num_stations)
        for index in range(links.num_stations):
            chip = Chip(
                crystal_hz=links.crystals_hz[index],
                xo_correction_hz=config.factory_xo_hz,
                is_unlocked=config.unlocked,
            )
            if config.unlocked:
                chip.min_lo_hz, chip.max_lo_hz = 70_000_000, 6_000_000_000
            station = Station(index, chip, int(keys[index]))
            self.stations.append(station)
            self.relock(station, "rx")
            self.relock(station, "tx")
        self.emission = Emission(config, links)
        self.reception = Reception(links, reference, self.stations, config)

    @property
    def condition(self) -> Condition:
        """What guards everything, and wakes whoever waits for air time."""
        return self.clock.condition

    @property
    def now_ps(self) -> int:
        """Air time."""
        return self.clock.now_ps

    def open_rx(self, station: Station, num_samples: int, count: int) -> RxClient:
        """Start to receive, or join who receives already."""
        with self.condition:
            buffer = self.receiving.get(station.index)
            if buffer is None:
                buffer = RxBuffer(self.clock, self.reception, station, num_samples, count)
                buffer.start()
                self.receiving[station.index] = buffer
            buffer.join(num_samples)
            self.condition.notify_all()
            return RxClient(buffer, num_samples, buffer.num_reads)

    def open_tx(self, station: Station, num_samples: int, count: int, *, cyclic: bool) -> TxBuffer:
        """Make ready to send; raises IioError when a buffer is open already."""
        with self.condition:
            if station.index in self.sending:
                raise IioError(errno.EBUSY)
            receivers = self.receiving.values()
            buffer = TxBuffer(self.clock, self.emission, receivers, station, num_samples, count, cyclic)
            with self.change():
                self.sending[station.index] = buffer
                station.has_tx_buffer = True
            return buffer

    def close_buffer(self, buffer: RxClient | TxBuffer) -> None:
        """Forget what was received, or fall silent; safe to call twice."""
        with self.condition:
            if buffer.is_closed:
                return
            buffer.is_closed = True
            station = buffer.station
            if isinstance(buffer, TxBuffer):
                with self.change():
                    buffer.cut()
                    del self.sending[station.index]
                    station.has_tx_buffer = False
            else:
                buffer.buffer.num_clients -= 1
                if buffer.buffer.num_clients == 0:
                    buffer.buffer.is_closed = True
                    del self.receiving[station.index]
            forget_unheard(station, self.receiving.values(), self.now_ps)
            self.condition.notify_all()

    def close(self) -> None:
        """Wake and refuse everybody who waits."""
        self.clock.stop()

    @contextmanager
    def change(self) -> Iterator[None]:
        """Around a change of settings: samples until now are computed as things were."""
        with self.condition:
            before = [(s.chip.rx_rate_uhz, s.chip.tx_rate_uhz) for s in self.stations]
            for buffer in self.receiving.values():
                buffer.settle()
            now = self.now_ps
            try:
                yield
            finally:
                for station, (rx, tx) in zip(self.stations, before, strict=True):
                    self._renumber(station, now, rx_uhz=rx, tx_uhz=tx)

    def relock(self, station: Station, side: str) -> None:
        """An oscillator was tuned ("rx", "tx"), or the clocks of both ("rate"): phases are anybody's guess."""
        if side == "rate":  # by draws of its own, so that those of oscillators stay what they are
            station.num_rate_changes += 1
            for number, each in enumerate(("rx", "tx")):
                self._set_phase(station, each, station.num_rate_changes, number, purpose="phase after a change of rate")
            return
        station.num_relocks += 1
        self._set_phase(station, side, station.num_relocks, purpose="oscillator phase")

    def _set_phase(self, station: Station, side: str, *counters: int, purpose: str) -> None:
        phase = 0.0
        if self.config.random_phase:
            draws = generator(self.config.seed, station.index, *counters, purpose=purpose)
            phase = float(draws.uniform(0, 2 * np.pi))
        if side == "rx":
            station.rx_phase_rad = phase
        else:
            station.tx_phase_rad = phase

    def calibrate(self, station: Station) -> None:
        """The transmitter calibrates its quadrature, with a tone at full drive through whatever gain is set; returns
        when that is over."""
        duration_ps = int(self.config.calibration_burst_ms * PS_PER_S / 1000)
        if duration_ps == 0:
            return
        cycles = np.arange(BURST_PERIOD_SAMPLES) / BURST_PERIOD_SAMPLES
        pairs = np.stack((np.cos(2 * np.pi * cycles), np.sin(2 * np.pi * cycles)), axis=-1)
        words = np.rint(pairs * (TX_FULL_SCALE - 16)).astype(np.int16).reshape(-1)
        with self.change():
            now_ps, rate_uhz = self.now_ps, station.chip.tx_rate_uhz
            start, stop = sample_at(now_ps, rate_uhz), sample_at(now_ps + duration_ps, rate_uhz)
            station.playouts.append(Playout(words, start, stop))
        self.clock.pass_by(duration_ps)

    def run_buffers(self, station: Station) -> None:
        """Let a station's DMAs have done what they did until now, so that its flags are up to date."""
        receiving, sending = self.receiving.get(station.index), self.sending.get(station.index)
        if receiving is not None:
            receiving.run_until_now()
        if sending is not None:
            sending.run_until_now()

    def _renumber(self, station: Station, now_ps: int, *, rx_uhz: int, tx_uhz: int) -> None:
        """Samples are counted anew at a changed rate; `rx_uhz` and `tx_uhz` are the rates before."""
        new_rx, new_tx = station.chip.rx_rate_uhz, station.chip.tx_rate_uhz
        if (rx_uhz, tx_uhz) == (new_rx, new_tx):
            return
        station.shift(sample_at(now_ps, new_tx) - sample_at(now_ps, tx_uhz))
        if station.index in self.receiving:
            self.receiving[station.index].shift(sample_at(now_ps, new_rx) - sample_at(now_ps, rx_uhz))


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
