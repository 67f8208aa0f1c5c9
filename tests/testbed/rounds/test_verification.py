"""Weights are verified for the devices whose hosts' live ones were compared and equal, and for no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import DivergenceError
from testbed.results.records import RunInfo
from testbed.rounds.verification import UNHEARD, Live, failed, going_on, verify

MINE, OTHER = "a" * 64, "b" * 64
INFO = RunInfo(
    run_id="r", started="now", seed=1, num_parameters=3, initial_fingerprint="c" * 64, versions={}, host={}, git=None,
    command=[],
)  # fmt: skip


def live(*devices: int, fingerprint: str = MINE, next_round: int = 5) -> Live:
    return Live(devices=devices, next_round=next_round, fingerprint=fingerprint)


def seen(*hosts: Live, num_devices: int = 4, **why: object):
    return verify(MINE, hosts, num_devices=num_devices, num_rounds=5, **why)


def test_all_devices_are_verified_when_all_hosts_hold_the_rebuilt_weights():
    found = seen(live(2, 3), live(0, 1))
    assert found.devices == (0, 1, 2, 3)
    assert found.not_verified is None
    assert found.final_fingerprint == found.fingerprint == MINE
    found.check()


def test_a_host_that_was_not_heard_is_not_verified_and_the_reason_is_kept():
    found = seen(live(0, 1))
    assert found.devices == (0, 1)
    assert found.not_verified == f"devices 2, 3: {UNHEARD}"
    found.check()
    assert seen(live(0, 1), unheard={3: "it left"}).not_verified == f"device 2: {UNHEARD}; device 3: it left"


def test_when_nobody_was_heard_there_is_no_final_fingerprint():
    found = seen(unheard="the run was interrupted")
    assert found.devices == ()
    assert found.final_fingerprint is None
    assert found.not_verified == "devices 0-3: the run was interrupted"


def test_a_host_that_is_rounds_behind_is_not_compared_and_no_divergence():
    found = seen(live(0, 1, 2), live(3, fingerprint=OTHER, next_round=3))
    assert (found.devices, found.differing) == ((0, 1, 2), ())
    assert found.not_verified == "device 3: its host ended at round 3 of 5"
    found.check()


def test_a_host_with_other_weights_is_named():
    found = seen(live(0, 1, 2), live(3, fingerprint=OTHER))
    assert (found.devices, found.differing) == ((0, 1, 2), (3,))
    with pytest.raises(
        DivergenceError, match=r"device 3: its host's weights are bbbbbbbbbbbb, not the journal's aaaaaa"
    ):
        found.check()


hosts = st.lists(
    st.builds(
        Live,
        devices=st.frozensets(st.integers(0, 5), max_size=4).map(lambda found: tuple(sorted(found))),
        next_round=st.integers(4, 6),
        fingerprint=st.sampled_from([MINE, OTHER]),
    ),
    max_size=5,
)


@given(hosts=hosts, num_devices=st.integers(6, 8))
def test_only_what_was_compared_and_equal_is_verified(hosts, num_devices):
    """A device that two hosts claim is verified only if both hold the weights."""
    found = verify(MINE, hosts, num_devices=num_devices, num_rounds=5)
    good = {k for host in hosts if (host.next_round, host.fingerprint) == (5, MINE) for k in host.devices}
    bad = {k for host in hosts if (host.next_round, host.fingerprint) != (5, MINE) for k in host.devices}
    assert set(found.devices) == good - bad
    assert (found.not_verified is None) == (set(found.devices) == set(range(num_devices)))
    assert (found.final_fingerprint is None) == (not found.devices)


def test_how_a_run_ended_is_recorded_and_forgotten_when_it_goes_on():
    found = seen(live(0, 1))
    info = found.ended(failed(INFO, "no space"))
    assert info.failure is None
    assert (info.rebuilt_fingerprint, info.final_fingerprint, info.verified_devices) == (MINE, MINE, (0, 1))
    assert info.not_verified == found.not_verified
    assert info.ended_with == MINE
    assert failed(info, "no space").failure == "no space"
    assert going_on(failed(info, "no space")) == INFO
    assert seen().ended(INFO).ended_with == MINE
