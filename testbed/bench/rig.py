"""From a configuration to radios: which scheme, which frame, which air, which backend."""

from __future__ import annotations

from typing import Protocol

import msgspec

from radio.air.channel import Truth
from radio.air.config import check_compatible
from radio.air.medium import Medium
from radio.backends.base import Radio
from radio.backends.loopback import LoopbackRadio
from radio.backends.pluto.config import PlutoConfig
from radio.backends.pluto.radio import PlutoRadio
from radio.config import Capabilities
from radio.link.setup import counts_starts
from radio.schemes.base import Scheme
from radio.schemes.registry import check_support, scheme
from testbed.config.schema import Rig, RunConfig
from testbed.errors import ConfigError
from testbed.planning.checks import check_privacy

STREAM_BLOCKS_AHEAD = 6
"""Kernel buffers of a transmit stream, one that is being made, and one that is being captured."""


class SimulatedAir(Medium, Protocol):
    """An air that can also tell the truth about itself."""

    def truth(self) -> Truth:
        """The current block's channels."""
        ...


def resolve(config: RunConfig) -> RunConfig:
    """Apply what the experiment asks of the rig (air level, the scheme's own air) and refuse what cannot work.

    Resolving twice changes nothing. Raises ConfigError or radio.errors.SchemeUnsupportedError.
    """
    rig, experiment = config.rig, config.experiment
    chosen = scheme_of(config)
    check_support(chosen, capabilities(config))
    asked = experiment.scheme.air_level
    if rig.backend == "pluto":
        _check_plutos(config, chosen)
    if asked == "sample" and rig.air.level == "symbol":
        raise ConfigError(
            "scheme.air_level: got 'sample', but the rig simulates symbols only; choose a rig with air.level = 'sample'"
        )
    air = chosen.air_override or rig.air
    if asked == "symbol":
        air = msgspec.structs.replace(air, level="symbol")
    frame = rig.frame.for_level(air.level)
    check_compatible(air, frame)
    rig = msgspec.structs.replace(rig, air=air, frame=frame)
    offset_hz = rig.radio.residual_cfo_max_hz
    if experiment.scheme.csi == "reciprocity" and chosen.waveform == "symbols" and offset_hz > 0:
        raise ConfigError(
            f"scheme.csi: got 'reciprocity' with scheme {chosen.name!r} and residual_cfo_max_hz = {offset_hz:g}; "
            "phases are reciprocal on one clock only: allowed with 0, or with scheme 'energy'; or use 'sounding'"
        )
    resolved = RunConfig(rig=rig, experiment=experiment)
    check_privacy(resolved)
    return resolved


def _check_plutos(config: RunConfig, chosen: Scheme) -> None:
    """Raise ConfigError for what no radio can be asked, and for addresses that do not add up."""
    rig = config.rig
    if chosen.air_override is not None or "symbol" in (config.experiment.scheme.air_level, rig.air.level):
        raise ConfigError(
            f"backend: got 'pluto' with scheme {chosen.name!r}, or on the symbol level, which exist on a simulated air "
            "only; allowed: 'loopback', for example --rig loopback"
        )
    if config.experiment.scheme.csi == "reciprocity":
        raise ConfigError(
            "scheme.csi: got 'reciprocity' with backend = 'pluto'; allowed: 'sounding', as two radios' transmit and "
            "receive gains are not alike"
        )
    if rig.clock.trigger:
        raise ConfigError("clock.trigger: got true; allowed with backend = 'pluto': false, as its firmware has none")
    pluto = rig.pluto
    counts = counts_starts(chosen, capabilities(config), rig.frame)
    ahead = STREAM_BLOCKS_AHEAD * pluto.stream_block_samples
    if counts and rig.frame.start_uncertainty_samples < ahead:
        raise ConfigError(
            f"frame.start_uncertainty_samples: got {rig.frame.start_uncertainty_samples}; allowed: at least {ahead}, "
            f"{STREAM_BLOCKS_AHEAD} of pluto.stream_block_samples, by which transmit streams are ahead of the air"
        )
    if pluto.is_virtual:
        return
    uris = [*pluto.devices, pluto.access_point]
    if len(pluto.devices) != rig.num_devices or not all(uris) or len(set(uris)) != len(uris):
        raise ConfigError(
            f"pluto: got devices = {list(pluto.devices)} and access_point = {pluto.access_point!r}; allowed: a URI for "
            f"each of num_devices = {rig.num_devices} and one for the access point, all different"
        )


def scheme_of(config: RunConfig) -> Scheme:
    """The scheme that the experiment names."""
    return scheme(config.experiment.scheme.name)


def capabilities(config: RunConfig) -> Capabilities:
    """What the rig's radios can do together."""
    clock = config.rig.clock
    return Capabilities(trigger=clock.trigger, streaming=clock.streaming, shared_clock=clock.shared_clock)


def pluto_uri(rig: Rig, station: int) -> str:
    """Where a station's PlutoSDR is; the access point is the station behind the last device."""
    if rig.pluto.is_virtual:
        host, port = rig.virtual.address(station)
        return f"ip:{host}:{port}"
    return rig.pluto.access_point if station == rig.num_devices else rig.pluto.devices[station]


def pluto_config(rig: Rig, station: int, *, counts_samples: bool) -> PlutoConfig:
    """How a station's PlutoSDR is reached and used."""
    pluto = rig.pluto
    return PlutoConfig(
        uri=pluto_uri(rig, station),
        shared_clock=rig.clock.shared_clock,
        streaming=rig.clock.streaming,
        counts_samples=counts_samples,
        real_time=not pluto.is_virtual or rig.virtual.pacing == "real_time",
        timeout_s=pluto.timeout_s,
        stream_block_samples=pluto.stream_block_samples,
        link_rate_max_hz=pluto.link_rate_max_hz,
    )


def device_radio(config: RunConfig, medium: Medium | None, device: int) -> Radio:
    """The radio of device k; a simulated one needs its medium."""
    return _radio(config, medium, device)


def access_point_radio(config: RunConfig, medium: Medium | None) -> Radio:
    """The access point's radio: the station behind the last device."""
    return _radio(config, medium, config.rig.num_devices)


def _radio(config: RunConfig, medium: Medium | None, station: int) -> Radio:
    if config.rig.backend == "pluto":
        counts = counts_starts(scheme_of(config), capabilities(config), config.rig.frame)
        return PlutoRadio(pluto_config(config.rig, station, counts_samples=counts))
    assert medium is not None, "a loopback rig comes with its air"
    return LoopbackRadio(medium, station, capabilities(config))
