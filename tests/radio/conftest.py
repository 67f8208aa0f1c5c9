"""A whole rig in one process: an air, K device links and an access point link, and one round over them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from radio.access_point_link import AccessPointLink
from radio.air import Air
from radio.config import AirConfig, FrameConfig, RadioConfig
from radio.device_link import DeviceLink
from radio.loopback import LoopbackRadio
from radio.precoding import AlignmentRule
from radio.schemes import Estimate, TransmitPlan, scheme


@dataclass
class Bench:
    """Everything of one simulated rig."""

    air: Air
    devices: list[DeviceLink]
    access_point: AccessPointLink
    superposed: bool
    plan: TransmitPlan | None = None

    def sound(self, round_index: int = 0, attempt: int = 0) -> None:
        """Start a block and let every device send its pilot."""
        self.access_point.begin_block(round_index, attempt)
        if self.access_point.needs_sounding:
            for index, device in enumerate(self.devices):
                device.send_pilot()
                self.access_point.capture_pilot(index)

    def round(
        self, values: NDArray[np.float64], *, clip: float = 1.0, round_index: int = 0, backwards: bool = False
    ) -> Estimate:
        """One whole round with `values` [K, Q] at full power."""
        self.sound(round_index)
        csi = self.access_point.predict_csi()
        alignment = self.access_point.align(csi, clip=clip, noise_std=0.0, num_queries=values.shape[1])
        self.plan = plan = TransmitPlan(
            gain=alignment.gain,
            artificial_noise_std=0.0,
            clip=clip,
            num_queries=values.shape[1],
            active=alignment.active,
            ridge=alignment.ridge,
            round_index=round_index,
        )
        order = list(alignment.active)[:: -1 if backwards else 1]
        for index in order:
            secret = np.random.default_rng([round_index, index])
            self.devices[index].send_values(values[index], plan, csi.get(index), secret)
            if not self.superposed:
                self.access_point.receive_slot(index, plan)
        if self.superposed:
            return self.access_point.receive_superposed(plan)
        return self.access_point.combine(plan)


def build(
    air_config: AirConfig,
    name: str = "coherent",
    *,
    num_devices: int = 5,
    seed: int = 1,
    frame: FrameConfig | None = None,
    tuning: RadioConfig | None = None,
    rule: AlignmentRule | None = None,
) -> Bench:
    chosen = scheme(name)
    air_config = chosen.air_override or air_config
    layout = (frame or FrameConfig()).for_level(air_config.level)
    tuning = tuning or RadioConfig()
    air = Air(
        air_config,
        num_devices=num_devices,
        seed=seed,
        sample_rate_hz=tuning.sample_rate_hz,
        tx_power=tuning.max_power,
    )
    return Bench(
        air=air,
        devices=[
            DeviceLink(LoopbackRadio(air, device), tuning, layout, chosen, device, num_devices=num_devices)
            for device in range(num_devices)
        ],
        access_point=AccessPointLink(
            LoopbackRadio(air, air.access_point),
            tuning,
            layout,
            chosen,
            num_devices,
            rule=rule,
            genie=air.truth if air_config.csi == "genie" else None,
        ),
        superposed=chosen.superposed,
    )


@pytest.fixture(scope="session")
def bench() -> Callable[..., Bench]:
    return build
