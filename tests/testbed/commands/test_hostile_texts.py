"""Names, paths and error texts are shown as they are: nothing reads markup, emoji codes or mathematics into them."""

import io
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from rich.console import Console

from radio.backends.backend import RadioFinding
from testbed.bench.doctor_report import show
from testbed.bench.findings import Findings, LinkFinding, SchemeFinding
from testbed.commands.screen import terminal
from testbed.commands.screen.display import RunDisplay, print_outcome
from testbed.config.files import load
from testbed.planning.plan_report import plan_figure
from testbed.results.directory import RunDirectory
from testbed.results.records import RoundRecord, RunInfo, Summary
from testbed.results.report import write_report

HOSTILE = [
    "a[/b]",
    "[pluto]",
    "[bold red]x",
    ":smile:",
    "[link=x]y[/link]",
    "\\[x]",
    "<script>alert(1)</script>",
    "$x_$",
]
REMEDY = "pylibiio is missing; install it with pip install 'airzero-testbed[pluto]'"


def filled(record, **given):
    """A record with something in every required field."""
    blank = {int: 1, float: 1.0, str: "text", bool: False}
    table = {
        field.name: blank.get(field.type) if field.type in blank else None
        for field in msgspec.structs.fields(record)
        if field.required
    }
    return record(**{**table, **given})


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize("text", HOSTILE)
def test_the_outcome_of_a_run_shows_names_and_paths_as_they_are(wide, capsys, text):
    summary = filled(Summary, name=text, scheme=text, schedule=text, privacy=f"privacy {text}", stopped=text)
    print_outcome(SimpleNamespace(summary=summary, directory=SimpleNamespace(report=f"{text}/report.html")))
    shown = capsys.readouterr().out
    for part in (f"{text}, seed", f"privacy {text}", f"report: {text}/report.html", f"schedule {text}"):
        assert part in shown


@pytest.mark.parametrize("text", HOSTILE)
def test_the_display_of_a_run_shows_reasons_as_they_are(wide, capsys, text):
    with RunDisplay() as display:
        display.round_done(filled(RoundRecord, status="rejected", reason=text))
    assert f"rejected: {text}" in capsys.readouterr().err


@pytest.mark.parametrize("text", [*HOSTILE, REMEDY])
def test_doctor_shows_what_radios_and_errors_say(wide, capsys, text):
    found = Findings(
        software={text: text},
        contexts={text: text},
        radios=(filled(RadioFinding, station=text, uri=text, model=text, serial=text, ranges={text: text}),),
        links=(filled(LinkFinding),),
        schemes=(SchemeFinding(scheme=text, supported=True, why=text),),
        problems=(text,),
    )
    show(found, terminal.console())
    shown = capsys.readouterr().out
    assert f"problem: {text}" in shown
    assert "".join(shown.split()).count("".join(text.split())) >= 8


def test_a_report_page_escapes_what_it_shows(tmp_path):
    name = "<script>x & $x_$ [b]"
    directory = RunDirectory.create(tmp_path / "run", load(None, None, [f'name="{name}"', "description='<img src=x>'"]))
    info = filled(RunInfo, run_id=name, started=name, versions={name: name}, host={}, git=name, command=[name])
    directory.write_json(directory.info, info)
    directory.write_json(directory.summary, filled(Summary, name=name, privacy=name, scheme=name, stopped=name))
    directory.append_round(filled(RoundRecord, status="skipped", reason=name))
    page = write_report(directory).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert page.count("&lt;script&gt;x &amp; $x_$ [b]") >= 8


@pytest.mark.parametrize("text", ["$x_$", "a_b", r"$\frac{$", "50 %$"])
def test_a_plan_s_picture_draws_names_as_text(text):
    values = np.ones(3)
    preview = SimpleNamespace(
        name="full", gains=values, noise_stds=values, leaks=values, error_stds=values, share_of_budget=2.0
    )
    figure = plan_figure(SimpleNamespace(previews=[preview]))
    (label,) = figure.axes[0].get_legend().get_texts()
    label.set_text(text)
    figure.savefig(io.BytesIO(), format="png")
    assert not label.get_parse_math()


def test_the_terminal_s_console_is_the_only_one_that_is_made(request):
    """Elsewhere a console comes as an argument; so no other place can forget to switch markup off."""
    package = request.config.rootpath / "testbed"
    makers = [
        path
        for path in package.rglob("*.py")
        if "Console(" in path.read_text(encoding="utf-8").replace("[Console(", "")
    ]
    assert [path.relative_to(package).as_posix() for path in makers] == ["commands/screen/terminal.py"]
    assert isinstance(terminal.console(), Console)
