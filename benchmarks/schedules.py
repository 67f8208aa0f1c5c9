"""Schedules side by side: predicted objective over channel draws, and realised learning on the built-in task.

    python -m benchmarks.schedules                     everything, into schedules/ (about an hour on one core)
    python -m benchmarks.schedules --draws 20 --learning-seeds 0

Writes schedules.json, schedules.md and schedules.png into --out; the last line printed is the JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks import instances
from benchmarks.instances import leaks
from benchmarks.private_learning import learning
from testbed.privacy.accountants import accountant
from testbed.schedule.problem import Problem, caps_at_full_power, log_weights, snr_threshold

SCHEDULES = ("solution", "online", "static", "reversed", "paper", "full")
EPSILON, DELTA, CLIP, CONTRACTION, ROUNDS = 5.0, 1e-2, 100.0, 0.998, 1000
OFFSETS_DB = (-10, 0, 10, 20, 30)
FADINGS = {"rayleigh": 0.0, "rician-5": 5.0}


def objectives(num_devices: int, rice_k: float, offset_db: float, num_draws: int) -> dict[str, Any]:
    """Objective over the solution's, paired per channel draw: median and quartiles of every schedule."""
    judge = accountant("exact", EPSILON, DELTA, rate=None, num_rounds=ROUNDS)
    published = accountant("paper", EPSILON, DELTA, rate=None, num_rounds=ROUNDS)
    generator = np.random.default_rng(round(1000 * rice_k + 10 * num_devices))
    mean_weakest = float(np.mean(instances.weakest_gain_powers(generator, 20_000, num_devices, rice_k)))
    threshold = snr_threshold(
        judge.limit / ROUNDS, sensitivity=2 * CLIP, sent_bound=CLIP, mean_weakest_gain=mean_weakest
    )
    snr_db = 10 * math.log10(threshold) + offset_db
    static_noise = (2 * CLIP) ** 2 * ROUNDS / (2 * judge.limit)

    def draw() -> Problem:
        weakest = instances.weakest_gain_powers(generator, ROUNDS, num_devices, rice_k)
        return instances.problem(
            weakest, snr_db=snr_db, clip=CLIP, sensitivity=2 * CLIP, contraction=CONTRACTION, judge=judge,
            skip_noise=100 * static_noise,
        )  # fmt: skip

    forecast = draw()
    ratios: dict[str, list[float]] = {name: [] for name in SCHEDULES}
    overspend = -math.inf
    for _ in range(num_draws):
        asked = draw()
        runs = {name: leaks(name, asked) for name in SCHEDULES if name not in ("online", "paper")}
        runs["paper"] = leaks("paper", replace(asked, accountant=published, skip_noise=math.inf))
        runs["online"] = instances.play_online(asked, forecast)
        best = asked.log_objective(runs["solution"])
        for name in SCHEDULES:
            ratios[name].append(math.exp(asked.log_objective(runs[name]) - best))
            if name != "full":
                overspend = max(overspend, (asked.spent(runs[name]) - judge.limit) / judge.limit)
    quartiles = {name: [float(q) for q in np.quantile(values, (0.25, 0.5, 0.75))] for name, values in ratios.items()}
    return {"symbol_snr_db": snr_db, "ratios": quartiles, "overspend": overspend}


def slsqp_ratio(num_instances: int) -> float:
    """The largest objective of the solution over a general solver's, which chooses gains and noises jointly."""
    worst = 0.0
    for seed in range(num_instances):
        generator = np.random.default_rng(seed)
        asked = instances.problem(
            instances.weakest_gain_powers(generator, 10, 5, 0.0),
            snr_db=float(generator.uniform(-5, 15)), clip=1.0, sensitivity=2.0, contraction=0.8,
            judge=accountant("exact", EPSILON, DELTA, rate=None, num_rounds=10), skip_noise=math.inf,
        )  # fmt: skip
        theirs = instances.objective_by_slsqp(asked, 1.0, 5, 1.0, leaks("static", asked))
        if math.isfinite(theirs):
            worst = max(worst, math.exp(asked.log_objective(leaks("solution", asked)) - theirs))
    return worst


def max_overspend(num_instances: int) -> float:
    """The largest (spent − budget)/budget of any budgeted schedule in random instances."""
    generator = np.random.default_rng(1)
    return max(instances.worst_overspend(instances.random_problem(generator)) for _ in range(num_instances))


def static_over_solution(num_rounds: int) -> float:
    """With power for anything, at A = 0.998."""
    asked = Problem(
        log_weights=log_weights(num_rounds, CONTRACTION),
        caps=np.full(num_rounds, np.inf),
        sensitivity=2 * CLIP,
        accountant=accountant("exact", EPSILON, DELTA, rate=None, num_rounds=num_rounds),
    )
    return math.exp(asked.log_objective(leaks("static", asked)) - asked.log_objective(leaks("solution", asked)))


def plan_seconds(num_rounds: int) -> float:
    """Median time of one plan from channel gains to leaks, K = 5."""
    weakest = instances.weakest_gain_powers(np.random.default_rng(1), num_rounds, 5, 0.0)
    judge = accountant("exact", EPSILON, DELTA, rate=None, num_rounds=num_rounds)
    times = []
    for _ in range(11):
        started = time.perf_counter()
        caps = caps_at_full_power(CLIP**2 / (0.01 * weakest), 2 * CLIP)
        leaks(
            "solution",
            Problem(
                log_weights=log_weights(num_rounds, CONTRACTION), caps=caps, sensitivity=2 * CLIP, accountant=judge
            ),
        )
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("schedules"))
    parser.add_argument("--draws", type=int, default=100, help="channel draws a setting")
    parser.add_argument("--instances", type=int, default=10_000, help="random instances for max_overspend")
    parser.add_argument("--learning-seeds", type=int, default=4)
    parser.add_argument("--learning-rounds", type=int, default=300)
    parser.add_argument("--learning-epsilon", type=float, default=5.0)
    parser.add_argument("--model", default="embedded", help="model.path of the learning part")
    parser.add_argument("--task", default="embedded", help="task.path of the learning part")
    asked = parser.parse_args()
    table = {
        f"K={num_devices} {fading} SNR*{offset_db:+d} dB": objectives(num_devices, rice_k, offset_db, asked.draws)
        for num_devices in (5, 20)
        for fading, rice_k in FADINGS.items()
        for offset_db in OFFSETS_DB
    }
    result: dict[str, Any] = {
        "solution_over_slsqp": slsqp_ratio(20),
        "online_over_offline": max(row["ratios"]["online"][1] for row in table.values()),
        "max_overspend": max([max_overspend(asked.instances), *(row["overspend"] for row in table.values())]),
        "static_over_solution_T8000": static_over_solution(8000),
        "plan_T8000_seconds": plan_seconds(8000),
        "objectives": table,
        "learning": learning(
            asked.model, asked.task, asked.learning_seeds, asked.learning_rounds, asked.learning_epsilon
        ),
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "schedules.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (asked.out / "schedules.md").write_text(markdown(result), encoding="utf-8")
    picture(table).savefig(asked.out / "schedules.png")
    print(markdown(result))
    print(json.dumps(result))


def markdown(result: dict[str, Any]) -> str:
    """The tables, for a README."""
    lines = [
        "Objective over the optimum's, median (quartiles) of paired channel draws.",
        "",
        f"| setting | symbol SNR | {' | '.join(SCHEDULES)} |",
        f"|---|---|{'---|' * len(SCHEDULES)}",
    ]
    for name, row in result["objectives"].items():
        cells = [f"{median:.3g} ({low:.3g}–{high:.3g})" for low, median, high in (row["ratios"][s] for s in SCHEDULES)]
        lines.append(f"| {name} | {row['symbol_snr_db']:.1f} dB | {' | '.join(cells)} |")
    lines += [
        "",
        "Test accuracy after learning, mean over seeds (smallest–largest).",
        "",
        "| setting, run | accuracy |",
        "|---|---|",
    ]
    for name, accuracies in result["learning"].items():
        mean = statistics.fmean(accuracies)
        lines.append(f"| {name} | {mean:.1%} ({min(accuracies):.1%}–{max(accuracies):.1%}) |")
    return "\n".join(lines) + "\n"


def picture(table: dict[str, Any]) -> Figure:
    """Objective over the optimum's against SNR, one panel a setting; without `full`, which keeps no budget."""
    figure = Figure(figsize=(10, 7), dpi=110, layout="constrained")
    panels = figure.subplots(2, 2, sharey=True).ravel()
    settings = [(num_devices, fading) for num_devices in (5, 20) for fading in FADINGS]
    for panel, (num_devices, fading) in zip(panels, settings, strict=True):
        rows = [table[f"K={num_devices} {fading} SNR*{offset_db:+d} dB"] for offset_db in OFFSETS_DB]
        snrs = [row["symbol_snr_db"] for row in rows]
        for name in (name for name in SCHEDULES if name != "full"):
            low, median, high = np.array([row["ratios"][name] for row in rows]).T
            panel.plot(snrs, median, "o-", markersize=3, label=name)
            panel.fill_between(snrs, low, high, alpha=0.2)
        panel.set_title(f"K = {num_devices}, {fading}", fontsize=10)
        panel.set_xlabel("symbol SNR (dB)")
        panel.grid(True, color="#e2e8f0", linewidth=0.8)
    panels[0].set_ylabel("objective / optimum")
    panels[0].legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
