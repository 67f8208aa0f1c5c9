"""The live page in a real browser, beside a real run: every panel's figures are those of the run's files."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks import chromium
from benchmarks.chromium import Chromium
from testbed.results.live.capture import NAME, read_last
from tests.system.conftest import GIVE_UP_S, free_port

pytestmark = pytest.mark.skipif(
    chromium.installed() is None, reason="NOT TESTED: no Chromium (scripts/install-chromium)"
)

SHORT = ["--set", "rounds.num=120", "--set", "rounds.eval_every=20", "--set", "task.num_test=64"]
FIGURES = """[...document.querySelectorAll('[data-field]')].map(each => ({
    field: each.dataset.field, value: each.dataset.value ?? null, round: each.dataset.round ?? null,
    device: each.closest('[data-device]')?.dataset.device ?? null, panel: each.closest('.panel')?.id ?? null}))"""
OVERLAPS = """(() => {
    const boxes = [...document.querySelectorAll('.panel, .run, .legend li, .parts li, dl div, th')]
        .map(each => [each, each.getBoundingClientRect()]).filter(([, box]) => box.width);
    const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
    return boxes.filter(([one, a]) => boxes.some(([other, b]) => !one.contains(other) && !other.contains(one)
        && meet(a, b))).map(([one]) => one.textContent.slice(0, 40)); })()"""
CUT = """[...document.querySelectorAll('td, th, dd, b, h2, .name, .rounds')]
    .filter(each => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display !== 'inline')
    .map(each => each.textContent)"""


def lines_of(run: Path) -> list[dict]:
    return [json.loads(each) for each in (run / "rounds.jsonl").read_text().splitlines()]


def page_beside(process: subprocess.Popen) -> str:
    """The address that a run with --dashboard prints."""
    for said in process.stderr:
        if found := re.match(r"dashboard at (http://\S+)", said):
            return found[1]
    raise AssertionError("no dashboard")


def start_run(bench, *arguments: str) -> subprocess.Popen:
    return bench.start_fresh("run", "--dashboard", "--out", "run", *SHORT, *arguments)


def test_the_page_follows_a_run_and_says_what_its_files_say(bench):
    process = start_run(bench)
    run = bench.directory / "run"
    url = page_beside(process)
    with Chromium(width=1280) as browser:
        browser.open(url)
        done = "+document.querySelector('[data-field=rounds_done]')?.dataset.value"
        rounds = 0
        for _ in range(5):
            rounds = browser.wait_for(f"{done} > {rounds} && {done}", timeout_s=GIVE_UP_S)
        assert rounds <= len(lines_of(run))
        assert browser.evaluate("document.querySelector('[data-field=status]').dataset.value") == "running"
        browser.wait_for("document.getElementById('capture-facts').dataset.source === 'live'", timeout_s=GIVE_UP_S)
        captured = "+document.getElementById('capture-facts').dataset.round"
        first = browser.evaluate(captured)
        browser.wait_for(f"{captured} > {first}", timeout_s=GIVE_UP_S)
        check_figures(browser, run, live=True)
        assert not [asked for asked in browser.requests if urlsplit(asked).netloc not in (urlsplit(url).netloc, "")]
        assert browser.errors == []
        stdout, stderr = process.communicate(timeout=GIVE_UP_S)
        assert process.returncode == 0, stderr
        assert "report:" in stdout
        browser.wait_for("document.getElementById('connection').className === 'lost'")
        assert int(browser.evaluate(done)) >= rounds  # what was heard stays


def check_figures(browser: Chromium, run: Path, *, live: bool) -> None:
    """Every figure with a round stands in that round's line; sums are sums."""
    figures = browser.evaluate(FIGURES)
    lines = lines_of(run)
    checked = set()
    for each in figures:
        field, round_ = each["field"], each["round"]
        if each["value"] is None or each["device"] is not None:
            continue
        if field in lines[0] and round_ not in (None, "0"):
            assert float(each["value"]) == lines[int(round_) - 1][field], each
            checked.add(field)
    assert {"loss", "nmse_db", "symbol_snr_db"} <= checked, checked
    if live:
        return
    assert {"metric", "eval_loss"} <= checked
    sums = {each["field"]: float(each["value"]) for each in figures if each["panel"] == "panel-time"}
    for field in ("learner_s", "radio_s", "control_s", "airtime_s"):
        assert sums[field] == pytest.approx(sum(line[field] for line in lines)), field
    single = {each["field"]: each for each in figures if each["device"] is None}
    assert float(single["rho_spent"]["value"]) == pytest.approx(sum(line["rho_spent"] for line in lines))
    assert float(single["gain"]["value"]) == lines[-1]["gain"]
    assert int(single["rounds_done"]["value"]) == len(lines)
    assert single["schedule"]["value"] == "full"
    assert float(single["received"]["value"]) == lines[-1]["received"][0][0]
    meta = json.loads(sorted((run / "captures").glob("*.sigmf-meta"))[-1].read_text())["global"]
    cfo = {each["device"]: float(each["value"]) for each in figures if each["field"] == "cfo_hz"}
    assert cfo == {str(each["device"]): each["sounding"]["cfo_hz"] for each in meta["airzero:channels"]}
    missing = {each["device"]: int(each["value"]) for each in figures if each["field"] == "missing"}
    assert missing == {str(k): sum(k in line["absent"] for line in lines) for k in range(5)}


@pytest.mark.parametrize("width", [1280, 390])
def test_a_finished_run_opens_with_every_panel_full_and_nothing_over_another(bench, width):
    ran = bench.run("run", "--out", "run", *SHORT)
    assert ran.returncode == 0, ran.stderr
    page = bench.start_fresh("dashboard", "run", "--port", "0")
    url = page.stdout.readline().split()[-1]
    with Chromium(width=width) as browser:
        browser.open(url)
        browser.wait_for("document.body.dataset.ready === 'true'")
        browser.resize(width, int(browser.evaluate("document.documentElement.scrollHeight")))
        plots = "[...document.querySelectorAll('.plot')].filter(each => !each.hidden && each.dataset.points > 1).length"
        browser.wait_for(f"{plots} >= 7")
        browser.wait_for("document.getElementById('claim').textContent.startsWith('VOID')")
        browser.wait_for("!!document.querySelector('[data-field=received]')")
        check_figures(browser, bench.directory / "run", live=False)
        points = browser.evaluate("document.querySelector('#panel-nmse .plot').dataset.points")
        assert int(points) == len(lines_of(bench.directory / "run"))
        parts = browser.evaluate("[...document.querySelectorAll('#parts [data-part]')].map(each => each.dataset.part)")
        assert parts == ["guard", "sync", "pilots", "gap", "values", "pilots", "tail"]
        assert browser.evaluate("+document.getElementById('symbols').dataset.symbols") == 120
        painted = "document.getElementById('symbols').getContext('2d').getImageData(0, 0, 80, 80).data.some(x => x)"
        browser.wait_for(painted)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate(OVERLAPS) == []
        assert browser.evaluate(CUT) == []
        assert browser.errors == []


def test_of_a_private_run_the_page_holds_nothing_that_follows_from_training_data(bench):
    private = ["--set", "ground_truth=false", "--set", "schedule.name=static", "--set", "privacy.dp_epsilon=8"]
    process = start_run(bench, *private)
    run = bench.directory / "run"
    url = page_beside(process)
    with Chromium() as browser:
        browser.open(url)
        browser.wait_for("+document.querySelector('[data-field=rounds_done]')?.dataset.value > 5", timeout_s=GIVE_UP_S)
        browser.wait_for("document.getElementById('capture-facts').dataset.source === 'live'", timeout_s=GIVE_UP_S)
        fields = {each["field"] for each in browser.evaluate(FIGURES)}
        assert not fields & {"loss", "nmse_db", "received", "learner_s", "validation_loss"}
        withheld = "[...document.querySelectorAll('#parts [data-withheld=true]')].map(each => each.dataset.part)"
        assert browser.evaluate(withheld) == ["values"]
        spent = "document.querySelector('[data-field=epsilon_spent]')?.dataset"
        browser.wait_for(f"{spent}.value > 0")
        assert browser.errors == []
        process.communicate(timeout=GIVE_UP_S)
        value = float(browser.evaluate(f"{spent}.value"))
        assert value in [line["epsilon_spent"] for line in lines_of(run)]


def test_names_in_files_are_text_on_the_page(bench):
    evil = '"><img src=x onerror="document.title=1"><b>bold'
    bench.run("run", "--out", "run", "--set", "rounds.num=2", "--set", "task.num_test=16")
    run = bench.directory / "run"
    lines = lines_of(run)
    lines[1] |= {"status": "retried", "reason": f"device 3: {evil}"}
    (run / "rounds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = (run / "config.toml").read_text().replace('name = "quickstart"', f"name = '{evil.replace('/', '')}'")
    (run / "config.toml").write_text(config)
    info = json.loads((run / "run.json").read_text())
    info["initial_evaluation"]["metric_name"] = evil
    (run / "run.json").write_text(json.dumps(info))
    page = bench.start_fresh("dashboard", "run", "--port", "0")
    url = page.stdout.readline().split()[-1]
    with Chromium() as browser:
        browser.open(url)
        browser.wait_for("document.body.dataset.ready === 'true'")
        assert browser.evaluate("document.querySelector('.name').textContent") == evil
        assert evil in browser.evaluate("document.getElementById('devices-note').textContent")
        assert browser.evaluate("document.querySelectorAll('img').length") == 0
        assert browser.evaluate("document.title") == "testbed dashboard"


def test_a_killed_run_takes_its_page_with_it_and_ctrl_c_leaves_no_process(bench):
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        process = bench.start_fresh("run", "--dashboard", "--out", f"run-{number}", *SHORT)
        address = urlsplit(page_beside(process))
        process.send_signal(number)
        process.communicate(timeout=GIVE_UP_S)
        assert process.returncode == code
        end = time.monotonic() + GIVE_UP_S
        while listens(address.port):
            assert time.monotonic() < end
            time.sleep(0.05)


def listens(port: int) -> bool:
    ask = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
    return subprocess.run([sys.executable, "-c", ask], stderr=subprocess.DEVNULL, check=False).returncode == 0


def test_an_access_point_has_a_page_too(bench):
    control, air = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    bench.start_fresh("air", "--bind", air)
    access_point = bench.start_fresh(
        "access-point", "--dashboard", "--bind", control, "--air", air, "--out", "run",
        "--set", "rounds.num=3", "--set", "task.num_test=16",
    )  # fmt: skip
    bench.start_fresh("device", "--devices", "0-4", "--connect", control)
    assert listens(urlsplit(page_beside(access_point)).port)
    _, stderr = access_point.communicate(timeout=GIVE_UP_S)
    assert access_point.returncode == 0, stderr
    seen = read_last(bench.directory / "run" / NAME)
    assert seen.keys.scheme == "coherent"
    assert seen.iq().any()
