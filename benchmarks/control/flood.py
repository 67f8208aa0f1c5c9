"""Rounds beside a stranger who sends 10,000 messages a second, and beside a program that burns as much processor time.

With keys, as the commands listen, the stranger connects over TCP, talks ZMTP without a key, and connects again whenever
it is shut out. Without keys its messages (Pings of this protocol) arrive, and the access point has to read them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.control.rounds import Watcher, play
from testbed.results.records import RoundRecord

STRANGER = Path(__file__).with_name("stranger.py")
ROUNDS_A_TURN = 60
SETTLING = 15
_GIVE_UP_S = 10.0


@dataclass
class Turns(Watcher):
    """Lets a stranger and a burner take turns while rounds are played; the first turn is for nobody."""

    is_plain: bool = False
    flooded: list[float] = field(default_factory=list)
    burdened: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    share: float = 0.0
    """Of one core, as the last stranger took."""
    _beside: subprocess.Popen[str] | None = None
    _is_flood: bool = False
    _begun_s: float = 0.0

    def round_done(self, record: RoundRecord) -> None:
        """A round more; at the end of a turn the other one begins."""
        super().round_done(record)
        turn, place = divmod(record.round, ROUNDS_A_TURN)
        if turn > 0 and place >= SETTLING:
            (self.flooded if self._is_flood else self.burdened).append(record.wall_s - self.fsync_s[-1])
        if place == ROUNDS_A_TURN - 1:
            self.end()
            self._begin(is_flood=turn % 2 == 0)

    def _begin(self, *, is_flood: bool) -> None:
        """Start what this turn has beside its rounds."""
        what = ("flood-plain" if self.is_plain else "flood", self.address) if is_flood else ("burn", str(self.share))
        self._beside = subprocess.Popen(
            [sys.executable, str(STRANGER), *what], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._beside.stdout is not None
        assert self._beside.stdout.readline() == "begun\n"
        self._is_flood, self._begun_s = is_flood, time.perf_counter()

    def end(self) -> None:
        """Stop it, and learn what it took."""
        if self._beside is None:
            return
        took = time.perf_counter() - self._begun_s
        try:
            said, _ = self._beside.communicate(timeout=_GIVE_UP_S)
        finally:
            self._beside.kill()
            self._beside.wait()
        num, cpu_s = said.split()
        if self._is_flood:
            self.rates.append(int(num) / took)
            self.share = min(1.0, float(cpu_s) / took)
        self._beside = None


@dataclass
class PlainTurns(Turns):
    """Without keys, the stranger's messages arrive."""

    is_plain: bool = True


def delay(*, with_keys: bool, num_turns: int = 6) -> dict[str, float]:
    """Median round under flood over that beside an equal burner, which take so many turns each in one run."""
    played = play(
        num_devices=10,
        num_hosts=10,
        num_rounds=(2 * num_turns + 1) * ROUNDS_A_TURN - 1,  # the last turn's end begins no other
        with_keys=with_keys,
        watched_by=Turns if with_keys else PlainTurns,
    )
    watcher = played.watcher
    assert isinstance(watcher, Turns)
    watcher.end()
    return {
        "ratio": statistics.median(watcher.flooded) / statistics.median(watcher.burdened),
        "messages_per_s": statistics.median(watcher.rates),
        "burnt_share_of_a_core": watcher.share,
    }
