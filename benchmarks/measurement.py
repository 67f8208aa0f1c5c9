"""What a measurement says against the simulated air's truth.

python -m benchmarks.measurement [--links 1000]

At 20 dB of SNR: gain, carrier, delays, delay spread, Rice's K and phase drift; how often 95 % intervals cover the
truth; channels in the form of Sionna written and read again; predicted against played NMSE of coherent sums and energy
detection on rigs whose impairments sounding can see; and NMSE on a rig against that on the replay of what was measured
of its blocks. Errors are the largest of all links unless it is said; the last line is JSON. Some two minutes.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from radio.air.air import Air
from radio.air.channel import Truth, draw_oscillators
from radio.air.config import AirConfig, TransmitterConfig
from radio.air.kernels import SEGMENT_SAMPLES, rotate
from radio.channels.files import load_channels
from radio.channels.sionna import encoded
from radio.link.simulated_rig import SimulatedRig
from radio.measurement.fading import phase_drift, rice_k_db
from radio.measurement.probe import Probe, strongest
from radio.measurement.profile import delay_profile, find_paths
from radio.measurement.sounding import Sounding, sound
from radio.schemes.alignment_rule import AlignmentRule
from testbed.bench.rig import capabilities
from testbed.config.files import load
from testbed.measurement.campaign import Asked
from testbed.measurement.measure import measure

RATE_HZ = 1e6
LONG_SAMPLES, SHORT_SAMPLES = 51_200, 4_096
NUM_ROUNDS, NUM_REPLAYED = 400, 150


def heard(
    config: AirConfig, probe: Probe, *, num_blocks: int, num_samples: int, seed: int, num_settling: int = 2
) -> list[tuple[Sounding, Truth]]:
    """One device in so many fading blocks, with what is true of each; captures begin some periods behind the start."""
    air = Air(config, num_devices=1, seed=seed, sample_rate_hz=RATE_HZ, tx_power=probe.power)
    found = []
    for block in range(num_blocks):
        air.begin_block(block, 1)
        truth = air.truth()
        air.transmit(0, probe.samples(), None)
        air.elapse(num_settling * probe.period_samples)
        found.append((sound(air.capture(1, num_samples), probe, RATE_HZ), truth))
        air.silence(0)
    return found


def true_gain_db(truth: Truth, probe: Probe) -> float:
    """Mean |H|² over the probe's band."""
    frequencies = probe.bins / probe.period_samples
    response = np.exp(-2j * np.pi * np.outer(frequencies, truth.tap_delays_samples)) @ truth.tap_gains[0]
    return 10 * math.log10(float(np.mean(np.abs(response) ** 2)))


def true_delays(found: Sequence[tuple[Sounding, Truth]]) -> tuple[float, float]:
    """Mean delay behind the device's own, and rms spread, of the mean power over blocks."""
    powers = np.mean([np.abs(truth.tap_gains[0]) ** 2 for _, truth in found], axis=0)
    at = found[0][1].tap_delays_samples
    mean = float(np.sum(powers * at) / powers.sum())
    return mean, math.sqrt(float(np.sum(powers * (at - mean) ** 2) / powers.sum()))


def links(num: int) -> dict[str, float]:
    """Gain and carrier of links of several kinds over 50 ms, and what share of intervals covers the truth."""
    probe = strongest(256, 0.25)
    kinds = (
        AirConfig(snr_db=20),
        AirConfig(snr_db=20, tdl="C", delay_spread_s=1e-6),
        AirConfig(snr_db=20, transmitter=TransmitterConfig(ppm_max=25.0)),
    )
    gains, carriers, inside = [], [], []
    for number in range(num):
        kind = kinds[number % len(kinds)]
        num_samples = LONG_SAMPLES if number < num // 5 else SHORT_SAMPLES
        ((found, truth),) = heard(kind, probe, num_blocks=1, num_samples=num_samples, seed=number)
        gain_error = abs(found.gain_db.value - true_gain_db(truth, probe))
        cfo_error = abs(found.cfo_hz.value - truth.cfo_hz[0])
        inside += [gain_error <= found.gain_db.half_width, cfo_error <= found.cfo_hz.half_width]
        if num_samples == LONG_SAMPLES:
            gains.append(gain_error)
            carriers.append(cfo_error)
    return {"gain_error_db": max(gains), "cfo_error_hz": max(carriers), "coverage": float(np.mean(inside))}


def delays(num: int) -> dict[str, float]:
    """Later paths behind the first one, where they are two samples apart; and rms spreads over 150 captures.

    A path counts as found if one is within a sample of it.
    """
    probe = strongest(1024, 0.25)
    config = AirConfig(snr_db=20, tdl="D", delay_spread_s=20e-6, cfo_max_hz=20)
    errors, num_paths = [], 0
    for seed in range(num):
        ((found, truth),) = heard(config, probe, num_blocks=1, num_samples=LONG_SAMPLES, seed=seed)
        paths = find_paths(found.response, found.response_variance, probe)
        taps = truth.tap_delays_samples
        powers_db = 20 * np.log10(np.abs(truth.tap_gains[0]))
        for n, delay in enumerate(taps):
            apart = np.abs(np.delete(taps, n) - delay).min()
            if powers_db[n] > powers_db.max() - 25 and apart >= 2 and paths:
                near = min(abs(path.delay_samples - paths[0].delay_samples - delay) for path in paths)
                num_paths += 1
                if near < 1:
                    errors.append(near)
    spreads = []
    narrow = strongest(256, 0.25)
    for tdl, spread_s in (("A", 3e-6), ("B", 1e-6), ("C", 1e-6), ("E", 2e-6)):
        found_all = heard(
            AirConfig(snr_db=20, tdl=tdl, delay_spread_s=spread_s),  # type: ignore[arg-type]
            narrow, num_blocks=150, num_samples=SHORT_SAMPLES, seed=1,
        )  # fmt: skip
        responses = np.array([each.response for each, _ in found_all])
        variances = np.array([each.response_variance for each, _ in found_all])
        profile = delay_profile(responses, variances, narrow, is_triggered=True)
        _, true = true_delays(found_all)
        spreads.append(abs(profile.rms_spread_samples.value / true - 1))
    return {
        "delay_error_samples": float(np.max(errors)),
        "paths_found_share": len(errors) / num_paths,
        "delay_spread_error": max(spreads),
    }


def rice() -> dict[str, float]:
    """K of 3 to 15 dB over 2,000 blocks."""
    probe, errors = strongest(256, 0.25), []
    for k_db in (3.0, 6.0, 10.0, 15.0):
        found = heard(
            AirConfig(snr_db=20, fading="rice", rice_k_db=k_db), probe, num_blocks=2000, num_samples=1024, seed=1
        )
        responses = np.array([each.response for each, _ in found])
        k = rice_k_db(responses, np.array([each.response_variance for each, _ in found]))
        assert k is not None
        errors.append(abs(k.value - k_db))
    return {"rice_k_error_db": max(errors)}


def phases() -> dict[str, float]:
    """Rms phase change within 1 and 10 ms of two oscillators, over 60 captures, against the air's own phases."""
    probe, errors, num = strongest(256, 0.25), [], 60
    for phase_noise_deg in (1.0, 10.0):
        config = AirConfig(snr_db=20, transmitter=TransmitterConfig(phase_noise_deg=phase_noise_deg))
        (oscillator,) = draw_oscillators(config, num_devices=1, seed=1)
        found = heard(config, probe, num_blocks=num, num_samples=LONG_SAMPLES, seed=1)
        period_s = probe.period_samples / RATE_HZ
        said = phase_drift(
            [each.track for each, _ in found],
            [each.track_variance / (2 * float(np.mean(np.abs(each.track) ** 2))) for each, _ in found],
            period_s,
        )
        tracks = []
        for block in range(num):
            first = block * (LONG_SAMPLES + 2 * probe.period_samples) + 2 * probe.period_samples
            turns = np.ones(LONG_SAMPLES, dtype=np.complex128)
            rotate(turns, first // SEGMENT_SAMPLES, 0.0, oscillator.key, oscillator.phase_noise_rad)
            tracks.append(turns.reshape(-1, probe.period_samples).mean(axis=1))
        true = phase_drift(tracks, [0.0] * num, period_s)
        for lag_s in (1e-3, 1e-2):
            pair = said.at(lag_s), true.at(lag_s)
            assert pair[0] is not None
            assert pair[1] is not None
            errors.append(abs(pair[0].value / pair[1].value - 1))
    return {"phase_drift_error": max(errors)}


def exports() -> dict[str, float]:
    """A campaign's channels in the form of Sionna, read again: the largest difference over the largest gain."""
    with tempfile.TemporaryDirectory() as folder:
        directory, _ = measure(
            load("loopback", None, []), Asked(num_captures=4, capture_s=0.01), out=Path(folder) / "m"
        )
        first = load_channels(f"sionna:{directory.channels}")
        (Path(folder) / "again.h5").write_bytes(encoded(first))
        again = load_channels(f"sionna:{Path(folder) / 'again.h5'}")
    with_delays = zip((first.gains, first.delays_s), (again.gains, again.delays_s), strict=True)
    return {"sionna_error": max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in with_delays)}


PREDICTED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("coherent", "awgn", ("num_devices=5", "air.path_loss_spread_db=3")),
    ("coherent", "awgn", ("num_devices=5", "air.cfo_max_hz=10", "radio.residual_cfo_max_hz=20")),
    ("energy", "awgn", ("num_devices=5",)),
)
"""Scheme, rig, and what is different on it."""


def predictions() -> dict[str, float]:
    """Pooled NMSE of the verdict against that of other rounds on the rig itself; and seconds a link of 20 captures."""
    errors, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, rig_name, changes) in enumerate(PREDICTED):
            config = load(rig_name, None, changes)
            started = time.perf_counter()
            _, found = measure(config, Asked(num_captures=100, capture_s=0.02), out=Path(folder) / str(number))
            seconds.append((time.perf_counter() - started) / config.rig.num_devices)
            assert found.verdict is not None
            (said,) = [each for each in found.verdict.predictions if each.scheme == name]
            assert said.nmse_db is not None, said
            errors.append(abs(said.nmse_db - played_nmse_db(config, name)))
            print(f"{name} on {rig_name}: predicted {said.nmse_db:.1f} dB, off by {errors[-1]:.2f} dB", flush=True)
    return {"predicted_nmse_error_db": max(errors), "sounding_s_per_link": float(np.mean(seconds))}


REPLAYED: tuple[tuple[str, ...], ...] = ((), ("air.tdl=C", "air.delay_spread_s=5e-7"))
"""What is different on the rig loopback, whose links fade."""


def replays() -> dict[str, float]:
    """Pooled NMSE of coherent sums with truncated inversion on a rig, and on what was recorded of its blocks."""
    errors = []
    rule = AlignmentRule(name="truncated")
    with tempfile.TemporaryDirectory() as folder:
        for number, changes in enumerate(REPLAYED):
            config = load("loopback", None, changes)
            directory, _ = measure(
                config, Asked(num_captures=NUM_REPLAYED, capture_s=0.02), out=Path(folder) / str(number)
            )
            true, again = (
                played_nmse_db(each, "coherent", rule=rule, first=0, num_rounds=NUM_REPLAYED)
                for each in (config, load(str(directory.replay), None, []))
            )
            errors.append(abs(again - true))
            print(f"coherent on {changes or 'loopback'}: {true:.1f} dB, replayed {again:.1f} dB", flush=True)
    return {"replay_nmse_error_db": max(errors)}


def played_nmse_db(
    config: Any, name: str, *, rule: AlignmentRule | None = None, first: int = 1000, num_rounds: int = NUM_ROUNDS
) -> float:
    """Of rounds with values and noise of their own."""
    rig = config.rig
    played = SimulatedRig(
        rig.air, name, num_devices=rig.num_devices, seed=config.experiment.seed, frame=rig.frame, tuning=rig.radio,
        capabilities=capabilities(rig), rule=rule,
    )  # fmt: skip
    draw = np.random.default_rng(7)
    errors = energies = 0.0
    for number in range(first, first + num_rounds):
        one = played.play(draw.uniform(-1, 1, (rig.num_devices, 1)), round_index=number)
        if one.reception.estimate.rejected is None:
            errors += float(np.sum((one.reception.estimate.values - one.reference) ** 2))
            energies += float(np.sum(one.reference**2))
    return 10 * math.log10(errors / energies)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--links", type=int, default=1000, help="links of which gains and carriers are compared")
    asked = parser.parse_args(arguments)
    found: dict[str, float] = {}
    for part in (lambda: links(asked.links), lambda: delays(20), rice, phases, exports, predictions, replays):
        some = part()
        found |= some
        print({name: round(value, 4) for name, value in some.items()}, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
