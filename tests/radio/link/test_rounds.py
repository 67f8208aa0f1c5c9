"""Whole rounds over the links: exact without noise, within the promised error with it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radio.air.air import Air
from radio.air.config import AirConfig
from radio.backends.loopback import LoopbackRadio
from radio.config import Capabilities, FrameConfig, RadioConfig
from radio.errors import RadioConfigError, SchemeUnsupportedError, SignalError
from radio.link.access_point import AccessPointLink
from radio.link.device import DeviceLink
from radio.records import Csi, Plan
from radio.schemes.digital import quantiser_step
from radio.schemes.registry import scheme

NOISELESS = AirConfig(snr_db=math.inf, cfo_max_hz=0.0)
CLIP = 100.0


def values_of(seed: int, num_devices: int = 5, num_queries: int = 1) -> np.ndarray:
    draws = np.random.default_rng(seed).normal(0, CLIP / 3, (num_devices, num_queries))
    return np.clip(draws, -CLIP, CLIP)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("num_queries", [1, 4])
def test_a_noiseless_coherent_round_returns_the_mean_to_a_millionth(bench, seed, num_queries):
    values = values_of(seed, num_queries=num_queries)
    got = bench(NOISELESS, seed=seed).round(values, clip=CLIP)
    assert got.rejected is None
    assert np.abs(got.values - values.mean(axis=0)).max() <= 1e-6 * np.abs(values).max()


@pytest.mark.parametrize("seed", range(4))
def test_carrier_offsets_cost_a_noiseless_round_nothing(bench, seed):
    values = values_of(seed, num_queries=3)
    got = bench(AirConfig(snr_db=math.inf), seed=seed).round(values, clip=CLIP)
    assert np.abs(got.values - values.mean(axis=0)).max() <= 1e-5 * np.abs(values).max()


@pytest.mark.parametrize("samples_per_symbol", [32, 64, 1024])
def test_other_symbol_lengths_are_exact_too(bench, samples_per_symbol):
    values = values_of(1)
    frame = FrameConfig(samples_per_symbol=samples_per_symbol)
    got = bench(NOISELESS, frame=frame).round(values, clip=CLIP)
    assert np.abs(got.values - values.mean(axis=0)).max() <= 1e-6 * np.abs(values).max()


def test_ideal_is_the_exact_mean_whatever_the_rig(bench):
    values = values_of(1)
    rig = bench(AirConfig(), "ideal")
    got = rig.round(values, clip=CLIP)
    assert not rig.access_point.block(0, 1).needs_sounding
    assert np.abs(got.values - values.mean(axis=0)).max() <= 1e-6 * np.abs(values).max()


@pytest.mark.parametrize("num_queries", [1, 10])
def test_digital_is_exact_to_its_quantiser_step(bench, num_queries):
    rig = bench(AirConfig(), "digital")
    for round_index in range(5):
        values = values_of(round_index, num_queries=num_queries)
        got = rig.round(values, clip=CLIP, round_index=round_index)
        assert got.rejected is None
        assert np.abs(got.values - values.mean(axis=0)).max() <= quantiser_step(CLIP) / 2 * (1 + 1e-9)


def test_digital_names_the_device_whose_link_fails(bench):
    got = bench(AirConfig(snr_db=-40.0), "digital").round(values_of(1), clip=CLIP)
    assert "device 0" in got.rejected


def test_the_default_rig_keeps_its_nmse_promise(bench):
    rig, warm_up, rounds = bench(AirConfig()), 20, 200
    errors, powers = [], []
    for round_index in range(warm_up + rounds):
        values = values_of(round_index)
        played = rig.play(values, clip=CLIP, round_index=round_index)
        got = played.reception.estimate
        assert got.rejected is None
        errors.append(abs(got.values[0] - values.mean()) ** 2)
        powers.append(values.mean() ** 2)
    error, power = np.array(errors[warm_up:]), np.array(powers[warm_up:])
    assert 10 * np.log10(np.median(error / power)) <= -30
    assert 10 * np.log10(error.sum() / power.sum()) <= -25
    truth = rig.air.truth()
    estimated = np.array([played.soundings[device].cfo_hz for device in range(5)])
    assert np.abs(estimated - truth.cfo_hz).max() < 2.0
    num_guard_samples = (5 * 48 + 240) * (warm_up + rounds)
    assert rig.access_point.noise_power == pytest.approx(truth.noise_power, rel=5 / math.sqrt(num_guard_samples))


def test_the_stated_error_variance_is_the_error_of_known_channels(bench):
    rig, rounds = bench(AirConfig(level="symbol", csi="genie", snr_db=10.0)), 2000
    standardised = []
    for round_index in range(rounds):
        values = values_of(round_index)
        got = rig.round(values, clip=CLIP, round_index=round_index)
        standardised.append((got.values[0] - values.mean()) ** 2 / got.error_variance[0])
    assert np.mean(standardised) == pytest.approx(1, rel=5 * math.sqrt(2 / rounds))


def test_the_order_in_which_devices_start_changes_no_bit(bench):
    values = values_of(3)
    forwards, backwards = (bench(AirConfig()).round(values, clip=CLIP, backwards=flag) for flag in (False, True))
    assert forwards.values.tobytes() == backwards.values.tobytes()


def test_a_run_repeats_bit_for_bit(bench):
    first, second = (
        [rig.round(values_of(t), clip=CLIP, round_index=t).values.tobytes() for t in range(3)]
        for rig in (bench(AirConfig()), bench(AirConfig()))
    )
    assert first == second


@given(gains_seed=st.integers(0, 1000), num_devices=st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_no_round_ever_asks_for_more_than_full_power(bench, gains_seed, num_devices):
    extreme = np.full((num_devices, 1), CLIP) * np.where(np.arange(num_devices) % 2, -1, 1)[:, None]
    got = bench(AirConfig(), num_devices=num_devices, seed=gains_seed).round(extreme, clip=CLIP)
    assert got.rejected is None or "turned" in got.rejected  # a faded device's carrier offset, not yet known


def test_a_saturated_receiver_rejects_the_round(bench):
    got = bench(AirConfig(path_loss_db=-20.0, fading="none", snr_db=math.inf)).round(np.full((5, 1), CLIP), clip=CLIP)
    assert "saturated" in got.rejected


def test_a_device_that_kept_silent_makes_the_gain_vanish_and_the_round_silent(bench):
    rig = bench(NOISELESS, num_devices=2)
    block = rig.access_point.block(0, 0)
    rig.devices[0].send_pilot()
    assert block.sound(0).is_heard
    assert not block.sound(1).is_heard
    channels = block.channels()
    gain = channels.align(clip=CLIP, noise_std=0.0).gain
    assert gain == 0
    plan = Plan(gain=gain, artificial_noise_std=0.0, clip=CLIP, num_queries=1, active=(0, 1))
    for index in (0, 1):
        rig.devices[index].send_values(np.ones(1), plan, channels.csi[index])
    assert "silent" in channels.receive(plan).estimate.rejected


def test_a_round_takes_its_air_time_from_soundings_wait_and_payload(bench):
    rig, frame = bench(AirConfig()), FrameConfig()
    reception = rig.play(values_of(1), clip=CLIP).reception
    payload = frame.num_samples(6 + 1 + 1 + 6)  # pilots of five devices and of nobody, gap, value, pilots
    samples = 5 * frame.num_samples(3) + frame.sounding_to_payload_samples + payload
    assert reception.airtime_s == pytest.approx(samples / 1e6)
    assert reception.capture.shape == (payload,)


def test_noise_is_unknown_before_the_first_capture(bench):
    access_point = bench(AirConfig()).access_point
    with pytest.raises(SignalError, match="measure_noise"):
        _ = access_point.noise_power
    assert access_point.block(0, 1).measure_noise() == access_point.noise_power > 0


@pytest.mark.parametrize(
    ("values", "device", "message"),
    [
        (np.array([1.2]), 0, "clip it"),
        (np.array([math.nan]), 0, "clip it"),
        (np.array([0.1, 0.1]), 0, "allowed"),
        (np.array([0.1]), 1, "active"),
    ],
)
def test_values_that_must_not_go_on_the_air_are_refused(bench, values, device, message):
    plan = Plan(gain=1e-3, artificial_noise_std=0.0, clip=1.0, num_queries=1, active=(0,))
    with pytest.raises(SignalError, match=message):
        bench(AirConfig()).devices[device].send_values(values, plan, Csi(gain=1.0))


def test_a_plan_that_asks_for_too_much_power_is_refused(bench):
    plan = Plan(gain=1.0, artificial_noise_std=0.0, clip=1.0, num_queries=1, active=(0,))
    with pytest.raises(SignalError, match="lower the alignment gain"):
        bench(AirConfig()).devices[0].send_values(np.ones(1), plan, Csi(gain=0.1))


def test_links_refuse_a_rig_that_lacks_what_the_scheme_needs():
    air = Air(AirConfig(), num_devices=1, seed=1, sample_rate_hz=1e6, tx_power=0.25)
    poor = Capabilities(trigger=True, streaming=True, shared_clock=False)
    for make in (
        lambda: DeviceLink(
            LoopbackRadio(air, 0, poor), RadioConfig(), FrameConfig(), scheme("coherent"), 0, num_devices=1
        ),
        lambda: AccessPointLink(LoopbackRadio(air, 1, poor), RadioConfig(), FrameConfig(), scheme("coherent"), 1),
    ):
        with pytest.raises(SchemeUnsupportedError, match="shared_clock"):
            make()


def test_a_genie_is_refused_on_the_sample_level():
    air = Air(AirConfig(), num_devices=1, seed=1, sample_rate_hz=1e6, tx_power=0.25)
    with pytest.raises(RadioConfigError, match="genie"):
        AccessPointLink(LoopbackRadio(air, 1), RadioConfig(), FrameConfig(), scheme("coherent"), 1, genie=air.truth)


def test_offsets_that_pilots_cannot_tell_apart_are_refused():
    air = Air(AirConfig(), num_devices=1, seed=1, sample_rate_hz=1e6, tx_power=0.25)
    for name, too_much_hz in (("coherent", 900.0), ("digital", 110.0)):
        tuning = RadioConfig(residual_cfo_max_hz=too_much_hz)
        with pytest.raises(RadioConfigError, match="residual_cfo_max_hz"):
            AccessPointLink(LoopbackRadio(air, 1), tuning, FrameConfig(), scheme(name), 1)
