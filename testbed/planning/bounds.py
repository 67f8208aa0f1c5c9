"""What a rig declares of noise and channels, for claims that count receiver noise (docs/method.md §2.4).

A simulated air, also that of virtual Plutos, is its own declaration; of a real bench the section ``bounds`` says it.
"""

from __future__ import annotations

import math

import numpy as np

from radio.air.config import thermal_power
from radio.air.fading import profile_of
from radio.arrays import Reals
from radio.link.bounds import ChannelBounds
from radio.waveform.modulation import block_response
from testbed.config.backends import backend_of
from testbed.config.schema import Rig


def missing_bounds(rig: Rig) -> str | None:
    """What is not known of the rig, and what to declare; None where there are bounds."""
    if _is_simulated(rig):
        if rig.backend == "pluto" and rig.virtual.block_ms > 0 and rig.air.fading != "none":
            return (
                "virtual.block_ms above 0 may change a channel between sounding and payload; set virtual.block_ms = 0"
            )
        return None
    bounds = rig.bounds
    needed = {
        "noise_figure_db": bounds.noise_figure_db,
        "full_scale_dbm": bounds.full_scale_dbm,
        "doppler_max_hz": bounds.doppler_max_hz,
        "delay_max_samples": bounds.delay_max_samples,
    }
    if bounds.doppler_max_hz != 0 or bounds.delay_max_samples != 0:
        needed["path_loss_min_db"] = bounds.path_loss_min_db
    missing = [f"bounds.{name}" for name, value in needed.items() if value is None]
    return f"nobody declared {', '.join(missing)}; measure and declare it" if missing else None


def bounds_of(rig: Rig) -> ChannelBounds | None:
    """The rig's bounds; None where something is missing."""
    if missing_bounds(rig) is not None:
        return None
    return _of_air(rig) if _is_simulated(rig) else _declared(rig)


def _is_simulated(rig: Rig) -> bool:
    return backend_of(rig).is_simulated or (rig.backend == "pluto" and rig.pluto.is_virtual)


def _declared(rig: Rig) -> ChannelBounds | None:
    bounds, radio = rig.bounds, rig.radio
    figure, full_scale, doppler = bounds.noise_figure_db, bounds.full_scale_dbm, bounds.doppler_max_hz
    delay = bounds.delay_max_samples
    if figure is None or full_scale is None or doppler is None or delay is None:
        return None
    power = 10 ** (-bounds.path_loss_min_db / 10) if bounds.path_loss_min_db is not None else 0.0
    seen = float(block_response(np.array(delay), rig.frame))
    return ChannelBounds(
        noise_power=thermal_power(
            noise_figure_db=figure,
            temperature_k=bounds.temperature_k,
            full_scale_dbm=full_scale,
            sample_rate_hz=radio.sample_rate_hz,
        ),
        doppler_rms_hz=doppler,  # as if all of it came and went in one direction
        moving_power=power,
        stretch=1.0,
        dispersed_power=power * (1 - seen**2),
        gain_drift_db=radio.residual_gain_max_db,
        cfo_max_hz=0.0 if rig.frame.is_symbol_level else radio.residual_cfo_max_hz,
    )


def _of_air(rig: Rig) -> ChannelBounds:
    air, radio = rig.air, rig.radio
    profile = profile_of(air, radio.sample_rate_hz)
    on_samples = air.level == "sample"
    step_db = air.transmitter.gain_step_db if on_samples else 0.0
    power = air.mean_gain_power * 10 ** ((air.path_loss_spread_db + step_db / 2) / 10)
    late = _latest_start(rig) if on_samples else 0.0
    taps = profile.scattered_powers + profile.steady_powers
    stretch, dispersed = _dispersion(rig, taps, profile.delays_samples, late)
    moves = air.doppler_hz > 0 and air.fading != "none"
    return ChannelBounds(
        noise_power=air.noise_power(radio.max_power, radio.sample_rate_hz),
        doppler_rms_hz=air.doppler_hz / math.sqrt(2) if moves else 0.0,  # Clarke's: E cos² of the angles of arrival
        moving_power=power * float(profile.scattered_powers.sum()),
        stretch=stretch,
        dispersed_power=power * dispersed,
        gain_drift_db=max(radio.residual_gain_max_db, _drift_db(rig)) if on_samples else 0.0,
        cfo_max_hz=max(radio.residual_cfo_max_hz, air.cfo_max_hz) if on_samples else 0.0,
    )


def _latest_start(rig: Rig) -> float:
    """By how many samples a device's block may be off; where starts are counted, they are whole samples."""
    if rig.frame.start_uncertainty_samples > 0:
        return rig.air.delay_max_samples + 1
    return rig.air.delay_max_samples + rig.air.start_jitter_samples


def _drift_db(rig: Rig) -> float:
    """What the simulated transmitters do: drift since the first transmission of a block, and compression of pilots.

    Where starts are counted the sounding need not be the first one, so that both may be off.
    """
    config = rig.air.transmitter
    drift_db = config.gain_error_db * (2 if rig.frame.start_uncertainty_samples > 0 else 1)
    drive = 10 ** (-config.pa_saturation_dbfs / 20)  # of full scale, which no sample exceeds
    if config.pa == "rapp":
        drift_db += 10 / config.pa_smoothness * math.log10(1 + drive ** (2 * config.pa_smoothness))
    elif config.pa == "saleh":
        drift_db += 20 * math.log10(1 + (drive / 2) ** 2)
    return drift_db


def _dispersion(rig: Rig, powers: Reals, delays: Reals, late: float) -> tuple[float, float]:
    """Stretch and mean dispersed power, relative to E|h|², of taps that are all late by 0 to ``late`` samples.

    The part of every tap that is proportional to what the matched filter saw is a common delay; the rest is what
    other taps' delays make of it.
    """
    if rig.frame.is_symbol_level:
        return 1.0, 0.0
    mean_delay = float(powers @ delays)
    offsets = np.linspace(0.0, late, 9) if late > 0 and delays.size > 1 else np.array([late])
    dispersed = 0.0
    for offset in offsets:
        common = float(block_response(np.array(offset + mean_delay), rig.frame))
        if not common > 0:
            return math.inf, 0.0
        seen = block_response(offset + delays, rig.frame) / common
        overlap = block_response(delays - mean_delay, rig.frame)
        dispersed = max(dispersed, float(powers @ np.maximum(1 + seen**2 - 2 * seen * overlap, 0.0)))
    return 1 / float(block_response(np.array(late + mean_delay), rig.frame)), dispersed
