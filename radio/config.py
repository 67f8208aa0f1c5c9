"""What the radio layer can be told: strict, frozen records, checked also when built in Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from radio.errors import RadioConfigError
from radio.settings import Checked

Level = Literal["sample", "symbol"]

MAX_FREQUENCY_HZ = 6e9
MAX_LENGTH_SAMPLES = 1 << 20


LengthMeta = msgspec.Meta(ge=0, le=MAX_LENGTH_SAMPLES, multiple_of=4)


class FrameConfig(Checked, frozen=True, kw_only=True):
    """How a transmission is laid out.

    Symbols: guard, synchronisation part, symbols of a cyclic prefix and a block each, tail. Tones: whole periods.
    """

    samples_per_symbol: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)] = 256
    """N, the samples of one symbol's block: a multiple of 4, or 1 on the symbol level."""
    cyclic_prefix_samples: Annotated[int, LengthMeta] = 32
    """Copied from the block's end to its front; half of it takes up delays, half of it filter tails."""
    sync_samples: Annotated[int, msgspec.Meta(ge=0, le=1 << 14, multiple_of=8)] = 64
    """Synchronisation part in front of the symbols: two equal halves; 0 leaves it out."""
    start_uncertainty_samples: Annotated[int, LengthMeta] = 0
    """How late a transmission may start: so long a receiver looks for the synchronisation, or waits for tones. Radios
    that count samples are told to start so much ahead of time."""
    control_latency_samples: Annotated[int, LengthMeta] = 0
    """Silence in front of transmissions, part of `start_uncertainty_samples`: how long messages may be on their way
    while air time runs, so that the receiver has begun before the signal does. Simulated air waits: 0."""
    tone_period_samples: Annotated[int, msgspec.Meta(ge=200, le=1 << 18, multiple_of=4)] = 5000
    """Period of a noncoherent payload, whose tones are its harmonics."""
    tone_sounding_samples: Annotated[int, msgspec.Meta(ge=200, le=1 << 18, multiple_of=4)] = 1000
    """Period of a noncoherent sounding."""
    guard_samples: Annotated[int, msgspec.Meta(ge=16, le=MAX_LENGTH_SAMPLES, multiple_of=4)] = 64
    """Silence at the start of every capture, in which filters settle and noise can be measured."""
    pilot_spacing_symbols: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """Distance of the two pilots of a sounding, start to start."""
    sounding_to_payload_samples: Annotated[int, LengthMeta] = 1000
    """Air time from the end of the last sounding to the start of the superposed payload."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples_per_symbol != 1 and self.samples_per_symbol % 4:
            raise RadioConfigError(
                f"samples_per_symbol: got {self.samples_per_symbol}; allowed: a multiple of 4, or 1 on the symbol level"
            )
        if self.control_latency_samples > self.start_uncertainty_samples:
            raise RadioConfigError(
                f"control_latency_samples: got {self.control_latency_samples}; allowed: at most "
                f"start_uncertainty_samples = {self.start_uncertainty_samples}, which covers both it and the jitter"
            )
        if self.samples_per_symbol == 1 and self.cyclic_prefix_samples:
            raise RadioConfigError(
                f"cyclic_prefix_samples: got {self.cyclic_prefix_samples}; allowed: 0 with samples_per_symbol = 1"
            )
        if self.cyclic_prefix_samples > self.samples_per_symbol:
            raise RadioConfigError(
                f"cyclic_prefix_samples: got {self.cyclic_prefix_samples}; "
                f"allowed: at most samples_per_symbol = {self.samples_per_symbol}"
            )

    @classmethod
    def symbol_level(cls) -> FrameConfig:
        """One sample a symbol, no prefix, and a guard so that noise can still be measured."""
        return cls(
            samples_per_symbol=1, cyclic_prefix_samples=0, guard_samples=64, sync_samples=0,
            pilot_spacing_symbols=1, sounding_to_payload_samples=0,
        )  # fmt: skip

    def for_level(self, level: Level) -> FrameConfig:
        """This frame, or `symbol_level()` where a sample-level frame is asked to live on the symbol level."""
        if level == "sample" or self.is_symbol_level:
            return self
        symbols = FrameConfig.symbol_level()
        return msgspec.structs.replace(symbols, tone_period_samples=self.tone_period_samples)

    @property
    def is_symbol_level(self) -> bool:
        """Whether a sample is a symbol."""
        return self.samples_per_symbol == 1

    @property
    def symbol_samples(self) -> int:
        """Samples of one symbol with its prefix."""
        return self.cyclic_prefix_samples + self.samples_per_symbol

    @property
    def first_symbol_samples(self) -> int:
        """Where the first symbol begins."""
        return self.guard_samples + self.sync_samples

    def num_samples(self, num_symbols: int) -> int:
        """Samples of a frame: guard, synchronisation, symbols, a tail as long as the prefix; a multiple of 4."""
        used = self.first_symbol_samples + num_symbols * self.symbol_samples + self.cyclic_prefix_samples
        return -(-used // 4) * 4

    def num_capture_samples(self, num_symbols: int) -> int:
        """Samples in which a frame is found, however late it starts."""
        return self.num_samples(num_symbols) + self.start_uncertainty_samples


class RadioConfig(Checked, frozen=True, kw_only=True):
    """How every radio of the rig is tuned for a run."""

    sample_rate_hz: Annotated[float, msgspec.Meta(ge=1e3, le=61.44e6)] = 1e6
    """Complex samples a second, of transmitters and the receiver."""
    center_freq_hz: Annotated[float, msgspec.Meta(ge=70e6, le=MAX_FREQUENCY_HZ)] = 915e6
    """Local oscillators of transmitters and the receiver. No effect on a simulated air."""
    tx_gain_db: Annotated[float, msgspec.Meta(ge=-89.75, le=0)] = -30.0
    """Attenuation of real transmitters; a simulated air has it in its path loss."""
    rx_gain_db: Annotated[float, msgspec.Meta(ge=-3, le=71)] = 30.0
    """Gain of the real receiver, always manual; a simulated air has it in its path loss."""
    max_power_dbfs: Annotated[float, msgspec.Meta(ge=-90, le=0)] = -6.0
    """Mean power of a transmitted symbol at most; its peak never exceeds full scale."""
    residual_cfo_max_hz: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 20.0
    """What the rig's clocks are promised to stay within; the prior of the access point's CFO trackers."""
    residual_gain_max_db: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.0
    """What transmit gains are promised to stay within from sounding to payload; enters predicted errors."""

    @property
    def max_power(self) -> float:
        """P, linear, full scale is 1."""
        return float(10 ** (self.max_power_dbfs / 10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a rig's radios can do; schemes ask for these by name."""

    trigger: bool
    """Radios can start together to within a sample or so."""
    streaming: bool
    """Transmitters keep a gapless sample count."""
    shared_clock: bool
    """All radios run from one reference oscillator."""
