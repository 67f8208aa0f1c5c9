"""The access point's end of all links: what lives longer than a fading block.

A round: `block` → alignment, soundings → `Block.channels` → `align` (plan; devices start sending) → `receive`.
"""

from __future__ import annotations

from collections.abc import Callable

from radio.air.channel import Truth
from radio.backends.base import Radio
from radio.config import FrameConfig, RadioConfig
from radio.errors import RadioConfigError
from radio.link.block import Block
from radio.link.memory import ReceiverMemory
from radio.link.receiver import Receiver
from radio.link.setup import LinkSetup
from radio.link.starts import CountedStarts
from radio.records import Plan
from radio.schemes.alignment_rule import AlignmentRule
from radio.schemes.base import Scheme
from radio.waveform.base import Part
from radio.waveform.estimates import CfoTracker


class AccessPointLink:
    """The access point's receiver, and its memory of offsets, noise, links, values and starts.

    Raises SchemeUnsupportedError when the rig lacks what the scheme needs, RadioConfigError for settings that do not
    fit together, before the radio is tuned.
    """

    def __init__(
        self,
        radio: Radio,
        radio_config: RadioConfig,
        frame: FrameConfig,
        scheme: Scheme,
        num_devices: int,
        *,
        rule: AlignmentRule | None = None,
        genie: Callable[[], Truth] | None = None,
    ) -> None:
        """`genie` replaces sounding by the air's own truth (symbol level only)."""
        if genie is not None and not frame.is_symbol_level:
            raise RadioConfigError("csi: got 'genie' on a sample-level frame; allowed on the symbol level only")
        rule = rule or AlignmentRule()
        setup = LinkSetup.of(scheme, frame, radio_config, num_devices, radio.capabilities)
        setup.check(frame, rule)
        radio.configure(radio_config)
        bound_hz = 0.0 if frame.is_symbol_level else radio_config.residual_cfo_max_hz
        self.starts = CountedStarts(radio, radio_config, frame, num_devices, used=setup.counts_starts)
        """When devices must start, where that is by counting samples."""
        self._receiver = Receiver(
            radio=radio,
            setup=setup,
            num_devices=num_devices,
            rule=rule,
            genie=genie,
            starts=self.starts,
            trackers=tuple(CfoTracker.within(bound_hz) for _ in range(num_devices)),
        )

    @property
    def noise_power(self) -> float:
        """N0, total per complex sample: the mean over the noise heard so far. Raises SignalError before any."""
        return self._receiver.noise_power

    def block(self, round_index: int, attempt: int) -> Block:
        """Start a round, or another attempt: neither carrier offsets nor the noise are forgotten."""
        return Block(self._receiver, round_index, attempt)

    def parts(self, plan: Plan) -> tuple[Part, ...]:
        """What is where in the capture of a payload, or of each slot."""
        return self._receiver.setup.waveform.parts(plan)

    def memory(self) -> ReceiverMemory:
        """What the receiver remembers between two rounds, to be written down."""
        return self._receiver.memory()

    def recall(self, memory: ReceiverMemory) -> None:
        """Go on from there, bit for bit on an air whose clock does so too. Raises SignalError for what does not fit."""
        self._receiver.recall(memory)
