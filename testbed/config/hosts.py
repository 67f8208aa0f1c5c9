"""What one learner host may say differently from the access point: where things are, and what computes them there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from testbed.config.files import override, parse_override
from testbed.config.schema import RunConfig, to_plain
from testbed.config.words import HOST_KEYS
from testbed.errors import ConfigError

_SETTINGS = "settings"


def host_keys(config: RunConfig) -> tuple[str, ...]:
    """What hosts may override in this run: `HOST_KEYS`, and what the backend says is local of its `settings`."""
    from testbed.config.backends import backend_of  # NumPy, which no command line waits for

    return (*HOST_KEYS, *(f"{_SETTINGS}.{key}" for key in backend_of(config.rig).host_settings))


def host_override(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """``config`` as it is on this host. Raises ConfigError for a key that is not the host's to say."""
    check_host_overrides(overrides, host_keys(config) if overrides else ())
    return override(config, overrides)


def check_host_overrides(overrides: Sequence[str], allowed: Sequence[str] = (*HOST_KEYS, f"{_SETTINGS}.*")) -> None:
    """Raise ConfigError for an override that no host may make, before there is a configuration.

    Which ``settings`` are local is known only with the rig, so all pass here; `host_override` decides.
    """
    for text in overrides:
        keys, _ = parse_override(text)
        key = ".".join(keys)
        any_setting = len(keys) > 1 and keys[0] == _SETTINGS and f"{_SETTINGS}.*" in allowed
        if key not in allowed and not any_setting:
            raise ConfigError(
                f"--set {text}: {key} is the same for all hosts of a run; allowed on a host: {', '.join(allowed)}; "
                f"set {key} at the access point"
            )


def without_host_keys(config: RunConfig) -> dict[str, Any]:
    """The configuration as plain tables, without what hosts may say differently."""
    plain = to_plain(config)
    for dotted in host_keys(config):
        section, key = dotted.split(".")
        for table in plain.values():
            if section in table:
                table[section].pop(key, None)
    return plain
