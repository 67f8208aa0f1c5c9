"""A campaign's live table: what is heard of each link as it is heard."""

import numpy as np

from radio.measurement.probe import Probe
from radio.measurement.profile import impulse_powers
from testbed.commands.screen.measuring import MeasuringDisplay, impulse_bars
from testbed.config.files import load
from testbed.control.air_wire import air_setup, make_air
from testbed.measurement.campaign import Asked, Heard, probe_of, sound_links


def test_bars_show_paths_where_they_are() -> None:
    probe = Probe(256)
    delays = np.exp(-2j * np.pi * np.outer(probe.bins / 256, [0.0, 9.0]))
    bars = impulse_bars(impulse_powers(delays @ np.array([1.0, 10 ** (-15 / 20)]), probe))
    assert len(bars) == 24
    assert bars[4] == "█"
    assert bars[13] == "▄"
    assert bars[8] == bars[20] == " "


def test_without_a_terminal_each_link_is_a_line(capsys) -> None:
    config = load("awgn", None, ["num_devices=2"])
    asked = Asked(num_captures=2, capture_s=0.004)
    with MeasuringDisplay(asked, probe_of(config.rig, asked), 2) as display:
        for _ in sound_links(config.rig, asked, make_air(air_setup(config, "a test")), display):
            pass
        display(Heard(device=7, direction="downlink", number=0, sounding=None, problem="gone"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["0 → AP", "1 → AP", "7 ← AP"]
    assert "gain -20" in lines[0]
    assert "gone" in lines[2]
