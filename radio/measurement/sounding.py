"""One capture of a repeated probe: carrier and clock offsets, response, noise, and what spoils a capture.

Model, over M periods of P samples: Y_m[k] = H[k] X[k] e^{j(2π f m P/fs + φ_m)} e^{+j2π k m sro} + Z_m[k], k the bin; Z
is white, φ_m the carriers' phase noise. What carriers do is common to all bins, what clocks do grows with the bin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from radio.arrays import Complexes, Reals
from radio.errors import SignalError
from radio.measurement.probe import Probe
from radio.samples import IQ

MIN_PERIODS = 4
SATURATED = 0.99
"""|I| or |Q| from which on a sample counts as at full scale."""
MAX_SATURATED_SHARE = 1e-3
MIN_AVERAGED_SNR_DB = 3.0
"""Of one bin of the averaged response; below it nothing is said of a link."""
MAX_STEPS = 64
"""Parts of a capture of which each has a response of its own."""
TRUNCATED_SHARE = 0.05
"""First or last periods with less than this share of the median power are not the probe's."""
NORMAL_95 = 1.959963984540054

INTERFERED_RATIO, INTERFERED_SHARE = 10.0, 0.01
"""A bin, or a pair of periods, with so many times the median one's noise is interfered with; a capture is where what
is beyond the median has such a share of the probe's power."""
Spoilt = Literal["saturated", "too weak", "interfered", "truncated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """An estimate, and half of its 95 % interval."""

    value: float
    half_width: float

    @property
    def low(self) -> float:
        """Lower end."""
        return self.value - self.half_width

    @property
    def high(self) -> float:
        """Upper end."""
        return self.value + self.half_width


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sounding:
    """What one capture says of a link."""

    spoilt: Spoilt | None
    """Why nothing else is to be trusted; None if all is."""
    response: Complexes
    """[bins], H at the middle of the capture; the phase is that of the sounding's own clock."""
    response_variance: float
    """Of each bin."""
    noise_power: float
    """N0 per sample, of what is not the probe: noise, interference, phase noise at this power."""
    snr_db: float
    """Received probe power over N0, per sample."""
    snr_half_width_db: float
    """Half of its 95 % interval."""
    gain_db: Value
    """Mean |H|² over the band."""
    cfo_hz: Value
    cfo_drift_hz_per_s: Value
    sro: Value
    """Relative error of the sender's sampling clock against the receiver's; above 0 it is fast."""
    phase_noise_rad: float
    """Rms of φ about a straight line, without what receiver noise adds."""
    track: Complexes
    """[M], each period's narrow-band gain without carrier and clock offsets; its mean square is the gain."""
    track_variance: float
    """Of each entry."""
    steps: Complexes
    """[S, bins], the response in S equal parts of the capture, carrier and clock offsets taken out."""
    saturated_share: float


def sound(capture: IQ, probe: Probe, sample_rate_hz: float, *, coarse_cfo_hz: float = 0.0) -> Sounding:
    """Analyse a capture that holds the repeated probe from its first sample to its last, at any place of the period.

    ``coarse_cfo_hz`` is what is known of the carrier; the rest may be ± half a cycle in a period. Raises SignalError
    for a capture that is too short.
    """
    size = probe.period_samples
    num_periods = capture.size // size
    if num_periods < MIN_PERIODS:
        raise SignalError(
            f"capture: got {capture.size} samples; allowed: at least {MIN_PERIODS} periods of {size}; capture longer"
        )
    samples = capture[: num_periods * size].astype(np.complex128)
    parts = np.abs(samples.view(np.float64))
    saturated_share = float(np.mean(parts >= SATURATED))
    samples *= np.exp(-2j * np.pi * coarse_cfo_hz / sample_rate_hz * np.arange(samples.size))
    residual_hz = _turn(samples, size) * sample_rate_hz / size
    samples *= np.exp(-2j * np.pi * residual_hz / sample_rate_hz * np.arange(samples.size))
    spectra = np.fft.fft(samples.reshape(num_periods, size))[:, probe.bins] / probe.spectrum
    period_s = size / sample_rate_hz
    times = (np.arange(num_periods, dtype=np.float64) - (num_periods - 1) / 2) * np.float64(period_s)
    sro = 0.0
    for _ in range(2):  # the clock's slope is seen best once the carrier's is out, and the other way round
        spectra, step = _without_clock(spectra, probe, num_periods)
        sro += step
        common = _common(spectra)
        slope, _, _ = _line(np.unwrap(np.angle(common)), times)
        spectra = spectra * np.exp(-1j * slope * times)[:, None]
        residual_hz += slope / (2 * np.pi)
    spectra, step = _fitted_clock(spectra, probe)
    sro += step
    common = _common(spectra)
    phases = np.unwrap(np.angle(common))
    response = spectra.mean(axis=0)
    noise = _noise_power(spectra, common, probe)
    response_variance = noise / (num_periods * probe.bins.size) * _variance_scale(probe)
    power = max(float(np.mean(np.abs(response) ** 2)) - response_variance, 0.0)
    snr = power * probe.power / noise if noise > 0 else math.inf if power > 0 else 0.0
    phase_variance = _phase_variance(snr, probe)
    curve, drift = _curve(phases, times)
    wander = max(float(np.mean(curve**2)) - phase_variance, 0.0)
    slope_variance = (phase_variance + wander) / float(np.sum(times**2))
    deviation = times**2 - np.mean(times**2)
    drift_variance = (phase_variance + wander) / float(np.sum(deviation**2)) if num_periods > MIN_PERIODS else math.inf
    sro_variance = _clock_variance(response, noise, probe, num_periods)
    averaged_db = 10 * math.log10(power / response_variance) if response_variance > 0 and power > 0 else -math.inf
    is_weak = averaged_db < MIN_AVERAGED_SNR_DB if response_variance > 0 else power <= 0
    strength = np.abs(common) ** 2
    is_truncated = min(strength[0], strength[-1]) < TRUNCATED_SHARE * float(np.median(strength))
    track = common * math.sqrt(power) / max(float(np.sqrt(np.mean(np.abs(common) ** 2))), 1e-300)
    return Sounding(
        spoilt=(
            "saturated"
            if saturated_share > MAX_SATURATED_SHARE
            else "too weak"
            if is_weak
            else "truncated"
            if is_truncated
            else "interfered"
            if _is_interfered(spectra, common, power)
            else None
        ),
        response=response,
        response_variance=response_variance,
        noise_power=noise,
        snr_db=10 * math.log10(snr) if snr > 0 else -math.inf,
        snr_half_width_db=_snr_half_width_db(_in_db(power, response_variance, probe.bins.size), num_periods, probe),
        gain_db=_in_db(power, response_variance, probe.bins.size),
        cfo_hz=Value(value=coarse_cfo_hz + residual_hz, half_width=NORMAL_95 * math.sqrt(slope_variance) / (2 * np.pi)),
        cfo_drift_hz_per_s=Value(
            value=2 * drift / (2 * np.pi), half_width=NORMAL_95 * 2 * math.sqrt(drift_variance) / (2 * np.pi)
        ),
        sro=Value(value=-sro / size, half_width=NORMAL_95 * math.sqrt(sro_variance) / size),
        phase_noise_rad=math.sqrt(wander),
        track=track,
        track_variance=power * 2 * phase_variance,
        steps=_steps(spectra),
        saturated_share=saturated_share,
    )


def _turn(samples: Complexes, size: int) -> float:
    """Cycles from one period to the next, ± 1/2."""
    return float(np.angle(np.vdot(samples[:-size], samples[size:]))) / (2 * np.pi)


def _steps(spectra: Complexes) -> Complexes:
    """[S, bins], means over equally many periods each; what is over at the end is left out."""
    num_steps = min(MAX_STEPS, max(1, len(spectra) // 2))
    length = len(spectra) // num_steps
    found: Complexes = spectra[: num_steps * length].reshape(num_steps, length, -1).mean(axis=1)
    return found


def _common(spectra: Complexes) -> Complexes:
    """[M], each period's gain along the mean response: what all bins share."""
    mean = spectra.mean(axis=0)
    energy = float(np.sum(np.abs(mean) ** 2))
    found: Complexes = spectra @ mean.conj() / max(energy, 1e-300)
    return found


def _without_clock(spectra: Complexes, probe: Probe, num_periods: int) -> tuple[Complexes, float]:
    """Take out how much later each period arrives than the one before; also returns that, in samples of one period."""
    half = num_periods // 2
    first, second = spectra[:half].mean(axis=0), spectra[-half:].mean(axis=0)
    turn = first.conj() * second
    frequencies = probe.bins / probe.period_samples
    # the slope of the turn's phase over frequency: from neighbours, so that no phase has to be unwrapped
    width = max(1, probe.bins.size // 4)
    near = turn[width:] * turn[:-width].conj()
    gaps = frequencies[width:] - frequencies[:-width]
    regular = np.isclose(gaps, gaps[0])  # not over the bin that is left out
    angle = float(np.angle(np.sum(near[regular])))
    later = -angle / (2 * np.pi * gaps[0])  # samples between the middles of both halves
    per_period = later / (num_periods - half)
    index = np.arange(num_periods) - (num_periods - 1) / 2
    return spectra * np.exp(2j * np.pi * np.outer(index * per_period, frequencies)), per_period


def _fitted_clock(spectra: Complexes, probe: Probe) -> tuple[Complexes, float]:
    """The same by least squares, of what is nearly out already."""
    num_periods = len(spectra)
    index = np.arange(num_periods) - (num_periods - 1) / 2
    frequencies = probe.bins / probe.period_samples
    mean = spectra.mean(axis=0)
    steady = spectra * np.exp(-1j * np.angle(_common(spectra)))[:, None]
    turned = float(np.sum(index[:, None] * frequencies * (mean.conj() * steady).imag))
    weight = float(np.sum(index**2) * np.sum(frequencies**2 * np.abs(mean) ** 2))
    per_period = -turned / (2 * np.pi * weight) if weight > 0 else 0.0
    return spectra * np.exp(2j * np.pi * np.outer(index * per_period, frequencies)), per_period


def _clock_variance(response: Complexes, noise_power: float, probe: Probe, num_periods: int) -> float:
    """Of the least-squares fit, in samples² of one period: the Cramér-Rao bound."""
    index = np.arange(num_periods) - (num_periods - 1) / 2
    frequencies = probe.bins / probe.period_samples
    per_bin = noise_power * probe.period_samples / float(np.mean(np.abs(probe.spectrum) ** 2))
    known = float(np.sum(index**2) * np.sum(frequencies**2 * np.abs(response) ** 2))
    return per_bin / (2 * (2 * np.pi) ** 2 * known) if known > 0 else math.inf


def _line(values: Reals, times: Reals) -> tuple[float, float, Reals]:
    """Slope, mean and what is left, of centred times."""
    mean = float(values.mean())
    slope = float(np.sum(times * (values - mean)) / np.sum(times**2))
    return slope, mean, values - mean - slope * times


def _curve(phases: Reals, times: Reals) -> tuple[Reals, float]:
    """What is left of a straight line, and the coefficient of times² in it."""
    _, _, left = _line(phases, times)
    bow = times**2 - np.mean(times**2)
    return left, float(np.sum(bow * left) / np.sum(bow**2))


def _noise_power(spectra: Complexes, common: Complexes, probe: Probe) -> float:
    """N0 per sample from what differs between neighbouring periods, without what carriers turned: gains that move
    over many periods are no noise."""
    steady = spectra * np.exp(-1j * np.angle(common))[:, None]
    left = np.diff(steady, axis=0)
    # of each bin one real degree of freedom in M·bins went to each period's phase: half a complex one in `bins`
    lost = 2 * (1 - 0.5 / probe.bins.size)
    per_bin = float(np.mean(np.abs(left) ** 2 * np.abs(probe.spectrum) ** 2)) / lost
    return per_bin / probe.period_samples


def _is_interfered(spectra: Complexes, common: Complexes, power: float) -> bool:
    """Whether noise is far stronger in some bins, or at some times, than in the others.

    Noise is what changes from period to period and from bin to bin: channels that move do so smoothly over bins.
    """
    steady = spectra * np.exp(-1j * np.angle(common))[:, None]
    squares = np.abs(np.diff(np.diff(steady, axis=0), axis=1)) ** 2 / 4
    for each in (squares.mean(axis=0), squares.mean(axis=1)):
        middle = float(np.median(each))
        loud = each > INTERFERED_RATIO * middle
        if float(np.sum(each[loud] - middle)) / each.size > INTERFERED_SHARE * power:
            return True
    return False


def _variance_scale(probe: Probe) -> float:
    """Variance of one bin of H, times bins, for N0 = 1 in one period."""
    return probe.period_samples * probe.bins.size / float(np.mean(np.abs(probe.spectrum) ** 2))


def _phase_variance(snr: float, probe: Probe) -> float:
    """Of one period's common phase: 1/(2·P·snr), as of any known signal of P samples."""
    return 1 / (2 * probe.period_samples * snr) if snr > 0 else math.pi**2 / 3


def _snr_half_width_db(gain_db: Value, num_periods: int, probe: Probe) -> float:
    """Of differences between neighbouring periods, each period being in two, and of the gain."""
    of_noise = math.sqrt(1.5 / ((num_periods - 1) * probe.bins.size))
    return math.hypot(NORMAL_95 * of_noise * 10 / math.log(10), gain_db.half_width)


def _in_db(power: float, variance: float, num_bins: int) -> Value:
    """Mean |H|² in dB; its variance is 2·|H|²·σ²/bins + σ⁴/bins."""
    if power <= 0:
        return Value(value=-math.inf, half_width=math.inf)
    deviation = math.sqrt((2 * power * variance + variance**2) / num_bins) / power
    return Value(value=10 * math.log10(power), half_width=NORMAL_95 * deviation * 10 / math.log(10))
