"""Every attribute of one radio by device and file: how it reads, what it takes, and which errno it refuses with."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from radio.virtual_pluto.chip import (
    MAX_RATE_HZ,
    NOMINAL_XO_HZ,
    RX_GAIN_RANGE_DB,
    TX_GAIN_RANGE_DB,
    Chip,
    FirFilter,
    IioError,
)
from radio.virtual_pluto.context import DEVICES, PHY, RX, TX, XADC, Key
from radio.virtual_pluto.parsing import boolean, choice, integer, number
from radio.virtual_pluto.registers import Registers

Read = Callable[[], str]
Write = Callable[[str], None]
RX_PORTS = "A_BALANCED B_BALANCED C_BALANCED A_N A_P B_N B_P C_N C_P TX_MONITOR1 TX_MONITOR2 TX_MONITOR1_2"
GAIN_MODES = "manual fast_attack slow_attack hybrid"
CALIBRATIONS = "auto manual manual_tx_quad tx_quad rf_dc_offs rssi_gain_step"
SUPPLY_CODES = {
    "voltage0_vccint": 1387, "voltage1_vccaux": 2455, "voltage2_vccbram": 1383, "voltage3_vccpint": 1387,
    "voltage4_vccpaux": 2453, "voltage5_vccoddr": 1856, "voltage6_vrefp": 1721, "voltage7_vrefn": 14,
}  # fmt: skip
STATES = "sleep wait alert fdd pinctrl pinctrl_fdd_indep"


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
        rssi_db: Callable[[], float],
        temperature_mdeg: int,
    ) -> None:
        """`change` surrounds whatever the air can hear; `relock` tells that the "rx" or "tx" oscillator moved."""
        self._chip = chip
        self._registers = registers
        self._change = change
        self._relock = relock
        self._rssi_db = rssi_db
        self._temperature_mdeg = temperature_mdeg
        self._files: dict[Key, Attribute] = {}
        self._add_phy()
        self._add_synthesisers()
        self._add_cores()
        self._add_supplies()
        known = {(d.id, f) for d in DEVICES for c in d.channels for f in c.files.values()}
        known |= {(d.id, a) for d in DEVICES for a in d.attributes}
        known |= {(d.id, f"buffer/{a}") for d in DEVICES for a in d.buffer_attributes}
        known |= {(d.id, f"debug/{a}") for d in DEVICES for a in d.debug_attributes}
        assert known == set(self._files), sorted(known ^ set(self._files))

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

    def _set(self, name: str, value: Any) -> None:
        with self._change():
            setattr(self._chip, name, value)

    def _constant(self, device: str, **values: str) -> None:
        for file, text in values.items():
            self._files[device, file] = Attribute(lambda text=text: text)  # type: ignore[misc]

    def _failing(self, device: str, *files: str) -> None:
        for file in files:
            self._files[device, file] = Attribute(_refuse)

    def _kept(self, device: str, file: str, value: str, parse: Callable[[str], str]) -> None:
        """A setting that reads back and that nothing hears."""
        kept = [value]

        def write(text: str) -> None:
            kept[0] = parse(text)

        self._files[device, file] = Attribute(lambda: kept[0], write)

    def _add_phy(self) -> None:
        chip, files = self._chip, self._files
        for name, allowed in (
            ("calib_mode", CALIBRATIONS), ("ensm_mode", STATES), ("trx_rate_governor", "nominal highest_osr"),
            ("in_voltage0_rf_port_select", RX_PORTS), ("out_voltage0_rf_port_select", "A B"),
        ):  # fmt: skip
            self._kept(PHY, name, "fdd" if name == "ensm_mode" else allowed.split()[0], partial(choice, allowed))
        self._constant(
            PHY, calib_mode_available=CALIBRATIONS, ensm_mode_available=STATES,
            trx_rate_governor_available="nominal highest_osr", in_voltage_rf_port_select_available=RX_PORTS,
            out_voltage_rf_port_select_available="A B", in_voltage_gain_control_mode_available=GAIN_MODES,
            dcxo_tune_coarse_available="[0 0 0]", dcxo_tune_fine_available="[0 0 0]",
            rssi_gain_step_error="lna_error: 0 0 0 0\nmixer_error: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
            "gain_step_calib_reg_val: 0 0 0 0 0",
            in_temp0_input=str(self._temperature_mdeg), in_voltage2_offset="57", in_voltage2_raw="975",
            in_voltage2_scale="0.305250", out_voltage0_rssi="0.00 dB",
            in_voltage_rf_bandwidth_available="[200000 1 56000000]",
            out_voltage_rf_bandwidth_available="[200000 1 40000000]",
            in_voltage0_hardwaregain_available="[-3 1 71]",
            out_voltage0_hardwaregain_available="[-89.750000 0.250000 0.000000]",
        )  # fmt: skip
        self._failing(PHY, "dcxo_tune_coarse", "dcxo_tune_fine", "gain_table_config", "multichip_sync")
        for name in ("bb_dc_offset_tracking_en", "quadrature_tracking_en", "rf_dc_offset_tracking_en"):
            self._kept(PHY, f"in_voltage_{name}", "1", lambda text: str(int(boolean(text))))
        for name in ("out_voltage2_raw", "out_voltage3_raw"):
            self._kept(PHY, name, "306", lambda text: str(integer(text, 0, 1023)))
            self._kept(PHY, name.replace("raw", "scale"), "1.000000", lambda text: f"{number(text):.6f}")
        self._kept(PHY, "in_voltage_rf_bandwidth", "18000000", lambda t: str(integer(t, 200_000, 56_000_000)))
        self._kept(PHY, "out_voltage_rf_bandwidth", "18000000", lambda t: str(integer(t, 200_000, 40_000_000)))
        rates = Attribute(lambda: f"[{chip.min_rate_hz} 1 {MAX_RATE_HZ}]")
        rate = Attribute(lambda: str(chip.sample_rate_hz), self._write_rate)
        fir = Attribute(lambda: str(int(chip.fir.enabled)), self._write_fir_enable)
        for direction in ("in", "out"):
            files[PHY, f"{direction}_voltage_sampling_frequency"] = rate
            files[PHY, f"{direction}_voltage_sampling_frequency_available"] = rates
            files[PHY, f"{direction}_voltage_filter_fir_en"] = fir
        files[PHY, "in_out_voltage_filter_fir_en"] = fir
        files[PHY, "filter_fir_config"] = Attribute(self._read_fir, self._write_fir)
        files[PHY, "rx_path_rates"] = Attribute(lambda: _rates(chip.path_rates()[0]))
        files[PHY, "tx_path_rates"] = Attribute(lambda: _rates(chip.path_rates()[1]))
        files[PHY, "in_voltage0_gain_control_mode"] = Attribute(
            lambda: chip.gain_mode, lambda text: self._set("gain_mode", choice(GAIN_MODES, text))
        )
        files[PHY, "in_voltage0_hardwaregain"] = Attribute(lambda: f"{chip.rx_gain_db:f} dB", self._write_rx_gain)
        files[PHY, "out_voltage0_hardwaregain"] = Attribute(
            lambda: f"{chip.tx_gain_db:f} dB",
            lambda text: self._set("tx_gain_db", round(number(text, *TX_GAIN_RANGE_DB) * 4) / 4),
        )
        files[PHY, "in_voltage0_rssi"] = Attribute(lambda: f"{self._rssi_db():.2f} dB")
        reach = NOMINAL_XO_HZ // 5000
        files[PHY, "xo_correction"] = Attribute(lambda: str(chip.xo_correction_hz), self._write_xo_correction)
        self._constant(PHY, xo_correction_available=f"[{NOMINAL_XO_HZ - reach} 1 {NOMINAL_XO_HZ + reach}]")
        for name in ("digital_tune", "calibration_switch_control", "multichip_sync", "bist_timing_analysis",
                     "gpo_set", "bist_tone", "bist_prbs", "initialize"):  # fmt: skip
            self._kept(PHY, f"debug/{name}", "0", lambda text: text[:64])
        files[PHY, "debug/gaininfo_rx1"] = Attribute(
            lambda: f"{chip.rx_gain_db:.0f} {chip.rx_gain_db + 5:.0f} 0 0 0 0 0 0"
        )
        self._failing(PHY, "debug/gaininfo_rx2")
        files[PHY, "debug/loopback"] = Attribute(
            lambda: str(chip.loopback), lambda text: self._set("loopback", integer(text, 0, 2))
        )

    def _add_synthesisers(self) -> None:
        chip = self._chip
        for number_, side in ((0, "rx"), (1, "tx")):
            label = f"out_altvoltage{number_}_{side.upper()}_LO"
            for name in ("external", "fastlock_load", "fastlock_store"):
                self._constant(PHY, **{f"{label}_{name}": "0"})
            self._constant(PHY, **{f"{label}_fastlock_save": "0 " + ",".join(["0"] * 16)})
            self._constant(PHY, **{f"{label}_frequency_available": f"[{chip.min_lo_hz} 1 {chip.max_lo_hz}]"})
            self._failing(PHY, f"{label}_fastlock_recall")
            self._files[PHY, f"{label}_frequency"] = Attribute(
                lambda side=side: str(getattr(chip, f"{side}_lo_hz")),  # type: ignore[misc]
                partial(self._write_lo, side),
            )
            self._files[PHY, f"{label}_powerdown"] = Attribute(
                lambda side=side: str(int(not getattr(chip, f"{side}_lo_on"))),  # type: ignore[misc]
                lambda text, side=side: self._set(f"{side}_lo_on", not boolean(text)),  # type: ignore[misc]
            )

    def _add_cores(self) -> None:
        chip, files = self._chip, self._files
        for device, direction, name in ((RX, "in", "rx_by_8"), (TX, "out", "tx_by_8")):
            read = Attribute(
                lambda name=name: str(chip.sample_rate_hz // (8 if getattr(chip, name) else 1)),  # type: ignore[misc]
                partial(self._write_core_rate, name),
            )
            files[device, f"{direction}_voltage_sampling_frequency"] = read
            files[device, f"{direction}_voltage_sampling_frequency_available"] = Attribute(
                lambda: f"{chip.sample_rate_hz} {chip.sample_rate_hz // 8} "
            )
            for i in range(2):
                self._kept(device, f"{direction}_voltage{i}_calibphase", "0.000000", lambda t: f"{number(t):.6f}")
                self._kept(device, f"{direction}_voltage{i}_calibscale", "1.000000", lambda t: f"{number(t):.6f}")
            self._constant(device, **{"buffer/data_available": "0", "buffer/length_align_bytes": "8"})
            self._kept(device, "buffer/watermark", "2048", lambda text: str(integer(text, 1, 1 << 30)))
        for i in range(2):
            self._kept(RX, f"in_voltage{i}_calibbias", "0", lambda text: str(integer(text, -32768, 32767)))
        self._failing(RX, "in_voltage_samples_pps")
        self._constant(RX, **{"debug/pseudorandom_err_check": "CH0 : PN9 : Out of Sync : PN Error"})
        for device in (PHY, TX, RX):
            files[device, "debug/direct_reg_access"] = Attribute(
                partial(self._registers.read, device), partial(self._registers.write, device)
            )
        files[TX, "out_altvoltage_sampling_frequency"] = files[TX, "out_voltage_sampling_frequency"]
        for k, name in enumerate(("TX1_I_F1", "TX1_I_F2", "TX1_Q_F1", "TX1_Q_F2")):
            self._add_tone(k, f"out_altvoltage{k}_{name}")

    def _add_tone(self, k: int, label: str) -> None:
        tone = self._chip.tones[k]

        def setter(name: str, parse: Callable[[str], Any]) -> Write:
            def write(text: str) -> None:
                value = parse(text)
                with self._change():
                    setattr(tone, name, value)

            return write

        self._files[TX, f"{label}_frequency"] = Attribute(
            lambda: str(tone.frequency_hz),
            setter("frequency_hz", lambda text: integer(text, 0, self._chip.sample_rate_hz // 2)),
        )
        self._files[TX, f"{label}_phase"] = Attribute(
            lambda: str(tone.phase_mdeg), setter("phase_mdeg", lambda text: integer(text, 0, 360_000))
        )
        self._files[TX, f"{label}_scale"] = Attribute(
            lambda: f"{tone.scale:.6f}", setter("scale", lambda text: number(text, 0, 1))
        )
        self._files[TX, f"{label}_raw"] = Attribute(lambda: str(int(tone.enabled)), setter("enabled", boolean))

    def _add_supplies(self) -> None:
        for name, raw in SUPPLY_CODES.items():
            self._constant(XADC, **{f"in_{name}_raw": str(raw), f"in_{name}_scale": "0.732421875"})
        self._constant(
            XADC, in_voltage8_raw="3296", in_voltage8_scale="0.244140625", in_temp0_offset="-2219",
            in_temp0_raw=str(2219 + round(self._temperature_mdeg / 123.040771484)), in_temp0_scale="123.040771484",
            sampling_frequency="961538",
        )  # fmt: skip

    def _write_rate(self, text: str) -> None:
        rate_hz = int(number(text, 0, 1e9))
        with self._change():
            self._chip.set_rate(rate_hz)

    def _write_core_rate(self, name: str, text: str) -> None:
        rate_hz = int(number(text, 0, 1e9))
        full = self._chip.sample_rate_hz
        if rate_hz not in (full, full // 8):
            raise IioError(errno.EINVAL)
        self._set(name, rate_hz == full // 8)

    def _write_lo(self, side: str, text: str) -> None:
        frequency_hz = self._chip.tune(integer(text, 0, 1 << 40))
        with self._change():
            setattr(self._chip, f"{side}_lo_hz", frequency_hz)
            self._relock(side)

    def _write_xo_correction(self, text: str) -> None:
        reach = NOMINAL_XO_HZ // 5000
        value = integer(text, NOMINAL_XO_HZ - reach, NOMINAL_XO_HZ + reach)
        with self._change():
            self._chip.xo_correction_hz = value
            self._relock("rx")
            self._relock("tx")

    def _write_rx_gain(self, text: str) -> None:
        gain_db = float(round(number(text.removesuffix("dB"), *RX_GAIN_RANGE_DB)))
        if self._chip.gain_mode == "manual":
            self._set("rx_gain_db", gain_db)

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


def _refuse() -> str:
    raise IioError(errno.EINVAL)


def _rates(rates: dict[str, int]) -> str:
    return " ".join(f"{name}:{rate}" for name, rate in rates.items())
