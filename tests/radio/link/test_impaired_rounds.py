"""Whole rounds on the rigs that stock hardware makes: free-running, faded, late, out of turn."""

import math

import msgspec
import numpy as np
import pytest

from radio.air.config import AirConfig, check_compatible
from radio.config import FrameConfig, RadioConfig
from radio.errors import RadioConfigError, SignalError
from radio.link.simulated_rig import FREE_RUNNING, SimulatedRig
from radio.link.symbol_level import play_rounds
from radio.samples import check_capture
from radio.schemes.alignment import regularised_gain
from radio.schemes.alignment_rule import AlignmentRule

FREE_FRAME = FrameConfig(start_uncertainty_samples=10_000, sync_samples=256)
TRUNCATED = AlignmentRule(name="truncated")


def pluto(name: str, imbalance_db: float = 0.0, num_devices: int = 5, **changes: object) -> SimulatedRig:
    air = AirConfig.pluto_indoor()
    transmitter = msgspec.structs.replace(air.transmitter, gain_error_db=imbalance_db)
    return SimulatedRig(
        msgspec.structs.replace(air, transmitter=transmitter, **changes), name, num_devices=num_devices,
        frame=FREE_FRAME, tuning=RadioConfig(max_power_dbfs=-12.0, residual_gain_max_db=imbalance_db),
        rule=TRUNCATED, capabilities=FREE_RUNNING,
    )  # fmt: skip


def values_of(seed: int, num_devices: int = 5, num_queries: int = 1) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).normal(0, 1 / 3, (num_devices, num_queries)), -1, 1)


def scores(rig: SimulatedRig, rounds: int, num_queries: int = 1) -> tuple[float, float, int]:
    """Pooled NMSE in dB, variance of the standardised errors, rejected rounds."""
    error, power, standardised, rejected = 0.0, 0.0, [], 0
    for t in range(rounds):
        values = values_of(t, len(rig.devices), num_queries)
        played = rig.play(values, round_index=t)
        got = played.reception.estimate
        if got.rejected is not None:
            rejected += 1
            continue
        errors = got.values - played.reference
        error, power = error + np.sum(errors**2), power + np.sum(played.reference**2)
        standardised += (errors**2 / got.error_variance).tolist()
    return 10 * math.log10(error / power), float(np.mean(standardised)), rejected


def test_energy_on_free_running_radios_keeps_its_promise():
    nmse_db, calibration, rejected = scores(pluto("energy", 0.125), 200)
    assert nmse_db <= -28
    assert calibration == pytest.approx(1, abs=5 * math.sqrt(2 / 200))
    assert rejected == 0


def test_energy_with_a_large_imbalance_keeps_its_promise():
    assert scores(pluto("energy", 0.75), 200)[0] <= -18


def test_queries_share_a_period():
    nmse_db, _, rejected = scores(pluto("energy"), 30, num_queries=8)
    assert nmse_db <= -18  # an eighth of the tones: 9 dB more of what random phases cost
    assert rejected == 0


@pytest.mark.parametrize("name", ["coherent", "sign"])
def test_coherent_schemes_are_refused_where_starts_are_uncertain(name):
    with pytest.raises(RadioConfigError, match="start_uncertainty_samples"):
        SimulatedRig(AirConfig(), name, frame=FREE_FRAME)


def test_a_late_slot_is_found_and_decoded():
    rig = pluto("digital")
    assert scores(rig, 30)[0] < -80


def test_fsk_votes_need_neither_sounding_nor_lock():
    rig = pluto("fsk_vote", num_devices=1)
    assert not rig.access_point.block(0, 1).needs_sounding
    for t in range(20):
        values = values_of(t, 1)
        got = rig.round(values, round_index=t)
        assert got.rejected is None
        assert got.values == np.sign(values[0])


def test_signs_are_added_up_on_a_shared_clock():
    rig = SimulatedRig(AirConfig(snr_db=30.0), "sign", num_devices=3)
    for t in range(20):
        played = rig.play(values_of(t, 3), round_index=t)
        assert played.reception.estimate.values == played.reference


@pytest.mark.parametrize("name", ["coherent", "energy"])
def test_truncation_silences_the_weak_device_and_the_reference_follows(name):
    rig = SimulatedRig(AirConfig(snr_db=40.0), name, num_devices=12, rule=TRUNCATED)
    silenced = 0
    for t in range(12):
        values = values_of(t, 12)
        played = rig.play(values, round_index=t)
        got, active = played.reception.estimate, played.plan.active
        assert got.rejected is None
        powers = {k: abs(sounding.gain) ** 2 for k, sounding in played.soundings.items()}
        silenced += 12 - len(active)
        assert max([p for k, p in powers.items() if k not in active], default=0) < min(powers[k] for k in active)
        assert abs(got.values - played.reference) < 6 * np.sqrt(got.error_variance)
        assert np.allclose(played.reference, values[list(active)].mean(axis=0))
    assert silenced > 0


def test_no_device_above_the_threshold_is_a_silent_round():
    rig = SimulatedRig(AirConfig(), rule=TRUNCATED)
    alignment = rig.access_point.block(0, 1).told({}).align(clip=1.0, noise_std=0.0)
    assert (alignment.gain, alignment.active) == (0.0, ())


def test_regularised_inversion_beats_the_weakest_device_and_says_how_much():
    values = np.clip(np.random.default_rng(1).normal(0, 1 / 3, (2000, 8)), -1, 1)
    curves = {
        rule: play_rounds("coherent", values, AirConfig(snr_db=0.0), clip=1.0, seed=1, rule=AlignmentRule(name=rule))
        for rule in ("min_k", "regularised")
    }
    errors = {rule: curve.estimates - curve.references for rule, curve in curves.items()}
    assert np.mean(errors["regularised"] ** 2) < np.mean(errors["min_k"] ** 2)
    standardised = errors["regularised"] ** 2 / curves["regularised"].error_variances
    assert np.mean(standardised) == pytest.approx(1, abs=0.15)


def test_regularised_inversion_over_the_links_never_exceeds_power():
    rig = SimulatedRig(AirConfig(snr_db=5.0), num_devices=6, rule=AlignmentRule(name="regularised"))
    for t in range(30):
        got = rig.round(np.ones((6, 1)) * np.where(np.arange(6) % 2, 1, -1)[:, None], round_index=t)
        assert got.rejected is None or "turned" in got.rejected or "missing" in got.rejected
    assert regularised_gain(np.zeros(2), bound=1.0, max_amplitude=0.5, noise_variance=1e-3, value_power=0.1) == (
        0.0,
        0.0,
    )


@pytest.mark.parametrize("name", ["coherent", "energy"])
def test_a_device_of_another_round_makes_the_round_rejected(name):
    rig = SimulatedRig(AirConfig(snr_db=40.0, fading="none", cfo_max_hz=0.0), name, num_devices=3)
    channels = rig.sound(5).channels()
    plan = rig.make_plan(channels, clip=1.0, num_queries=1, round_index=5)
    old = msgspec.structs.replace(plan, round_index=4)
    for device, used in ((0, plan), (1, old), (2, plan)):
        rig.devices[device].send_values(np.ones(1), used, channels.csi[device])
    rejected = channels.receive(plan).estimate.rejected
    assert rejected is not None
    assert "device" in rejected


@pytest.mark.parametrize("name", ["coherent", "energy"])
def test_a_device_that_keeps_silent_is_named(name):
    rig = SimulatedRig(AirConfig(snr_db=40.0, fading="none", cfo_max_hz=0.0), name, num_devices=3)
    channels = rig.sound(0).channels()
    plan = rig.make_plan(channels, clip=1.0, num_queries=1, round_index=0)
    for device in (0, 2):
        rig.devices[device].send_values(np.ones(1), plan, channels.csi[device])
    assert "device 1" in channels.receive(plan).estimate.rejected


@pytest.mark.parametrize("name", ["coherent", "energy"])
def test_reciprocity_gives_a_device_its_own_channel(name):
    air = AirConfig(snr_db=40.0, cfo_max_hz=0.0)
    rig = SimulatedRig(air, name, num_devices=4, tuning=RadioConfig(residual_cfo_max_hz=0.0))
    values = values_of(3, 4)
    block = rig.access_point.block(3, 1)
    block.measure_noise()
    block.send_pilot()
    for k, device in enumerate(rig.devices):
        assert block.learn(k, device.hear_pilot()).is_heard
    block.pass_pilot()
    channels = block.channels()
    plan = rig.make_plan(channels, clip=1.0, num_queries=1, round_index=3)
    for k, device in enumerate(rig.devices):
        device.send_values(values[k], plan, channels.csi[k], np.random.default_rng(k))
    got = channels.receive(plan).estimate
    assert got.rejected is None
    assert abs(got.values[0] - values.mean()) < 5 * math.sqrt(got.error_variance[0])


def test_a_device_that_hears_no_pilot_says_so():
    rig = SimulatedRig(AirConfig())
    with pytest.raises(SignalError, match="must send before"):
        rig.devices[0].hear_pilot()


@pytest.mark.parametrize(
    ("capture", "message"),
    [
        (np.zeros(0, dtype=np.complex64), "capture"),
        (np.zeros(8, dtype=np.complex128), "complex64"),
        (np.zeros(7, dtype=np.complex64), "complex64"),
        (np.full(8, np.nan, dtype=np.complex64), "NaN"),
        (np.full(8, np.inf, dtype=np.complex64), "NaN"),
    ],
)
def test_what_a_radio_must_not_deliver_is_refused(capture, message):
    with pytest.raises(SignalError, match=message):
        check_capture(capture, 8)


def test_late_starts_must_be_reckoned_with():
    with pytest.raises(RadioConfigError, match=r"raise frame\.start_uncertainty_samples"):
        check_compatible(AirConfig.pluto_indoor(), FrameConfig(start_uncertainty_samples=5000))


@pytest.mark.parametrize("name", ["coherent", "sign", "energy", "fsk_vote", "ideal"])
def test_a_thousand_devices_play_on_the_symbol_level(name):
    values = np.clip(np.random.default_rng(1).normal(0.2, 1 / 3, (50, 1000)), -1, 1)
    curve = play_rounds(name, values, AirConfig(), clip=1.0, seed=1, rule=TRUNCATED)
    assert np.isfinite(curve.estimates).all()
    assert curve.num_active.min() > 800
    again = play_rounds(name, values, AirConfig(), clip=1.0, seed=1, rule=TRUNCATED)
    assert again.estimates.tobytes() == curve.estimates.tobytes()


def test_the_array_path_has_the_errors_of_the_links():
    air = AirConfig(level="symbol", csi="genie", snr_db=10.0)
    values = np.array([values_of(t)[:, 0] for t in range(2000)])
    curve = play_rounds("coherent", values, air, clip=1.0, seed=1)
    rig = SimulatedRig(air)
    linked = [rig.round(values[t][:, None], round_index=t).error_variance[0] for t in range(50)]
    assert np.allclose(curve.error_variances[:50], linked, rtol=1e-6)
    errors = curve.estimates - curve.references
    assert np.mean(errors**2 / curve.error_variances) == pytest.approx(1, abs=5 * math.sqrt(2 / 2000))


@pytest.mark.parametrize("bad", [np.full((2, 2), 1.5), np.full((2, 2), np.nan), np.zeros(3), np.zeros((0, 3))])
def test_the_array_path_refuses_values_that_devices_could_not_send(bad):
    with pytest.raises(SignalError, match="values"):
        play_rounds("coherent", bad, AirConfig(), clip=1.0, seed=1)


def test_the_array_path_refuses_what_it_does_not_know():
    with pytest.raises(RadioConfigError, match="scheme"):
        play_rounds("digital", np.zeros((1, 1)), AirConfig(), clip=1.0, seed=1)


@pytest.mark.parametrize(
    ("name", "rounds"), [("coherent", 600), pytest.param("coherent", 10_000, marks=pytest.mark.long)]
)
def test_predicted_errors_are_calibrated(name, rounds):
    calibration = scores(SimulatedRig(AirConfig(), name), rounds)[1]
    assert calibration == pytest.approx(1, abs=0.1 if rounds == 10_000 else 5 * math.sqrt(2 / rounds))
