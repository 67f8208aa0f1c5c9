"""One slot per device, 16 bits a value: ground truth for over-the-air rounds, and the usual baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from radio.arrays import Complexes, Reals
from radio.errors import SignalError
from radio.records import Csi, Estimate, Plan, Received
from radio.schemes.base import Scheme, rejected_estimate
from radio.waveform.base import SymbolFormat

BITS_PER_VALUE = 16
LARGEST_CODE = (1 << BITS_PER_VALUE) - 1
CRC_BITS = 8
CRC_POLYNOMIAL = 0x07
CRC_START = 0xFF  # not 0, or an all-zero message would pass


def quantiser_step(bound: float) -> float:
    """Distance of neighbouring levels of the 16-bit quantiser over ±bound."""
    return 2 * bound / LARGEST_CODE


def quantise(values: Reals, bound: float) -> NDArray[np.uint16]:
    """Codes 0..65535 of the nearest levels; values beyond ±bound take the outermost."""
    codes = np.rint((np.clip(values, -bound, bound) + bound) / quantiser_step(bound))
    return codes.astype(np.uint16)


def dequantise(codes: NDArray[np.uint16], bound: float) -> Reals:
    """The level of each code; off by half a step at most."""
    levels: Reals = codes.astype(np.float64) * quantiser_step(bound) - bound
    return levels


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = ((crc << 1) ^ CRC_POLYNOMIAL if crc & 0x80 else crc << 1) & 0xFF
        table.append(crc)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc8(message: bytes, start: int = CRC_START) -> int:
    """CRC-8, polynomial x⁸+x²+x+1, most significant bit first."""
    crc = start
    for byte in message:
        crc = _CRC_TABLE[crc ^ byte]
    return crc


def qpsk(message: bytes, amplitude: float) -> Complexes:
    """Two bits a symbol, shape [4·bytes]: first the sign of I, then the sign of Q; bit 0 is positive."""
    signs = 1.0 - 2.0 * np.unpackbits(np.frombuffer(message, dtype=np.uint8))
    symbols: Complexes = (signs[0::2] + 1j * signs[1::2]) * (amplitude / np.sqrt(2))
    return symbols


def qpsk_bytes(symbols: Complexes) -> bytes:
    """Hard decisions of `qpsk`."""
    bits = np.stack((symbols.real < 0, symbols.imag < 0), axis=1).reshape(-1)
    return np.packbits(bits).tobytes()


class Digital(Scheme):
    """Quantise over ±(clip + 4σ), append a CRC-8, send QPSK at full power; average what arrives intact."""

    name: str = "digital"
    exposes: Literal["sum", "each", "unknown"] = "each"
    superposed: bool = False
    needs_sounding: bool = False

    def frame_symbols(self, num_queries: int) -> int:
        """QPSK symbols of one device's values and CRC."""
        return (BITS_PER_VALUE * num_queries + CRC_BITS) // 2

    def payload_symbols(self, num_queries: int, num_devices: int) -> int:
        """One slot a device."""
        return num_devices * self.frame_symbols(num_queries)

    def uplink_bits_per_device(self, num_queries: int) -> int | None:
        """16 bits a value; the CRC is framing, not payload."""
        return BITS_PER_VALUE * num_queries

    def encode(self, values: Reals, plan: Plan, csi: Csi | None, symbol_format: SymbolFormat) -> Complexes:
        """QPSK symbols [S] at full power; needs no CSI."""
        message = quantise(values, plan.value_bound).astype(">u2").tobytes()
        return qpsk(message + bytes([crc8(message)]), symbol_format.max_amplitude)

    def estimate(self, received: Sequence[Received], plan: Plan) -> Estimate:
        """The mean of all active devices' values; rejected as soon as one of them did not arrive intact."""
        heard = {slot.device: slot for slot in received}
        if len(heard) != len(received):
            raise SignalError(f"digital: got devices {[slot.device for slot in received]}; allowed: one slot each")
        if not plan.active:
            return rejected_estimate("no active device; nothing was sent", plan)
        total = np.zeros(plan.num_queries)
        for device in plan.active:
            if device not in heard:
                return rejected_estimate(f"device {device}: its slot was not received", plan)
            values = self._decode(heard[device], plan)
            if isinstance(values, str):
                return rejected_estimate(f"device {device}: {values}", plan, heard[device].symbol_snr_db)
            total += values
        num_active = len(plan.active)
        step = quantiser_step(plan.value_bound)
        return Estimate(
            values=total / num_active,
            error_variance=np.full(plan.num_queries, (step**2 / 12 + plan.artificial_noise_std**2) / num_active),
            symbol_snr_db=_mean_snr_db([heard[device].symbol_snr_db for device in plan.active]),
        )

    def _decode(self, slot: Received, plan: Plan) -> Reals | str:
        if slot.problem is not None:
            return slot.problem
        if slot.saturated:
            return "receiver saturated; lower rx_gain_db or max_power_dbfs"
        if not np.isfinite(slot.symbols).all():
            return "its slot is silent or not finite"
        *message, checksum = qpsk_bytes(slot.symbols)
        if crc8(bytes(message)) != checksum:
            return "CRC-8 failed; its link is too weak for QPSK"
        return self._values(bytes(message), plan)

    def _values(self, message: bytes, plan: Plan) -> Reals:
        """What a message that arrived intact says, shape [Q]."""
        return dequantise(np.frombuffer(message, dtype=">u2").astype(np.uint16), plan.value_bound)


def _mean_snr_db(snrs_db: list[float]) -> float:
    return float(10 * np.log10(np.mean(10 ** (np.array(snrs_db) / 10))))
