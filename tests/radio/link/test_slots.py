"""Slots that are told ahead: every scheme hears the same bits as when devices are polled one by one."""

import msgspec
import numpy as np
import pytest

from radio.air.config import AirConfig, TransmitterConfig
from radio.config import Capabilities, FrameConfig, RadioConfig
from radio.errors import RadioConfigError, SignalError
from radio.link.simulated_rig import SimulatedRig
from radio.randomness import generator

NUM_DEVICES = 4
TRIGGER = Capabilities(trigger=True, streaming=True, shared_clock=True)
STREAMING = Capabilities(trigger=False, streaming=True, shared_clock=True)
PUNCTUAL = FrameConfig()
LATE = FrameConfig(start_uncertainty_samples=400, sync_samples=256)
CRYSTALS = TransmitterConfig(ppm_max=10.0, phase_noise_deg=0.2, dc_dbc=-50.0, gain_error_db=0.3)
AIRS = {
    "still": AirConfig(),
    "moving, late and off frequency": AirConfig(
        doppler_hz=5.0, cfo_max_hz=20.0, start_jitter_samples=300, tdl="A", delay_spread_s=1e-6, transmitter=CRYSTALS
    ),
    "correlated blocks": AirConfig(block_correlation=0.9, start_jitter_samples=200, transmitter=CRYSTALS),
    "symbols": AirConfig(level="symbol"),
}


def polled_round(rig: SimulatedRig, values: np.ndarray, round_index: int) -> list[bytes]:
    """A round in which every device is asked right before it is heard, as on real radios."""
    block = rig.access_point.block(round_index, 1)
    for device in block.unaligned():
        start = rig.devices[device].send_pilot()
        assert start is not None
        assert block.hear_start(device, start)
    if block.needs_sounding:
        for device in range(NUM_DEVICES):
            rig.devices[device].send_pilot(block.start_of(device))
            block.sound(device)
    channels = block.channels()
    plan = rig.make_plan(
        channels, clip=rig.scheme.mapped_clip(1.0), num_queries=values.shape[1], round_index=round_index
    )
    starts = channels.starts(plan)

    def send(device: int) -> None:
        secret = generator(rig.seed, device, round_index, purpose="secret phases")
        mapped = rig.scheme.mapped(values)[device]
        rig.devices[device].send_values(mapped, plan, channels.csi.get(device), secret, start_sample=starts.get(device))

    if rig.scheme.superposed:
        for device in plan.active:
            send(device)
    received = channels.receive(plan, send)
    return said(rig, block.soundings, received.capture, received.estimate.values)


def said(rig: SimulatedRig, soundings: dict, capture: np.ndarray, values: np.ndarray) -> list[bytes]:
    known = repr([(k, soundings[k].gain, soundings[k].is_heard) for k in sorted(soundings)])
    return [known.encode(), capture.tobytes(), np.asarray(values).tobytes(), str(rig.air.clock_samples).encode()]


@pytest.mark.parametrize("air", sorted(AIRS))
@pytest.mark.parametrize("capabilities", [TRIGGER, STREAMING], ids=["trigger", "counted"])
@pytest.mark.parametrize("scheme", ["coherent", "sign", "energy", "fsk_vote", "digital"])
def test_slots_told_at_once_are_heard_bit_for_bit_like_polls(scheme, capabilities, air):
    config = AIRS[air]
    frame = LATE if config.level == "sample" else None
    if frame and scheme in ("coherent", "sign") and capabilities.trigger:  # together to within half a prefix
        frame, config = (
            PUNCTUAL,
            msgspec.structs.replace(config, start_jitter_samples=min(config.start_jitter_samples, 8)),
        )

    def rig() -> SimulatedRig:
        return SimulatedRig(
            config,
            scheme,
            num_devices=NUM_DEVICES,
            frame=frame,
            capabilities=capabilities,
            tuning=RadioConfig(),
        )

    at_once, one_by_one = rig(), rig()
    for t in range(3):
        values = np.clip(np.random.default_rng(t).normal(0, 1 / 3, (NUM_DEVICES, 2)), -1, 1)
        played = at_once.play(values, round_index=t)
        heard = said(at_once, played.soundings, played.reception.capture, played.reception.estimate.values)
        assert heard == polled_round(one_by_one, values, t)


def test_a_slot_is_no_use_where_starts_are_counted_and_none_is_in_the_past():
    rig = SimulatedRig(AirConfig(), frame=LATE, capabilities=STREAMING)
    with pytest.raises(SignalError, match="start_sample of its slot"):
        rig.devices[0].send_pilot(after_samples=4)
    with pytest.raises(RadioConfigError, match="after_samples"):
        rig.air.transmit(0, np.ones(4, dtype=np.complex64), 1, after_samples=-1)


def test_what_a_device_sends_ends_where_its_later_slot_begins():
    air = SimulatedRig(
        AirConfig(snr_db=np.inf, fading="none", path_loss_db=0.0, cfo_max_hz=0.0, delay_max_samples=0.0)
    ).air
    air.transmit(0, np.full(8, 0.5, dtype=np.complex64), None)
    air.transmit(0, np.full(8, -0.25, dtype=np.complex64), 1, after_samples=100)
    heard = air.capture(air.access_point, 200)
    expected = np.concatenate((np.full(100, 0.5), np.full(8, -0.25), np.zeros(92)))
    assert np.allclose(heard, expected, atol=1e-6)
