"""What every waveform owes both ends of a link, asked of each of them, on samples and on symbols."""

import numpy as np
import pytest

from radio.backends.loopback import ALL_CAPABILITIES
from radio.config import FrameConfig, RadioConfig
from radio.errors import RadioConfigError, SignalError
from radio.link.setup import LinkSetup, waveform_type
from radio.records import Csi, Plan
from radio.samples import check_frame
from radio.schemes.alignment_rule import AlignmentRule
from radio.schemes.coherent import Coherent
from radio.schemes.digital import Digital
from radio.schemes.energy import Energy
from radio.schemes.registry import scheme, scheme_names
from radio.waveform.base import Known
from radio.waveform.estimates import CfoTracker
from radio.waveform.symbol_blocks import SymbolBlocks
from radio.waveform.symbol_slots import SymbolSlots
from radio.waveform.tone_periods import TonePeriods

NUM_DEVICES = 3
TUNING = RadioConfig(max_power_dbfs=-12.0)
LATE = FrameConfig(start_uncertainty_samples=8000, sync_samples=256)
CHANNEL = 0.6 * np.exp(0.7j)
CLIP = 2.0
NOISE_POWER = 1e-8


def seen(sent, lengths, gain, *, late=0, noise_power=0.0, seed=1):
    """What a receiver captures of a transmission that starts `late` samples after it was asked for."""
    samples = np.tile(sent.frame, sent.num_repeats) * gain
    total = lengths.settle_samples + lengths.capture_samples
    air = np.zeros(max(total, late + samples.size), dtype=np.complex128)
    air[late : late + samples.size] = samples
    draws = np.random.default_rng(seed).normal(0, np.sqrt(noise_power / 2), (total, 2))
    heard = air[:total] + draws[:, 0] + 1j * draws[:, 1]
    return heard[lengths.settle_samples :].astype(np.complex64)


class WaveformContract:
    """Subclasses name a scheme; `frame` is that of the level."""

    scheme_name: str
    frame = FrameConfig()
    lateness = 0

    @pytest.fixture
    def setup(self):
        return LinkSetup.of(scheme(self.scheme_name), self.frame, TUNING, NUM_DEVICES, ALL_CAPABILITIES)

    def plan(self, setup, csi, *, num_queries=2, active=(1,), share=1.0, round_index=3):
        gain = setup.waveform.gain_limit([csi], bound=CLIP, num_queries=num_queries)
        return Plan(
            gain=share * gain, artificial_noise_std=0.0, clip=CLIP, num_queries=num_queries, active=active,
            round_index=round_index,
        )  # fmt: skip

    def sounded(self, setup, gain=CHANNEL, noise_power=NOISE_POWER):
        waveform = setup.waveform
        capture = seen(waveform.pilot(), waveform.sounding, gain, late=self.lateness, noise_power=noise_power)
        heard_noise = waveform.sounding_noise_power(capture)
        tracker = CfoTracker.within(0.0)
        return waveform.sound(capture, noise_power=heard_noise, first_sample=1000, tracker=tracker)

    def received(self, setup, values, plan, csi, *, noise_power=NOISE_POWER, device=1):
        waveform = setup.waveform
        symbols = setup.scheme.encode(values, plan, csi, setup.symbol_format)
        sent = waveform.payload(symbols, plan, csi, device=device, secret=np.random.default_rng(5))
        lengths = waveform.payload_lengths(plan)
        capture = seen(sent, lengths, CHANNEL, late=self.lateness, noise_power=noise_power)
        known = Known(
            soundings={}, gains=np.array([CHANNEL]), noise_power=waveform.payload_noise_power(capture),
            first_sample=5000, saturated=False, value_power=1.0,
        )  # fmt: skip
        slot = None if setup.scheme.superposed else device
        return sent, waveform.receive(capture, plan, known, device=slot)

    def told(self):
        return Csi(gain=CHANNEL, resource_powers=(abs(CHANNEL) ** 2,) * 2)

    def test_a_pilot_may_be_sent_and_ends_by_itself(self, setup):
        pilot, lengths = setup.waveform.pilot(), setup.waveform.sounding
        if not self.frame.is_symbol_level:
            check_frame(pilot.frame)
        assert pilot.num_repeats >= 1
        late = self.frame.start_uncertainty_samples
        assert pilot.frame.size * pilot.num_repeats >= lengths.on_air_samples
        assert pilot.frame.size * pilot.num_repeats <= lengths.settle_samples + lengths.capture_samples + late

    def test_a_sounding_shows_the_channel(self, setup):
        sounding = self.sounded(setup)
        assert sounding.is_heard
        assert abs(sounding.gain) == pytest.approx(abs(CHANNEL), rel=0.01)
        assert sounding.gain_variance < 1e-4

    def test_silence_is_not_a_sounding(self, setup):
        assert not self.sounded(setup, gain=0.0).is_heard

    def test_noise_is_measured_in_pilots_and_payloads_alike(self, setup):
        waveform, plan = setup.waveform, self.plan(setup, self.told())
        for lengths, measure in (
            (waveform.sounding, waveform.sounding_noise_power),
            (waveform.payload_lengths(plan), waveform.payload_noise_power),
        ):
            nothing = type(waveform.pilot())(np.zeros(4, dtype=np.complex64))
            measured = [measure(seen(nothing, lengths, 0.0, noise_power=1e-4, seed=seed)) for seed in range(40)]
            assert np.mean(measured) == pytest.approx(1e-4, rel=0.12)

    def test_what_the_other_end_reports_is_what_it_heard(self, setup):
        sounding = self.sounded(setup)
        again = setup.waveform.reported(sounding.reciprocal, noise_power=NOISE_POWER, time_samples=9)
        assert again.gain == sounding.gain
        assert again.reciprocal == sounding.reciprocal
        assert again.is_heard
        assert not setup.waveform.reported(None, noise_power=NOISE_POWER, time_samples=9).is_heard

    def test_a_device_is_told_what_its_scheme_can_encode_with(self, setup):
        csi = self.sounded(setup).csi_at(2000)
        assert abs(csi.gain) == pytest.approx(abs(CHANNEL), rel=0.01)
        symbols = setup.scheme.encode(np.array([0.5, -0.5]), self.plan(setup, csi), csi, setup.symbol_format)
        assert np.isfinite(symbols).all()

    @pytest.mark.parametrize("values", [(CLIP, -CLIP), (0.25, 1.5), (0.0, -0.5)])
    def test_values_go_out_and_come_in(self, setup, values):
        plan = self.plan(setup, self.told(), share=0.9)
        _, received = self.received(setup, np.array(values), plan, self.told())
        assert received.problem is None
        estimate = setup.scheme.estimate([received], plan)
        assert estimate.rejected is None
        assert estimate.values == pytest.approx(np.array(values), abs=0.02 * CLIP)
        assert estimate.error_variance.max() < (0.02 * CLIP) ** 2
        assert received.symbol_snr_db > 20

    def test_a_full_value_takes_no_more_than_full_power_at_the_limit_of_the_gain(self, setup):
        plan = self.plan(setup, self.told(), num_queries=2)
        sent, _ = self.received(setup, np.array([CLIP, CLIP]), plan, self.told())
        if not self.frame.is_symbol_level:
            check_frame(sent.frame)
            assert np.mean(np.abs(sent.frame) ** 2) <= TUNING.max_power * 1.001

    def test_the_limit_without_channels_is_that_of_a_perfect_one(self, setup):
        one = Csi(gain=1.0 + 0j, resource_powers=(1.0, 1.0))
        for num_queries in (1, 3):
            limit = setup.waveform.gain_limit([one], bound=CLIP, num_queries=num_queries)
            assert limit == pytest.approx(setup.waveform.full_gain(bound=CLIP, num_queries=num_queries))

    def test_the_weakest_channel_sets_the_limit_and_no_channel_makes_it_zero(self, setup):
        strong, none = self.told(), Csi(gain=0j, resource_powers=(0.0, 0.0))
        weak = Csi(gain=CHANNEL / 3, resource_powers=(abs(CHANNEL / 3) ** 2,) * 2)
        limit = [setup.waveform.gain_limit(csi, bound=CLIP, num_queries=1) for csi in ([weak], [strong, weak], [none])]
        assert limit[0] == limit[1] > limit[2] == 0

    def test_a_capture_at_full_scale_is_called_saturated(self, setup):
        waveform, plan = setup.waveform, self.plan(setup, self.told())
        capture = np.full(waveform.payload_lengths(plan).capture_samples, 1 + 0j, dtype=np.complex64)
        for said, expected in ((False, not self.frame.is_symbol_level), (True, True)):
            known = Known(
                soundings={}, gains=np.array([CHANNEL]), noise_power=NOISE_POWER, first_sample=0, saturated=said,
                value_power=1.0,
            )  # fmt: skip
            assert waveform.receive(capture, plan, known, device=None).saturated is expected

    def test_it_keeps_nothing_from_call_to_call(self, setup):
        plan = self.plan(setup, self.told(), share=0.5)
        values = np.array([0.3, -0.7])
        first, second = (self.received(setup, values, plan, self.told()) for _ in range(2))
        assert first[0].frame.tobytes() == second[0].frame.tobytes()
        assert first[1].symbols.tobytes() == second[1].symbols.tobytes()


class TestSymbolBlocks(WaveformContract):
    scheme_name = "coherent"


class TestSymbolBlocksOnSymbols(WaveformContract):
    scheme_name = "coherent"
    frame = FrameConfig.symbol_level()


class TestSymbolSlots(WaveformContract):
    scheme_name = "digital"


class TestLateSymbolSlots(WaveformContract):
    scheme_name = "digital"
    frame = LATE
    lateness = 5001


class TestSymbolSlotsOnSymbols(WaveformContract):
    scheme_name = "digital"
    frame = FrameConfig.symbol_level()


class TestTonePeriods(WaveformContract):
    scheme_name = "energy"


class TestLateTonePeriods(WaveformContract):
    scheme_name = "energy"
    frame = LATE
    lateness = 5001


class TestTonePeriodsOnSymbols(WaveformContract):
    scheme_name = "energy"
    frame = FrameConfig.symbol_level()


def test_the_facts_of_a_scheme_pick_its_waveform():
    picked = {name: waveform_type(scheme(name)).__name__ for name in scheme_names()}
    assert picked == {
        "coherent": "SymbolBlocks", "digital": "SymbolSlots", "energy": "TonePeriods", "fsk_vote": "TonePeriods",
        "ideal": "SymbolBlocks", "sign": "SymbolBlocks",
    }  # fmt: skip


def test_facts_that_fit_no_waveform_are_refused_with_those_that_do():
    class SlottedTones(Energy):
        name = "slotted_tones"
        superposed = False

    class Smoke(Coherent):
        name = "smoke"
        waveform = "smoke"

    for unknown in (SlottedTones(), Smoke()):
        with pytest.raises(RadioConfigError, match=r"'symbols' with True, 'symbols' with False, 'tones' with True"):
            LinkSetup.of(unknown, FrameConfig(), TUNING, NUM_DEVICES, ALL_CAPABILITIES)


def test_a_scheme_of_somebody_else_runs_on_the_waveform_that_it_names():
    class Mine(Digital):
        name = "mine"

    setup = LinkSetup.of(Mine(), FrameConfig(), TUNING, NUM_DEVICES, ALL_CAPABILITIES)
    assert isinstance(setup.waveform, SymbolSlots)
    setup.check(FrameConfig(), AlignmentRule())


def test_only_amplitudes_know_a_ridge():
    assert SymbolBlocks.has_ridge
    assert not TonePeriods.has_ridge
    for name in ("energy", "fsk_vote"):
        setup = LinkSetup.of(scheme(name), FrameConfig(), TUNING, NUM_DEVICES, ALL_CAPABILITIES)
        with pytest.raises(RadioConfigError, match=r"'min_k' or 'truncated'"):
            setup.check(FrameConfig(), AlignmentRule(name="regularised"))


def test_a_gain_over_the_limit_is_refused_before_anything_is_sent():
    for name in ("coherent", "energy"):
        setup = LinkSetup.of(scheme(name), FrameConfig(), TUNING, NUM_DEVICES, ALL_CAPABILITIES)
        csi = Csi(gain=CHANNEL, resource_powers=(abs(CHANNEL) ** 2,) * 2)
        gain = 1.01 * setup.waveform.gain_limit([csi], bound=CLIP, num_queries=1)
        plan = Plan(gain=gain, artificial_noise_std=0.0, clip=CLIP, num_queries=1, active=(0,))
        with pytest.raises(SignalError, match="lower the alignment gain"):
            _payload(setup, plan, csi)


def _payload(setup, plan, csi):
    symbols = setup.scheme.encode(np.array([CLIP]), plan, csi, setup.symbol_format)
    return setup.waveform.payload(symbols, plan, csi, device=0, secret=np.random.default_rng(1))
