"""What was seen of the hosts' weights when a run ended; nothing is called equal that was not compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from testbed.errors import DivergenceError
from testbed.results.records import RunInfo
from testbed.results.words import listed

_SHOWN = 12
UNHEARD = "no goodbye was heard from its host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What one host said of its live weights when it was dismissed."""

    devices: tuple[int, ...]
    next_round: int
    """How many rounds it has applied."""
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The final weights, which the access point rebuilt from the journal, against those of the hosts."""

    fingerprint: str
    """Of the rebuilt weights."""
    devices: tuple[int, ...] = ()
    """Devices whose host's live weights were compared with them, and were the same bit for bit."""
    differing: tuple[int, ...] = ()
    """Devices whose host's weights were others."""
    not_verified: str | None = None
    """Which devices' were not compared or not the same, and why; None if all were verified."""

    @property
    def final_fingerprint(self) -> str | None:
        """Of live weights that were seen; None if none was."""
        return self.fingerprint if self.devices else None

    def check(self) -> None:
        """Raise DivergenceError if a host ended with other weights."""
        if self.differing:
            raise DivergenceError(
                f"end of the run: {self.not_verified}; do hosts and access point run the same version? "
                "The final weights are the journal's"
            )

    def ended(self, info: RunInfo) -> RunInfo:
        """``info`` of a run that has ended like this."""
        return msgspec.structs.replace(
            info,
            rebuilt_fingerprint=self.fingerprint,
            final_fingerprint=self.final_fingerprint,
            verified_devices=self.devices,
            not_verified=self.not_verified,
            failure=None,
        )


def failed(info: RunInfo, reason: str) -> RunInfo:
    """``info`` of a run that cannot go on, for the report; the next end, or the next failure, replaces it."""
    return msgspec.structs.replace(info, failure=reason)


def going_on(info: RunInfo) -> RunInfo:
    """``info`` of a run that goes on: how it ended before says nothing any more."""
    return msgspec.structs.replace(
        info,
        rebuilt_fingerprint=None,
        final_fingerprint=None,
        verified_devices=None,
        not_verified=None,
        failure=None,
    )


def verify(
    fingerprint: str,
    live: Iterable[Live],
    *,
    num_devices: int,
    num_rounds: int,
    unheard: Mapping[int, str] | str = UNHEARD,
) -> Verification:
    """Compare the rebuilt weights with what hosts said of theirs; pure.

    ``num_rounds`` is how many rounds the journal has. ``unheard`` says why devices are not in ``live``, all of them or
    each. A host that is rounds behind is not compared: its weights have to be others.
    """
    why: dict[int, str] = {}
    verified: set[int] = set()
    differing: set[int] = set()
    for host in live:
        if host.next_round != num_rounds:
            why |= dict.fromkeys(host.devices, f"its host ended at round {host.next_round} of {num_rounds}")
        elif host.fingerprint != fingerprint:
            differing |= {*host.devices}
            text = f"its host's weights are {host.fingerprint[:_SHOWN]}, not the journal's {fingerprint[:_SHOWN]}"
            why |= dict.fromkeys(host.devices, text)
        else:
            verified |= {*host.devices}
    verified -= why.keys()
    for device in sorted(set(range(num_devices)) - verified - why.keys()):
        why[device] = unheard if isinstance(unheard, str) else unheard.get(device, UNHEARD)
    return Verification(
        fingerprint=fingerprint,
        devices=tuple(sorted(verified)),
        differing=tuple(sorted(differing)),
        not_verified=_grouped(why),
    )


def _grouped(why: Mapping[int, str]) -> str | None:
    """Devices by reason, in one line."""
    groups: dict[str, list[int]] = {}
    for device in sorted(why):
        groups.setdefault(why[device], []).append(device)
    return "; ".join(f"{listed(devices)}: {reason}" for reason, devices in groups.items()) or None
