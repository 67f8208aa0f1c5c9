"""Recorded probes sounded again, and the command that shows both kinds."""

import hashlib
import json
import shutil

import msgspec
import numpy as np
import pytest
import sigmf
from hypothesis import given, settings
from hypothesis import strategies as st

from radio.air.config import AirConfig
from radio.config import RadioConfig
from testbed.commands.cli import main
from testbed.config.files import load
from testbed.errors import ConfigError, RunDirectoryError
from testbed.measurement.campaign import Asked
from testbed.measurement.measure import measure
from testbed.reprocessing.records import ProbesAgain
from testbed.reprocessing.reprocess import reprocess
from testbed.results.sigmf.reading import load_recording
from tests.libiio import require_libiio, virtual_plutos
from tests.testbed.reprocessing.conftest import NUMBERS


def test_recorded_probes_say_again_what_the_measurement_says(measured):
    written, found = reprocess(measured)
    assert written == measured / "reprocessed.json"
    assert msgspec.json.decode(written.read_bytes(), type=ProbesAgain) == found
    assert [(each.direction, each.device) for each in found.recordings] == [
        (direction, device) for direction in ("downlink", "uplink") for device in range(3)
    ]
    for each in found.recordings:
        assert (each.problem, each.spoilt, each.capture) == (None, None, 0)
        assert each.gain_db.value == pytest.approx(each.recorded_gain_db.value, abs=1e-3)  # 16 bits
        assert each.cfo_hz.value == pytest.approx(each.recorded_cfo_hz.value, abs=0.05)
        assert each.snr_db == pytest.approx(each.recorded_snr_db, abs=0.05)


def test_carriers_far_off_are_found_again_and_gaps_are_between_indices(tmp_path):
    """On virtual PlutoSDRs, whose crystals differ by more than the probe alone can tell; two captures are kept."""
    require_libiio()
    air = AirConfig(fading="none", path_loss_db=20, snr_db=20, cfo_max_hz=0.0, delay_max_samples=0.0)
    tuning = RadioConfig(max_power_dbfs=-12.0)
    with virtual_plutos(num_devices=2, air=air, shared_clock=False, tuning=tuning, ppm_max=20.0) as plutos:
        pluto = {"devices": list(plutos.device_uris), "access_point": plutos.access_point_uri}
        base = load("virtual_plutos", None, ["num_devices=2"])
        rig = msgspec.structs.replace(
            base.rig, air=air, radio=tuning, pluto=msgspec.convert(pluto, type(base.rig.pluto))
        )
        asked = Asked(num_captures=2, capture_s=0.02, num_kept=2)
        measure(msgspec.structs.replace(base, rig=rig), asked, out=tmp_path / "m")
    _, found = reprocess(tmp_path / "m")
    assert [(each.device, each.capture) for each in found.recordings] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for each in found.recordings:
        assert (each.problem, each.spoilt) == (None, None)
        assert each.cfo_hz.value == pytest.approx(each.recorded_cfo_hz.value, abs=5.0)
        assert each.gain_db.value == pytest.approx(each.recorded_gain_db.value, abs=0.2)
    assert max(abs(each.cfo_hz.value) for each in found.recordings) > 1e6 / 256 / 2
    first, second = (load_recording(tmp_path / "m" / "recordings" / f"uplink-000-{n:03d}.sigmf-meta") for n in (0, 1))
    assert second.global_index - first.global_index > first.samples.size  # what was not recorded in between
    meta = sigmf.fromfile(str(first.path))
    meta.validate()
    assert meta.get_captures()[0]["ntia-sensor:sigan_settings"] == {"gain": 30.0}
    assert meta.get_global_field("core:hw").startswith("pluto")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: np.where(np.arange(s.size) % 20 == 0, 32767, s), "saturated"),
        (lambda s: np.concatenate((np.zeros(s.size // 4), s[s.size // 4 :])), "truncated"),
        (lambda s: np.zeros(s.size), "too weak"),
        (lambda s: np.random.default_rng(1).normal(0, 300, s.size), "too weak"),
    ],
)
def test_what_spoils_a_recording_is_named(measured, copied, spoil, said):
    path = copied(measured)
    rewrite(path / "recordings" / "uplink-001-000", spoil)
    found = {each.file: each for each in reprocess(path)[1].recordings}
    assert found["uplink-001-000.sigmf-meta"].spoilt == said
    assert found["uplink-000-000.sigmf-meta"].spoilt is None


def rewrite(stem, change):
    """Other samples, whose checksum is right."""
    samples = np.fromfile(stem.with_suffix(".sigmf-data"), "<i2")
    data = np.round(change(samples)).astype("<i2").tobytes()
    stem.with_suffix(".sigmf-data").write_bytes(data)
    meta = json.loads(stem.with_suffix(".sigmf-meta").read_text())
    meta["global"]["core:sha512"] = hashlib.sha512(data).hexdigest()
    meta["global"]["airzero:num_samples"] = len(data) // 4
    stem.with_suffix(".sigmf-meta").write_text(json.dumps(meta))


def test_a_recording_too_short_to_sound_and_one_of_a_run_are_problems(measured, coherent, copied):
    path = copied(measured)
    rewrite(path / "recordings" / "uplink-001-000", lambda samples: samples[: 2 * 512])
    for each in (coherent / "captures").glob("round-000000.*"):
        shutil.copy(each, path / "recordings")
    problems = {each.file: each.problem for each in reprocess(path)[1].recordings if each.problem is not None}
    assert problems["uplink-001-000.sigmf-meta"].startswith("capture: got 512 samples; allowed: at least 4 periods")
    assert "got the payload of a round" in problems["round-000000.sigmf-meta"]
    assert len(problems) == 2


def test_a_measurement_without_its_recordings_or_record_is_refused(measured, copied):
    path = copied(measured)
    with pytest.raises(ConfigError, match="--scheme: got 'sign' with a measurement"):
        reprocess(path, "sign")
    shutil.rmtree(path / "recordings")
    with pytest.raises(RunDirectoryError, match=r"recordings: got no \*\.sigmf-meta"):
        reprocess(path)
    (path / "measurement.json").write_text("[" * 100_000)
    with pytest.raises(RunDirectoryError, match="not the record of a measurement"):
        reprocess(path)
    (path / "measurement.json").unlink()
    with pytest.raises(RunDirectoryError, match="neither a measurement nor a run"):
        reprocess(path)


@settings(max_examples=100)
@given(
    changes=st.dictionaries(
        st.sampled_from(
            [
                "airzero:full_scale", "airzero:probe_power_dbfs", "airzero:coarse_cfo_hz", "airzero:device",
                "airzero:probe_period_samples", "airzero:direction", "core:sample_rate", "airzero:capture",
            ]
        ),
        NUMBERS | st.sampled_from([-300.0, -3000.0, -6.0, 32, 64, 4096, 2**63 - 1, 1e-3, 5e4]),
        min_size=1,
    )
)  # fmt: skip
def test_no_number_in_a_probe_s_recording_raises_anything(measured, tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "mutated-probe"
    if not path.exists():
        shutil.copytree(measured, path)
        for each in (path / "recordings").iterdir():
            if not each.name.startswith("uplink-001"):
                each.unlink()
    original = measured / "recordings" / "uplink-001-000.sigmf-meta"
    meta = json.loads(original.read_text())
    meta["global"].update(changes)
    (path / "recordings" / original.name).write_text(json.dumps(meta))
    (only,) = reprocess(path)[1].recordings
    assert (only.problem is None) == (only.device is not None)
    assert "\n" not in (only.problem or "")


# ---- the command


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["reprocess", *map(str, arguments)])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_the_command_shows_both_kinds(coherent, measured, capsys):
    code, shown, _ = call(capsys, coherent)
    assert code == 0
    assert "recorded rounds of coherent, read by coherent" in shown
    assert "3 of 3 estimates are the recorded ones, bit for bit, 3 have their sign" in shown
    code, shown, _ = call(capsys, coherent, "--scheme", "sign", "--json")
    assert (code, json.loads(shown)["scheme"]) == (0, "sign")
    code, shown, _ = call(capsys, measured)
    assert code == 0
    assert shown.count("uplink-00") == 3
    code, _, said = call(capsys, coherent, "--scheme", "digital")
    assert code == 1
    assert said.startswith("error: --scheme: got 'digital'")


def test_as_many_captures_become_recordings_as_are_asked_for(tmp_path, capsys):
    arguments = ["--rig", "awgn", "--set", "num_devices=1", "--captures", "3", "--capture-ms", "8", "--keep", "2"]
    with pytest.raises(SystemExit):
        main(["measure", *arguments, "--out", str(tmp_path / "m")])
    capsys.readouterr()
    code, shown, _ = call(capsys, tmp_path / "m", "--json")
    assert code == 0
    assert [each["capture"] for each in json.loads(shown)["recordings"]] == [0, 1]


def test_the_command_fails_where_nothing_could_be_looked_at(measured, copied, capsys):
    path = copied(measured)
    for each in (path / "recordings").glob("*.sigmf-data"):
        each.write_bytes(b"")
    code, shown, _ = call(capsys, path)
    assert code == 1
    assert shown.count("size: got 0 bytes") == 6
