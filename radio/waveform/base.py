"""A waveform: how soundings and payloads become samples and back. Pure; either end of a link uses the same one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from radio.arrays import Complexes
from radio.config import FrameConfig, RadioConfig
from radio.records import Csi, Plan, Received
from radio.samples import IQ
from radio.waveform.estimates import CfoTracker, Sounding
from radio.waveform.modulation import InBandNoise, max_symbol_amplitude
from radio.waveform.tones import PILOT_SHARE, max_tone_power


@dataclass(frozen=True, slots=True, eq=False)
class Transmission:
    """What a radio sends: a frame, so many times back to back."""

    frame: IQ
    num_repeats: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """When to listen for a transmission that starts now, or late by what the frame allows."""

    settle_samples: int
    """Passed over before the capture, until everybody is heard."""
    capture_samples: int
    on_air_samples: int
    """Of one that is on time, from its start on."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a payload's capture."""

    name: str
    """guard, sync, pilots, gap, values, tail; slot, of pilots among values; tones; or search, in which it lies."""
    first_sample: int
    """From the capture's begin."""
    num_samples: int


def parts_of(*lengths: tuple[str, int]) -> tuple[Part, ...]:
    """One behind the other; without those of no length."""
    parts, begin = [], 0
    for name, num_samples in lengths:
        if num_samples:
            parts.append(Part(name, begin, num_samples))
        begin += num_samples
    return tuple(parts)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """What the access point knows of a payload before it looks at the capture."""

    soundings: Mapping[int, Sounding]
    """Of the active devices that were sounded."""
    gains: Complexes
    """ĥ of the active devices, ones where nobody knows; shape [K']."""
    noise_power: float
    """N0, total per complex sample, with this capture's own."""
    first_sample: int
    """The receive-clock index at which the capture begins."""
    saturated: bool
    """Whether a sounding hit full scale."""
    value_power: float
    """E p_k²."""


class Carried(Protocol):
    """What a waveform must know of the scheme whose values it carries."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def needs_sounding(self) -> bool:
        """Whether devices know their channels before the payload."""
        ...

    def frame_symbols(self, num_queries: int) -> int:
        """Data symbols of one device's transmission, without pilots."""
        ...


class Waveform(Protocol):
    """Knows frames, pilots and layouts of one scheme on one rig; keeps nothing from round to round."""

    meets_by_sample: ClassVar[bool]
    """Whether payloads must start together to the sample, so that devices may start by counting."""
    has_ridge: ClassVar[bool]
    """Whether regularised inversion is known for it."""

    def check(self, rig_frame: FrameConfig, *, counts_starts: bool) -> None:
        """Raise RadioConfigError for a frame, as the rig has it, or a tuning that it cannot work with."""
        ...

    # ---- soundings

    @property
    def sounding(self) -> Lengths:
        """Of one sounding."""
        ...

    def pilot(self) -> Transmission:
        """One sounding at full power."""
        ...

    def sounding_noise_power(self, capture: IQ) -> float:
        """N0 as a captured sounding shows it."""
        ...

    def sounding_in_band(self, capture: IQ) -> InBandNoise | None:
        """The noise on the payload's own bins, as a captured sounding shows it; None where no scheme may count it."""
        ...

    def sound(self, capture: IQ, *, noise_power: float, first_sample: int, tracker: CfoTracker | None) -> Sounding:
        """The channel from a captured sounding whose first sample has the index `first_sample`; teaches `tracker`.

        Not heard when nobody sent; `noise_power` is N0 as far as known, with this capture's.
        """
        ...

    def reported(self, csi: Csi | None, *, noise_power: float, time_samples: int) -> Sounding:
        """What a receiver with this noise must have measured to report `csi` by reciprocity; None is nothing heard."""
        ...

    # ---- payloads

    def payload(
        self, symbols: Complexes, plan: Plan, csi: Csi | None, *, device: int, secret: np.random.Generator
    ) -> Transmission:
        """One device's encoded values, shape [S] as its scheme encodes them; `secret` draws what is nobody's business.

        Raises SignalError for what exceeds power or full scale.
        """
        ...

    def payload_lengths(self, plan: Plan) -> Lengths:
        """Of what `receive` looks at: everybody's payload, or one device's slot."""
        ...

    def parts(self, plan: Plan) -> tuple[Part, ...]:
        """What is where in the capture that `receive` looks at, as far as that is known beforehand."""
        ...

    def payload_noise_power(self, capture: IQ) -> float:
        """N0 as a captured payload shows it."""
        ...

    def payload_in_band(self, capture: IQ) -> InBandNoise | None:
        """The same as a captured payload shows it."""
        ...

    def receive(self, capture: IQ, plan: Plan, known: Known, *, device: int | None) -> Received:
        """What a scheme estimates from, with all that pilots tell; `device` is whose slot it is, None of a superposed
        payload."""
        ...

    # ---- alignment

    def full_gain(self, *, bound: float, num_queries: int) -> float:
        """As what a value of 1 is sent at full power, when one of `bound` takes it all."""
        ...

    def gain_limit(self, csi: Sequence[Csi], *, bound: float, num_queries: int) -> float:
        """As what a value of 1 can arrive from each of these channels, none of them over power; 0 where one is no
        channel."""
        ...


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
