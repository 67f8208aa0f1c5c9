"""What moves a carrier's phase: crystals with a data sheet's Allan deviation, and receivers that correct themselves."""

import math

import msgspec
import numpy as np
import pytest

from radio.air.air import Air
from radio.air.config import AirConfig, ReceiverConfig, TransmitterConfig
from radio.air.wander import Wander, tracking_keys, tracking_phasors
from radio.config import RadioConfig
from radio.link.simulated_rig import SimulatedRig

QUIET = AirConfig(fading="none", path_loss_db=0.0, snr_db=math.inf, cfo_max_hz=0.0, delay_max_samples=0.0)
FRAME = np.full(64, 0.2, np.complex64)


def allan_deviation(wander: Wander, tau_s: float, span_s: float) -> float:
    """Of its time error, overlapping (IEEE Std 1139)."""
    count = 400
    starts = np.linspace(0, span_s, count)
    errors = [wander.time_error_s(starts + k * tau_s) for k in range(3)]
    return float(np.sqrt(np.mean((errors[2] - 2 * errors[1] + errors[0]) ** 2) / 2) / tau_s)


@pytest.mark.parametrize("tau_s", [0.01, 0.1, 1.0, 10.0, 100.0])
def test_a_crystal_has_the_allan_deviation_of_its_data_sheet(tau_s):
    clocks = Wander.draw(TransmitterConfig(allan_deviation=2e-10), num_stations=30, seed=1)
    found = [allan_deviation(clock, tau_s, 300 * tau_s) for clock in clocks if clock is not None]
    assert math.sqrt(np.mean(np.square(found))) == pytest.approx(2e-10, rel=0.15)


def test_temperature_swings_a_carrier_by_what_was_set():
    (clock,) = Wander.draw(TransmitterConfig(drift_ppb=50.0, drift_period_s=100.0), num_stations=1, seed=2)
    errors = [clock.frequency_error(time_s) for time_s in np.arange(0, 100, 0.5)]
    assert max(errors) == pytest.approx(50e-9, rel=1e-3)
    assert min(errors) == pytest.approx(-50e-9, rel=1e-3)
    slope = clock.time_error_s(np.array([20.0, 20.001]))
    assert (slope[1] - slope[0]) / 1e-3 == pytest.approx(clock.frequency_error(20.0005), rel=1e-3)


def test_the_air_carries_the_drift_and_tells_the_truth_of_it():
    """Six seconds apart the carrier has moved, and `truth` says where it is."""
    air = Air(
        msgspec.structs.replace(QUIET, transmitter=TransmitterConfig(drift_ppb=100.0, drift_period_s=20.0)),
        num_devices=1, seed=4, sample_rate_hz=1e6, tx_power=0.04,
    )  # fmt: skip
    air.begin_block(0, 1)
    air.transmit(0, FRAME, None)
    found = []
    for _ in range(2):
        truth, at = air.truth(), air.clock_samples
        heard = air.capture(1, 100_000)[100:]
        expected = 0.2 * truth.gains[0] * np.exp(2j * np.pi * truth.cfo_hz[0] * (at + 100) / 1e6)
        assert abs(heard[0] - expected) < 2e-3
        found.append(truth.cfo_hz[0])
        measured_hz = float(np.angle(np.mean(heard[2000:] * heard[:-2000].conj()))) / (2 * np.pi * 0.002)
        assert measured_hz == pytest.approx(truth.cfo_hz[0], abs=4.0)
        air.elapse(6_000_000)
    assert abs(found[1] - found[0]) > 10


def test_what_wanders_does_not_depend_on_pieces():
    config = msgspec.structs.replace(
        QUIET,
        transmitter=TransmitterConfig(allan_deviation=1e-9),
        receiver=ReceiverConfig(quadrature_tracking_deg=20.0),
    )
    heard = []
    for pieces in ([30_000], [1, 255, 9744, 20_000]):
        air = Air(config, num_devices=1, seed=4, sample_rate_hz=1e6, tx_power=0.04)
        air.begin_block(0, 1)
        air.transmit(0, FRAME, None)
        heard.append(np.concatenate([air.capture(1, piece) for piece in pieces]))
    assert np.abs(heard[0] - heard[1]).max() < 1e-6


def test_quadrature_tracking_moves_the_phase_in_steps_of_the_deviation_that_was_set():
    config = ReceiverConfig(quadrature_tracking_deg=12.0, quadrature_tracking_ms=1.0)
    (key,) = tracking_keys(1, seed=3)
    turned = tracking_phasors(config, key, 500, 2_000_000, sample_rate_hz=1e6)
    phases = np.angle(turned)
    assert np.std(phases) == pytest.approx(math.radians(12), rel=0.05)
    assert np.array_equal(np.flatnonzero(np.diff(phases))[:3] + 501, [1000, 2000, 3000])
    assert tracking_phasors(ReceiverConfig(), key, 0, 10, sample_rate_hz=1e6) is None


def rounds_under_tracking(receiver: ReceiverConfig, num_rounds: int) -> tuple[float, float, float]:
    """Measured NMSE of `coherent`; that of a model of the tracked phase alone; and what the receiver itself says."""
    tuning = RadioConfig(residual_cfo_max_hz=0.3)
    rig = SimulatedRig(msgspec.structs.replace(QUIET, path_loss_db=20.0, snr_db=20.0, receiver=receiver), tuning=tuning)
    frame, num_codes = rig.frame, 6
    (*_, key) = tracking_keys(6, seed=1)
    measured = modelled = judged = power = 0.0
    for t in range(num_rounds):
        values = np.clip(np.random.default_rng(t).normal(0, 1 / 3, (5, 1)), -1, 1)
        began = rig.air.clock_samples
        played = rig.play(values, round_index=t)
        estimate = played.reception.estimate
        if estimate.rejected is not None:
            continue
        phasors = tracking_phasors(receiver, key, began, rig.air.clock_samples - began, sample_rate_hz=1e6)

        def symbol(time_samples: float, begin: int = began, path: np.ndarray | None = phasors) -> complex:
            first = round(time_samples) - begin + frame.cyclic_prefix_samples
            return 1.0 if path is None else complex(path[first : first + frame.samples_per_symbol].mean())

        half = frame.pilot_spacing_symbols * frame.symbol_samples / 2
        sounded = np.array([
            (symbol(played.soundings[k].time_samples - half) + symbol(played.soundings[k].time_samples + half)) / 2
            for k in range(5)
        ])  # fmt: skip
        first = played.reception.captured[0].known.first_sample + frame.first_symbol_samples
        heard = np.array([symbol(first + i * frame.symbol_samples) for i in range(2 * num_codes + 2)])
        pilots = (heard[:num_codes].mean() + heard[num_codes + 2 :].mean()) / 2
        turned = heard[num_codes + 1] / sounded * np.exp(-1j * np.angle(pilots / sounded).mean())
        measured += float(np.sum((estimate.values - played.reference) ** 2))
        modelled += float(np.mean(values[:, 0] * (turned.real - 1))) ** 2
        judged += float(estimate.error_variance.sum())
        power += float(np.sum(played.reference**2))
    return measured / power, modelled / power, judged / power


def test_tracking_that_is_left_on_costs_coherent_what_the_model_predicts():
    """Sounded in one phase, summed in another: the error is Re(e^{jΔ}) − 1, beside the noise that is there anyway."""
    quiet, _, _ = rounds_under_tracking(ReceiverConfig(), 150)
    steps = ReceiverConfig(quadrature_tracking_deg=20.0, quadrature_tracking_ms=20.0)
    measured, modelled, judged = rounds_under_tracking(steps, 300)
    assert measured > 5 * quiet, "it costs"
    assert 10 * math.log10(measured / (modelled + quiet)) == pytest.approx(0, abs=2.0)
    assert judged > measured / 2, "the receiver's own prediction knows of it"
