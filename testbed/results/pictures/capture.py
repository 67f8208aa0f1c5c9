"""One recorded payload, with marks for its parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from matplotlib.figure import Figure

from radio.samples import IQ
from testbed.errors import RunDirectoryError
from testbed.results import files
from testbed.results.plots import BLUE, GREY, MANY, ORANGE, styled

_TINTS = ("#eef2f7", "#dbe4ee")
_NARROW = 0.035
"""Share of the picture's width below which a part's name stands upright."""

_MOST_NAMES = 12


class Mark(msgspec.Struct, frozen=True, kw_only=True, rename=lambda name: f"core:{name}"):
    """An annotation of a recording: what its samples are."""

    sample_start: int
    sample_count: int = 0
    label: str = ""


class _Marked(msgspec.Struct, frozen=True, kw_only=True):
    annotations: tuple[Mark, ...] = ()


def marks_of(data_path: Path) -> tuple[Mark, ...]:
    """The parts that a recording's .sigmf-meta names; none where it is missing or unreadable: pictures need none."""
    try:
        text = files.read(data_path.with_suffix(".sigmf-meta"), remedy="leave the recording out")
        return msgspec.json.decode(text, type=_Marked).annotations
    except (RunDirectoryError, msgspec.DecodeError, UnicodeDecodeError):
        return ()


def capture_trace(samples: IQ, *, sample_rate_hz: float, round_index: int, marks: Sequence[Mark] = ()) -> Figure:
    """I and Q over time with the parts' names, and in the complex plane only what carries values, where marked."""
    figure = Figure(figsize=(8, 3.8), dpi=110, layout="constrained")
    trace, plane = figure.subplots(1, 2, width_ratios=[2.2, 1])
    for axis in (trace, plane):
        styled(axis)
    time_us = np.arange(samples.size) / sample_rate_hz * 1e6
    shape = {"linewidth": 0.7} if samples.size > 1 else {"marker": "o"}
    many = samples.size > MANY
    trace.plot(time_us, samples.real, "-", color=BLUE, label="I", rasterized=many, **shape)
    trace.plot(time_us, samples.imag, "--", color=ORANGE, label="Q", rasterized=many, **shape)
    trace.set_xlabel("time (µs)")
    trace.set_ylabel("amplitude (full scale = 1)")
    figure.suptitle(f"payload of round {round_index + 1} as received", fontsize=10)
    trace.legend(frameon=False, loc="lower right")
    _mark(figure, marks, samples.size, sample_rate_hz)
    values = _values(samples, marks)
    plane.plot(values.real, values.imag, ".", color=BLUE, alpha=0.5, markersize=3, rasterized=values.size > MANY)
    plane.set_title("values" if values.size < samples.size else "all samples", fontsize=10)
    plane.set_xlabel("I")
    plane.set_ylabel("Q")
    plane.set_aspect("equal", adjustable="datalim")
    return figure


def _mark(figure: Figure, marks: Sequence[Mark], num_samples: int, sample_rate_hz: float) -> None:
    trace = figure.axes[0]
    us = 1e6 / sample_rate_hz
    for number, mark in enumerate(marks):
        trace.axvspan(
            mark.sample_start * us, (mark.sample_start + mark.sample_count) * us, color=_TINTS[number % 2], zorder=0
        )
    for name, start, stop in _names(marks, num_samples):
        trace.annotate(
            name, ((start + stop) / 2 * us, 1.01), xycoords=("data", "axes fraction"), ha="center", va="bottom",
            fontsize=7, color=GREY, rotation=90 if stop - start < _NARROW * num_samples else 0,
        ).set_parse_math(False)  # fmt: skip


def _names(marks: Sequence[Mark], num_samples: int) -> list[tuple[str, int, int]]:
    """Name, first sample and end; narrow parts side by side have one name, as theirs would lie on each other.

    Of very many parts, as of the slots of many devices, only wide ones are named.
    """
    found: list[tuple[str, int, int]] = []
    for mark in marks:
        end = mark.sample_start + mark.sample_count
        is_narrow = mark.sample_count < _NARROW * num_samples
        if is_narrow and found and found[-1][2] == mark.sample_start:
            name, start, stop = found[-1]
            if stop - start < _NARROW * num_samples:
                found[-1] = (f"{name}, {mark.label}", start, end)
                continue
        found.append((mark.label, mark.sample_start, end))
    if len(found) > _MOST_NAMES:
        return [each for each in found if each[2] - each[1] >= _NARROW * num_samples]
    return found


def _values(samples: IQ, marks: Sequence[Mark]) -> IQ:
    """What carries values; all samples where no mark says what does."""
    parts = [
        samples[mark.sample_start : mark.sample_start + mark.sample_count] for mark in marks if mark.label == "values"
    ]
    found = np.concatenate(parts) if parts else samples
    return found if found.size else samples
