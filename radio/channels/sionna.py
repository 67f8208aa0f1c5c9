"""Channels as Sionna's link-level simulators have them: path coefficients ``a`` and delays ``tau``, HDF5 or NumPy.

``a`` complex [batch, num_rx, num_rx_ant, num_tx, num_tx_ant, num_paths, num_time_steps], ``tau`` in seconds [batch,
num_rx, num_tx, num_paths] (behind the antennas, too, where these are in it); without the batch it is one block. A
batch is a block, a time step a step. Attributes of the HDF5 file, or scalars beside the arrays, all optional:
``sampling_frequency_hz`` of the time steps, ``sample_rate_hz`` at which taps were measured, ``center_freq_hz``.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from radio.channels.recorded import MAX_NUMBERS, RecordedChannels, complete
from radio.channels.source import Source
from radio.errors import RadioConfigError

_SCALARS = ("sampling_frequency_hz", "sample_rate_hz", "center_freq_hz")
_REMEDY = "write a and tau as HDF5 or .npz"
_MAX_BYTES = 16 * MAX_NUMBERS


def load(source: Source) -> RecordedChannels:
    """The uplinks to one receiver, or where there is one transmitter only, the links from it, taken backwards.

    ``access_point`` chooses one of several receivers, ``devices`` the others' numbers, in the file's order,
    ``rx_antenna`` and ``tx_antenna`` an antenna where there are more. Raises RadioConfigError.
    """
    arrays, scalars = _read(source)
    gains, delays = np.asarray(arrays["a"]), np.asarray(arrays["tau"])
    if not np.iscomplexobj(gains) or gains.dtype == object or delays.dtype.kind != "f":
        raise source.refused(f"a is {gains.dtype}, tau {delays.dtype}", "complex and real numbers", _REMEDY)
    if (gains.ndim, delays.ndim) not in ((7, 4), (7, 6), (6, 3), (6, 5)):
        raise source.refused(
            f"a has {gains.ndim} axes and tau {delays.ndim}", "7 and 4, or 6 and 3 without a batch", _REMEDY
        )
    if gains.ndim == 6:
        gains, delays = gains[None], delays[None]
    rx, tx = (_antenna(source, name, gains.shape[axis]) for name, axis in (("rx_antenna", 2), ("tx_antenna", 4)))
    gains = gains[:, :, rx, :, tx]  # [batch, rx, tx, paths, steps]
    if delays.ndim == 6:
        delays = delays[:, :, min(rx, delays.shape[2] - 1), :, min(tx, delays.shape[4] - 1)]
    if delays.shape != gains.shape[:4]:
        raise source.refused(
            f"tau has shape {delays.shape}", f"{gains.shape[:4]} beside a, an entry for each path", _REMEDY
        )
    links, behind = _uplinks(source, gains, delays)
    if (devices := source.devices) is not None:
        if max(devices) >= links.shape[1]:
            raise source.refused(
                f"devices: got {max(devices)}", f"0 to {links.shape[1] - 1}", "nodes are counted from 0"
            )
        links, behind = links[:, list(devices)], behind[:, list(devices)]
    frequency = scalars["sampling_frequency_hz"]
    return complete(
        links.transpose(0, 3, 1, 2),
        behind,
        name=source.path,
        step_s=source.number("step_s") or (1 / frequency if frequency else None),
        sample_rate_hz=scalars["sample_rate_hz"],
        center_freq_hz=scalars["center_freq_hz"],
    )


def _uplinks(
    source: Source, gains: np.ndarray[Any, Any], delays: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """[batch, links, paths, steps] and [batch, links, paths]."""
    num_rx, num_tx = gains.shape[1:3]
    access_point = source.whole("access_point")
    if access_point is None and num_rx > 1 and num_tx == 1:
        return gains[:, :, 0], delays[:, :, 0]
    if access_point is None and num_rx > 1:
        raise source.refused(
            f"has {num_rx} receivers and {num_tx} transmitters", "one of either, or a choice", "add ?access_point=0"
        )
    chosen = access_point or 0
    if chosen >= num_rx:
        raise source.refused(f"access_point: got {chosen}", f"0 to {num_rx - 1}", "receivers are counted from 0")
    return gains[:, chosen], delays[:, chosen]


def _antenna(source: Source, name: str, num: int) -> int:
    chosen = source.whole(name)
    if chosen is None and num > 1:
        raise source.refused(f"has {num} antennas", "one, or a choice", f"add ?{name}=0")
    if (chosen or 0) >= num:
        raise source.refused(f"{name}: got {chosen}", f"0 to {num - 1}", "antennas are counted from 0")
    return chosen or 0


def _read(source: Source) -> tuple[Mapping[str, np.ndarray[Any, Any]], dict[str, float | None]]:
    path = Path(source.path).expanduser()
    try:
        with path.open("rb") as raw:
            head = raw.read(4)
        if head == b"PK\x03\x04":
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as archive:
                sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.zip.infolist()}
                _check_size(source, max((sizes.get(name, 0) for name in ("a", "tau", *_SCALARS)), default=0))
                values = {name: np.asarray(archive[name]) for name in ("a", "tau", *_SCALARS) if name in archive}
        else:
            with h5py.File(path, "r") as file:
                found = {name: file[name] for name in ("a", "tau") if isinstance(file.get(name), h5py.Dataset)}
                _check_size(source, max((data.nbytes for data in found.values()), default=0))
                values = {name: np.asarray(data) for name, data in found.items()}
                values |= {name: np.asarray(file.attrs[name]) for name in _SCALARS if name in file.attrs}
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, TypeError, zipfile.BadZipFile) as err:
        raise RadioConfigError(f"air.channel: {source.path!r}: cannot be read ({err}); {_REMEDY}") from err
    for name in ("a", "tau"):
        if name not in values:
            raise source.refused(f"has no {name}", "both a and tau", _REMEDY)
    scalars = {name: _scalar(source, name, values[name]) if name in values else None for name in _SCALARS}
    return values, scalars


def _check_size(source: Source, num_bytes: int) -> None:
    """A small file may hold much that is packed."""
    if num_bytes > _MAX_BYTES:
        raise source.refused(f"an array has {num_bytes} bytes", f"{_MAX_BYTES}", "record fewer blocks or steps")


def _scalar(source: Source, name: str, value: np.ndarray[Any, Any]) -> float:
    if value.shape != () or value.dtype.kind not in "fiu" or not 0 < float(value) < math.inf:
        raise source.refused(f"{name} is {value!r}", "a number above 0", "leave it out where it is not known")
    return float(value)


def encoded(channels: RecordedChannels) -> bytes:
    """An HDF5 file of them, with one receiver, a transmitter for each device, and double precision."""
    gains = channels.gains.transpose(0, 2, 3, 1)[:, None, None, :, None]  # [batch, 1, 1, tx, 1, paths, steps]
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("a", data=gains, compression="gzip", shuffle=True)
        file.create_dataset("tau", data=channels.delays_s[:, None], compression="gzip", shuffle=True)
        known = {
            "sampling_frequency_hz": 1 / channels.step_s if channels.step_s else None,
            "sample_rate_hz": channels.sample_rate_hz,
            "center_freq_hz": channels.center_freq_hz,
        }
        for name, value in known.items():
            if value is not None:
                file.attrs[name] = value
    return buffer.getvalue()
