"""Set, read back, compare, raise: the settings of one PlutoSDR, with what its hardware rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from radio.backends.pluto.driver import Connection
from radio.config import RadioConfig
from radio.errors import RadioConfigError

MUTED_DB = -89.75
MIN_SAMPLE_RATE_HZ = 521e3
MIN_BANDWIDTH_HZ, MAX_TX_BANDWIDTH_HZ, MAX_RX_BANDWIDTH_HZ = 200e3, 40e6, 56e6
LO_TOLERANCE_HZ = 10.0
"""The synthesiser's step is a few Hz."""
RATE_TOLERANCE_HZ = 8.0
BANDWIDTH_TOLERANCE = 0.1  # relative
TX_GAIN_TOLERANCE_DB = 0.13  # half a step
RX_GAIN_TOLERANCE_DB = 0.51


@dataclass(frozen=True, slots=True)
class Setting:
    """One attribute of `adi.Pluto`, what it is set to, and how far off it may read back."""

    name: str
    attribute: str
    value: Any
    tolerance: float

    def apply(self, link: Connection) -> None:
        """Raise RadioConfigError unless the radio reports what it was told."""
        self._try(link, lambda pluto: setattr(pluto, self.attribute, self.value))
        actual = self._try(link, lambda pluto: getattr(pluto, self.attribute))
        if isinstance(self.value, str):
            fine = actual == self.value
        else:
            fine = isinstance(actual, int | float) and abs(actual - self.value) <= self.tolerance
        if not fine:
            raise RadioConfigError(
                f"{link.uri}: asked {self.name}={self.value}, radio reports {actual}; allowed: within "
                f"{self.tolerance:g}; choose a value in this radio's range (`testbed doctor` shows it)"
            )

    def _try(self, link: Connection, action: Callable[[Any], Any]) -> Any:
        try:
            return link.call(self.name, action)
        except RadioConfigError as err:
            raise RadioConfigError(
                f"{link.uri}: got {self.name}={self.value}, which the radio refuses; choose a value in this radio's "
                "range (`testbed doctor` shows it)"
            ) from err


def mute(link: Connection) -> None:
    """Attenuate the transmitter as far as it goes."""
    Setting("tx_gain_db", "tx_hardwaregain_chan0", MUTED_DB, TX_GAIN_TOLERANCE_DB).apply(link)


def unmute(link: Connection, config: RadioConfig) -> None:
    """Give the transmitter its gain."""
    Setting("tx_gain_db", "tx_hardwaregain_chan0", float(config.tx_gain_db), TX_GAIN_TOLERANCE_DB).apply(link)


def tune(link: Connection, config: RadioConfig, carrier_shift_hz: float) -> None:
    """Apply a configuration with the transmitter muted; it stays muted. Raises RadioConfigError."""
    if config.sample_rate_hz < MIN_SAMPLE_RATE_HZ:
        raise RadioConfigError(
            f"{link.uri}: got sample_rate_hz={config.sample_rate_hz:g}; allowed: {MIN_SAMPLE_RATE_HZ:g} to 61.44e6"
        )
    mute(link)
    link.call("silence the synthesiser", lambda pluto: pluto.disable_dds())
    rx_band = min(max(config.sample_rate_hz, MIN_BANDWIDTH_HZ), MAX_RX_BANDWIDTH_HZ)
    tx_band = min(max(config.sample_rate_hz, MIN_BANDWIDTH_HZ), MAX_TX_BANDWIDTH_HZ)
    for setting in (
        Setting("loopback", "loopback", 0, 0),
        Setting("sample_rate_hz", "sample_rate", round(config.sample_rate_hz), RATE_TOLERANCE_HZ),
        Setting("rx bandwidth", "rx_rf_bandwidth", round(rx_band), BANDWIDTH_TOLERANCE * rx_band),
        Setting("tx bandwidth", "tx_rf_bandwidth", round(tx_band), BANDWIDTH_TOLERANCE * tx_band),
        Setting("center_freq_hz", "rx_lo", round(config.center_freq_hz), LO_TOLERANCE_HZ),
        Setting("center_freq_hz", "tx_lo", round(config.center_freq_hz + carrier_shift_hz), LO_TOLERANCE_HZ),
        Setting("gain control", "gain_control_mode_chan0", "manual", 0),
        Setting("rx_gain_db", "rx_hardwaregain_chan0", float(config.rx_gain_db), RX_GAIN_TOLERANCE_DB),
    ):
        setting.apply(link)


def move_carrier(link: Connection, frequency_hz: float) -> None:
    """Retune the transmitter; its phase is random afterwards."""
    Setting("tx carrier", "tx_lo", round(frequency_hz), LO_TOLERANCE_HZ).apply(link)
