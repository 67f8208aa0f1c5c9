"""A narrow screen shows every value, a report which radios a run had, and pictures whole legends."""

from types import SimpleNamespace

import pytest

from testbed.commands.screen.display import RunDisplay, print_outcome
from testbed.results.plots import time_by_round
from testbed.results.records import Summary
from testbed.results.report import summary_rows
from tests.testbed.commands.test_hostile_texts import filled


def outcome(**given: object) -> SimpleNamespace:
    summary = filled(Summary, rounds_ok=17, rounds_total=20, rounds_asked=20, rounds_retried=16, **given)
    return SimpleNamespace(summary=summary, directory=SimpleNamespace(report="runs/a/report.html"))


@pytest.mark.parametrize("columns", [30, 40, 80])
def test_every_value_is_there_however_narrow(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    found = outcome(rig="six radios on a bench", backend="pluto")
    print_outcome(found)
    shown = "".join(character for character in capsys.readouterr().out if character.isalnum())
    for _, text in summary_rows(found.summary):
        assert "".join(character for character in text if character.isalnum()) in shown
    assert "1720" in shown


def test_what_played_the_run_is_said() -> None:
    rows = dict(summary_rows(outcome(backend="pluto", rig="a bench").summary))
    assert "on radios of backend 'pluto'" in rows["scheme"]
    assert rows["rig"] == "a bench"
    assert "sampled air" in dict(summary_rows(outcome(backend="loopback", air_level="sample").summary))["scheme"]
    assert "rig" not in dict(summary_rows(outcome().summary))
    assert "16 retried" in rows["rounds used / played / asked"]
    rest = outcome(wall_s=27.6, learner_s=10.0, radio_s=8.0, control_s=3.4)
    assert "the rest 6.2" in dict(summary_rows(rest.summary))["wall-clock time"]


def test_who_has_all_devices_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("testbed.commands.screen.display.time.monotonic", lambda: clock[0])
    alone, with_others = RunDisplay(waits=False), RunDisplay()
    clock[0] = 5.0
    alone.waiting([0, 1])
    assert not capsys.readouterr().err
    with_others.waiting([0, 1])
    assert "waiting for devices 0, 1" in capsys.readouterr().err


def test_a_legend_lies_within_its_picture() -> None:
    figure = time_by_round([SimpleNamespace(learner_s=1.0, radio_s=2.0, control_s=0.5)])
    figure.draw_without_rendering()
    (axis,) = figure.axes
    legend = axis.get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    assert figure.bbox.y0 <= box.y0
    assert box.y1 <= figure.bbox.y1
