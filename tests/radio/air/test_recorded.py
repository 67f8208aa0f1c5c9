"""Recorded taps are the air's, block after block; what is no recording is refused."""

from pathlib import Path

import numpy as np
import pytest

from radio.air.air import Air
from radio.air.config import AirConfig
from radio.air.fading import block_fading
from radio.errors import RadioConfigError

RATE_HZ = 1e6


@pytest.fixture
def taps() -> np.ndarray:
    """[4 blocks, 2 devices, 3 taps]"""
    draw = np.random.default_rng(1)
    return 0.1 * (draw.normal(size=(4, 2, 3)) + 1j * draw.normal(size=(4, 2, 3)))


def saved(path: Path, given: np.ndarray, **changes: object) -> str:
    arrays = {"taps": given, "tap_delays_samples": np.arange(given.shape[-1]), "rate_hz": RATE_HZ, **changes}
    np.savez(path / "taps.npz", **arrays)  # type: ignore[arg-type]
    return str(path / "taps.npz")


def recorded(recording: str, taps: np.ndarray, **changes: object) -> AirConfig:
    losses_db = -10 * np.log10((np.abs(taps) ** 2).mean(axis=0).sum(axis=1))
    middle, spread = float(losses_db.mean()), float(np.ptp(losses_db)) / 2
    offsets = tuple(np.clip(losses_db - middle, -spread, spread).tolist())
    settings = {"path_loss_db": middle, "path_loss_spread_db": spread, "path_loss_offsets_db": offsets, **changes}
    return AirConfig(fading="recorded", recording=recording, **settings)  # type: ignore[arg-type]


def test_each_block_has_the_next_recorded_one(tmp_path: Path, taps: np.ndarray) -> None:
    air = Air(recorded(saved(tmp_path, taps), taps), num_devices=2, seed=1, sample_rate_hz=RATE_HZ, tx_power=1.0)
    for round_index in range(9):
        for attempt in (1, 2):
            air.begin_block(round_index, attempt)
            truth = air.truth()
            np.testing.assert_allclose(truth.tap_gains, taps[(round_index + attempt - 1) % 4], rtol=1e-9)
            assert truth.tap_delays_samples.tolist() == [0, 1, 2]


def test_what_is_sent_arrives_through_the_taps(tmp_path: Path, taps: np.ndarray) -> None:
    config = recorded(saved(tmp_path, taps), taps, snr_db=float("inf"), cfo_max_hz=0.0, delay_max_samples=0.0)
    air = Air(config, num_devices=2, seed=1, sample_rate_hz=RATE_HZ, tx_power=1.0)
    air.begin_block(0, 1)
    sent = np.zeros(64, np.complex64)
    sent[20] = 0.5
    air.transmit(1, sent, 1)
    heard = air.capture(2, 64)
    np.testing.assert_allclose(heard[20:23], 0.5 * taps[0, 1], atol=1e-6)
    assert np.abs(np.delete(heard, [20, 21, 22])).max() < 1e-6


def test_the_symbol_level_has_the_sums_of_taps(tmp_path: Path, taps: np.ndarray) -> None:
    config = recorded(saved(tmp_path, taps), taps, level="symbol")
    fading = block_fading(config, RATE_HZ, num_devices=2, seed=1)
    powers = np.sqrt((np.abs(taps) ** 2).mean(axis=0).sum(axis=1))
    np.testing.assert_allclose(fading.gains(5, 1)[:, 0] * powers, taps[1].sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rate_hz": 2e6}, "was recorded at 2e+06 samples/s; this rig has 1e+06; set radio.sample_rate_hz"),
        ({"tap_delays_samples": np.arange(2)}, "has taps of shape (4, 2, 3) and 2 delays"),
        ({"tap_delays_samples": np.array([-1.0, 0, 1])}, "has delays below 0"),
        ({"taps": np.zeros((4, 2, 3))}, "has a device that is never heard"),
        ({"taps": np.full((4, 2, 3), np.nan)}, "allowed: finite [blocks, devices, taps]"),
        ({"taps": np.array(["x"])}, "holds no recorded taps"),
    ],
)
def test_what_is_no_recording_is_refused(
    tmp_path: Path, taps: np.ndarray, changes: dict[str, object], expected: str
) -> None:
    config = recorded(saved(tmp_path, taps, **changes), taps)
    with pytest.raises(RadioConfigError) as caught:
        Air(config, num_devices=2, seed=1, sample_rate_hz=RATE_HZ, tx_power=1.0)
    assert expected in str(caught.value)


def test_missing_and_foreign_files_and_other_numbers_of_devices_are_refused(tmp_path: Path, taps: np.ndarray) -> None:
    def made(recording: str, num_devices: int = 2) -> Air:
        config = recorded(recording, taps)
        return Air(config, num_devices=num_devices, seed=1, sample_rate_hz=RATE_HZ, tx_power=1.0)

    with pytest.raises(RadioConfigError, match=r"No such file or directory; name taps\.npz"):
        made(str(tmp_path / "none.npz"))
    (tmp_path / "other.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(RadioConfigError, match="holds no recorded taps"):
        made(str(tmp_path / "other.npz"))
    with pytest.raises(RadioConfigError, match=r"has 2 links, 3 are needed|got 2 for 3 links"):
        made(saved(tmp_path, taps), num_devices=3)


@pytest.mark.parametrize(
    "settings",
    [
        {"fading": "recorded"},
        {"recording": "x.npz"},
        {"fading": "recorded", "recording": "x.npz", "doppler_hz": 5.0},
        {"fading": "recorded", "recording": "x.npz", "tdl": "A"},
    ],
)
def test_contradictions_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(RadioConfigError, match="allowed: "):
        AirConfig(**settings)  # type: ignore[arg-type]
