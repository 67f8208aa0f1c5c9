"""Whole campaigns: files that others can read, links as the air has them, and what cannot be measured."""

import json
import math

import h5py
import msgspec
import numpy as np
import pytest
import sigmf

from radio.air.config import AirConfig
from radio.channels.files import load_channels
from radio.config import RadioConfig
from radio.errors import RadioConfigError
from radio.link.simulated_rig import SimulatedRig
from radio.measurement.sounding import sound
from testbed.bench.rig import resolve
from testbed.commands.cli import main
from testbed.config.files import load
from testbed.control.air_wire import air_setup, make_air
from testbed.errors import RunDirectoryError
from testbed.measurement.campaign import Asked, listen, probe_of, quiet_of, sound_links
from testbed.measurement.measure import measure
from testbed.measurement.records import Interval, Link, Measurement
from testbed.measurement.summaries import summarise
from testbed.measurement.verdict import fitted_air, judge, threshold_words, with_threshold
from testbed.planning.preview import plan_of
from tests.libiio import require_libiio, virtual_plutos
from tests.testbed.measurement.campaigns import ASKED, SETTINGS


def noise_dbfs(config):
    return 10 * math.log10(config.rig.air.noise_power(config.rig.radio.max_power, 1e6))


def test_links_are_the_air_s_in_both_directions(measured):
    config, _, found = measured
    assert [(link.device, link.direction) for link in found.links] == [
        (device, direction) for direction in ("uplink", "downlink") for device in range(3)
    ]
    gains = {}
    for link in found.links:
        assert link.problem is None
        assert (link.num_captures, link.num_spoilt) == (4, {})
        assert abs(link.gain_db.value + 22) <= 4.1
        assert link.gain_db.high - link.gain_db.low < 0.2
        assert abs(link.cfo_hz.value) <= 15
        true_snr_db = link.gain_db.value + 10 * math.log10(config.rig.radio.max_power) - noise_dbfs(config)
        assert link.snr_db.value == pytest.approx(true_snr_db, abs=0.3)
        assert link.snr_db.high - link.snr_db.low < 0.5
        assert link.rms_delay_spread_s.high <= 0.6e-6
        assert not link.delay_spread_is_resolved
        gains.setdefault(link.device, []).append(link)
    for up, down in gains.values():
        assert up.gain_db.value == pytest.approx(down.gain_db.value, abs=0.1)
        assert up.cfo_hz.value == pytest.approx(-down.cfo_hz.value, abs=1.0)
    assert found.quiet.noise_dbfs == pytest.approx(noise_dbfs(config), abs=0.2)
    assert found.quiet.interference is None


def test_the_record_reads_back_and_every_picture_is_there(measured):
    _, directory, found = measured
    assert msgspec.json.decode(directory.record.read_bytes(), type=Measurement) == found
    names = {path.name for path in (directory.path / "plots").iterdir()}
    assert names == {
        f"{name}.png" for name in ("doppler", "gains", "phase", "profiles", "responses", "time", "verdict")
    }
    page = directory.report.read_text(encoding="utf-8")
    assert page.count("data:image/png") == len(names)
    assert "http" not in page


def test_recordings_are_strict_sigmf_and_say_the_same_when_analysed_again(measured):
    config, directory, found = measured
    metas = sorted(directory.recordings.glob("*.sigmf-meta"))
    assert len(metas) == 6
    for meta in metas:
        recording = sigmf.sigmffile.fromfile(str(meta))
        recording.validate()
        assert recording.get_global_field("core:datatype") == "ci16_le"
        samples = np.fromfile(meta.with_suffix(".sigmf-data"), "<i2").astype(np.float32)
        capture = (samples / recording.get_global_field("airzero:full_scale")).view(np.complex64)
        again = sound(capture, probe_of(config.rig, ASKED), recording.get_global_field("core:sample_rate"))
        device, direction = (recording.get_global_field(f"airzero:{key}") for key in ("device", "direction"))
        (link,) = [each for each in found.links if (each.device, each.direction) == (device, direction)]
        assert again.gain_db.value == pytest.approx(link.gain_db.value, abs=0.2)
        (note,) = recording.get_annotations()
        assert note["core:sample_count"] == capture.size


def test_channels_have_the_shapes_of_link_level_simulators(measured):
    _, directory, found = measured
    channels = load_channels(f"sionna:{directory.channels}")
    with h5py.File(directory.channels) as file:
        assert file["a"].shape == (4, 1, 1, 3, 1, channels.gains.shape[3], 1)
        assert file["tau"].shape == (4, 1, 3, channels.gains.shape[3])
        assert file.attrs["sample_rate_hz"] == 1e6
    at_carrier = np.abs(channels.gains.sum(axis=3)[:, 0]) ** 2
    for device, link in enumerate(found.links[:3]):
        assert 10 * math.log10(at_carrier[:, device].mean()) == pytest.approx(link.gain_db.value, abs=0.3)


def test_results_are_in_hdf5_too(measured):
    _, directory, found = measured
    with h5py.File(directory.path / "measurement.h5") as file:
        assert file.attrs["num_devices"] == 3
        assert sorted(file) == sorted(
            ["frequencies_hz", *(f"{way}-{n:03d}" for way in ("uplink", "downlink") for n in range(3))]
        )
        for link in found.links:
            group = file[f"{link.direction}-{link.device:03d}"]
            assert group.attrs["gain_db.value"] == link.gain_db.value
            gains_db = 10 * np.log10(np.mean(10 ** (group["gains_db"][:] / 10)))
            assert gains_db == pytest.approx(link.gain_db.value)
            assert group["response"].shape == file["frequencies_hz"].shape
            assert group["times_s"].shape == group["cfos_hz"].shape == (4,)
            assert "rice_k_db.value" not in group.attrs  # four captures say nothing of it


def test_the_rig_that_is_left_runs_with_the_links_statistics(measured):
    config, directory, found = measured
    again = resolve(load(str(directory.rig), None, []))
    assert again.rig.num_devices == 3
    gains = [link.gain_db.value for link in found.links[:3]]
    simulated = make_air(air_setup(again, "a test")).truth().gains
    assert (20 * np.log10(np.abs(simulated))).tolist() == pytest.approx(gains, abs=1e-6)
    noise = [
        again.rig.air.noise_power(again.rig.radio.max_power, 1e6),
        config.rig.air.noise_power(config.rig.radio.max_power, 1e6),
    ]
    assert noise[0] == pytest.approx(noise[1], rel=0.05)


def test_predictions_are_those_of_runs_on_the_rig(measured):
    """Pooled over 300 rounds with other values and noise, within 1.5 dB."""
    config, _, found = measured
    (coherent,) = [each for each in found.verdict.predictions if each.scheme == "coherent"]
    rig = SimulatedRig(
        config.rig.air, "coherent", num_devices=3, seed=1, frame=config.rig.frame, tuning=config.rig.radio
    )
    errors = energies = 0.0
    draw = np.random.default_rng(7)
    for number in range(300):
        played = rig.play(draw.uniform(-1, 1, (3, 1)), round_index=number)
        errors += float((played.reception.estimate.values[0] - played.reference[0]) ** 2)
        energies += float(played.reference[0] ** 2)
    assert coherent.nmse_db == pytest.approx(10 * math.log10(errors / energies), abs=1.5)
    assert any("the rig promises radio.residual_cfo_max_hz = 0" in remark for remark in found.verdict.remarks)
    votes = [each for each in found.verdict.predictions if "majorities" in (each.problem or "")]
    assert {each.scheme for each in votes} == {"sign", "fsk_vote"}
    assert all(each.nmse_db is None for each in votes)


@pytest.mark.parametrize("scheme_rig", ["ideal"])
def test_an_air_without_samples_is_refused(scheme_rig, tmp_path):
    with pytest.raises(RadioConfigError, match="no samples to sound"):
        measure(load(scheme_rig, None, []), ASKED, out=tmp_path / "m")
    with pytest.raises(RadioConfigError, match="at least 8 periods"):
        measure(load("awgn", None, []), Asked(capture_s=1e-3), out=tmp_path / "m")
    assert not (tmp_path / "m").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(RunDirectoryError, match="is there already; allowed: a new or an empty directory"):
        measure(load("awgn", None, []), ASKED, out=tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_links_that_cannot_be_heard_say_so_and_the_others_go_on(tmp_path):
    config = load("awgn", None, ["num_devices=2", "air.path_loss_db=120", "air.snr_db=-60"])
    _, found = measure(config, Asked(num_captures=2, capture_s=0.004), out=tmp_path / "m")
    assert [link.problem for link in found.links] == ["all captures are too weak"] * 2
    assert [link.num_spoilt for link in found.links] == [{"too weak": 2}] * 2
    assert found.verdict is None
    assert (tmp_path / "m" / "report.html").exists()


def test_a_link_without_noise_reads_back_and_runs(tmp_path):
    config = load("awgn", None, ["num_devices=2", "air.snr_db=inf"])
    directory, found = measure(config, Asked(num_captures=2, capture_s=0.008), out=tmp_path / "m")
    again = msgspec.json.decode(directory.record.read_bytes(), type=Measurement)
    assert [link.gain_db.value for link in again.links] == pytest.approx([-20, -20], abs=0.01)
    assert found.quiet.interference is None
    for rig in (directory.rig, directory.replay):
        assert resolve(load(str(rig), None, [])).rig.num_devices == 2


def test_links_forty_times_apart_make_a_rig(tmp_path):
    """Losses spread further than a rig may declare are drawn in."""
    link = Link(device=0, direction="uplink", num_captures=1, num_spoilt={}, noise_dbfs=-90.0)
    links = [
        msgspec.structs.replace(link, device=n, gain_db=Interval(value=gain, low=gain, high=gain))
        for n, gain in enumerate((0.0, -100.0))
    ]
    air = fitted_air(links, load("awgn", None, ["num_devices=2"]).rig)
    assert air.path_loss_spread_db == 40
    assert air.path_loss_offsets_db == (-40, 40)


def test_interference_is_named_before_anybody_sends():
    draw = np.random.default_rng(1)
    noise = (draw.normal(size=32768) + 1j * draw.normal(size=32768)) * 1e-3
    assert quiet_of(noise.astype(np.complex64), 1e6).interference is None
    line = noise + 2e-3 * np.exp(2j * np.pi * 0.1 * np.arange(32768))
    assert quiet_of(line.astype(np.complex64), 1e6).interference.startswith("a line ")
    assert quiet_of(line.astype(np.complex64), 1e6).peak_offset_hz == pytest.approx(1e5, abs=1e3)
    bursts = noise * np.where(np.arange(32768) % 8192 < 800, 10, 1)
    assert "bursts in 1" in quiet_of(bursts.astype(np.complex64), 1e6).interference


def test_weak_and_uneven_links_get_a_remedy(tmp_path):
    config = load("awgn", None, ["num_devices=3", "air.path_loss_spread_db=30", "air.snr_db=10"])
    _, found = measure(config, Asked(num_captures=2, capture_s=0.008), out=tmp_path / "m")
    remarks = " ".join(found.verdict.remarks)
    assert "the rig promises" not in remarks
    assert "dB below the strongest" in remarks
    assert "truncated" in remarks


def test_virtual_plutos_are_measured_with_their_crystals():
    require_libiio()
    air = AirConfig(fading="none", path_loss_db=20, snr_db=20, cfo_max_hz=0.0, delay_max_samples=0.0)
    tuning = RadioConfig(max_power_dbfs=-12.0)
    with virtual_plutos(num_devices=2, air=air, shared_clock=False, tuning=tuning, ppm_max=20.0) as plutos:
        pluto = {"devices": list(plutos.device_uris), "access_point": plutos.access_point_uri}
        base = load("virtual_plutos", None, ["num_devices=2"]).rig
        rig = msgspec.structs.replace(base, air=air, radio=tuning, pluto=msgspec.convert(pluto, type(base.pluto)))
        asked = Asked(num_captures=2, capture_s=0.02)
        quiet = listen(rig, None)
        details = [summarise(heard, rig, asked) for heard in sound_links(rig, asked, None)]
    links = [detail.link for detail in details]
    assert quiet.interference is None
    for link in links:
        assert link.gain_db.value == pytest.approx(-20, abs=0.5)
        assert link.snr_db.value == pytest.approx(20, abs=1.0)
        assert abs(link.cfo_hz.value) < 2 * 20e-6 * rig.radio.center_freq_hz
        # one crystal makes carrier and sampling clock
        assert link.clock_ppm.value == pytest.approx(link.cfo_hz.value / rig.radio.center_freq_hz * 1e6, abs=0.5)
        assert link.start_jitter_s is not None
    assert max(abs(link.cfo_hz.value) for link in links) > 1000
    assert judge(links, quiet, rig) is not None


def test_the_verdict_knows_where_privacy_is_free(measured):
    """As the planner says of the rig itself, whose links the measurement has."""
    config, _, found = measured
    asked = ["schedule.name=online", "ground_truth=false", "radio.residual_cfo_max_hz=15"]
    plan = plan_of(resolve(load("awgn", None, [*SETTINGS, *asked])))
    assert found.verdict.symbol_snr_db == pytest.approx(plan.symbol_snr_db, abs=3)
    assert found.verdict.snr_threshold_db == pytest.approx(plan.snr_threshold_db, abs=3)
    assert "above it: schedules lower power" in threshold_words(found.verdict)
    noiseless = load("awgn", None, [*SETTINGS, "air.snr_db=inf"])
    assert with_threshold(found.verdict, noiseless.rig, config.experiment) == found.verdict


def test_phases_that_do_not_hold_for_a_round_are_said(tmp_path):
    config = load("awgn", None, ["num_devices=2", "air.transmitter.phase_noise_deg=30"])
    _, found = measure(config, Asked(num_captures=4, capture_s=0.02), out=tmp_path / "m")
    held_s = found.verdict.coherence_budget_s
    assert held_s == min(link.phase_held_s for link in found.links)
    (coherent,) = [each for each in found.verdict.predictions if each.scheme == "coherent"]
    assert held_s < coherent.airtime_s
    assert any(remark.startswith("phases hold to 0.1 rad for") for remark in found.verdict.remarks)
    assert "Coherence budget: phases hold" in (tmp_path / "m" / "report.html").read_text(encoding="utf-8")


def test_a_duration_becomes_captures(tmp_path, capsys):
    arguments = ["measure", "--rig", "awgn", "--set", "num_devices=2", "--duration-s", "0.24", "--capture-ms", "20"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--json", "--out", str(tmp_path / "m")])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["captures_per_link"] == 6


def test_the_fitted_air_keeps_to_what_can_be_simulated():
    config = load("awgn", None, ["num_devices=2"])
    found = [summarise(heard, config.rig, ASKED).link for heard in sound_links(config.rig, ASKED, _air(config))]
    air = fitted_air(found[:2], config.rig)
    assert air.tdl == "flat"
    assert air.fading == "none"
    assert air.cfo_max_hz < 1


def _air(config):
    return make_air(air_setup(config, "a test"))


def test_the_command_prints_its_table_or_its_record(tmp_path, capsys):
    quick = ["measure", "--rig", "awgn", "--set", "num_devices=1", "--captures", "2", "--capture-ms", "4"]
    with pytest.raises(SystemExit) as ended:
        main([*quick, "--out", str(tmp_path / "a")])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "0 → AP" in shown
    assert "what schemes would reach" in shown
    with pytest.raises(SystemExit):
        main([*quick, "--json", "--out", str(tmp_path / "b")])
    assert json.loads(capsys.readouterr().out)["num_devices"] == 1
    with pytest.raises(SystemExit) as ended:
        main([*quick, "--set", "air.path_loss_db=150", "--set", "air.snr_db=-60", "--out", str(tmp_path / "c")])
    assert ended.value.code == 1
    assert "all captures are too weak" in (tmp_path / "c" / "report.html").read_text(encoding="utf-8")
