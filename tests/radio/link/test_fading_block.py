"""A fading block: its steps exist in their order only, and what was received belongs to the one reception."""

import msgspec
import numpy as np
import pytest

from radio.air.config import AirConfig
from radio.errors import SignalError
from radio.link.reception import Reception
from radio.link.simulated_rig import SimulatedRig
from radio.schemes.alignment_rule import AlignmentRule

STRONG_ONLY = AlignmentRule(name="truncated", truncate_below_db=20.0)


def send(rig, channels, plan, values=0.5):
    for device in plan.active:
        rig.devices[device].send_values(np.full(plan.num_queries, values), plan, channels.csi[device])


def test_a_later_step_does_not_exist_before_the_earlier_ones():
    rig = SimulatedRig(AirConfig(), num_devices=2)
    for late in ("channels", "sound", "align", "receive", "airtime_s"):
        assert not hasattr(rig.access_point, late)
    block = rig.sound(0)
    for late in ("align", "starts", "receive", "csi"):
        assert not hasattr(block, late)
    channels = block.channels()
    for early in ("sound", "send_pilot", "hear_start", "measure_noise", "channels", "told"):
        assert not hasattr(channels, early)
    for made in (rig.access_point, block, channels):
        for remembered in ("capture", "last_capture", "symbols", "last_symbols", "estimate"):
            assert not hasattr(made, remembered)


def test_a_silent_round_has_no_reception_and_so_no_capture():
    """The round before it received one, which nothing could hand out again."""
    rig = SimulatedRig(AirConfig(), num_devices=2)
    received = rig.play(np.full((2, 1), 0.5))
    assert received.reception.capture.size > 0
    channels = rig.sound(1).channels()
    gone = rig.access_point.block(2, 1).told({}).align(clip=1.0, noise_std=0.0)
    assert (gone.gain, gone.active) == (0.0, ())
    for step in (rig.access_point, channels, gone):
        held = [getattr(step, name) for name in dir(step) if not name.startswith("__")]
        assert not any(isinstance(each, Reception | np.ndarray) for each in held)


def test_a_device_too_weak_for_the_rule_leaves_a_gain_of_zero_whatever_was_received_before():
    rig = SimulatedRig(AirConfig(snr_db=30.0), num_devices=3, rule=STRONG_ONLY)
    alignments = [rig.sound(t).channels().align(clip=1.0, noise_std=0.0) for t in range(6)]
    assert [(a.gain, a.active) for a in alignments[1:]] == [(0.0, ())] * 5


def test_two_receptions_hold_their_own_captures():
    rig = SimulatedRig(AirConfig(), num_devices=2)
    first = rig.play(np.full((2, 1), 0.5), round_index=0).reception
    kept = first.capture.copy()
    second = rig.play(np.full((2, 1), -0.5), round_index=1).reception
    assert first.capture.tobytes() == kept.tobytes() != second.capture.tobytes()
    assert first.estimate.values == pytest.approx(0.5, abs=0.05)
    assert second.estimate.values == pytest.approx(-0.5, abs=0.05)


def test_the_estimate_of_a_reception_follows_from_its_own_symbols():
    rig = SimulatedRig(AirConfig(), num_devices=3)
    played = rig.play(np.full((3, 4), 0.25))
    expected = played.reception.symbols.real / (3 * played.plan.gain)
    assert played.reception.symbols.shape == (4,)
    assert np.allclose(played.reception.estimate.values, expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["energy", "digital"])
def test_tones_and_slots_have_no_superposed_symbols(name):
    assert SimulatedRig(AirConfig(), name, num_devices=2).play(np.zeros((2, 1))).reception.symbols.size == 0


def test_slots_are_polled_one_by_one_in_ascending_order_right_before_each_capture():
    rig = SimulatedRig(AirConfig(), "digital", num_devices=4)
    block = rig.sound(0)
    channels = block.channels()
    plan = msgspec.structs.replace(rig.make_plan(channels, clip=1.0, num_queries=1, round_index=0), active=(0, 2, 3))
    polled: list[tuple[int, float]] = []

    def poll(device):
        polled.append((device, block.airtime_s))
        rig.devices[device].send_values(np.array([0.1 * device]), plan, None)

    reception = channels.receive(plan, poll)
    assert [device for device, _ in polled] == [0, 2, 3]
    times = [when for _, when in polled]
    assert np.diff([*times, reception.airtime_s]) == pytest.approx(reception.capture.size / 1e6)
    assert reception.estimate.values == pytest.approx(0.5 / 3, abs=1e-4)


def test_nobody_is_polled_for_a_superposed_payload():
    rig = SimulatedRig(AirConfig(), num_devices=2)
    channels = rig.sound(0).channels()
    plan = rig.make_plan(channels, clip=1.0, num_queries=1, round_index=0)
    send(rig, channels, plan)

    def poll(device):
        raise AssertionError(f"device {device} was polled")

    assert channels.receive(plan, poll).estimate.rejected is None


def test_what_a_poll_raises_ends_the_reception():
    rig = SimulatedRig(AirConfig(), "digital", num_devices=2)
    channels = rig.sound(0).channels()
    plan = rig.make_plan(channels, clip=1.0, num_queries=1, round_index=0)

    def poll(device):
        raise TimeoutError(f"device {device} does not answer")

    with pytest.raises(TimeoutError, match="device 0"):
        channels.receive(plan, poll)


def test_soundings_after_the_channels_change_them_no_more():
    rig = SimulatedRig(AirConfig(), num_devices=2)
    block = rig.sound(0)
    channels = block.channels()
    before = dict(channels.csi)
    rig.devices[0].send_pilot()
    block.sound(0)
    assert channels.csi == before
    block.soundings.clear()
    assert set(block.soundings) == {0, 1}


def test_an_older_block_keeps_its_own_soundings_and_air_time():
    rig = SimulatedRig(AirConfig(), num_devices=2)
    first = rig.sound(0)
    gains = {device: sounding.gain for device, sounding in first.soundings.items()}
    second = rig.access_point.block(1, 1)
    assert second.airtime_s == 0 < first.airtime_s
    assert second.soundings == {}
    assert {device: sounding.gain for device, sounding in first.soundings.items()} == gains


def test_the_air_time_to_the_payload_passes_once_and_for_told_channels_not_at_all():
    rig = SimulatedRig(AirConfig(), num_devices=2)
    block = rig.sound(0)
    sounded = block.airtime_s
    told = block.told({0: rig.sound(0).channels().csi[0]})
    assert set(told.csi) == {0}
    block = rig.sound(1)
    block.channels()
    assert block.airtime_s == pytest.approx(sounded + rig.frame.sounding_to_payload_samples / 1e6)


def test_a_device_that_is_none_is_refused():
    block = SimulatedRig(AirConfig(), num_devices=2).access_point.block(0, 1)
    for device in (-1, 2):
        with pytest.raises(SignalError, match=r"device: got -?\d; allowed: 0\.\.1"):
            block.sound(device)


@pytest.mark.parametrize("name", ["coherent", "energy"])
def test_a_device_that_heard_no_pilot_by_reciprocity_is_not_heard(name):
    block = SimulatedRig(AirConfig(), name, num_devices=2).access_point.block(0, 1)
    block.measure_noise()
    assert not block.learn(0, None).is_heard


def test_the_figures_of_the_noise_are_the_receivers():
    rig = SimulatedRig(AirConfig(), num_devices=2)
    channels = rig.sound(0).channels()
    assert channels.noise_variance == rig.access_point.noise_power / (2 * rig.frame.samples_per_symbol)
