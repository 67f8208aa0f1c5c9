"""How well the over-the-air sum is estimated: NMSE against SNR, devices, schemes and airs, beside its bound.

    python -m benchmarks.aircomp_nmse [--rounds N] [--out DIR]

Prints one JSON object as its last line and writes aircomp_nmse.png. Values are N(0, (clip/3)²), clipped, independent;
NMSE is Σ|e|²/Σ|p̄|² over the rounds that were not rejected, against the devices that were active.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import msgspec
import numpy as np

from radio.air.config import AirConfig
from radio.config import FrameConfig, RadioConfig
from radio.errors import RadioError
from radio.link.simulated_rig import FREE_RUNNING, SimulatedRig
from radio.records import Csi
from radio.schemes.alignment_rule import AlignmentRule
from radio.schemes.registry import scheme_names

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SNRS_DB = (0.0, 10.0, 20.0, 30.0, 40.0)
NUMS_OF_DEVICES = (2, 5, 20)
PATH_LOSS_DB = 40.0  # so that 20 devices in phase do not saturate the receiver; the SNR is relative to it
AIRS = ("awgn", "shared_clock", "pluto_indoor")
TRUNCATED = AlignmentRule(name="truncated")
NO_PREFIX = FrameConfig(cyclic_prefix_samples=0)  # nothing is delayed on `awgn`, so the bound covers every sample
FREE_FRAME = FrameConfig(start_uncertainty_samples=10_000, sync_samples=256)
# 3 ms from the end of the last sounding to the payload's centre: wait, guard, synchronisation, 7 symbols and a half
THREE_MS_FRAME = FrameConfig(sounding_to_payload_samples=3000 - 64 - 64 - 7 * 288 - 144)


@dataclass
class Score:
    """Sums over rounds."""

    error: float = 0.0
    power: float = 0.0
    rejected: int = 0
    bound: float = 0.0
    standardised: list[float] = field(default_factory=list)

    @property
    def nmse_db(self) -> float:
        """Pooled."""
        return 10 * math.log10(self.error / self.power) if self.error > 0 else -math.inf

    @property
    def bound_db(self) -> float:
        """The matched filter's on all payload samples, from the gains that were used."""
        return 10 * math.log10(self.bound / self.power) if self.bound > 0 else math.nan


def pluto(snr_db: float, imbalance_db: float) -> tuple[AirConfig, RadioConfig]:
    """The free-running preset with a given power imbalance after control; 12 dB are left for peaks."""
    air = AirConfig.pluto_indoor(snr_db)
    transmitter = msgspec.structs.replace(air.transmitter, gain_error_db=imbalance_db)
    tuning = RadioConfig(max_power_dbfs=-12.0, residual_gain_max_db=imbalance_db)
    return msgspec.structs.replace(air, transmitter=transmitter), tuning


def make_rig(name: str, air_name: str, snr_db: float, num_devices: int, imbalance_db: float = 0.75) -> SimulatedRig:
    """A rig of one of the three airs. Raises RadioError where it lacks what the scheme needs."""
    if air_name == "pluto_indoor":
        air, tuning = pluto(snr_db, imbalance_db)
        return SimulatedRig(
            air,
            name,
            num_devices=num_devices,
            frame=FREE_FRAME,
            tuning=tuning,
            rule=TRUNCATED,
            capabilities=FREE_RUNNING,
        )
    if air_name == "awgn":
        return SimulatedRig(awgn(snr_db), name, num_devices=num_devices)
    air = AirConfig(snr_db=snr_db, path_loss_db=PATH_LOSS_DB)
    return SimulatedRig(air, name, num_devices=num_devices, rule=TRUNCATED, frame=THREE_MS_FRAME)


def awgn(snr_db: float) -> AirConfig:
    """The preset, with headroom."""
    return msgspec.structs.replace(AirConfig.awgn(snr_db), path_loss_db=PATH_LOSS_DB)


def play(
    rig: SimulatedRig, num_rounds: int, *, num_queries: int = 1, genie: dict[int, Csi] | None = None, warm_up: int = 0
) -> Score:
    """Many rounds with fresh values; the first ones may only teach the trackers."""
    score = Score()
    draws = np.random.default_rng(2)
    num_devices = len(rig.devices)
    for round_index in range(warm_up + num_rounds):
        values = np.clip(draws.normal(0, 1 / 3, (num_devices, num_queries)), -1, 1)
        played = rig.play(values, round_index=round_index, genie=genie)
        got, reference = played.reception.estimate, played.reference
        if round_index < warm_up:
            continue
        if got.rejected is not None:
            score.rejected += 1
            continue
        errors = got.values - reference
        score.error += float(np.sum(errors**2))
        score.power += float(np.sum(reference**2))
        if got.error_variance.min() > 0:
            score.standardised += (errors**2 / got.error_variance).tolist()
        if rig.scheme.name == "coherent":
            noise = rig.air.truth().noise_power / (2 * rig.frame.symbol_samples)
            score.bound += num_queries * noise / (len(played.plan.active) * played.plan.gain) ** 2
    return score


def awgn_gap_db(num_rounds: int) -> float:
    """Worst gap to the bound over SNR and K, channels told, prefix counted as payload."""
    gaps = []
    for num_devices in NUMS_OF_DEVICES:
        for snr_db in SNRS_DB:
            rig = SimulatedRig(awgn(snr_db), num_devices=num_devices, frame=NO_PREFIX)
            genie = {k: Csi(gain=complex(gain)) for k, gain in enumerate(rig.air.truth().gains)}
            score = play(rig, num_rounds, num_queries=256, genie=genie)
            gaps.append(score.nmse_db - score.bound_db)
    return max(gaps)


def curves(num_rounds: int) -> dict[str, dict[str, list[float | None]]]:
    """NMSE in dB by "air/K" and scheme over SNRS_DB; None where the rig lacks what the scheme needs."""
    table: dict[str, dict[str, list[float | None]]] = {}
    for air_name in AIRS:
        for num_devices in NUMS_OF_DEVICES:
            row: dict[str, list[float | None]] = {}
            for name in scheme_names():
                row[name] = []
                for snr_db in SNRS_DB:
                    try:
                        score = play(make_rig(name, air_name, snr_db, num_devices), num_rounds)
                    except RadioError:
                        row[name].append(None)
                        continue
                    finite = score.power > 0 and score.error > 0
                    row[name].append(round(score.nmse_db, 2) if finite else None)
                    if name == "coherent":
                        row.setdefault("matched-filter bound", []).append(round(score.bound_db, 2) if finite else None)
            table[f"{air_name}/{num_devices}"] = row
    return table


def plot(table: dict[str, dict[str, list[float | None]]], path: Path) -> None:
    """One panel for each air and K."""
    figure, panels = plt.subplots(len(AIRS), len(NUMS_OF_DEVICES), figsize=(12, 10), sharex=True, sharey="row")
    for panel, (title, row) in zip(panels.flat, table.items(), strict=True):
        for name, values in row.items():
            style = "k:" if name.endswith("bound") else "o-"
            if any(value is not None for value in values):
                panel.plot(SNRS_DB, [math.nan if v is None else v for v in values], style, label=name, markersize=3)
        panel.set_title(title + " devices")
        panel.grid(alpha=0.3)
    panels[0, 0].legend(fontsize=7)
    figure.supxlabel("SNR per complex sample (dB)")
    figure.supylabel("NMSE (dB)")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure, plot, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000, help="of the calibration; the others take a share")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    arguments = parser.parse_args()
    rounds = arguments.rounds
    arguments.out.mkdir(parents=True, exist_ok=True)
    calibration = play(SimulatedRig(AirConfig()), rounds)
    told = play(make_rig("coherent", "awgn", 20.0, 5), rounds // 5)
    shared = play(make_rig("coherent", "shared_clock", 30.0, 5), rounds // 5)
    energy = play(make_rig("energy", "pluto_indoor", 20.0, 5, 0.75), rounds // 5)
    calibrated = play(make_rig("energy", "pluto_indoor", 20.0, 5, 0.125), rounds // 5)
    table = curves(max(rounds // 200, 10))
    plot(table, arguments.out / "aircomp_nmse.png")
    result = {
        "coherent_awgn_gap_db": round(awgn_gap_db(max(rounds // 100, 10)), 3),
        "estimated_csi_loss_db": round(told.nmse_db - told.bound_db, 2),
        "prefix_loss_db": round(10 * math.log10(288 / 256), 2),
        "energy_pluto_indoor_nmse_db": round(energy.nmse_db, 2),
        "energy_calibrated_nmse_db": round(calibrated.nmse_db, 2),
        "coherent_shared_clock_nmse_db": round(shared.nmse_db, 2),
        "calibration_variance": round(float(np.mean(calibration.standardised)), 4),
        "calibration_rounds": len(calibration.standardised),
        "calibration_rejected": calibration.rejected,
        "energy_calibration_variance": round(float(np.mean(energy.standardised)), 4),
        "energy_rejected": energy.rejected,
        "snrs_db": SNRS_DB,
        "nmse_db": table,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
