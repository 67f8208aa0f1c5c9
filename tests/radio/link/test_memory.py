"""What a receiver remembers, written down and taken up by another one: nothing that follows differs in a bit."""

import math

import msgspec
import numpy as np
import pytest

from radio.air.air import Air
from radio.air.config import AirConfig
from radio.errors import SignalError
from radio.link.memory import ReceiverMemory
from radio.link.meters import RECENT_CAPTURES, InBandMeter, NoiseMeter, ValueMeter
from radio.link.simulated_rig import SimulatedRig
from radio.waveform.modulation import InBandNoise
from tests.radio.link.test_counted_starts import AIR, FRAME, ONE_CLOCK, STREAMING

DEVICES = 3
COUNTED = {"frame": FRAME, "tuning": ONE_CLOCK, "capabilities": STREAMING}


def written(memory: ReceiverMemory) -> bytes:
    return msgspec.msgpack.encode(memory)


def read(memory: bytes) -> ReceiverMemory:
    return msgspec.msgpack.decode(memory, type=ReceiverMemory)


def play(rig: SimulatedRig, round_index: int) -> tuple[bytes, bytes]:
    values = np.random.default_rng(round_index).uniform(-1, 1, (DEVICES, 1))
    reception = rig.play(values, round_index=round_index).reception
    return reception.capture.tobytes(), reception.estimate.values.tobytes()


@pytest.mark.parametrize("name", ["coherent", "sign", "energy", "fsk_vote", "digital"])
@pytest.mark.parametrize(
    ("air", "settings"),
    [
        (AirConfig(doppler_hz=2.0, snr_db=20.0), {}),
        (AirConfig(level="symbol", snr_db=10.0), {}),
        (AIR, COUNTED),
    ],
    ids=["moving", "symbols", "counted"],
)
def test_a_receiver_that_recalls_goes_on_as_if_it_had_never_stopped(name, air, settings):
    def rig() -> SimulatedRig:
        return SimulatedRig(air, name, num_devices=DEVICES, **settings)

    whole, resumed = rig(), rig()
    for t in range(3):
        play(whole, t)
    memory = written(whole.access_point.memory())
    resumed.air._clock = read(memory).clock_samples
    resumed.access_point.recall(read(memory))
    assert written(resumed.access_point.memory()) == memory
    for t in range(3, 6):
        assert play(resumed, t) == play(whole, t)
        assert written(resumed.access_point.memory()) == written(whole.access_point.memory())


def test_an_air_that_goes_on_from_a_sample_is_the_air_that_has_run_until_then():
    config = AirConfig(doppler_hz=3.0, snr_db=10.0, delay_max_samples=2.0, cfo_max_hz=200.0, start_jitter_samples=5)

    def air(clock_samples: int) -> Air:
        return Air(config, num_devices=2, seed=4, sample_rate_hz=1e6, tx_power=1.0, clock_samples=clock_samples)

    frame = np.exp(2j * np.pi * np.arange(400) / 16).astype(np.complex64) / 2
    running, fresh = air(0), air(123_457)
    running.begin_block(0, 1)
    running.transmit(1, frame, 3)
    running.elapse(123_457)
    for each in (running, fresh):
        each.begin_block(5, 1)
        each.transmit(0, frame, 2)
        each.transmit(1, frame, 1)
    assert running.capture(2, 1000).tobytes() == fresh.capture(2, 1000).tobytes()


def test_distances_of_counts_that_began_anew_are_not_recalled():
    whole, anew = (SimulatedRig(AIR, "coherent", num_devices=DEVICES, **COUNTED) for _ in range(2))
    play(whole, 0)
    anew.access_point.recall(whole.access_point.memory())
    assert anew.access_point.starts.unaligned() == [0, 1, 2]
    assert whole.access_point.starts.unaligned() == []


def test_a_meter_that_heard_nothing_remembers_that():
    noise, values, in_band = NoiseMeter(), ValueMeter(), InBandMeter()
    noise.recall(msgspec.msgpack.decode(msgspec.msgpack.encode(noise.memory()), type=type(noise.memory())))
    assert math.isnan(noise.power)
    values.recall(values.memory())
    in_band.recall(in_band.memory())
    assert values.prior(2.0) == ValueMeter().prior(2.0)
    assert in_band.least(1e-6) == 0


def test_a_thousand_captures_are_as_small_as_the_latest():
    meter = InBandMeter()
    for energy in range(1000):
        meter.update(InBandNoise(float(energy), 12))
    assert len(meter.memory().recent) == 12 * RECENT_CAPTURES
    again = InBandMeter()
    again.recall(meter.memory())
    assert (again.least(1e-6), again.largest(1e-6)) == (meter.least(1e-6), meter.largest(1e-6))


def test_a_memory_of_other_devices_or_of_half_a_number_is_refused():
    rig = SimulatedRig(AirConfig(), "coherent", num_devices=DEVICES)
    play(rig, 0)
    memory = rig.access_point.memory()
    with pytest.raises(SignalError, match="carriers: got a memory of 2 devices; allowed: 3"):
        rig.access_point.recall(msgspec.structs.replace(memory, carriers=memory.carriers[:32]))
    with pytest.raises(SignalError, match="carriers: got 33 bytes"):
        rig.access_point.recall(msgspec.structs.replace(memory, carriers=memory.carriers[:33]))
