"""From a configuration to radios: which scheme, which frame, which air, which backend."""

from __future__ import annotations

from typing import Protocol

import msgspec

from radio.backend import Radio
from radio.channel import Truth
from radio.config import Capabilities, check_compatible
from radio.loopback import LoopbackRadio
from radio.medium import Medium
from radio.schemes import Scheme, check_support, scheme
from testbed.config import RunConfig
from testbed.errors import ConfigError
from testbed.privacy_checks import check_privacy


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


def scheme_of(config: RunConfig) -> Scheme:
    """The scheme that the experiment names."""
    return scheme(config.experiment.scheme.name)


def capabilities(config: RunConfig) -> Capabilities:
    """What the rig's radios can do together."""
    clock = config.rig.clock
    return Capabilities(trigger=clock.trigger, streaming=clock.streaming, shared_clock=clock.shared_clock)


def device_radio(config: RunConfig, medium: Medium, device: int) -> Radio:
    """The radio of device k."""
    return LoopbackRadio(medium, device, capabilities(config))


def access_point_radio(config: RunConfig, medium: Medium) -> Radio:
    """The access point's radio: the station behind the last device."""
    return LoopbackRadio(medium, medium.access_point, capabilities(config))
