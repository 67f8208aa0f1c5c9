"""Channels that were measured, simulated again: on the sampled air and behind virtual PlutoSDRs."""

import math
from dataclasses import replace

import h5py
import msgspec
import numpy as np
import pytest

import testbed
from radio.air.config import AirConfig
from radio.channels.files import load_channels
from radio.channels.recorded import complete
from radio.channels.sionna import encoded
from radio.config import RadioConfig
from radio.errors import RadioConfigError
from radio.virtual_pluto.bench.links import Links
from radio.virtual_pluto.config import VirtualConfig
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.control.air_wire import air_setup, make_air
from testbed.errors import ConfigError
from testbed.measurement.campaign import Asked, probe_of, sound_links
from testbed.measurement.channels import recorded_channels
from testbed.measurement.measure import measure
from testbed.measurement.summaries import summarise
from tests.libiio import require_libiio, virtual_plutos
from tests.testbed.measurement.campaigns import ASKED


def test_replayed_blocks_have_the_channels_that_were_sounded(measured):
    """Block n of the rig's own air is block n of the replay, in the band that was sounded."""
    config, directory, _ = measured
    replay = load(str(directory.replay), None, [])
    assert resolve(replay).rig.air.channel.startswith(f"sionna:{directory.channels}?sha256=")
    airs = [make_air(air_setup(each, "a test")) for each in (config, replay)]
    for number in range(4):
        for air in airs:
            air.begin_block(number, 1)
        true, again = (np.abs(air.truth().tap_gains.sum(axis=1)) for air in airs)
        assert (20 * np.log10(again / true)).tolist() == pytest.approx([0.0] * 3, abs=0.15)
    with pytest.raises(ConfigError, match="on recorded channels, of which no bound is known"):
        resolve(load(str(directory.replay), None, ["schedule.name=online", "ground_truth=false"]))


def test_a_run_goes_on_with_the_channels_that_it_began_with(measured, tmp_path):
    _, directory, _ = measured
    channels = tmp_path / "channels.h5"
    channels.write_bytes(directory.channels.read_bytes())
    changes = ["num_devices=3", f"air.channel=sionna:{channels}", "rounds.num=4", "rounds.eval_every=2"]
    changes += ["task.num_test=8", "learner.batch_size=2"]
    seen = []
    cut = {"progress": seen.append, "should_stop": lambda: len(seen) >= 2}
    testbed.run(None, "awgn", changes, out=tmp_path / "run", **cut)
    before = channels.read_bytes()
    with h5py.File(channels, "r+") as file:
        file["a"][...] *= np.array([1, 2, 3, 4])[:, None, None, None, None, None, None]
    with pytest.raises(RadioConfigError, match=r"has the checksum .*restore the file that it was"):
        testbed.run(resume=tmp_path / "run")
    channels.write_bytes(before)
    resumed = testbed.run(resume=tmp_path / "run").summary
    assert resumed is not None
    assert resumed.rounds_total == 4


def test_channels_of_another_carrier_are_refused(measured):
    _, directory, _ = measured
    with pytest.raises(ConfigError, match=r"recorded at 915 MHz; this rig is at 2400 MHz"):
        resolve(load(str(directory.replay), None, ["radio.center_freq_hz=2.4e9"]))


def test_gains_that_move_are_replayed_as_they_moved(tmp_path):
    """20 Hz of Doppler, captures of 50 ms in 64 steps: the replay's gains are the true ones up to a common phase."""
    asked = Asked(num_captures=3, capture_s=0.05)
    config = load("awgn", None, ["num_devices=2", "air.fading=rayleigh", "air.doppler_hz=20", "air.snr_db=30"])
    directory, found = measure(config, asked, out=tmp_path / "m")
    assert all(link.moves for link in found.links)
    true, again = (make_air(air_setup(each, "a test")) for each in (config, load(str(directory.replay), None, [])))
    with h5py.File(directory.path / "measurement.h5") as file:
        began = [round(float(at) * 1e6) for at in file["uplink-001/times_s"][:]]
    for number in range(3):
        true.elapse(began[number] - true.clock_samples)
        again.begin_block(number, 1)
        tracks = []
        for air in (true, again):
            tracks.append([])
            for _ in range(24):
                air.elapse(2_000)
                truth = air.truth()
                turn = np.exp(2j * np.pi * truth.cfo_hz[1] * air.clock_samples / 1e6)
                tracks[-1].append(truth.gains[1] * turn)
        expected, replayed = np.array(tracks)
        close = (
            abs(np.vdot(expected, replayed)) ** 2 / np.vdot(expected, expected).real / np.vdot(replayed, replayed).real
        )
        assert close > 0.995
        scale = np.linalg.norm(replayed) / np.linalg.norm(expected)
        assert 20 * math.log10(scale) == pytest.approx(0, abs=0.2)


def test_links_that_stand_still_do_not_move(measured):
    _, _, found = measured
    assert not any(link.moves for link in found.links)
    assert max(link.phase_drift_1ms_deg.high for link in found.links) < 1
    assert [link.phase_drift_10ms_deg for link in found.links] == [None] * 6  # captures of 8 ms
    assert all(link.phase_coherence_time_s is None for link in found.links)


def test_virtual_plutos_replay_recorded_channels(measured):
    """Block after block of air time, each device has its recorded gain against the access point."""
    require_libiio()
    _, directory, _ = measured
    recorded = load_channels(f"sionna:{directory.channels}")
    loss_db = -10 * math.log10(recorded.powers().mean())
    channel = f"sionna:{directory.channels}?devices=2,0"
    air = AirConfig(channel=channel, path_loss_db=loss_db, snr_db=40, cfo_max_hz=0.0, delay_max_samples=0.0)
    tuning = RadioConfig(max_power_dbfs=-12.0)
    with virtual_plutos(num_devices=2, air=air, shared_clock=True, tuning=tuning, random_phase=False) as plutos:
        pluto = {"devices": list(plutos.device_uris), "access_point": plutos.access_point_uri}
        base = load("virtual_plutos", None, ["num_devices=2"]).rig
        rig = msgspec.structs.replace(base, air=air, radio=tuning, pluto=msgspec.convert(pluto, type(base.pluto)))
        asked = Asked(num_captures=1, capture_s=0.01)
        found = [summarise(heard, rig, asked).link for heard in sound_links(rig, asked, None)]
    mean_power = np.abs(recorded.gains[:, 0].sum(axis=2)) ** 2
    chosen = recorded.gains[:, :, [2, 0]]
    scale_db = 10 * math.log10(recorded.powers().mean() / np.mean(np.sum(np.abs(chosen) ** 2, axis=3)))
    for link, device in zip(found, (2, 0), strict=True):
        expected_db = 10 * math.log10(mean_power[0, device]) + scale_db
        assert link.gain_db.value == pytest.approx(expected_db, abs=0.5)


def test_a_virtual_bench_says_at_once_that_a_block_outlasts_its_recording(tmp_path):
    channels = complete(np.ones((3, 11, 1, 1), dtype=complex), np.zeros((3, 1, 1)), name="a test", step_s=1e-3)
    (tmp_path / "channels.h5").write_bytes(encoded(channels))
    line = f"sionna:{tmp_path / 'channels.h5'}"
    air = AirConfig(channel=line, cfo_max_hz=0.0, delay_max_samples=0.0)
    for block_ms, fits in ((0.0, False), (10.5, False), (10.0, True)):
        config = VirtualConfig(block_ms=block_ms)
        if fits:
            Links(config, air, num_devices=1, rig_rate_hz=1e6, shared_clock=True)
        else:
            with pytest.raises(RadioConfigError, match=r"virtual.block_ms: got .* allowed: above 0, at most 10"):
                Links(config, air, num_devices=1, rig_rate_hz=1e6, shared_clock=True)


def test_carriers_that_wander_between_captures_are_in_the_replay(measured):
    """A capture's own offset from the mean turns its block; carriers that stand still leave one step a block."""
    config, _, _ = measured
    heard = next(sound_links(config.rig, ASKED, _air(config)))
    probe = probe_of(config.rig, ASKED)
    steady = summarise(heard, config.rig, ASKED)
    assert recorded_channels([steady], probe, config.rig).step_s is None
    wandering_hz = np.array([-30.0, -10.0, 10.0, 30.0])
    link = msgspec.structs.replace(steady.link, cfo_deviation_hz=14.0)
    moved = recorded_channels([replace(steady, link=link, cfos_hz=link.cfo_hz.value + wandering_hz)], probe, config.rig)
    turned = np.unwrap(np.angle(moved.gains[:, :, 0].sum(axis=2)), axis=1)
    slopes_hz = (turned[:, -1] - turned[:, 0]) / (2 * np.pi) / (moved.step_s * (turned.shape[1] - 1))
    assert slopes_hz.tolist() == pytest.approx(wandering_hz.tolist(), abs=1)


def _air(config):
    return make_air(air_setup(config, "a test"))
