"""A scalar's way, traced: at which places it becomes something else on its way from the probe to the update.

One round is executed with the devices' scalars as they are, again so, halved and quartered. What differs between the
first two, as durations do, is no form of the scalars. Everything that passes from one room to another, as an argument
or as a result, is kept. What is linear in the scalars, so that the first step down changes it twice as much as the
second, is the scalar in one of its forms; what is not (a noise estimate, a statistic, a fingerprint) is something else.
A stop is the place that hands a form on that was not seen before.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from learner.zo.replica import Replica
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.rounds.processes import run_in_one_process

SETTINGS = ("rounds.num=1", "rounds.eval_every=2", "task.num_test=8", "ground_truth=false")
SCALES = (1.0, 1.0, 0.5, 0.25)
LINEAR_WITHIN = 0.02  # converters round
MAX_ELEMENTS = 1 << 16
MAX_DEPTH = 4

Key = tuple[str, int, int]
Passed = dict[Key, NDArray[np.float64]]
PROBE = "learner.zo.replica.Replica.scalars"


def room_of(frame: FrameType | None) -> str | None:
    """The room of the code that a frame runs, None outside of our packages."""
    name = frame.f_globals.get("__name__", "") if frame is not None else ""
    return name.rpartition(".")[0] if name.split(".")[0] in ("radio", "learner", "testbed") else None


def numbers_in(value: Any, depth: int = 0) -> Iterator[NDArray[np.float64]]:
    """Every array and tuple of numbers in a value, as real numbers, flat."""
    if depth > MAX_DEPTH or isinstance(value, (bool, int, str, bytes, type(None))):
        return
    if isinstance(value, float | complex | np.floating | np.complexfloating):
        value = np.array([value])
    if isinstance(value, list | tuple) and value and all(isinstance(v, float | tuple) for v in value):
        try:
            value = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
            return
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "c":
            yield np.stack((value.real, value.imag), axis=-1).astype(np.float64).reshape(-1)
        elif value.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                yield np.nan_to_num(value.astype(np.float64)).reshape(-1)
        return
    if isinstance(value, Mapping):
        parts: Any = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type) and value.__dataclass_params__.frozen:
        parts = (getattr(value, field.name, None) for field in dataclasses.fields(value))  # it may be half made
    elif isinstance(value, msgspec.Struct):
        parts = (getattr(value, name, None) for name in value.__struct_fields__)
    else:
        return
    for part in parts:
        yield from numbers_in(part, depth + 1)


class Tracer:
    """Keeps what passes between rooms: (who handed it on, which time, which of its numbers) → the numbers."""

    def __init__(self) -> None:
        self.passed: Passed = {}
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """The profiler's hook."""
        if event not in ("call", "return"):
            return
        here, caller = room_of(frame), room_of(frame.f_back)
        if here is None or caller is None or here == caller:
            return
        if event == "return":
            self.keep(name_of(frame), argument)
        elif frame.f_back is not None:
            code = frame.f_code
            self.keep(
                name_of(frame.f_back), [frame.f_locals.get(name) for name in code.co_varnames[: code.co_argcount]]
            )

    def keep(self, who: str, value: Any) -> None:
        """Note what somebody hands on."""
        found = [part for part in numbers_in(value) if 0 < part.size <= MAX_ELEMENTS]
        if found:
            with self._lock:
                self._times[who] += 1
                self.passed.update({(who, self._times[who], n): part for n, part in enumerate(found)})


def name_of(frame: FrameType) -> str:
    """Module and qualified name of a frame's function."""
    return f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}".replace(".<locals>", "")


def traced_round(out: Path, scale: float, overrides: Sequence[str] = ()) -> Passed:
    """Play one round whose scalars are so many times what they are, and return what passed between rooms."""
    tracer = Tracer()
    original = Replica.scalars

    def scaled(self: Replica, *arguments: Any, **named: Any) -> Any:
        scalars = original(self, *arguments, **named)
        made = dataclasses.replace(scalars, projected_gradients=scale * scalars.projected_gradients)
        tracer.keep(PROBE, made.projected_gradients)
        return made

    config = resolve(load(None, None, [*SETTINGS, *overrides]))
    Replica.scalars = scaled  # type: ignore[method-assign]
    threading.setprofile(tracer)
    sys.setprofile(tracer)
    try:
        run_in_one_process(config, out=out / f"{len(overrides)}-scale-{scale:g}")
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        Replica.scalars = original  # type: ignore[method-assign]
    return tracer.passed


def stops_of_a_scalar(out: Path, *overrides: str) -> list[str]:
    """Who hands the scalar on in a form that was not seen before, in the order of its way; the update ends it."""
    whole, again, half, quarter = (traced_round(out / str(n), scale, overrides) for n, scale in enumerate(SCALES))
    seen: set[bytes] = set()
    stops: list[str] = []
    for key, values in whole.items():
        if key not in again or not np.array_equal(values, again[key]):
            continue
        if not is_linear(values, half.get(key), quarter.get(key)):
            continue
        forms = {np.round(value, 12).tobytes() for value in [values, *np.atleast_2d(values)]}
        if not forms & seen and key[0] not in stops:
            stops.append(key[0])
            if key[0] != PROBE and key[0].startswith("learner."):
                break
        seen |= forms | {np.round(value, 12).reshape(1).tobytes() for value in values if values.size <= 64}
    return stops


def is_linear(
    whole: NDArray[np.float64], half: NDArray[np.float64] | None, quarter: NDArray[np.float64] | None
) -> bool:
    """Whether numbers changed twice as much with the first halving of the scalars as with the second."""
    if half is None or quarter is None or not whole.shape == half.shape == quarter.shape:
        return False
    with np.errstate(invalid="ignore", over="ignore"):  # infinities, and memory not yet written, are no scalars
        first, second = whole - half, half - quarter
        size, rest = float(np.linalg.norm(first)), float(np.linalg.norm(first - 2 * second))
    return 0 < size < np.inf and rest <= LINEAR_WITHIN * size
