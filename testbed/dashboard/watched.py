"""One run that is watched: everything that is known of it, brought up to date by looking at its files."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from testbed.dashboard.captures import Captures
from testbed.dashboard.columns import Columns
from testbed.dashboard.decimation import decimated, stretch_of
from testbed.dashboard.facts import Facts
from testbed.dashboard.follower import Follower
from testbed.dashboard.messages import (
    EPSILON,
    DeviceCounts,
    Planned,
    PlanShown,
    Privacy,
    RunNews,
    Series,
    State,
    Status,
)
from testbed.dashboard.seen import WITHHELD, Reader

MAX_POINTS = 1600
"""Of each series that are sent at once."""
MAX_FOLLOWING = 2000
"""Points that follow, before everything is decimated again."""
QUIET_S = 30.0
FACTS_EVERY_S = 0.5
_ROUNDS = "rounds.jsonl"


class Cursor(msgspec.Struct, kw_only=True):
    """How far somebody was told of a run."""

    generation: int = -1
    row: int = 0
    following: int = 0
    symbols: int = 0
    version: int = -1
    picture: int = -1
    plan: int = -1


class WatchedRun:
    """Looks when asked; keeps what it saw when the files are gone."""

    def __init__(self, index: int, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self.index = index
        self.directory = directory
        self._clock = clock
        self._facts = Facts(directory)
        self._captures = Captures(directory)
        self._planned: Planned | None = None
        self._lock = threading.Lock()
        self._looked_s = -math.inf
        self._was_there = False
        self._is_there = False
        self._changed_s: float | None = None
        self._status: Status = "waiting"
        self._versions = Cursor(generation=0, version=0, picture=0, plan=0)
        self._begin_again(private=True)

    def _begin_again(self, *, private: bool) -> None:
        self._private = private
        self._follower = Follower(self.directory / _ROUNDS)
        self._reader = Reader(private=private)
        self._columns = Columns(private=private)
        self._medians: dict[str, float] = {}
        self._versions.generation += 1

    # ---- looking

    def look(self) -> bool:
        """Read what is new; returns whether there is more to read at once. May be called in another thread."""
        with self._lock:
            return self._look()

    def _look(self) -> bool:
        now = self._clock()
        if now - self._looked_s >= FACTS_EVERY_S or now < self._looked_s:
            self._looked_s = now
            self._look_at_facts()
        news = self._follower.look()
        if news.restarted:
            self._look_at_facts()  # another run may have taken this place: what may be read of it?
            self._begin_again(private=self._facts.private)
            return True
        if news.lines:
            self._columns.add(self._reader.read(news.lines))
        if news.lines or news.is_there != self._is_there:
            self._is_there = news.is_there
            self._was_there = self._was_there or news.is_there
            self._changed_s = self._facts.changed_s(_ROUNDS) or self._changed_s
            self._versions.version += 1
            self._look_at_status()
        return news.has_more

    def plan(self, planned: Planned) -> None:
        """What was planned has become known."""
        self._planned = planned
        self._versions.plan += 1
        self._versions.version += 1

    @property
    def config_file(self) -> Path | None:
        """That of the run; None while it is not there, or cannot be read."""
        return self.directory / "config.toml" if self._facts.config is not None else None

    def _look_at_facts(self) -> None:
        if self._facts.look():
            self._versions.version += 1
            if self._facts.private != self._private:
                self._begin_again(private=self._facts.private)
        self._medians = self._columns.medians()
        if self._facts.config is not None and self._captures.look(self._facts.config):
            self._versions.picture += 1
        self._look_at_status()

    def _look_at_status(self) -> None:
        status = self._status_now()
        if status != self._status:
            self._status = status
            self._versions.version += 1

    def _status_now(self) -> Status:
        if not self._is_there:
            return "gone" if self._was_there else "waiting"
        changed_s = self._changed_s or 0.0
        summary_s = self._facts.changed_s("summary.json")
        if self._facts.ended is not None and summary_s is not None and summary_s >= changed_s:
            return "ended"
        if self._facts.began is not None and self._facts.began.failure is not None:
            info_s = self._facts.changed_s("run.json")
            if info_s is not None and info_s >= changed_s:
                return "failed"
        return "running" if self._clock() - changed_s < QUIET_S else "quiet"

    # ---- telling

    def news(self, cursor: Cursor) -> RunNews | None:
        """What somebody who was told as far as ``cursor`` has not heard, which is moved on; None if that is nothing."""
        with self._lock:
            return self._news(cursor)

    def _news(self, cursor: Cursor) -> RunNews | None:
        now, columns = self._versions, self._columns
        if (cursor.generation, cursor.version, cursor.picture, cursor.plan) == (
            now.generation,
            now.version,
            now.picture,
            now.plan,
        ):
            return None
        series: Series | None = None
        following = columns.size - cursor.row
        if cursor.generation != now.generation or cursor.following + following > MAX_FOLLOWING:
            series = self._series(reset=True, since=0, num_symbols=columns.num_symbols)
            cursor.following = 0
        elif following:
            series = self._series(reset=False, since=cursor.row, num_symbols=columns.num_symbols - cursor.symbols)
            cursor.following += following
        picture = self._captures.picture if cursor.picture != now.picture else None
        plan = self._plan_shown() if cursor.plan != now.plan else None
        cursor.generation, cursor.row, cursor.symbols = now.generation, columns.size, columns.num_symbols
        cursor.version, cursor.picture, cursor.plan = now.version, now.picture, now.plan
        return RunNews(
            index=self.index,
            state=self._state(),
            series=series,
            picture=picture,
            picture_problem=self._captures.problem,
            plan=plan,
        )

    def _series(self, *, reset: bool, since: int, num_symbols: int) -> Series:
        columns = self._columns
        return Series(
            reset=reset,
            points=columns.points(MAX_POINTS, since=since),
            symbols=columns.newest_symbols(num_symbols),
            stretch=stretch_of(columns.size - since, MAX_POINTS),
        )

    def _state(self) -> State:
        facts, columns = self._facts, self._columns
        experiment = facts.config.experiment if facts.config is not None else None
        rig = facts.config.rig if facts.config is not None else None
        began, ended = facts.began, facts.ended
        untouched = began.initial_evaluation if began is not None else None
        devices = sorted(set(columns.missing) | set(columns.retried) | set(columns.rejected))
        return State(
            name=experiment.name if experiment is not None else self.directory.name,
            place=str(self.directory),
            status=self._status,
            detail=self._detail(),
            private=self._private,
            withheld=WITHHELD if self._private else (),
            rounds_done=columns.size,
            rounds_asked=experiment.rounds.num if experiment is not None else None,
            unreadable=self._reader.num_unreadable,
            changed_unix_s=self._changed_s,
            scheme=experiment.scheme.name if experiment is not None else None,
            schedule=experiment.schedule.name if experiment is not None else None,
            num_devices=rig.num_devices if rig is not None else None,
            metric_name=untouched.metric_name if untouched else ended.metric_name if ended else "accuracy",
            untouched=_known(loss=untouched.loss, metric=untouched.metric) if untouched is not None else {},
            latest=columns.latest,
            medians=self._medians,
            counts=dict(columns.counts),
            last_reason=columns.last_reason,
            times_s=columns.totals,
            devices=[
                DeviceCounts(
                    device=device,
                    missing=columns.missing[device],
                    retried=columns.retried[device],
                    rejected=columns.rejected[device],
                )
                for device in devices
            ],
            privacy=self._privacy(),
            num_symbols=columns.num_symbols,
        )

    def _detail(self) -> str:
        facts = self._facts
        if self._status == "ended" and facts.ended is not None:
            return facts.ended.stopped
        if self._status == "failed" and facts.began is not None:
            return facts.began.failure or ""
        return facts.problem

    def _privacy(self) -> Privacy:
        facts, columns, planned = self._facts, self._columns, self._planned
        promised = facts.config.experiment.privacy if facts.config is not None else None
        spent = columns.latest.get("epsilon_spent")
        claim = ""
        if self._status == "ended" and facts.ended is not None:
            claim = facts.ended.privacy
        elif planned is not None:
            claim = planned.claim.replace(EPSILON, "0" if spent is None else f"{spent.value:.3g}")
            if EPSILON in planned.claim and columns.size and math.isnan(columns.column("epsilon_spent")[-1]):
                claim = "VOID: no privacy is claimed: the ledger states no epsilon for the last round."
        return Privacy(
            dp_epsilon=promised.dp_epsilon if promised is not None else None,
            dp_delta=promised.dp_delta if promised is not None else None,
            epsilon_spent=spent.value if spent is not None else None,
            rho_spent=columns.rho_total,
            rounds_unknown=columns.rho_unknown,
            level=promised.level if promised is not None else None,
            receiver_noise=promised.receiver_noise if promised is not None else None,
            claim=claim,
            is_valid=claim.startswith("VALID") if claim else None,
        )

    def _plan_shown(self) -> PlanShown | None:
        planned = self._planned
        if planned is None:
            return None
        gains = np.array(planned.gains)
        with np.errstate(divide="ignore"):
            gain_db = 20 * np.log10(gains)
        rounds = np.arange(1.0, gains.size + 1)
        x, points = decimated(rounds, np.where(np.isfinite(gain_db), gain_db, np.nan)[:, None], MAX_POINTS)
        return PlanShown(
            schedule=planned.schedule,
            round=x.tolist(),
            gain_db=points[:, 0].tolist(),
            rho_total=math.fsum(planned.leaks) if planned.leaks else None,
            no_plan=planned.no_plan,
        )


def _known(**values: float | None) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
