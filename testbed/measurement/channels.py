"""The uplinks of a measurement as recorded channels, and the rig that replays them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from radio.arrays import Complexes, Reals
from radio.channels.recorded import RecordedChannels, complete
from radio.measurement.probe import Probe
from radio.measurement.profile import PULSE_SAMPLES, fitted_taps
from testbed.config.schema import Rig
from testbed.measurement.summaries import Detail

_STEP_SAMPLES = 0.25
"""Between taps: a path is never far from one."""
_WANDERING_CYCLES = 0.02
"""Within a capture, from carriers that differ between captures."""


def recorded_channels(details: Sequence[Detail], probe: Probe, rig: Rig) -> RecordedChannels | None:
    """Taps of the uplinks at quarters of samples, a block for each capture in which every device was heard.

    Where links move, or carriers wander, a block has as many steps as the capture has parts. On triggered rigs delays
    are those of the links; else they begin at 0. None if there is no such block.
    """
    known = [d for d in details if d.link.direction == "uplink" and d.profile is not None and d.responses is not None]
    if not known:
        return None
    is_moving = any(detail.link.moves or _wanders(detail) for detail in known)
    num_blocks = min(len(detail.responses) for detail in known if detail.responses is not None)
    responses = [_responses(detail, num_blocks, is_moving=is_moving) for detail in known]
    if not np.isfinite(np.array(responses)).all(axis=(0, 2, 3)).any():
        return None
    origins, delays = _delays(known, probe)
    taps = []
    for own, detail, origin in zip(responses, known, origins, strict=True):
        share = detail.noise_share * own.shape[1]  # parts of a capture are noisier than all of it
        fitted = fitted_taps(np.nan_to_num(own.reshape(-1, own.shape[2])), probe, delays - origin, share)
        fitted = fitted.reshape(*own.shape[:2], -1)
        fitted[~np.isfinite(own).all(axis=2)] = np.nan
        taps.append(fitted)
    gains = np.array(taps).transpose(1, 2, 0, 3)  # [blocks, steps, links, taps]
    first = float(delays[0])
    behind = (delays - min(first, 0.0) if known[0].is_triggered else delays - first) / rig.radio.sample_rate_hz
    return complete(
        gains,
        np.broadcast_to(behind, (gains.shape[0], *gains.shape[2:])),
        name="this measurement",
        step_s=known[0].step_s if gains.shape[1] > 1 else None,
        sample_rate_hz=rig.radio.sample_rate_hz,
        center_freq_hz=rig.radio.center_freq_hz,
    )


def replaying(fitted: Rig, channels: RecordedChannels, path: Path) -> Rig:
    """The fitted rig on recorded channels in a file; what of oscillators' phases is in them is not drawn again."""
    air = fitted.air
    loss_db = -10 * math.log10(float(channels.powers().mean()))
    transmitter = air.transmitter
    if channels.step_s is not None:
        transmitter = msgspec.structs.replace(transmitter, phase_noise_deg=0.0)
    replayed = msgspec.structs.replace(
        air,
        channel=f"sionna:{path}",
        fading="rayleigh",
        tdl="flat",
        delay_spread_s=0.0,
        path_loss_db=loss_db,
        path_loss_spread_db=0.0,
        path_loss_offsets_db=(),
        snr_db=air.snr_db + air.path_loss_db - loss_db,
        transmitter=transmitter,
    )
    return msgspec.structs.replace(fitted, description=f"replayed {fitted.description}", air=replayed)


def _wanders(detail: Detail) -> bool:
    """Whether the carrier differs between captures by so much that a capture's phase is turned by it."""
    deviation_hz = detail.link.cfo_deviation_hz or 0.0
    num_steps = 1 if detail.steps is None else detail.steps.shape[1]
    return deviation_hz * detail.step_s * num_steps > _WANDERING_CYCLES


def _responses(detail: Detail, num_blocks: int, *, is_moving: bool) -> Complexes:
    """[blocks, steps, bins]"""
    assert detail.responses is not None
    if not is_moving:
        return detail.responses[:num_blocks, None]
    assert detail.steps is not None
    assert detail.link.cfo_hz is not None
    steps = detail.steps.copy()
    # a sounding takes a capture's own carrier out; what of that is motion belongs to the channel
    turns_hz = np.zeros(len(steps))
    turns_hz[np.isfinite(steps).all(axis=(1, 2))] = detail.cfos_hz - detail.link.cfo_hz.value
    times_s = (np.arange(steps.shape[1]) - (steps.shape[1] - 1) / 2) * detail.step_s
    steps *= np.exp(2j * np.pi * np.outer(turns_hz, times_s))[:, :, None]
    return steps[:num_blocks]


def _delays(known: Sequence[Detail], probe: Probe) -> tuple[list[float], Reals]:
    """Where each link's delays count from, and the delays of taps [L], in samples."""
    profiles = [detail.profile for detail in known if detail.profile is not None]
    size = probe.period_samples
    origins = [(profile.origin_samples + size / 2) % size - size / 2 for profile in profiles]
    ends = [
        (origin + profile.first_samples + PULSE_SAMPLES, origin + profile.last_samples - PULSE_SAMPLES)
        for origin, profile in zip(origins, profiles, strict=True)
    ]
    first = math.floor(min(min(pair) for pair in ends) / _STEP_SAMPLES) * _STEP_SAMPLES
    last = max(max(pair) for pair in ends)
    return origins, np.arange(first, last + _STEP_SAMPLES, _STEP_SAMPLES)
