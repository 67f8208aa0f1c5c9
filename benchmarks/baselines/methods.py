"""All methods by name: who plays them, which learning rate they share, what they add to the common settings."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.baselines import feedsign, gradients, over_the_air, scalars
from benchmarks.baselines.records import Play
from benchmarks.baselines.settings import CONTRACTION, EXAMPLE_LEVEL, PUBLISHED

REFERENCE = "analog"
"""What every method is compared with: plain pAirZero."""
NO_CLAIM = "–"
AGGREGATE = "example; AP honest but curious, its noise trusted"
CURATOR = "example; curator trusted"
CLIENT = "client; AP honest but curious, its noise trusted"


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table."""

    play: Play
    group: str
    """Of settings.CANDIDATES"""
    overrides: tuple[str, ...] = ()
    claim: str = NO_CLAIM
    """What is protected, against whom; the outcome has the whole threat model."""


def _sound(schedule: str, *more: str) -> tuple[str, ...]:
    return (f"schedule.name={schedule}", *EXAMPLE_LEVEL, *more)


_AIR = over_the_air.play
METHODS: dict[str, Method] = {
    "zero_shot": Method(scalars.zero_shot, "scalar"),
    "ideal": Method(_AIR, "scalar", ("scheme.name=ideal",)),
    "analog": Method(_AIR, "scalar"),
    "analog_sound": Method(_AIR, "private", _sound("online"), AGGREGATE),
    "analog_paper": Method(_AIR, "scalar", PUBLISHED, CLIENT),
    "sign": Method(_AIR, "vote", ("scheme.name=sign",)),
    "sign_sound": Method(_AIR, "private_vote", ("scheme.name=sign", *_sound("static")), AGGREGATE),
    "sign_paper": Method(_AIR, "vote", ("scheme.name=sign", *PUBLISHED), CLIENT),
    "energy": Method(_AIR, "scalar", ("scheme.name=energy",)),
    "fsk_vote": Method(_AIR, "vote", ("scheme.name=fsk_vote",)),
    "digital": Method(_AIR, "scalar", ("scheme.name=digital",)),
    "decomfl": Method(scalars.decomfl, "decomfl"),
    "fedkseed": Method(scalars.fedkseed, "fedkseed"),
    "feedsign": Method(_AIR, "vote", (f"scheme.name={feedsign.FeedSign.name}",)),
    "dpzero": Method(scalars.dpzero, "private", _sound("static"), CURATOR),
    "fedsgd": Method(gradients.play_fedsgd, "fedsgd"),
    "fedavg_adamw": Method(gradients.play_fedavg, "fedavg"),
    "ota_fedsgd": Method(gradients.play_over_the_air, "fedsgd"),
}
SCHEDULE_REFERENCE = "static"
SCHEDULES: dict[str, Method] = {
    name: Method(_AIR, "private", _sound(name, f"schedule.contraction={CONTRACTION}"), AGGREGATE)
    for name in ("static", "solution", "online", "reversed")
}
"""At one (ε, δ), compared with each other where a task leaves room."""
SEARCHED = {
    "scalar": "ideal",
    "vote": "sign",
    "private": "analog_sound",
    "private_vote": "sign_sound",
    "decomfl": "decomfl",
    "fedkseed": "fedkseed",
    "fedsgd": "fedsgd",
    "fedavg": "fedavg_adamw",
}
"""Whose score on the validation split chooses a group's learning rate."""


def method_of(name: str) -> Method:
    """The method of that name; schedules are `schedule_NAME`."""
    if name in METHODS:
        return METHODS[name]
    return SCHEDULES[name.removeprefix("schedule_")]


def schedule_methods() -> tuple[str, ...]:
    """Names under which schedules are played."""
    return tuple(f"schedule_{name}" for name in SCHEDULES)
