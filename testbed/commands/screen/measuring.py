"""What a person sees of a campaign in a terminal: each link's last figures and impulse response, and how far it is."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

import numpy as np
from rich.live import Live
from rich.table import Table

from radio.arrays import Reals
from radio.measurement.probe import Probe
from radio.measurement.profile import impulse_powers
from testbed.commands.screen.native_lines import native_lines_above
from testbed.commands.screen.terminal import console
from testbed.measurement.campaign import Asked, Heard

_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH, _BEFORE = 24, 4
_FLOOR_DB = 30.0
_MOST_ROWS = 12
"""Of links that are listed at once, the last ones."""


@dataclass(slots=True)
class _Row:
    name: str
    done: int
    spoilt: int = 0
    text: tuple[str, str, str, str] = ("–", "–", "–", "")


class MeasuringDisplay:
    """A table that follows the campaign; a line per link where stderr is no terminal."""

    def __init__(self, asked: Asked, probe: Probe, num_links: int) -> None:
        self._asked, self._probe, self._num_links = asked, probe, num_links
        self._console = console(stderr=True)
        self._shown = ExitStack()
        self._rows: dict[tuple[str, int], _Row] = {}
        self._live = (
            Live(self._table(), console=self._console, refresh_per_second=8, transient=True) if self._terminal else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._shown.enter_context(native_lines_above(self._console))
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        self._shown.close()

    def __call__(self, heard: Heard) -> None:
        """A capture was taken, or a link given up."""
        arrow = "→ AP" if heard.direction == "uplink" else "← AP"
        row = self._rows.setdefault((heard.direction, heard.device), _Row(f"{heard.device} {arrow}", 0))
        if heard.sounding is None:
            row.text = ("–", "–", "–", heard.problem or "")
        else:
            row.done, sounding = heard.number + 1, heard.sounding
            row.spoilt += sounding.spoilt is not None
            powers = impulse_powers(sounding.response, self._probe)
            shown = sounding.spoilt or impulse_bars(powers)
            row.text = (
                f"{sounding.gain_db.value:.1f}",
                f"{sounding.snr_db:.1f}",
                f"{sounding.cfo_hz.value:.1f}",
                shown,
            )
        if self._live is not None:
            self._live.update(self._table())
        elif row.done == self._asked.num_captures or heard.sounding is None:
            gain, snr, _, shown = row.text
            self._console.print(f"{row.name}: gain {gain} dB, SNR {snr} dB, {row.spoilt} spoilt; {shown}")

    @property
    def _terminal(self) -> bool:
        return self._console.is_terminal

    def _table(self) -> Table:
        done = sum(row.done for row in self._rows.values())
        total = self._num_links * self._asked.num_captures
        state = f"capture {done} of {total}" if self._rows else "listening while nobody sends"
        if done == total:
            state += ", simulating what schemes would reach"
        table = Table(title=state, title_justify="left", box=None, padding=(0, 1, 0, 0))
        for name in ("link", "done", "gain dB", "SNR dB", "CFO Hz"):
            table.add_column(name, justify="left" if name == "link" else "right", no_wrap=True)
        table.add_column(f"impulse response, {_FLOOR_DB:.0f} dB", no_wrap=True)
        for row in list(self._rows.values())[-_MOST_ROWS:]:
            table.add_row(row.name, f"{row.done}/{self._asked.num_captures}", *row.text)
        return table


def impulse_bars(powers: Reals) -> str:
    """A circular impulse response around its peak, a sample a character, its height in dB."""
    peak = int(np.argmax(powers))
    around = powers[(peak - _BEFORE + np.arange(_WIDTH)) % powers.size]
    decibels = 10 * np.log10(np.maximum(around / max(float(powers[peak]), 1e-300), 1e-30))
    heights = np.clip((decibels / _FLOOR_DB + 1) * (len(_BARS) - 1), 0, len(_BARS) - 1)
    return "".join(_BARS[round(float(height))] for height in heights)
