"""Carrier correction at the access point: devices on their own crystals send tones and move their carriers."""

from __future__ import annotations

import logging

from radio.link.block import Block
from testbed.config.backends import backend_of, settings_of
from testbed.config.schema import RunConfig
from testbed.control.polls import Polls
from testbed.control.roster import AttemptFailedError, Roster

log = logging.getLogger(__name__)
MAX_MOVES = 4


class CarrierCorrection:
    """Keeps every device's carrier within what the rig promises; crystals drift, so it measures again and again."""

    def __init__(self, config: RunConfig, roster: Roster, polls: Polls) -> None:
        self._roster, self._polls = roster, polls
        rig = config.rig
        self._allowed_hz = rig.radio.residual_cfo_max_hz
        every = backend_of(rig).correct_every_rounds(settings_of(rig))
        self._every = None if rig.clock.shared_clock else every
        self._measured: dict[int, tuple[str, int]] = {}
        """device → the host that it had, and the round"""

    def correct(self, block: Block, round_index: int, attempt: int) -> None:
        """Measure and move the carriers that are due. Raises AttemptFailedError when one does not follow."""
        if self._every is None:
            return
        for device in self._roster.served:
            host = self._roster.seat_of(device).instance
            known, when = self._measured.get(device, ("", 0))
            if known != host or round_index >= when + self._every:
                self._correct_one(block, round_index, attempt, device)
                self._measured[device] = host, round_index

    def _correct_one(self, block: Block, round_index: int, attempt: int, device: int) -> None:
        shift_hz = offset_hz = 0.0
        for _ in range(MAX_MOVES):
            self._polls.poll(round_index, attempt, [device], "tone", shift_hz=shift_hz)
            heard = block.hear_tone()
            if heard is None:
                raise AttemptFailedError(f"device {device}: its tone was not heard; look at gains, antennas and cables")
            log.info("device %d: carrier off by %.1f Hz (%.0f dB)", device, heard.offset_hz, heard.snr_db)
            offset_hz = heard.offset_hz
            if abs(offset_hz) <= self._allowed_hz / 2:
                return
            shift_hz = -offset_hz
        raise AttemptFailedError(
            f"device {device}: carrier off by {offset_hz:.1f} Hz after {MAX_MOVES} moves; allowed: "
            f"{self._allowed_hz / 2:g} Hz, half of radio.residual_cfo_max_hz; is another transmitter on the air?"
        )
