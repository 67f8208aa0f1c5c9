"""What a station receives: everybody who is on its frequency and rate, through the links, and its own noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radio.air.channel import Oscillator, Truth
from radio.air.hardware import leak, mirror
from radio.air.propagation import FOREVER_SAMPLES, Path, chunk_edges, propagate
from radio.air.wander import tracking_phasors
from radio.config import RadioConfig
from radio.virtual_pluto.bench import gain_control
from radio.virtual_pluto.bench.clock import PS_PER_S, PS_UHZ, sample_at
from radio.virtual_pluto.bench.filters import HALF_LENGTH, filter_taps, filtered, receives
from radio.virtual_pluto.bench.kernels import digitise_noise, digitise_signal, loop_words, normal_quantiles
from radio.virtual_pluto.bench.links import Links
from radio.virtual_pluto.bench.station import RX_FULL_SCALE, Station, Words
from radio.virtual_pluto.config import VirtualConfig

PIECE_SAMPLES = 1 << 16
MARGIN_SAMPLES = 1 << 14


class Reception:
    """Computes received samples from how the stations are set now; the caller holds the air's lock."""

    def __init__(self, links: Links, reference: RadioConfig, stations: list[Station], config: VirtualConfig) -> None:
        """`reference` holds the gains and the power to which path loss and SNR refer."""
        self._foreign_hz = config.foreign_carrier_hz
        self._foreign_amplitude = 10 ** (config.foreign_carrier_dbfs / 20)
        self._links = links
        self._reference = reference
        self._stations = stations
        self._block_ps = int(config.block_ms * PS_PER_S / 1000)
        self._quantiles = normal_quantiles()

    def receive(self, station: Station, first: int, out: Words) -> None:
        """What a station receives from its sample `first` on, into words [2N]; moves its automatic gain."""
        done, num_samples = 0, out.size // 2
        while done < num_samples:
            piece = PIECE_SAMPLES if station.chip.gain_mode == "manual" else gain_control.PIECE_SAMPLES
            last = min(num_samples, done + piece, self._end_of_block(station, first + done) - first)
            self._receive_piece(station, first + done, out[2 * done : 2 * last])
            done = last

    def truth(self, now_ps: int) -> Truth:
        """What the access point would hear of each device now, hardware gains included; full scale is 1."""
        *devices, receiver = self._stations
        first = sample_at(now_ps, receiver.chip.rx_rate_uhz)
        self._end_of_block(receiver, first)
        paths = [self._path(device, receiver) for device in devices]
        gain = self._rx_gain(receiver)
        taps = np.stack(
            [np.atleast_2d(self._gains(device, receiver, chunk_edges(first, first + 1)))[0] for device in devices]
        )
        taps *= gain
        rate_hz = receiver.chip.rx_rate_uhz / 1e6
        return Truth(
            gains=taps.sum(axis=1),
            cfo_hz=np.array([path.oscillator.cfo_hz for path in paths]),
            delays_samples=np.array([path.delay_samples for path in paths]),
            noise_power=gain**2 * self._links.air.noise_power(self._reference.max_power, rate_hz),
            sro=np.array([path.oscillator.sro for path in paths]),
            tap_gains=taps,
            tap_delays_samples=paths[0].tap_delays_samples,
        )

    def _end_of_block(self, station: Station, first: int) -> int:
        """Enter the fading block of a sample, and say where it ends."""
        if self._block_ps == 0:
            return FOREVER_SAMPLES
        rate, block_ps = station.chip.rx_rate_uhz, self._block_ps
        block = first * PS_UHZ // rate // block_ps
        self._links.begin_block(block, 1)
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
        gain = self._rx_gain(station)
        power = self._links.air.noise_power(self._reference.max_power, rate_hz)
        std = RX_FULL_SCALE * gain * np.sqrt(power / 2)
        heard = self._superpose(station, first, num_samples)
        foreign = self._foreign(station, first, num_samples)
        if foreign is not None:
            heard = foreign if heard is None else heard + foreign
        receiver = self._links.air.receiver
        if heard is not None and chip.quadrature_tracking:
            key = self._links.tracking_keys[station.index]
            turned = tracking_phasors(receiver, key, first, num_samples, sample_rate_hz=rate_hz)
            heard = heard if turned is None else heard * turned
        impaired = receiver.iq_image_dbc > -np.inf or receiver.dc_dbc > -np.inf
        if heard is None and not impaired:
            digitise_noise(station.noise_key, first, std, self._quantiles, out)
            mean_square = 2 * std**2 + 1 / 6
        else:
            if heard is None:
                heard = np.zeros(num_samples, dtype=np.complex128)
            if impaired:
                angles = self._links.angles[station.index]
                heard = mirror(heard, receiver.iq_image_dbc, angles.image_rad)
                if receiver.dc_dbc > -np.inf:
                    heard = heard + leak(receiver.dc_dbc, angles.dc_rad) / gain
            mean_square = digitise_signal(
                heard, RX_FULL_SCALE * gain, station.noise_key, first, std, self._quantiles, out
            )
        station.rx_power_dbfs = float(10 * np.log10(max(mean_square, 1e-3) / RX_FULL_SCALE**2))
        if chip.gain_mode != "manual":
            chip.rx_gain_db = station.gain_control.step(chip.gain_mode, chip.rx_gain_db, station.rx_power_dbfs)

    def _superpose(self, receiver: Station, first: int, num_samples: int) -> NDArray[np.complex128] | None:
        """The sum of everybody at the reference's receive gain, [num_samples]; None where nobody is heard."""
        total: NDArray[np.complex128] | None = None
        for sender in self._stations:
            loud = [playout for playout in sender.sent() if not playout.is_silent]
            if not loud or not _can_hear(sender, receiver):
                continue
            path = self._path(sender, receiver)
            taps = self._filter(sender, receiver, path)
            margin = HALF_LENGTH if taps is not None else 0
            start, stop = first - margin, first + num_samples + margin
            begin = start + int(np.floor(start * path.oscillator.sro)) - path.length_samples
            end = begin + stop - start + path.length_samples + 2 * MARGIN_SAMPLES
            sent = [playout for playout in loud if playout.start < end and playout.stop > begin - MARGIN_SAMPLES]
            if not sent:
                continue
            chunk = self._links.chunk_samples(sender.index, receiver.index, receiver.chip.rx_rate_uhz / 1e6)
            gains = self._gains(sender, receiver, chunk_edges(start, stop, chunk))
            arriving = propagate(sent, path, gains, start, stop, chunk)
            if taps is not None:
                arriving = filtered(arriving, taps)
            total = arriving if total is None else total + arriving
        return total

    def _foreign(self, receiver: Station, first: int, num_samples: int) -> NDArray[np.complex128] | None:
        """The carrier of somebody outside the bench, where it lies in a receiver's band."""
        chip, rate_hz = receiver.chip, receiver.chip.rx_rate_uhz / 1e6
        offset_hz = self._foreign_hz - chip.rx_carrier_hz
        if self._foreign_hz == 0 or abs(offset_hz) > rate_hz / 2 or not chip.listens or chip.loopback:
            return None
        cycles = offset_hz / rate_hz * np.arange(first, first + num_samples) % 1.0
        level = self._foreign_amplitude * float(receives(np.array([offset_hz]), chip.rx_bandwidth_hz, rate_hz)[0])
        carrier: NDArray[np.complex128] = level * np.exp(2j * np.pi * cycles)
        return carrier

    def _filter(self, sender: Station, receiver: Station, path: Path) -> NDArray[np.complex128] | None:
        """What both radios' filters cut away of what one sends and the other hears, where they do."""
        if sender is receiver:
            return None
        return filter_taps(
            path.oscillator.cfo_hz,
            rate_hz=receiver.chip.rx_rate_uhz / 1e6,
            tx_bandwidth_hz=sender.chip.tx_bandwidth_hz,
            rx_bandwidth_hz=receiver.chip.rx_bandwidth_hz,
        )

    def _path(self, sender: Station, receiver: Station) -> Path:
        tx_uhz, rx_uhz = sender.chip.tx_rate_uhz, receiver.chip.rx_rate_uhz
        rx_hz = rx_uhz / 1e6
        cfo_hz = sender.chip.tx_carrier_hz - receiver.chip.rx_carrier_hz
        noise_rad = self._links.phase_noise_rad if sender is not receiver else 0.0
        return Path(
            delay_samples=self._links.delay_s(sender.index, receiver.index) * rx_hz,
            tap_delays_samples=self._links.tap_delays_s(sender.index, receiver.index) * rx_hz,
            oscillator=Oscillator(
                cfo_hz=cfo_hz,
                sro=(tx_uhz - rx_uhz) / rx_uhz,
                phase_noise_rad=noise_rad,
                key=self._links.phase_noise_keys[sender.index],
            ),
            cycles_per_sample=cfo_hz / rx_hz,
            carrier_hz=receiver.chip.rx_carrier_hz,
            sample_rate_hz=rx_hz,
            wander=self._links.wanders[sender.index] if sender is not receiver else None,
            receiver_wander=self._links.wanders[receiver.index] if sender is not receiver else None,
        )

    def _gains(self, sender: Station, receiver: Station, edges: NDArray[np.int64]) -> NDArray[np.complex128]:
        times_s = edges / (receiver.chip.rx_rate_uhz / 1e6)
        if receiver.chip.loopback == 2:
            gains = np.array([1.0 + 0j])
        else:
            gains = self._links.gains(sender.index, receiver.index, times_s)
        level = 10 ** ((sender.chip.tx_gain_db - self._reference.tx_gain_db) / 20)
        turned: NDArray[np.complex128] = gains * level * np.exp(1j * (sender.tx_phase_rad - receiver.rx_phase_rad))
        return turned

    def _rx_gain(self, station: Station) -> float:
        """Amplitude, against the reference's receive gain."""
        return float(10 ** ((station.chip.rx_gain_db - self._reference.rx_gain_db) / 20))


def _can_hear(sender: Station, receiver: Station) -> bool:
    """Whether two radios run at one rate, and some of their bands is the same."""
    tx, rx = sender.chip, receiver.chip
    if rx.loopback == 2:
        if sender is not receiver or not (tx.tx_lo_on and rx.rx_lo_on):
            return False
    elif not (tx.radiates and rx.listens):
        return False
    same_rate = tx.sample_rate_hz // (8 if tx.tx_by_8 else 1) == rx.sample_rate_hz // (8 if rx.rx_by_8 else 1)
    return same_rate and abs(tx.tx_carrier_hz - rx.rx_carrier_hz) < rx.rx_rate_uhz / 1e6
