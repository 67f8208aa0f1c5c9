"""Which backend a rig names, and its own settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from radio.backends.backend import Backend
from radio.backends.pluto.config import PlutoBench
from radio.backends.registry import backend
from testbed import plugins
from testbed.config.schema import Rig
from testbed.errors import ConfigError


def backend_of(rig: Rig) -> Backend:
    """The backend that the rig names. Raises RadioConfigError with the names there are."""
    plugins.look_for("backend", rig.backend)
    return backend(rig.backend)


def settings_of(rig: Rig) -> Any:
    """The backend's own settings: from the rig's sections, or what the table ``settings`` holds. None without any.

    Raises ConfigError for a table that the backend does not understand.
    """
    kind = backend_of(rig).settings
    ours = _FROM_SECTIONS.get(kind) if kind is not None else None
    if kind is not None and ours is None:
        try:
            return msgspec.convert(rig.settings, kind)
        except msgspec.ValidationError as err:
            raise ConfigError(f"settings: backend {rig.backend!r}: {err}; correct this table of the rig") from err
    if rig.settings:
        raise ConfigError(
            f"settings: got {sorted(rig.settings)} with backend {rig.backend!r}; allowed: nothing, as this table is "
            "for backends from outside; remove it"
        )
    return ours(rig) if ours is not None else None


def _plutos(rig: Rig) -> PlutoBench:
    """The section ``pluto``, with the addresses of the virtual ones where it has none."""
    plain = msgspec.structs.asdict(rig.pluto)
    if not rig.pluto.is_virtual:
        return PlutoBench(**plain)
    addresses = [rig.virtual.address(station) for station in range(rig.num_devices + 1)]
    *devices, access_point = [f"ip:{host}:{port}" for host, port in addresses]
    plain |= {"devices": tuple(devices), "access_point": access_point}
    return PlutoBench(**plain, simulated=True, real_time=rig.virtual.pacing == "real_time")


_FROM_SECTIONS: dict[type[msgspec.Struct], Callable[[Rig], Any]] = {PlutoBench: _plutos}
"""Settings that sections of the rig make together."""
