"""The PlutoSDR backend, over pyadi-iio and libiio 0.x; the same for virtual Plutos. Needs the extra `pluto`."""

from radio.pluto.config import PlutoConfig
from radio.pluto.radio import PlutoRadio

__all__ = ["PlutoConfig", "PlutoRadio"]
