"""What a PlutoSDR says about itself: model, firmware, ranges, temperature, supplies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from radio.backends.pluto.driver import Connection
from radio.errors import RadioError

SUPPLIES = ("vccint", "vccaux", "vccbram", "vccpint", "vccpaux", "vccoddr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One radio; what it does not tell is None or missing."""

    uri: str
    model: str
    serial: str
    firmware: str
    chip_temperature_c: float | None
    board_temperature_c: float | None
    supplies_v: dict[str, float]
    ranges: dict[str, str]
    """As the driver states them: lowest, step, highest."""
    bench: str | None
    """Of virtual radios only."""


def identify(link: Connection) -> Identity:
    """Ask one radio. Raises RadioLinkError when it stops answering."""
    attributes = link.context.attrs
    phy = link.context.find_device("ad9361-phy")
    xadc = link.context.find_device("xadc")
    return Identity(
        uri=link.uri,
        model=attributes.get("hw_model", "unknown"),
        serial=attributes.get("hw_serial", "unknown"),
        firmware=attributes.get("fw_version", "unknown"),
        bench=attributes.get("virtual,bench"),
        chip_temperature_c=_scaled(_number(link, phy, "temp0", "input"), 1e-3),
        board_temperature_c=_xadc_temperature(link, xadc),
        supplies_v=_supplies(link, xadc),
        ranges={
            name: text
            for name, channel, output, attribute in (
                ("carrier_hz", "RX_LO", True, "frequency_available"),
                ("sample_rate_hz", "voltage0", False, "sampling_frequency_available"),
                ("rx_gain_db", "voltage0", False, "hardwaregain_available"),
                ("tx_gain_db", "voltage0", True, "hardwaregain_available"),
            )
            if (text := _text(link, phy, channel, attribute, output=output)) is not None
        },
    )


def serial_of(link: Connection) -> str | None:
    """The radio's serial number; None if it tells none."""
    return str(link.context.attrs.get("hw_serial", "")).strip() or None


def _text(link: Connection, device: Any, channel: str, attribute: str, *, output: bool = False) -> str | None:
    def read(_: Any) -> str | None:
        found = device.find_channel(channel, output)
        return None if found is None or attribute not in found.attrs else str(found.attrs[attribute].value).strip()

    if device is None:
        return None
    try:
        return link.call(f"read {attribute}", read)
    except RadioError:
        return None


def _number(link: Connection, device: Any, channel: str, attribute: str) -> float | None:
    text = _text(link, device, channel, attribute)
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _scaled(value: float | None, factor: float | None) -> float | None:
    return None if value is None or factor is None else value * factor


def _xadc_temperature(link: Connection, xadc: Any) -> float | None:
    raw, offset, scale = (_number(link, xadc, "temp0", name) for name in ("raw", "offset", "scale"))
    return None if raw is None or offset is None or scale is None else (raw + offset) * scale / 1e3


def _supplies(link: Connection, xadc: Any) -> dict[str, float]:
    volts = {name: _scaled(_number(link, xadc, name, "raw"), _number(link, xadc, name, "scale")) for name in SUPPLIES}
    return {name: value / 1e3 for name, value in volts.items() if value is not None}
