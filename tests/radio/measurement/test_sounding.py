"""What captures of a probe say, against the simulated air's truth."""

import math

import numpy as np
import pytest

from benchmarks import measurement
from radio.air.air import Air
from radio.air.channel import Truth
from radio.air.config import AirConfig, TransmitterConfig
from radio.errors import SignalError
from radio.measurement.fading import motion, rice_k_db
from radio.measurement.probe import Probe, strongest
from radio.measurement.profile import delay_profile, find_paths
from radio.measurement.sounding import Sounding, sound

PROBE = strongest(256, 0.25)


def heard(
    config: AirConfig,
    *,
    num_blocks: int = 1,
    num_samples: int = measurement.LONG_SAMPLES,
    seed: int = 1,
    settle: int = 2,
) -> list[tuple[Sounding, Truth]]:
    """As the benchmark hears, with one probe."""
    return measurement.heard(
        config, PROBE, num_blocks=num_blocks, num_samples=num_samples, seed=seed, num_settling=settle
    )


def gain_db(truth: Truth) -> float:
    return measurement.true_gain_db(truth, PROBE)


@pytest.mark.parametrize("period", [32, 256, 4096])
def test_the_probe_is_flat_over_its_band_and_empty_elsewhere(period: int) -> None:
    probe = strongest(period, 1.0)
    samples = probe.samples()
    assert np.abs(samples).max() <= 1
    assert float(np.mean(np.abs(samples) ** 2)) == pytest.approx(probe.power, rel=1e-5)
    spectrum = np.fft.fft(samples.astype(np.complex128))
    np.testing.assert_allclose(spectrum[probe.bins], probe.spectrum, atol=1e-4 * np.abs(probe.spectrum[0]))
    assert np.ptp(np.abs(probe.spectrum)) < 1e-9
    others = np.setdiff1d(np.arange(period), probe.bins % period)
    assert np.abs(spectrum[others]).max() < 1e-4 * np.abs(probe.spectrum[0])
    assert 0 in others


@pytest.mark.parametrize(("period", "power"), [(100, 0.1), (16, 0.1), (8192, 0.1), (256, 0.0), (256, 1.0)])
def test_impossible_probes_are_refused(period: int, power: float) -> None:
    with pytest.raises(SignalError, match="allowed: "):
        Probe(period, power)


@pytest.mark.parametrize(
    "config",
    [
        AirConfig(snr_db=20, cfo_max_hz=1500),
        AirConfig(snr_db=20, tdl="C", delay_spread_s=2e-6),
        AirConfig(snr_db=20, transmitter=TransmitterConfig(ppm_max=25)),
        AirConfig(snr_db=0),
    ],
    ids=["offset", "paths", "clock", "weak"],
)
def test_gain_offsets_and_noise_are_the_air_s(config: AirConfig) -> None:
    for seed in range(1, 5):
        ((found, truth),) = heard(config, seed=seed)
        assert found.spoilt is None
        assert found.gain_db.value == pytest.approx(gain_db(truth), abs=0.2)
        assert found.cfo_hz.value == pytest.approx(truth.cfo_hz[0], abs=2.0)
        assert found.sro.value == pytest.approx(truth.sro[0], abs=max(2e-6, 2 * found.sro.half_width))
        assert found.noise_power == pytest.approx(truth.noise_power, rel=0.05)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """300 links of 4,096 samples: 95 ± 3.8 % within three standard deviations of a count."""
    inside = {"gain": 0, "cfo": 0, "sro": 0}
    num = 300
    for seed in range(num):
        ((found, truth),) = heard(AirConfig(snr_db=10), num_samples=4096, seed=seed)
        inside["gain"] += found.gain_db.low <= gain_db(truth) <= found.gain_db.high
        inside["cfo"] += found.cfo_hz.low <= truth.cfo_hz[0] <= found.cfo_hz.high
        inside["sro"] += found.sro.low <= truth.sro[0] <= found.sro.high
    assert all(0.90 <= count / num <= 0.99 for count in inside.values()), inside


def test_phase_noise_is_seen_and_receiver_noise_is_not_taken_for_it() -> None:
    ((steady, _),) = heard(AirConfig(snr_db=20))
    ((noisy, _),) = heard(AirConfig(snr_db=20, transmitter=TransmitterConfig(phase_noise_deg=3.0)))
    assert math.degrees(steady.phase_noise_rad) < 0.2
    assert 1.0 < math.degrees(noisy.phase_noise_rad) < 3.5


@pytest.mark.parametrize(
    ("config", "settle", "reason"),
    [
        (AirConfig(snr_db=-70, path_loss_db=90), 2, "too weak"),
        (AirConfig(fading="none", path_loss_db=-12, snr_db=20), 2, "saturated"),
        (AirConfig(fading="none", snr_db=20, start_jitter_samples=1 << 15), 0, "truncated"),
    ],
)
def test_what_spoils_a_capture_is_named(config: AirConfig, settle: int, reason: str) -> None:
    ((found, _),) = heard(config, settle=settle, seed=3)
    assert found.spoilt == reason


@pytest.mark.parametrize("kind", ["line", "burst"])
def test_interference_in_a_capture_is_named_where_it_matters(kind: str) -> None:
    """20 dB below the probe it spoils a capture; 40 dB below it is noise."""
    air = Air(AirConfig(snr_db=25, fading="none"), num_devices=1, seed=1, sample_rate_hz=1e6, tx_power=PROBE.power)
    air.transmit(0, PROBE.samples(), None)
    air.elapse(512)
    capture = air.capture(1, 8192)
    times = np.arange(8192)
    shape = np.exp(2j * np.pi * 0.1234 * times) if kind == "line" else 4 * (times // 512 == 5) * np.exp(0.5j * times**2)
    shape = shape / np.sqrt(np.mean(np.abs(shape) ** 2))
    for below_db, expected in ((10, "interfered"), (40, None)):
        power = 0.01 * PROBE.power * 10 ** (-below_db / 10)
        assert sound((capture + math.sqrt(power) * shape).astype(np.complex64), PROBE, 1e6).spoilt == expected


def test_neither_fading_nor_clocks_nor_phases_pass_for_interference() -> None:
    for config in (
        AirConfig(snr_db=math.inf, transmitter=TransmitterConfig(ppm_max=50.0)),
        AirConfig(snr_db=40, doppler_hz=100, tdl="C", delay_spread_s=1e-6),
        AirConfig(snr_db=30, transmitter=TransmitterConfig(phase_noise_deg=10.0)),
        AirConfig(snr_db=0),
    ):
        for seed in range(8):
            for num_samples in (measurement.LONG_SAMPLES, 1024):
                ((found, _),) = heard(config, seed=seed, num_samples=num_samples)
                assert found.spoilt != "interfered"


def test_a_receiver_that_gives_nothing_but_zeros_is_too_weak() -> None:
    probe = Probe()
    found = sound(np.zeros(8 * probe.period_samples, dtype=np.complex64), probe, 1e6)
    assert (found.spoilt, found.snr_db, found.gain_db.value) == ("too weak", -math.inf, -math.inf)


def test_a_short_capture_is_refused() -> None:
    with pytest.raises(SignalError, match="at least 4 periods of 256"):
        sound(np.zeros(1000, np.complex64), PROBE, measurement.RATE_HZ)


@pytest.mark.parametrize(("tdl", "spread_s"), [("A", 3e-6), ("C", 1e-6), ("E", 2e-6)])
def test_the_delay_spread_is_the_profile_s(tdl: str, spread_s: float) -> None:
    found = heard(AirConfig(tdl=tdl, delay_spread_s=spread_s, cfo_max_hz=5), num_blocks=150, num_samples=4096)  # type: ignore[arg-type]
    responses = np.array([each.response for each, _ in found])
    variances = np.array([each.response_variance for each, _ in found])
    profile = delay_profile(responses, variances, PROBE, is_triggered=True)
    mean, spread = measurement.true_delays(found)
    assert profile.is_resolved
    assert profile.rms_spread_samples.value == pytest.approx(spread, rel=0.1)
    arrival = mean + found[0][1].delays_samples[0]
    assert profile.origin_samples + profile.mean_delay_samples == pytest.approx(arrival, abs=0.1)


def test_a_single_path_has_an_upper_bound_for_its_spread() -> None:
    found = heard(AirConfig(), num_blocks=20, num_samples=4096)
    responses = np.array([each.response for each, _ in found])
    variances = np.array([each.response_variance for each, _ in found])
    for is_triggered in (True, False):
        profile = delay_profile(responses, variances, PROBE, is_triggered=is_triggered)
        assert not profile.is_resolved
        assert 0 < profile.rms_spread_samples.high <= 0.6


def test_delays_around_zero_are_neighbours() -> None:
    """A period's end is its beginning: half of these captures arrive just before it, half just behind."""
    frequencies = PROBE.bins / PROBE.period_samples
    delays = np.array([-0.01, 0.01, -0.02, 0.02])
    profile = delay_profile(
        np.exp(-2j * np.pi * np.outer(delays, frequencies)), np.full(4, 1e-9), PROBE, is_triggered=True
    )
    arrival = profile.origin_samples + profile.mean_delay_samples
    assert (arrival + 128) % 256 - 128 == pytest.approx(0, abs=0.05)
    assert profile.rms_spread_samples.high <= 0.6


def test_separate_paths_are_found_where_they_are() -> None:
    frequencies = PROBE.bins / PROBE.period_samples
    delays, gains = np.array([3.3, 6.9, 21.25]), np.array([0.1, 0.05j, -0.03])
    draw = np.random.default_rng(1)
    variance = 1e-7
    noise = draw.normal(size=(2, frequencies.size)) @ np.eye(frequencies.size) * math.sqrt(variance / 2)
    response = np.exp(-2j * np.pi * np.outer(frequencies, delays)) @ gains + noise[0] + 1j * noise[1]
    found = find_paths(response, variance, PROBE)
    assert [path.delay_samples for path in found] == pytest.approx(delays.tolist(), abs=0.02)
    assert np.abs(np.array([path.gain for path in found]) - gains).max() < 1e-3


@pytest.mark.parametrize("k_db", [3.0, 10.0])
def test_rice_k_is_the_air_s(k_db: float) -> None:
    found = heard(AirConfig(fading="rice", rice_k_db=k_db), num_blocks=600, num_samples=1024)
    responses = np.array([each.response for each, _ in found])
    k = rice_k_db(responses, np.array([each.response_variance for each, _ in found]))
    assert k is not None
    assert k.value == pytest.approx(k_db, abs=1.5)
    assert k.low < k_db < k.high
    assert rice_k_db(responses[:19], np.zeros(19)) is None


def test_motion_shows_the_doppler_spread() -> None:
    """Clarke's spectrum has an rms of f_d/√2; 16 sinusoids of one draw are near it."""
    ((found, _),) = heard(AirConfig(doppler_hz=300.0, snr_db=30, cfo_max_hz=0.0), num_samples=204_800)
    moved = motion(found.track, found.track_variance, PROBE.period_samples / measurement.RATE_HZ)
    assert moved.rms_doppler_hz == pytest.approx(300 / math.sqrt(2), rel=0.3)
    assert moved.coherence_time_s is not None
    assert moved.coherence_time_s < 3e-3
    ((still, _),) = heard(AirConfig(snr_db=30))
    at_rest = motion(still.track, still.track_variance, PROBE.period_samples / measurement.RATE_HZ)
    assert at_rest.coherence_time_s is None
    assert at_rest.rms_doppler_hz is None
