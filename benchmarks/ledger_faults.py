"""Whether a damaged, killed or twice started run ever gets back privacy that it has spent.

`python -m benchmarks.ledger_faults` damages the files of small runs in every way that is drawn (`benchmarks.faults`),
resumes each as its user would, and compares the ledger with what had been charged; and it kills real runs. A refund is
a run that opens and counts less, forgets that its claim is void, would send a round again, or promises something else.
A refusal is none, and the undamaged must resume. What nobody can see is left out: all files of a run put back to an
earlier moment at once, which only a budget of the data set remembers. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.crashes import CRASHES
from benchmarks.faults.damages import DAMAGES
from benchmarks.faults.disk import Disk, close_all_in, restore, writing_to
from benchmarks.faults.histories import SETTINGS, History, drawn, real
from benchmarks.faults.judge import Verdict, judged
from benchmarks.faults.kills import Elsewhere, killed_runs

FULL, QUICK = (12_000, 40), (600, 4)
NUM_HISTORIES = 4 * len(SETTINGS)
EVERY_PROCESS = 100
"""Every so many-th case is a run that is resumed in another process while it goes on here."""
KINDS = [*DAMAGES, *CRASHES]
MOST_DRAWS = 1000
SHOWN = 12
"""Refunds of which the table says the case and the reason."""


def run(num_corruptions: int, num_kills: int, seed: int) -> dict[str, Any]:
    """So many damages, crashes and double starts, and so many kills of real runs; returns what came of them."""
    table: dict[str, Counter[str]] = {}
    refunds: list[str] = []
    crashed: list[str] = []

    def note(kind: str, case: str, verdict: Verdict) -> None:
        table.setdefault(kind, Counter())[verdict.outcome] += 1
        if verdict.outcome in ("refund", "crashed"):
            (refunds if verdict.outcome == "refund" else crashed).append(f"{kind}, {case}: {verdict.why}")

    with _folder() as folder, Elsewhere() as elsewhere:
        histories = histories_of(seed, folder)
        for index in range(num_corruptions):
            if index % EVERY_PROCESS == EVERY_PROCESS - 1:
                kind, verdict = (
                    "started twice, processes",
                    elsewhere.starts_twice(
                        _rng(seed, index), histories[index // EVERY_PROCESS % len(histories)], folder / f"{index}"
                    ),
                )
            else:
                kind, verdict = case(seed, index, histories, folder / f"{index}")
            note(kind, f"seed {seed} case {index}", verdict)
        num_kept = 0
        for kill, verdict in enumerate(killed_runs(elsewhere, folder / "killed", num_kills, seed)):
            note("killed -9, really", f"seed {seed} kill {kill}", verdict)
            num_kept += 1
    total = sum(table.values(), Counter())
    return {
        "ledger_refunds_in_corruptions": total["refund"],
        "num_corruptions": num_corruptions,
        "num_kills": num_kept,
        "refused": total["refused"] + total["crashed"],
        "crashed": total["crashed"],
        "resumed_rightly": total["resumed"],
        "undamaged_refused": table.get("undamaged", Counter())["refused"],
        "by_kind": {kind: dict(counts) for kind, counts in table.items()},
        "refunds": refunds,
        "crashes": crashed,
    }


def case(seed: int, index: int, histories: list[History], folder: Path) -> tuple[str, Verdict]:
    """The index-th case of a seed: its kind, and what came of it. The same each time, but for the runs' random ids."""
    rng = _rng(seed, index)
    kind = KINDS[index % len(KINDS)]
    for _ in range(MOST_DRAWS):
        history = histories[int(rng.integers(len(histories)))]
        if kind in CRASHES:
            verdict = CRASHES[kind](rng, history, folder)
            close_all_in(folder)
            return kind, verdict
        damaged = DAMAGES[kind](rng, history, histories)
        if damaged is not None:
            with writing_to(Disk(folder, rng)):
                return kind, judged(restore(damaged[0], folder), damaged[1])
    raise AssertionError(f"{kind}, seed {seed} case {index}: nothing came of {MOST_DRAWS} draws")


def histories_of(seed: int, folder: Path) -> list[History]:
    """The runs that are damaged: a real one, and some of each setting."""
    played = [
        drawn(SETTINGS[n % len(SETTINGS)], folder / f"history-{n}", np.random.default_rng([seed, 0, n]))
        for n in range(NUM_HISTORIES)
    ]
    return [real(folder / "real"), *played]


def _rng(seed: int, index: int) -> np.random.Generator:
    return np.random.default_rng([seed, 1, index])


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for all cases, in memory where the system offers that."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name).resolve()


def main() -> None:
    """Print a table by kind, the refunds, and JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK[0]} cases and {QUICK[1]} kills")
    parser.add_argument("--corruptions", type=int, help=f"how many cases; {FULL[0]} unless told")
    parser.add_argument("--kills", type=int, help=f"how many kills of real runs; {FULL[1]} unless told")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    num_corruptions, num_kills = QUICK if arguments.quick else FULL
    if arguments.corruptions is not None:
        num_corruptions = arguments.corruptions
    if arguments.kills is not None:
        num_kills = arguments.kills
    found = run(num_corruptions, num_kills, arguments.seed)
    columns = ("refused", "crashed", "resumed", "refund")
    print(f"{'kind':28}" + "".join(f"{column:>9}" for column in columns))
    for kind, counts in found.pop("by_kind").items():
        print(f"{kind:28}" + "".join(f"{counts.get(column, 0):9}" for column in columns))
    for name in ("refunds", "crashes"):
        listed = found.pop(name)
        for line in listed[:SHOWN]:
            print(f"{name}: {line}")
        if len(listed) > SHOWN:
            print(f"{name}: and {len(listed) - SHOWN} more")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
