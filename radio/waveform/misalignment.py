"""How well devices are aligned, from the orthogonal pilots around a superposed payload.

Device k sends code k + t of L = K + 1 in round t, with the precoding of its payload, so what arrives of its pilots is
g_k, as a multiple of c, plus noise. One code is nobody's: who sends in the wrong round shows up there, or on another's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from radio.arrays import Complexes, Indices, Reals

JUDGED_BELOW_STD = 0.1  # of g_k; noisier pilots reject nobody
PRESENT_ABOVE = 0.5
LARGEST_ROTATION_RAD = 1.0
MAX_CODES = 4096


@lru_cache
def pilot_codes(num_codes: int) -> Complexes:
    """Rows of the DFT matrix, shape [L, L], read-only: orthogonal and of constant amplitude."""
    index = np.arange(num_codes)
    codes = np.exp(2j * np.pi * (np.outer(index, index) % num_codes) / num_codes)
    codes.flags.writeable = False
    return codes


def code_of(device: int, round_index: int, num_codes: int) -> int:
    """Which code a device sends in a round."""
    return (device + round_index) % num_codes


def measure_arrivals(symbols: Complexes, round_index: int, *, amplitude: float) -> Complexes:
    """g_k of every code's owner [L] from the L pilot symbols, sent at `amplitude` c·bound; the last is nobody's.

    Of a symbol's Var(Re z) = N0', an estimate keeps N0'/(L·amplitude²).
    """
    num_codes = symbols.size
    owners = (np.arange(num_codes) + round_index) % num_codes
    return (pilot_codes(num_codes).conj() @ symbols / (num_codes * amplitude))[owners]


@dataclass(frozen=True, slots=True, kw_only=True)
class Misalignment:
    """What the pilots of one payload say."""

    rotation_rad: float
    """Common to all devices, to be turned back."""
    power: float
    """Σ_k E(g_k − 1)² of what is left."""
    problem: str | None
    """Who was missing, out of turn or turned too far."""


def judge(
    before: Complexes,
    after: Complexes,
    active: Indices,
    *,
    expected: Reals,
    radial_variance: Reals,
    phase_variance: Reals,
    pilot_variance: float,
) -> Misalignment:
    """Combine what is known beforehand of each active device's g_k with what its pilots show.

    `before` and `after` are g of all codes [L]; `expected` [K'] is what the plan gives the active devices,
    `radial_variance` and `phase_variance` [K'] are relative to it; `pilot_variance` is that of Re(g) on either side.
    The posterior of magnitude and phase is Gaussian; (g − 1)² follows with the phase to second order.
    """
    measured = ((before + after) / 2)[active] / expected
    noise = pilot_variance / (2 * expected**2)  # [K'], of Re and of Im
    weight_radial = radial_variance / (radial_variance + noise + np.finfo(float).tiny)
    weight_phase = phase_variance / (phase_variance + noise + np.finfo(float).tiny)
    magnitude = np.abs(measured) - noise / 2  # without what noise across adds
    radial, radial_left = weight_radial * (magnitude - 1), weight_radial * noise
    phase, phase_left = weight_phase * np.angle(measured), weight_phase * noise
    rotation = float(phase.mean()) if phase.size else 0.0
    turned = phase - rotation
    error = expected * (1 + radial - (turned**2 + phase_left) / 2) - 1
    spread = expected**2 * (radial_left + turned**2 * phase_left + phase_left**2 / 2)
    return Misalignment(
        rotation_rad=rotation,
        power=float(np.sum(error**2 + spread)),
        problem=_problem(before, after, active, expected, np.sqrt(pilot_variance)),
    )


def stray_text(device: int, num_codes: int) -> str:
    """Why a pilot that the plan does not name makes the payload useless; the last code is nobody's."""
    who = "a device of another round" if device == num_codes - 1 else f"device {device}, which has no part in it,"
    return f"{who} transmits into this payload"


def _problem(before: Complexes, after: Complexes, active: Indices, expected: Reals, std: float) -> str | None:
    if not std < JUDGED_BELOW_STD * (expected.min() if expected.size else 1.0):
        return None
    present = np.minimum(np.abs(before), np.abs(after))
    for device, share in zip(active.tolist(), expected.tolist(), strict=True):
        if present[device] < PRESENT_ABOVE * share:
            return f"device {device}: its pilots are missing from the payload; it was late, silent or in another round"
        turn = max(abs(np.angle(before[device])), abs(np.angle(after[device])))
        if turn > LARGEST_ROTATION_RAD:
            return f"device {device}: turned by {np.rad2deg(turn):.0f}°; sound more often, or correct its clock"
    present[active] = 0
    for device in np.flatnonzero(present > PRESENT_ABOVE).tolist():
        return stray_text(device, before.size)
    return None
