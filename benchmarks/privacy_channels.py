"""The promise of consistent privacy, tested: what each cell of a covering design claims, and what is true.

    python -m benchmarks.privacy_channels              everything, into privacy_channels/ (ten minutes, two cores)
    python -m benchmarks.privacy_channels --quick      every pair of levels once, short runs, few damaged ledgers

A cell is a short run through the real code: SNR, fading, CSI, gain drift, receiver, retries, schedule and scheme. Its
true ε follows from the simulated air: the least variance over all linear combinations of everything radiated in a
round, by the channels as they were. Writes cells.json, cells.md and cells.png into --out; the last line printed is
JSON. Ratios are rounded at 1e-6, as samples are 32-bit floats.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import multiprocessing
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks import ledger_faults, privacy_mutants
from benchmarks.privacy_cells import BEYOND, DELTA, EPSILON, FACTORS, design, overrides
from benchmarks.privacy_play import Judged, judge
from testbed.audit.lab import audit_tightness

FAMILY_FAILURE = 0.05
"""How likely any of all audited ε may exceed the true one by chance."""
_PLAIN = {
    "snr": "47 dB", "fading": "rayleigh blocks", "csi": "short pilots", "drift": "0 dB", "receiver": "own",
    "retries": "0", "schedule": "online", "claim": "coherent, receiver",
}  # fmt: skip
_BLUE, _ORANGE, _GREY = "#2b6cb0", "#dd6b20", "#718096"

Job = tuple[dict[str, str], list[str], float]


def jobs(strength: int, num_rounds: int, seed: int, num_cells: int | None = None) -> list[Job]:
    """Cells of the design, and those that drift further than they declare, with their settings and their level."""
    cells = design(strength, seed)[:num_cells]
    beyond = [({**_PLAIN, "drift": name}, settings) for name, settings in BEYOND.items()]
    settings = [(cell, overrides(cell, num_rounds=num_rounds, seed=seed + at)) for at, cell in enumerate(cells)]
    settings += [(cell, [*overrides(_PLAIN, num_rounds=num_rounds, seed=seed), *more]) for cell, more in beyond]
    return [(cell, overridden, FAMILY_FAILURE / len(settings)) for cell, overridden in settings]


def play_all(asked: Sequence[Job], pool: Executor) -> list[Judged]:
    """Judge every cell; says on the error stream how far it is."""
    found: list[Judged] = []
    for each in pool.map(_judge, asked):
        found.append(each)
        if len(found) % 20 == 0:
            print(f"{len(found)} of {len(asked)} cells", file=sys.stderr, flush=True)
    return found


def _quiet() -> None:
    logging.disable(logging.WARNING)  # rejections are asked for by the hundred


def _judge(job: Job) -> Judged:
    cell, settings, failure = job
    return judge(cell, settings, failure=failure)


def _mutants() -> dict[str, float]:
    """How well the auditor finds planted faults, and how close its proof comes to a bare mechanism's claim."""
    caught, total = privacy_mutants.mutants()
    return {"audit_tightness": audit_tightness(), "mutants_caught": caught, "mutants_total": total}


def _ledger(num_corruptions: int, num_kills: int, seed: int) -> dict[str, float]:
    """What the ledger forgets when its files are damaged and its process is killed."""
    found = ledger_faults.run(num_corruptions, num_kills, seed)
    return {name: found[name] for name in ("ledger_refunds_in_corruptions", "num_corruptions")}


def summary(found: Sequence[Judged]) -> dict[str, Any]:
    """The figures of the last line; ratios are of ε, beside them of ρ."""
    ran = [each for each in found if each.refused is None]
    sent = [each for each in ran if each.num_rounds]
    plain = [each for each in sent if each.cell["receiver"] == "own" and each.cell["fading"].endswith("blocks")]
    return {
        "max_true_over_charged": round(max((each.true_over_charged for each in ran), default=math.nan), 6),
        "min_true_over_charged": min((each.true_over_charged for each in plain), default=math.nan),
        "max_audited_over_claimed": max((each.audited_over_charged for each in ran), default=math.nan),
        "cells": len(found),
        "cells_refused_with_reason": sum(each.refused is not None for each in found),
        "cells_without_transmission": len(ran) - len(sent),
        "max_true_over_charged_rho": round(max((e.true_rho / e.charged_rho for e in sent), default=math.nan), 6),
        "min_true_over_charged_rho": min((e.true_rho / e.charged_rho for e in plain), default=math.nan),
        "max_charged_over_target": max((each.charged / each.target for each in ran), default=math.nan),
        "num_attempts": sum(each.num_attempts for each in ran),
        "num_rounds": sum(each.num_rounds for each in ran),
    }


def markdown(found: Sequence[Judged]) -> str:
    """A table by level, the cells at both ends, and what was refused."""
    lines = [
        f"Target ({EPSILON:g}, {DELTA:g}). True over charged ε of the cells that sent something: smallest, median, "
        "largest; largest audited over charged ε.",
        "",
        "| factor | level | cells | refused | true/charged | audited/charged |",
        "|---|---|---|---|---|---|",
    ]
    levels_of = FACTORS | {"drift": (*FACTORS["drift"], *BEYOND)}
    for factor, levels in levels_of.items():
        for level in levels:
            cells = [each for each in found if each.cell[factor] == level]
            ran = [each for each in cells if each.refused is None and each.num_rounds]
            ratios = [each.true_over_charged for each in ran]
            spread = f"{min(ratios):.3f}, {statistics.median(ratios):.3f}, {max(ratios):.3f}" if ratios else "–"
            audited = f"{max(each.audited_over_charged for each in ran):.3f}" if ran else "–"
            refused = sum(each.refused is not None for each in cells)
            lines.append(f"| {factor} | {level} | {len(cells)} | {refused} | {spread} | {audited} |")
    ordered = sorted((each for each in found if each.refused is None), key=lambda each: -each.true_over_charged)
    for title, some in (("Largest", ordered[:10]), ("Smallest", [each for each in ordered if each.num_rounds][-10:])):
        lines += [
            "", f"{title} true over charged:", "",
            f"| {' | '.join(FACTORS)} | rounds, attempts | target, charged, true, audited ε | charged, true ρ |",
            f"|{'---|' * (len(FACTORS) + 3)}",
            *map(_row, some),
        ]  # fmt: skip
    reasons = Counter(each.refused for each in found if each.refused is not None)
    lines += ["", f"Refused: {reasons.total()} of {len(found)}.", ""]
    lines += [f"* {count}: {reason}" for reason, count in reasons.items()]
    return "\n".join(lines) + "\n"


def _row(each: Judged) -> str:
    epsilons = ", ".join(f"{epsilon:.3g}" for epsilon in (each.target, each.charged, each.true, each.audited))
    return (
        f"| {' | '.join(each.cell[name] for name in FACTORS)} | {each.num_rounds}, {each.num_attempts} | {epsilons} | "
        f"{each.charged_rho:.4g}, {each.true_rho:.4g} |"
    )


def picture(found: Sequence[Judged]) -> Figure:
    """True and audited over charged ε of every cell, by each factor's levels."""
    ran = [each for each in found if each.refused is None and each.num_rounds]
    figure = Figure(figsize=(12, 7.5), dpi=110, layout="constrained")
    panels = figure.subplots(2, 4, sharey=True).ravel()
    generator = np.random.default_rng(1)
    for panel, (factor, levels) in zip(panels, FACTORS.items(), strict=True):
        for position, level in enumerate(levels):
            shown = [each for each in ran if each.cell[factor] == level]
            places = position + generator.uniform(-0.3, 0.3, len(shown))
            true = [each.true_over_charged for each in shown]
            panel.plot(places, true, "o", color=_BLUE, markersize=4, alpha=0.6, markeredgewidth=0)
            panel.plot(places, [each.audited_over_charged for each in shown], "_", color=_ORANGE, markersize=6)
        panel.axhline(1.0, color=_GREY, linewidth=1)
        panel.set_yscale("log")
        panel.set_title(factor, fontsize=10)
        panel.set_xticks(range(len(levels)), levels, rotation=30, ha="right", fontsize=8)
        panel.set_xlim(-0.6, len(levels) - 0.4)
        panel.grid(True, axis="y", color="#e2e8f0", linewidth=0.8)
        panel.spines[["top", "right"]].set_visible(False)
    lowest = min([each.true_over_charged for each in ran] + [max(each.audited_over_charged, 0.03) for each in ran])
    highest = max([1.0, *(each.true_over_charged for each in ran)])
    panels[0].set_ylim(lowest / 1.3, highest * 1.4)
    for panel in panels[::4]:
        panel.set_ylabel("over the charged epsilon")
        panel.yaxis.set_major_formatter("{x:g}")
        panel.set_yticks([0.05, 0.1, 0.2, 0.5, 1.0, 2.0], minor=False)
    panels[0].plot([], [], "o", color=_BLUE, label="true")
    panels[0].plot([], [], "_", color=_ORANGE, label="proven from residuals")
    panels[0].set_ylim(lowest / 1.3, highest * 1.4)
    panels[0].legend(frameon=False, fontsize=8, loc="lower left")
    return figure


def main() -> None:
    """Play, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("privacy_channels"))
    parser.add_argument("--quick", action="store_true", help="pairs instead of triples, 12 rounds a cell")
    parser.add_argument("--rounds", type=int, default=40, help="rounds a cell")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip-mutants", action="store_true", help="without the faults that the auditor must find")
    parser.add_argument("--skip-ledger", action="store_true", help="without damaged files and killed processes")
    asked = parser.parse_args()
    strength, num_rounds = (2, 12) if asked.quick else (3, asked.rounds)
    cells = jobs(strength, num_rounds, asked.seed)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.processes, mp_context=context, initializer=_quiet) as pool:
        others: list[Future[dict[str, float]]] = []
        if not asked.skip_mutants:
            others.append(pool.submit(_mutants))
        if not asked.skip_ledger:
            others.append(pool.submit(_ledger, *((1000, 4) if asked.quick else (10_000, 40)), asked.seed))
        found = play_all(cells, pool)
        result = summary(found)
        for other in others:
            result.update(other.result())
    asked.out.mkdir(parents=True, exist_ok=True)
    each = [asdict(judged) for judged in found]
    (asked.out / "cells.json").write_text(json.dumps({**result, "each": each}, indent=1) + "\n", encoding="utf-8")
    (asked.out / "cells.md").write_text(markdown(found), encoding="utf-8")
    picture(found).savefig(asked.out / "cells.png")
    print(markdown(found))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
