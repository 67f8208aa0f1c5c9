"""The cells of `benchmarks.privacy_channels`: factors, their levels, a covering design, and each cell's configuration.

Pure. A design covers every pair (or triple) of levels that can occur together; `fits` says which cannot mean anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np

Cell = Mapping[str, str]
"""Factor → level."""
Tuple = tuple[tuple[str, str], ...]
"""Some factors with a level each, in the order of FACTORS."""

FACTORS: dict[str, tuple[str, ...]] = {
    "snr": ("-5 dB", "5 dB", "32 dB", "47 dB"),
    "fading": ("rayleigh blocks", "rician-5 blocks", "doppler 2 Hz", "doppler 20 Hz"),
    "csi": ("genie", "short pilots", "long pilots", "reciprocity"),
    "drift": ("0 dB", "0.75 dB"),
    "receiver": ("own", "+10 dB", "+20 dB", "two antennas", "jammer in band", "jammer out of band"),
    "retries": ("0", "0.25", "0.5"),
    "schedule": ("static", "reversed", "solution", "online", "paper"),
    "claim": ("coherent, receiver", "sign, receiver", "coherent, devices"),
}
"""``snr``: symbol SNR P·E|h|²/N0' of a device, 32 and 47 dB being 5 and 20 dB per sample; SNR*, above which the budget
binds, is about −7 dB in 40 rounds. ``claim``: scheme, and whose noise counts."""

BEYOND: dict[str, tuple[str, ...]] = {
    "0.75 dB, none declared": ("air.transmitter.gain_error_db=0.75",),
    "0.75 dB, 0.25 dB declared": ("air.transmitter.gain_error_db=0.75", "radio.residual_gain_max_db=0.25"),
}
"""Drift that is more than the rig declares, beside otherwise plain cells: to be refused, or charged all the same."""

EPSILON, DELTA = 8.0, 1e-2
PATH_LOSS_DB = 60.0  # so that the noise of the lowest SNR stays far below full scale
SAMPLES_PER_SYMBOL = 256
ADVANTAGES_DB = {"+10 dB": 10.0, "+20 dB": 20.0}
MAX_ATTEMPTS = 3

_RANK = {name: position for position, name in enumerate(FACTORS)}
_TRIES = 24


def fits(levels: Cell) -> bool:
    """Whether these levels, of some or of all factors, mean something together.

    A genie exists on the symbol level only, where transmitters have no hardware and no band. Without one a device in a
    deep fade is not heard at a low SNR, nor beside a strong jammer at a middling one, and no round would come about.
    The paper's schedule rations the receiver's noise.
    """
    snr, csi, receiver = levels.get("snr"), levels.get("csi"), levels.get("receiver")
    sampled = csi not in (None, "genie") or levels.get("drift") == "0.75 dB" or receiver == "jammer out of band"
    if sampled and (csi == "genie" or snr in ("-5 dB", "5 dB")):
        return False
    if receiver == "jammer out of band" and snr == "32 dB":
        return False
    return not (levels.get("schedule") == "paper" and levels.get("claim") == "coherent, devices")


def targets(strength: int) -> set[Tuple]:
    """All combinations of levels of so many factors that fit."""
    found: set[Tuple] = set()
    for names in combinations(FACTORS, strength):
        for levels in product(*(FACTORS[name] for name in names)):
            chosen = tuple(zip(names, levels, strict=True))
            if fits(dict(chosen)) and _completed(dict(chosen)) is not None:
                found.add(chosen)
    return found


def design(strength: int, seed: int) -> list[dict[str, str]]:
    """Cells that hold every target, greedily: of some random cells around an open target the one that covers most."""
    generator = np.random.default_rng(seed)
    open_targets = sorted(targets(strength))
    left = set(open_targets)
    cells: list[dict[str, str]] = []
    while left:
        start = next(target for target in open_targets if target in left)
        tried = [cell for _ in range(_TRIES) if (cell := _completed(dict(start), generator)) is not None]
        best = max(tried, key=lambda cell: len(left & covered(cell, strength)))
        cells.append(best)
        left -= covered(best, strength)
    return cells


def covered(cell: Cell, strength: int) -> set[Tuple]:
    """The targets that a cell holds."""
    return set(combinations(((name, cell[name]) for name in FACTORS), strength))


def _completed(levels: dict[str, str], generator: np.random.Generator | None = None) -> dict[str, str] | None:
    """All other factors with levels that fit, in random order where there is a generator; None where none fit."""
    if len(levels) == len(FACTORS):
        return {name: levels[name] for name in FACTORS}
    missing = [name for name in FACTORS if name not in levels]
    name = missing[int(generator.integers(len(missing)))] if generator is not None else missing[0]
    choices: Sequence[str] = FACTORS[name]
    if generator is not None:
        choices = [choices[each] for each in generator.permutation(len(choices))]
    for level in choices:
        more = {**levels, name: level}
        if fits(more) and (whole := _completed(more, generator)) is not None:
            return whole
    return None


def overrides(cell: Cell, *, num_rounds: int, seed: int) -> list[str]:
    """A cell as settings of the quickstart on the loopback rig, with everything declared that its claim needs."""
    genie = cell["csi"] == "genie"
    symbol_snr_db = float(cell["snr"].removesuffix(" dB"))
    snr_db = symbol_snr_db - 10 * math.log10(2 * (1 if genie else SAMPLES_PER_SYMBOL))
    scheme, noise = cell["claim"].split(", ")
    return [
        f"seed={seed}",
        f"rounds.num={num_rounds}",
        f"rounds.max_attempts={MAX_ATTEMPTS}",
        f"rounds.max_skipped_in_a_row={num_rounds + 1}",
        f"rounds.eval_every={num_rounds}",
        "task.num_test=8",
        "results.max_capture_mib=0",
        "ground_truth=false",
        "learner.clip=1.0",
        f"privacy.dp_epsilon={EPSILON}",
        f"privacy.dp_delta={DELTA}",
        f"air.path_loss_db={PATH_LOSS_DB}",
        f"air.snr_db={snr_db}",
        f"scheme.name={scheme}",
        f"schedule.name={cell['schedule']}",
        f"privacy.receiver_noise={'trusted' if noise == 'receiver' else 'untrusted'}",
        *_FADINGS[cell["fading"]],
        *_CSI[cell["csi"]],
        *_DRIFTS[cell["drift"]],
        *_RECEIVERS.get(cell["receiver"], ()),
    ]


_FADINGS = {
    "rayleigh blocks": ("air.fading=rayleigh",),
    "rician-5 blocks": ("air.fading=rice", f"air.rice_k_db={10 * math.log10(5):.6f}"),
    "doppler 2 Hz": ("air.fading=rayleigh", "air.doppler_hz=2"),
    "doppler 20 Hz": ("air.fading=rayleigh", "air.doppler_hz=20"),
}
_CSI = {
    "genie": ("air.level=symbol", "air.csi=genie"),
    "short pilots": (),
    "long pilots": ("frame.pilot_spacing_symbols=8", "frame.sounding_to_payload_samples=4000"),
    "reciprocity": ("scheme.csi=reciprocity", "radio.residual_cfo_max_hz=0", "air.cfo_max_hz=0"),
}
_DRIFTS = {
    "0 dB": (),
    "0.75 dB": ("air.transmitter.gain_error_db=0.75", "radio.residual_gain_max_db=0.75"),
}
_RECEIVERS = {
    "+10 dB": ("privacy.eavesdropper_advantage_db=10",),
    "+20 dB": ("privacy.eavesdropper_advantage_db=20",),
    "two antennas": ("privacy.num_antennas=2",),
}
