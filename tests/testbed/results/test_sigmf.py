"""Recordings: others can read them, an estimate follows from them, and whatever is none is refused in one line."""

import copy
import hashlib
import json
import re
import warnings
from datetime import UTC, datetime

import numpy as np
import pytest
import sigmf
from hypothesis import given
from hypothesis import strategies as st

from radio.link.reception import estimate_from
from radio.link.simulated_rig import SimulatedRig
from radio.measurement.probe import strongest
from testbed.config.files import load
from testbed.errors import RunDirectoryError
from testbed.measurement.campaign import Kept, LinkHeard
from testbed.measurement.recordings import save_recording
from testbed.results.recordings import CaptureInfo, save_capture
from testbed.results.sigmf.reading import PayloadRecording, load_recording

SCHEMES = ("coherent", "sign", "ideal", "energy", "fsk_vote", "digital")
VALUES = np.array([[0.5, -0.25], [0.125, 0.75], [-1.0, 0.0625]])


def played(name, *, settings=(), number=3):
    """A rig of the scheme, and what its access point received of VALUES."""
    config = load("loopback", None, ["num_devices=3", f"scheme.name={name}", *settings])
    frame = config.rig.frame.for_level(config.rig.air.level)
    rig = SimulatedRig(config.rig.air, name, num_devices=3, frame=frame, tuning=config.rig.radio)
    return config.rig, rig, rig.play(VALUES, round_index=number)


def saved(folder, config_rig, rig, round_played, *, number=3):
    info = CaptureInfo(
        round=number,
        attempt=1,
        scheme=rig.scheme.name,
        run_id="an id",
        rig=config_rig,
        plan=round_played.plan,
        parts=rig.access_point.parts(round_played.plan),
    )
    assert save_capture(folder, round_played.reception.captured, info)
    return folder / f"round-{number:06d}.sigmf-meta"


def probed(folder):
    """Ten milliseconds of a probe, as if the access point had sent it, ten hertz off."""
    rig = load("loopback", None, ["num_devices=3"]).rig
    probe = strongest(256, rig.radio.max_power)
    samples = np.tile(probe.samples(), 40) * np.exp(2j * np.pi * 1e-5 * np.arange(40 * 256)) * 0.1
    kept = Kept(
        number=2, samples=samples.astype(np.complex64), first_sample=12_345, began_unix_s=1e9, coarse_cfo_hz=7.0
    )
    return save_recording(folder, LinkHeard(device=1, direction="downlink"), kept, probe, rig)


@pytest.fixture(scope="module")
def payload(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("payload"), *played("coherent"))


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    return probed(tmp_path_factory.mktemp("probe")).with_suffix(".sigmf-meta")


def strictly(path):
    """As SigMF's own package opens it, with nothing undeclared."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = sigmf.fromfile(str(path))
        recording.validate()
    return recording


@pytest.mark.parametrize("name", SCHEMES)
def test_an_estimate_follows_from_its_recording_bit_for_bit(tmp_path, name):
    config_rig, rig, round_played = played(name)
    path = saved(tmp_path, config_rig, rig, round_played)
    assert strictly(path).sample_count == sum(each.samples.size for each in round_played.reception.captured)
    recording = load_recording(path)
    waveform = rig.access_point._receiver.setup.waveform
    again, _ = estimate_from(recording.captured, recording.plan, rig.scheme, waveform)
    first = round_played.reception.estimate
    assert recording.plan == round_played.plan
    assert again.rejected is first.rejected is None
    assert again.values.tobytes() == first.values.tobytes()
    assert again.error_variance.tobytes() == first.error_variance.tobytes()
    assert again.symbol_snr_db == first.symbol_snr_db


@pytest.mark.parametrize("settings", [("air.level=symbol", "air.snr_db=20"), ("radio.residual_gain_max_db=0.5",)])
def test_so_it_does_on_the_symbol_level_and_with_gains_that_move(tmp_path, settings):
    config_rig, rig, round_played = played("coherent", settings=settings)
    recording = load_recording(saved(tmp_path, config_rig, rig, round_played))
    again, _ = estimate_from(recording.captured, recording.plan, rig.scheme, rig.access_point._receiver.setup.waveform)
    assert again.values.tobytes() == round_played.reception.estimate.values.tobytes()


def test_a_payload_says_when_how_and_what_is_where(payload):
    recording = strictly(payload)
    assert re.fullmatch(r"airzero-testbed \S+", recording.get_global_field("core:recorder"))
    assert recording.get_global_field("core:hw").startswith("loopback: ")
    assert "core:author" not in recording.get_global_info()
    extensions = recording.get_global_field("core:extensions")
    assert {each["name"] for each in extensions} == {"airzero", "ntia-emitter", "ntia-sensor"}
    assert all(each["optional"] for each in extensions)
    (capture,) = recording.get_captures()
    age = datetime.now(UTC) - datetime.fromisoformat(capture["core:datetime"])
    assert 0 <= age.total_seconds() < 3600
    assert capture["core:datetime"].endswith("Z")
    assert capture["core:global_index"] > 0
    assert capture["ntia-sensor:overload"] is False
    notes = recording.get_annotations()
    assert [note["core:label"] for note in notes] == ["guard", "sync", "pilots", "gap", "values", "pilots", "tail"]
    ends = [note["core:sample_start"] + note["core:sample_count"] for note in notes]
    assert [note["core:sample_start"] for note in notes] == [0, *ends[:-1]]
    assert ends[-1] == recording.sample_count
    where = dict(zip([note["core:label"] for note in notes], notes, strict=True))
    samples = load_recording(payload).captured[0].samples
    powers = {
        name: float(np.mean(np.abs(samples[note["core:sample_start"] :][: note["core:sample_count"]]) ** 2))
        for name, note in where.items()
    }
    assert powers["gap"] < 0.1 * powers["pilots"]
    assert powers["guard"] < 0.1 * powers["sync"]


def test_every_slot_is_a_segment_and_the_gap_is_between_their_indices(tmp_path):
    path = saved(tmp_path, *played("digital"))
    captures = strictly(path).get_captures()
    assert [each["airzero:device"] for each in captures] == [0, 1, 2]
    starts, indices = ([each[f"core:{key}"] for each in captures] for key in ("sample_start", "global_index"))
    assert starts[0] == 0
    assert np.diff(indices).tolist() == np.diff(starts).tolist()  # slots follow one another on a simulated air
    assert [each.known.first_sample for each in load_recording(path).captured] == indices


def test_a_probe_says_who_sent_it_to_whom(probe):
    recording = strictly(probe)
    (note,) = recording.get_annotations()
    assert (note["core:label"], note["core:comment"]) == ("probe", "access point to device 1")
    assert note["core:freq_lower_edge"] == 915e6 - 96 / 256 * 1e6
    assert note["core:freq_upper_edge"] == 915e6 + 96 / 256 * 1e6
    assert recording.get_global_field("ntia-emitter:emitters") == [{"id": "access point", "center_frequency": 915e6}]
    assert recording.get_global_field("ntia-sensor:sensor")["sensor_spec"]["id"] == "device 1"
    (capture,) = recording.get_captures()
    assert (capture["core:datetime"], capture["core:global_index"]) == ("2001-09-09T01:46:40.000000Z", 12_345)
    read = load_recording(probe)
    assert (read.keys.device, read.keys.direction, read.keys.capture) == (1, "downlink", 2)
    assert (read.keys.coarse_cfo_hz, read.global_index, read.sample_rate_hz) == (7.0, 12_345, 1e6)
    assert read.samples.size == 40 * 256
    assert np.mean(np.abs(read.samples) ** 2) == pytest.approx(0.01 * read.probe.power, rel=1e-3)


def test_an_overload_is_said(tmp_path):
    config_rig, rig, round_played = played("coherent")
    round_played.reception.captured[0].samples[7] = 1.0
    path = saved(tmp_path, config_rig, rig, round_played)
    assert strictly(path).get_captures()[0]["ntia-sensor:overload"] is True


def test_an_earlier_measurement_s_recording_is_still_one(probe, tmp_path):
    meta = json.loads(probe.read_text())
    for key in ("capture", "num_samples", "coarse_cfo_hz"):
        del meta["global"][f"airzero:{key}"]
    del meta["captures"][0]["core:global_index"], meta["captures"][0]["core:datetime"]
    read = load_recording(changed(probe, tmp_path, meta))
    assert (read.keys.coarse_cfo_hz, read.global_index, read.datetime) == (0.0, None, None)


# ---- what is none


def changed(path, folder, meta, data=None):
    """A copy with another .sigmf-meta, and other samples if told, whose checksum is right."""
    place = folder / path.name
    if data is None:
        data = path.with_suffix(".sigmf-data").read_bytes()
    elif isinstance(meta, dict):
        meta["global"]["core:sha512"] = hashlib.sha512(data).hexdigest()
    place.with_suffix(".sigmf-data").write_bytes(data)
    place.write_bytes(meta if isinstance(meta, bytes) else json.dumps(meta).encode())
    return place


def without(section, key):
    def change(meta):
        del meta[section][key]

    return change


def with_(key, value):
    def change(meta):
        meta["global"][key] = value

    return change


REFUSED = {
    "no rate": (without("global", "core:sample_rate"), "missing required field `core:sample_rate`"),
    "no checksum": (without("global", "core:sha512"), "missing required field `core:sha512`"),
    "NaN": (with_("core:sample_rate", float("nan")), "JSON: got .*malformed"),
    "an absurd rate": (with_("core:sample_rate", 1e12), r"core:sample_rate: got 1e\+12; allowed: 1000 to 6.144e\+07"),
    "a rate of 0": (with_("core:sample_rate", 0), "core:sample_rate: got 0; allowed"),
    "another type": (with_("core:datatype", "cu8"), "core:datatype: got 'cu8'; allowed: ci16_le or cf32_le"),
    "another checksum": (with_("core:sha512", "0" * 128), "checksum: got another than core:sha512"),
    "fewer samples": (with_("airzero:num_samples", 10**6), r"size: got \d+ samples; allowed: 1000000, as"),
    "two channels": (with_("core:num_channels", 2), "allowed: one channel of a whole file"),
    "no segments": (lambda meta: meta.update(captures=[]), "captures: got none"),
    "no captures": (lambda meta: meta.pop("captures"), "captures: got nothing; allowed: an array"),
    "no global": (lambda meta: meta.update({"global": 3}), "global: got something else; allowed: an object"),
}
REFUSED_PROBES = {
    "no period": (without("global", "airzero:probe_period_samples"), "field `airzero:probe_period_samples`"),
    "an odd period": (with_("airzero:probe_period_samples", 100), "probe period: got 100 samples; allowed: powers of"),
    "a huge period": (with_("airzero:probe_period_samples", 1 << 40), "probe period: got 1099511627776 samples"),
    "too much power": (with_("airzero:probe_power_dbfs", 3.0), "probe power: got 1.99"),
    "endless power": (with_("airzero:probe_power_dbfs", 1e300), "airzero:probe_power_dbfs: got 1e\\+300"),
    "another direction": (with_("airzero:direction", "sideways"), "Invalid enum value 'sideways'"),
    "no full scale": (with_("airzero:full_scale", 0), "Expected `int` >= 1"),
}
REFUSED_PAYLOADS = {
    "no namespace": (without("global", "airzero:plan"), "missing required field `airzero:plan`"),
    "an impossible plan": (
        lambda meta: meta["global"]["airzero:plan"].update(gain=-1.0),
        "airzero:plan.gain: got -1.0",
    ),
    "others' channels": (
        lambda meta: meta["global"]["airzero:channels"].pop(),
        r"airzero:channels: got devices \[0, 1\]",
    ),
    "no index": (lambda meta: meta["captures"][0].pop("core:global_index"), "a segment without core:global_index"),
    "no noise": (lambda meta: meta["captures"][0].pop("airzero:noise_power"), "field `airzero:noise_power`"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("kind", ["payload", "probe"])
def test_what_is_no_recording_is_refused_with_the_reason(request, tmp_path, kind, what):
    refuses(request.getfixturevalue(kind), tmp_path, *REFUSED[what])


@pytest.mark.parametrize("what", REFUSED_PROBES)
def test_so_is_a_probe_that_cannot_have_been_sent(probe, tmp_path, what):
    refuses(probe, tmp_path, *REFUSED_PROBES[what])


@pytest.mark.parametrize("what", REFUSED_PAYLOADS)
def test_so_is_a_payload_of_which_something_is_missing(payload, tmp_path, what):
    refuses(payload, tmp_path, *REFUSED_PAYLOADS[what])


def refuses(path, folder, change, reason):
    meta = json.loads(path.read_text())
    change(meta)
    with pytest.raises(RunDirectoryError, match=reason) as refused:
        load_recording(changed(path, folder, meta))
    assert "\n" not in str(refused.value)
    assert path.stem in str(refused.value)


def test_files_that_are_missing_cut_off_or_no_json_are_refused(payload, tmp_path):
    meta, data = json.loads(payload.read_text()), payload.with_suffix(".sigmf-data").read_bytes()
    for change, reason in (
        (b"", "JSON: got Input data was truncated"),
        (b"{", "JSON: got Input data was truncated"),
        (b"[]", "JSON: got list; allowed: an object"),
        (b"\xff\xfe", "JSON: got"),
        (b"[" * 200_000, "JSON: got (one that is nested too deeply|Input data was truncated)"),
        (b'{"global": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "JSON: got one that is nested too deeply"),
    ):
        with pytest.raises(RunDirectoryError, match=reason):
            load_recording(changed(payload, tmp_path, change))
    for part, reason in ((data[:-3], "size: got .* bytes; allowed: a whole number"), (b"", "size: got 0 bytes")):
        with pytest.raises(RunDirectoryError, match=reason):
            load_recording(changed(payload, tmp_path, copy.deepcopy(meta), part))
    with pytest.raises(RunDirectoryError, match=r"size: got \d+ samples; allowed: \d+, as its \.sigmf-meta says"):
        load_recording(changed(payload, tmp_path, copy.deepcopy(meta), data[:-8]))
    with pytest.raises(RunDirectoryError, match="samples: got NaN or infinite ones"):
        load_recording(changed(payload, tmp_path, copy.deepcopy(meta), b"\xff" * 4 + data[4:]))
    place = changed(payload, tmp_path, meta)
    for suffix in (".sigmf-data", ".sigmf-meta"):
        kept = place.with_suffix(suffix).read_bytes()
        place.with_suffix(suffix).unlink()
        with pytest.raises(RunDirectoryError, match=rf"{suffix}: cannot be read: No such file"):
            load_recording(place)
        place.with_suffix(suffix).write_bytes(kept)
    assert isinstance(load_recording(place.with_suffix(".sigmf-data")), PayloadRecording)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
    | st.sampled_from([-1, 0, 1e308, 5e-324, 2**63, 10**400, "cf32_le", "ci16_le", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@st.composite
def mutations(draw):
    """What to do to a JSON: a way down, by shares of what there is, and what happens at its end."""
    way = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=6))
    return way, draw(st.sampled_from(["replace", "remove", "double"])), draw(JSON)


def mutate(value, way, what, new):
    keys = sorted(value) if isinstance(value, dict) else list(range(len(value)))
    if not keys:
        return
    key = keys[int(way[0] * len(keys))]
    if len(way) > 1 and isinstance(value[key], (dict, list)):
        mutate(value[key], way[1:], what, new)
    elif what == "remove":
        del value[key]
    elif what == "double" and isinstance(value, list):
        value.append(copy.deepcopy(value[key]))
    else:
        value[key] = new


@pytest.mark.parametrize("kind", ["payload", "probe"])
@given(changes=st.lists(mutations(), min_size=1, max_size=3))
def test_no_change_of_its_json_raises_anything_else(request, tmp_path_factory, kind, changes):
    path = request.getfixturevalue(kind)
    meta = json.loads(path.read_text())
    for way, what, new in changes:
        mutate(meta, way, what, new)
    loads_or_refuses(changed(path, tmp_path_factory.getbasetemp(), json.dumps(meta).encode()))


@given(at=st.floats(0, 1, exclude_max=True), new=st.binary(max_size=6), gone=st.integers(0, 40))
def test_nor_does_any_change_of_its_bytes(payload, tmp_path_factory, at, new, gone):
    text = payload.read_bytes()
    place = int(at * len(text))
    loads_or_refuses(changed(payload, tmp_path_factory.getbasetemp(), text[:place] + new + text[place + gone :]))


def loads_or_refuses(path):
    try:
        load_recording(path)
    except RunDirectoryError as err:
        assert "\n" not in str(err)  # noqa: PT017
