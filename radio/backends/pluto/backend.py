"""PlutoSDRs as a backend: what they cannot be asked, and what each says about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from radio.air.medium import Medium
from radio.backends.backend import Backend, RadioFinding, Setup, station_name
from radio.backends.pluto.config import PlutoBench
from radio.backends.pluto.driver import Connection, versions, visible_contexts
from radio.backends.pluto.identity import identify, serial_of
from radio.backends.pluto.leftovers import left_behind, put_right
from radio.backends.pluto.radio import PlutoRadio
from radio.backends.pluto.trials import LOOPBACK_SAMPLES, link_rate_hz, loopback_errors, underflow_sticks
from radio.config import Level
from radio.errors import RadioConfigError, RadioError

if TYPE_CHECKING:
    from radio.schemes.base import Scheme

STREAM_BLOCKS_AHEAD = 6
"""Kernel buffers of a transmit stream, one that is being made, and one that is being captured."""


class Pluto(Backend):
    """PlutoSDRs, real or virtual."""

    name = "pluto"
    settings = PlutoBench

    def open(self, settings: PlutoBench, station: int, setup: Setup, medium: Medium | None) -> PlutoRadio:
        """A radio that connects when it is configured."""
        return PlutoRadio(settings.radio(station, setup.capabilities, counts_samples=setup.counts_samples))

    def check(
        self,
        settings: PlutoBench,
        setup: Setup,
        *,
        scheme: Scheme,
        level: Level,
        csi: Literal["sounding", "reciprocity"],
    ) -> None:
        """Raise RadioConfigError for what no PlutoSDR can be asked, and for addresses that do not add up."""
        super().check(settings, setup, scheme=scheme, level=level, csi=csi)
        if csi == "reciprocity":
            raise RadioConfigError(
                "scheme.csi: got 'reciprocity' with backend = 'pluto'; allowed: 'sounding', as two radios' transmit "
                "and receive gains are not alike"
            )
        if setup.capabilities.trigger:
            raise RadioConfigError(
                "clock.trigger: got true; allowed with backend = 'pluto': false, as its firmware has none"
            )
        ahead = STREAM_BLOCKS_AHEAD * settings.stream_block_samples
        if setup.counts_samples and setup.frame.start_uncertainty_samples < ahead:
            raise RadioConfigError(
                f"frame.start_uncertainty_samples: got {setup.frame.start_uncertainty_samples}; allowed: at least "
                f"{ahead}, {STREAM_BLOCKS_AHEAD} of pluto.stream_block_samples, by which transmit streams are ahead of "
                "the air"
            )
        if not settings.simulated:
            _check_addresses(settings, setup.num_devices)
        if settings.serials and len(settings.serials) != setup.num_devices + 1:
            raise RadioConfigError(
                f"pluto.serials: got {len(settings.serials)}; allowed: none, or one for each of num_devices = "
                f"{setup.num_devices} and the access point's last"
            )

    def draws_noise(self, settings: PlutoBench) -> bool:
        """Virtual radios do."""
        return settings.simulated

    def address(self, settings: PlutoBench, station: int) -> str:
        """Its URI; empty where the rig has none."""
        return settings.uri(station) if station <= len(settings.devices) else ""

    def correct_every_rounds(self, settings: PlutoBench) -> int | None:
        """As the rig says."""
        return settings.correct_every_rounds

    def software(self) -> dict[str, str]:
        """Of libiio and pyadi-iio. Raises DriverError."""
        return versions()

    def visible(self) -> dict[str, str]:
        """What libiio finds on USB and, where Avahi runs, on the network. Raises DriverError."""
        return visible_contexts()

    def serial(self, settings: PlutoBench, station: int, setup: Setup) -> str | None:
        """As its firmware says it."""
        link = Connection(settings.uri(station), settings.timeout_s)
        try:
            return serial_of(link)
        finally:
            link.close()

    def examine(self, settings: PlutoBench, station: int, setup: Setup) -> RadioFinding:
        """One radio by itself, muted."""
        name, uri = station_name(station, setup), settings.uri(station)
        try:
            link = Connection(uri, settings.timeout_s)
        except RadioError as err:
            return RadioFinding(station=name, uri=uri, problem=str(err))
        try:
            found = identify(link)
            leftovers = left_behind(link, quadrature_tracking=settings.quadrature_tracking)
            put_right(link, quadrature_tracking=settings.quadrature_tracking)
            finding = RadioFinding(
                station=name,
                uri=uri,
                model=found.model,
                serial=found.serial,
                firmware=found.firmware,
                chip_temperature_c=found.chip_temperature_c,
                board_temperature_c=found.board_temperature_c,
                supplies_v=found.supplies_v,
                ranges=found.ranges,
                loopback_errors=loopback_errors(link),
                underflow_sticks=underflow_sticks(link),
                link_rate_hz=link_rate_hz(link),
                left_behind=leftovers,
                bench=found.bench,
            )
        except RadioError as err:
            return RadioFinding(station=name, uri=uri, problem=str(err))
        finally:
            link.close()
        if finding.loopback_errors:
            wrong = f"{uri}: {finding.loopback_errors} of {LOOPBACK_SAMPLES} samples are wrong in the chip's loopback"
            return msgspec.structs.replace(finding, problem=f"{wrong}; restart the radio, then suspect it")
        return finding


def _check_addresses(settings: PlutoBench, num_devices: int) -> None:
    uris: list[Any] = [*settings.devices, settings.access_point]
    if len(settings.devices) != num_devices or not all(uris) or len(set(uris)) != len(uris):
        raise RadioConfigError(
            f"pluto: got devices = {list(settings.devices)} and access_point = {settings.access_point!r}; allowed: a "
            f"URI for each of num_devices = {num_devices} and one for the access point, all different"
        )
