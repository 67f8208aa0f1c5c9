"""Virtual Plutos for tests, and what tests do where libiio is missing."""

import pytest

from radio.air.config import AirConfig
from radio.backends.pluto.driver import load_adi
from radio.config import RadioConfig
from radio.errors import DriverError
from radio.virtual_pluto.config import Fault, VirtualConfig
from radio.virtual_pluto.server import VirtualPlutos


def require_libiio() -> None:
    """Skip the test, loudly, where libiio 0.x or pyadi-iio are missing."""
    try:
        load_adi()
    except DriverError as err:
        pytest.skip(f"NOT TESTED: {err}")


def virtual_plutos(
    *,
    num_devices: int = 1,
    air: AirConfig,
    shared_clock: bool,
    tuning: RadioConfig | None = None,
    faults: tuple[Fault, ...] = (),
    **settings: object,
) -> VirtualPlutos:
    """Servers at free ports, as fast as possible, that start within a millisecond and hardly hear themselves."""
    settings = {"start_jitter_min_ms": 0.1, "start_jitter_max_ms": 1.0, "leakage_db": 120.0, "hold_s": 20.0, **settings}
    config = VirtualConfig(first_port=0, faults=faults, **settings)
    return VirtualPlutos(
        config, num_devices=num_devices, air=air, radio=tuning or RadioConfig(), shared_clock=shared_clock
    )
