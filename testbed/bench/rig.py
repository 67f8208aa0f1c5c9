"""From a configuration to radios: which scheme, which frame, which air, which backend."""

from __future__ import annotations

import msgspec

from radio.air.config import check_compatible
from radio.air.medium import Medium
from radio.backends.backend import Setup
from radio.backends.base import Radio
from radio.channels.files import load_channels, pinned
from radio.channels.source import parse
from radio.config import Capabilities, Level
from radio.link.setup import counts_starts
from radio.schemes.base import Scheme
from radio.schemes.registry import check_support
from testbed.bench.limits import check_limits
from testbed.config.backends import backend_of, settings_of
from testbed.config.schema import Rig, RunConfig
from testbed.errors import ConfigError
from testbed.planning import terms
from testbed.planning.checks import check_privacy

_SAME_CARRIER = 0.01


def resolve(config: RunConfig) -> RunConfig:
    """Apply what the experiment asks of the rig (air level, the scheme's own air) and refuse what cannot work.

    A file of recorded channels is named with its checksum, so that a resumed run has the same.

    Resolving twice changes nothing. Raises ConfigError or radio.errors.RadioError.
    """
    rig, experiment = config.rig, config.experiment
    check_limits(rig)
    backend, settings = backend_of(rig), settings_of(rig)
    chosen = scheme_of(config)
    check_support(chosen, capabilities(rig))
    asked = experiment.scheme.air_level
    level: Level = "symbol" if "symbol" in (asked, rig.air.level) else "sample"
    backend.check(settings, run_setup(config), scheme=chosen, level=level, csi=experiment.scheme.csi)
    if asked == "sample" and rig.air.level == "symbol":
        raise ConfigError(
            "scheme.air_level: got 'sample', but the rig simulates symbols only; choose a rig with air.level = 'sample'"
        )
    air = chosen.air_override or rig.air
    if air.channel:
        air = msgspec.structs.replace(air, channel=pinned(air.channel))
        _check_carrier(air.channel, rig)
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


def _check_carrier(channel: str, rig: Rig) -> None:
    """Raise ConfigError for channels that were recorded on another carrier, where the file is on this machine."""
    if "sha256" not in parse(channel).options:
        return
    recorded_hz = load_channels(channel).center_freq_hz
    if recorded_hz is not None and abs(recorded_hz / rig.radio.center_freq_hz - 1) > _SAME_CARRIER:
        raise ConfigError(
            f"air.channel: was recorded at {recorded_hz / 1e6:g} MHz; this rig is at "
            f"{rig.radio.center_freq_hz / 1e6:g} MHz, where channels are others; set radio.center_freq_hz to that, or "
            "measure again"
        )


def scheme_of(config: RunConfig) -> Scheme:
    """The scheme that the experiment names."""
    return terms.scheme_of(config.experiment)


def capabilities(rig: Rig) -> Capabilities:
    """What the rig's radios can do together."""
    clock = rig.clock
    return Capabilities(trigger=clock.trigger, streaming=clock.streaming, shared_clock=clock.shared_clock)


def setup_of(rig: Rig, *, counts_samples: bool = False) -> Setup:
    """What the rig's radios are used for together."""
    return Setup(
        num_devices=rig.num_devices,
        capabilities=capabilities(rig),
        frame=rig.frame,
        counts_samples=counts_samples,
    )


def run_setup(config: RunConfig) -> Setup:
    """The same for a run, whose scheme decides whether samples are counted."""
    rig = config.rig
    return setup_of(rig, counts_samples=counts_starts(scheme_of(config), capabilities(rig), rig.frame))


def device_radio(config: RunConfig, medium: Medium | None, device: int) -> Radio:
    """The radio of device k; a simulated one needs its medium."""
    return backend_of(config.rig).open(settings_of(config.rig), device, run_setup(config), medium)


def access_point_radio(config: RunConfig, medium: Medium | None) -> Radio:
    """The access point's radio: the station behind the last device."""
    return device_radio(config, medium, config.rig.num_devices)
