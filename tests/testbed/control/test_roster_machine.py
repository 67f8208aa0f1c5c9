"""The roster under any history of members, strangers, impostors, reconnects, losses and time (stateful hypothesis)."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from testbed.control import messages as m
from testbed.control.proof import Proof
from testbed.control.roster import STRANGERS_PER_DEVICE
from testbed.control.seats import Loss
from tests.testbed.control.ends import CODE, PROOF, WEIGHTS, DeskOffice, Peer, Table, joins, prepared

NUM_DEVICES = 4
KEYS = {"key-a": frozenset({0, 1}), "key-b": frozenset({2, 3}), "key-c": frozenset({0, 1, 2, 3})}
GROUPS = st.sampled_from([(0,), (1,), (0, 1), (2, 3), (2,), (0, 1, 2, 3), (3,)])
rounds = st.integers(0, 5) | st.just(2**40)
ANYTHING = st.one_of(
    st.builds(
        m.Hello, protocol_version=st.sampled_from([5, 5, 5, 4]), host=st.just("h"),
        instance=st.sampled_from(["0", "1", "2"]),
        devices=GROUPS | st.just(()) | st.just((7,)), run_id=st.sampled_from(["", "r"]), next_round=rounds,
        code=st.sampled_from([CODE, CODE, "0" * 64]),
    ),
    st.builds(m.CatchUp, first=rounds),
    st.builds(m.Joined, next_round=rounds, proof=st.just(PROOF)),
    st.builds(
        m.Prepared, round=rounds, attempt=st.integers(1, 2), fingerprint=st.sampled_from([None, WEIGHTS, "b" * 64]),
        draw=st.integers(0, 3),
    ),
    st.builds(m.Transmitting, round=rounds, attempt=st.just(1), number=st.integers(0, 3), reports=st.just(())),
    st.builds(
        m.Ready, round=rounds, attempt=st.just(1), losses=st.none(),
        ground_truth=st.none() | st.just({0: (1e300,)}), problems=st.just({9: "no"}),
    ),
    st.builds(m.Evaluated, round=rounds, loss=st.floats(allow_nan=False), metric=st.just(0.5), num_examples=st.just(1)),
    st.builds(m.Goodbye, next_round=rounds, fingerprint=st.just(WEIGHTS)),
    st.just(m.Trouble(reason="I leave")),
    st.just(m.Ping()),
    st.just(m.Pong()),
)  # fmt: skip


class Witness(DeskOffice):
    """Remembers who has proved what, and asks of every loss whether it was just."""

    def __init__(self) -> None:
        super().__init__(serves=KEYS)
        self.proven: list[Proof] = []

    def check(self, joined: m.Joined) -> None:
        super().check(joined)
        self.proven.append(joined.proof)


class Seats(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.office = Witness()
        self.table = Table(num_devices=NUM_DEVICES, office=self.office)
        self.roster = self.table.roster
        self.peers: list[Peer] = []
        self.has_proved: set[tuple[str, str, tuple[int, ...]]] = set()

    def _add(self, peer: Peer) -> None:
        self.peers.append(peer)

    @rule(key=st.sampled_from([*KEYS, "unknown"]), devices=GROUPS, instance=st.sampled_from(["0", "1", "2"]))
    def a_host_comes(self, key: str, devices: tuple[int, ...], instance: str) -> None:
        peer = self.table.peer(*devices, key=key, instance=instance)
        joins(peer, also=prepared)
        self._add(peer)

    @rule(key=st.sampled_from([*KEYS, "unknown"]))
    def a_stranger_connects(self, key: str) -> None:
        self._add(self.table.peer(0, key=key, instance="stranger"))

    @precondition(lambda self: self.peers)
    @rule(data=st.data(), message=ANYTHING, after_s=st.sampled_from([0.0, 0.3, 2.0]))
    def somebody_says_something(self, data: st.DataObject, message: object, after_s: float) -> None:
        data.draw(st.sampled_from(self.peers)).say(message, after_s)

    @precondition(lambda self: self.peers)
    @rule(data=st.data(), again=st.booleans())
    def a_connection_is_lost(self, data: st.DataObject, again: bool) -> None:
        peer = data.draw(st.sampled_from(self.peers))
        peer.cut()
        if again:
            peer.connect()
            peer.say(peer.hello())

    @precondition(lambda self: self.peers)
    @rule(data=st.data(), kind=st.sampled_from([m.Welcome, m.Seated, m.SoundStart, m.Results]))
    def a_message_is_lost(self, data: st.DataObject, kind: type) -> None:
        data.draw(st.sampled_from(self.peers)).deaf_to[kind] = 1

    @precondition(lambda self: self.peers)
    @rule(data=st.data())
    def a_host_hangs(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.peers)).answers = lambda _: ()

    @rule(seconds=st.sampled_from([0.01, 0.6, 3.0, 130.0]))
    def time_passes(self, seconds: float) -> None:
        self.table.pass_time(seconds)

    @rule(compare=st.booleans(), timeout_s=st.sampled_from([0.5, 5.0]))
    def a_round(self, compare: bool, timeout_s: float) -> None:
        self.roster.admit()
        asked = {seat: seat.devices for seat in self.roster.seated}
        answers = self.table.sound(timeout_s, compare=compare)
        lost = {loss.devices for loss in answers.losses}
        assert {*answers.of} | {seat for seat in asked if seat.devices in lost} >= {*asked}
        assert all(seat in asked for seat in answers.of)
        # whoever did not answer has no seat any more; nobody else got one in a round
        assert set(self.roster.seated) <= {*answers.of} & {*asked}
        self.office.next_round += 1
        self.roster.tell(m.RoundResult(round=0, seed=1, status="skipped", coefficients=(), fingerprint=None))

    # ---- what is always true

    @invariant()
    def no_device_has_two_hosts(self) -> None:
        served = [device for seat in self.roster.seats for device in seat.devices]
        assert len(served) == len(set(served))

    @invariant()
    def every_entry_is_of_a_seat_and_every_seat_is_reachable(self) -> None:
        roster = self.roster
        assert {id(seat) for seat in roster._by_route.values()} == {id(seat) for seat in roster.seats}
        assert all(roster._by_route[seat.route] is seat for seat in roster.seats)
        assert all(roster._by_device[device] is seat for seat in roster.seated for device in seat.devices)
        assert {*roster._by_device.values()} == {*roster.seated}

    @invariant()
    def served_and_missing_are_what_the_seats_say(self) -> None:
        roster = self.roster
        assert roster.served == sorted(device for seat in roster.seated for device in seat.devices)
        coming = {device for seat in roster.seats if seat.state != "loading" for device in seat.devices}
        assert roster.missing == sorted(set(range(NUM_DEVICES)) - coming)

    @invariant()
    def seats_are_of_keys_that_may_have_them_and_of_proven_hosts(self) -> None:
        for seat in self.roster.seats:
            assert set(seat.devices) <= KEYS.get(seat.key, frozenset())
        proved = [seat for seat in self.roster.seats if seat.state != "loading"]
        assert len(self.office.proven) >= len(proved)
        assert all(proof == PROOF for proof in self.office.proven)

    @invariant()
    def a_seat_was_lost_for_a_reason_and_never_for_another_who_wanted_it(self) -> None:
        for loss in self.office.losses:
            assert _is_just(loss), loss

    @invariant()
    def strangers_take_no_memory(self) -> None:
        assert len(self.roster._strangers) <= STRANGERS_PER_DEVICE * (self.roster.num_devices + STRANGERS_PER_DEVICE)


def _is_just(loss: Loss) -> bool:
    """Its connection was gone, it missed what it was asked, it left, or it lied about itself."""
    told = (
        "left",
        "scalars: no answer",
        "said Hello, and did not join",
        "I leave",
        "the host is at round",
        "its connection",
    )
    return loss.reason.startswith(told)


class LiveHolders(RuleBasedStateMachine):
    """A host that is there and answers keeps its seat, whatever everybody else does."""

    @initialize()
    def begin(self) -> None:
        self.table = Table(num_devices=NUM_DEVICES, office=DeskOffice(serves={**KEYS, "holder": frozenset({0, 1})}))
        self.holder = self.table.seat(0, 1, key="holder", instance="0")
        self.seat = self.table.roster.seat_of(0)
        self.others: list[Peer] = []

    @rule(key=st.sampled_from([*KEYS, "unknown"]), message=ANYTHING, after_s=st.sampled_from([0.0, 0.2, 1.0]))
    def another_says_something(self, key: str, message: object, after_s: float) -> None:
        other = self.table.peer(0, key=key, instance="0")
        self.others.append(other)
        other.say(message, after_s)

    @rule(devices=GROUPS, key=st.sampled_from([*KEYS]))
    def another_wants_to_join(self, devices: tuple[int, ...], key: str) -> None:
        other = self.table.peer(*devices, key=key, instance="0")
        joins(other, also=prepared)
        self.others.append(other)

    @precondition(lambda self: self.others)
    @rule(data=st.data())
    def another_vanishes(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.others)).cut()

    @rule()
    def the_holder_reconnects(self) -> None:
        self.table.pass_time(1.5)  # whoever says Hello while a holder has no connection is given its seat
        self.holder.connect()
        self.holder.say(self.holder.hello(), 0.0)
        self.table.pass_time(1.0)

    @rule(seconds=st.sampled_from([0.01, 1.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.table.pass_time(seconds)

    @rule(compare=st.booleans())
    def a_round(self, compare: bool) -> None:
        self.table.roster.admit()
        assert self.seat in self.table.sound(5.0, compare=compare).of

    @invariant()
    def the_seat_is_still_its_own(self) -> None:
        assert self.table.roster._by_device.get(0) is self.seat
        assert self.table.roster._by_device.get(1) is self.seat


FEW = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestSeats = Seats.TestCase
TestSeats.settings = FEW
TestLiveHolders = LiveHolders.TestCase
TestLiveHolders.settings = FEW
