"""What measured links are good for: an air with their statistics, what schemes reach on it, and what limits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from radio.air.config import AirConfig, TransmitterConfig
from radio.errors import RadioError
from radio.link.simulated_rig import SimulatedRig
from radio.randomness import generator
from radio.schemes.registry import check_support, scheme, scheme_names
from testbed.bench.rig import capabilities, resolve
from testbed.config.backends import backend_of, settings_of
from testbed.config.schema import Experiment, Rig, RunConfig
from testbed.errors import ConfigError
from testbed.measurement.records import Link, Prediction, Quiet, Verdict
from testbed.planning.preview import plan_of

NUM_ROUNDS = 100
"""Simulated rounds behind each prediction."""
STEADY_K_DB = 20.0
"""From here on links count as steady."""
_HARMLESS_HZ = 0.1
_WEAK_DB, _UNEVEN_DB = 10.0, 6.0


def fitted_air(links: Sequence[Link], rig: Rig) -> AirConfig:
    """A simulated air whose links have the measured gains, noise, offsets, delay spread and fading.

    Each link has its own mean gain and carrier, unless runs correct carriers, and fades as Rice's K says.
    """
    heard = [link for link in links if link.gain_db is not None]
    gains_db = np.array([link.gain_db.value for link in heard if link.gain_db is not None])
    noise = np.mean([0.0 if link.noise_dbfs is None else 10 ** (link.noise_dbfs / 10) for link in heard])
    middle_db = float((gains_db.max() + gains_db.min()) / 2)
    spread_db = min(40.0, float(gains_db.max() - gains_db.min()) / 2)
    ks = [link.rice_k_db.value for link in heard if link.rice_k_db is not None]
    spreads = [
        link.rms_delay_spread_s.value for link in heard if link.delay_spread_is_resolved and link.rms_delay_spread_s
    ]
    offsets = np.array([link.cfo_hz.value if link.cfo_hz is not None else 0.0 for link in heard])
    clocks = [abs(link.clock_ppm.value) for link in heard if link.clock_ppm is not None]
    residual_hz = rig.radio.residual_cfo_max_hz
    k_db = float(np.mean(ks)) if ks else math.inf
    transmitter = TransmitterConfig(
        ppm_max=min(200.0, max(clocks, default=0.0)),
        phase_noise_deg=min(180.0, float(np.median([link.phase_noise_deg or 0.0 for link in heard]))),
    )
    snr_db = 10 * math.log10(rig.radio.max_power) + middle_db - 10 * math.log10(noise) if noise > 0 else math.inf
    return AirConfig(
        fading="none" if k_db > STEADY_K_DB else "rayleigh" if k_db < 0 else "rice",
        rice_k_db=min(max(k_db, 0.0), 60.0) if math.isfinite(k_db) else 10.0,
        tdl="A" if spreads else "flat",
        delay_spread_s=min(1e-3, float(np.mean(spreads))) if spreads else 0.0,
        path_loss_db=-middle_db,
        path_loss_spread_db=spread_db,
        path_loss_offsets_db=tuple(np.clip(middle_db - gains_db, -spread_db, spread_db).tolist()),
        snr_db=max(snr_db, -100.0),
        cfo_max_hz=residual_hz if corrects(rig) else float(np.abs(offsets).max()),
        cfo_offsets_hz=() if corrects(rig) else tuple(offsets.tolist()),
        delay_max_samples=0.0,
        start_jitter_samples=0 if rig.clock.trigger else rig.air.start_jitter_samples,
        transmitter=transmitter,
    )


def corrects(rig: Rig) -> bool:
    """Whether a run moves carriers to the access point's before its rounds, so that only the residue stays."""
    return backend_of(rig).correct_every_rounds(settings_of(rig)) is not None and not rig.clock.shared_clock


def judge(links: Sequence[Link], quiet: Quiet, rig: Rig, *, seed: int = 1) -> tuple[Verdict, Rig] | None:
    """The verdict, and the loopback rig that it rests on; None where no uplink was heard."""
    heard = [link for link in links if link.direction == "uplink" and link.gain_db is not None]
    if not heard:
        return None
    air = fitted_air(heard, rig)
    own_channels = [name for name in scheme_names() if scheme(name).air_override is None]
    predictions = tuple(predict(name, air, rig, num_devices=len(heard), seed=seed) for name in own_channels)
    held = [link.phase_held_s for link in heard if link.phase_held_s is not None]
    verdict = Verdict(
        predictions=predictions,
        coherence_budget_s=min(held, default=None),
        remarks=(*_remarks(heard, links, quiet, rig), *_phase_remarks(min(held, default=math.inf), predictions)),
    )
    return verdict, _as_rig(air, rig)


def with_threshold(verdict: Verdict, fitted: Rig, experiment: Experiment) -> Verdict:
    """The same with what a schedule that keeps the experiment's privacy budget needs; as it is where none can."""
    works = {each.scheme for each in verdict.predictions if each.airtime_s is not None}
    asked = msgspec.structs.replace(
        experiment,
        scheme=msgspec.structs.replace(experiment.scheme, name="coherent" if "coherent" in works else "energy"),
        schedule=msgspec.structs.replace(experiment.schedule, name="online"),
        ground_truth=False,
    )
    try:
        plan = plan_of(resolve(RunConfig(rig=fitted, experiment=asked)))
    except (ConfigError, RadioError):
        return verdict
    if not math.isfinite(plan.snr_threshold_db) or not math.isfinite(plan.symbol_snr_db):
        return verdict
    return msgspec.structs.replace(verdict, symbol_snr_db=plan.symbol_snr_db, snr_threshold_db=plan.snr_threshold_db)


def threshold_words(verdict: Verdict) -> str | None:
    """What that says, in a sentence; None where nothing is known."""
    snr_db, threshold_db = verdict.symbol_snr_db, verdict.snr_threshold_db
    if snr_db is None or threshold_db is None:
        return None
    side = "below it, where full power keeps" if snr_db <= threshold_db else "above it: schedules lower power to keep"
    return f"symbol SNR {snr_db:.1f} dB, SNR* {threshold_db:.1f} dB: {side} the default privacy budget"


def _phase_remarks(held_s: float, predictions: Sequence[Prediction]) -> list[str]:
    return [
        f"phases hold to 0.1 rad for {1e3 * held_s:.2f} ms, a coherent round takes {1e3 * each.airtime_s:.2f} ms: "
        "what it adds is partly turned; shorten the frame, share a clock, or use 'energy'"
        for each in predictions
        if each.scheme == "coherent" and each.airtime_s is not None and each.airtime_s > held_s
    ]


def predict(name: str, air: AirConfig, rig: Rig, *, num_devices: int, seed: int) -> Prediction:
    """Pooled NMSE of a scheme over simulated rounds of random scalars, and one round's time on the air."""
    try:
        found = scheme(name)
        check_support(found, capabilities(rig))
        played = SimulatedRig(
            air,
            name,
            num_devices=num_devices,
            seed=seed,
            frame=rig.frame,
            tuning=rig.radio,
            capabilities=capabilities(rig),
        )
        errors, energies, airtimes, num_wrong, is_vote = [], [], [], 0, True
        for number in range(NUM_ROUNDS):
            values = generator(seed, number, purpose="measurement verdict").uniform(-1, 1, (num_devices, 1))
            one = played.play(values, round_index=number)
            estimate = one.reception.estimate
            if estimate.rejected is None:
                errors.append(float(np.sum((np.asarray(estimate.values) - one.reference) ** 2)))
                energies.append(float(np.sum(one.reference**2)))
                is_vote &= bool(np.isin(one.reference, (-1.0, 0.0, 1.0)).all())
                num_wrong += int(np.sum(np.sign(estimate.values) != np.sign(one.reference)))
            airtimes.append(one.reception.airtime_s)
    except RadioError as err:
        return Prediction(scheme=name, nmse_db=None, airtime_s=None, problem=str(err))
    if not energies or not sum(energies) > 0:
        return Prediction(scheme=name, nmse_db=None, airtime_s=None, problem=f"all {NUM_ROUNDS} rounds were rejected")
    nmse, num_rejected = sum(errors) / sum(energies), NUM_ROUNDS - len(errors)
    said = [f"{num_rejected} of {NUM_ROUNDS} rounds were rejected"] if num_rejected else []
    if is_vote:
        said.append(f"{num_wrong} of {len(errors)} majorities were wrong")
    return Prediction(
        scheme=name,
        nmse_db=None if is_vote else 10 * math.log10(max(nmse, 1e-30)),
        airtime_s=float(np.mean(airtimes)),
        problem="; ".join(said) or None,
    )


def _remarks(heard: Sequence[Link], links: Sequence[Link], quiet: Quiet, rig: Rig) -> list[str]:
    found = []
    if quiet.interference is not None:
        found.append(f"the band is not quiet: {quiet.interference}; choose another radio.center_freq_hz")
    for link in links:
        if link.problem is not None:
            found.append(f"device {link.device} {link.direction}: {link.problem}")
        elif link.num_spoilt:
            words = ", ".join(f"{num} {name}" for name, num in link.num_spoilt.items())
            remedy = "lower gains" if "saturated" in link.num_spoilt else "raise gains, or move the antennas"
            found.append(f"device {link.device} {link.direction}: of {link.num_captures} captures {words}; {remedy}")
    gains = {link.device: link.gain_db.value for link in heard if link.gain_db is not None}
    weakest = min(gains, key=lambda device: gains[device])
    spread_db = max(gains.values()) - gains[weakest]
    if spread_db > _UNEVEN_DB:
        found.append(
            f"device {weakest} is {spread_db:.1f} dB below the strongest: under min_k all come down to it; raise its "
            "gain or move it, or use scheme.alignment.name = 'truncated'"
        )
    snrs = {link.device: link.snr_db.value for link in heard if link.snr_db is not None}
    if snrs and min(snrs.values()) < _WEAK_DB:
        device = min(snrs, key=lambda each: snrs[each])
        found.append(f"device {device} has {snrs[device]:.1f} dB of SNR; raise radio.tx_gain_db or radio.rx_gain_db")
    worst = max(heard, key=lambda link: abs(link.cfo_hz.value) if link.cfo_hz is not None else 0.0)
    promised_hz = rig.radio.residual_cfo_max_hz
    offset = worst.cfo_hz
    if (
        offset is not None
        and not corrects(rig)
        and abs(offset.value) - promised_hz > max(_HARMLESS_HZ, offset.high - offset.low)
    ):
        found.append(
            f"device {worst.device}'s carrier is {offset.value:.2f} Hz off, the rig promises "
            f"radio.residual_cfo_max_hz = {promised_hz:g}: estimates are worse than their own errors say; raise it"
        )
    return found


def _as_rig(air: AirConfig, rig: Rig) -> Rig:
    description = f"measured: {rig.description}".strip()
    num_devices = len(air.path_loss_offsets_db)
    return msgspec.structs.replace(
        rig, description=description, backend="loopback", num_devices=num_devices, air=air, settings={}
    )
