"""What every scheme must do: a map that is pure, keeps to its facts, and returns what was sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from radio.config import Capabilities
from radio.records import Csi, Estimate, Plan, Received
from radio.schemes.base import Scheme
from radio.waveform.base import SymbolFormat

CLIP, NUM_QUERIES = 2.0, 4
FORMAT = SymbolFormat(max_amplitude=0.5, period_s=288e-6, tone_power=0.06)
GAINS = (0.11 * np.exp(0.3j), 0.1 * np.exp(-2.1j), 0.105 * np.exp(1.4j))
"""h_k of three devices that are heard alike."""
VALUES = np.array([[1.5, -0.5, 1.25, -2.0], [1.0, -1.75, -0.75, -1.0], [0.5, 1.5, 2.0, -0.25]])
"""[K, Q] within ±CLIP, no majority in doubt"""

Complexes = NDArray[np.complex128]
Reals = NDArray[np.float64]


class SchemeContract:
    """Derive a class from this one and give it a fixture `scheme`, the scheme under test."""

    def test_its_facts_are_among_those_there_are(self, scheme: Scheme) -> None:
        """Words that nobody knows would be read as a promise by some and as none by others."""
        assert isinstance(scheme.name, str)
        assert scheme.exposes in ("sum", "each", "unknown")
        assert scheme.waveform in ("symbols", "tones")
        assert {name for group in scheme.needs for name in group} <= {each.name for each in fields(Capabilities)}
        assert scheme.sent_bound is None or 0 < scheme.sent_bound < math.inf
        assert scheme.exposes != "sum" or scheme.superposed
        assert scheme.exposes == "unknown" or scheme.missing_fact is None, scheme.missing_fact

    def test_what_is_sent_of_a_value_stays_within_its_bound(self, scheme: Scheme) -> None:
        """The bound decides how much noise hides a value."""
        values = np.linspace(-CLIP, CLIP, 101)
        mapped = scheme.mapped(values)
        assert mapped.shape == values.shape
        assert np.abs(mapped).max() <= scheme.mapped_clip(CLIP) * (1 + 1e-12)
        if scheme.sent_bound is None:
            assert np.array_equal(mapped, values)

    def test_a_frame_has_the_symbols_it_says_within_the_power_there_is(self, scheme: Scheme) -> None:
        """Lengths are agreed before anything is sent."""
        plan = plan_for(scheme)
        for device in plan.active:
            symbols = sent_by(scheme, device, plan)
            assert symbols.shape == (scheme.frame_symbols(NUM_QUERIES),)
            assert symbols.dtype == np.complex128
            assert np.isfinite(symbols).all()
            assert np.array_equal(symbols, sent_by(scheme, device, plan))
            if scheme.waveform == "symbols":
                assert np.abs(symbols).max() <= FORMAT.max_amplitude * (1 + 1e-9)
            else:
                assert np.sum(np.abs(symbols) ** 2) <= FORMAT.tone_power * (1 + 1e-9)
        assert scheme.payload_symbols(NUM_QUERIES, len(GAINS)) >= scheme.frame_symbols(NUM_QUERIES)
        bits = scheme.uplink_bits_per_device(NUM_QUERIES)
        assert bits is None or bits > 0

    def test_a_quiet_round_returns_what_a_perfect_one_does(self, scheme: Scheme) -> None:
        """The mean of the values, or their majority."""
        plan = plan_for(scheme)
        found = scheme.estimate(received_of(scheme, plan), plan)
        assert found.rejected is None
        assert found.error_variance.shape == (NUM_QUERIES,)
        assert np.all((found.error_variance >= 0) & np.isfinite(found.error_variance))
        assert np.abs(found.values - scheme.reference(VALUES)).max() <= 1e-3

    def test_noise_of_devices_and_receiver_is_part_of_the_stated_error(self, scheme: Scheme) -> None:
        """Who updates by an estimate weighs it by that."""
        plan = plan_for(scheme)
        quiet = scheme.estimate(received_of(scheme, plan), plan)
        noisy = msgspec.structs.replace(plan, artificial_noise_std=0.1, gain=plan.gain / 2)
        louder = scheme.estimate(received_of(scheme, noisy), noisy)
        assert louder.rejected is None
        assert np.all(louder.error_variance >= quiet.error_variance)

    def test_what_cannot_be_used_is_rejected_with_a_reason_and_never_raises(self, scheme: Scheme) -> None:
        """A round that went wrong is no error; a number that means nothing is."""
        plan = plan_for(scheme)
        received = received_of(scheme, plan)
        assert_rejected(scheme.estimate(received, msgspec.structs.replace(plan, active=())))
        assert_rejected(scheme.estimate([replace(each, saturated=True) for each in received], plan))
        broken = [
            replace(each, symbols=each.symbols * math.nan)
            if each.energies is None
            else replace(each, energies=each.energies * math.nan)
            for each in received
        ]
        assert_rejected(scheme.estimate(broken, plan))

    def test_who_exposes_the_sum_puts_nothing_else_on_any_symbol(self, scheme: Scheme) -> None:
        """Every symbol arrives as at most the gain times the sum of values: what receiver noise is reckoned against."""
        if scheme.exposes != "sum":
            pytest.skip("this scheme does not say that only the sum is heard")
        plan = plan_for(scheme)
        split = np.array([[0.5, -1.0, 0.25, 1.0], [0.75, 0.5, -1.0, 0.5], [-0.25, 0.0, 0.5, -1.0]])
        other = np.roll(split, 1, axis=0)  # the same sum, by other devices
        one, another = (
            np.sum([arriving_from(scheme, k, plan, sent[k]) for k in plan.active], axis=0) for sent in (split, other)
        )
        assert np.allclose(one, another, atol=1e-12)
        for value in np.linspace(-1, 1, 5):
            alone = arriving_from(scheme, 0, plan, np.full(NUM_QUERIES, value))
            assert np.abs(alone).max() <= plan.gain * abs(value) * (1 + 1e-9) + 1e-15


def assert_rejected(found: Estimate) -> None:
    """An estimate that says why it must not be used, and holds no number that could be."""
    assert found.rejected
    assert np.isnan(found.values).all()
    assert np.isinf(found.error_variance).all()


def plan_for(scheme: Scheme) -> Plan:
    """Full power of three devices, whose weakest decides."""
    clip = scheme.mapped_clip(CLIP)
    weakest = min(abs(gain) for gain in GAINS)
    gain = FORMAT.max_amplitude * weakest / clip
    if scheme.waveform == "tones":
        gain = FORMAT.tone_power / NUM_QUERIES * weakest**2 / clip
    return Plan(gain=gain, artificial_noise_std=0.0, clip=clip, num_queries=NUM_QUERIES, active=(0, 1, 2))


def sent_by(scheme: Scheme, device: int, plan: Plan, values: Reals | None = None) -> Complexes:
    """Symbols of one device, which knows its channel."""
    gain = complex(GAINS[device])
    csi = Csi(gain=gain, resource_powers=(abs(gain) ** 2, abs(gain) ** 2))
    return scheme.encode(scheme.mapped(VALUES[device]) if values is None else values, plan, csi, FORMAT)


def arriving_from(scheme: Scheme, device: int, plan: Plan, values: Reals) -> Complexes:
    """The same behind the device's channel."""
    return GAINS[device] * sent_by(scheme, device, plan, values)


def received_of(scheme: Scheme, plan: Plan) -> Sequence[Received]:
    """What the access point receives of VALUES on an air that is all but quiet."""
    quiet = partial(Received, noise_variance=1e-14, symbol_snr_db=60.0)
    sent = {device: sent_by(scheme, device, plan) for device in plan.active}
    if not scheme.superposed:
        return [quiet(symbols=sent[device], device=device) for device in plan.active]
    if scheme.waveform == "symbols":
        return [quiet(symbols=np.asarray(sum(GAINS[k] * sent[k] for k in plan.active)))]
    powers = np.asarray(sum(np.abs(GAINS[k] * sent[k]) ** 2 for k in plan.active)).reshape(-1, 2)
    none = np.zeros(0, dtype=np.complex128)
    return [quiet(symbols=none, energies=powers, energy_variances=np.full(powers.shape, 1e-24))]
