"""A narrow screen shows every value, a report which radios a run had, and pictures whole legends."""

from types import SimpleNamespace

import pytest

from testbed.commands.screen.display import RunDisplay, print_outcome
from testbed.commands.screen.terminal import console
from testbed.results.pictures.tables import show_table
from testbed.results.plots import time_by_round
from testbed.results.records import RoundRecord, Summary
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


HEADER = ("radio", "URI", "serial", "why")
ROWS = [
    (
        "device 0",
        "ip:192.168.2.10:30431",
        "1044734c9605000d15003b00f3c7a16e2f",
        "it answers, and all of this can be read",
    ),
    ("access point", "usb:1.12.5", "104473f6a60600f7ff2a00e9c7a16e2fff", "x"),
]


@pytest.mark.parametrize("columns", [20, 40, 80, 100, 200])
def test_addresses_are_never_split(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    show_table(console(), "radios", HEADER, ROWS, ends_in_text=True)
    shown = capsys.readouterr().out
    for row in ROWS:
        for cell in row[:3]:
            assert cell in shown
    is_table = columns >= 105
    assert ("┃" in shown) == is_table
    if is_table:
        assert max(map(len, shown.splitlines())) <= columns
    else:
        assert "  URI: ip:192.168.2.10:30431\n" in shown
        assert "  why: it answers, and all of this can be read\n" in shown


def test_headers_fold_between_words_before_a_table_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "34")
    show_table(console(), "links", ("device", "tone SNR dB", "phase ° rms"), [("0", "61", "0.16")], has_figures=True)
    shown = capsys.readouterr().out
    assert "┃" in shown
    assert "0.16" in shown
    assert max(map(len, shown.splitlines())) <= 34


def test_a_table_of_names_and_values_becomes_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    show_table(console(), "software", ("", ""), [("libiio", "0.24 (v0.24) somewhere far")])
    assert capsys.readouterr().out == "software\nlibiio: 0.24 (v0.24) somewhere far\n"


def test_retried_and_lost_rounds_are_counted_while_a_run_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    display = RunDisplay(waits=False)
    for index, status in enumerate(("retried", "retried", "rejected", "ok")):
        display.round_done(filled(RoundRecord, round=index, status=status, reason="too weak", metric=0.5))
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("2 retried  1 lost")
