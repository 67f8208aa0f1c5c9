"""An air behind a real socket: the same bits as one in this process, and an answer to whatever it is asked."""

import threading
import uuid
from collections.abc import Iterator

import numpy as np
import pytest

from radio.air.calls import (
    MAX_TIME_SAMPLES,
    Answer,
    AnyCall,
    BeginBlockCall,
    CaptureCall,
    ElapseCall,
    StreamCall,
    TransmitAtCall,
    TransmitCall,
)
from radio.air.medium import Medium
from radio.errors import RadioConfigError, TooLateError
from testbed.config.files import load
from testbed.control.air_service import (
    AirWire,
    Ask,
    Failed,
    RemoteAir,
    air_codec,
    air_setup,
    make_air,
    serve_air,
)
from testbed.control.transport import Client, Server, new_context
from testbed.errors import CrashError, TestbedError
from testbed.failures import Watch

SETUP = air_setup(load("loopback", "quickstart", ["num_devices=2"]), "run")
REPLY_S = 20.0


@pytest.fixture
def client() -> Iterator[Client[AirWire]]:
    """Connected to an air service in a thread, which must still be there at the end."""
    context, stop = new_context(), threading.Event()
    with Server(context, air_codec(), f"inproc://{uuid.uuid4().hex}") as server:
        thread = threading.Thread(target=serve_air, args=(server, stop.is_set))
        thread.start()
        with Client(context, air_codec(), server.address) as connected:
            yield connected
        survived = thread.is_alive()
        stop.set()
        thread.join()
    context.term()
    assert survived


def ask(client: Client[AirWire], request: AirWire) -> AirWire:
    client.send(request)
    answer = client.receive(REPLY_S)
    assert answer is not None
    return answer


def frame(num_samples: int, seed: int = 1) -> np.ndarray:
    return (0.5 * np.exp(2j * np.pi * np.random.default_rng(seed).uniform(size=num_samples))).astype(np.complex64)


def heard_by_everybody(air: Medium) -> list[bytes]:
    """What is received of every kind of transmission, and what the air says of itself."""
    air.begin_block(3, 1)
    air.transmit(0, frame(200), 2)
    air.stream(1, frame(300, 2))
    start = air.transmit_at(1, frame(100, 3), None)
    first = air.capture(air.access_point, 700)
    air.elapse(50)
    air.transmit(air.access_point, frame(64, 4), None)
    back = air.capture(0, 128)
    air.silence(air.access_point)
    truth = air.truth()
    plain = [start, air.access_point, air.sample_rate_hz, air.clock_samples, truth.to_plain()]
    return [first.tobytes(), back.tobytes(), repr(plain).encode()]


def test_an_air_behind_a_socket_is_bit_equal_to_one_in_this_process(client):
    remote = RemoteAir(client, SETUP)
    remote.set_up()
    assert heard_by_everybody(remote) == heard_by_everybody(make_air(SETUP))


def test_what_the_air_refuses_is_raised_where_it_was_asked(client):
    remote = RemoteAir(client, SETUP)
    with pytest.raises(TestbedError, match="no air here"):
        remote.capture(2, 10)
    remote.set_up()
    remote.elapse(1000)
    with pytest.raises(TooLateError, match="start_uncertainty_samples"):
        remote.transmit_at(0, frame(8), 10)
    with pytest.raises(RadioConfigError, match="station: got 7"):
        remote.capture(7, 10)


BAD: dict[str, AnyCall] = {
    "seven bytes": TransmitCall(station=0, frame=b"1234567", num_repeats=1),
    "no frame": StreamCall(station=0, frame=b""),
    "NaN": TransmitCall(station=0, frame=np.full(4, np.nan, dtype=np.complex64).tobytes(), num_repeats=None),
    "over full scale": TransmitCall(station=0, frame=np.full(4, 2, dtype=np.complex64).tobytes(), num_repeats=1),
    "repeats without end": TransmitCall(station=0, frame=frame(4).tobytes(), num_repeats=2**62),
    "no repeats": TransmitCall(station=0, frame=frame(4).tobytes(), num_repeats=0),
    "a start beyond time": TransmitAtCall(station=0, frame=frame(4).tobytes(), start_sample=2**63 - 1),
    "an unknown station": TransmitCall(station=-1, frame=frame(4).tobytes(), num_repeats=1),
    "an empty capture": CaptureCall(station=2, num_samples=0),
    "a negative capture": CaptureCall(station=2, num_samples=-5),
    "a capture that no memory holds": CaptureCall(station=2, num_samples=2**60),
    "time that runs back": ElapseCall(num_samples=-1),
    "more time than there is": ElapseCall(num_samples=2**62),
    "a negative round": BeginBlockCall(round_index=-1, attempt=1),
    "a negative attempt": BeginBlockCall(round_index=0, attempt=-1),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_call_is_answered_and_the_air_goes_on(client, name):
    assert isinstance(ask(client, SETUP), Answer)
    refused = ask(client, Ask(run_id="run", call=BAD[name]))
    assert isinstance(refused, Failed)
    assert "allowed" in refused.reason
    heard = ask(client, Ask(run_id="run", call=CaptureCall(station=2, num_samples=16)))
    expected = make_air(SETUP).capture(2, 16)
    assert heard == Answer(clock_samples=16, samples=expected.tobytes())


def test_time_ends_with_a_refusal_rather_than_an_overflow(client):
    ask(client, SETUP)
    assert isinstance(ask(client, Ask(run_id="run", call=ElapseCall(num_samples=MAX_TIME_SAMPLES))), Answer)
    assert isinstance(ask(client, Ask(run_id="run", call=ElapseCall(num_samples=1))), Failed)


def test_another_runs_calls_are_refused(client):
    ask(client, SETUP)
    refused = ask(client, Ask(run_id="earlier", call=CaptureCall(station=2, num_samples=16)))
    assert isinstance(refused, Failed)
    assert refused.kind == "TestbedError"


def test_an_exception_that_nobody_expected_is_told_and_ends_the_air(monkeypatch):
    monkeypatch.setattr("testbed.control.air_service.make_air", lambda _: 1 / 0)
    context = new_context()
    with Watch() as watch, Server(context, air_codec(), f"inproc://{uuid.uuid4().hex}") as server:
        thread = threading.Thread(target=serve_air, args=(server, lambda: False))
        thread.start()
        with (
            Client(context, air_codec(), server.address) as client,
            pytest.raises(CrashError, match="ZeroDivisionError: division by zero") as told,
        ):
            RemoteAir(client, SETUP).set_up()
        thread.join()
        with pytest.raises(CrashError, match="air: ZeroDivisionError"):
            watch.check()
    context.term()
    assert "serve_air" in told.value.trace
