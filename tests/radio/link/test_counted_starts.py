"""Devices that start together by counting samples: exact on a loopback air, however late first starts are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radio.air.config import AirConfig
from radio.config import Capabilities, FrameConfig, RadioConfig
from radio.errors import RadioConfigError, SchemeUnsupportedError, TooLateError
from radio.link.setup import counts_starts
from radio.link.simulated_rig import SimulatedRig
from radio.link.starts import StartClock
from radio.schemes.registry import scheme

STREAMING = Capabilities(trigger=False, streaming=True, shared_clock=True)
FRAME = FrameConfig(start_uncertainty_samples=12_000, sync_samples=256)
ONE_CLOCK = RadioConfig(residual_cfo_max_hz=0.1)
AIR = AirConfig(cfo_max_hz=0.0, start_jitter_samples=10_000, path_loss_db=10.0, snr_db=30.0)


def rig(name: str = "coherent", **changes: object) -> SimulatedRig:
    settings: dict[str, object] = {"frame": FRAME, "tuning": ONE_CLOCK, "capabilities": STREAMING, **changes}
    return SimulatedRig(AIR, name, num_devices=5, **settings)


@given(
    first=st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)),
    clock=st.integers(0, 10**12),
    lead=st.integers(1, 10**6),
)
def test_what_starts_when_it_is_told_arrives_when_it_is_expected(first, clock, lead):
    sent, arrived = first
    starts = StartClock(lead)
    starts.learn(0, sent=sent, arrived=arrived, epoch=0)
    arrival = starts.next_arrival(clock)
    assert arrival > clock
    assert starts.start_of(0, arrival) - sent == arrival - arrived


def test_a_new_epoch_or_doubt_asks_for_every_alignment_again():
    starts = StartClock(100)
    assert starts.unaligned(2, 0) == [0, 1]
    starts.learn(1, sent=5, arrived=9, epoch=0)
    assert starts.unaligned(2, 0) == [0]
    assert starts.unaligned(2, 1) == [0, 1]
    starts.learn(0, sent=5, arrived=9, epoch=1)
    starts.forget()
    assert starts.unaligned(2, 1) == [0, 1]


@pytest.mark.parametrize("name", ["coherent", "sign"])
def test_late_first_starts_do_not_show_in_the_sum(name):
    played = rig(name)
    errors, power = 0.0, 0.0
    for t in range(20):
        values = np.clip(np.random.default_rng(t).normal(0, 1 / 3, (5, 1)), -1, 1)
        once = played.play(values, round_index=t)
        estimate = once.reception.estimate
        assert estimate.rejected is None
        if played.scheme.votes:
            assert estimate.values == pytest.approx(once.reference)
        errors += float(np.sum((estimate.values - once.reference) ** 2))
        power += float(np.sum(once.reference**2))
    assert errors <= power * 10**-3.5


def test_a_device_is_aligned_once_and_again_after_a_doubt():
    played = rig()
    values = np.full((5, 1), 0.5)
    played.round(values)
    assert played.access_point.starts.unaligned() == []
    played.access_point.starts.forget()
    assert played.access_point.starts.unaligned() == [0, 1, 2, 3, 4]
    assert played.round(values, round_index=1).values == pytest.approx(0.5, abs=0.02)


def test_a_start_in_the_past_is_refused_and_nothing_is_sent():
    played = rig()
    played.sound()
    with pytest.raises(TooLateError, match="start_uncertainty_samples"):
        played.devices[0].send_pilot(0)


def test_counting_needs_a_lead_and_a_shared_clock():
    with pytest.raises(RadioConfigError, match="how far ahead"):
        SimulatedRig(AirConfig(), tuning=ONE_CLOCK, capabilities=STREAMING)
    with pytest.raises(SchemeUnsupportedError, match="shared_clock"):
        rig(capabilities=Capabilities(trigger=False, streaming=True, shared_clock=False))


def test_only_superposed_symbols_without_a_trigger_count():
    assert counts_starts(scheme("coherent"), STREAMING, FRAME)
    assert not counts_starts(scheme("energy"), STREAMING, FRAME)
    assert not counts_starts(scheme("digital"), STREAMING, FRAME)
    assert not counts_starts(scheme("coherent"), STREAMING, FrameConfig.symbol_level())
    with_trigger = Capabilities(trigger=True, streaming=True, shared_clock=True)
    assert not counts_starts(scheme("coherent"), with_trigger, FRAME)


def test_silence_in_front_is_part_of_the_uncertainty():
    with pytest.raises(RadioConfigError, match="control_latency_samples"):
        FrameConfig(start_uncertainty_samples=1000, control_latency_samples=2000)


@pytest.mark.parametrize("name", ["energy", "digital"])
def test_silence_in_front_changes_no_estimate_beyond_noise(name):
    """The receiver begins at once here, so it waits through the silence as through any late start."""
    frame = FrameConfig(start_uncertainty_samples=20_000, control_latency_samples=10_000, sync_samples=256)
    free = Capabilities(trigger=False, streaming=False, shared_clock=False)
    played = SimulatedRig(
        AIR, name, num_devices=4, frame=frame, tuning=RadioConfig(max_power_dbfs=-12.0), capabilities=free
    )
    values = np.array([[0.5], [-0.25], [0.75], [0.1]])
    estimate = played.round(values)
    assert estimate.rejected is None
    assert estimate.values == pytest.approx(values.mean(), abs=0.03)
