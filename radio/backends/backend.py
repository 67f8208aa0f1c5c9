"""A kind of radio: what a rig can name, and how its radios are checked, opened and examined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from radio.air.medium import Medium
from radio.backends.base import Radio
from radio.config import Capabilities, FrameConfig, Level
from radio.errors import RadioConfigError

if TYPE_CHECKING:  # slow to import, and only named
    from radio.schemes.base import Scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a rig's radios are used for together."""

    num_devices: int
    """K; devices are stations 0..K-1, the access point is station K."""
    capabilities: Capabilities
    """What the rig promises of its radios."""
    frame: FrameConfig
    counts_samples: bool = False
    """Whether starts are by counting samples: radios then keep one continuous count."""


class RadioFinding(msgspec.Struct, frozen=True, kw_only=True):
    """What one radio says about itself, and what a look at it alone shows."""

    station: str
    """``device 0`` or ``access point``."""
    uri: str
    """Where it is."""
    problem: str | None = None
    """What is wrong with it, and what to do."""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    chip_temperature_c: float | None = None
    board_temperature_c: float | None = None
    supplies_v: dict[str, float] = {}
    ranges: dict[str, str] = {}
    loopback_errors: int | None = None
    """Of 4096 samples through the chip's digital loopback."""
    link_rate_hz: float | None = None
    left_behind: tuple[str, ...] = ()
    """What another program left otherwise than a run will set it."""
    underflow_sticks: bool | None = None
    """Its underflow bit is set even of a transmission that cannot have gaps."""
    bench: str | None = None
    """Of virtual radios: which bench they say they are of."""


class Backend(ABC):
    """One kind of radio, without a state of its own; only `name` and `open` must be given.

    `settings` in the methods is a record of the type that the attribute names, None where it names none.
    """

    name: ClassVar[str]
    """What a rig's `backend` says."""
    is_simulated: ClassVar[bool] = False
    """Whether radios are stations of an air made for the run, and all randomness comes from the experiment's seed: then
    `open` gets a medium, and whoever needs channels in advance may compute them."""
    settings: ClassVar[type[msgspec.Struct] | None] = None
    """The record of its own section of a rig: the table `settings`, for backends from outside."""
    host_settings: ClassVar[tuple[str, ...]] = ()
    """Keys of the table `settings` that only say where this machine finds its radios: each learner host may give its
    own. All others are compared when a host joins."""

    @abstractmethod
    def open(self, settings: Any, station: int, setup: Setup, medium: Medium | None) -> Radio:
        """The radio of one station, which need not be reached before it is configured. Raises RadioError."""

    def check(
        self, settings: Any, setup: Setup, *, scheme: Scheme, level: Level, csi: Literal["sounding", "reciprocity"]
    ) -> None:
        """Raise RadioConfigError for what these radios cannot be asked, before anything is opened."""
        if not self.is_simulated and (scheme.air_override is not None or level == "symbol"):
            raise RadioConfigError(
                f"backend: got {self.name!r} with scheme {scheme.name!r}, or on the symbol level, which exist on a "
                "simulated air only; allowed: 'loopback', for example --rig loopback"
            )

    def draws_noise(self, settings: Any) -> bool:
        """Whether the receivers' noise comes from a seed, so that it protects nobody."""
        return self.is_simulated

    def radiates(self, settings: Any) -> bool:
        """Whether what is sent leaves an antenna, or a cable that is taken for one: all that is not known to be
        simulated."""
        return not self.draws_noise(settings)

    def address(self, settings: Any, station: int) -> str:
        """Where a station's radio is, for whoever must know which one it is."""
        return self.name

    def correct_every_rounds(self, settings: Any) -> int | None:
        """Rounds between corrections of carriers on their own crystals; None where carriers are not moved."""
        return None

    def software(self) -> dict[str, str]:
        """Name and version of what it needs on this machine. Raises DriverError for what is missing."""
        return {}

    def visible(self) -> dict[str, str]:
        """Address and description of every radio that this machine sees now. Raises DriverError."""
        return {}

    def serial(self, settings: Any, station: int, setup: Setup) -> str | None:
        """The serial number of a station's radio, by which a calibration knows it again; None where it has none, as on
        a simulated air. Silent, and closed again. Raises RadioError."""
        return None

    def examine(self, settings: Any, station: int, setup: Setup) -> RadioFinding:
        """What one radio says about itself; silent, and closed again. A problem is part of the finding."""
        return RadioFinding(station=station_name(station, setup), uri=self.name, model=self.name)


def station_name(station: int, setup: Setup) -> str:
    """What messages call a station."""
    return "access point" if station == setup.num_devices else f"device {station}"
