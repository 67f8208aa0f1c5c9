"""A run is told from others by what differs from the files that come with the toolkit."""

import msgspec
import pytest

import testbed
from testbed.rounds.summary import told_apart


@pytest.mark.parametrize("rig", ["loopback", "pluto_indoor", "virtual_plutos", "awgn", "ideal"])
def test_what_comes_with_the_toolkit_differs_in_nothing(rig):
    experiment = "quickstart" if rig in ("loopback", "awgn", "ideal") else "quickstart_energy"
    assert told_apart(testbed.load(experiment, rig)) == (f"{experiment} on {rig}", ())


def test_every_override_is_named_and_nothing_else():
    config = testbed.load(overrides={"seed": 2, "air.snr_db": 5, "scheme.name": "sign", "ground_truth": False})
    assert set(told_apart(config)[1]) == {"seed=2", "scheme.name=sign", "ground_truth=false", "air.snr_db=5"}


def test_what_follows_from_a_symbol_level_scheme_is_no_difference():
    assert told_apart(testbed.load(overrides={"scheme.name": "ideal"}))[1] == ("scheme.name=ideal",)
    assert told_apart(testbed.load(overrides={"scheme.air_level": "symbol"}))[1] == ("scheme.air_level=symbol",)


def test_a_rig_on_which_the_likened_one_could_not_play_is_compared_as_it_stands():
    clock = {"clock.shared_clock": True, "clock.trigger": True}
    found = told_apart(testbed.load("quickstart", "pluto_indoor", clock))
    assert found[0] == "quickstart on pluto_indoor"
    assert set(found[1]) == {"clock.shared_clock=true", "clock.trigger=true"}


def test_own_files_are_compared_with_the_defaults():
    rig = msgspec.structs.replace(testbed.load().rig, description="mine", num_devices=3)
    near, found = told_apart(testbed.load(rig=rig, overrides={"name": "trial"}))
    assert near == "quickstart on loopback"
    assert set(found) == {"name=trial", "description=mine", "num_devices=3"}
