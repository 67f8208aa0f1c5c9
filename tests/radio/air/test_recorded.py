"""Recorded channels are the air's, block after block, and within a block as they moved."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from radio.air.air import Air
from radio.air.config import AirConfig
from radio.air.fading import block_fading
from radio.errors import RadioConfigError
from radio.randomness import generator

RATE_HZ = 1e6


@pytest.fixture
def taps() -> np.ndarray:
    """[4 blocks, 1 step, 2 devices, 3 taps], of mean power 0.01"""
    draw = generator(1, purpose="a test").normal(size=(4, 1, 2, 3, 2)).view(np.complex128)[..., 0]
    return np.asarray(0.1 * draw / np.sqrt(np.mean(np.sum(np.abs(draw) ** 2, axis=3))))


def saved(path: Path, taps: np.ndarray, **attributes: float) -> str:
    """A tap at each whole sample."""
    with h5py.File(path / "channels.h5", "w") as file:
        file["a"] = taps.transpose(0, 2, 3, 1)[:, None, None, :, None]
        file["tau"] = np.broadcast_to(np.arange(taps.shape[3]) / RATE_HZ, (len(taps), 1, *taps.shape[2:]))
        file.attrs.update({"sample_rate_hz": RATE_HZ, **attributes})
    return f"sionna:{path / 'channels.h5'}"


def air_of(channel: str, num_devices: int = 2, **changes: object) -> Air:
    settings = {"path_loss_db": 20.0, "snr_db": float("inf"), "cfo_max_hz": 0.0, "delay_max_samples": 0.0, **changes}
    config = AirConfig(channel=channel, **settings)  # type: ignore[arg-type]
    return Air(config, num_devices=num_devices, seed=1, sample_rate_hz=RATE_HZ, tx_power=1.0)


def test_each_block_has_the_next_recorded_one(tmp_path: Path, taps: np.ndarray) -> None:
    air = air_of(saved(tmp_path, taps))
    for round_index in range(9):
        for attempt in (1, 2):
            air.begin_block(round_index, attempt)
            truth = air.truth()
            np.testing.assert_allclose(truth.tap_gains, taps[(round_index + attempt - 1) % 4, 0], rtol=1e-9)
            np.testing.assert_allclose(truth.tap_delays_samples, [0, 1, 2])


def test_what_is_sent_arrives_through_the_taps(tmp_path: Path, taps: np.ndarray) -> None:
    air = air_of(saved(tmp_path, taps))
    air.begin_block(0, 1)
    sent = np.zeros(64, np.complex64)
    sent[20] = 0.5
    air.transmit(1, sent, 1)
    heard = air.capture(2, 64)
    np.testing.assert_allclose(heard[20:23], 0.5 * taps[0, 0, 1], atol=1e-6)
    assert np.abs(np.delete(heard, [20, 21, 22])).max() < 1e-6


def test_the_symbol_level_has_the_sums_of_taps(tmp_path: Path, taps: np.ndarray) -> None:
    config = AirConfig(channel=saved(tmp_path, taps), level="symbol", path_loss_db=20)
    fading = block_fading(config, RATE_HZ, num_devices=2, seed=1)
    np.testing.assert_allclose(0.1 * fading.gains(2, 1)[:, 0], taps[2, 0].sum(axis=1))


@pytest.fixture
def track() -> np.ndarray:
    """[3 blocks, 11 steps, 2 devices, 1 tap], a turn that grows, of mean power 0.01"""
    steps = np.arange(11)[None, :, None, None]
    block = np.arange(3)[:, None, None, None]
    device = np.arange(2)[None, None, :, None]
    shape = (1 + 0.05 * steps) * np.exp(1j * (0.3 * steps + block + 2 * device))
    return np.asarray(0.1 * shape / np.sqrt(np.mean(np.abs(shape) ** 2)))


def test_gains_move_within_a_block_as_they_were_recorded(tmp_path: Path, track: np.ndarray) -> None:
    """Steps of 1,000 samples; a block begins whenever it is asked for, and captures in pieces are one capture."""
    channel = saved(tmp_path, track, sampling_frequency_hz=1e3)
    whole, pieces = air_of(channel), air_of(channel)
    frame = np.full(64, 0.5, np.complex64)
    for air in (whole, pieces):
        air.elapse(12_345)
        air.begin_block(4, 1)
        air.transmit(1, frame, None)
    heard = whole.capture(2, 10_000)
    np.testing.assert_array_equal(heard, np.concatenate([pieces.capture(2, num) for num in (1, 4_000, 5_999)]))
    steps = np.arange(100, 10_000) / 1_000
    expected = np.interp(steps, np.arange(11), track[1, :, 1, 0].real) + 1j * np.interp(
        steps, np.arange(11), track[1, :, 1, 0].imag
    )
    np.testing.assert_allclose(heard[100:], 0.5 * expected, atol=2e-3)
    assert np.abs(np.diff(np.unwrap(np.angle(heard[100:])))).max() < 1e-3


def test_a_round_beyond_what_was_recorded_is_refused(tmp_path: Path, track: np.ndarray) -> None:
    air = air_of(saved(tmp_path, track, sampling_frequency_hz=1e3))
    air.begin_block(0, 1)
    air.transmit(0, np.full(64, 0.5, np.complex64), None)
    air.capture(2, 10_000)
    with pytest.raises(RadioConfigError, match=r"recorded for 10000 samples.*--capture-ms"):
        air.capture(2, 4_000)


def test_a_single_block_goes_on_for_ever_on_the_air_s_clock(tmp_path: Path, track: np.ndarray) -> None:
    air = air_of(saved(tmp_path, track[:1], sampling_frequency_hz=1e3))
    reference = air.truth().tap_gains[:, 0]
    scale = 0.1 / np.sqrt(np.mean(np.abs(track[0]) ** 2))
    np.testing.assert_allclose(reference, scale * track[0, 0, :, 0])
    for round_index in range(5):
        air.elapse(3_000)
        air.begin_block(round_index, 1)
        place = 3 * (round_index + 1) % 10
        np.testing.assert_allclose(air.truth().tap_gains[:, 0], scale * track[0, place, :, 0])


def test_another_rate_or_number_of_devices_is_refused(tmp_path: Path, taps: np.ndarray) -> None:
    channel = saved(tmp_path, taps, sample_rate_hz=2e6)
    with pytest.raises(RadioConfigError, match=r"was recorded at 2e\+06 samples/s; this rig has 1e\+06"):
        air_of(channel)
    channel = saved(tmp_path, taps)
    with pytest.raises(RadioConfigError, match=r"has 2 links, 3 are needed.*num_devices = 2"):
        air_of(channel, num_devices=3)


@pytest.mark.parametrize("changes", [{"doppler_hz": 5.0}, {"tdl": "A"}, {"block_correlation": 0.5}])
def test_a_recording_has_its_own_motion_and_paths(changes: dict[str, object]) -> None:
    with pytest.raises(RadioConfigError, match="a recording has its own"):
        AirConfig(channel="sionna:x.h5", **changes)  # type: ignore[arg-type]
