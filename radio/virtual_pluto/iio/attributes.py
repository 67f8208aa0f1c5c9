"""Every attribute of one radio by device and file: how it reads, what it takes, and which errno it refuses with."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from radio.virtual_pluto.bench.chip import (
    MAX_RATE_HZ,
    RX_GAIN_RANGE_DB,
    TX_GAIN_RANGE_DB,
    XO_CORRECTION_RANGE_HZ,
    Chip,
    FirFilter,
    IioError,
)
from radio.virtual_pluto.iio.context import PHY, RX, TONES, TX, XADC, Key, all_keys
from radio.virtual_pluto.iio.fixed import (
    CALIBRATIONS,
    CONSTANTS,
    FAILING,
    GAIN_MODES,
    KEPT,
    RX_PORTS,
    STATES,
    TX_PORTS,
    XADC_MDEG_PER_CODE,
    XADC_OFFSET,
)
from radio.virtual_pluto.iio.parsing import boolean, choice, integer, number
from radio.virtual_pluto.iio.registers import Registers

Read = Callable[[], str]
Write = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Attribute:
    """How one file reads, and what writing does; None is read only."""

    read: Read
    write: Write | None = None


class Attributes:
    """All attributes of one radio."""

    def __init__(
        self,
        chip: Chip,
        registers: Registers,
        *,
        change: Callable[[], AbstractContextManager[None]],
        relock: Callable[[str], None],
        calibrate: Callable[[], None],
        rssi_db: Callable[[], float],
        temperature_mdeg: int,
    ) -> None:
        """`change` surrounds whatever the air can hear; `relock` tells that the "rx" or "tx" oscillator moved,
        `calibrate` that the transmitter is calibrated."""
        self._chip = chip
        self._registers = registers
        self._change = change
        self._relock = relock
        self._calibrate = calibrate
        self._rssi_db = rssi_db
        self._files: dict[Key, Attribute] = {
            **{key: Attribute(partial(str, text)) for key, text in CONSTANTS.items()},
            **{key: Attribute(_refuse) for key in FAILING},
            **{key: _kept(value, parse) for key, (value, parse) in KEPT.items()},
            **self._clocks(),
            **self._gains(),
            **self._front_end(),
            **self._synthesiser("rx", "out_altvoltage0_RX_LO"),
            **self._synthesiser("tx", "out_altvoltage1_TX_LO"),
            **self._core(RX, "in", "rx_by_8"),
            **self._core(TX, "out", "tx_by_8"),
            **self._tones(),
            **self._temperatures(temperature_mdeg),
        }
        assert set(self._files) == all_keys(), sorted(set(self._files) ^ all_keys())

    def read(self, key: Key) -> str:
        """The value as the kernel prints it; raises IioError."""
        return self._find(key).read()

    def read_or_error(self, key: Key) -> str:
        """The value, or the ERROR that a context shows where reading fails."""
        try:
            return self.read(key)
        except IioError:
            return "ERROR"

    def write(self, key: Key, text: str) -> None:
        """Raises IioError for what the hardware refuses."""
        write = self._find(key).write
        if write is None:
            raise IioError(errno.EACCES)
        write(text.strip("\0\n "))

    def _find(self, key: Key) -> Attribute:
        found = self._files.get(key)
        if found is None:
            raise IioError(errno.ENOENT)
        return found

    def _live(self, owner: object, name: str, form: Callable[[Any], str], parse: Callable[[str], Any]) -> Attribute:
        """A field that the air hears: read as `form` prints it, set to what `parse` makes of text."""

        def write(text: str) -> None:
            value = parse(text)
            with self._change():
                setattr(owner, name, value)

        return Attribute(lambda: form(getattr(owner, name)), write)

    def _clocks(self) -> dict[Key, Attribute]:
        chip = self._chip
        shared = {
            "voltage_sampling_frequency": Attribute(lambda: str(chip.sample_rate_hz), self._write_rate),
            "voltage_sampling_frequency_available": Attribute(lambda: f"[{chip.min_rate_hz} 1 {MAX_RATE_HZ}]"),
            "voltage_filter_fir_en": Attribute(lambda: str(int(chip.fir.enabled)), self._write_fir_enable),
        }
        return {
            **{(PHY, f"{way}_{name}"): attribute for name, attribute in shared.items() for way in ("in", "out")},
            (PHY, "in_out_voltage_filter_fir_en"): shared["voltage_filter_fir_en"],
            (PHY, "filter_fir_config"): Attribute(self._read_fir, self._write_fir),
            (PHY, "rx_path_rates"): Attribute(lambda: _rates(chip.path_rates()[0])),
            (PHY, "tx_path_rates"): Attribute(lambda: _rates(chip.path_rates()[1])),
            (PHY, "xo_correction"): Attribute(lambda: str(chip.xo_correction_hz), self._write_xo_correction),
        }

    def _gains(self) -> dict[Key, Attribute]:
        chip = self._chip
        return {
            (PHY, "in_voltage0_gain_control_mode"): self._live(chip, "gain_mode", str, partial(choice, GAIN_MODES)),
            (PHY, "in_voltage0_hardwaregain"): Attribute(lambda: _decibel(chip.rx_gain_db), self._write_rx_gain),
            (PHY, "out_voltage0_hardwaregain"): self._live(chip, "tx_gain_db", _decibel, _tx_gain),
            (PHY, "in_voltage0_rssi"): Attribute(lambda: f"{self._rssi_db():.2f} dB"),
            (PHY, "debug/gaininfo_rx1"): Attribute(
                lambda: f"{chip.rx_gain_db:.0f} {chip.rx_gain_db + 5:.0f} 0 0 0 0 0 0"
            ),
            (PHY, "debug/loopback"): self._live(chip, "loopback", str, lambda text: integer(text, 0, 2)),
            **{
                (device, "debug/direct_reg_access"): Attribute(
                    partial(self._registers.read, device), partial(self._registers.write, device)
                )
                for device in (PHY, TX, RX)
            },
        }

    def _front_end(self) -> dict[Key, Attribute]:
        """State, ports, analogue filters and tracking: all that the air hears of them."""
        chip = self._chip

        def bandwidth(side: str) -> Callable[[str], int]:
            return lambda text: chip.clamp_bandwidth(side, integer(text, 0, 2**32 - 1))

        return {
            (PHY, "calib_mode"): self._live(chip, "calib_mode", str, partial(choice, CALIBRATIONS)),
            (PHY, "ensm_mode"): self._live(chip, "ensm_mode", str, partial(choice, STATES)),
            (PHY, "in_voltage0_rf_port_select"): self._live(chip, "rx_port", str, partial(choice, RX_PORTS)),
            (PHY, "out_voltage0_rf_port_select"): self._live(chip, "tx_port", str, partial(choice, TX_PORTS)),
            (PHY, "in_voltage_rf_bandwidth"): self._live(chip, "rx_bandwidth_hz", str, bandwidth("rx")),
            (PHY, "out_voltage_rf_bandwidth"): self._live(chip, "tx_bandwidth_hz", str, bandwidth("tx")),
            (PHY, "in_voltage_quadrature_tracking_en"): self._live(
                chip, "quadrature_tracking", lambda on: str(int(on)), boolean
            ),
        }

    def _synthesiser(self, side: str, label: str) -> dict[Key, Attribute]:
        chip = self._chip

        def write_frequency(text: str) -> None:
            frequency_hz = chip.tune(integer(text, 0, 1 << 40))
            with self._change():
                setattr(chip, f"{side}_lo_hz", frequency_hz)
                self._relock(side)
            if side == "tx" and chip.must_calibrate():
                self._calibrate()

        return {
            (PHY, f"{label}_frequency"): Attribute(lambda: str(getattr(chip, f"{side}_lo_hz")), write_frequency),
            (PHY, f"{label}_frequency_available"): Attribute(lambda: f"[{chip.min_lo_hz} 1 {chip.max_lo_hz}]"),
            (PHY, f"{label}_powerdown"): self._live(
                chip, f"{side}_lo_on", lambda on: str(int(not on)), lambda text: not boolean(text)
            ),
        }

    def _core(self, device: str, way: str, name: str) -> dict[Key, Attribute]:
        """Sample rates of a converter core, which can decimate or interpolate by 8."""
        chip = self._chip

        def write(text: str) -> None:
            rate_hz, full_hz = int(number(text, 0, 1e9)), chip.sample_rate_hz
            if rate_hz not in (full_hz, full_hz // 8):
                raise IioError(errno.EINVAL)
            with self._change():
                setattr(chip, name, rate_hz == full_hz // 8)

        rate = Attribute(lambda: str(chip.sample_rate_hz // (8 if getattr(chip, name) else 1)), write)
        rates = Attribute(lambda: f"{chip.sample_rate_hz} {chip.sample_rate_hz // 8} ")
        label = f"{way}_voltage_sampling_frequency"
        tones = {(TX, "out_altvoltage_sampling_frequency"): rate} if device == TX else {}
        return {(device, label): rate, (device, f"{label}_available"): rates, **tones}

    def _tones(self) -> dict[Key, Attribute]:
        found = {}
        for k, name in TONES.items():
            tone, label = self._chip.tones[k], f"out_altvoltage{k}_{name}"
            found[TX, f"{label}_frequency"] = self._live(
                tone, "frequency_hz", str, lambda text: integer(text, 0, self._chip.sample_rate_hz // 2)
            )
            found[TX, f"{label}_phase"] = self._live(tone, "phase_mdeg", str, lambda text: integer(text, 0, 360_000))
            found[TX, f"{label}_scale"] = self._live(
                tone, "scale", lambda scale: f"{scale:.6f}", lambda text: number(text, 0, 1)
            )
            found[TX, f"{label}_raw"] = self._live(tone, "enabled", lambda on: str(int(on)), boolean)
        return found

    def _temperatures(self, temperature_mdeg: int) -> dict[Key, Attribute]:
        code = round(temperature_mdeg / XADC_MDEG_PER_CODE) - XADC_OFFSET
        return {
            (PHY, "in_temp0_input"): Attribute(partial(str, temperature_mdeg)),
            (XADC, "in_temp0_raw"): Attribute(partial(str, code)),
        }

    def _write_rate(self, text: str) -> None:
        rate_hz = int(number(text, 0, 1e9))
        with self._change():
            if rate_hz != self._chip.sample_rate_hz:
                self._chip.set_rate(rate_hz)
                self._relock("rate")

    def _write_xo_correction(self, text: str) -> None:
        value = integer(text, *XO_CORRECTION_RANGE_HZ)
        with self._change():
            self._chip.xo_correction_hz = value
            self._relock("rx")
            self._relock("tx")

    def _write_rx_gain(self, text: str) -> None:
        """Accepted in every mode, and without effect unless it is manual."""
        gain_db = float(round(number(text, *RX_GAIN_RANGE_DB)))
        if self._chip.gain_mode == "manual":
            with self._change():
                self._chip.rx_gain_db = gain_db

    def _write_fir_enable(self, text: str) -> None:
        enabled = boolean(text)
        with self._change():
            self._chip.enable_fir(enabled)

    def _read_fir(self) -> str:
        fir = self._chip.fir
        loaded = fir.num_taps > 0
        rx, tx = (fir.rx_decimation, fir.tx_interpolation) if loaded else (0, 0)
        return f"FIR Rx: {fir.num_taps},{rx} Tx: {fir.num_taps},{tx}"

    def _write_fir(self, text: str) -> None:
        if self._chip.fir.enabled:
            raise IioError(errno.EBUSY, "disable the filter first")
        self._chip.fir = FirFilter.parse(text)


def _kept(value: str, parse: Callable[[str], str]) -> Attribute:
    """Reads back what was written last."""
    kept = [value]

    def write(text: str) -> None:
        kept[0] = parse(text)

    return Attribute(lambda: kept[0], write)


def _decibel(gain_db: float) -> str:
    return f"{gain_db:f} dB"


def _tx_gain(text: str) -> float:
    return round(number(text, *TX_GAIN_RANGE_DB) * 4) / 4


def _refuse() -> str:
    raise IioError(errno.EINVAL)


def _rates(rates: dict[str, int]) -> str:
    return " ".join(f"{name}:{rate}" for name, rate in rates.items())
