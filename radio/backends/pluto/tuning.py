"""Set, read back, compare, raise: the settings of one PlutoSDR, with what its hardware rounds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from radio.backends.pluto.driver import Connection
from radio.backends.pluto.leftovers import after_tuning, before_tuning
from radio.config import RadioConfig
from radio.errors import RadioConfigError

MUTED_DB = -89.75
MIN_SAMPLE_RATE_HZ = 521e3
MIN_BANDWIDTH_HZ, MAX_TX_BANDWIDTH_HZ, MAX_RX_BANDWIDTH_HZ = 200_000, 40_000_000, 56_000_000
LO_TOLERANCE_HZ = 10.0
"""The synthesiser's step is a few Hz."""
RATE_TOLERANCE_HZ = 8.0
BANDWIDTH_TOLERANCE = 0.1  # relative
TX_GAIN_TOLERANCE_DB = 0.13  # half a step
RX_GAIN_TOLERANCE_DB = 0.51

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Setting:
    """One attribute of `adi.Pluto`, what it is set to, and how far off it may read back."""

    name: str
    attribute: str
    value: Any
    tolerance: float

    def apply(self, link: Connection) -> None:
        """Raise RadioConfigError unless the radio reports what it was told."""
        self.check(link, self.write(link))

    def write(self, link: Connection) -> Any:
        """Set, and return what the radio reports."""
        self._try(link, lambda pluto: setattr(pluto, self.attribute, self.value))
        return self._try(link, lambda pluto: getattr(pluto, self.attribute))

    def check(self, link: Connection, actual: Any) -> None:
        """Raise RadioConfigError unless this is what it was told."""
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


def tune(link: Connection, config: RadioConfig, carrier_shift_hz: float, *, quadrature_tracking: bool = False) -> None:
    """Apply a configuration with the transmitter muted; it stays muted. Whatever another program left behind is put
    right first. Raises RadioConfigError, RadioLinkError."""
    if config.sample_rate_hz < MIN_SAMPLE_RATE_HZ:
        raise RadioConfigError(
            f"{link.uri}: got sample_rate_hz={config.sample_rate_hz:g}; allowed: {MIN_SAMPLE_RATE_HZ:g} to 61.44e6"
        )
    mute(link)
    link.call("silence the synthesiser", lambda pluto: pluto.disable_dds())
    for leftover in before_tuning(link):
        leftover.apply(link)
    rate_hz = round(config.sample_rate_hz)
    for setting in (
        Setting("loopback", "loopback", 0, 0),
        Setting("sample_rate_hz", "sample_rate", rate_hz, RATE_TOLERANCE_HZ),
    ):
        setting.apply(link)
    _open_filter(link, "rx_rf_bandwidth", min(max(rate_hz, MIN_BANDWIDTH_HZ), MAX_RX_BANDWIDTH_HZ), rate_hz)
    _open_filter(link, "tx_rf_bandwidth", min(max(rate_hz, MIN_BANDWIDTH_HZ), MAX_TX_BANDWIDTH_HZ), rate_hz)
    for setting in (
        Setting("center_freq_hz", "rx_lo", round(config.center_freq_hz), LO_TOLERANCE_HZ),
        Setting("center_freq_hz", "tx_lo", round(config.center_freq_hz + carrier_shift_hz), LO_TOLERANCE_HZ),
        Setting("gain control", "gain_control_mode_chan0", "manual", 0),
        Setting("rx_gain_db", "rx_hardwaregain_chan0", float(config.rx_gain_db), RX_GAIN_TOLERANCE_DB),
    ):
        setting.apply(link)
    for leftover in after_tuning(rate_hz, quadrature_tracking=quadrature_tracking):
        leftover.apply(link)
    link.clear_status()


def _open_filter(link: Connection, attribute: str, wanted_hz: int, rate_hz: int) -> None:
    """As wide as the sample rate, or as the part goes: the driver clamps, and says so only when it is read back."""
    setting = Setting(attribute, attribute, wanted_hz, BANDWIDTH_TOLERANCE * wanted_hz)
    actual = setting.write(link)
    if isinstance(actual, int | float) and MIN_BANDWIDTH_HZ <= actual < wanted_hz - setting.tolerance:
        log.warning(
            "%s: the analogue filter (%s) of this part ends at %g MHz, sample_rate_hz = %g: the rest is weakened",
            link.uri, attribute, actual / 1e6, rate_hz,
        )  # fmt: skip
        return
    setting.check(link, actual)


def move_carrier(link: Connection, frequency_hz: float) -> None:
    """Retune the transmitter; its phase is random afterwards."""
    Setting("tx carrier", "tx_lo", round(frequency_hz), LO_TOLERANCE_HZ).apply(link)
