"""Zeroth-order fine-tuning over a noise-free link against FedSGD and FedAvg-AdamW, on the same tasks and batches.

python -m benchmarks.zo_convergence [--sst2 ../shared/data/sst2] [--out DIR] [--rounds 1500]

The model is the embedded one. Every method is tried at four learning rates on every task, and the best is kept: its
last three test accuracies decide, so all are a little flattered. FedAvg makes several local steps a round. Writes
convergence.json, convergence.md and convergence.png; prints a table, and one JSON object last.
Seconds leave evaluation out; the peak is of live tensors in one round, the model itself included.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.measure import live_bytes, peak_bytes
from learner.baselines import fedavg, fedsgd
from learner.config import ModelConfig, TaskConfig
from learner.models.load import load_model
from learner.tasks.task import Task
from learner.zo.evaluation import evaluate
from learner.zo.replica import Replica

NUM_DEVICES, BATCH_SIZE, SEED, SCALE = 5, 16, 1, 1e-3
SCALAR_BYTES = 2
RATES = {
    "zo": (3e-5, 1e-4, 3e-4, 1e-3),
    "fedsgd": (3e-3, 1e-2, 3e-2, 1e-1),
    "fedavg_adamw": (3e-5, 1e-4, 3e-4, 1e-3),
}
FIRST_ORDER_SHARE = 10  # first-order methods get one batch for so many of the zeroth-order one
LOCAL_STEPS = 5
ROUNDS_SHARE = {"zo": 1, "fedsgd": FIRST_ORDER_SHARE, "fedavg_adamw": FIRST_ORDER_SHARE * LOCAL_STEPS}
NUM_EVALUATIONS = 10


@dataclass(frozen=True, slots=True)
class Curve:
    """What a method reached, and what it cost."""

    task: str
    method: str
    learning_rate: float
    accuracy_start: float
    accuracy: float
    rounds: int
    forward_passes: int
    backward_passes: int
    seconds: float
    uplink_bytes_per_device: int
    peak_mib: float
    at_rounds: tuple[int, ...]
    accuracies: tuple[float, ...]


def run(task_name: str, method: str, rate: float, config: TaskConfig, num_rounds: int) -> Curve:
    """Train from the embedded weights; evaluate ten times."""
    elsewhere = live_bytes()
    model, tokenizer = load_model(ModelConfig())
    task = Task(config, tokenizer, num_devices=NUM_DEVICES, seed=SEED)
    judge = Replica.load(ModelConfig(), num_threads=1)
    steps, uplink_bytes, forwards = _steps(method, rate, model, tokenizer, task, num_rounds)
    accuracies = [evaluate(judge, task).metric]
    seconds, at_rounds, every = 0.0, [0], max(1, num_rounds // NUM_EVALUATIONS)
    judge_bytes = sum(parameter.nbytes for parameter in judge.model.parameters())
    for round_index in range(1, num_rounds + 1):
        started = time.perf_counter()
        next(steps)
        seconds += time.perf_counter() - started
        if round_index % every == 0 or round_index == num_rounds:
            with torch.no_grad():
                for mine, theirs in zip(judge.model.parameters(), model.parameters(), strict=True):
                    mine.copy_(theirs)
            accuracies.append(evaluate(judge, task).metric)
            at_rounds.append(round_index)
    again, _, _ = _steps(method, rate, model, tokenizer, task, 2)
    peak = peak_bytes(lambda: next(again), elsewhere_bytes=elsewhere + judge_bytes)
    return Curve(
        task=task_name,
        method=method,
        learning_rate=rate,
        accuracy_start=accuracies[0],
        accuracy=float(np.mean(accuracies[-3:])),
        rounds=num_rounds,
        forward_passes=forwards * num_rounds,
        backward_passes=0 if method == "zo" else forwards * num_rounds,
        seconds=seconds,
        uplink_bytes_per_device=uplink_bytes * num_rounds,
        peak_mib=peak / 2**20,
        at_rounds=tuple(at_rounds),
        accuracies=tuple(accuracies),
    )


def _steps(
    method: str, rate: float, model: Any, tokenizer: Any, task: Task, num_rounds: int
) -> tuple[Iterator[object], int, int]:
    """The rounds, bytes up per device and round, forward passes per round."""
    num_bytes = sum(parameter.nbytes for parameter in model.parameters())
    settings: dict[str, Any] = {"num_rounds": num_rounds, "batch_size": BATCH_SIZE, "learning_rate": rate}
    if method == "fedsgd":
        return fedsgd(model, task, **settings), num_bytes, NUM_DEVICES
    if method == "fedavg_adamw":
        return fedavg(model, task, local_steps=LOCAL_STEPS, **settings), num_bytes, NUM_DEVICES * LOCAL_STEPS
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return _zo(Replica(model, tokenizer), task, num_rounds, rate), SCALAR_BYTES, 2 * NUM_DEVICES


def _zo(replica: Replica, task: Task, num_rounds: int, rate: float) -> Iterator[float]:
    """The ideal scheme: the exact mean of the devices' scalars."""
    for seed in range(num_rounds):
        batches = [task.batch(device, seed, BATCH_SIZE) for device in range(NUM_DEVICES)]
        found = replica.scalars(batches, seed=seed, num_queries=1, perturbation_scale=SCALE)
        mean = float(found.projected_gradients.mean())
        replica.update(seed, [float(np.float32(rate * mean))])
        yield mean


def table(curves: list[Curve]) -> str:
    """Markdown; bytes are those that one device sends in the whole run."""
    heads = ("task", "method", "rate", "accuracy", "rounds", "forwards", "backwards", "seconds", "bytes up", "peak MiB")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for c in curves:
        cells = (
            c.task, c.method, f"{c.learning_rate:g}", f"{c.accuracy_start:.3f} → {c.accuracy:.3f}", c.rounds,
            c.forward_passes, c.backward_passes, f"{c.seconds:.1f}", f"{c.uplink_bytes_per_device:,}",
            f"{c.peak_mib:.1f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def plot(curves: list[Curve]) -> Figure:
    """Accuracy against bytes sent by one device."""
    tasks = sorted({curve.task for curve in curves})
    figure = Figure(figsize=(5 * len(tasks), 4), dpi=110, layout="constrained")
    axes = figure.subplots(1, len(tasks), squeeze=False)[0]
    for axis, name in zip(axes, tasks, strict=True):
        for curve in (curve for curve in curves if curve.task == name):
            per_round = curve.uplink_bytes_per_device / curve.rounds
            axis.plot(
                [max(1, n) * per_round for n in curve.at_rounds], curve.accuracies, marker=".", label=curve.method
            )
        axis.set(xscale="log", xlabel="bytes sent by a device", ylabel="accuracy", title=name)
        axis.grid(True, color="#e2e8f0")
        axis.legend()
    return figure


def main() -> None:
    """Run all methods on all tasks that are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sst2", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "sst2")
    parser.add_argument("--out", type=Path, default=Path("convergence"))
    parser.add_argument("--rounds", type=int, default=1500)
    arguments = parser.parse_args()
    tasks = {"embedded": TaskConfig()}
    if arguments.sst2.is_dir():
        tasks["sst2"] = TaskConfig(path=str(arguments.sst2), num_train=1000)
    curves = []
    for name, config in tasks.items():
        for method, rates in RATES.items():
            num_rounds = max(1, arguments.rounds // ROUNDS_SHARE[method])
            tried = [run(name, method, rate, config, num_rounds) for rate in rates]
            print(table(tried), flush=True)
            curves.append(max(tried, key=lambda curve: curve.accuracy))
    arguments.out.mkdir(parents=True, exist_ok=True)
    plot(curves).savefig(arguments.out / "convergence.png")
    results = {f"{curve.task}_{curve.method}": asdict(curve) for curve in curves}
    (arguments.out / "convergence.json").write_text(json.dumps(results, indent=1))
    (arguments.out / "convergence.md").write_text(table(curves) + "\n", encoding="utf-8")
    print(table(curves))
    print(json.dumps({name: {k: v for k, v in r.items() if not isinstance(v, tuple)} for name, r in results.items()}))


if __name__ == "__main__":
    main()
