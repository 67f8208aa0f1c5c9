"""From the captures of a link to what is said of it; pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from radio.arrays import Complexes, Reals
from radio.measurement.fading import DECOHERED_RAD, HELD_RAD, Motion, PhaseDrift, motion, moves, phase_drift, rice_k_db
from radio.measurement.profile import DelayProfile, PropagationPath, delay_profile, find_paths
from radio.measurement.sounding import NORMAL_95, Sounding, Value
from testbed.config.schema import Rig
from testbed.measurement.campaign import Asked, LinkHeard, probe_of
from testbed.measurement.records import Interval, Link, PathFound, interval


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detail:
    """What pictures and files show of a link beside its record."""

    link: Link
    is_triggered: bool = False
    profile: DelayProfile | None = None
    response: Complexes | None = None
    """Of the first good capture."""
    responses: Complexes | None = None
    """[captures, bins], turned back as the profile was; NaN where a capture was spoilt."""
    steps: Complexes | None = None
    """[captures, S, bins], the same of each capture's parts."""
    noise_share: float = 0.0
    """Of the responses' power, mean."""
    drift: PhaseDrift | None = None
    motion: Motion | None = None
    """Of the first good capture."""
    step_s: float = 0.0
    """Between parts of a capture."""
    paths: tuple[PropagationPath, ...] = ()
    gains_db: Reals = field(default_factory=lambda: np.zeros(0))
    """Of the good captures."""
    cfos_hz: Reals = field(default_factory=lambda: np.zeros(0))
    times_s: Reals = field(default_factory=lambda: np.zeros(0))


def summarise(heard: LinkHeard, rig: Rig, asked: Asked) -> Detail:
    """Pure."""
    good = heard.good
    spoilt = Counter(each.spoilt for each in heard.soundings if each.spoilt is not None)
    names: dict[str, int] = {str(name): num for name, num in spoilt.items()}
    if not good:
        why = heard.problem or (
            "no capture was made" if not heard.soundings else f"all captures are {' or '.join(sorted(names))}"
        )
        return Detail(
            link=Link(
                device=heard.device,
                direction=heard.direction,
                num_captures=len(heard.soundings),
                num_spoilt=names,
                problem=why,
            )
        )
    probe, rate = probe_of(rig, asked), rig.radio.sample_rate_hz
    responses = np.array([each.response for each in good])
    variances = np.array([each.response_variance for each in good])
    gains = np.array([10 ** (each.gain_db.value / 10) for each in good])
    times = np.array([at for at, each in zip(heard.times_s, heard.soundings, strict=True) if each.spoilt is None])
    cfos = np.array([each.cfo_hz.value for each in good])
    profile = delay_profile(responses, variances, probe, is_triggered=rig.clock.trigger)
    paths = find_paths(responses[0], float(variances[0]), probe)
    moved = motion(good[0].track, good[0].track_variance, probe.period_samples / rate)
    drift = phase_drift(
        [each.track for each in good],
        [each.track_variance / (2 * float(np.mean(np.abs(each.track) ** 2))) for each in good],
        probe.period_samples / rate,
    )
    is_moving = sum(moves(each.track, each.track_variance) for each in good) > len(good) / 2
    spread = profile.rms_spread_samples
    k = rice_k_db(responses, variances)
    noise = float(np.mean([each.noise_power for each in good]))
    is_triggered = rig.clock.trigger
    link = Link(
        device=heard.device,
        direction=heard.direction,
        num_captures=len(heard.soundings),
        num_spoilt=names,
        problem=heard.problem,
        gain_db=interval(mean_in_db(good)),
        gain_spread_db=float(np.std(10 * np.log10(gains))),
        snr_db=interval(_mean_snr(good)),
        noise_dbfs=10 * math.log10(noise) if noise > 0 else None,
        cfo_hz=interval(weighted([each.cfo_hz for each in good])),
        cfo_drift_hz_per_s=float(np.polyfit(times - times.mean(), cfos, 1)[0]) if times.size > 2 else None,
        cfo_deviation_hz=float(np.sqrt(np.mean(np.diff(cfos) ** 2) / 2)) if cfos.size > 2 else None,
        clock_ppm=interval(weighted([each.sro for each in good]), 1e6),
        phase_noise_deg=math.degrees(math.sqrt(float(np.mean([each.phase_noise_rad**2 for each in good])))),
        phase_drift_1ms_deg=_degrees(drift.at(1e-3)),
        phase_drift_10ms_deg=_degrees(drift.at(1e-2)),
        phase_held_s=drift.first_beyond(HELD_RAD),
        phase_coherence_time_s=drift.first_beyond(DECOHERED_RAD),
        mean_delay_s=(profile.origin_samples + profile.mean_delay_samples) / rate if is_triggered else None,
        rms_delay_spread_s=interval(spread, 1 / rate),
        delay_spread_is_resolved=profile.is_resolved,
        coherence_bandwidth_hz=profile.coherence_bandwidth * rate,
        paths=_relative(paths, rate),
        rice_k_db=None if k is None else interval(k),
        coherence_time_s=moved.coherence_time_s,
        rms_doppler_hz=moved.rms_doppler_hz,
        moves=is_moving,
        start_jitter_s=heard.starts,
    )
    frequencies = probe.bins / probe.period_samples
    turns = np.exp(2j * np.pi * np.outer(profile.turns_samples, frequencies))
    is_good = [each.spoilt is None for each in heard.soundings]
    everything = np.full((len(heard.soundings), probe.bins.size), np.nan, dtype=np.complex128)
    everything[is_good] = responses * turns
    parts = np.array([each.steps for each in good])
    all_steps = np.full((len(heard.soundings), *parts.shape[1:]), np.nan, dtype=np.complex128)
    all_steps[is_good] = parts * turns[:, None]
    num_periods = good[0].track.size // parts.shape[1]
    return Detail(
        link=link,
        is_triggered=is_triggered,
        profile=profile,
        response=responses[0],
        responses=everything,
        steps=all_steps,
        drift=drift,
        motion=moved,
        step_s=num_periods * probe.period_samples / rate,
        noise_share=float(variances.mean() / np.mean(np.abs(responses) ** 2)),
        paths=paths,
        gains_db=10 * np.log10(gains),
        cfos_hz=cfos,
        times_s=times,
    )


def _degrees(radians: Value | None) -> Interval | None:
    return None if radians is None else interval(radians, math.degrees(1))


def _relative(paths: Sequence[PropagationPath], rate: float) -> tuple[PathFound, ...]:
    if not paths:
        return ()
    first = paths[0]
    return tuple(
        PathFound(
            delay_s=(path.delay_samples - first.delay_samples) / rate,
            power_db=20 * math.log10(abs(path.gain) / abs(first.gain)),
        )
        for path in paths
    )


def mean_in_db(good: Sequence[Sounding]) -> Value:
    """Mean power gain; with several captures its interval is of the mean over fading, with one of that capture."""
    return _mean_of_decibels([each.gain_db for each in good])


def _mean_snr(good: Sequence[Sounding]) -> Value:
    """The same of the SNR; infinite where there is no noise."""
    return _mean_of_decibels([Value(value=each.snr_db, half_width=each.snr_half_width_db) for each in good])


def _mean_of_decibels(values: Sequence[Value]) -> Value:
    if len(values) == 1 or not all(math.isfinite(each.value) for each in values):
        return values[0]
    powers = np.array([10 ** (each.value / 10) for each in values])
    mean = float(powers.mean())
    deviation = float(powers.std(ddof=1)) / math.sqrt(powers.size) / mean
    half_width = NORMAL_95 * deviation * 10 / math.log(10)
    measured = math.sqrt(float(np.mean([each.half_width**2 for each in values])) / powers.size)
    return Value(value=10 * math.log10(mean), half_width=max(half_width, measured))


def weighted(values: Sequence[Value]) -> Value:
    """Mean by inverse variance; its interval allows for what the values differ by more than theirs say."""
    known = [each for each in values if math.isfinite(each.half_width) and each.half_width > 0]
    if not known:
        return Value(value=float(np.mean([each.value for each in values])), half_width=0.0)
    weights = np.array([each.half_width**-2.0 for each in known])
    points = np.array([each.value for each in known])
    mean = float(np.sum(weights * points) / weights.sum())
    half_width = float(weights.sum() ** -0.5)
    if len(known) > 1:
        excess = float(np.sum(weights * (points - mean) ** 2)) * NORMAL_95**2 / (len(known) - 1)
        half_width *= math.sqrt(max(1.0, excess))
    return Value(value=mean, half_width=half_width)
