"""One virtual Pluto: a station on the air, and everything that a client can ask about it."""

from __future__ import annotations

from functools import partial

from radio.virtual_pluto.bench.shared_air import SharedAir
from radio.virtual_pluto.faults import Faults
from radio.virtual_pluto.iio.attributes import Attributes
from radio.virtual_pluto.iio.context import RX, TX, context_xml
from radio.virtual_pluto.iio.registers import OVERFLOW, UNDERFLOW, Registers, StatusBit

DEFAULT_KERNEL_BUFFERS = 4
RSSI_LIMIT_DB = 127.75


class Pluto:
    """The state that all connections to one radio share."""

    def __init__(self, air: SharedAir, index: int, faults: Faults, digest: str) -> None:
        """`digest` says which bench it is of."""
        self.digest = digest
        self.air = air
        self.station = air.stations[index]
        self.faults = faults
        self.serial = f"virtual{air.config.seed:016x}{index:04d}"
        self.address = air.config.address(index)
        """Where it listens."""
        self.buffer_counts = {RX: DEFAULT_KERNEL_BUFFERS, TX: DEFAULT_KERNEL_BUFFERS}
        self.attributes = Attributes(
            self.station.chip,
            Registers(
                {
                    RX: StatusBit(OVERFLOW, partial(self._status, "overflowed"), partial(self._clear, "overflowed")),
                    TX: StatusBit(UNDERFLOW, partial(self._status, "underflowed"), partial(self._clear, "underflowed")),
                }
            ),
            change=air.change,
            relock=self._relock,
            calibrate=partial(air.calibrate, self.station),
            rssi_db=self._rssi_db,
            temperature_mdeg=36_000 + 137 * index,
        )

    def xml(self) -> str:
        """The context as it is now."""
        host, port = self.address
        context = {
            "hw_model": "Analog Devices PlutoSDR Rev.C (Z7010-AD9363A)",
            "hw_model_variant": "0",
            "hw_serial": self.serial,
            "fw_version": "v0.38-virtual",
            "ad9361-phy,xo_correction": str(self.air.config.factory_xo_hz),
            "ad9361-phy,model": "ad9364" if self.air.config.unlocked else "ad9363a",
            "local,kernel": "virtual",
            "virtual,bench": self.digest,
            "uri": f"ip:{host}:{port}",
            "ip,ip-addr": host,
        }
        return context_xml(context, self.attributes.read_or_error)

    def _relock(self, side: str) -> None:
        self.air.relock(self.station, side)

    def _status(self, flag: str) -> bool:
        with self.air.condition:
            self.air.run_buffers(self.station)
            return bool(getattr(self.station, flag)) or (flag == "underflowed" and self.air.config.stuck_underflow)

    def _clear(self, flag: str) -> None:
        with self.air.condition:
            self.air.run_buffers(self.station)
            setattr(self.station, flag, False)

    def _rssi_db(self) -> float:
        rssi = self.station.chip.rx_gain_db - self.station.rx_power_dbfs
        return min(max(round(rssi * 4) / 4, 0.0), RSSI_LIMIT_DB)
