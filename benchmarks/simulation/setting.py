"""What a history is of: the run, its hosts, the weather, and when which fault strikes. It follows from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal, TypeAlias

from benchmarks.faults.disk import HOWS, How
from benchmarks.simulation.network import Weather
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.config.schema import RunConfig

Kind: TypeAlias = Literal[
    "kill", "power cut", "freeze", "cut", "reset", "interrupt", "clock jump", "stranger", "disk", "full disk"
]
KINDS: tuple[Kind, ...] = (
    "kill", "power cut", "freeze", "cut", "reset", "interrupt", "clock jump", "stranger", "disk", "full disk"
)  # fmt: skip
EVERY, FAULTLESS, GENTLE = 20, 0, 10
"""Of so many histories, the seed of one that is without any fault, and of one in which only messages are lost, and
connections reset: nobody may give up there."""
SEEDS_OF_RUNS = 2
AIR_APART = 0.25
"""Share of histories in which the air is a process of its own; they take twice as long."""
_VARIANTS = (
    ("scheme.name=coherent", "schedule.name=full"),
    ("scheme.name=coherent", "schedule.name=static", "air.csi=estimated"),
    ("scheme.name=coherent", "schedule.name=online", "air.fading=rayleigh"),
    ("scheme.name=digital", "schedule.name=full"),
    ("scheme.name=coherent", "schedule.name=full", "ground_truth=true"),
)
_COMMON = (
    "scheme.air_level=symbol",
    "air.fading=none",
    "air.snr_db=30",
    "results.max_capture_mib=0",
    "privacy.dp_epsilon=1000",
    "rounds.max_attempts=2",
    "rounds.max_skipped_in_a_row=3",
    "control.join_timeout_s=30",
    "control.rejoin_timeout_s=8",
    "control.learner_timeout_s=6",
    "control.radio_timeout_s=3",
)
HOST_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that happens to one place."""

    at_s: float
    kind: Kind
    place: str
    """``ap``, ``air``, or a host"""
    lasts_s: float = 0.0
    number: int = 0
    """Of the disk's call that fails, counted from the process's beginning."""
    how: How = "fail"


@dataclass(frozen=True, slots=True)
class Setting:
    """All that is drawn before a history begins."""

    seed: int
    config: RunConfig
    plain: RunConfig | None
    """The run that this one is, bit for bit, as long as nothing goes wrong; None of that itself"""
    hosts: tuple[tuple[int, ...], ...]
    """Devices of each"""
    weather: Weather
    faults: tuple[Fault, ...]
    ends_s: float
    """When faults have stopped"""
    comes_s: tuple[float, ...]
    """When each of the `places` is started first"""
    sync_s: float
    work_s: float
    """How long hosts compute for a round, on average"""
    air_is_apart: bool = False
    """Whether the air is a process of its own, beyond the network; else it is part of the access point"""

    @property
    def is_faultless(self) -> bool:
        """Whether the run must come out as if nothing could go wrong."""
        return not self.faults and self.weather.loss == self.weather.repeat == self.weather.slow == 0

    @property
    def is_gentle(self) -> bool:
        """Whether what fails is so little that every program goes on."""
        return all(fault.kind == "reset" for fault in self.faults)

    @property
    def places(self) -> tuple[str, ...]:
        """Access point, air, hosts."""
        return (
            "ap",
            *(("air",) if self.air_is_apart else ()),
            *(f"host {number}" for number in range(len(self.hosts))),
        )


@cache
def config_of(
    variant: int, num_devices: int, num_rounds: int, run_seed: int, *, min_devices: int, every: int
) -> RunConfig:
    """One of the runs that histories are of."""
    settings = [
        *_COMMON,
        *_VARIANTS[variant],
        f"num_devices={num_devices}",
        f"rounds.num={num_rounds}",
        f"rounds.min_devices={min_devices}",
        f"rounds.eval_every={every + 2}",
        f"learner.fingerprint_every={every}",
        f"seed={run_seed}",
    ]
    return resolve(load(None, None, settings))


def drawn(seed: int) -> Setting:
    """The setting of a history."""
    rng = random.Random(f"history {seed}")
    num_hosts = rng.choice((2, 2, 3, 4))
    num_devices = rng.randint(num_hosts, 4)
    edges = [0, *sorted(rng.sample(range(1, num_devices), num_hosts - 1)), num_devices]
    hosts = tuple(tuple(range(a, b)) for a, b in pairwise(edges))
    decides = (rng.randrange(len(_VARIANTS)), num_devices, rng.choice((3, 5)), rng.randint(1, SEEDS_OF_RUNS))
    least = rng.choice((num_devices, num_devices, max(1, num_devices - 1)))
    config = config_of(*decides, min_devices=least, every=rng.choice((1, 2, 3)))
    air_is_apart = rng.random() < AIR_APART
    faultless, gentle = (seed % EVERY == rest for rest in (FAULTLESS, GENTLE))
    ends_s = rng.uniform(4, 25)
    return Setting(
        seed=seed,
        config=config,
        plain=config_of(*decides, min_devices=num_devices, every=3),
        hosts=hosts,
        weather=Weather(delay_s=rng.choice((0.0005, 0.002, 0.02)))
        if faultless
        else _weather(rng, foul=gentle or rng.random() < 0.5),
        faults=() if faultless else _faults(rng, num_hosts, ends_s, air_is_apart=air_is_apart, gentle=gentle),
        ends_s=0.0 if faultless else ends_s,
        comes_s=tuple(rng.uniform(0, 5) if rng.random() < 0.5 else 0.0 for _ in range(1 + air_is_apart + num_hosts)),
        sync_s=rng.choice((0.0005, 0.005, 0.05)),
        air_is_apart=air_is_apart,
        work_s=rng.choice((0.01, 0.3, 1.0)),
    )


def _weather(rng: random.Random, *, foul: bool) -> Weather:
    return Weather(
        delay_s=rng.choice((0.0005, 0.002, 0.02)),
        loss=rng.choice((0.0, 0.01, 0.1)) if foul else 0.0,
        repeat=rng.choice((0.0, 0.01, 0.1)) if foul else 0.0,
        slow=rng.choice((0.0, 0.01, 0.05)) if foul else 0.0,
    )


def _faults(
    rng: random.Random, num_hosts: int, ends_s: float, *, air_is_apart: bool, gentle: bool
) -> tuple[Fault, ...]:
    """Up to a dozen, of a few kinds."""
    kinds: list[Kind] = ["reset"] if gentle else rng.sample(KINDS, rng.randint(1, 4))
    places = ["ap", *(["air"] if air_is_apart else []), *(f"host {number}" for number in range(num_hosts))]
    found: list[Fault] = []
    at_s = 0.0
    every_s = rng.choice((0.5, 2.0, 5.0))
    while (at_s := at_s + rng.expovariate(1 / every_s)) < ends_s and len(found) < 12:
        kind = rng.choice(kinds)
        found.append(
            Fault(
                at_s,
                kind,
                "ap" if kind in ("interrupt", "disk", "full disk", "power cut") else rng.choice(places),
                lasts_s=min(rng.choice((0.3, 3.0, 12.0)) * rng.uniform(0.5, 2), max(0.1, ends_s - at_s)),
                number=rng.randrange(60),
                how=rng.choice(HOWS),
            )
        )
    return tuple(found)
