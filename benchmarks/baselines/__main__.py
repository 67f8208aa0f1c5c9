"""Every baseline under one roof: all methods on one task after another, costs and claims beside each other.

python -m benchmarks.baselines [--search] [--quick] [--sst2 ../shared/data/sst2] [--out runs/baselines] [--jobs 2]
                               [--only NAME …] [--tasks TASK …] [--seeds N …]

Without --search every method is played with learning rates that the validation split chose (settings.CHOSEN), four
seeds each, judged on the test split, and compared with plain pAirZero (`analog`) seed by seed; then schedules with each
other at one (ε, δ). With it, candidates are tried with a seed of their own and judged on the validation split; the
rates are printed as settings.CHOSEN takes them. --quick: two seeds, thirty rounds, to see that everything works. Each
run is a JSON file below --out, of the toolkit's own methods also a run directory; what is there is not run again, what
was cut off goes on. Prints progress, Markdown, and one JSON object last; baselines.png shows metrics over air time.

Examples:
  python -m benchmarks.baselines --quick --tasks embedded --only analog fedsgd ota_fedsgd --out runs/quick
  nice python -m benchmarks.baselines --tasks sst2
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.baselines import settings
from benchmarks.baselines.methods import (
    METHODS,
    REFERENCE,
    SCHEDULE_REFERENCE,
    SEARCHED,
    method_of,
    schedule_methods,
)
from benchmarks.baselines.picture import picture
from benchmarks.baselines.playing import Outcomes, by_seed, play_all
from benchmarks.baselines.records import Job
from benchmarks.baselines.table import Row, markdown, nats, percents, row
from testbed.api import plan
from testbed.failures import EXPECTED

QUICK_ROUNDS, QUICK_SEEDS = 30, (1, 2)


def rows_of(found: Outcomes, task: str, names: Iterable[str], reference: str) -> list[Row]:
    """One a method that was played on this task."""
    theirs = by_seed(found, task, reference)
    return [row(name, task, ours, reference, theirs) for name in names if (ours := by_seed(found, task, name))]


def predicted(job: Job, sst2: Path) -> Mapping[str, float]:
    """Objective of each schedule over that of the optimum, as `testbed plan` has it for this job."""
    method = method_of(job.method)
    previews = plan(settings.configuration(job, method.group, method.overrides, sst2)).previews
    return {each.name: each.gap for each in previews}


def schedules_table(rows: Sequence[Row], gaps: Mapping[str, float]) -> str:
    """Of one task."""
    heads = (
        "schedule",
        "predicted objective",
        rows[0].metric_name,
        "difference to static",
        "loss",
        "difference to static",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for each in rows:
        name = each.method.removeprefix("schedule_")
        cells = (
            name,
            f"{gaps[name]:.2f}",
            "failed" if each.metric is None else f"{each.metric:.1%}",
            percents(each.difference),
            "–" if each.loss is None else f"{each.loss:.4f}",
            nats(each.loss_difference),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def report(asked: argparse.Namespace) -> dict[str, Any]:
    """Play and print what is asked for; the JSON object."""
    seeds = tuple(asked.seeds or (QUICK_SEEDS if asked.quick else settings.SEEDS))
    num_rounds = QUICK_ROUNDS if asked.quick else settings.NUM_ROUNDS
    names = tuple(asked.only or (*METHODS, *schedule_methods()))
    names = names if REFERENCE in names or set(names) <= set(schedule_methods()) else (REFERENCE, *names)
    jobs = [
        Job(method=name, task=task, seed=seed, num_rounds=num_rounds)
        for task in asked.tasks
        for seed in seeds
        for name in names
        if name in METHODS or asked.only or task in settings.SCHEDULE_TASKS
    ]
    found = play_all(jobs, asked.sst2, asked.out, asked.jobs)
    rows, compared = [], {}
    for task in asked.tasks:
        mine = rows_of(found, task, METHODS, REFERENCE)
        if mine:
            print(f"\n## {task}\n\n{markdown(mine, {name: method_of(name).claim for name in METHODS})}", flush=True)
        theirs = rows_of(found, task, schedule_methods(), f"schedule_{SCHEDULE_REFERENCE}")
        if theirs:
            first = next(job for job in jobs if job.task == task and job.method == theirs[0].method)
            gaps = predicted(first, asked.sst2)
            print(f"\n### Schedules on {task}\n\n{schedules_table(theirs, gaps)}", flush=True)
            compared[task] = gaps
        rows += [*mine, *theirs]
        for each in (*mine, *theirs):
            for failure in each.failures:
                print(f"\n{each.method} on {task}, {failure}")
    picture(rows).savefig(asked.out / "baselines.png")
    return {"rows": [msgspec.to_builtins(each) for each in rows], "predicted_objectives": compared}


def search(asked: argparse.Namespace) -> dict[str, Any]:
    """Try the candidates; by task and group the rate with the best score on the validation split."""
    num_rounds = QUICK_ROUNDS if asked.quick else settings.NUM_ROUNDS
    jobs = [
        Job(method=SEARCHED[group], task=task, seed=settings.SEARCH_SEED, num_rounds=num_rounds, learning_rate=rate)
        for task in asked.tasks
        for group, rates in settings.CANDIDATES.items()
        for rate in rates
        if not asked.only or SEARCHED[group] in asked.only
    ]
    found = play_all(jobs, asked.sst2, asked.out / "search", asked.jobs)
    chosen: dict[str, dict[str, float]] = {}
    for task in asked.tasks:
        for group, method in SEARCHED.items():
            tried = {
                job.learning_rate: (o.last("validation_metric"), -o.last("validation_loss"))
                for job, o in found.items()
                if (job.task, job.method) == (task, method) and o.failure is None
            }
            if tried:
                chosen.setdefault(task, {})[group] = max(tried, key=tried.__getitem__)
                scores = ", ".join(f"{rate:g}: {score:.1%}" for rate, (score, _) in sorted(tried.items()))
                print(f"{task}, {group} ({method}), on the validation split by rate: {scores}")
    print(f"CHOSEN = {chosen}")
    return {"chosen": chosen}


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What is asked for; exits with 2 where that cannot be."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.baselines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*METHODS, *schedule_methods()]
    parser.add_argument("--search", action="store_true", help="choose learning rates on the validation split")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds, seeds {QUICK_SEEDS}")
    parser.add_argument("--sst2", type=Path, default=Path("../shared/data/sst2"), help="train.tsv, test.tsv")
    parser.add_argument("--out", type=Path, default=Path("runs/baselines"), help="where runs are kept")
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--tasks", nargs="+", choices=list(settings.TASKS), help="default: all that are there")
    parser.add_argument("--seeds", nargs="+", type=int, help=f"default: {settings.SEEDS}")
    asked = parser.parse_args(arguments)
    if asked.jobs < 1:
        parser.error(f"--jobs: got {asked.jobs}; allowed: 1 or more; use 2 for two cores")
    if asked.search and asked.only and not set(asked.only) <= set(SEARCHED.values()):
        parser.error(f"--only: got {' '.join(asked.only)} with --search; allowed: {', '.join(SEARCHED.values())}")
    there = asked.sst2.is_dir()
    if asked.tasks and "sst2" in asked.tasks and not there:
        parser.error(f"--sst2: {asked.sst2} is no directory; give one with train.tsv and test.tsv, or other --tasks")
    unsettled = [task for task in settings.TASKS if not settings.CHOSEN[task] and not asked.search]
    if wrong := [task for task in asked.tasks or () if task in unsettled]:
        parser.error(
            f"--tasks: got {' '.join(wrong)}, for which no learning rates were chosen; allowed: after "
            f"`--search --tasks {' '.join(wrong)}`, when what it prints stands in benchmarks/baselines/settings.py"
        )
    found = [task for task in settings.TASKS if task not in unsettled and (there or task != "sst2")]
    if not asked.tasks and (left := [task for task in settings.TASKS if task not in found]):
        print(f"left out, without learning rates or data: {', '.join(left)}", file=sys.stderr)
    asked.tasks = asked.tasks or found
    if asked.seeds and settings.SEARCH_SEED in asked.seeds:
        parser.error(f"--seeds: got {settings.SEARCH_SEED}, by which settings were chosen; allowed: any other")
    return asked


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not there yet, and print."""
    asked = parsed(arguments)
    try:
        result = search(asked) if asked.search else report(asked)
    except EXPECTED as err:
        print(err, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on with what is in {asked.out}", file=sys.stderr)
        return 130
    print(msgspec.json.encode(result).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
