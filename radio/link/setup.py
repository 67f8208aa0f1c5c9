"""Whether a scheme, a frame, clocks and an alignment rule can work together; asked once, before anything is sent."""

from __future__ import annotations

import msgspec

from radio.config import Capabilities, FrameConfig, RadioConfig
from radio.errors import RadioConfigError
from radio.schemes.base import Scheme
from radio.schemes.precoding import AlignmentRule
from radio.waveform.estimates import check_unambiguous
from radio.waveform.format import SymbolFormat
from radio.waveform.layouts import MAX_DATA_BETWEEN_PILOTS


def counts_starts(scheme: Scheme, capabilities: Capabilities, frame: FrameConfig) -> bool:
    """Whether devices start together by counting samples: payloads must meet, without a trigger, and streams count."""
    together = scheme.superposed and scheme.waveform == "symbols" and not frame.is_symbol_level
    return together and capabilities.streaming and not capabilities.trigger


def counted_frame(frame: FrameConfig) -> FrameConfig:
    """The frame once starts are known to the sample."""
    return msgspec.structs.replace(frame, start_uncertainty_samples=0, control_latency_samples=0)


def check_setup(
    scheme: Scheme,
    frame: FrameConfig,
    radio_config: RadioConfig,
    rule: AlignmentRule,
    capabilities: Capabilities,
) -> None:
    """Raise RadioConfigError for what this scheme cannot work with."""
    if scheme.waveform == "tones":
        if rule.name == "regularised":
            raise RadioConfigError(
                f"alignment.name: got 'regularised' with scheme {scheme.name!r}; allowed: 'min_k' or 'truncated'"
            )
        return
    if frame.is_symbol_level:
        return
    if counts_starts(scheme, capabilities, frame):
        if frame.start_uncertainty_samples == 0:
            raise RadioConfigError(
                f"frame.start_uncertainty_samples: got 0 with scheme {scheme.name!r} on radios that count samples; "
                "allowed: above 0, how far ahead devices are told when to start"
            )
    elif scheme.superposed and frame.start_uncertainty_samples > 0:
        raise RadioConfigError(
            f"frame.start_uncertainty_samples: got {frame.start_uncertainty_samples} with scheme {scheme.name!r}, "
            "whose devices must start together: allowed: 0; add a trigger or streaming, or use a scheme of tones "
            "(energy, fsk_vote)"
        )
    if frame.start_uncertainty_samples > 0 and frame.sync_samples == 0:
        raise RadioConfigError("frame.sync_samples: got 0; allowed: above 0 where frame.start_uncertainty_samples > 0")
    spacing = frame.pilot_spacing_symbols if scheme.needs_sounding else MAX_DATA_BETWEEN_PILOTS + 1
    check_unambiguous(radio_config.residual_cfo_max_hz, spacing * SymbolFormat.of(frame, radio_config).period_s)
