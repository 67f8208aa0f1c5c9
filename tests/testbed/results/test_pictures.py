"""Pictures say what they show: parts of captures, why NMSE scatters, what was spent, and that a claim is void."""

import re
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

import testbed
from testbed.planning.plan_report import plan_figure
from testbed.planning.preview import plan_of
from testbed.results import plots
from testbed.results.pictures.capture import capture_trace, marks_of
from testbed.results.pictures.errors import errors_explained, known_errors, nmse_words
from testbed.results.pictures.privacy import is_private, privacy_by_round
from testbed.results.records import RoundRecord
from testbed.results.report import summary_rows, write_report
from testbed.results.statistics import troubles_of
from tests.testbed.results.conftest import TINY


def record(index, mean, error, **given):
    fields = {"seed": 1, "scheme": "coherent", "status": "ok", "attempt": 1, "predicted_error_std": 0.01, **given}
    return RoundRecord(round=index, true_mean=(mean,), estimate=(mean + error,), **fields)


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    asked = {"schedule.name": "online", "ground_truth": False, "privacy.dp_epsilon": 8.0}
    return testbed.run(overrides={**TINY, **asked}, out=tmp_path_factory.mktemp("runs") / "private")


def texts(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_a_private_run_has_its_picture_and_says_void_first(private):
    page = private.directory.report.read_text()
    assert is_private(private.rounds)
    assert (private.directory.plots / "privacy.svg").exists()
    assert page.index("Privacy:</b> VOID: simulated") < page.index("<table>")
    assert "<h2>Privacy: VOID: ε as it would be" in page
    rows = dict(summary_rows(private.summary))
    assert rows["privacy"].startswith("VOID: it would be ε = ")
    figure = privacy_by_round(private.rounds, budget_epsilon=8.0, dp_delta=0.01, verdict="VOID: why")
    assert figure.axes[0].get_title(loc="left") == "VOID: why"
    spent = figure.axes[0].get_lines()[0].get_ydata()
    assert list(spent) == [each.epsilon_spent for each in private.rounds]


def test_a_run_without_a_claim_has_no_picture_of_one(finished):
    assert not is_private(finished.rounds)
    assert not (finished.directory.plots / "privacy.svg").exists()
    assert dict(summary_rows(finished.summary))["privacy"] == "VOID"


def test_the_page_carries_vectors_and_fits_a_phone(finished):
    page = finished.directory.report.read_text()
    assert "<meta name='viewport' content='width=device-width, initial-scale=1'>" in page
    assert page.count("data:image/svg+xml;base64,") == len(list(finished.directory.plots.glob("*.svg"))) >= 5
    assert "data:image/png" not in page
    for path in finished.directory.plots.glob("*.svg"):
        assert ET.parse(path).getroot().tag.endswith("svg")
        assert path.with_suffix(".png").exists()


def test_a_run_is_told_from_another(finished):
    rows = dict(summary_rows(finished.summary))
    assert "rounds.num=3" in rows["differs by"]
    assert rows["differs by"].endswith("(from quickstart on loopback)")
    assert rows["commit"] == (finished.info.git or "not known")


def test_parts_of_a_capture_are_marked_and_only_values_are_in_the_plane(finished):
    capture = finished.captures[-1]
    marks = marks_of(capture.path)
    assert [mark.label for mark in marks] == ["guard", "sync", "pilots", "gap", "values", "pilots", "tail"]
    figure = capture_trace(capture.samples(), sample_rate_hz=1e6, round_index=2, marks=marks)
    assert texts(figure) == ["guard, sync", "pilots", "gap", "values", "pilots", "tail"]
    values = next(mark for mark in marks if mark.label == "values")
    (plane,) = figure.axes[1].get_lines()
    shown = capture.samples()[values.sample_start : values.sample_start + values.sample_count]
    assert np.array_equal(plane.get_xdata(), shown.real)


def test_a_capture_without_its_meta_is_drawn_whole(tmp_path):
    assert marks_of(tmp_path / "round-000000.sigmf-data") == ()
    (tmp_path / "round-000000.sigmf-meta").write_text("{")
    assert marks_of(tmp_path / "round-000000.sigmf-data") == ()
    figure = capture_trace(np.ones(8, np.complex64), sample_rate_hz=1e6, round_index=0)
    assert figure.axes[1].get_title() == "all samples"
    assert texts(figure) == []


def test_rounds_above_0_db_are_explained_by_their_mean_s_size():
    records = [record(n, 1.0, 0.01) for n in range(9)] + [record(9, 0.005, 0.01)]
    _, means, errors = known_errors(records)
    assert means[-1] == pytest.approx(0.005)
    assert errors == pytest.approx(np.full(10, 0.01))
    words = nmse_words(records)
    assert "1 of 10 rounds are above 0 dB; their median |p̄| is 0.005 and their median error 0.01, those of all" in words
    assert "Here no round is above 0 dB" in nmse_words(records[:9])
    assert "not known" in nmse_words([msgspec.structs.replace(records[0], true_mean=None)])
    nmse_db = errors_explained(records).axes[1].get_lines()[0].get_ydata()
    assert nmse_db[-1] == pytest.approx(20 * np.log10(2))


def test_a_rejected_round_is_no_error_of_the_mean():
    assert known_errors([record(0, 1.0, 5.0, status="rejected")])[0].size == 0


def test_reasons_that_differ_in_numbers_are_counted_together():
    records = [
        *(record(n, 1.0, 0.1, status="retried", reason=f"device {n}: SNR {n}.5 dB is below 3 dB") for n in range(16)),
        *(record(n, 1.0, 0.1, status="rejected", reason="saturated") for n in range(3)),
        record(19, 1.0, 0.1),
    ]
    assert troubles_of(records) == (
        "16 retried: device 0: SNR 0.5 dB is below 3 dB (and alike, with other numbers)",
        "3 rejected: saturated",
    )
    assert troubles_of(records, num=1)[1] == "3 for other reasons (rounds.jsonl)"
    assert troubles_of([record(0, 1.0, 0.1)]) == ()


def test_reasons_are_rows_of_the_summary_and_of_the_page(finished):
    summary = msgspec.structs.replace(finished.summary, troubles=("2 retried: too late",), rounds_retried=2)
    assert ("not at once", "2 retried: too late") in summary_rows(summary)


def test_full_power_does_not_flatten_the_other_schedules():
    figure = plan_figure(plan_of(testbed.load(overrides={"ground_truth": False, "schedule.name": "online"})))
    gains = figure.axes[0]
    assert re.match(r"full: .* beyond this scale$", texts(SimpleNamespace(axes=[gains]))[0])
    lines = {line.get_label(): line for line in gains.get_lines()}
    bottom, top = gains.get_ylim()
    for name in ("online", "static", "paper"):
        drawn = lines[name].get_ydata()
        assert bottom < np.nanmin(drawn)
        assert np.nanmax(drawn) < top
    span = np.ptp(lines["online"].get_ydata()) / (top - bottom)
    assert span > 0.1, "its slope must be seen"
    assert np.nanmin(lines["full"].get_ydata()) > top


def test_curves_are_told_apart_without_their_colours():
    figure = plan_figure(plan_of(testbed.load(overrides={"ground_truth": False, "schedule.name": "online"})))
    lines = figure.axes[0].get_lines()
    looks = {(line._unscaled_dash_pattern[1], line.get_linewidth()) for line in lines}
    assert len({str(look) for look in looks}) == len(lines)
    assert len({plots.BLUE, plots.ORANGE, plots.GREEN, plots.GREY}) == 4


def test_a_report_can_be_drawn_again(private):
    before = private.directory.report.read_text()
    assert write_report(private.directory).read_text().count("<figure>") == before.count("<figure>")
