"""The waveform of one slot a device: symbols with pilots in between, found however late, divided by the channel."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from radio.arrays import Complexes
from radio.config import FrameConfig
from radio.records import Csi, Plan, Received
from radio.samples import IQ
from radio.waveform.base import Known, Lengths, Part, Transmission, parts_of
from radio.waveform.layouts import SlotLayout, equalise_slot, fill_slot, slot_layout
from radio.waveform.modulation import (
    InBandNoise,
    is_saturated,
    matched_filter,
    modulate,
    noise_power_of_guard,
    real_noise_variance,
    symbol_snr_db,
)
from radio.waveform.pilots import find_frame
from radio.waveform.symbol_blocks import SymbolBlocks


class SymbolSlots(SymbolBlocks):
    """Soundings as of `SymbolBlocks`, payloads one after the other; implements `radio.waveform.base.Waveform`."""

    meets_by_sample: ClassVar[bool] = False

    def _check_starts(self, rig_frame: FrameConfig, *, counts_starts: bool) -> None:
        """Slots may start whenever they do."""

    def payload(
        self, symbols: Complexes, plan: Plan, csi: Csi | None, *, device: int, secret: np.random.Generator
    ) -> Transmission:
        """The symbols with pilots at full power."""
        amplitude = self._format.max_amplitude
        slot = fill_slot(symbols, slot_layout(symbols.size), pilot_amplitude=amplitude)
        return Transmission(modulate(slot, self._frame, max_amplitude=amplitude, sync_amplitude=amplitude))

    def payload_lengths(self, plan: Plan) -> Lengths:
        """One slot, looked for as long as it may be late."""
        num_symbols = self._slot(plan).num_symbols
        return Lengths(
            settle_samples=0,
            capture_samples=self._frame.num_capture_samples(num_symbols),
            on_air_samples=self._frame.num_samples(num_symbols),
        )

    def parts(self, plan: Plan) -> tuple[Part, ...]:
        """Guard, synchronisation, pilots among values, tail; where they may be late, only that they are there."""
        if self._frame.start_uncertainty_samples > 0:
            return parts_of(("search", self.payload_lengths(plan).capture_samples))
        num_symbols = self._slot(plan).num_symbols
        return self._framed(num_symbols, [("slot", num_symbols * self._frame.symbol_samples)])

    def sounding_in_band(self, capture: IQ) -> InBandNoise | None:
        """Nothing: whose slot shows its value hides nothing in receiver noise, and may be anywhere in the capture."""
        return None

    def payload_in_band(self, capture: IQ) -> InBandNoise | None:
        """Nothing."""
        return None

    def payload_noise_power(self, capture: IQ) -> float:
        """N0 from the guard."""
        return noise_power_of_guard(capture, self._frame)

    def receive(self, capture: IQ, plan: Plan, known: Known, *, device: int | None) -> Received:
        """A slot's data divided by the channel that its pilots show."""
        layout, amplitude = self._slot(plan), self._format.max_amplitude
        piece: IQ = capture
        problem = None
        if self._frame.start_uncertainty_samples > 0:
            piece, found = find_frame(
                capture,
                layout.num_symbols,
                self._frame,
                amplitude=amplitude,
                sample_rate_hz=self._radio_config.sample_rate_hz,
            )
            problem = None if found else "no frame was found in its slot; it was silent, late or too weak"
        symbols = matched_filter(piece, layout.num_symbols, self._frame)
        data, gain_power = equalise_slot(symbols, layout, pilot_amplitude=amplitude)
        noise_variance = real_noise_variance(known.noise_power, self._frame)
        return Received(
            symbols=data,
            noise_variance=noise_variance / gain_power if gain_power > 0 else math.inf,
            symbol_snr_db=symbol_snr_db(gain_power, noise_variance, self._radio_config.max_power),
            saturated=known.saturated or is_saturated(capture, self._frame),
            device=device,
            value_power=known.value_power,
            problem=problem,
        )

    def _slot(self, plan: Plan) -> SlotLayout:
        return slot_layout(self._scheme.frame_symbols(plan.num_queries))
