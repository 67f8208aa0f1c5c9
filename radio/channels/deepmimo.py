"""Channels of a DeepMIMO scenario's folder (version 4): ``power``, ``phase`` and ``delay`` of each user's paths.

Files KEY_tTTT_txXXX_rRRR.mat, KEY being ``power`` in dB (received at 0 dB sent), ``phase`` in degrees or ``delay`` in
seconds, each with one array [users, paths] that ends in NaN where a user has fewer paths.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from radio.channels.matlab import arrays_of
from radio.channels.recorded import RecordedChannels, complete
from radio.channels.source import Source
from radio.errors import RadioConfigError

_KEYS = ("power", "phase", "delay")
_NAME = re.compile(r"power_(t\d{3}_tx\d{3})_(r\d{3})\.mat")


def load(source: Source) -> RecordedChannels:
    """One block: base station ``access_point`` (as t001_tx000), users ``devices`` of the grid ``receivers`` (as r002).

    Rays are taken backwards, from the users to the station. Raises RadioConfigError.
    """
    folder = Path(source.path).expanduser()
    try:
        found = sorted(match.groups() for entry in folder.iterdir() if (match := _NAME.fullmatch(entry.name)))
    except OSError as err:
        raise RadioConfigError(
            f"air.channel: cannot read {source.path!r}: {err.strerror}; name a scenario's folder"
        ) from err
    station = _chosen(source, "access_point", sorted({pair[0] for pair in found}))
    grid = _chosen(source, "receivers", sorted({pair[1] for pair in found if pair[0] == station}))
    if (devices := source.devices) is None:
        raise source.refused("names no devices", "some of the scenario's users", "add devices=10,20,30")
    parts = {}
    for key in _KEYS:
        path = folder / f"{key}_{station}_{grid}.mat"
        arrays = list(arrays_of(source, path).values())
        if len(arrays) != 1 or arrays[0].ndim != 2 or arrays[0].dtype.kind not in "fiu":
            raise source.refused(f"{path.name} has {len(arrays)} variables", "one, of [users, paths]", "load it again")
        parts[key] = _of_users(source, arrays[0], devices)
    if len({part.shape for part in parts.values()}) != 1:
        raise source.refused("power, phase and delay differ in shape", "one shape", "load the scenario again")
    there = np.isfinite(parts["power"])
    power_db, phase_deg, delays_s = (np.where(there, parts[key], 0.0) for key in _KEYS)
    gains = np.where(there, 10 ** (power_db / 20) * np.exp(1j * np.deg2rad(phase_deg)), 0)
    return complete(gains[None, None].astype(np.complex128), delays_s[None], name=source.path)


def _chosen(source: Source, name: str, there: list[str]) -> str:
    asked = source.options.get(name)
    if asked is None and len(there) == 1:
        return there[0]
    if asked not in there:
        shown = ", ".join(there[:8]) or "none; expected power_t001_tx000_r000.mat and its like"
        raise source.refused(f"{name}: got {asked or 'no choice'}", shown, f"add {name}={there[0] if there else '…'}")
    return asked


def _of_users(source: Source, table: np.ndarray[Any, Any], devices: tuple[int, ...]) -> np.ndarray[Any, Any]:
    if max(devices) >= len(table):
        raise source.refused(f"devices: got {max(devices)}", f"0 to {len(table) - 1}", "users are counted from 0")
    return table[list(devices)].astype(np.float64)
