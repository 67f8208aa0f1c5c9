"""How a scheme runs on a rig, the same at both ends of a link: its waveform, its frame, and who counts samples.

Also whether it can run there at all; asked once, before anything is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeAlias

import msgspec

from radio.config import Capabilities, FrameConfig, RadioConfig
from radio.errors import RadioConfigError
from radio.schemes.alignment_rule import AlignmentRule
from radio.schemes.base import Scheme
from radio.schemes.registry import check_support
from radio.waveform.base import SymbolFormat, Waveform
from radio.waveform.symbol_blocks import SymbolBlocks
from radio.waveform.symbol_slots import SymbolSlots
from radio.waveform.tone_periods import TonePeriods

WaveformType: TypeAlias = type[SymbolBlocks] | type[TonePeriods]

_WAVEFORMS: dict[tuple[str, bool], WaveformType] = {
    ("symbols", True): SymbolBlocks,
    ("symbols", False): SymbolSlots,
    ("tones", True): TonePeriods,
}
"""By a scheme's `waveform` and `superposed`: the one place that asks for either."""


def waveform_type(scheme: Scheme) -> WaveformType:
    """What carries this scheme's values. Raises RadioConfigError for facts that fit no waveform."""
    found = _WAVEFORMS.get((scheme.waveform, scheme.superposed))
    if found is None:
        raise RadioConfigError(
            f"scheme {scheme.name!r}: got waveform {scheme.waveform!r} with superposed = {scheme.superposed}; allowed: "
            + ", ".join(f"{name!r} with {superposed}" for name, superposed in _WAVEFORMS)
        )
    return found


def counts_starts(scheme: Scheme, capabilities: Capabilities, frame: FrameConfig) -> bool:
    """Whether devices start together by counting samples: payloads must meet, without a trigger, and streams count."""
    together = waveform_type(scheme).meets_by_sample and not frame.is_symbol_level
    return together and capabilities.streaming and not capabilities.trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSetup:
    """What both ends of a link agree on without a word."""

    scheme: Scheme
    waveform: Waveform
    frame: FrameConfig
    """As the rig has it; where starts are counted, as it is once they are known to the sample."""
    radio_config: RadioConfig
    symbol_format: SymbolFormat
    counts_starts: bool

    @classmethod
    def of(
        cls,
        scheme: Scheme,
        rig_frame: FrameConfig,
        radio_config: RadioConfig,
        num_devices: int,
        capabilities: Capabilities,
    ) -> Self:
        """Raises SchemeUnsupportedError when the rig lacks what the scheme needs."""
        check_support(scheme, capabilities)
        counts = counts_starts(scheme, capabilities, rig_frame)
        frame = rig_frame
        if counts:
            frame = msgspec.structs.replace(rig_frame, start_uncertainty_samples=0, control_latency_samples=0)
        return cls(
            scheme=scheme,
            waveform=waveform_type(scheme)(scheme, frame, radio_config, num_devices),
            frame=frame,
            radio_config=radio_config,
            symbol_format=SymbolFormat.of(frame, radio_config),
            counts_starts=counts,
        )

    def check(self, rig_frame: FrameConfig, rule: AlignmentRule) -> None:
        """Raise RadioConfigError for a frame, clocks or an alignment rule that the scheme cannot work with."""
        if rule.name == "regularised" and not self.waveform.has_ridge:
            raise RadioConfigError(
                f"alignment.name: got 'regularised' with scheme {self.scheme.name!r}; allowed: 'min_k' or 'truncated'"
            )
        self.waveform.check(rig_frame, counts_starts=self.counts_starts)
