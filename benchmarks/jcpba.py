"""JCPBA: solvers against a brute-force grid, modelled latency and real test loss at the reference scenario.

python -m benchmarks.jcpba [--out DIR] [--only solver|latency|loss]

The scenario is that of docs/jcpba.md: rig `cell_of_ten`, experiment `jcpba`. Training takes some 15 minutes on two
cores and goes on where it was cut off. Prints tables, and one JSON object last; parts that were left out are null.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from learner.models.load import load_model
from learner.pruning.parts import Parts
from learner.tasks.task import Task
from radio.arrays import Reals
from testbed.api import load
from testbed.config.schema import RunConfig
from testbed.config.words import ALLOCATING, Allocating
from testbed.jcpba.blocks import block_coordinate_descent
from testbed.jcpba.comparison import run_comparison
from testbed.jcpba.directory import read_comparison
from testbed.jcpba.grid import grid_optimum
from testbed.jcpba.joint import best_allocation
from testbed.jcpba.links import Links, workload
from testbed.jcpba.methods import WORDS, allocation, as_realised
from testbed.jcpba.problem import Allocation, Problem
from testbed.jcpba.records import MethodResult

NUM_INSTANCES, NUM_DRAWS, NUM_TIMED = 12, 100, 21
SEARCH_SEED, SEEDS, RATES = 0, (1, 2, 3, 4), (3e-4, 1e-3, 3e-3)
SPEEDS_OPS, DISTANCES_KM = (50e6, 500e6), (0.05, 0.5)
_OPS, _BITS = 5 * 16 * 17 * 6 * 55_296, 32 * 55_296


def instance(num_clients: int, seed: int) -> Problem:
    """Clients drawn from the scenario's ranges: speeds even in the logarithm, distances even, Rayleigh fading."""
    rng = np.random.default_rng(seed)
    speeds = np.exp(rng.uniform(*np.log(SPEEDS_OPS), num_clients))
    distances_km = rng.uniform(*DISTANCES_KM, num_clients)
    snr_db = 10 - (128.1 + 37.6 * np.log10(distances_km)) + 114
    return Problem(
        compute_s=_OPS / speeds,
        fixed_compute_s=np.zeros(num_clients),
        payload_bits=_BITS,
        fixed_bits=0.0,
        bandwidth_hz=1e6,
        snr=10 ** (snr_db / 10) * rng.exponential(size=num_clients),
        max_pruning=0.7,
        pruning_limit=num_clients * 0.3**2,
    )


def milliseconds(solve: Callable[[Problem], object]) -> float:
    """Of processor time for 50 clients, median over instances."""
    spent = []
    for seed in range(NUM_TIMED):
        problem = instance(50, 1000 + seed)
        started = time.process_time()
        solve(problem)
        spent.append(1e3 * (time.process_time() - started))
    return float(np.median(spent))


def solver() -> dict[str, Any]:
    """Deadlines over the grid's, limits that were exceeded, times."""
    ratios: list[list[float]] = []
    violations = 0
    print("| instance | grid (s) | joint / grid | BCD, bandwidth first | BCD, pruning first |\n|---|---|---|---|---|")
    for seed in range(NUM_INSTANCES):
        problem = instance(2, seed)
        best_s = grid_optimum(problem, num_rates=600, num_shares=3000).deadline_s(problem)
        descents = [block_coordinate_descent(problem, begin=each) for each in ("bandwidth", "pruning")]
        found = [best_allocation(problem), *(each.allocation for each in descents)]
        violations += sum(each.violation(problem) > 0 for each in found)
        violations += sum(bool(np.any(np.diff(each.deadlines_s) > 0)) for each in descents)
        ratios.append([each.deadline_s(problem) / best_s for each in found])
        print(f"| {seed} | {best_s:.4f} | {ratios[-1][0]:.5f} | {ratios[-1][1]:.4f} | {ratios[-1][2]:.4f} |")
    joint, bcd, pruning_first = np.array(ratios).T
    return {
        "joint_over_grid": float(joint.max()),
        "bcd_over_grid": float(bcd.max()),
        "bcd_over_grid_median": float(np.median(bcd)),
        "bcd_over_grid_min": float(bcd.min()),
        "bcd_pruning_first_over_grid": float(pruning_first.max()),
        "violations": violations,
        "bcd_ms_50_clients": milliseconds(block_coordinate_descent),
        "joint_ms_50_clients": milliseconds(best_allocation),
    }


def scenario(seed: int, **changes: Any) -> RunConfig:
    """The reference scenario with one seed."""
    return load("jcpba", "cell_of_ten", {"seed": seed, **{f"jcpba.{key}": value for key, value in changes.items()}})


VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "_magnitude": {"mask": "magnitude"},
    "_magnitude_dense": {"mask": "magnitude", "spares_arithmetic": False},
}
"""The scenario, and what was looked at after its result was known; by the ending of their keys."""


def latency() -> dict[str, Any]:
    """Savings of the scenario, with all methods, and of its variants, with the joint solver."""
    found: dict[str, Any] = {"violations": 0}
    for ending, changes in VARIANTS.items():
        methods: tuple[Allocating, ...] = ("joint", "equal") if ending else ALLOCATING
        saving, violations = savings(methods, changes)
        low, high = np.quantile(saving["joint"], [0.025, 0.975])
        found |= {f"latency_saving{ending}": float(np.median(saving["joint"]))}
        found |= {f"latency_saving{ending}_low": float(low), f"latency_saving{ending}_high": float(high)}
        found["violations"] += violations
        if "bcd" in saving:
            found["latency_saving_bcd"] = float(np.median(saving["bcd"]))
    return found


def savings(methods: tuple[Allocating, ...], changes: dict[str, Any]) -> tuple[dict[str, Reals], int]:
    """1 − modelled latency of all rounds over that of equal bandwidth without pruning, by channel draw; and how often
    a limit was exceeded."""
    config = scenario(1, **changes)
    model, tokenizer = load_model(config.experiment.model)
    task = Task(config.experiment.task, tokenizer, num_devices=config.rig.num_devices, seed=1)
    parts = Parts(model, config.experiment.jcpba.mask)
    totals: dict[str, list[float]] = {method: [] for method in methods}
    violations = 0
    for seed in range(1, NUM_DRAWS + 1):
        drawn = scenario(seed, **changes)
        links = Links(drawn, workload(parts, task, drawn))
        problems = [links.problem(index) for index in range(drawn.experiment.jcpba.num_rounds)]
        for method in methods:
            wanted = [allocation(method, problem) for problem in problems]
            real = [as_realised(method, p, w, parts.realised) for p, w in zip(problems, wanted, strict=True)]
            violations += sum(_exceeds(a, p) for each in (wanted, real) for a, p in zip(each, problems, strict=True))
            totals[method].append(sum(a.deadline_s(p) for a, p in zip(real, problems, strict=True)))
    print(f"\n{changes or 'the scenario'}\n\n| method | seconds, median | saving, median | 95 % of draws |")
    print("|---|---|---|---|")
    found: dict[str, Reals] = {}
    for method in methods:
        saving = found[method] = 1 - np.array(totals[method]) / np.array(totals["equal"])
        low, high = np.quantile(saving, [0.025, 0.975])
        print(
            f"| {WORDS[method]} | {np.median(totals[method]):.1f} | {np.median(saving):.1%} | {low:.1%} to {high:.1%} |"
        )
    return found, violations


def _exceeds(found: Allocation, problem: Problem) -> bool:
    return found.violation(problem) > 0


class _Lines:
    """Says where the training is."""

    def begins(self, words: str, first_round: int, num_rounds: int) -> None:
        print(f"{words}: from round {first_round} of {num_rounds}", flush=True)

    def round_done(self, round_number: int, wall_clock_s: float | None, loss: float | None) -> None:
        if loss is not None:
            print(f"  round {round_number}: test loss {loss:.4f}", flush=True)


def trained(
    out: Path, seed: int, methods: tuple[Allocating, ...], learning_rate: float, **changes: Any
) -> dict[str, MethodResult]:
    """Each method's result, trained now or before."""
    if not (out / "results.json").exists():
        config = scenario(seed, methods=list(methods), learning_rate=learning_rate, pairzero=False, **changes)
        begun = (out / "methods").is_dir()
        run_comparison(config, out=None if begun else out, resume=out if begun else None, progress=_Lines())
    return {method.name: method for method in read_comparison(out).methods}


def loss_at(method: MethodResult, wall_clock_s: float) -> float:
    """Test loss at a time, on straight lines between evaluations."""
    curve = method.curve
    return float(np.interp(wall_clock_s, [p.wall_clock_s for p in curve], [p.loss for p in curve]))


def loss(out: Path) -> dict[str, Any]:
    """Test loss of JCPBA and of no pruning after the same rounds."""
    tried = {rate: trained(out / f"search-{rate:g}", SEARCH_SEED, ("equal",), rate)["equal"].loss for rate in RATES}
    rate = min(tried, key=lambda each: tried[each])
    print(f"\nlearning rate by loss without pruning, seed {SEARCH_SEED}: {tried}; chosen {rate:g}")
    whole = [trained(out / f"seed-{seed}", seed, ("joint", "equal"), rate)["equal"] for seed in SEEDS]
    losses = np.array([each.loss for each in whole])
    std = float(losses.std(ddof=1))
    results = {"learning_rate": rate, "loss_no_pruning": float(losses.mean()), "loss_std_no_pruning": std}
    for ending, changes in VARIANTS.items():
        folder = f"seed{ending}-" if ending else "seed-"
        methods: tuple[Allocating, ...] = ("joint",) if ending else ("joint", "equal")
        pruned = [trained(out / f"{folder}{seed}", seed, methods, rate, **changes)["joint"] for seed in SEEDS]
        at_time = [loss_at(each, joint.wall_clock_s) for each, joint in zip(whole, pruned, strict=True)]
        print(f"\n{changes or 'the scenario'}\n")
        print("| seed | JCPBA | s | no pruning | s | no pruning, at JCPBA's s | accuracy | accuracy |")
        print("|---" * 8 + "|")
        for seed, joint, equal, then in zip(SEEDS, pruned, whole, at_time, strict=True):
            print(
                f"| {seed} | {joint.loss:.4f} | {joint.wall_clock_s:.0f} | {equal.loss:.4f} | "
                f"{equal.wall_clock_s:.0f} | {then:.4f} | {joint.metric:.1%} | {equal.metric:.1%} |"
            )
        mean = float(np.mean([each.loss for each in pruned]))
        results |= {f"loss{ending}": mean, f"loss_difference_std{ending}": (mean - float(losses.mean())) / std}
        results |= {f"loss_no_pruning_at_same_time{ending}": float(np.mean(at_time))}
    return results


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("jcpba"))
    parser.add_argument("--only", choices=("solver", "latency", "loss"))
    arguments = parser.parse_args()
    parts = {"solver": solver, "latency": latency, "loss": lambda: loss(arguments.out)}
    names = (
        "joint_over_grid",
        "bcd_over_grid",
        "latency_saving",
        "loss_difference_std",
        "violations",
        "bcd_ms_50_clients",
    )
    results: dict[str, Any] = dict.fromkeys(names)
    for name, play in parts.items():
        if arguments.only in (None, name):
            found = play()
            if "violations" in found:
                found["violations"] += results["violations"] or 0
            results |= found
    print(json.dumps(results))


if __name__ == "__main__":
    main()
