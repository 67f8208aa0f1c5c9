"""The rounds of a run by column, growing, with what must be counted on the way."""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from collections.abc import Sequence
from operator import attrgetter

import msgspec
import numpy as np

from testbed.dashboard.decimation import Floats, decimated
from testbed.dashboard.seen import LaboratoryRound, Seen, kind_of, symbols_of

MAX_SYMBOLS = 4096
"""Of received payload symbols the newest are kept."""
TIMES = ("learner_s", "radio_s", "control_s", "airtime_s")
_NUMBERS = (
    *("loss", "validation_loss", "eval_loss", "metric", "nmse_db"),
    *("symbol_snr_db", "gain", "rho_spent", "epsilon_spent", *TIMES),
)
_DERIVED = ("gain_db", "rho_total")
SHOWN = ("loss", "validation_loss", "eval_loss", "metric", "nmse_db", "symbol_snr_db", "gain_db", "epsilon_spent")
"""Columns that are drawn by round."""
MEDIANS = ("nmse_db", "symbol_snr_db")
_NAMED = re.compile(r"\bdevices? (\d{1,5}(?:(?:-|, )\d{1,5})*)")


class Latest(msgspec.Struct, frozen=True):
    """The last value that is known of a field."""

    value: float
    round: int


class Columns:
    """Grows by blocks; numbers are float64, NaN where nothing is known."""

    def __init__(self, *, private: bool) -> None:
        known = set(kind_of(private=private).__struct_fields__)
        self.names = ("round", *(name for name in _NUMBERS if name in known), *_DERIVED)
        self._get = attrgetter(*(name for name in self.names if name not in _DERIVED))
        self._place = {name: place for place, name in enumerate(self.names)}
        self._data = np.empty((1024, len(self.names)))
        self.size = 0
        self.latest: dict[str, Latest] = {}
        self.counts: Counter[str] = Counter()
        """Rounds by status."""
        self.missing: Counter[int] = Counter()
        """Rounds in which a device took no part."""
        self.retried: Counter[int] = Counter()
        self.rejected: Counter[int] = Counter()
        """Retried, and rejected or skipped rounds whose reason names a device."""
        self.totals = dict.fromkeys(TIMES, 0.0)
        self.rho_total = 0.0
        """Σρ of the rounds whose leak is known."""
        self.rho_unknown = 0
        self._received: deque[bytes] = deque(maxlen=MAX_SYMBOLS)
        """Of the last rounds, as they were written."""
        self.num_symbols = 0
        self.last_reason: tuple[int, str] | None = None

    def add(self, rounds: Sequence[Seen]) -> None:
        """Take in the next rounds."""
        if not rounds:
            return
        begin, end = self.size, self.size + len(rounds)
        while end > len(self._data):
            self._data = np.concatenate([self._data, np.empty_like(self._data)])
        block = self._data[begin:end]
        block[:, : -len(_DERIVED)] = np.array(list(map(self._get, rounds)), dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            gain_db = 20 * np.log10(block[:, self._place["gain"]])
        block[:, self._place["gain_db"]] = np.where(np.isfinite(gain_db), gain_db, np.nan)
        rho = block[:, self._place["rho_spent"]]
        block[:, self._place["rho_total"]] = self.rho_total + np.cumsum(np.nan_to_num(rho))
        self.size = end
        self._sum(block)
        self.counts.update(map(attrgetter("status"), rounds))
        for each in rounds:
            if each.reason is not None or each.absent:
                self._count_trouble(each)
        self._keep_symbols(rounds)

    def column(self, name: str) -> Floats:
        """One column, shape [N]."""
        return self._data[: self.size, self._place[name]]

    def medians(self) -> dict[str, float]:
        """Of `MEDIANS`, where any round knows them."""
        known = {name: self.column(name) for name in MEDIANS if name in self.latest}
        return {name: float(np.nanmedian(column)) for name, column in known.items()}

    def points(self, max_points: int, *, since: int = 0) -> dict[str, list[float]]:
        """Rounds from 1 on, and the shown columns, of the rows from ``since`` on, decimated to ``max_points``."""
        rows = self._data[since : self.size]
        names = [name for name in SHOWN if name in self._place]
        x, columns = decimated(rows[:, 0] + 1, rows[:, [self._place[name] for name in names]], max_points)
        return {"round": x.tolist(), **{name: columns[:, place].tolist() for place, name in enumerate(names)}}

    def newest_symbols(self, num: int) -> list[tuple[float, float]]:
        """The last payload symbols, oldest first; of more than `MAX_SYMBOLS` the newest."""
        wanted = min(num, MAX_SYMBOLS)
        found: list[tuple[float, float]] = []
        for received in reversed(self._received):
            if len(found) >= wanted:
                break
            found.extend(reversed(symbols_of(received)))
        return found[:wanted][::-1]

    def _sum(self, block: Floats) -> None:
        rho = block[:, self._place["rho_spent"]]
        self.rho_total = float(block[-1, self._place["rho_total"]])
        self.rho_unknown += int(np.isnan(rho).sum())
        for name in TIMES:
            if name in self._place:
                self.totals[name] += math.fsum(np.nan_to_num(block[:, self._place[name]]))
        for name, place in self._place.items():
            known = np.flatnonzero(np.isfinite(block[:, place]))
            if known.size:
                row = block[known[-1]]
                self.latest[name] = Latest(float(row[place]), int(row[0]) + 1)

    def _count_trouble(self, each: Seen) -> None:
        self.missing.update(each.absent)
        if each.reason is not None:
            self.last_reason = (each.round + 1, each.reason)
            if each.status == "retried":
                self.retried.update(devices_named(each.reason))
            elif each.status in ("rejected", "skipped"):
                self.rejected.update(devices_named(each.reason))

    def _keep_symbols(self, rounds: Sequence[Seen]) -> None:
        received = [bytes(each.received) for each in rounds if isinstance(each, LaboratoryRound)]
        self.num_symbols += sum(max(0, symbols.count(b"[") - 1) for symbols in received)
        self._received.extend(received)


def devices_named(reason: str) -> set[int]:
    """Devices that a reason names: of "devices 0-2, 7 have no host", those four."""
    found: set[int] = set()
    for numbers in _NAMED.findall(reason):
        for part in numbers.split(", "):
            first, _, last = part.partition("-")
            if int(last or first) - int(first) < 10_000:
                found.update(range(int(first), int(last or first) + 1))
    return found
