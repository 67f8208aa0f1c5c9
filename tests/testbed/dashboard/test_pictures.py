"""What is drawn of captures: the spectrum of a tone, parts, alignment; and what of a private run is not."""

import msgspec
import numpy as np
import pytest

from testbed.config.files import from_toml
from testbed.dashboard.captures import Captures
from testbed.dashboard.pictures import picture_of, spectrum
from testbed.errors import RunDirectoryError
from testbed.results.live.capture import MAX_SAMPLES, NAME, PUBLIC_PARTS, last_capture, read_last, read_recorded
from testbed.results.live.writing import LiveCapture
from testbed.results.sigmf.reading import load_recording


def recorded(run, *, private):
    config = from_toml(run / "config.toml")
    meta = sorted((run / "captures").glob("*.sigmf-meta"))[-1]
    margin = config.rig.frame.cyclic_prefix_samples
    return config, meta, read_recorded(meta, margin_samples=margin, private=private)


def test_a_tone_has_its_power_at_its_frequency():
    tone = 0.5 * np.exp(2j * np.pi * 0.125 * np.arange(4096)).astype(np.complex64)
    frequencies, powers = spectrum(tone, np.ones(4096, dtype=bool), sample_rate_hz=1e6)
    assert frequencies[np.argmax(powers)] == pytest.approx(125e3)
    total = np.sum(10 ** (powers / 10))
    assert 10 * np.log10(total) == pytest.approx(20 * np.log10(0.5), abs=0.1)


def test_nothing_to_see_has_no_spectrum():
    frequencies, powers = spectrum(np.ones(4096, dtype=np.complex64), np.zeros(4096, dtype=bool), sample_rate_hz=1e6)
    assert frequencies.size == powers.size == 0


def test_a_picture_says_what_the_recording_says(finished):
    config, meta, capture = recorded(finished, private=False)
    seen = picture_of(capture, config.rig.frame, config.rig.radio, num_devices=5, source="recording")
    recording = load_recording(meta)
    samples = recording.captured[0].samples
    assert seen.round == recording.keys.round + 1
    assert seen.num_samples == samples.size
    assert max(seen.in_phase) == pytest.approx(samples.real.max(), rel=1e-3)
    assert min(value for value in seen.quadrature if value == value) == pytest.approx(samples.imag.min(), rel=1e-3)
    assert [part.name for part in seen.parts] == ["guard", "sync", "pilots", "gap", "values", "pilots", "tail"]
    assert seen.parts[-1].end_us == pytest.approx(samples.size / capture.sample_rate_hz * 1e6)
    for device, channel in zip(seen.devices, recording.keys.channels, strict=True):
        power = abs(complex(*channel.gain)) ** 2
        assert device.gain_db == pytest.approx(10 * np.log10(power))
        assert device.cfo_hz == channel.sounding.cfo_hz
        snr = config.rig.radio.max_power * power / channel.sounding.noise_power
        assert device.snr_db == pytest.approx(10 * np.log10(snr))


def test_devices_of_a_good_round_are_aligned_and_one_that_is_turned_is_not(finished):
    config, _, capture = recorded(finished, private=False)
    frame, radio = config.rig.frame, config.rig.radio
    seen = picture_of(capture, frame, radio, num_devices=5, source="recording")
    assert all(device.alignment_error_db < -20 for device in seen.devices)
    turned = msgspec.structs.replace(capture, samples=(capture.iq() * np.complex64(1j)).astype("<c8").tobytes())
    worse = picture_of(turned, frame, radio, num_devices=5, source="recording")
    for device in worse.devices:  # |j − 1| = √2
        assert device.alignment_error_db == pytest.approx(20 * np.log10(np.sqrt(2)), abs=0.5)


def test_of_a_private_run_no_sample_that_may_hold_a_value_is_left(private):
    config, meta, capture = recorded(private, private=True)
    samples, whole = capture.iq(), load_recording(meta).captured[0].samples
    values = next(part for part in capture.parts if part.name == "values")
    begin, end = values.first_sample, values.first_sample + values.num_samples
    margin = config.rig.frame.cyclic_prefix_samples
    assert margin > 0
    assert not samples[begin - margin : end + margin].any()
    assert np.count_nonzero(samples) > 0.8 * samples.size
    pilots = next(part for part in capture.parts if part.name == "pilots")
    kept = slice(pilots.first_sample, pilots.first_sample + pilots.num_samples)
    np.testing.assert_array_equal(samples[kept], whole[kept])
    seen = picture_of(capture, config.rig.frame, config.rig.radio, num_devices=5, source="recording")
    assert [part.name for part in seen.parts if part.withheld] == ["values"]
    assert seen.withheld


def test_what_is_in_no_known_part_is_withheld(finished):
    _, meta, _ = recorded(finished, private=False)
    recording = load_recording(meta)
    kept = last_capture(
        recording.captured[0].samples, recording.keys, (), sample_rate_hz=1e6, margin_samples=0, private=True
    )
    assert not kept.iq().any()
    assert not {"values", "slot", "tones", "search"} & PUBLIC_PARTS


def test_of_a_long_capture_the_beginning_is_kept(finished):
    _, _, capture = recorded(finished, private=False)
    long = np.ones(MAX_SAMPLES + 10, dtype=np.complex64)
    kept = last_capture(long, capture.keys, (), sample_rate_hz=1e6, margin_samples=0, private=False)
    assert (kept.iq().size, kept.num_captured) == (MAX_SAMPLES, MAX_SAMPLES + 10)


def test_the_newest_capture_is_shown_and_a_damaged_one_is_named(growing):
    config = from_toml(growing / "config.toml")
    captures = Captures(growing)
    assert captures.look(config)
    assert captures.picture is not None
    assert captures.picture.source == "recording"
    assert not captures.look(config)
    (growing / NAME).write_bytes(b"\xc1 no capture")
    assert captures.look(config)
    assert captures.picture is None
    assert NAME in (captures.problem or "")
    with pytest.raises(RunDirectoryError, match="not a capture of this version"):
        read_last(growing / NAME)


def test_a_file_that_holds_values_is_not_shown_of_a_private_run(growing, private):
    config = from_toml(private / "config.toml")
    _, _, capture = recorded(growing, private=False)
    (growing / NAME).write_bytes(msgspec.msgpack.encode(capture))
    captures = Captures(growing)
    captures.look(config)
    assert captures.picture is None
    assert "private run" in (captures.problem or "")


def test_a_disk_that_refuses_the_file_does_not_end_the_run(finished, tmp_path):
    _, meta, _ = recorded(finished, private=False)
    recording = load_recording(meta)
    now = [0.0]
    asked = []

    def info():
        asked.append(now[0])
        return _about(finished, recording)

    live = LiveCapture(tmp_path / "nowhere", private=False, clock=lambda: now[0])
    for _ in range(3):
        live.offer(recording.captured, info)
        now[0] += 1.0
    assert asked == [0.0]


def test_at_most_four_captures_a_second_are_written(finished, tmp_path):
    _, meta, _ = recorded(finished, private=False)
    recording = load_recording(meta)
    now = [0.0]
    asked = []

    def info():
        asked.append(now[0])
        return _about(finished, recording)

    live = LiveCapture(tmp_path, private=False, clock=lambda: now[0])
    for step in range(101):
        now[0] = step / 100
        live.offer(recording.captured, info)
    assert len(asked) in (4, 5)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert read_last(tmp_path / NAME).iq().size == recording.captured[0].samples.size


def _about(run, recording):
    from testbed.results.recordings import CaptureInfo

    config = from_toml(run / "config.toml")
    return CaptureInfo(
        round=recording.keys.round,
        attempt=recording.keys.attempt,
        scheme=recording.keys.scheme,
        run_id=recording.keys.run_id,
        rig=config.rig,
        plan=recording.plan,
    )
