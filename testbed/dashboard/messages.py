"""What the page is told, as JSON: one record each; what is not known is null."""

from __future__ import annotations

from typing import Literal

import msgspec

from testbed.dashboard.columns import Latest
from testbed.dashboard.pictures import Picture

Status = Literal["waiting", "running", "quiet", "ended", "failed", "gone"]
"""``waiting``: nothing there yet; ``quiet``: no end, and nothing new for a while; ``gone``: the files are not there any
more."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration plans and promises, before any round."""

    schedule: str
    gains: list[float] = []
    """c by round, zero in silent ones; empty where channels are not known in advance."""
    leaks: list[float] = []
    """ρ by round."""
    no_plan: str | None = None
    """Why there is none; null where there is."""
    claim: str = ""
    """`Terms.statement` with EPSILON where the ε goes; begins with VALID or VOID."""
    enforced: bool = False
    """Whether the run ends rather than overspend."""


EPSILON = "{epsilon}"


class Privacy(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent, of what, and what that means."""

    dp_epsilon: float | None
    dp_delta: float | None
    epsilon_spent: float | None
    """Null where no claim is made."""
    rho_spent: float
    """Σρ of the rounds whose leak is known."""
    rounds_unknown: int
    """Rounds whose leak cannot be stated."""
    level: str | None
    receiver_noise: str | None
    claim: str
    """With its threat model, in words; empty while it is not known."""
    is_valid: bool | None


class DeviceCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Rounds that a device has missed, or that failed and name it."""

    device: int
    missing: int
    retried: int
    rejected: int


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A run, but for its series."""

    name: str
    place: str
    """Its directory, as it was given."""
    status: Status
    detail: str
    """Why it ended, or what is wrong."""
    private: bool
    withheld: tuple[str, ...]
    rounds_done: int
    rounds_asked: int | None
    unreadable: int
    """Lines that are no round."""
    changed_unix_s: float | None
    """When rounds.jsonl last changed."""
    scheme: str | None
    schedule: str | None
    num_devices: int | None
    metric_name: str
    untouched: dict[str, float]
    """Loss and metric of the untouched model, where they were seen."""
    latest: dict[str, Latest]
    medians: dict[str, float]
    """Of the rounds that know them, now and then."""
    counts: dict[str, int]
    """Rounds by status."""
    last_reason: tuple[int, str] | None
    times_s: dict[str, float]
    """Sums over all rounds, by part."""
    devices: list[DeviceCounts]
    """Those with something to count."""
    privacy: Privacy
    num_symbols: int


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Columns by name, all of one length."""

    reset: bool
    """Whether they replace what was sent before, or follow it."""
    points: dict[str, list[float]]
    symbols: list[tuple[float, float]]
    stretch: int
    """How many rounds two points stand for; 1 where each round has its own."""


class PlanShown(msgspec.Struct, frozen=True, kw_only=True):
    """The schedule as planned."""

    schedule: str
    round: list[float]
    gain_db: list[float]
    rho_total: float | None
    no_plan: str | None


class RunNews(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is new of one run; what is left out has not changed."""

    index: int
    state: State
    series: Series | None = None
    picture: Picture | None = None
    picture_problem: str | None = None
    plan: PlanShown | None = None


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """One event."""

    num_runs: int
    runs: list[RunNews]
