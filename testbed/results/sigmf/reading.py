"""Reads a recording of this toolkit, and refuses whatever is none with the reason in one line."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np

from radio.errors import RadioError
from radio.link.reception import Captured
from radio.measurement.probe import Probe
from radio.records import Plan
from radio.samples import IQ
from radio.waveform.base import Known
from testbed.errors import RunDirectoryError
from testbed.results import files
from testbed.results.sigmf.meta import (
    PAYLOAD_DATATYPE,
    PROBE_DATATYPE,
    Count,
    PayloadKeys,
    PayloadSegmentKeys,
    ProbeKeys,
    gains_of,
    soundings_of,
)

MIN_RATE_HZ, MAX_RATE_HZ = 1e3, 61.44e6
_BYTES = {PROBE_DATATYPE: 4, PAYLOAD_DATATYPE: 8}
_REMEDY = "restore it from a copy, or leave it out"
_MADE = "recordings of `testbed run` and `testbed measure`"
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProbeRecording:
    """A capture of a repeated probe."""

    path: Path
    keys: ProbeKeys
    probe: Probe
    samples: IQ
    """Shape [N]; full scale is 1."""
    sample_rate_hz: float
    center_freq_hz: float | None
    datetime: str | None
    global_index: int | None
    """Of the first sample, on the clock that times the campaign."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PayloadRecording:
    """The received payload of a round, with what its receiver knew."""

    path: Path
    keys: PayloadKeys
    plan: Plan
    captured: tuple[Captured, ...]
    """One, or one a slot."""
    sample_rate_hz: float


class _Core(msgspec.Struct, frozen=True, kw_only=True, rename=lambda name: f"core:{name}"):
    datatype: str
    version: str
    sample_rate: float
    sha512: Annotated[str, msgspec.Meta(pattern="^[0-9a-fA-F]{128}$")]
    num_channels: int = 1
    offset: int = 0
    trailing_bytes: int = 0
    dataset: str | None = None
    metadata_only: bool = False


class _Segment(msgspec.Struct, frozen=True, kw_only=True, rename=lambda name: f"core:{name}"):
    sample_start: Count
    frequency: float | None = None
    datetime: str | None = None
    global_index: Count | None = None
    header_bytes: int = 0


def load_recording(path: Path) -> ProbeRecording | PayloadRecording:
    """A recording, by its .sigmf-meta or its .sigmf-data. Raises RunDirectoryError for anything else."""
    meta_path, data_path = path.with_suffix(".sigmf-meta"), path.with_suffix(".sigmf-data")
    whole = _decoded(meta_path)
    core = _converted(meta_path, whole["global"], _Core, "global")
    segments = _converted(meta_path, whole["captures"], tuple[_Segment, ...], "captures")
    _check_core(meta_path, core)
    samples = _samples(data_path, core, whole["global"])
    if not segments or segments[0].sample_start != 0 or any(each.header_bytes for each in segments):
        raise _refusal(meta_path, "captures", "none that begins with the file", "the first at 0, no header bytes")
    if core.datatype == PROBE_DATATYPE:
        return _probe(data_path, meta_path, whole, core, segments, samples)
    return _payload(data_path, meta_path, whole, core, segments, samples)


def _decoded(path: Path) -> dict[str, Any]:
    text = files.read(path, remedy=f"a recording is a pair of .sigmf-data and .sigmf-meta: {_REMEDY}")
    try:
        whole = msgspec.json.decode(text)
    except RecursionError:
        raise _refusal(path, "JSON", "one that is nested too deeply", "SigMF") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise _refusal(path, "JSON", str(err), "SigMF") from err
    if not isinstance(whole, dict):
        raise _refusal(path, "JSON", type(whole).__name__, "an object")
    for key, kind, name in (("global", dict, "object"), ("captures", list, "array")):
        if not isinstance(whole.get(key), kind):
            raise _refusal(path, key, "nothing" if key not in whole else "something else", f"an {name}")
    return whole


def _converted(path: Path, value: object, kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as err:
        raise _refusal(path, where, str(err), _MADE) from err


def _check_core(path: Path, core: _Core) -> None:
    if core.datatype not in _BYTES:
        raise _refusal(path, "core:datatype", repr(core.datatype), " or ".join(_BYTES))
    if not MIN_RATE_HZ <= core.sample_rate <= MAX_RATE_HZ:
        raise _refusal(path, "core:sample_rate", f"{core.sample_rate:g}", f"{MIN_RATE_HZ:g} to {MAX_RATE_HZ:g}")
    if (core.num_channels, core.offset, core.trailing_bytes, core.dataset, core.metadata_only) != (
        1,
        0,
        0,
        None,
        False,
    ):
        raise _refusal(path, "global", "several channels, an offset or data elsewhere", "one channel of a whole file")


def _samples(path: Path, core: _Core, keys: dict[str, Any]) -> IQ:
    """As complex64, not yet scaled."""
    data = files.read(path, remedy=f"a recording is a pair of .sigmf-data and .sigmf-meta: {_REMEDY}")
    size = _BYTES[core.datatype]
    if len(data) % size or not data:
        raise _refusal(path, "size", f"{len(data)} bytes", f"a whole number of samples of {size} bytes, at least 1")
    promised = keys.get("airzero:num_samples")
    if isinstance(promised, int) and len(data) // size != promised:
        raise _refusal(path, "size", f"{len(data) // size} samples", f"{promised}, as its .sigmf-meta says")
    if hashlib.sha512(data).hexdigest() != core.sha512.lower():
        raise _refusal(path, "checksum", "another than core:sha512", "the samples that were recorded")
    if core.datatype == PROBE_DATATYPE:
        return np.frombuffer(data, dtype="<i2").astype(np.float32).view(np.complex64)
    found: IQ = np.frombuffer(data, dtype="<c8").astype(np.complex64)
    if not np.isfinite(found.view(np.float32)).all():
        raise _refusal(path, "samples", "NaN or infinite ones", "finite ones")
    return found


def _probe(
    data_path: Path, path: Path, whole: dict[str, Any], core: _Core, segments: tuple[_Segment, ...], samples: IQ
) -> ProbeRecording:
    keys = _converted(path, whole["global"], ProbeKeys, "global")
    if not abs(keys.coarse_cfo_hz) <= core.sample_rate:
        raise _refusal(path, "airzero:coarse_cfo_hz", f"{keys.coarse_cfo_hz:g}", "at most the sample rate")
    try:
        probe = Probe(keys.probe_period_samples, 10 ** (keys.probe_power_dbfs / 10))
    except OverflowError:
        raise _refusal(path, "airzero:probe_power_dbfs", f"{keys.probe_power_dbfs:g}", "0 at most") from None
    except RadioError as err:
        raise RunDirectoryError(f"{path}: {err}; or {_REMEDY}") from err
    first = segments[0]
    return ProbeRecording(
        path=data_path,
        keys=keys,
        probe=probe,
        samples=samples / np.float32(keys.full_scale),
        sample_rate_hz=core.sample_rate,
        center_freq_hz=first.frequency,
        datetime=first.datetime,
        global_index=first.global_index,
    )


def _payload(
    data_path: Path, path: Path, whole: dict[str, Any], core: _Core, segments: tuple[_Segment, ...], samples: IQ
) -> PayloadRecording:
    keys = _converted(path, whole["global"], PayloadKeys, "global")
    own = _converted(path, whole["captures"], tuple[PayloadSegmentKeys, ...], "captures")
    try:
        plan = keys.plan.plan()
    except RadioError as err:
        raise RunDirectoryError(f"{path}: airzero:{err}; {_REMEDY}") from err
    devices = tuple(channel.device for channel in keys.channels)
    if devices != plan.active:
        raise _refusal(path, "airzero:channels", f"devices {list(devices)}", f"those of the plan, {list(plan.active)}")
    ends = [*(each.sample_start for each in segments[1:]), samples.size]
    if any(end <= each.sample_start for each, end in zip(segments, ends, strict=True)) or ends[-1] > samples.size:
        raise _refusal(
            path, "core:sample_start", f"{[each.sample_start for each in segments]}", "ascending, in the file"
        )
    soundings, gains = soundings_of(keys.channels), gains_of(keys.channels)
    captured = []
    for segment, said, end in zip(segments, own, ends, strict=True):
        if segment.global_index is None:
            raise _refusal(path, "captures", "a segment without core:global_index", "all with it")
        captured.append(
            Captured(
                samples=samples[segment.sample_start : end],
                known=Known(
                    soundings=soundings,
                    gains=gains,
                    noise_power=said.noise_power,
                    first_sample=segment.global_index,
                    saturated=keys.sounding_saturated,
                    value_power=said.value_power,
                ),
                device=said.device,
            )
        )
    if not math.isfinite(sum(abs(gain) for gain in gains.tolist())):
        raise _refusal(path, "airzero:channels", "gains too large to add up", "those of channels")
    return PayloadRecording(
        path=data_path, keys=keys, plan=plan, captured=tuple(captured), sample_rate_hz=core.sample_rate
    )


def _refusal(path: Path, what: str, got: str, allowed: str) -> RunDirectoryError:
    return RunDirectoryError(f"{path}: {what}: got {got}; allowed: {allowed}; {_REMEDY}")
