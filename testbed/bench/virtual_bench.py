"""From a rig to a bench of virtual Plutos."""

from __future__ import annotations

import time
from collections.abc import Callable

from radio.virtual_pluto.server import VirtualPlutos
from testbed.config.schema import Rig

_POLL_S = 0.1


def virtual_plutos(rig: Rig) -> VirtualPlutos:
    """Serve a rig's virtual radios; a context manager. Raises radio.errors.RadioConfigError."""
    return VirtualPlutos(
        rig.virtual,
        num_devices=rig.num_devices,
        air=rig.air,
        radio=rig.radio,
        shared_clock=rig.clock.shared_clock,
    )


def serve_virtual_plutos(rig: Rig, should_stop: Callable[[], bool], on_ready: Callable[[str], None]) -> None:
    """Serve until `should_stop`; `on_ready` gets a line with the URI of each radio, then one that says so."""
    with virtual_plutos(rig) as plutos:
        for device, uri in enumerate(plutos.device_uris):
            on_ready(f"{uri} device {device}")
        on_ready(f"{plutos.access_point_uri} access point")
        on_ready(f"ready: {rig.num_devices + 1} virtual Plutos, {rig.virtual.pacing.replace('_', ' ')}")
        while not should_stop():
            time.sleep(_POLL_S)
