"""How one PlutoSDR is reached and used."""

from __future__ import annotations

from typing import Annotated

import msgspec

from radio.settings import Checked

LINK_RATE_HZ = 4e6
"""What USB 2 and the Pluto's Ethernet sustain, complex samples a second; short captures may be faster."""
LOCAL_LINK_RATE_HZ = 25e6


class PlutoConfig(Checked, frozen=True, kw_only=True):
    """One radio."""

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
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 5.0
    """Of one exchange with the radio, on top of the air time that it takes."""
    stream_block_samples: Annotated[int, msgspec.Meta(ge=256, le=1 << 18, multiple_of=4)] = 4096
    """Samples of one buffer of a counted stream: smaller starts sooner, larger survives longer pauses of the host."""
    stream_transmit_buffers: Annotated[int, msgspec.Meta(ge=2, le=64)] = 4
    """Kernel buffers of a counted transmit stream; all of them are ahead of the air."""
    stream_receive_buffers: Annotated[int, msgspec.Meta(ge=2, le=64)] = 32
    """Kernel buffers of a counted capture: how long it may go unread."""
    link_rate_max_hz: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """What the link sustains, as measured by `testbed doctor`; by default from the kind of URI."""

    @property
    def sustained_rate_hz(self) -> float:
        """What the link sustains, complex samples a second."""
        if self.link_rate_max_hz is not None:
            return self.link_rate_max_hz
        return LOCAL_LINK_RATE_HZ if self.uri.startswith(("ip:127.", "ip:localhost", "local:")) else LINK_RATE_HZ
