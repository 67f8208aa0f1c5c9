"""Virtual PlutoSDRs: the IIOD network protocol in front of one simulated air.

The real libiio client, pyadi-iio, the iio_* tools and GNU Radio talk to them as to hardware.
"""

from radio.virtual_pluto.config import Fault, VirtualConfig
from radio.virtual_pluto.server import VirtualPlutos

__all__ = ["Fault", "VirtualConfig", "VirtualPlutos"]
