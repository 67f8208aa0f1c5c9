"""Accuracy against SNR under one (ε, δ): Perfect, Solution, Static, Reversed and Sign (arXiv 2604.12401).

python -m benchmarks.paper.accuracy [--sst2 ../shared/data/sst2] [--model embedded] [--rounds 300] [--seeds 4]
                                    [--offsets -10 0 10 20] [--workers 2] [--out runs/paper/accuracy]

Three promises, at the paper's (5, 0.01): its own equations, which protect clients; the sound one, which protects
examples in secret batches; and the latter a hundred times tighter, (0.05, 0.01). Symbol SNRs lie around SNR*, from
which on full power would spend more than the budget: below it the schedules are one and the same. Each method has the
best of three learning rates under each promise, by accuracy on examples held out of the training split, at
SNR* + 10 dB, with a seed that is not reported. Test accuracy is the mean of the last three evaluations.

Every run is a JSON file under --out, and is not run again. Writes accuracy.md and accuracy.svg there; the last line
printed is one JSON object. With the embedded model some 20 minutes on 2 quiet cores. On a host with a GPU:
--model smollm2-135m --set model.device=cuda.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from learner.errors import LearnerError
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.config.schema import RunConfig
from testbed.errors import TestbedError
from testbed.planning.preview import at_symbol_snr, plan_of
from testbed.results.run import Run
from testbed.rounds.processes import run_in_one_process

NUM_DEVICES, BATCH_SIZE, NUM_TRAIN = 5, 16, 1000
CONTRACTION_SPAN = 16.0
"""T·(1 − A), the paper's: 8,000 rounds at A = 0.998."""
SOUND = (
    "privacy.level=example",
    "privacy.adjacency=remove",
    f"privacy.batch_rate={NUM_DEVICES * BATCH_SIZE / NUM_TRAIN}",
    "privacy.example_clip=40",
)
PUBLISHED = "as published"
PROMISES = {
    PUBLISHED: ("privacy.level=client", "privacy.accountant=paper", "privacy.dp_epsilon=5"),
    "sound": (*SOUND, "privacy.dp_epsilon=5"),
    "sound, tight": (*SOUND, "privacy.dp_epsilon=0.05"),
}
METHODS = {
    "Solution": ("scheme.name=coherent", "schedule.name=solution"),
    "Static": ("scheme.name=coherent", "schedule.name=static"),
    "Reversed": ("scheme.name=coherent", "schedule.name=reversed"),
    "Sign": ("scheme.name=sign", "schedule.name=solution"),
}
PERFECT = "Perfect"
THEOREMS = ("Solution", "Sign")
"""Methods whose published promise comes with the printed schedules (Theorem 3; Theorem 4, corrected)."""
RATES = {PERFECT: (3e-4, 1e-3, 3e-3), "Sign": (3e-4, 1e-3, 3e-3)} | dict.fromkeys(
    ("Solution", "Static", "Reversed"), (1e-4, 3e-4, 1e-3)
)
CHOSEN_AT_DB = 10.0
UNREPORTED_SEED = 101
STYLES = {PERFECT: "k:", "Solution": "C0-o", "Static": "C1--s", "Reversed": "C2-.^", "Sign": "C4-v"}


@dataclass(frozen=True, slots=True)
class Setting:
    """What all runs of a command share."""

    sst2: str
    model: str
    rounds: int
    more: tuple[str, ...] = ()
    """Further overrides."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: Perfect has no promise and no SNR."""

    method: str
    rate: float
    seed: int
    promise: str | None = None
    offset_db: float | None = None
    """Of the symbol SNR from SNR*."""

    @property
    def file(self) -> str:
        """Its name on the disk."""
        parts = (self.promise or "any", self.method, f"{self.rate:g}", f"{self.offset_db}dB", f"seed{self.seed}")
        return "_".join(parts).replace(" ", "-").replace(",", "") + ".json"


@dataclass(frozen=True, slots=True)
class Reached:
    """What a run came to."""

    cell: Cell
    validation: float | None = None
    """Accuracy on held-out training examples, of the last three evaluations."""
    test: float | None = None
    epsilon: float | None = None
    """As charged by the ledger; None of Perfect."""
    failure: str | None = None


def configuration(setting: Setting, cell: Cell) -> RunConfig:
    """A run on the symbol-level air."""
    every = max(1, setting.rounds // 6)
    common = (
        f"num_devices={NUM_DEVICES}", "air.fading=rayleigh", "air.level=symbol", "air.csi=genie",
        f"task.path={setting.sst2}", f"task.num_train={NUM_TRAIN + 300}", "task.num_validation=300",
        "task.num_test=500", f"model.path={setting.model}", f"seed={cell.seed}", "ground_truth=false",
        f"rounds.num={setting.rounds}", f"rounds.eval_every={every}", "rounds.max_attempts=1",
        f"learner.batch_size={BATCH_SIZE}", "learner.batch_devices=true", f"learner.learning_rate={cell.rate}",
        f"schedule.contraction={1 - CONTRACTION_SPAN / max(setting.rounds, 2 * CONTRACTION_SPAN)}",
        *setting.more,
    )  # fmt: skip
    if cell.promise is None or cell.offset_db is None:
        return resolve(load(None, None, [*common, "scheme.name=ideal"]))
    promise = (*PROMISES[cell.promise], "privacy.dp_delta=0.01")
    threshold_db = plan_of(resolve(load(None, None, [*common, *promise, *METHODS["Static"]]))).snr_threshold_db
    schedule = ["schedule.name=paper"] if cell.promise == PUBLISHED and cell.method in THEOREMS else []
    asked = resolve(load(None, None, [*common, *promise, *METHODS[cell.method], *schedule]))
    return at_symbol_snr(asked, threshold_db + cell.offset_db)


def played(setting: Setting, cell: Cell) -> Reached:
    """Play the run and forget its directory."""
    try:
        config = configuration(setting, cell)
        with tempfile.TemporaryDirectory() as scratch:
            where = Path(scratch) / "run"
            summary = run_in_one_process(config, out=where).summary
            held_out = [r.validation_metric for r in Run.open(where).rounds if r.validation_metric is not None]
    except (LearnerError, TestbedError) as err:
        return Reached(cell, failure=str(err))
    return Reached(cell, float(np.mean(held_out[-3:])), summary.metric_final, summary.epsilon_spent)


def _kept(setting: Setting, cell: Cell, out: Path) -> Reached:
    """What was measured before, or now."""
    file = out / cell.file
    if file.exists():
        found = json.loads(file.read_text())
        return Reached(Cell(**found.pop("cell")), **found)
    reached = played(setting, cell)
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(asdict(reached)))
    part.replace(file)
    return reached


def all_of(cells: Sequence[Cell], setting: Setting, out: Path, workers: int) -> list[Reached]:
    """All runs, side by side, with a line of each."""
    found = {}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        futures = {pool.submit(_kept, setting, cell, out): cell for cell in cells}
        for number, future in enumerate(as_completed(futures), 1):
            reached = found[futures[future]] = future.result()
            said = reached.failure or f"{reached.test:.1%}"
            print(
                f"{number}/{len(cells)} {reached.cell.file.removesuffix('.json')}: {said}", file=sys.stderr, flush=True
            )
    return [found[cell] for cell in cells]


def best_rates(setting: Setting, out: Path, workers: int) -> dict[tuple[str | None, str], float]:
    """(promise, method) → the rate of the highest validation accuracy."""
    cells = [Cell(PERFECT, rate, UNREPORTED_SEED) for rate in RATES[PERFECT]]
    cells += [
        Cell(method, rate, UNREPORTED_SEED, promise, CHOSEN_AT_DB)
        for promise in PROMISES
        for method in METHODS
        for rate in RATES[method]
    ]
    best: dict[tuple[str | None, str], Reached] = {}
    for reached in all_of(cells, setting, out, workers):
        key = (reached.cell.promise, reached.cell.method)
        if key not in best or (reached.validation or 0.0) > (best[key].validation or 0.0):
            best[key] = reached
    return {key: reached.cell.rate for key, reached in best.items()}


def against_static(lines: dict[str, list[list[float]]], offsets_db: Sequence[float]) -> list[str]:
    """Markdown rows: paired differences from Static, with 95 % intervals of Student's t."""
    rows = []
    for method, accuracies in lines.items():
        shown = []
        for at, _ in enumerate(offsets_db):
            pairs = np.array(accuracies[at]) - np.array(lines["Static"][at])
            half = (
                stats.t.ppf(0.975, len(pairs) - 1) * pairs.std(ddof=1) / math.sqrt(len(pairs))
                if len(pairs) > 1
                else math.nan
            )
            shown.append(f"{100 * pairs.mean():+.1f} ± {100 * half:.1f}")
        if method != "Static":
            rows.append(f"| {method} − Static, points | {' | '.join(shown)} |")
    return rows


def markdown(perfect: list[float], table: dict[str, dict[str, list[list[float]]]], offsets_db: Sequence[float]) -> str:
    """A table a promise: mean and standard deviation over seeds."""
    lines = [f"Perfect: {_mean_and_std(perfect)}"]
    for promise, methods in table.items():
        lines += [
            "",
            f"**{promise}**",
            "",
            f"| symbol SNR over SNR*, dB | {' | '.join(f'{o:+g}' for o in offsets_db)} |",
        ]
        lines.append("|---" * (len(offsets_db) + 1) + "|")
        lines += [f"| {m} | {' | '.join(map(_mean_and_std, accuracies))} |" for m, accuracies in methods.items()]
        lines += against_static(methods, offsets_db)
    return "\n".join(lines) + "\n"


def _mean_and_std(accuracies: list[float]) -> str:
    return f"{np.mean(accuracies):.1%} (±{100 * np.std(accuracies, ddof=min(1, len(accuracies) - 1)):.1f})"


def picture(
    perfect: list[float], table: dict[str, dict[str, list[list[float]]]], offsets_db: Sequence[float]
) -> Figure:
    """A panel a promise: accuracy over SNR, bars of one standard deviation over seeds."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, len(table), sharey=True, squeeze=False)[0]
    for panel, (promise, methods) in zip(axes, table.items(), strict=True):
        panel.axhline(100 * float(np.mean(perfect)), color="k", linestyle=":", label=PERFECT)
        for method, accuracies in methods.items():
            means, stds = [[100 * float(f(a)) for a in accuracies] for f in (np.mean, np.std)]
            panel.errorbar(offsets_db, means, stds, fmt=STYLES[method], capsize=2, markersize=4, label=method)
        panel.set(title=promise, xlabel="symbol SNR over SNR*, dB")
        panel.grid(alpha=0.3)
    axes[0].set_ylabel("test accuracy, %")
    axes[0].legend(fontsize="small")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Choose rates, play what is not there yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sst2", type=Path, default=Path("../shared/data/sst2"), help="train.tsv, test.tsv")
    parser.add_argument("--model", default="embedded", help="model.path of all runs")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--offsets", type=float, nargs="+", default=[-10.0, 0.0, 10.0, 20.0], help="dB from SNR*")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="further overrides")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--out", type=Path, default=Path("runs/paper/accuracy"), help="where runs are kept")
    asked = parser.parse_args(arguments)
    setting = Setting(str(asked.sst2.resolve()), asked.model, asked.rounds, tuple(asked.set))
    out = asked.out / hashlib.sha256(repr(setting).encode()).hexdigest()[:8]
    out.mkdir(parents=True, exist_ok=True)
    rates = best_rates(setting, out, asked.workers)
    seeds = range(1, asked.seeds + 1)
    cells = [Cell(PERFECT, rates[None, PERFECT], seed) for seed in seeds]
    cells += [
        Cell(method, rates[promise, method], seed, promise, offset_db)
        for promise, method, offset_db, seed in itertools.product(PROMISES, METHODS, asked.offsets, seeds)
    ]
    found = all_of(cells, setting, out, asked.workers)
    failures = [f"{reached.cell.file}: {reached.failure}" for reached in found if reached.failure]
    tests = [reached.test if reached.test is not None else math.nan for reached in found]
    perfect, rest = tests[: asked.seeds], np.array(tests[asked.seeds :])
    shaped = rest.reshape(len(PROMISES), len(METHODS), len(asked.offsets), asked.seeds)
    table = {p: dict(zip(METHODS, shaped[i].tolist(), strict=True)) for i, p in enumerate(PROMISES)}
    text = markdown(perfect, table, asked.offsets)
    (out / "accuracy.md").write_text(text)
    picture(perfect, table, asked.offsets).savefig(out / "accuracy.svg")
    print(text)
    chosen = {f"{promise or 'any'}, {method}": rate for (promise, method), rate in rates.items()}
    spent = {p: max(r.epsilon or 0.0 for r in found if r.cell.promise == p) for p in PROMISES}
    result = {"perfect": perfect, "offsets_db": asked.offsets, "accuracies": table, "rates": chosen}
    print(json.dumps({**result, "epsilon_spent": spent, "failures": failures}))


if __name__ == "__main__":
    main()
