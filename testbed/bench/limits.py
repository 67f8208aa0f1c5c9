"""What a rig may radiate: its limits, and what is shown before anything is radiated. Pure."""

from __future__ import annotations

from testbed.config.backends import backend_of, settings_of
from testbed.config.schema import Rig
from testbed.errors import ConfigError

NEEDED = ("min_freq_hz", "max_freq_hz", "max_tx_gain_db")
"""What a rig of real radios must state."""
_MOST_SHOWN = 16


def radiates(rig: Rig) -> bool:
    """Whether the rig's radios are real, as far as anybody knows."""
    return backend_of(rig).radiates(settings_of(rig))


def check_limits(rig: Rig) -> None:
    """Raise ConfigError for limits that a real rig does not state, or that a rig does not keep."""
    limits, radio = rig.limits, rig.radio
    if radiates(rig) and (missing := [name for name in NEEDED if getattr(limits, name) is None]):
        raise ConfigError(
            f"limits: got no {', '.join(missing)} on a rig whose radios are real; allowed: a rig file whose section "
            "[limits] says in which band and how strongly it may radiate (hardware_configs/pluto_bench_5.toml); state "
            "what your licence, cable or box allows"
        )
    low_hz, high_hz = occupied_hz(rig)
    if limits.min_freq_hz is not None and low_hz < limits.min_freq_hz:
        raise _beyond("radio.center_freq_hz", f"a band from {low_hz:.10g} Hz on", "min_freq_hz", limits.min_freq_hz)
    if limits.max_freq_hz is not None and high_hz > limits.max_freq_hz:
        raise _beyond("radio.center_freq_hz", f"a band up to {high_hz:.10g} Hz", "max_freq_hz", limits.max_freq_hz)
    for name, limit in (("tx_gain_db", limits.max_tx_gain_db), ("max_power_dbfs", limits.max_power_dbfs)):
        if limit is not None and (asked := getattr(radio, name)) > limit:
            key = name if name.startswith("max_") else f"max_{name}"
            raise _beyond(f"radio.{name}", f"{asked:g}", key, limit)


def occupied_hz(rig: Rig) -> tuple[float, float]:
    """The band in which everything that a transmitter is given lies."""
    half = rig.radio.sample_rate_hz / 2
    return rig.radio.center_freq_hz - half, rig.radio.center_freq_hz + half


def preview(rig: Rig) -> list[str]:
    """What is about to be radiated, line by line."""
    low_hz, high_hz = occupied_hz(rig)
    limits, radio = rig.limits, rig.radio
    backend, settings = backend_of(rig), settings_of(rig)
    stations = [*range(min(rig.num_devices, _MOST_SHOWN)), rig.num_devices]
    addresses = ", ".join(backend.address(settings, station) or "no address" for station in stations)
    power = f"{radio.tx_gain_db:g} dB of gain (limit {_number(limits.max_tx_gain_db)}), {radio.max_power_dbfs:g} dBFS"
    lines = [
        f"about to radiate: {rig.num_devices} devices and an access point, backend {rig.backend!r}",
        f"  radios: {addresses}" + (" (the first, and the access point)" if rig.num_devices > _MOST_SHOWN else ""),
        f"  band: {low_hz / 1e6:.6g} to {high_hz / 1e6:.6g} MHz, "
        f"limits {_number(limits.min_freq_hz, 1e6)} to {_number(limits.max_freq_hz, 1e6)} MHz",
        f"  power: {power} at most (limit {_number(limits.max_power_dbfs)})",
        f"  allowed because: {limits.reason or 'the rig file does not say (limits.reason)'}",
    ]
    return ["".join(letter if letter.isprintable() else "?" for letter in line) for line in lines]


def _number(value: float | None, unit: float = 1.0) -> str:
    return "none" if value is None else f"{value / unit:.6g}"


def _beyond(key: str, got: str, limit: str, value: float) -> ConfigError:
    return ConfigError(
        f"{key}: got {got}; allowed: limits.{limit} = {value:.10g}; keep to it, or change the limit where you may"
    )
