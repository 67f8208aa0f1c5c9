"""How a bench of virtual Plutos is set up; strict, as every rig section."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Annotated, Literal

import msgspec

from radio.air.config import AirConfig
from radio.config import RadioConfig
from radio.errors import RadioConfigError
from radio.settings import Checked

FaultKind = Literal["busy", "timeout", "silence", "drop", "restart"]
FaultCommand = Literal["OPEN", "CLOSE", "READBUF", "WRITEBUF", "READ", "WRITE", "PRINT", "VERSION", "TIMEOUT", "SET"]
DEFAULT_PORT = 30431
MAX_PORT = 65535


class Fault(Checked, frozen=True, kw_only=True):
    """One thing that goes wrong on purpose, counted over the commands that it matches."""

    kind: FaultKind
    """``busy`` answers −16, ``timeout`` −110; ``silence`` answers ``duration_s`` late; ``drop`` closes the
    connection; ``restart`` closes all of the radio's and does not listen for ``duration_s``."""
    command: FaultCommand
    """Which command it strikes."""
    station: Annotated[int, msgspec.Meta(ge=-1)] = -1
    """Which radio; -1 is every one."""
    skip: Annotated[int, msgspec.Meta(ge=0)] = 0
    """So many matching commands pass first."""
    every: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Strikes every so many-th of the rest."""
    times: Annotated[int, msgspec.Meta(ge=0)] = 1
    """Strikes so often in all; 0 is without end."""
    duration_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.2
    """How long ``silence`` and ``restart`` last."""


class VirtualConfig(Checked, frozen=True, kw_only=True):
    """A bench of virtual PlutoSDRs: devices 0..K-1, and the access point last."""

    seed: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 1
    """Of everything random on the bench: crystals, channels, phases, start jitter, noise."""
    pacing: Literal["as_fast_as_possible", "real_time"] = "as_fast_as_possible"
    """``real_time``: air time is wall time. Otherwise air time passes only as samples are read, or streamed."""
    ppm_max: Annotated[float, msgspec.Meta(ge=0, le=200)] = 20.0
    """Every crystal's error is constant, uniform in ± this; it moves carriers and sampling clocks alike. No effect
    on a shared clock."""
    start_jitter_min_ms: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 1.0
    """A transmission that is not a continuation starts so much air time after it was pushed, at least."""
    start_jitter_max_ms: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 10.0
    """At most."""
    random_phase: bool = True
    """Writing a local oscillator's frequency draws its phase anew; otherwise all phases are zero."""
    leakage_db: Annotated[float, msgspec.Meta(ge=-60, le=200)] = 40.0
    """How much weaker a radio hears its own transmitter, between full scales at the rig's gains."""
    block_ms: Annotated[float, msgspec.Meta(ge=0, le=3.6e6)] = 0.0
    """Air time of a fading block; 0 keeps one block for ever."""
    hold_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.5
    """As fast as possible, a gapless stream that runs dry holds air time back for so much wall time."""
    foreign_carrier_hz: Annotated[float, msgspec.Meta(ge=0, le=6e9)] = 0.0
    """Where somebody sends a carrier who is no part of the bench; 0 is nobody."""
    foreign_carrier_dbfs: Annotated[float, msgspec.Meta(ge=-120, le=0)] = -40.0
    """How strong it arrives everywhere, at the rig's receive gain."""
    swapped_cables: tuple[Annotated[int, msgspec.Meta(ge=0)], ...] = ()
    """Stations whose cables to transmitter and receiver are swapped: they are heard, and hear, through `isolation_db`
    only."""
    isolation_db: Annotated[float, msgspec.Meta(ge=0, le=120)] = 30.0
    """From a port to the cable of the other one."""
    calibration_burst_ms: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 0.0
    """How long a transmitter sends a tone at full drive when its carrier moves by more than 100 MHz and `calib_mode` is
    auto: its quadrature calibration. For how long real ones do is not published."""
    factory_xo_hz: Annotated[int, msgspec.Meta(ge=39_992_000, le=40_008_000)] = 40_000_000
    """`xo_correction` that every radio is started with, and states in its context."""
    stuck_underflow: bool = False
    """The transmit core's underflow bit is set for ever, as of firmware 0.39 on some radios (plutosdr-fw issue 107)."""
    unlocked: bool = False
    """70 MHz to 6 GHz and 56 MHz, as with the AD9364 patch, instead of 325 MHz to 3.8 GHz."""
    host: str = "127.0.0.1"
    """Where to listen."""
    first_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = DEFAULT_PORT
    """Port of the first radio; 0 takes any free ones."""
    spread: Literal["ports", "hosts"] = "ports"
    """``ports``: one after the other on one host. ``hosts``: the same port of 127.0.0.1, 127.0.0.2, …"""
    allow_remote: bool = False
    """Listen elsewhere than on loopback; anyone who can connect then controls the radios."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong on purpose."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start_jitter_max_ms < self.start_jitter_min_ms:
            raise RadioConfigError(
                f"start_jitter_max_ms: got {self.start_jitter_max_ms:g}; allowed: at least "
                f"start_jitter_min_ms = {self.start_jitter_min_ms:g}"
            )
        try:
            address = ipaddress.IPv4Address(self.host)
        except ValueError as err:
            raise RadioConfigError(f"host: got {self.host!r}; allowed: an IPv4 address such as 127.0.0.1") from err
        if not address.is_loopback and not self.allow_remote:
            raise RadioConfigError(f"host: got {self.host}; allowed: 127.x.x.x, or set allow_remote = true")

    def address(self, station: int) -> tuple[str, int]:
        """Where a station listens; port 0 is any. Raises RadioConfigError behind the last port."""
        if self.spread == "hosts":
            return str(ipaddress.IPv4Address(self.host) + station), self.first_port
        port = self.first_port + station if self.first_port else 0
        if port > MAX_PORT:
            raise RadioConfigError(
                f"first_port: got {self.first_port}; allowed: at most {MAX_PORT - station} for {station + 1} radios"
            )
        return self.host, port


def digest_of(
    config: VirtualConfig, air: AirConfig, radio: RadioConfig, *, num_devices: int, shared_clock: bool
) -> str:
    """Twelve digits that every virtual radio states, and by which a rig knows its own bench again; where it listens,
    and what goes wrong on purpose, does not count."""
    anywhere = {
        name: getattr(VirtualConfig(), name) for name in ("host", "first_port", "spread", "allow_remote", "faults")
    }
    bench = (msgspec.structs.replace(config, **anywhere), air, radio, num_devices, shared_clock)
    return hashlib.sha256(msgspec.json.encode(bench)).hexdigest()[:12]
