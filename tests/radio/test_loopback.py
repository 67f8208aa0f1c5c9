"""A simulated radio whose medium is in another process."""

import pytest

from radio.air.air import Air
from radio.air.config import AirConfig
from radio.backends.loopback import LoopbackRadio
from radio.errors import RadioLinkError


class Gone(Air):
    """An air whose process has ended."""

    def silence(self, station: int) -> None:
        raise RadioLinkError("nobody answers")


def test_a_radio_closes_on_a_medium_that_is_gone():
    radio = LoopbackRadio(Gone(AirConfig(), num_devices=1, seed=1, sample_rate_hz=1e6, tx_power=1.0), 1)
    with pytest.raises(RadioLinkError):
        radio.stop()
    with radio:
        pass
    radio.close()
