"""FeedSign's uplink (arXiv 2501.17610): one bit a device and round in a slot of its own, the majority decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import testbed
from radio.arrays import Complexes, Reals
from radio.records import Csi, Estimate, Plan, Received
from radio.schemes.digital import CRC_BITS, Digital, crc8, qpsk
from radio.waveform.base import SymbolFormat


@testbed.register
class FeedSign(Digital):
    """sign(p_k), its byte with a CRC-8 in QPSK; an own part, of the toolkit's digital scheme."""

    name: str = "feedsign"
    votes: bool = True
    sent_bound: float | None = 1.0

    def mapped(self, values: Reals) -> Reals:
        """±1; +1 of a value of exactly 0, as a bit has no third state."""
        return np.where(values >= 0, 1.0, -1.0)

    def frame_symbols(self, num_queries: int) -> int:
        """QPSK symbols of one device's bits, filled up to bytes, and CRC."""
        return (8 * -(-num_queries // 8) + CRC_BITS) // 2

    def uplink_bits_per_device(self, num_queries: int) -> int | None:
        """One a vote."""
        return num_queries

    def encode(self, values: Reals, plan: Plan, csi: Csi | None, symbol_format: SymbolFormat) -> Complexes:
        """QPSK symbols [S] at full power; needs no CSI."""
        message = np.packbits(values < 0).tobytes()
        return qpsk(message + bytes([crc8(message)]), symbol_format.max_amplitude)

    def estimate(self, received: Sequence[Received], plan: Plan) -> Estimate:
        """The majority, ±1 and exact; +1 of a tie; rejected as soon as one vote did not arrive intact."""
        mean = super().estimate(received, plan)
        if mean.rejected is not None:
            return mean
        votes = np.where(mean.values >= 0, 1.0, -1.0)
        return replace(mean, values=votes, error_variance=np.zeros(plan.num_queries))

    def _values(self, message: bytes, plan: Plan) -> Reals:
        bits = np.unpackbits(np.frombuffer(message, dtype=np.uint8))[: plan.num_queries]
        return 1.0 - 2.0 * bits
