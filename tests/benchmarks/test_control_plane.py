"""What benchmarks/control_plane.py claims, apart from times."""

import pytest

from benchmarks.control import stranger
from benchmarks.control.bare import round_seconds
from benchmarks.control.flood import ROUNDS_A_TURN, delay
from benchmarks.control.rejoin import rejoin_seconds
from benchmarks.control.rounds import play
from benchmarks.control_plane import phases_of
from testbed.control import messages as m

NUM_ROUNDS = 4


@pytest.mark.parametrize(("num_devices", "num_hosts"), [(10, 10), (12, 2)])
def test_a_round_is_seven_short_messages_a_host_however_many_devices_it_serves(num_devices, num_hosts):
    played = play(num_devices=num_devices, num_hosts=num_hosts, num_rounds=NUM_ROUNDS, counting=True)
    assert [record.status for record in played.watcher.records] == ["ok"] * NUM_ROUNDS
    assert played.num_of == dict.fromkeys(played.num_of, num_hosts * NUM_ROUNDS)
    assert len(played.num_of) == 7
    assert played.bytes_per_device_round <= 300


def test_hosts_with_keys_play_the_same_rounds():
    played = [play(num_devices=3, num_hosts=3, num_rounds=NUM_ROUNDS, with_keys=keys) for keys in (False, True)]
    plain, keyed = ([record.estimate for record in each.watcher.records] for each in played)
    assert plain == keyed


def test_the_bare_exchange_has_the_same_phases():
    played = play(num_devices=3, num_hosts=3, num_rounds=1, counting=True)
    phases = phases_of(played)
    assert [answer > 0 for _, answer in phases] == [True, True, True, False]
    assert len(round_seconds(phases, num_peers=3, num_rounds=2)) == 2


def test_a_host_comes_back_to_a_history_of_several_messages():
    took_s, replay_s = rejoin_seconds(20_500)
    assert min(took_s, replay_s) > 0  # which is longer is a matter of what else the machine does


@pytest.mark.parametrize("with_keys", [True, False])
def test_a_flooded_round_is_one_beside_a_stranger_who_sends(with_keys):
    found = delay(with_keys=with_keys, num_turns=1)
    assert found["messages_per_s"] > ROUNDS_A_TURN
    assert 0 < found["burnt_share_of_a_core"] <= 1
    assert found["ratio"] > 0


def test_a_flood_is_of_messages_that_are_understood():
    assert m.control_codec().decode(stranger.PING) == m.Ping()
