"""What a symbol may be."""

from __future__ import annotations

from dataclasses import dataclass

from radio.config import FrameConfig, RadioConfig
from radio.waveform.block import max_symbol_amplitude
from radio.waveform.tones import PILOT_SHARE, max_tone_power


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolFormat:
    """What a symbol may be."""

    max_amplitude: float
    """√P, or less where the peak would pass full scale."""
    period_s: float
    """From one symbol to the next."""
    tone_power: float = 0.0
    """P of random-phase tones, less the pilots' share."""

    @classmethod
    def of(cls, frame: FrameConfig, radio_config: RadioConfig) -> SymbolFormat:
        """Under this frame and tuning."""
        return cls(
            max_amplitude=max_symbol_amplitude(frame, radio_config),
            period_s=frame.symbol_samples / radio_config.sample_rate_hz,
            tone_power=max_tone_power(radio_config.max_power) * (1 - PILOT_SHARE),
        )
