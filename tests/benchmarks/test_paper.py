"""What the paper's tables are made of: promises, SNRs about the threshold, runs that are kept, peaks of memory."""

import json

import numpy as np
import pytest
import torch

from benchmarks.opt_125m import make_batch
from benchmarks.paper import accuracy, memory
from benchmarks.paper.accuracy import CHOSEN_AT_DB, METHODS, PROMISES, PUBLISHED, Cell, Setting, configuration
from testbed.planning.preview import plan_of

SETTING = Setting("embedded", "embedded", 12)


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("method", METHODS)
def test_runs_lie_where_they_say_about_the_threshold(promise, method):
    config = configuration(SETTING, Cell(method, 1e-3, 1, promise, CHOSEN_AT_DB))
    threshold_db = plan_of(configuration(SETTING, Cell("Static", 1e-3, 1, promise, 0.0))).snr_threshold_db
    assert plan_of(config).symbol_snr_db == pytest.approx(threshold_db + CHOSEN_AT_DB, abs=0.01)
    published = promise == PUBLISHED
    assert config.experiment.privacy.level == ("client" if published else "example")
    printed = published and method in accuracy.THEOREMS
    assert config.experiment.schedule.name == ("paper" if printed else METHODS[method][1].partition("=")[2])


def test_a_run_that_is_there_is_not_played_again(tmp_path):
    cell = Cell("Static", 1e-3, 1, "sound", 10.0)
    first = accuracy.all_of([cell], SETTING, tmp_path, workers=1)
    assert first[0].failure is None
    assert first[0].epsilon is not None
    assert 0 < first[0].epsilon <= 5
    (file,) = tmp_path.iterdir()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"test": 0.125}))
    assert accuracy.all_of([cell], SETTING, tmp_path, workers=1)[0].test == 0.125


def test_paired_differences_have_the_interval_of_student():
    lines = {"Static": [[0.5, 0.6, 0.7, 0.8]], "Solution": [[0.52, 0.61, 0.73, 0.82]]}
    (row,) = accuracy.against_static(lines, [0.0])
    differences = 100 * np.array([0.02, 0.01, 0.03, 0.02])
    half = 3.182446 * differences.std(ddof=1) / 2  # t of 3 degrees of freedom at 97.5 %
    assert row == f"| Solution − Static, points | {differences.mean():+.1f} ± {half:.1f} |"


def test_memory_is_of_weights_gradients_and_moments():
    batch = make_batch(2, 8)
    batch.input_ids.remainder_(300)
    batch.class_tokens.remainder_(300)
    peaks = memory.peaks_mib("embedded", torch.float32, batch, "cpu", 1)
    weights = peaks["weights alone"]
    assert weights == pytest.approx(440_592 * 4 / 2**20)
    assert weights < peaks["inference"] <= peaks["pAirZero"] < 1.5 * peaks["inference"]
    assert peaks["SGD"] >= 2 * weights
    assert peaks["AdamW"] >= 4 * weights
