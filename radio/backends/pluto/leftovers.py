"""What another program may have left behind in a PlutoSDR: each setting is put right, read back, and can be named.

Sources: pyadi-iio issue 796 (local oscillators powered down); plutosdr-fw issue 107 (the underflow bit); ADI's notes
on the phase synchronisation of FMComms5 (quadrature tracking moves the phase); the driver's attributes for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from radio.backends.pluto.driver import Connection
from radio.errors import RadioConfigError

RX_PORT, TX_PORT = "A_BALANCED", "A"
"""Those that have a connector."""
RATE_TOLERANCE_HZ = 8.0
PHY, RX_CORE, TX_CORE = "ad9361-phy", "cf-ad9361-lpc", "cf-ad9361-dds-core-lpc"
FACTORY_XO = "ad9361-phy,xo_correction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """One attribute that this toolkit relies on, whoever used the radio before."""

    name: str
    device: str
    channel: str | None
    """None is the device's own."""
    output: bool = False
    attribute: str
    wanted: str
    why: str
    """What goes wrong otherwise."""
    tolerance: float | None = None
    """Of numbers; None compares words."""
    may_be_missing: bool = False
    """Firmware without it cannot have been left otherwise."""

    def fits(self, found: str) -> bool:
        """Whether a value is the wanted one."""
        if self.tolerance is None:
            return found == self.wanted
        try:
            return abs(float(found) - float(self.wanted)) <= self.tolerance
        except ValueError:
            return False

    def read(self, link: Connection) -> str | None:
        """The value now; None where the firmware has no such attribute. Raises RadioLinkError."""
        return link.call(f"read {self.name}", self._read)

    def apply(self, link: Connection) -> None:
        """Set unless it is right already, and read back. Raises RadioConfigError, RadioLinkError."""
        found = self.read(link)
        if found is None and self.may_be_missing:
            return
        if found is not None and not self.fits(found):
            try:
                link.call(f"set {self.name}", self._write)
            except RadioConfigError as err:
                raise RadioConfigError(self._complaint(link, found)) from err
            found = self.read(link)
        if found is None or not self.fits(found):
            raise RadioConfigError(self._complaint(link, found))

    def _complaint(self, link: Connection, found: str | None) -> str:
        got = "no such attribute" if found is None else found
        return (
            f"{link.uri}: {self.name}: got {got}; allowed: {self.wanted}, {self.why}; end the program that keeps it, "
            "or restart the radio"
        )

    def _read(self, pluto: Any) -> str | None:
        attributes = self._attributes(pluto)
        return str(attributes[self.attribute].value).strip() if self.attribute in attributes else None

    def _write(self, pluto: Any) -> None:
        self._attributes(pluto)[self.attribute].value = self.wanted

    def _attributes(self, pluto: Any) -> Any:
        device = pluto.ctx.find_device(self.device)
        owner = device if self.channel is None else device.find_channel(self.channel, self.output)
        return {} if owner is None else owner.attrs


def before_tuning(link: Connection) -> Iterator[Leftover]:
    """What must be right before frequencies and rates are set: state, reference, oscillators, ports."""
    yield Leftover(
        name="ensm_mode",
        device=PHY,
        channel=None,
        attribute="ensm_mode",
        wanted="fdd",
        why="or nothing is sent or heard",
    )
    yield Leftover(
        name="xo_correction", device=PHY, channel=None, attribute="xo_correction", wanted=factory_xo(link),
        tolerance=0.0, why="as this radio was started with; carriers and clocks are off by the rest",
    )  # fmt: skip
    for name, channel in (("rx", "altvoltage0"), ("tx", "altvoltage1")):
        yield Leftover(
            name=f"{name}_lo powerdown", device=PHY, channel=channel, output=True, attribute="powerdown", wanted="0",
            why="or its oscillator stands still",
        )  # fmt: skip
    for name, output, port in (("rx", False, RX_PORT), ("tx", True, TX_PORT)):
        yield Leftover(
            name=f"{name} rf_port_select", device=PHY, channel="voltage0", output=output, attribute="rf_port_select",
            wanted=port, why="which alone has a connector",
        )  # fmt: skip


def after_tuning(rate_hz: int, *, quadrature_tracking: bool) -> Iterator[Leftover]:
    """What is judged by the rate, or would move what was tuned."""
    for name, device, output in (("rx", RX_CORE, False), ("tx", TX_CORE, True)):
        yield Leftover(
            name=f"{name} core sampling_frequency", device=device, channel="voltage0", output=output,
            attribute="sampling_frequency", wanted=str(rate_hz), tolerance=RATE_TOLERANCE_HZ, may_be_missing=True,
            why="or samples are decimated or interpolated by 8",
        )  # fmt: skip
    yield Leftover(
        name="quadrature_tracking_en", device=PHY, channel="voltage0", attribute="quadrature_tracking_en",
        wanted=str(int(quadrature_tracking)), why="as it moves the receiver's phase (pluto.quadrature_tracking)",
    )  # fmt: skip
    for name in ("bb_dc_offset_tracking_en", "rf_dc_offset_tracking_en"):
        yield Leftover(
            name=name, device=PHY, channel="voltage0", attribute=name, wanted="1",
            why="or the receiver's constant offset drifts",
        )  # fmt: skip


def factory_xo(link: Connection) -> str:
    """The correction that the radio was started with, which its context keeps; the nominal reference where it says
    nothing: the middle of the range."""
    stated = str(link.context.attrs.get(FACTORY_XO, "")).strip()
    if stated.isdigit():
        return stated

    def middle(pluto: Any) -> str:
        low, _, high = str(pluto.ctx.find_device(PHY).attrs["xo_correction_available"].value).strip("[] \n").split()
        return str((int(low) + int(high)) // 2)

    return link.call("read xo_correction_available", middle)


def put_right(link: Connection, *, quadrature_tracking: bool) -> None:
    """All of it, at whatever rate the radio is. Raises RadioConfigError, RadioLinkError."""
    for leftover in _all(link, quadrature_tracking=quadrature_tracking):
        leftover.apply(link)


def left_behind(link: Connection, *, quadrature_tracking: bool) -> tuple[str, ...]:
    """What is otherwise than this toolkit will set it, as it is found; changes nothing. Raises RadioLinkError."""
    settings = _all(link, quadrature_tracking=quadrature_tracking)
    found = [(setting, setting.read(link)) for setting in settings]
    notes = [
        f"{setting.name} is {value}, will be {setting.wanted}"
        for setting, value in found
        if value is not None and not setting.fits(value)
    ]
    tones = link.call("read the synthesiser", lambda pluto: [float(scale) for scale in pluto.dds_scales])
    if any(tones):
        notes.append("the synthesiser's tones are on, and will be off")
    return tuple(notes)


def _all(link: Connection, *, quadrature_tracking: bool) -> tuple[Leftover, ...]:
    rate_hz = link.call("read sample_rate", lambda pluto: math.floor(pluto.sample_rate))
    return (*before_tuning(link), *after_tuning(rate_hz, quadrature_tracking=quadrature_tracking))
