"""What a claim may count on: noise on the payload's own bins, below a floor, and how strong a device can arrive."""

import math

import numpy as np
import pytest

from radio.air.channel import draw_gain_error
from radio.air.config import AirConfig
from radio.air.fading import MovingFading, profile_of
from radio.config import FrameConfig, RadioConfig
from radio.link.bounds import ChannelBounds, Sounded, largest_amplitude, largest_variance, least_variance, tail
from radio.link.meters import RECENT_CAPTURES, InBandMeter
from radio.link.simulated_rig import SimulatedRig
from radio.waveform.modulation import InBandNoise, in_band_noise
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.planning.terms import terms_of

FAILURE = 1e-6
STILL = ChannelBounds(
    noise_power=math.inf, doppler_rms_hz=0.0, moving_power=0.0, stretch=1.0, dispersed_power=0.0, gain_drift_db=0.0,
    cfo_max_hz=0.0,
)  # fmt: skip


def credited_over_true(disturb, *, floor=math.inf, num_rounds=12, **air):
    """Largest N0' that was credited over the air's own, in rounds on an air to which something is added."""
    rig = SimulatedRig(AirConfig(**air), num_devices=3)
    hear, generator = rig.air.capture, np.random.default_rng(1)

    def capture(station, num_samples):
        heard = hear(station, num_samples)
        return (heard + disturb(num_samples, generator, math.sqrt(rig.air.truth().noise_power))).astype(np.complex64)

    rig.air.capture = capture
    bounds = ChannelBounds(**{name: getattr(STILL, name) for name in STILL.__slots__} | {"noise_power": floor})
    ratios = []
    for round_index in range(num_rounds):
        block = rig.sound(round_index)
        channels = block.channels()
        alignment = channels.align(clip=1.0, noise_std=0.0)
        credit = channels.credit(alignment, bounds, FAILURE, num_queries=1)
        ratios.append(credit.noise_variance / (rig.air.truth().noise_power / (2 * rig.frame.samples_per_symbol)))
        plan = rig.make_plan(channels, clip=1.0, num_queries=1, round_index=round_index)
        for device in plan.active:
            rig.devices[device].send_values(np.ones(1), plan, channels.csi[device])
        channels.receive(plan)
    return max(ratios)


def nothing(num_samples, generator, std):
    return np.zeros(num_samples)


def tone(num_samples, generator, std):
    """A hundred times the noise's amplitude, at a quarter of the band."""
    return 100 * std * np.exp(2j * np.pi * (0.25 * np.arange(num_samples) + generator.random()))


def neighbour(num_samples, generator, std):
    """Noise 20 dB above the receiver's everywhere but on the payload's bins."""
    draws = generator.standard_normal((2, 4 * num_samples))
    spectrum = np.fft.fft((draws[0] + 1j * draws[1]) * 10 * std / math.sqrt(2))
    spectrum[np.abs(np.fft.fftfreq(spectrum.size)) < 12 / 256] = 0
    return np.fft.ifft(spectrum)[:num_samples]


def jammer(num_samples, generator, std):
    """Noise 20 dB above the receiver's, everywhere."""
    return 10 * std * (generator.standard_normal((num_samples, 2)) @ np.array([1, 1j])) / math.sqrt(2)


@pytest.mark.parametrize("disturb", [nothing, tone, neighbour])
def test_what_is_outside_the_payloads_bins_is_not_credited(disturb):
    assert 0.5 < credited_over_true(disturb) <= 1.0


def test_a_jammer_in_band_raises_the_credit_to_the_floor_at_most():
    floor = AirConfig().noise_power(RadioConfig().max_power)
    assert credited_over_true(jammer) > 10
    assert credited_over_true(jammer, floor=floor) == pytest.approx(1.0, rel=1e-9)


def test_an_offset_of_the_receiver_is_no_noise():
    assert credited_over_true(lambda num_samples, generator, std: 30 * std) <= 1.0


def test_silent_spans_show_white_noise_as_it_is():
    generator, frame = np.random.default_rng(1), FrameConfig()
    for length in (48, 240, 512):
        spans = generator.standard_normal((4000, length, 2)) @ np.array([1, 1j]) * math.sqrt(0.5)
        heard = [in_band_noise(span.astype(np.complex64), frame) for span in spans]
        num = sum(each.num_dimensions for each in heard)
        assert sum(each.energy for each in heard) / num == pytest.approx(1.0, abs=5 / math.sqrt(num))
        # independent dimensions: the energy's variance is their number
        spread = np.var([each.energy for each in heard]) / heard[0].num_dimensions
        assert spread == pytest.approx(1.0, abs=5 * math.sqrt(8 / 4000))


def test_noise_that_came_or_went_is_not_credited():
    weak, strong = InBandNoise(12.0, 12), InBandNoise(1200.0, 12)
    came, went = InBandMeter(), InBandMeter()
    for first, then, meter in ((weak, strong, came), (strong, weak, went)):
        for each in (first, then):
            for _ in range(RECENT_CAPTURES):
                meter.update(each)
    assert came.least(FAILURE) < 51  # the mean over the run; the floor is the cap
    assert went.least(FAILURE) < 1 < 49 < went.largest(FAILURE)
    assert InBandMeter().least(FAILURE) == 0.0
    assert InBandMeter().largest(FAILURE) == math.inf
    before = went.least(FAILURE)
    went.update(InBandNoise(math.nan, 12))
    assert went.least(FAILURE) == before


def test_bounds_on_estimates_fail_as_rarely_as_asked():
    generator = np.random.default_rng(1)
    failure, num = 0.01, 40_000
    errors = generator.standard_normal((num, 2)) @ np.array([1, 1j]) * math.sqrt(0.02 / 2)
    bounds = [
        largest_amplitude(Sounded(amplitude=float(heard), variance=0.02, elapsed_s=0.0), STILL, failure)
        for heard in np.abs(1 + errors)
    ]  # on a channel of 1; at least 0.8 of the failures that are allowed are used, within 4 standard deviations
    assert 0.8 * failure < np.mean(np.array(bounds) < 1) <= failure + 4 * math.sqrt(failure / num)
    assert largest_amplitude(Sounded(amplitude=1.0, variance=0.02, elapsed_s=0.0), STILL, 1.0) == 1.0
    estimates = generator.gamma(20, 1 / 20, 5000)
    for wrong in (
        np.array([least_variance(float(each), 20, failure) for each in estimates]) > 1,
        np.array([largest_variance(float(each), 20, failure) for each in estimates]) < 1,
    ):
        assert abs(np.mean(wrong) - failure) < 6 * math.sqrt(failure / 5000)
    assert least_variance(2.0, math.inf, 0.01) == largest_variance(2.0, math.inf, 0.01) == 2.0


@pytest.mark.parametrize("elapsed", [0.01, 0.2, 5.0])
def test_moving_gains_change_by_no_more_than_their_bound(elapsed):
    """16 sinusoids with random phases, over the elapsed time in periods of the largest Doppler shift."""
    failure, num = 0.01, 4000
    moving = MovingFading.draw(profile_of(AirConfig(), 1e6), num_devices=num, seed=1, doppler_per_sample=1.0)
    gains = np.array([moving.gains(device, np.array([3.0, 3.0 + elapsed]))[:, 0] for device in range(num)])
    bounds = ChannelBounds(**{name: getattr(STILL, name) for name in STILL.__slots__} | {
        "doppler_rms_hz": 1 / math.sqrt(2), "moving_power": 1.0,
    })  # fmt: skip
    changed = np.abs(gains[:, 1] - gains[:, 0]) ** 2
    assert np.mean(changed) <= bounds.change_power(elapsed) * (1 + 6 / math.sqrt(num))
    assert np.mean(changed > tail(failure) * bounds.change_power(elapsed)) <= failure


def test_a_carrier_offset_that_hides_the_pilots_leaves_no_bound():
    lost = Sounded(amplitude=1.0, variance=0.0, elapsed_s=0.0, cfo_hz=500.0, spacing_s=1e-3)
    assert largest_amplitude(lost, STILL, FAILURE) == math.inf


def arrived_over_charged(*overrides, num_rounds=40):
    """Of every round: the strongest device's true amplitude over what the margin allows, and what is charged over true.

    The true amplitude is the root mean square over the payload's bins, at the payload's begin or end.
    """
    config = resolve(load(None, None, ["ground_truth=false", "schedule.name=static", *overrides]))
    terms = terms_of(config)
    assert terms.bounds is not None
    rig = SimulatedRig(
        config.rig.air,
        num_devices=5,
        frame=config.rig.frame,
        tuning=config.rig.radio,
        rule=config.experiment.scheme.alignment,
    )
    cycles = np.r_[-8:0, 1:9] / rig.frame.samples_per_symbol

    def amplitudes():
        truth = rig.air.truth()
        turns = np.exp(-2j * np.pi * np.multiply.outer(truth.tap_delays_samples, cycles))
        return np.sqrt(np.mean(np.abs(truth.tap_gains @ turns) ** 2, axis=1))

    exceeded, charged = [], []
    true_noise = rig.air.truth().noise_power / (2 * rig.frame.samples_per_symbol)
    for round_index in range(num_rounds):
        block = rig.sound(round_index)
        channels = block.channels()
        alignment = channels.align(clip=1.0, noise_std=0.0)
        credit = channels.credit(alignment, terms.bounds, terms.estimate_failure, num_queries=1)
        plan = rig.make_plan(channels, clip=1.0, num_queries=1, round_index=round_index)
        for device in plan.active:
            rig.devices[device].send_values(np.ones(1), plan, channels.csi[device])
        before = amplitudes()
        channels.receive(plan)
        largest = np.maximum(before, amplitudes())
        drift = [
            draw_gain_error(config.rig.air, seed=1, round_index=round_index, attempt=1, device=device, transmission=1)
            for device in plan.active
        ]
        true_margin = max(
            largest[device] * gain * heard / (heard**2 + plan.ridge)
            for device, gain in zip(plan.active, drift, strict=True)
            for heard in [abs(block.soundings[device].gain)]
        )
        exceeded.append(true_margin / credit.margin)
        charged.append(credit.margin**2 / credit.noise_variance / (true_margin**2 / true_noise))
    return np.array(exceeded), np.array(charged)


@pytest.mark.parametrize(
    "overrides",
    [
        ["air.doppler_hz=2", "air.snr_db=40"],
        ["air.doppler_hz=20", "air.snr_db=40"],
        ["air.doppler_hz=200", "air.snr_db=40"],
        ["air.doppler_hz=20", "air.fading=rice", "scheme.alignment.name=truncated"],
        ["air.doppler_hz=5", "air.tdl=A", "air.delay_spread_s=1e-6"],
        ["air.tdl=A", "air.delay_spread_s=3e-6"],
        ["air.tdl=D", "air.delay_spread_s=3e-6"],
        ["air.snr_db=40", "air.transmitter.gain_error_db=2"],
        ["air.snr_db=40", "air.delay_max_samples=4", "air.start_jitter_samples=3"],
        ["air.snr_db=5", "air.doppler_hz=2", "scheme.alignment.name=regularised"],
        ["air.snr_db=40", "air.cfo_max_hz=100", "radio.residual_cfo_max_hz=100", "air.block_correlation=0.9"],
    ],
)
def test_no_device_arrives_stronger_than_what_is_charged(overrides):
    exceeded, _ = arrived_over_charged(*overrides)
    assert np.count_nonzero(exceeded > 1) == 0


@pytest.mark.parametrize("overrides", [[], ["air.fading=rice"], ["air.snr_db=10"], ["air.fading=none"]])
def test_block_fading_is_charged_twice_what_it_leaks_at_most(overrides):
    _, charged = arrived_over_charged(*overrides)
    assert charged.min() >= 1
    assert 1 <= charged.mean() < 2
