"""The state of one transceiver in numbers, and the rules of its clocks: rates, filters, synthesiser steps."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from itertools import pairwise

NOMINAL_XO_HZ = 40_000_000
XO_CORRECTION_RANGE_HZ = (NOMINAL_XO_HZ - 8000, NOMINAL_XO_HZ + 8000)
MIN_ADC_HZ, MAX_ADC_HZ = 25_000_000, 640_000_000
MIN_RATE_HZ, MAX_RATE_HZ = 2_083_333, 61_440_000
MIN_VCO_HZ = 6_000_000_000
SYNTHESISER_MODULUS = 8_388_593
TX_GAIN_RANGE_DB = (-89.75, 0.0)
RX_GAIN_RANGE_DB = (-3.0, 71.0)
MIN_BANDWIDTH_HZ = 200_000
MAX_LOCKED_BANDWIDTH_HZ, MAX_RX_BANDWIDTH_HZ, MAX_TX_BANDWIDTH_HZ = 20_000_000, 56_000_000, 40_000_000
"""AD9363A; AD9364, as `unlocked` makes it."""
CALIBRATION_DISTANCE_HZ = 100_000_000
ANTENNA_PORTS = ("A_BALANCED", "A")
"""Receive and transmit; no other has a connector."""
MICRO = 1_000_000


class IioError(Exception):
    """A refused access, with the errno that the client gets."""

    def __init__(self, number: int, text: str = "") -> None:
        super().__init__(text or errno.errorcode.get(number, str(number)))
        self.number = number


@dataclass(slots=True)
class Tone:
    """One of the four oscillators of the transmitter's direct digital synthesis."""

    frequency_hz: int = 9_279_985
    phase_mdeg: int = 0
    scale: float = 0.0
    enabled: bool = True


@dataclass(slots=True)
class FirFilter:
    """What was loaded into the programmable filters; both paths share the number of taps here."""

    rx_decimation: int = 1
    tx_interpolation: int = 1
    num_taps: int = 0
    enabled: bool = False

    @property
    def active_factor(self) -> int:
        """Between the converters' side and the samples."""
        return self.rx_decimation if self.enabled else 1

    @classmethod
    def parse(cls, text: str) -> FirFilter:
        """Read the driver's format: lines RX/TX with GAIN and DEC/INT, then pairs of taps; raises IioError."""
        loaded = cls()
        for line in text.split("\n"):
            words = line.replace(",", " ").split()
            if not words:
                continue
            if words[0] in ("RX", "TX"):
                for word, value in pairwise(words):
                    if word == "DEC":
                        loaded.rx_decimation = _integer(value)
                    elif word == "INT":
                        loaded.tx_interpolation = _integer(value)
            elif words[0][0] in "-0123456789":
                if not all(-32768 <= _integer(word) <= 32767 for word in words[:2]):
                    raise IioError(errno.EINVAL, "filter taps are 16 bit")
                loaded.num_taps += 1
        factors = loaded.rx_decimation, loaded.tx_interpolation
        if loaded.num_taps == 0 or loaded.num_taps % 16 or loaded.num_taps > 128:
            raise IioError(errno.EINVAL, "16 to 128 taps, in steps of 16")
        if factors[0] not in (1, 2, 4) or factors[0] != factors[1]:
            raise IioError(errno.EINVAL, "decimation and interpolation are 1, 2 or 4, and equal")
        return loaded


def _integer(text: str) -> int:
    try:
        return int(text[:12])
    except ValueError:
        raise IioError(errno.EINVAL) from None


@dataclass(slots=True)
class Chip:
    """What software can set; everything the shared air wants to know about a radio is derived from it."""

    crystal_hz: float = NOMINAL_XO_HZ
    """True frequency of the reference."""
    min_lo_hz: int = 325_000_000
    max_lo_hz: int = 3_800_000_000
    rx_lo_hz: int = 2_400_000_000
    tx_lo_hz: int = 2_450_000_000
    rx_lo_on: bool = True
    tx_lo_on: bool = True
    xo_correction_hz: int = NOMINAL_XO_HZ
    sample_rate_hz: int = 30_720_000
    rx_by_8: bool = False
    tx_by_8: bool = False
    gain_mode: str = "slow_attack"
    rx_gain_db: float = 71.0
    tx_gain_db: float = -10.0
    loopback: int = 0
    rx_bandwidth_hz: int = 18_000_000
    tx_bandwidth_hz: int = 18_000_000
    ensm_mode: str = "fdd"
    rx_port: str = ANTENNA_PORTS[0]
    tx_port: str = ANTENNA_PORTS[1]
    calib_mode: str = "auto"
    calibrated_lo_hz: int = 2_450_000_000
    """Where the transmitter was when its quadrature was calibrated last."""
    quadrature_tracking: bool = True
    """Of the receiver."""
    is_unlocked: bool = False
    """An AD9363A that is told to be an AD9364."""
    fir: FirFilter = field(default_factory=FirFilter)
    tones: list[Tone] = field(default_factory=lambda: [Tone(phase_mdeg=90_000 * (k < 2)) for k in range(4)])

    @property
    def stretch(self) -> float:
        """True over believed frequency of everything that hangs on the reference."""
        return self.crystal_hz / self.xo_correction_hz

    @property
    def rx_rate_uhz(self) -> int:
        """True rate of received samples, in µHz."""
        return self._true_rate_uhz(by_8=self.rx_by_8)

    @property
    def tx_rate_uhz(self) -> int:
        """True rate of transmitted samples, in µHz."""
        return self._true_rate_uhz(by_8=self.tx_by_8)

    @property
    def rx_carrier_hz(self) -> float:
        """True frequency of the receiver's local oscillator."""
        return self.rx_lo_hz * self.stretch

    @property
    def tx_carrier_hz(self) -> float:
        """True frequency of the transmitter's local oscillator."""
        return self.tx_lo_hz * self.stretch

    @property
    def min_rate_hz(self) -> int:
        """Lowest rate: 25 MHz / 12, less with a decimating filter."""
        return MIN_RATE_HZ if self.fir.active_factor == 1 else -(-MIN_ADC_HZ // (12 * self.fir.active_factor))

    @property
    def radiates(self) -> bool:
        """Whether what it is given to send reaches the antenna: it is on, its oscillator runs, its port has one."""
        return self.ensm_mode == "fdd" and self.tx_lo_on and self.tx_port == ANTENNA_PORTS[1]

    @property
    def listens(self) -> bool:
        """Whether what the antenna hears reaches its converter."""
        return self.ensm_mode == "fdd" and self.rx_lo_on and self.rx_port == ANTENNA_PORTS[0]

    def must_calibrate(self) -> bool:
        """Whether the transmitter has moved so far that its quadrature is calibrated anew; notes that it is."""
        moved = abs(self.tx_lo_hz - self.calibrated_lo_hz) > CALIBRATION_DISTANCE_HZ
        due = moved and self.calib_mode == "auto"
        if due:
            self.calibrated_lo_hz = self.tx_lo_hz
        return due

    def clamp_bandwidth(self, side: str, bandwidth_hz: int) -> int:
        """What the driver makes of an analogue bandwidth: it clamps, and refuses nothing."""
        widest_hz = MAX_RX_BANDWIDTH_HZ if side == "rx" else MAX_TX_BANDWIDTH_HZ
        return min(max(bandwidth_hz, MIN_BANDWIDTH_HZ), widest_hz if self.is_unlocked else MAX_LOCKED_BANDWIDTH_HZ)

    def tune(self, frequency_hz: int) -> int:
        """What a synthesiser makes of a frequency: the nearest of its steps, rounded to 1 Hz. Raises IioError."""
        if not self.min_lo_hz <= frequency_hz <= self.max_lo_hz:
            raise IioError(errno.EINVAL, f"{self.min_lo_hz} to {self.max_lo_hz} Hz")
        divider = 2
        while frequency_hz * divider < MIN_VCO_HZ:
            divider *= 2
        reference_hz = 2 * NOMINAL_XO_HZ
        whole, rest = divmod(frequency_hz * divider, reference_hz)
        fraction = (rest * SYNTHESISER_MODULUS + reference_hz // 2) // reference_hz
        steps = whole * SYNTHESISER_MODULUS + fraction
        scale = SYNTHESISER_MODULUS * divider
        return (steps * reference_hz + scale // 2) // scale

    def set_rate(self, rate_hz: int) -> None:
        """Raises IioError for what the clocks or the filter cannot do."""
        if not self.min_rate_hz <= rate_hz <= MAX_RATE_HZ:
            raise IioError(errno.EINVAL, f"{self.min_rate_hz} to {MAX_RATE_HZ} Hz")
        self._check_filter(rate_hz, self.fir)
        self.sample_rate_hz = rate_hz

    def enable_fir(self, enabled: bool) -> None:
        """Raises IioError without a filter, with more taps than clock cycles, or at a rate that needs it."""
        changed = FirFilter(self.fir.rx_decimation, self.fir.tx_interpolation, self.fir.num_taps, enabled)
        if enabled and changed.num_taps == 0:
            raise IioError(errno.EINVAL, "no filter was loaded")
        if changed.active_factor == 1 and self.sample_rate_hz < MIN_RATE_HZ:
            raise IioError(errno.EINVAL, f"{self.sample_rate_hz} Hz needs the filter")
        self._check_filter(self.sample_rate_hz, changed)
        self.fir = changed

    def path_rates(self) -> tuple[dict[str, int], dict[str, int]]:
        """Clocks of both paths in Hz: receive (BBPLL to RXSAMP), and transmit (BBPLL to TXSAMP)."""
        rate = self.sample_rate_hz
        adc, dac = _converter_rates(rate, self.fir.active_factor)
        filtered = rate * self.fir.active_factor
        pll = adc
        while pll < 715_000_000:
            pll *= 2
        received = {"BBPLL": pll, "ADC": adc, **_stages("R", adc, filtered), "RF": filtered, "RXSAMP": rate}
        sent = {"BBPLL": pll, "DAC": dac, **_stages("T", dac, filtered), "TF": filtered, "TXSAMP": rate}
        return received, sent

    def _check_filter(self, rate_hz: int, fir: FirFilter) -> None:
        if fir.enabled:
            _, dac = _converter_rates(rate_hz, fir.active_factor)
            if fir.num_taps > 16 * (dac // rate_hz):
                raise IioError(errno.EINVAL, f"{fir.num_taps} taps do not fit {dac // rate_hz} clocks a sample")

    def _true_rate_uhz(self, *, by_8: bool) -> int:
        return round(self.sample_rate_hz // (8 if by_8 else 1) * MICRO * self.stretch)


def _converter_rates(rate_hz: int, fir_factor: int) -> tuple[int, int]:
    """ADC and DAC rates in Hz: the ADC as fast as it can be up to eightfold, the DAC at half of that."""
    filtered = rate_hz * fir_factor
    factor = next((f for f in (8, 6, 4, 3, 2, 1) if filtered * f <= MAX_ADC_HZ), 1)
    if filtered * factor < MIN_ADC_HZ:
        factor = 12
    return filtered * factor, filtered * max(factor // 2, 1)


def _stages(prefix: str, fast: int, slow: int) -> dict[str, int]:
    """The rates behind the third stage, of 1, 2 or 3, and behind the second, of 1 or 2; the first has the rest."""
    ratio = fast // slow
    second = fast // (3 if ratio % 3 == 0 else 2 if ratio == 8 else 1)
    return {f"{prefix}2": second, f"{prefix}1": second // 2 if second >= 2 * slow else second}
