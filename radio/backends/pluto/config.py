"""How one PlutoSDR, and a rig of them, is reached and used."""

from __future__ import annotations

from typing import Annotated

import msgspec

from radio.config import Capabilities
from radio.settings import Checked

LINK_RATE_HZ = 4e6
"""What USB 2 and the Pluto's Ethernet sustain, complex samples a second; short captures may be faster."""
LOCAL_LINK_RATE_HZ = 25e6


class LinkSettings(Checked, frozen=True, kw_only=True):
    """What a single radio and all radios of a rig are told alike."""

    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 5.0
    """Of one exchange with a radio, on top of the air time that it takes."""
    stream_block_samples: Annotated[int, msgspec.Meta(ge=256, le=1 << 18, multiple_of=4)] = 4096
    """Samples handed over at once where they are counted; frame.start_uncertainty_samples must exceed six of them.
    Smaller starts sooner, larger survives longer pauses of the host."""
    link_rate_max_hz: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """What the links sustain, complex samples a second, as `testbed doctor` measures it; by default from the kind of
    URI."""
    quadrature_tracking: bool = False
    """Whether receivers go on tracking the imbalance of I and Q while they receive. It moves their phase, which
    ``coherent`` and ``sign`` do not survive."""
    ignore_underflow: bool = False
    """Go on where the firmware's underflow bit is set for ever (plutosdr-fw issue 107): gaps of transmit streams are
    then not seen."""


class PlutoSettings(LinkSettings, frozen=True, kw_only=True):
    """The rig's PlutoSDRs. Without addresses they are the virtual ones of the section ``virtual``."""

    access_point: str = ""
    """URI of the access point's radio, such as ``ip:192.168.2.1`` or ``usb:1.5.5``."""
    devices: tuple[str, ...] = ()
    """URI of each device's radio, in order; as seen from the host that serves it."""
    serials: tuple[str, ...] = ()
    """Serial number of each device's radio, in order, and the access point's last, as `testbed doctor` shows them; one
    with another is refused. Empty is not checked."""
    correct_every_rounds: Annotated[int, msgspec.Meta(ge=1)] = 100
    """Rounds between carrier corrections of radios on their own crystals."""

    @property
    def is_virtual(self) -> bool:
        """Whether these are virtual radios."""
        return not self.access_point and not self.devices


class PlutoConfig(LinkSettings, frozen=True, kw_only=True):
    """One radio."""

    serial: str = ""
    """The only radio that may answer; empty is any."""
    uri: str
    """Of libiio: ``ip:192.168.2.1``, ``ip:HOST:PORT``, ``usb:1.5.5``; `iio_info -s` lists what is connected."""
    shared_clock: bool = False
    """Its reference oscillator is the rig's common one."""
    streaming: bool = False
    """The rig promises that transmit streams have no gaps."""
    counts_samples: bool = False
    """Receive as one continuous count, read on demand; otherwise every capture is made of fresh samples."""
    real_time: bool = True
    """Air time runs by itself, as always on hardware; false for virtual Plutos that run as fast as they can."""
    stream_transmit_buffers: Annotated[int, msgspec.Meta(ge=2, le=64)] = 4
    """Kernel buffers of a counted transmit stream; all of them are ahead of the air."""
    stream_receive_buffers: Annotated[int, msgspec.Meta(ge=2, le=64)] = 32
    """Kernel buffers of a counted capture: how long it may go unread."""

    @property
    def sustained_rate_hz(self) -> float:
        """What the link sustains, complex samples a second."""
        if self.link_rate_max_hz is not None:
            return self.link_rate_max_hz
        return LOCAL_LINK_RATE_HZ if self.uri.startswith(("ip:127.", "ip:localhost", "local:")) else LINK_RATE_HZ


class PlutoBench(PlutoSettings, frozen=True, kw_only=True):
    """The rig's PlutoSDRs once it is known where each is, virtual ones too."""

    simulated: bool = False
    """They are virtual radios: their noise comes from a seed."""
    real_time: bool = True
    """Air time runs by itself."""

    def uri(self, station: int) -> str:
        """Where a station's radio is; the access point is the station behind the last device."""
        return (*self.devices, self.access_point)[station]

    def radio(self, station: int, capabilities: Capabilities, *, counts_samples: bool) -> PlutoConfig:
        """How a station's radio is reached and used."""
        return PlutoConfig(
            uri=self.uri(station),
            serial=self.serials[station] if self.serials else "",
            shared_clock=capabilities.shared_clock,
            streaming=capabilities.streaming,
            counts_samples=counts_samples,
            real_time=self.real_time,
            **{name: getattr(self, name) for name in LinkSettings.__struct_fields__},
        )
