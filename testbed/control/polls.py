"""Letting one device transmit: send it a Poll, wait until it does."""

from __future__ import annotations

from collections.abc import Mapping

from testbed.control import messages as m
from testbed.control.roster import AttemptFailedError, Roster


class Polls:
    """Polls over a roster."""

    def __init__(self, roster: Roster, timeout_s: float) -> None:
        self._roster = roster
        self._timeout_s = timeout_s

    def poll(
        self,
        round_index: int,
        attempt: int,
        device: int,
        slot: m.Slot,
        *,
        start_sample: int | None = None,
        shift_hz: float = 0.0,
    ) -> m.Transmitting:
        """Its answer. Raises AttemptFailedError when there is none in time, or its radio could not."""
        peer = self._roster.peer_of(device)
        asked = m.Poll(
            round=round_index,
            attempt=attempt,
            device=device,
            slot=slot,
            start_sample=start_sample,
            shift_hz=shift_hz,
        )
        self._roster.send(peer, asked)
        answers = self._roster.collect(
            m.Transmitting,
            [peer],
            self._timeout_s,
            what=f"{slot} of device {device}",
            accept=lambda a: (a.round, a.attempt, a.device) == (round_index, attempt, device),
        )
        check_transmitted({device: answers[peer].problem})
        return answers[peer]


def check_transmitted(problems: Mapping[int, str | None]) -> None:
    """Raise AttemptFailedError with what devices report: device → problem, None for none."""
    failed = [f"device {device}: {problem}" for device, problem in problems.items() if problem is not None]
    if failed:
        raise AttemptFailedError("; ".join(failed))
