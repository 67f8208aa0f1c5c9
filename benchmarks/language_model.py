"""A pretrained language model over the air: SmolLM2-135M learns SST-2, and first-order methods beside it.

python -m benchmarks.language_model [--search] [--sst2 ../shared/data/sst2] [--out runs/language_model] [--only NAME …]

Without --search the experiment `smollm2` is run as it stands and judged on the test split: over the sampled air with
two seeds, without a channel, with energy detection on the rig pluto_indoor; then FedSGD and FedAvg-AdamW. With it,
candidates for rate, batch, queries and prompt are tried without a channel and judged on the *dev* split; the test split
is not read. Each run is a run directory, or of a first-order method a JSON file, and goes on where it was interrupted;
what is there is not run again. Last comes one JSON object. `testbed fetch smollm2` brings the model.
"""

import argparse
import copy
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import testbed
from benchmarks.measure import live_bytes, peak_bytes
from learner.baselines import RoundOfGradients, fedavg, fedsgd
from learner.models.load import load_model
from learner.tasks.task import Task
from learner.zo.evaluation import evaluate
from learner.zo.replica import Replica
from testbed.results.records import RoundRecord
from testbed.results.run import Run

EXPERIMENT = "smollm2"
IDEAL = ("scheme.name=ideal",)
RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "coherent_1": ("loopback", ("seed=1",)),
    "ideal_1": ("loopback", ("seed=1", *IDEAL)),
    "coherent_2": ("loopback", ("seed=2",)),
    "energy_1": ("pluto_indoor", ("seed=1", "scheme.name=energy")),
}
"""Name → rig and what differs from the experiment."""
SENTIMENT = "Review: {text}\nSentiment:"
OPINION = "Review: {text}\nThe reviewer's opinion of the movie is"
SEARCHED: dict[str, tuple[str, ...]] = {
    **{f"rate_{rate}": (f"learner.learning_rate={rate}",) for rate in ("3e-5", "6e-5", "1.2e-4", "2.4e-4")},
    "batch_16": ("learner.batch_size=16", "learner.learning_rate=1.2e-4"),
    "queries_4": ("learner.num_queries=4", "learner.learning_rate=1.2e-4"),
    "opinion": (f"task.prompt={OPINION}",),
}
FIRST_ORDER = {"fedsgd": ("fedsgd", 1), "fedavg_adamw": ("fedavg_adamw", 1), "fedavg_adamw_2": ("fedavg_adamw", 2)}
"""Name → method and seed, which draws sentences and batches as it does for a run."""
FIRST_ORDER_RATES = {"fedsgd": (3e-3, 1e-2, 3e-2), "fedavg_adamw": (3e-6, 1e-5, 3e-5)}
FIRST_ORDER_ROUNDS = 100
LOCAL_STEPS = 2
NUM_EVALUATIONS = 10


@dataclass(frozen=True, slots=True)
class Reached:
    """What a method reached, and what it cost."""

    start: float
    """Accuracy of the untouched model with the same prompt."""
    accuracy: float
    """Mean of the last three evaluations."""
    num_test: int
    rounds: int
    wall_s: float
    """The whole run, evaluation included."""
    at_rounds: tuple[int, ...]
    accuracies: tuple[float, ...]
    uplink_bytes_per_device: int | None = None
    """Of a digital method."""
    peak_mib: float | None = None
    """Of live tensors in one round, the model included; of a first-order method."""


def over_the_air(name: str, rig: str, changes: Sequence[str], task: Path, out: Path) -> Reached:
    """Play the experiment into ``out``/``name``, or what is left of it."""
    where = out / name
    if not where.exists():
        testbed.run(EXPERIMENT, rig, [f"task.path={task}", *changes], out=where, progress=_said(name))
    elif Run.open(where).summary is None:
        testbed.run(resume=where, progress=_said(name))
    found = Run.open(where)
    summary = found.summary
    assert summary is not None
    assert summary.metric_initial is not None
    assert summary.metric_final is not None
    assert summary.num_test is not None
    judged = [(record.round + 1, record.metric) for record in found.rounds if record.metric is not None]
    return Reached(
        start=summary.metric_initial,
        accuracy=summary.metric_final,
        num_test=summary.num_test,
        rounds=summary.rounds_total,
        wall_s=summary.wall_s,
        at_rounds=(0, *(number for number, _ in judged)),
        accuracies=(summary.metric_initial, *(metric for _, metric in judged)),
    )


def first_order(method: str, rate: float, seed: int, task_path: Path) -> Reached:
    """Train by gradients on the same split and prompt; the rounds are fewer, as each costs more."""
    config = testbed.load(EXPERIMENT, overrides=[f"task.path={task_path}", f"seed={seed}"])
    experiment = config.experiment
    elsewhere = live_bytes()
    model, tokenizer = load_model(experiment.model)
    task = Task(experiment.task, tokenizer, num_devices=config.rig.num_devices, seed=experiment.seed)
    steps = _steps(method, rate, model, task, experiment.learner.batch_size)
    accuracies, at_rounds, uplink, started = [_judged(model, tokenizer, task)], [0], 0, time.perf_counter()
    every = FIRST_ORDER_ROUNDS // NUM_EVALUATIONS
    for number in range(1, FIRST_ORDER_ROUNDS + 1):
        uplink += next(steps).uplink_bytes_per_device
        if number % every == 0:
            at_rounds.append(number)
            accuracies.append(_judged(model, tokenizer, task))
            print(f"{method} {rate:g}, seed {seed}: round {number}, accuracy {accuracies[-1]:.3f}", flush=True)
    wall_s = time.perf_counter() - started
    return Reached(
        start=accuracies[0],
        accuracy=float(np.mean(accuracies[-3:])),
        num_test=task.num_test,
        rounds=FIRST_ORDER_ROUNDS,
        wall_s=wall_s,
        at_rounds=tuple(at_rounds),
        accuracies=tuple(accuracies),
        uplink_bytes_per_device=uplink,
        peak_mib=peak_bytes(lambda: next(steps), elsewhere_bytes=elsewhere) / 2**20,
    )


def _steps(method: str, rate: float, model: Any, task: Task, batch_size: int) -> Iterator[RoundOfGradients]:
    settings: dict[str, Any] = {"num_rounds": FIRST_ORDER_ROUNDS + 2, "batch_size": batch_size, "learning_rate": rate}
    if method == "fedsgd":
        return fedsgd(model, task, **settings)
    return fedavg(model, task, local_steps=LOCAL_STEPS, **settings)


def _judged(model: Any, tokenizer: Any, task: Task) -> float:
    """Accuracy at the model's present weights, of which a replica takes a copy."""
    return evaluate(Replica(copy.deepcopy(model), tokenizer), task).metric


def _said(name: str) -> Any:
    def said(record: RoundRecord) -> None:
        if record.metric is not None:
            print(f"{name}: round {record.round + 1}, accuracy {record.metric:.3f}", flush=True)

    return said


def _kept(file: Path, measure: Any) -> Reached:
    """What was measured before, or now."""
    if not file.exists():
        file.write_text(json.dumps(asdict(measure())))
    return Reached(**json.loads(file.read_text()))


def _on_dev(sst2: Path, out: Path) -> Path:
    """A task directory whose evaluation split is dev."""
    folder = out / "sst2_dev"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sst2 / "train.tsv", folder / "train.tsv")
    shutil.copyfile(sst2 / "dev.tsv", folder / "dev.tsv")
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is not there yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--search", action="store_true", help="try candidates on the dev split")
    parser.add_argument("--sst2", type=Path, default=Path("../shared/data/sst2"), help="train.tsv, dev.tsv, test.tsv")
    parser.add_argument("--out", type=Path, default=Path("runs/language_model"), help="where runs are kept")
    parser.add_argument("--only", nargs="+", help="names of runs")
    asked = parser.parse_args(arguments)
    out: Path = asked.out / ("search" if asked.search else "final")
    task = _on_dev(asked.sst2, asked.out) if asked.search else asked.sst2.resolve()
    out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Reached] = {}
    runs = {name: ("loopback", (*IDEAL, *more)) for name, more in SEARCHED.items()} if asked.search else RUNS
    if asked.search:
        gradients = {f"{m}_{rate:g}": (m, rate, 1) for m, rates in FIRST_ORDER_RATES.items() for rate in rates}
    else:
        gradients = {name: (m, FIRST_ORDER_RATES[m][1], seed) for name, (m, seed) in FIRST_ORDER.items()}
    for name, (rig, changes) in runs.items():
        if not asked.only or name in asked.only:
            found[name] = over_the_air(name, rig, changes, task, out)
    for name, (method, rate, seed) in gradients.items():
        if not asked.only or name in asked.only:
            found[name] = _kept(out / f"{name}.json", partial(first_order, method, rate, seed, task))
    for name, reached in found.items():
        print(
            f"{name:24} {reached.start:.1%} -> {reached.accuracy:.1%} of {reached.num_test} sentences, "
            f"{reached.rounds} rounds, {reached.wall_s:.0f} s"
        )
    print(json.dumps({name: asdict(reached) for name, reached in found.items()}))


if __name__ == "__main__":
    main()
