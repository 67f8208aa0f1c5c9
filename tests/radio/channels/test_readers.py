"""What a file holds is what an air gets, from every format; what a file does not say, or damage, is refused."""

import contextlib
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radio.air.air import Air
from radio.air.config import AirConfig
from radio.channels.files import load_channels
from radio.channels.recorded import MAX_TAPS, RecordedChannels, common_taps, complete
from radio.channels.sionna import encoded
from radio.errors import RadioConfigError

DRAW = np.random.default_rng(3)
B, K, P, S = 3, 4, 5, 2


def gaussian(*shape: int) -> np.ndarray:
    return DRAW.normal(size=shape) + 1j * DRAW.normal(size=shape)


def sionna_arrays(num_rx: int = 1, num_tx: int = K, steps: int = 1) -> tuple[np.ndarray, np.ndarray]:
    a = gaussian(B, num_rx, 1, num_tx, 1, P, steps).astype(np.complex64)
    return a, DRAW.uniform(0, 3e-6, (B, num_rx, num_tx, P)).astype(np.float32)


def as_h5(path: Path, a: np.ndarray, tau: np.ndarray, **attributes: object) -> str:
    with h5py.File(path, "w") as file:
        file["a"], file["tau"] = a, tau
        file.attrs.update(attributes)
    return f"sionna:{path}"


def test_sionna_export_and_import_are_the_same_channels(tmp_path: Path) -> None:
    a, tau = sionna_arrays(steps=S)
    first = load_channels(as_h5(tmp_path / "a.h5", a, tau, sampling_frequency_hz=1e3))
    (tmp_path / "again.h5").write_bytes(encoded(first))
    again = load_channels(f"sionna:{tmp_path / 'again.h5'}")
    for found in (first, again):
        np.testing.assert_allclose(found.gains, a[:, 0, 0, :, 0].transpose(0, 3, 1, 2), rtol=1e-6)
        np.testing.assert_allclose(found.delays_s, tau[:, 0], rtol=1e-6)
        assert found.step_s == pytest.approx(1e-3)
    np.savez(tmp_path / "a.npz", a=a, tau=tau, sampling_frequency_hz=1e3)
    np.testing.assert_array_equal(load_channels(f"sionna:{tmp_path / 'a.npz'}").gains, first.gains)


def test_any_receiver_is_the_access_point_and_links_may_go_the_other_way(tmp_path: Path) -> None:
    a, tau = sionna_arrays(num_rx=3)
    line = as_h5(tmp_path / "a.h5", a, tau)
    with pytest.raises(RadioConfigError, match=r"3 receivers and 4 transmitters.*access_point=0"):
        load_channels(line)
    found = load_channels(f"{line}?access_point=2&devices=3,0")
    np.testing.assert_array_equal(found.gains[:, 0], a[:, 2, 0, :, 0, :, 0][:, [3, 0]].astype(complex))
    a, tau = sionna_arrays(num_rx=3, num_tx=1)
    back = load_channels(as_h5(tmp_path / "b.h5", a, tau))
    np.testing.assert_array_equal(back.gains[:, 0], a[:, :, 0, 0, 0, :, 0].astype(complex))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a, tau: (a[..., 0], tau), "a has 6 axes and tau 4"),
        (lambda a, tau: (a.real, tau), "a is float32"),
        (lambda a, tau: (a, tau[..., :-1]), "tau has shape"),
        (lambda a, tau: (a, tau.astype(int)), "tau int64"),
        (lambda a, tau: (np.repeat(a, 2, axis=2), tau), "2 antennas"),
        (lambda a, tau: (a * np.nan, tau), "no block in which all 4 links were seen"),
        (lambda a, tau: (a, tau - 1), "delays from 0 on"),
        (lambda a, tau: (np.repeat(a, 2, axis=6), tau), "how far they are apart"),
        (lambda a, tau: (a[:, :, :, :0], tau[:, :, :0]), "has gains of shape"),
    ],
)
def test_arrays_of_another_form_are_refused(
    change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]], said: str, tmp_path: Path
) -> None:
    with pytest.raises(RadioConfigError, match=r"air\.channel") as refused:
        load_channels(as_h5(tmp_path / "a.h5", *change(*sionna_arrays())))
    assert said in str(refused.value)
    assert "allowed: " in str(refused.value)


def test_blocks_with_a_gap_are_left_out_and_counted(tmp_path: Path) -> None:
    a, tau = sionna_arrays()
    a[1, 0, 0, 2, 0, 3] = np.nan
    tau[:, 0, 1, -1], a[:, 0, 0, 1, 0, -1] = -1, 0  # a path that is not there
    found = load_channels(as_h5(tmp_path / "a.h5", a, tau))
    assert (len(found.gains), found.num_left_out) == (2, 1)
    np.testing.assert_array_equal(found.gains[:, 0], a[[0, 2], 0, 0, :, 0, :, 0].astype(complex))
    assert found.delays_s.min() == 0


def utah(path: Path, num_nodes: int = 6, num_samples: int = 40, version: str = "5") -> np.ndarray:
    """A file of the layout of the 44-node set: savedSig{i, j}, a row for each response of i → j."""
    cells = np.empty((num_nodes, num_nodes), dtype=object)
    for i in range(num_nodes):
        for j in range(num_nodes):
            cells[i, j] = np.zeros((0, 0)) if i == j else gaussian(5 + (i + j) % 2, num_samples)
    scipy.io.savemat(path, {"savedSig": cells, "note": "synthetic"}, format=version)
    return cells


def test_any_node_of_a_measured_set_is_the_access_point(tmp_path: Path) -> None:
    cells = utah(tmp_path / "set.mat")
    line = f"matlab:{tmp_path / 'set.mat'}"
    with pytest.raises(RadioConfigError, match="does not say its sample rate"):
        load_channels(f"{line}?access_point=3")
    with pytest.raises(RadioConfigError, match=r"access_point: got None; allowed: 1 to 6"):
        load_channels(f"{line}?rate_hz=1e6")
    with pytest.raises(RadioConfigError, match="not the access point"):
        load_channels(f"{line}?rate_hz=1e6&access_point=3&devices=3")
    found = load_channels(f"{line}?rate_hz=20e6&access_point=3&devices=6,1")
    assert found.gains.shape == (5, 1, 2, 40)
    np.testing.assert_allclose(found.gains[:, 0, 0], cells[5, 2][:5])
    np.testing.assert_allclose(found.gains[:, 0, 1], cells[0, 2][:5])
    np.testing.assert_allclose(found.delays_s[0, 0], np.arange(40) / 20e6)
    assert load_channels(f"{line}?rate_hz=20e6&access_point=1").num_devices == 5


@pytest.mark.parametrize("seed", [95, 182, 1047])
def test_a_file_that_ends_its_reader_ends_nothing_else(seed: int, tmp_path: Path) -> None:
    """Of 1,500 files damaged like this, SciPy 1.17's reader ended its process by a signal on four, these among them."""
    draw, cells = np.random.default_rng(0), np.empty((6, 6), dtype=object)
    for i, j in np.ndindex(6, 6):
        real, imag = (np.zeros((0, 0)),) * 2 if i == j else (draw.normal(size=(5, 40)), draw.normal(size=(5, 40)))
        cells[i, j] = real if i == j else real + 1j * imag
    whole = io.BytesIO()
    scipy.io.savemat(whole, {"savedSig": cells, "note": "x"})
    damaged, choice = bytearray(whole.getvalue()), random.Random(seed)
    for _ in range(choice.randint(1, 6)):
        value, is_near = choice.randrange(256), choice.random() < 0.7
        damaged[choice.randrange(min(len(damaged), 4000) if is_near else len(damaged))] = value
    (tmp_path / "bad.mat").write_bytes(bytes(damaged))
    with contextlib.suppress(RadioConfigError):
        assert load_channels(f"matlab:{tmp_path / 'bad.mat'}?rate_hz=1e6&access_point=1").num_devices <= 5


def test_what_is_no_file_of_cells_is_refused(tmp_path: Path) -> None:
    utah(tmp_path / "set.mat")
    raw = (tmp_path / "set.mat").read_bytes()
    newer = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(512)
    for name, data, said in (
        ("cut", raw[: len(raw) // 2], "cannot be read as a MATLAB file"),
        ("newer", newer, "as MATLAB saves it with -v7"),
        ("text", b"no MATLAB file at all", "cannot be read as a MATLAB file"),
    ):
        (tmp_path / f"{name}.mat").write_bytes(data)
        with pytest.raises(RadioConfigError, match=said):
            load_channels(f"matlab:{tmp_path / f'{name}.mat'}?rate_hz=1e6&access_point=1")
    with pytest.raises(RadioConfigError, match="variable: got other; allowed: savedSig"):
        load_channels(f"matlab:{tmp_path / 'set.mat'}?rate_hz=1e6&access_point=1&variable=other")


def scenario(folder: Path) -> dict[str, np.ndarray]:
    parts = {
        "power": DRAW.uniform(-90, -60, (20, 6)),
        "phase": DRAW.uniform(-180, 180, (20, 6)),
        "delay": DRAW.uniform(0, 1e-6, (20, 6)),
    }
    for key, values in parts.items():
        values[:, 4:] = np.nan
        scipy.io.savemat(folder / f"{key}_t001_tx000_r002.mat", {"data": values})
    return parts


def test_users_of_a_deepmimo_scenario_are_devices(tmp_path: Path) -> None:
    parts = scenario(tmp_path)
    with pytest.raises(RadioConfigError, match="names no devices"):
        load_channels(f"deepmimo:{tmp_path}")
    with pytest.raises(RadioConfigError, match="got r001; allowed: r002"):
        load_channels(f"deepmimo:{tmp_path}?devices=0&receivers=r001")
    with pytest.raises(RadioConfigError, match="got 20; allowed: 0 to 19"):
        load_channels(f"deepmimo:{tmp_path}?devices=20")
    found = load_channels(f"deepmimo:{tmp_path}?devices=7,3")
    power = 10 ** (parts["power"][[7, 3], :4] / 10)
    np.testing.assert_allclose(np.abs(found.gains[0, 0, :, :4]) ** 2, power)
    np.testing.assert_allclose(np.angle(found.gains[0, 0, :, :4], deg=True), parts["phase"][[7, 3], :4])
    np.testing.assert_allclose(found.delays_s[0, :, :4], parts["delay"][[7, 3], :4])
    assert not found.gains[0, 0, :, 4:].any()


def test_a_table_has_a_row_for_each_path(tmp_path: Path) -> None:
    text = "block,device,delay_s,real,imag,note\n0,0,0,1,0,x\n0,1,1e-6,0,2,\n1,0,0,3,0,\n"
    text += "1,1,0,1,1,\n1,1,2e-6,0,1,\n2,0,0,1,1,\n"
    (tmp_path / "c.csv").write_text(text, encoding="utf-8-sig")
    found = load_channels(f"csv:{tmp_path / 'c.csv'}")
    assert (found.gains.shape, found.num_left_out) == ((2, 1, 2, 2), 1)
    assert found.gains[1, 0, 1].tolist() == [1 + 1j, 1j]
    assert found.delays_s[1, 1].tolist() == [0, 2e-6]
    assert load_channels(f"csv:{tmp_path / 'c.csv'}?devices=0").gains.shape == (3, 1, 1, 1)
    for bad, said in (
        ("0,0,x,1,0\n", "line 2"),
        ("0,-1,0,1,0\n", "device -1"),
        ("0,0,0,1\n", "line 2"),
        ("0,0,nan,1,0\n", "delay nan"),
        ("", "no block"),
        ("999999,0,0,1,1\n999999,9999,0,1,1\n", "in all"),
    ):
        (tmp_path / "bad.csv").write_text("block,device,delay_s,real,imag\n" + bad)
        with pytest.raises(RadioConfigError, match=r"air\.channel") as refused:
            load_channels(f"csv:{tmp_path / 'bad.csv'}")
        assert said in str(refused.value)
    (tmp_path / "bad.csv").write_text("block,device\n0,0\n")
    with pytest.raises(RadioConfigError, match="has no column delay_s, real, imag"):
        load_channels(f"csv:{tmp_path / 'bad.csv'}")


def made(path: Path, kind: str) -> str:
    if kind == "sionna":
        return as_h5(path / "x.h5", *sionna_arrays())
    if kind == "npz":
        np.savez(path / "x.npz", **dict(zip(("a", "tau"), sionna_arrays(), strict=True)))
        return f"sionna:{path / 'x.npz'}"
    (path / "x.csv").write_text("block,device,delay_s,real,imag\n0,0,0,1,0\n0,1,0,1,0\n")
    return f"csv:{path / 'x.csv'}"


@pytest.mark.parametrize("kind", ["sionna", "npz", "csv"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_refused_or_read_and_nothing_else(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    line = made(folder, kind)
    path = next(folder.iterdir())
    raw = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw)))]
    for _ in range(data.draw(st.integers(0, 6))):
        if raw:
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(raw))
    with contextlib.suppress(RadioConfigError):
        assert np.isfinite(load_channels(line).gains).all()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for line in (f"sionna:{tmp_path / 'none.h5'}", "sionna:\0", f"deepmimo:{tmp_path / 'none'}"):
        with pytest.raises(RadioConfigError, match="cannot read"):
            load_channels(line)
    with pytest.raises(RadioConfigError, match=r"power_t001_tx000_r000\.mat"):
        load_channels(f"deepmimo:{tmp_path}?devices=0")
    with pytest.raises(RadioConfigError, match="cannot be read"):
        load_channels(f"sionna:{tmp_path}")


def test_what_would_fill_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A file of some kilobytes that unpacks to 16 GB, and taps that a small file would need."""
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        shape = (1 << 20, 1, 1, 2, 1, 512, 1)
        file.create_dataset("a", shape=shape, dtype=np.complex128, chunks=(1 << 14, 1, 1, 2, 1, 1, 1), compression=9)
        file["tau"] = np.zeros((1, 1, 2, 512))
    assert (tmp_path / "bomb.h5").stat().st_size < 1 << 20
    with pytest.raises(RadioConfigError, match="an array has 17179869184 bytes; allowed: 1073741824"):
        load_channels(f"sionna:{tmp_path / 'bomb.h5'}")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a.npy", "w", force_zip64=True) as packed:
            for _ in range(65):
                packed.write(bytes(1 << 24))
        archive.writestr("tau.npy", b"")
    with pytest.raises(RadioConfigError, match="an array has 1090519040 bytes"):
        load_channels(f"sionna:{tmp_path / 'bomb.npz'}")
    channels = complete(gaussian(800, 1, 3, 2), DRAW.uniform(0, 0.9e-3, (800, 3, 2)), name="a test")
    taps, _ = common_taps(channels, 1e5)
    assert taps.size < 1 << 23
    with pytest.raises(RadioConfigError, match=r"9000 blocks of 1 steps, 3 links.*record fewer blocks"):
        common_taps(complete(gaussian(9000, 1, 3, 2), DRAW.uniform(0, 1e-3, (9000, 3, 2)), name="x"), 1e6)


def response(taps: np.ndarray, delays_samples: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-2j * np.pi * np.outer(frequencies, delays_samples)) @ taps)


def test_paths_too_many_for_exact_taps_are_shared_out_over_a_grid() -> None:
    """Within the band of ± 0.375 of the sample rate by less than half a percent of the paths' amplitude."""
    num_paths = 40
    gains = gaussian(20, 1, 2, num_paths)
    delays = DRAW.uniform(0, 30e-6, (20, 2, num_paths))
    channels = complete(gains, delays, name="a test")
    taps, at = common_taps(channels, 1e6)
    assert delays.size > MAX_TAPS
    assert np.ptp(np.diff(at)) == 0
    frequencies = np.linspace(-0.375, 0.375, 101)
    for block, link in ((0, 0), (7, 1), (19, 0)):
        exact = response(gains[block, 0, link], delays[block, link] * 1e6, frequencies)
        shared = response(taps[block, 0, link], at, frequencies)
        amplitude = np.abs(gains[block, 0, link]).sum()
        assert np.abs(shared - exact).max() < 0.005 * amplitude
    few = RecordedChannels(gains=gains[:1, :, :, :9], delays_s=delays[:1, :, :9])
    taps, at = common_taps(few, 1e6)
    np.testing.assert_allclose(
        response(taps[0, 0, 1], at, frequencies), response(few.gains[0, 0, 1], few.delays_s[0, 1] * 1e6, frequencies)
    )
    with pytest.raises(RadioConfigError, match="record at a lower rate"):
        common_taps(complete(gains, delays, name="a test"), 1e9)


def test_an_air_keeps_the_links_differences(tmp_path: Path) -> None:
    """Scaled together: the devices' mean power is the air's path loss."""
    a, tau = sionna_arrays()
    a *= (10.0 ** -np.arange(K))[None, None, None, :, None, None, None]
    line = as_h5(tmp_path / "a.h5", a, tau)
    config = AirConfig(channel=line, path_loss_db=30, delay_max_samples=0)
    air = Air(config, num_devices=K, seed=1, sample_rate_hz=1e6, tx_power=1.0)
    found = []
    for block in range(B):
        air.begin_block(block, 1)
        found.append(air.truth().tap_gains)
    powers = np.mean(np.sum(np.abs(found) ** 2, axis=2), axis=0)
    assert 10 * np.log10(powers.mean()) == pytest.approx(-30, abs=1e-9)
    expected = np.mean(np.sum(np.abs(a[:, 0, 0, :, 0, :, 0]) ** 2, axis=2), axis=0)
    np.testing.assert_allclose(powers / powers[0], expected / expected[0], rtol=1e-5)


def test_a_stream_of_bytes_is_hdf5() -> None:
    channels = complete(gaussian(1, 1, 2, 3), np.zeros((1, 2, 3)), name="a test", sample_rate_hz=1e6)
    with h5py.File(io.BytesIO(encoded(channels))) as file:
        assert file["a"].shape == (1, 1, 1, 2, 1, 3, 1)
        assert file["tau"].shape == (1, 1, 2, 3)
        assert file.attrs["sample_rate_hz"] == 1e6
