"""An air behind a real socket: the same bits as one in this process, and an answer to whatever it is asked."""

import threading
import uuid
from collections.abc import Iterator
from itertools import count

import msgspec
import numpy as np
import pytest

from radio.air.calls import (
    MAX_FRAME_SAMPLES,
    MAX_TIME_SAMPLES,
    Answer,
    AnyCall,
    BeginBlockCall,
    CaptureCall,
    ElapseCall,
    SilenceCall,
    StreamCall,
    TransmitAtCall,
    TransmitCall,
    TruthCall,
)
from radio.air.medium import Medium
from radio.errors import RadioConfigError, RadioLinkError, TooLateError
from testbed.config.files import load
from testbed.control.air_service import IDLE_S, MAX_KEPT_BYTES, MAX_RUNS, Airs, serve_air
from testbed.control.air_wire import (
    AirReply,
    AirWire,
    Answered,
    Ask,
    Failed,
    SetUp,
    air_codec,
    air_setup,
    make_air,
)
from testbed.control.remote_air import RemoteAir
from testbed.control.transport import Client, Server, new_context
from testbed.errors import CrashError, PeerTimeoutError

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


numbers = count(1)


def asked(call: AnyCall | tuple[AnyCall, ...], *, run_id: str = "run", client: str = "test") -> Ask:
    calls = call if isinstance(call, tuple) else (call,)
    return Ask(client=client, number=next(numbers), run_id=run_id, calls=calls)


def set_up(**changes: object) -> SetUp:
    return msgspec.structs.replace(SETUP, client="test", number=next(numbers), **changes)


def ask(client: Client[AirWire], request: AirWire) -> AirReply:
    client.send(request)
    answer = client.receive(REPLY_S)
    assert isinstance(answer, Answered | Failed)
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
    with pytest.raises(RadioLinkError, match="no air here"):
        remote.capture(2, 10)
    remote.set_up()
    remote.elapse(1000)
    remote.transmit_at(0, frame(8), 10)
    with pytest.raises(TooLateError, match=r"station 0: .*start_uncertainty_samples"):
        remote.flush()
    with pytest.raises(RadioConfigError, match="station: got 7"):
        remote.capture(7, 10)


def test_what_devices_send_travels_in_one_request_and_a_refused_one_says_whose_it_was(client):
    remote = RemoteAir(client, SETUP)
    remote.set_up()
    sent: list[AirWire] = []
    send = client.send
    client.send = lambda message: (sent.append(message), send(message))[1]
    remote.transmit(0, frame(8), 1)
    remote.silence(0)
    remote.transmit(0, frame(8), 0)
    remote.transmit(1, frame(8), 1, after_samples=8)
    assert sent == []
    with pytest.raises(RadioConfigError, match="station 0: num_repeats: got 0"):
        remote.flush()
    remote.flush()
    assert len(sent) == 1
    expected = make_air(SETUP)
    expected.silence(0)
    expected.transmit(0, frame(8), 1)
    expected.silence(0)
    expected.transmit(1, frame(8), 1, after_samples=8)
    assert remote.capture(2, 64).tobytes() == expected.capture(2, 64).tobytes()


BAD: dict[str, AnyCall] = {
    "seven bytes": TransmitCall(station=0, frame=b"1234567", num_repeats=1),
    "no frame": StreamCall(station=0, frame=b""),
    "NaN": TransmitCall(station=0, frame=np.full(4, np.nan, dtype=np.complex64).tobytes(), num_repeats=None),
    "over full scale": TransmitCall(station=0, frame=np.full(4, 2, dtype=np.complex64).tobytes(), num_repeats=1),
    "repeats without end": TransmitCall(station=0, frame=frame(4).tobytes(), num_repeats=2**62),
    "no repeats": TransmitCall(station=0, frame=frame(4).tobytes(), num_repeats=0),
    "a start beyond time": TransmitAtCall(station=0, frame=frame(4).tobytes(), start_sample=2**63 - 1),
    "a frame that no memory holds": StreamCall(station=0, frame=bytes(8 * (MAX_FRAME_SAMPLES + 1))),
    "a slot in the past": TransmitCall(station=0, frame=frame(4).tobytes(), num_repeats=1, after_samples=-4),
    "a slot beyond time": TransmitCall(station=0, frame=frame(4).tobytes(), num_repeats=1, after_samples=2**62),
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
    assert isinstance(ask(client, set_up()), Answered)
    refused = ask(client, asked(BAD[name]))
    assert isinstance(refused, Failed)
    assert "allowed" in refused.reason
    heard = ask(client, asked(CaptureCall(station=2, num_samples=16)))
    assert isinstance(heard, Answered)
    expected = make_air(SETUP).capture(2, 16)
    assert heard.answer == Answer(clock_samples=16, samples=expected.tobytes())


def test_time_ends_with_a_refusal_rather_than_an_overflow(client):
    ask(client, set_up())
    assert isinstance(ask(client, asked(ElapseCall(num_samples=MAX_TIME_SAMPLES))), Answered)
    assert isinstance(ask(client, asked(ElapseCall(num_samples=1))), Failed)


def test_another_runs_calls_are_refused(client):
    ask(client, set_up())
    refused = ask(client, asked(CaptureCall(station=2, num_samples=16), run_id="earlier"))
    assert isinstance(refused, Failed)
    assert refused.no_air


def test_an_exception_that_nobody_expected_is_told_and_ends_this_run_only(client, monkeypatch):
    other = RemoteAir(client, msgspec.structs.replace(SETUP, run_id="other"))
    other.set_up()
    crashed = RemoteAir(client, SETUP)
    crashed.set_up()
    with monkeypatch.context() as patched:
        patched.setattr("radio.air.calls.TruthParts.of", lambda _: 1 / 0)
        with pytest.raises(CrashError, match="ZeroDivisionError: division by zero") as told:
            crashed.truth()
    assert "carry_out" in told.value.trace
    with pytest.raises(RadioLinkError, match="no air here"):
        crashed.truth()
    assert other.capture(2, 16).size == 16


# ---- without a socket: whose request it is, and how often it came


def reply(airs: Airs, request: SetUp | Ask, *, key: str = "", now_s: float = 0.0) -> AirReply:
    told = airs.reply(key, request, now_s)
    assert told is not None
    return told


CAPTURE = CaptureCall(station=2, num_samples=16)


def test_a_repeated_request_is_carried_out_once_and_an_older_one_gets_nothing():
    airs = Airs()
    first = set_up()
    reply(airs, first)
    capture = asked(CAPTURE)
    heard = reply(airs, capture)
    assert reply(airs, capture) == heard
    assert airs.reply("", first, 0.0) is None
    following = reply(airs, asked(CAPTURE))
    assert isinstance(following, Answered)
    assert following.answer.clock_samples == 32


def test_answers_are_kept_as_far_as_there_is_room_and_never_given_anew():
    airs = Airs()
    reply(airs, set_up())
    first = asked(CaptureCall(station=2, num_samples=8_000_000), client="first")
    assert isinstance(reply(airs, first), Answered)
    for index in range(MAX_KEPT_BYTES // 64_000_000 + 1):
        reply(airs, asked(CaptureCall(station=2, num_samples=8_000_000), client=f"other {index}"))
    again = reply(airs, first)
    assert isinstance(again, Failed)
    assert again.kind == "RadioLinkError"


def test_a_host_elsewhere_neither_takes_a_runs_air_nor_moves_its_time_nor_speaks_for_others():
    airs = Airs()
    reply(airs, set_up(stations={"host": (1,)}))
    refused = [
        reply(airs, set_up(), key="stranger"),
        *(
            reply(airs, asked(call), key=key)
            for key, call in [
                ("host", CAPTURE),
                ("host", ElapseCall(num_samples=5)),
                ("host", BeginBlockCall(round_index=0, attempt=1)),
                ("host", TruthCall()),
                ("host", SilenceCall(station=0)),
                ("host", TransmitCall(station=0, frame=frame(4).tobytes(), num_repeats=1)),
                ("stranger", SilenceCall(station=1)),
            ]
        ),
    ]
    assert all(isinstance(each, Failed) for each in refused)
    assert isinstance(reply(airs, asked(SilenceCall(station=1)), key="host"), Answered)
    mine = reply(airs, asked(CAPTURE))
    assert isinstance(mine, Answered)
    assert mine.answer.clock_samples == 16


def test_the_air_that_is_idle_for_long_makes_way_and_no_other():
    airs = Airs()
    for index in range(MAX_RUNS):
        assert isinstance(reply(airs, set_up(run_id=f"run {index}"), now_s=index), Answered)
    assert isinstance(reply(airs, set_up(run_id="one more"), now_s=IDLE_S), Failed)
    assert isinstance(reply(airs, set_up(run_id="one more"), now_s=IDLE_S + 1), Answered)
    assert isinstance(reply(airs, asked(CAPTURE, run_id="run 0")), Failed)
    assert isinstance(reply(airs, asked(CAPTURE, run_id="run 1")), Answered)


def test_only_the_last_call_of_a_request_may_need_an_answer():
    airs = Airs()
    reply(airs, set_up())
    assert isinstance(reply(airs, asked((CAPTURE, CAPTURE))), Failed)


def test_an_air_that_is_started_late_is_waited_for():
    context, stop, waited = new_context(), threading.Event(), []
    address = f"ipc:///tmp/air-{uuid.uuid4().hex}"

    def late() -> None:
        with Server(context, air_codec(), address) as server:
            serve_air(server, stop.is_set)

    thread = threading.Thread(target=late)
    with Client(context, air_codec(), address) as client:
        remote = RemoteAir(client, SETUP)
        assert remote.set_up(REPLY_S, lambda: waited.append(1) or len(waited) > 1 or thread.start())
        assert remote.capture(2, 16).size == 16
        stop.set()
        thread.join()
    context.term()
    assert waited


class Silent:
    """A client whose air takes what it is sent, and may be told to answer later."""

    address = "nowhere"

    def __init__(self, airs: Airs | None = None, lose: int = 0) -> None:
        self.now, self.airs, self.lose, self.replies = 0.0, airs, lose, []
        self.sent: list[AirWire] = []

    def now_s(self) -> float:
        return self.now

    def send(self, message: AirWire) -> None:
        self.sent.append(message)
        told = self.airs.reply("", message, self.now) if self.airs else None
        if told is not None and self.lose > 0:
            self.lose -= 1
        elif told is not None:
            self.replies.append(told)

    def receive(self, timeout_s: float) -> AirWire | None:
        if self.replies:
            return self.replies.pop(0)
        self.now += timeout_s
        return None


def test_waiting_for_an_air_ends_when_it_is_told_to_or_in_time():
    client = Silent()
    asked_at = []
    assert not RemoteAir(client, SETUP).set_up(
        60.0, lambda: asked_at.append(client.now), should_stop=lambda: client.now >= 7.0
    )
    assert 7.0 <= client.now <= 7.5
    assert asked_at == pytest.approx(range(1, 8), abs=0.3)
    with pytest.raises(PeerTimeoutError, match="testbed air"):
        RemoteAir(Silent(), SETUP).set_up(5.0)


def test_an_air_that_does_not_answer_is_a_lost_link_and_a_stop_is_seen_meanwhile():
    client = Silent()
    with pytest.raises(RadioLinkError, match="no answer in 30 s"):
        RemoteAir(client, SETUP).capture(2, 16)
    assert client.now == pytest.approx(30.0, abs=0.3)
    assert 4 <= len(client.sent) <= 8
    client = Silent()
    with pytest.raises(RadioLinkError, match=r"no answer in 0\.3 s"):
        RemoteAir(client, SETUP, should_stop=lambda: client.now > 3.0).capture(2, 16)
    assert client.now < 3.8


def test_lost_and_late_answers_put_nothing_out_of_step():
    client = Silent(Airs())
    remote = RemoteAir(client, SETUP, timeout_s=0.5)
    remote.set_up()
    client.lose = 1
    with pytest.raises(RadioLinkError):
        remote.elapse(100)  # carried out, but its answer comes later than anybody waits
    expected = make_air(SETUP)
    expected.elapse(100)
    client.replies.append(Answered(number=2, answer=Answer(clock_samples=100)))
    assert remote.capture(2, 50).tobytes() == expected.capture(2, 50).tobytes()
    remote = RemoteAir(client, SETUP)
    client.lose = 1
    assert remote.capture(2, 50).tobytes() == expected.capture(2, 50).tobytes()


def test_an_air_that_was_started_anew_is_set_up_again_at_the_next_block():
    client = Silent(Airs())
    owner, device = RemoteAir(client, SETUP), RemoteAir(client, SETUP)
    owner.set_up()
    owner.begin_block(0, 1)
    owner.capture(2, 1000)
    client.airs = Airs()
    with pytest.raises(RadioLinkError, match="no air here"):
        owner.capture(2, 1000)
    device.silence(0)
    with pytest.raises(RadioLinkError, match="no air here"):
        device.flush()
    with pytest.raises(RadioLinkError, match="no air here"):
        device.begin_block(0, 2)
    owner.begin_block(0, 2)
    assert owner.clock_samples == 1000
    expected = make_air(SETUP)
    expected.elapse(1000)
    expected.begin_block(0, 2)
    assert owner.capture(2, 100).tobytes() == expected.capture(2, 100).tobytes()


# ---- whatever a SetUp may say
