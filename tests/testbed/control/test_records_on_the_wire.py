"""The radio layer's own records travel as they are, and a peer's impossible ones are dropped, never raised."""

import math

import msgspec
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from radio.errors import SignalError
from radio.records import Csi, Plan
from testbed.control import messages as m
from testbed.control.transport import PROTOCOL_VERSION, Server, new_context

CODEC = m.control_codec()
PREFIX = bytes([PROTOCOL_VERSION])
PLAN = Plan(gain=1e-3, artificial_noise_std=0.1, clip=2.0, num_queries=3, active=(0, 2), ridge=0.5, round_index=7)
CSI = Csi(gain=0.1 - 0.2j, cfo_hz=-3.5, resource_powers=(0.01, -1e-5))
START = m.RoundStart(round=7, attempt=1, plan=PLAN, active=None, csi={2: CSI}, start_samples={2: 40})
HEARD = m.Transmitting(round=7, attempt=1, number=1, reports=(m.Report(device=2, heard=CSI),))

finite = st.floats(allow_nan=False, allow_infinity=False)


def body_of(message, *path, value):
    """The message as a peer would send it, with one part replaced."""
    body = msgspec.msgpack.decode(CODEC.encode(message)[1:], strict=False)
    at, of = [body], [0]
    part = message
    for key in path:
        at, of = at[of[0]], [key]
        if isinstance(part, msgspec.Struct):  # an array on the wire, a message's behind the number of its type
            names = part.__struct_fields__
            of = [(names.index(key) if key in names else len(names)) + isinstance(part, m.Message)]
            part = getattr(part, key, None)
        else:
            part = part[key]
    if isinstance(at, list) and of[0] == len(at):
        at.append(value)
    else:
        at[of[0]] = value
    return msgspec.msgpack.encode(body)


@given(real=finite, imag=finite, cfo_hz=finite)
def test_plan_and_channel_arrive_bit_for_bit(real, imag, cfo_hz):
    sent = m.RoundStart(
        round=0, attempt=1, plan=PLAN, active=b"\x05", csi={4: Csi(gain=complex(real, imag), cfo_hz=cfo_hz)}
    )
    got = CODEC.decode(CODEC.encode(sent))
    assert got == sent
    assert math.copysign(1, got.csi[4].gain.imag) == math.copysign(1, imag)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("plan", "gain"), math.nan, "plan.gain"),
        (("plan", "gain"), -1.0, "plan.gain"),
        (("plan", "clip"), 0.0, "plan.clip"),
        (("plan", "artificial_noise_std"), math.inf, "plan.artificial_noise_std"),
        (("plan", "num_queries"), 0, "plan.num_queries"),
        (("plan", "active"), [2, 0], "plan.active"),
        (("plan", "active"), [0, 0], "plan.active"),
        (("plan", "active"), [-1, 0], "plan.active"),
        (("plan", "round_index"), -1, "plan.round_index"),
        (("plan", "surprise"), 1, "length"),
        (("csi", 2, "gain"), [math.nan, 0.0], "csi.gain"),
        (("csi", 2, "gain"), [0.0, math.inf], "csi.gain"),
        (("csi", 2, "gain"), [1, 2], "two floats"),
        (("csi", 2, "gain"), [1.0], "two floats"),
        (("csi", 2, "gain"), [1.0, 2.0, 3.0], "two floats"),
        (("csi", 2, "gain"), 1.0, "two floats"),
        (("csi", 2, "gain"), "1+2j", "two floats"),
        (("csi", 2, "cfo_hz"), math.nan, "csi.cfo_hz"),
        (("csi", 2, "resource_powers"), [math.inf, 0.0], "csi.resource_powers"),
    ],
)
def test_a_record_that_cannot_be_is_no_message(path, value, said):
    reason = CODEC.decode(PREFIX + body_of(START, *path, value=value))
    assert isinstance(reason, str)
    assert said in reason


@given(st.frozensets(st.integers(0, 9_999)))
def test_who_transmits_travels_with_one_bit_a_device(devices):
    assert m.unpacked(m.packed(devices)) == tuple(sorted(devices))
    assert len(m.packed(devices)) <= 1_250


def test_a_peer_that_reports_no_number_is_dropped_and_the_server_goes_on():
    context = new_context()
    with Server(context, CODEC, "tcp://127.0.0.1:*") as server:
        raw = context.socket(zmq.DEALER)
        raw.connect(server.address)
        raw.send_multipart([PREFIX + body_of(HEARD, "reports", 0, "heard", "gain", value=[math.nan, 0.0])])
        raw.send(CODEC.encode(HEARD))
        assert server.receive(100.0)[1] == HEARD
        assert server.num_dropped == 1
        raw.close(linger=0)
    context.term()


def test_what_is_no_complex_number_travels_in_no_message():
    with pytest.raises(NotImplementedError, match="travels in no message"):
        CODEC.encode(m.Trouble(reason=object()))


@pytest.mark.parametrize("gain", [complex("nan"), complex("inf"), complex(0, math.nan)])
def test_a_channel_is_finite_however_it_is_built(gain):
    with pytest.raises(SignalError, match=r"csi\.gain"):
        Csi(gain=gain)
