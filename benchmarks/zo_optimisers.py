"""Forwards to a fixed validation accuracy: each way of stepping against plain zeroth-order descent.

python -m benchmarks.zo_optimisers [--sst2 ../shared/data/sst2] [--smollm2 DIR] [--tasks embedded,sst2] [--seeds 4]

Learners alone, with the exact mean of five devices' scalars; steps are made by the optimiser that a run has. A forward
is one pass over one batch of each device: a round of Q queries costs 2Q, one-sided Q + 1, and a replayed coefficient
0.006. The accuracy is that on examples held out of the training split, mean of two evaluations in a row; the goal, of
each task and seed, is the best that plain descent reaches at any of its rates within the budget, less one point. Every
method has as many rates, and keeps the one with the fewest forwards, geometric mean over seeds; a run that does not get
there counts with the whole budget, which flatters it: `reached` says how many did.
Prints a line a run, a table, and one JSON object last: `forwards_over_plain_zo` is that of the best method over all
tasks, geometric mean. Two embedded tasks: some 15 minutes on one quiet core. SmolLM2 (`--smollm2`, one seed): hours.
"""

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.measure import live_bytes, peak_bytes
from learner.config import LearnerConfig, ModelConfig, TaskConfig
from learner.tasks.task import Task
from learner.zo.evaluation import evaluate
from learner.zo.replica import Replica
from testbed.config.schema import Experiment, RoundsConfig, UpdateConfig
from testbed.optimisers.updates import Updater
from testbed.rounds.round import round_seed

NUM_DEVICES, BATCH_SIZE = 5, 16
REPLAYED = 0.006
POINT = 0.01


@dataclass(frozen=True, slots=True)
class Method:
    """A way of stepping, and the rates at which it is tried, relative to the task's."""

    rates: tuple[float, float, float]
    learner: dict[str, Any]
    update: dict[str, Any]

    @property
    def forwards(self) -> int:
        """Of a round, without replayed coefficients."""
        num_queries = int(self.learner.get("num_queries", 1))
        return num_queries + 1 if self.learner.get("estimator") == "one_sided" else 2 * num_queries


PLAIN = "plain"
METHODS = {
    PLAIN: Method((0.7, 1.0, 1.4), {}, {}),
    "momentum 0.8": Method((0.14, 0.2, 0.28), {}, {"momentum": 0.8}),
    "rms-normalised": Method((3.0, 4.2, 6.0), {}, {"normalise": "rms"}),
    "cosine, warm-up": Method((1.0, 1.4, 2.0), {}, {"decay": "cosine", "warmup_rounds": 4}),
    "one-sided, 2 queries": Method((1.4, 2.0, 2.8), {"num_queries": 2, "estimator": "one_sided"}, {}),
    "FZOO, 4 queries": Method((8.0, 11.0, 16.0), {"num_queries": 4, "estimator": "one_sided"}, {"normalise": "std"}),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A model and a task, how long it is trained, and how often judged."""

    model: ModelConfig
    task: TaskConfig
    rate: float
    budget: int
    """Forwards."""
    every: int
    """Forwards between evaluations, at least."""
    num_threads: int = 1


def settings(sst2: Path, smollm2: Path | None) -> dict[str, Setting]:
    """Of the tasks that there is data for."""
    found = {"embedded": Setting(ModelConfig(), TaskConfig(num_validation=300), 1e-3, 96, 4)}
    if sst2.is_dir():
        data = TaskConfig(path=str(sst2), num_train=2000, num_validation=300)
        found["sst2"] = Setting(ModelConfig(), data, 1e-3, 240, 10)
        if smollm2 is not None:
            prompt = {"prompt": "Review: {text}\nSentiment:", "verbalizer": {"0": " negative", "1": " positive"}}
            asked = msgspec.structs.replace(data, **prompt)
            model = ModelConfig(path=str(smollm2), compute_dtype="bfloat16")
            found["smollm2"] = Setting(model, asked, 6e-5, 400, 20, num_threads=2)
    return found


def loaded(setting: Setting) -> Replica:
    """The untouched model."""
    return Replica.load(setting.model, num_threads=setting.num_threads, batch_devices=True)


def train(setting: Setting, task: Task, method: Method, rate: float) -> Iterator[tuple[float, float]]:
    """(forwards so far, accuracy on the validation split), from the untouched model on."""
    replica = loaded(setting)
    held_out = task.validation
    assert held_out is not None
    yield 0.0, evaluate(replica, held_out).metric
    done, judged = 0.0, 0.0
    for forwards in rounds(replica, task, setting, method, rate):
        done += forwards
        if done - judged >= setting.every:
            judged = done
            yield done, evaluate(replica, held_out).metric


def rounds(replica: Replica, task: Task, setting: Setting, method: Method, rate: float) -> Iterator[float]:
    """Every round within the budget; yields its forwards."""
    learner = LearnerConfig(learning_rate=rate * setting.rate, batch_size=BATCH_SIZE, **method.learner)
    asked = RoundsConfig(num=setting.budget // method.forwards)
    experiment = Experiment(learner=learner, update=UpdateConfig(**method.update), rounds=asked)
    updater = Updater(experiment)
    for round_index in range(asked.num):
        direction_seed = round_seed(task.seed, round_index)
        found = replica.scalars(
            [task.batch(device, round_index, BATCH_SIZE) for device in range(NUM_DEVICES)],
            seed=direction_seed,
            num_queries=learner.num_queries,
            perturbation_scale=learner.perturbation_scale,
            estimator=learner.estimator,
            stops_on_infinity=False,
        )
        mean = np.clip(found.projected_gradients, -learner.clip, learner.clip).mean(axis=0)
        updates = updater.updates(round_index, direction_seed, mean.tolist(), np.zeros(1))
        replica.replay(updates)
        yield method.forwards + REPLAYED * learner.num_queries * (len(updates) - 1)


def smoothed(curve: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Mean of two evaluations in a row, at the later one."""
    return [(at, (before + now) / 2) for (_, before), (at, now) in pairwise(curve)]


def forwards_to(goal: float, setting: Setting, task: Task, method: Method, rate: float) -> float | None:
    """How many it takes; None if the budget is not enough."""
    curve: list[tuple[float, float]] = []
    for point in train(setting, task, method, rate):
        curve.append(point)
        if len(curve) > 1 and smoothed(curve[-2:])[0][1] >= goal:
            return point[0]
    return None


def peak(setting: Setting, task: Task, method: Method) -> float:
    """MiB of live tensors in one round, the model included."""
    elsewhere = live_bytes()
    steps = rounds(loaded(setting), task, setting, method, method.rates[0])
    return peak_bytes(lambda: next(steps), elsewhere_bytes=elsewhere) / 2**20


def geometric_mean(values: list[float]) -> float:
    """Of positive numbers."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def measure(name: str, setting: Setting, seeds: list[int]) -> dict[str, dict[str, Any]]:
    """Every method at its best rate."""
    tokenizer = loaded(setting).tokenizer
    tasks = {seed: Task(setting.task, tokenizer, num_devices=NUM_DEVICES, seed=seed) for seed in seeds}
    curves = {
        (rate, seed): smoothed(list(train(setting, tasks[seed], METHODS[PLAIN], rate)))
        for rate in METHODS[PLAIN].rates
        for seed in seeds
    }
    best = {s: max(accuracy for (_, seed), c in curves.items() if seed == s for _, accuracy in c) for s in seeds}
    found = {}
    for label, method in METHODS.items():
        tried = {}
        for rate in method.rates:
            if label == PLAIN:
                needed = [
                    next((at for at, accuracy in curves[rate, s] if accuracy >= best[s] - POINT), None) for s in seeds
                ]
            else:
                needed = [forwards_to(best[s] - POINT, setting, tasks[s], method, rate) for s in seeds]
            tried[rate] = needed
            print(f"{name}, {label}, rate {rate:g}: {needed}", flush=True)
        totals = {rate: geometric_mean([n or setting.budget for n in needed]) for rate, needed in tried.items()}
        rate = min(totals, key=totals.__getitem__)
        found[label] = {
            "rate": rate * setting.rate,
            "forwards": round(totals[rate], 1),
            "per_seed": tried[rate],
            "reached": f"{sum(n is not None for n in tried[rate])}/{len(seeds)}",
            "peak_mib": round(peak(setting, tasks[seeds[0]], method), 2),
            "goal": round(float(np.mean(list(best.values()))) - POINT, 4),
        }
    for figures in found.values():
        figures["forwards_over_plain_zo"] = round(figures["forwards"] / found[PLAIN]["forwards"], 3)
        figures["peak_over_plain_zo"] = round(figures["peak_mib"] / found[PLAIN]["peak_mib"], 3)
    return found


def table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Markdown: a row for each task and method."""
    heads = ("task", "method", "rate", "forwards", "reached", "forwards / plain", "peak / plain")
    keys = ("rate", "forwards", "reached", "forwards_over_plain_zo", "peak_over_plain_zo")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [
        f"| {task} | {label} | {' | '.join(str(figures[key]) for key in keys)} |"
        for task, methods in results.items()
        for label, figures in methods.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure all tasks that are asked for and there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sst2", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "sst2")
    parser.add_argument("--smollm2", type=Path, help="a Hugging Face directory of the model; left out without it")
    parser.add_argument("--tasks", help="of embedded, sst2, smollm2, with commas between; all that are there")
    parser.add_argument("--seeds", type=int, default=4, help="how many; SmolLM2 has one")
    arguments = parser.parse_args()
    there = settings(arguments.sst2, arguments.smollm2)
    asked = arguments.tasks.split(",") if arguments.tasks else list(there)
    results = {
        name: measure(name, there[name], [1] if name == "smollm2" else list(range(1, arguments.seeds + 1)))
        for name in asked
    }
    over = {
        label: round(geometric_mean([results[name][label]["forwards_over_plain_zo"] for name in results]), 3)
        for label in METHODS
        if label != PLAIN
    }
    best = min(over, key=over.__getitem__)
    print(table(results))
    figures = {"forwards_over_plain_zo": over[best], "best": best, "over_all_tasks": over, "tasks": results}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
