"""Faults planted in the real code, each of which the auditor must find; and the sound code, which it must not accuse.

    python -m benchmarks.privacy_mutants             every fault, 40 sound seeds: some minutes on one core
    python -m benchmarks.privacy_mutants --list

The last line is one JSON object: mutants_caught, mutants_total, sound_refuted, sound_total.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from learner.zo.example_losses import ExampleLosses
from learner.zo.replica import Replica, Scalars
from radio.randomness import generator
from testbed.audit.attacker import public_noise
from testbed.audit.canaries import measured_shifts
from testbed.audit.judge import judge
from testbed.audit.witness import Witness, patched, witness
from testbed.bench import rig
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.config.schema import RunConfig
from testbed.hosts import local_work
from testbed.hosts.local_work import Loaded, LocalRound, load_model_and_task
from testbed.hosts.randomness import SeededRandomness
from testbed.planning import terms
from testbed.planning.ledger import Ledger
from testbed.planning.planner import Planner
from testbed.rounds import attempt
from testbed.rounds.round import round_seed

NUM_SOUND_SEEDS = 40
FALSE_ALARM = 0.01
"""Of a refutation anywhere in the sound runs; shared equally among them, and again among the tests of each."""

_SHORT = (
    "ground_truth=false", "rounds.num=16", "rounds.eval_every=1000", "task.num_test=8", "task.num_train=200",
    "schedule.name=static", "learner.learning_rate=1e-7",
)  # fmt: skip
_SYMBOLS = ("air.level=symbol", "air.csi=genie", "air.snr_db=0")
_LOCAL = (*_SYMBOLS, "privacy.receiver_noise=untrusted")
_EXAMPLE = ("privacy.level=example", "privacy.example_clip=1.5", "learner.batch_size=8")
_POISSON = (*_EXAMPLE, "privacy.adjacency=remove", "privacy.batch_rate=0.3")

Fault = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One fault, the experiment that it is planted in, and how the audit looks for it."""

    name: str
    overrides: tuple[str, ...] = ()
    fault: Fault = nullcontext
    retry_rate: float = 0.0
    learns: bool = False
    """Whether the scalars are the learner's own; otherwise drawn, which is quicker."""
    looks: Callable[[Mutant, float], tuple[str, ...]]


def _by_run(mutant: Mutant, failure: float) -> tuple[str, ...]:
    return judge([played(mutant)], failure=failure).refutations


def _by_canary(mutant: Mutant, failure: float) -> tuple[str, ...]:
    """What follows from the record alone, so that no failure is possible."""
    with mutant.fault():
        config = resolved(mutant.overrides)
        refutation = measured_shifts(config, _loaded(config), num_rounds=20).refutation
    return (refutation,) if refutation else ()


def _by_both_halves(mutant: Mutant, failure: float, *, num_before: int) -> tuple[str, ...]:
    """One run directory as it was after ``num_before`` rounds, finished twice under one claim."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        out, kept = Path(folder) / "run", Path(folder) / "kept"
        before = played(mutant, out=out, num_rounds=num_before)
        shutil.copytree(out, kept)
        once = played(mutant, resume=out)
        shutil.rmtree(out)
        shutil.move(kept, out)
        again = played(mutant, resume=out)
        return judge([before, once, again], failure=failure).refutations


def played(mutant: Mutant, *, seed: int = 1, **how: Any) -> Witness:
    """The mutant's experiment, with its fault in it."""
    config = resolved((*mutant.overrides, f"seed={seed}"))
    return witness(
        config,
        load=lambda _: _loaded(config),
        scalars=None if mutant.learns else partial(_drawn, seed, config.experiment.learner.num_queries),
        retry_rate=mutant.retry_rate,
        planted=mutant.fault(),
        **how,
    )


def resolved(overrides: Sequence[str]) -> RunConfig:
    """A short experiment with these overrides."""
    return resolve(load(None, None, [*_SHORT, *overrides]))


def _loaded(config: RunConfig) -> Loaded:
    """The model, once for all runs of one kind; which examples devices hold does not matter here."""
    experiment = config.experiment
    return _loaded_once(
        msgspec.json.encode((experiment.model, experiment.task)), config.rig.num_devices, lambda: config
    )


_cached: dict[tuple[bytes, int], Loaded] = {}


def _loaded_once(key: bytes, num_devices: int, config: Callable[[], RunConfig]) -> Loaded:
    if (key, num_devices) not in _cached:
        _cached[key, num_devices] = load_model_and_task(config())
    return _cached[key, num_devices]


def _drawn(seed: int, num_queries: int, round_index: int, devices: Sequence[int]) -> Any:
    """Scalars of three standard deviations to the clip."""
    draws = [generator(seed, round_index, k, purpose="scalars").standard_normal(num_queries) for k in devices]
    return 4 * np.stack(draws)


# ---- faults


@contextmanager
def _all_of(*faults: AbstractContextManager[object]) -> Iterator[None]:
    with ExitStack() as stack:
        for fault in faults:
            stack.enter_context(fault)
        yield


def _another_noise() -> AbstractContextManager[object]:
    """A retry is planned as if nothing had been sent, and the device goes along: one draw, two noises."""

    def decide(former: Callable[..., Any]) -> Callable[..., Any]:
        def changed(planner: Planner, *given: Any, before: Any = None, **named: Any) -> Any:
            made = former(planner, *given, **named)
            if before is None:
                return made
            sigma = 0.8 * made.power.noise_std
            return replace(made, power=replace(made.power, noise_std=sigma))

        return changed

    return _all_of(
        patched(Planner, "decide", decide),
        patched(LocalRound, "value", lambda _: lambda drawn, k, sent, plan: drawn.contributions[k].value(sent, plan)),
    )


def _refunded_retries() -> AbstractContextManager[object]:
    def charge(former: Callable[..., None]) -> Callable[..., None]:
        def changed(ledger: Ledger, round_index: int, number: int, *rest: Any, **named: Any) -> None:
            if number == 1:
                former(ledger, round_index, number, *rest, **named)

        return changed

    return patched(Ledger, "charge", charge)


def _credited_out_of_band() -> AbstractContextManager[object]:
    """What is heard out of band is counted as if it hid the payload."""
    return patched(attempt, "limits_of", lambda former: lambda c, t, a, variance: former(c, t, a, 100 * variance))


def _no_margin() -> AbstractContextManager[object]:
    """Channels are taken to stand still between sounding and payload, and estimates to be exact."""

    def decide(former: Callable[..., Any]) -> Callable[..., Any]:
        return lambda planner, *given, margin=1.0, **named: former(planner, *given, margin=1.0, **named)

    return patched(Planner, "decide", decide)


def _half_the_energy() -> AbstractContextManager[object]:
    return patched(terms, "crediting_of", lambda former: lambda *given: replace(former(*given), payload_energy=0.5))


def _weaker_noise() -> AbstractContextManager[object]:
    return patched(local_work, "artificial_noise", lambda former: lambda *given: 0.2 * former(*given))


def _no_noise() -> AbstractContextManager[object]:
    return patched(local_work, "artificial_noise", lambda _: lambda source, t, num: np.zeros(num))


def _noise_of_the_direction() -> AbstractContextManager[object]:
    def noise(_: Any) -> Callable[..., Any]:
        return lambda source, t, num: public_noise(round_seed(source._seed, t), source._device, num)

    return patched(local_work, "artificial_noise", noise)


def _batches_of_the_direction() -> AbstractContextManager[object]:
    def uniform(former: Callable[..., Any]) -> Callable[..., Any]:
        def changed(source: SeededRandomness, round_index: int, purpose: str, num: int) -> Any:
            if purpose != "batch":
                return former(source, round_index, purpose, num)
            return generator(round_seed(source._seed, round_index), source._device, purpose="public batch").random(num)

        return changed

    return patched(SeededRandomness, "uniform", uniform)


def _no_example_clip() -> AbstractContextManager[object]:
    def scalars(former: Callable[..., Scalars]) -> Callable[..., Scalars]:
        def changed(replica: Replica, batches: Any, *, example_clip: float | None = None, **named: Any) -> Scalars:
            return former(replica, batches, example_clip=None if example_clip is None else 1e9, **named)

        return changed

    return patched(Replica, "scalars", scalars)


def _normalised_by_what_was_drawn() -> AbstractContextManager[object]:
    def scalars(former: Callable[..., Scalars]) -> Callable[..., Scalars]:
        def changed(replica: Replica, batches: Any, *, normaliser: int | None = None, **named: Any) -> Scalars:
            found = former(replica, batches, normaliser=normaliser, **named)
            if normaliser is None:
                return found
            drawn = np.array([[max(1, batch.num_examples)] for batch in batches])
            return replace(found, projected_gradients=found.projected_gradients * normaliser / drawn)

        return changed

    return patched(Replica, "scalars", scalars)


def _examples_disturb_each_other() -> AbstractContextManager[object]:
    """All examples of a batch in one forward, whose shapes choose the kernels: in 16-bit arithmetic all losses move."""
    return patched(ExampleLosses, "of_each_alone", lambda _: ExampleLosses.around_weights)


def _nothing_is_refused() -> AbstractContextManager[object]:
    return patched(rig, "check_privacy", lambda _: lambda config: None)


def _bare_scalars_void_nothing() -> AbstractContextManager[object]:
    return patched(terms, "_void", lambda _: lambda *given: None)


@cache
def faults() -> tuple[Mutant, ...]:
    """Every fault, each with the test that is to find it."""
    run, canary = _by_run, _by_canary
    return (
        Mutant(name="a retry under another noise", overrides=_LOCAL, fault=_another_noise, retry_rate=0.5, looks=run),
        Mutant(name="the same, each device by itself", overrides=("scheme.name=digital", "air.snr_db=20"),
               fault=_another_noise, retry_rate=0.5, looks=run),
        Mutant(name="retries not charged", overrides=_SYMBOLS, fault=_refunded_retries, retry_rate=0.5, looks=run),
        Mutant(name="a journal put back in mid-run, rounds sent again", overrides=_SYMBOLS,
               looks=partial(_by_both_halves, num_before=6)),
        Mutant(name="two processes on one directory", overrides=_SYMBOLS,
               looks=partial(_by_both_halves, num_before=0)),
        Mutant(name="bare scalars under a clean claim", overrides=(*_SYMBOLS, "ground_truth=true"),
               fault=_bare_scalars_void_nothing, looks=run),
        Mutant(name="noise out of band credited", overrides=("air.snr_db=0",), fault=_credited_out_of_band, looks=run),
        Mutant(name="a margin without motion", overrides=("air.snr_db=20", "air.doppler_hz=20"), fault=_no_margin,
               looks=run),
        Mutant(name="half of what is radiated counted", overrides=_SYMBOLS, fault=_half_the_energy, looks=run),
        Mutant(name="noise off", overrides=_LOCAL, fault=_no_noise, looks=run),
        Mutant(name="noise at a fifth", overrides=("scheme.name=digital", "air.snr_db=20"), fault=_weaker_noise,
               looks=run),
        Mutant(name="noise from the direction's seed", overrides=("scheme.name=digital", "air.snr_db=20"),
               fault=_noise_of_the_direction, looks=run),
        Mutant(name="the same under a sum", overrides=_LOCAL, fault=_noise_of_the_direction, looks=run),
        Mutant(name="batches from a public seed", overrides=(*_SYMBOLS, *_POISSON), fault=_batches_of_the_direction,
               learns=True, looks=run),
        Mutant(name="examples not clipped", overrides=_EXAMPLE, fault=_no_example_clip, looks=canary),
        Mutant(name="divided by how many were drawn", overrides=_POISSON, fault=_normalised_by_what_was_drawn,
               looks=canary),
        Mutant(name="examples disturb each other",
               overrides=(*_POISSON, "privacy.example_clip=6", "model.compute_dtype=bfloat16"),
               fault=_examples_disturb_each_other, looks=canary),
        Mutant(name="an example removed from known batches", overrides=(*_EXAMPLE, "privacy.adjacency=remove"),
               fault=_nothing_is_refused, looks=canary),
    )  # fmt: skip


SOUND = (
    Mutant(name="sum, receiver noise", overrides=_SYMBOLS, retry_rate=0.25, looks=_by_run),
    Mutant(name="sum, devices' noise", overrides=_LOCAL, retry_rate=0.25, looks=_by_run),
    Mutant(name="sum on samples", overrides=("air.snr_db=5",), retry_rate=0.25, looks=_by_run),
    Mutant(name="signs", overrides=(*_SYMBOLS, "scheme.name=sign"), retry_rate=0.25, looks=_by_run),
    Mutant(name="digital", overrides=("scheme.name=digital", "air.snr_db=20"), retry_rate=0.25, looks=_by_run),
    Mutant(name="votes", overrides=("scheme.name=fsk_vote", "air.snr_db=20"), retry_rate=0.25, looks=_by_run),
    Mutant(name="secret batches", overrides=(*_LOCAL, *_POISSON), retry_rate=0.25, learns=True, looks=_by_run),
    Mutant(name="canaries, known batches", overrides=_EXAMPLE, looks=_by_canary),
    Mutant(name="canaries, secret batches", overrides=_POISSON, looks=_by_canary),
    Mutant(name="canaries, whole clients", looks=_by_canary),
)
"""The sound code, attacked in every way in turn."""


def caught(mutant: Mutant, *, failure: float = FALSE_ALARM / NUM_SOUND_SEEDS) -> tuple[str, ...]:
    """Why the claim of this fault is refuted; empty where the auditor did not see it."""
    return mutant.looks(mutant, failure)


def accused(num_seeds: int = NUM_SOUND_SEEDS, first_seed: int = 1) -> list[str]:
    """The sound runs that were refuted, which none must be."""
    found = []
    for seed in range(first_seed, first_seed + num_seeds):
        kind = SOUND[seed % len(SOUND)]
        tried = replace(kind, overrides=(*kind.overrides, f"seed={seed}"))
        found += [f"{kind.name}, seed {seed}: {reason}" for reason in caught(tried)]
    return found


def mutants() -> tuple[int, int]:
    """How many faults were found, of how many."""
    return sum(bool(caught(mutant)) for mutant in faults()), len(faults())


def main() -> None:
    """Print each fault and why it was found, then what the sound code was accused of, then JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="only name the faults")
    parser.add_argument("--seeds", type=int, default=NUM_SOUND_SEEDS, help="sound runs")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # rejections are forced by the thousand
    if options.list:
        print("\n".join(mutant.name for mutant in faults()))
        return
    num_caught = 0
    for mutant in faults():
        started = time.perf_counter()
        reasons = caught(mutant)
        num_caught += bool(reasons)
        word = "caught" if reasons else "MISSED"
        print(f"{word}  {mutant.name} ({time.perf_counter() - started:.1f} s)", flush=True)
        for reason in reasons:
            print(f"        {reason}")
    wrong = accused(options.seeds)
    for reason in wrong:
        print(f"ACCUSED {reason}")
    figures = {
        "mutants_caught": num_caught, "mutants_total": len(faults()),
        "sound_refuted": len(wrong), "sound_total": options.seeds,
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
