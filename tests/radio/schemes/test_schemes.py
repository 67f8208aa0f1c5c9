"""Schemes as pure maps: algebra, quantiser, CRC, rejections, and what rigs they run on."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radio.air.config import AirConfig
from radio.config import Capabilities
from radio.errors import RadioConfigError, SchemeUnsupportedError, SignalError
from radio.records import Csi, Plan, Received
from radio.schemes.digital import crc8, dequantise, qpsk, qpsk_bytes, quantise, quantiser_step
from radio.schemes.registry import check_support, scheme, scheme_names
from radio.waveform.base import SymbolFormat
from radio.waveform.precoding import alignment_gain, precode

FORMAT = SymbolFormat(max_amplitude=0.5, period_s=288e-6)
gain_lists = st.lists(
    st.tuples(st.floats(0.01, 3), st.floats(-math.pi, math.pi)).map(lambda polar: polar[0] * np.exp(1j * polar[1])),
    min_size=1,
    max_size=8,
)


def plan_of(**changes: object) -> Plan:
    settings = {"gain": 0.1, "artificial_noise_std": 0.0, "clip": 1.0, "num_queries": 1, "active": (0, 1)}
    return Plan(**(settings | changes))


def received_of(symbols: list[complex], **changes: object) -> Received:
    return Received(**({"symbols": np.array(symbols), "noise_variance": 1e-4, "symbol_snr_db": 20.0} | changes))


@given(gains=gain_lists, clip=st.floats(0.1, 1e3), noise_std=st.floats(0, 10))
def test_no_clipped_value_can_exceed_power_at_the_alignment_gain(gains, clip, noise_std):
    gain = alignment_gain(np.array(gains), bound=clip + 4 * noise_std, max_amplitude=0.5)
    largest = np.array([clip + 4 * noise_std])
    sent = [abs(precode(largest, gain=gain, csi=Csi(gain=h), symbol_period_s=1.0)[0]) for h in gains]
    assert max(sent) == pytest.approx(0.5, rel=1e-12)


@given(gains=gain_lists, cfo_hz=st.floats(-50, 50), seed=st.integers(0, 99))
def test_every_precoded_value_arrives_with_the_same_gain(gains, cfo_hz, seed):
    values = np.random.default_rng(seed).uniform(-1, 1, (len(gains), 3))
    arriving = np.zeros(3, dtype=complex)
    for h, mine in zip(gains, values, strict=True):
        channel = h * np.exp(2j * np.pi * cfo_hz * np.arange(3) * 1e-3)
        arriving += channel * precode(mine, gain=0.2, csi=Csi(gain=h, cfo_hz=cfo_hz), symbol_period_s=1e-3)
    assert np.allclose(arriving, 0.2 * values.sum(axis=0), atol=1e-12)


def test_a_device_without_channel_is_refused_but_may_be_silent():
    with pytest.raises(SignalError, match="leave this device out"):
        precode(np.ones(1), gain=0.1, csi=Csi(gain=0j), symbol_period_s=1.0)
    assert precode(np.ones(1), gain=0.0, csi=Csi(gain=0j), symbol_period_s=1.0).tolist() == [0]
    assert alignment_gain(np.array([1.0, 0j]), bound=1.0, max_amplitude=0.5) == 0


def test_coherent_estimates_the_mean_and_its_variance():
    plan = plan_of(artificial_noise_std=0.3, num_queries=2)
    got = scheme("coherent").estimate([received_of([0.1 + 0.5j, -0.04])], plan)
    assert got.rejected is None
    assert np.allclose(got.values, [0.5, -0.2])
    assert np.allclose(got.error_variance, 1e-4 / 0.2**2 + 0.3**2 / 2)


@pytest.mark.parametrize(
    ("plan", "received", "reason"),
    [
        (plan_of(gain=0.0), received_of([0.1]), "silent"),
        (plan_of(active=()), received_of([0.1]), "silent"),
        (plan_of(), received_of([0.1], saturated=True), "saturated"),
        (plan_of(), received_of([complex("nan")]), "finite"),
    ],
)
def test_coherent_rejects_with_a_reason_and_never_divides(plan, received, reason):
    got = scheme("coherent").estimate([received], plan)
    assert reason in got.rejected
    assert np.isnan(got.values).all()
    assert np.isinf(got.error_variance).all()


def test_coherent_needs_csi():
    with pytest.raises(SignalError, match="CSI"):
        scheme("coherent").encode(np.ones(1), plan_of(), None, FORMAT)


@given(values=st.lists(st.floats(-2.5, 2.5), min_size=1, max_size=20), bound=st.floats(2.5, 1e3))
def test_the_quantiser_errs_by_half_a_step_at_most(values, bound):
    array = np.array(values)
    error = np.abs(dequantise(quantise(array, bound), bound) - array)
    assert error.max() <= quantiser_step(bound) / 2 * (1 + 1e-9) + 1e-12 * bound


def test_the_crc_is_the_textbook_one():
    assert crc8(b"123456789", start=0) == 0xF4  # CRC-8/SMBUS check value


@given(message=st.binary(min_size=1, max_size=40), bit=st.integers(0, 7), data=st.data())
def test_the_crc_catches_every_single_bit_error(message, bit, data):
    at = data.draw(st.integers(0, len(message) - 1))
    damaged = bytearray(message)
    damaged[at] ^= 1 << bit
    assert crc8(bytes(damaged)) != crc8(message)


@given(message=st.binary(min_size=1, max_size=40))
def test_qpsk_returns_its_bits_at_constant_power(message):
    symbols = qpsk(message, 0.5)
    assert qpsk_bytes(symbols) == message
    assert np.allclose(np.abs(symbols), 0.5)


def slots_of(values: np.ndarray, plan: Plan) -> list[Received]:
    digital = scheme("digital")
    return [
        received_of(digital.encode(mine, plan, None, FORMAT), device=device)
        for device, mine in zip(plan.active, values, strict=True)
    ]


def test_digital_averages_the_active_devices_whatever_the_order_of_slots():
    values = np.array([[0.5, -0.25], [0.1, 0.9], [-1.0, 1.0]])
    plan = plan_of(num_queries=2, active=(1, 4, 7))
    slots = slots_of(values, plan)
    got = scheme("digital").estimate(slots[::-1], plan)
    assert got.rejected is None
    assert np.abs(got.values - values.mean(axis=0)).max() <= quantiser_step(1.0) / 2
    assert got.symbol_snr_db == pytest.approx(20.0)


@pytest.mark.parametrize("damage", ["flip", "drop", "silence", "saturate"])
def test_digital_rejects_and_names_the_device_that_failed(damage):
    plan = plan_of(active=(0, 3))
    slots = slots_of(np.array([[0.5], [0.1]]), plan)
    symbols = slots[1].symbols.copy()
    symbols[2] *= -1 if damage == "flip" else 1
    symbols[:] = np.nan if damage == "silence" else symbols
    slots[1] = received_of(symbols, device=3, saturated=damage == "saturate")
    got = scheme("digital").estimate(slots[:1] if damage == "drop" else slots, plan)
    assert "device 3" in got.rejected


def test_uplink_bits_and_symbols_are_accounted():
    assert scheme("coherent").uplink_bits_per_device(3) is None
    assert scheme("digital").uplink_bits_per_device(3) == 48
    assert scheme("coherent").payload_symbols(3, 5) == 3
    assert scheme("digital").payload_symbols(3, 5) == 5 * scheme("digital").frame_symbols(3) == 5 * 28


def test_an_unknown_scheme_lists_the_known_ones():
    with pytest.raises(RadioConfigError, match="coherent, digital, energy, fsk_vote, ideal, sign"):
        scheme("coherant")
    assert scheme_names() == ("coherent", "digital", "energy", "fsk_vote", "ideal", "sign")


@pytest.mark.parametrize(
    ("shared_clock", "trigger", "streaming", "lacking"),
    [(False, True, True, "shared_clock"), (True, False, False, "streaming or trigger")],
)
def test_coherent_is_refused_on_a_rig_that_lacks_what_it_needs(shared_clock, trigger, streaming, lacking):
    rig = Capabilities(trigger=trigger, streaming=streaming, shared_clock=shared_clock)
    with pytest.raises(SchemeUnsupportedError, match=lacking) as refusal:
        check_support(scheme("coherent"), rig)
    assert "digital" in str(refusal.value)
    check_support(scheme("digital"), rig)
    check_support(scheme("ideal"), rig)


@pytest.mark.parametrize(("trigger", "streaming"), [(True, False), (False, True)])
def test_coherent_runs_with_either_a_trigger_or_streaming(trigger, streaming):
    check_support(scheme("coherent"), Capabilities(trigger=trigger, streaming=streaming, shared_clock=True))


@pytest.mark.parametrize(
    "change",
    [{"gain": -1.0}, {"gain": math.nan}, {"clip": 0.0}, {"num_queries": 0}, {"active": (1, 0)}, {"active": (1, 1)}],
)
def test_a_plan_that_cannot_be_sent_is_refused(change):
    with pytest.raises(SignalError, match=next(iter(change))):
        plan_of(**change)


def test_ideal_is_defined_on_the_perfect_air():
    assert scheme("ideal").air_override == AirConfig.perfect()
