"""Set-ups of an air that cost too much, or make no sense; of any shape."""

import math
import tracemalloc
from time import monotonic

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radio.air.calls import (
    MAX_FRAME_SAMPLES,
    BeginBlockCall,
    CaptureCall,
    TransmitCall,
    TruthCall,
)
from radio.air.config import AirConfig
from radio.config import RadioConfig
from testbed.control.air_service import Airs
from testbed.control.air_wire import (
    AirWire,
    Answered,
    Ask,
    Failed,
)
from tests.testbed.control.test_air_service import SETUP, asked, frame, reply, set_up

DECODER = msgspec.msgpack.Decoder(AirWire)
EXTREMES = [
    "A",
    "D",
    "rice",
    "none",
    0,
    0.0,
    1,
    -1,
    0.999999,
    4096,
    200.0,
    1e-300,
    1e300,
    -1e300,
    math.nan,
    math.inf,
    -math.inf,
    10**12,
    2**63,
    5e-324,
    60.0,
    1e5,
    1e-3,
]


def told(base: object) -> st.SearchStrategy[dict[str, object]]:
    """A record as it travels, some values of which are extreme."""
    plain = msgspec.to_builtins(base)
    plain = {name: value for name, value in plain.items() if not isinstance(value, dict)}
    return st.dictionaries(st.sampled_from(sorted(plain)), st.sampled_from(EXTREMES), max_size=1).map(
        lambda changes: {name: value for name, value in (plain | changes).items() if value is not None}
    )


@given(
    config=told(AirConfig(tdl="A", fading="rayleigh", snr_db=20.0)),
    radio=told(RadioConfig()),
    num_devices=st.sampled_from([1, 100, 10_000]),
    clock=st.sampled_from([0, 10**12, 2**60]),
    rounds=st.sampled_from([0, 1, 10**12]),
)
@settings(max_examples=50, deadline=None)
def test_whatever_is_set_up_is_answered_or_dropped_within_time_and_memory(config, radio, num_devices, clock, rounds):
    airs = Airs()
    plain = {
        "type": "SetUp", "client": "c", "number": 1, "run_id": "r", "config": config, "num_devices": num_devices,
        "seed": 1, "radio": radio, "clock_samples": clock,
    }  # fmt: skip
    try:
        decoded = DECODER.decode(msgspec.msgpack.encode(plain))
    except msgspec.DecodeError:
        return
    began = monotonic()
    tracemalloc.start()
    replies = [reply(airs, decoded)]
    for number, call in enumerate(
        (
            BeginBlockCall(round_index=rounds, attempt=1),
            TransmitCall(station=0, frame=frame(64).tobytes(), num_repeats=None),
            CaptureCall(station=decoded.num_devices, num_samples=64),
            TruthCall(),
        ),
        2,
    ):
        replies.append(reply(airs, Ask(client="c", number=number, run_id="r", calls=(call,))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not [each.trace for each in replies if isinstance(each, Failed) and each.trace]
    assert peak < 400 * 2**20
    assert monotonic() - began < 60.0  # of what takes tens of seconds only where it is wrong


@pytest.mark.parametrize(
    ("changes", "config"),
    [
        ({"num_devices": 10_000}, {"tdl": "A", "doppler_hz": 10.0}),
        ({"radio": RadioConfig(sample_rate_hz=61.44e6)}, {"tdl": "A", "delay_spread_s": 1e-3}),
        ({"radio": RadioConfig(sample_rate_hz=1e3)}, {"doppler_hz": 1e5}),
    ],
)
def test_an_air_that_would_take_too_much_is_refused(changes, config):
    refused = reply(Airs(), set_up(config=msgspec.structs.replace(SETUP.config, **config), **changes))
    assert isinstance(refused, Failed)
    assert refused.kind == "RadioConfigError"


def test_a_round_that_is_too_far_away_for_correlated_blocks_is_refused():
    airs = Airs()
    reply(airs, set_up(config=AirConfig(block_correlation=0.5)))
    far = reply(airs, asked(BeginBlockCall(round_index=10**12, attempt=1)))
    assert isinstance(far, Failed)
    assert "block_correlation" in far.reason


def test_more_frames_than_memory_holds_are_refused():
    airs = Airs()
    reply(airs, set_up(num_devices=40))
    sent = np.zeros(MAX_FRAME_SAMPLES, dtype=np.complex64).tobytes()
    replies = [reply(airs, asked(TransmitCall(station=station, frame=sent, num_repeats=1))) for station in range(17)]
    assert isinstance(replies[0], Answered)
    assert isinstance(replies[-1], Failed)


# ---- an air that comes late, goes, or is slow
