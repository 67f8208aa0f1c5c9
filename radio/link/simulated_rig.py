"""A whole rig in one process, with values given: an air, device links and an access point link; no learner, no wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from radio.air.air import Air
from radio.air.config import AirConfig, check_compatible
from radio.arrays import Reals
from radio.backends.loopback import ALL_CAPABILITIES, LoopbackRadio
from radio.config import Capabilities, FrameConfig, RadioConfig
from radio.link.access_point import AccessPointLink
from radio.link.block import Block, Channels
from radio.link.device import DeviceLink
from radio.link.reception import Reception
from radio.randomness import generator
from radio.records import Csi, Estimate, Plan
from radio.schemes.alignment_rule import AlignmentRule
from radio.schemes.registry import scheme
from radio.waveform.estimates import Sounding

FREE_RUNNING = Capabilities(trigger=False, streaming=False, shared_clock=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Played:
    """One round that was played."""

    plan: Plan
    soundings: dict[int, Sounding]
    """By device."""
    reception: Reception
    reference: Reals
    """What a perfect round estimates: over the devices that the plan kept active, shape [Q]."""


class SimulatedRig:
    """Plays rounds of one scheme; everything random follows from the seed."""

    def __init__(
        self,
        air_config: AirConfig,
        scheme_name: str = "coherent",
        *,
        num_devices: int = 5,
        seed: int = 1,
        frame: FrameConfig | None = None,
        tuning: RadioConfig | None = None,
        rule: AlignmentRule | None = None,
        capabilities: Capabilities = ALL_CAPABILITIES,
    ) -> None:
        self.scheme = scheme(scheme_name)
        self.seed = seed
        self.tuning = tuning or RadioConfig()
        air_config = self.scheme.air_override or air_config
        self.frame = (frame or FrameConfig()).for_level(air_config.level)
        check_compatible(air_config, self.frame)
        self.air = Air(
            air_config,
            num_devices=num_devices,
            seed=seed,
            sample_rate_hz=self.tuning.sample_rate_hz,
            tx_power=self.tuning.max_power,
            center_freq_hz=self.tuning.center_freq_hz,
        )
        self.devices = [
            DeviceLink(
                LoopbackRadio(self.air, device, capabilities),
                self.tuning,
                self.frame,
                self.scheme,
                device,
                num_devices=num_devices,
            )
            for device in range(num_devices)
        ]
        self.access_point = AccessPointLink(
            LoopbackRadio(self.air, self.air.access_point, capabilities),
            self.tuning,
            self.frame,
            self.scheme,
            num_devices,
            rule=rule,
            genie=self.air.truth if air_config.csi == "genie" else None,
        )

    def sound(self, round_index: int = 0, attempt: int = 1) -> Block:
        """Start a block and let every device send its pilot, where the scheme needs that."""
        block = self.access_point.block(round_index, attempt)
        for index in block.unaligned():
            start_sample = self.devices[index].send_pilot()
            assert start_sample is not None, "only devices that count are ever unaligned"
            assert block.hear_start(index, start_sample), "its frame was not heard"
        if block.needs_sounding:
            for slot in block.pilot_slots(range(len(self.devices))):
                self.devices[slot.device].send_pilot(slot.start_sample, after_samples=slot.after_samples)
            for index in range(len(self.devices)):
                block.sound(index)
        return block

    def make_plan(self, channels: Channels, *, clip: float, num_queries: int, round_index: int) -> Plan:
        """Full power under the rig's rule, without artificial noise."""
        alignment = channels.align(clip=clip, noise_std=0.0, num_queries=num_queries)
        return Plan(
            gain=alignment.gain,
            artificial_noise_std=0.0,
            clip=clip,
            num_queries=num_queries,
            active=alignment.active,
            ridge=alignment.ridge,
            round_index=round_index,
        )

    def play(
        self,
        values: Reals,
        *,
        clip: float = 1.0,
        round_index: int = 0,
        backwards: bool = False,
        genie: Mapping[int, Csi] | None = None,
    ) -> Played:
        """One whole round with values [K, Q] within ±clip; `genie` replaces sounding by channels that are told."""
        if genie is None:
            block = self.sound(round_index)
            channels = block.channels()
        else:
            block = self.access_point.block(round_index, 1)
            block.measure_noise()
            channels = block.told(genie)
        plan = self.make_plan(
            channels, clip=self.scheme.mapped_clip(clip), num_queries=values.shape[1], round_index=round_index
        )
        mapped = self.scheme.mapped(values)
        starts = channels.starts(plan)
        slots = {slot.device: slot.after_samples for slot in channels.payload_slots(plan)}
        for index in list(plan.active)[:: -1 if backwards else 1]:
            secret = generator(self.seed, index, round_index, purpose="secret phases")
            self.devices[index].send_values(
                mapped[index],
                plan,
                channels.csi.get(index),
                secret,
                start_sample=starts.get(index),
                after_samples=slots.get(index, 0),
            )
        return Played(
            plan=plan,
            soundings=block.soundings,
            reception=channels.receive(plan),
            reference=self.scheme.reference(values[list(plan.active)]),
        )

    def round(
        self,
        values: Reals,
        *,
        clip: float = 1.0,
        round_index: int = 0,
        backwards: bool = False,
        genie: Mapping[int, Csi] | None = None,
    ) -> Estimate:
        """The estimate that `play` comes to."""
        played = self.play(values, clip=clip, round_index=round_index, backwards=backwards, genie=genie)
        return played.reception.estimate
