"""One line names a file and what of it; every other line is refused with what is allowed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radio.channels.source import OPTIONS, parse
from radio.errors import RadioConfigError


def test_a_line_names_format_path_and_options() -> None:
    source = parse("matlab:/data/a b.mat?access_point=16&devices=3,1,5-7&rate_hz=1.2e8")
    assert (source.format, source.path) == ("matlab", "/data/a b.mat")
    assert source.whole("access_point") == 16
    assert source.devices == (3, 1, 5, 6, 7)
    assert source.number("rate_hz") == 1.2e8
    assert source.number("variable") is None
    assert parse("csv:x.csv").devices is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x.h5", "allowed: sionna, deepmimo, matlab, csv and a path"),
        ("hdf5:x.h5", "allowed: sionna, deepmimo, matlab, csv and a path"),
        ("sionna:", "allowed: sionna"),
        ("sionna:x?rate_hz=1", "allowed of sionna: access_point, devices"),
        ("sionna:x?devices", "each once and with a value"),
        ("sionna:x?devices=", "each once and with a value"),
        ("sionna:x?step_s=1&step_s=1", "each once"),
    ],
)
def test_another_line_is_refused(text: str, said: str) -> None:
    with pytest.raises(RadioConfigError, match=r"air\.channel") as refused:
        parse(text)
    assert said in str(refused.value)


@pytest.mark.parametrize("devices", ["a", "1,1", "3-", "5-3", "0-99999999", "²", "-1"])
def test_devices_are_numbers_each_once(devices: str) -> None:
    with pytest.raises(RadioConfigError, match="devices: got"):
        _ = parse(f"csv:x?devices={devices}").devices


@pytest.mark.parametrize("number", ["0", "-1", "nan", "inf", "x"])
def test_numbers_are_above_zero(number: str) -> None:
    with pytest.raises(RadioConfigError, match="step_s: got"):
        parse(f"sionna:x?step_s={number}").number("step_s")


@given(st.text(max_size=30), st.sampled_from([*OPTIONS, ""]))
def test_nothing_else_is_raised(text: str, kind: str) -> None:
    with contextlib.suppress(RadioConfigError):
        source = parse(f"{kind}:{text}")
        for name in source.options:
            if name == "devices":
                _ = source.devices
            else:
                source.whole(name)
