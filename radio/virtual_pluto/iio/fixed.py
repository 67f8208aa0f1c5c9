"""What a PlutoSDR reports but the air does not hear: constants, settings that only read back, and files that fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from radio.virtual_pluto.bench.chip import XO_CORRECTION_RANGE_HZ
from radio.virtual_pluto.iio.context import PHY, RX, TX, XADC, Key
from radio.virtual_pluto.iio.parsing import boolean, choice, integer, number

GAIN_MODES = "manual fast_attack slow_attack hybrid"
CALIBRATIONS = "auto manual manual_tx_quad tx_quad rf_dc_offs rssi_gain_step"
STATES = "sleep wait alert fdd pinctrl pinctrl_fdd_indep"
_GOVERNORS = "nominal highest_osr"
RX_PORTS = "A_BALANCED B_BALANCED C_BALANCED A_N A_P B_N B_P C_N C_P TX_MONITOR1 TX_MONITOR2 TX_MONITOR1_2"
TX_PORTS = "A B"
_SUPPLY_CODES = {
    "voltage0_vccint": 1387, "voltage1_vccaux": 2455, "voltage2_vccbram": 1383, "voltage3_vccpint": 1387,
    "voltage4_vccpaux": 2453, "voltage5_vccoddr": 1856, "voltage6_vrefp": 1721, "voltage7_vrefn": 14,
}  # fmt: skip
_SYNTHESISERS = ("out_altvoltage0_RX_LO", "out_altvoltage1_TX_LO")
XADC_MDEG_PER_CODE = 123.040771484
XADC_OFFSET = -2219

CONSTANTS: dict[Key, str] = {
    (PHY, "calib_mode_available"): CALIBRATIONS,
    (PHY, "ensm_mode_available"): STATES,
    (PHY, "trx_rate_governor_available"): _GOVERNORS,
    (PHY, "in_voltage_rf_port_select_available"): RX_PORTS,
    (PHY, "out_voltage_rf_port_select_available"): TX_PORTS,
    (PHY, "in_voltage_gain_control_mode_available"): GAIN_MODES,
    (PHY, "dcxo_tune_coarse_available"): "[0 0 0]",
    (PHY, "dcxo_tune_fine_available"): "[0 0 0]",
    (PHY, "xo_correction_available"): "[{} 1 {}]".format(*XO_CORRECTION_RANGE_HZ),
    (PHY, "in_voltage_rf_bandwidth_available"): "[200000 1 56000000]",
    (PHY, "out_voltage_rf_bandwidth_available"): "[200000 1 40000000]",
    (PHY, "in_voltage0_hardwaregain_available"): "[-3 1 71]",
    (PHY, "out_voltage0_hardwaregain_available"): "[-89.750000 0.250000 0.000000]",
    (PHY, "rssi_gain_step_error"): f"lna_error:{' 0' * 4}\nmixer_error:{' 0' * 16}\ngain_step_calib_reg_val:{' 0' * 5}",
    (PHY, "in_voltage2_offset"): "57",
    (PHY, "in_voltage2_raw"): "975",
    (PHY, "in_voltage2_scale"): "0.305250",
    (PHY, "out_voltage0_rssi"): "0.00 dB",
    (RX, "debug/pseudorandom_err_check"): "CH0 : PN9 : Out of Sync : PN Error",
    (XADC, "sampling_frequency"): "961538",
    (XADC, "in_voltage8_raw"): "3296",
    (XADC, "in_voltage8_scale"): "0.244140625",
    (XADC, "in_temp0_offset"): str(XADC_OFFSET),
    (XADC, "in_temp0_scale"): str(XADC_MDEG_PER_CODE),
    **{(XADC, f"in_{name}_raw"): str(code) for name, code in _SUPPLY_CODES.items()},
    **{(XADC, f"in_{name}_scale"): "0.732421875" for name in _SUPPLY_CODES},
    **{(PHY, f"{lo}_{name}"): "0" for lo in _SYNTHESISERS for name in ("external", "fastlock_load", "fastlock_store")},
    **{(PHY, f"{lo}_fastlock_save"): "0 " + ",".join(["0"] * 16) for lo in _SYNTHESISERS},
    **{(core, f"buffer/{name}"): value for core in (RX, TX) for name, value in
       (("data_available", "0"), ("length_align_bytes", "8"))},
}  # fmt: skip

FAILING: tuple[Key, ...] = (
    *((PHY, name) for name in ("dcxo_tune_coarse", "dcxo_tune_fine", "gain_table_config", "multichip_sync")),
    *((PHY, f"{lo}_fastlock_recall") for lo in _SYNTHESISERS),
    (PHY, "debug/gaininfo_rx2"),
    (RX, "in_voltage_samples_pps"),
)


def _switch(text: str) -> str:
    return str(int(boolean(text)))


def _whole(low: int, high: int) -> Callable[[str], str]:
    return lambda text: str(integer(text, low, high))


def _decimal(text: str) -> str:
    return f"{number(text):.6f}"


KEPT: dict[Key, tuple[str, Callable[[str], str]]] = {
    (PHY, "trx_rate_governor"): ("nominal", partial(choice, _GOVERNORS)),
    **{(PHY, f"in_voltage_{name}_tracking_en"): ("1", _switch)
       for name in ("bb_dc_offset", "rf_dc_offset")},
    **{(PHY, f"out_voltage{i}_raw"): ("306", _whole(0, 1023)) for i in (2, 3)},
    **{(PHY, f"out_voltage{i}_scale"): ("1.000000", _decimal) for i in (2, 3)},
    **{(PHY, f"debug/{name}"): ("0", lambda text: text[:64])
       for name in ("digital_tune", "calibration_switch_control", "multichip_sync", "bist_timing_analysis", "gpo_set",
                    "bist_tone", "bist_prbs", "initialize")},
    **{(core, "buffer/watermark"): ("2048", _whole(1, 1 << 30)) for core in (RX, TX)},
    **{(core, f"{direction}_voltage{i}_calibphase"): ("0.000000", _decimal)
       for core, direction in ((RX, "in"), (TX, "out")) for i in range(2)},
    **{(core, f"{direction}_voltage{i}_calibscale"): ("1.000000", _decimal)
       for core, direction in ((RX, "in"), (TX, "out")) for i in range(2)},
    **{(RX, f"in_voltage{i}_calibbias"): ("0", _whole(-32768, 32767)) for i in range(2)},
}  # fmt: skip
"""Where a setting starts, and what becomes of text that is written."""
