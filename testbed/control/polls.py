"""Letting devices transmit: send their hosts a Poll, wait until they do."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from itertools import count

from testbed.control import messages as m
from testbed.control.roster import AttemptFailedError, Roster
from testbed.control.seats import Loss, Seat


class Polls:
    """Polls over a roster; no two of them have the same number."""

    def __init__(self, roster: Roster, timeout_s: float) -> None:
        self._roster = roster
        self._timeout_s = timeout_s
        self._numbers = count(secrets.randbits(32))  # hosts still know those of an access point that has died
        self.radio_s = 0.0
        """How long hosts worked with their radios for these polls, those that did so at once counted once."""

    def poll(
        self,
        round_index: int,
        attempt: int,
        devices: Sequence[int],
        slot: m.Slot,
        *,
        start_samples: Mapping[int, int] | None = None,
        after_samples: Mapping[int, int] | None = None,
        shift_hz: float = 0.0,
    ) -> dict[int, m.Report]:
        """What became of each device. Raises AttemptFailedError without an answer in time, or where a radio could not.

        On real radios devices are polled one at a time: the receiver hears one slot after the other.
        """
        number = next(self._numbers)
        of: dict[Seat, list[int]] = {}
        for device in devices:
            of.setdefault(self._roster.seat_of(device), []).append(device)

        def request(seat: Seat) -> m.Poll:
            own = of[seat]
            return m.Poll(
                round=round_index,
                attempt=attempt,
                number=number,
                slot=slot,
                devices=tuple(own),
                start_samples={k: start_samples[k] for k in own if k in start_samples} if start_samples else {},
                after_samples={k: after_samples[k] for k in own if k in after_samples} if after_samples else {},
                shift_hz=shift_hz,
            )

        def fault(seat: Seat, answer: m.Transmitting) -> str | None:
            told = [report.device for report in answer.reports]
            return None if told == of[seat] else f"{slot}: answered for devices {told}, asked {of[seat]}"

        answers = self._roster.ask(
            list(of),
            request,
            m.Transmitting,
            self._timeout_s,
            what=f"{slot} of {_named(devices)}",
            accept=lambda a: (a.round, a.attempt, a.number) == (round_index, attempt, number),
            fault=fault,
        )
        check_nobody_lost(answers.losses)
        self.radio_s += max((answer.radio_s for answer in answers.of.values()), default=0.0)
        reports = {report.device: report for answer in answers.of.values() for report in answer.reports}
        check_transmitted({device: report.problem for device, report in reports.items()})
        return reports


def _named(devices: Sequence[int]) -> str:
    return f"device {devices[0]}" if len(devices) == 1 else f"{len(devices)} devices"


def check_nobody_lost(losses: Sequence[Loss]) -> None:
    """Raise AttemptFailedError with who was lost, and why."""
    if losses:
        raise AttemptFailedError("; ".join(map(str, losses)), [k for loss in losses for k in loss.devices])


def check_transmitted(problems: Mapping[int, str | None]) -> None:
    """Raise AttemptFailedError with what devices report: device → problem, None for none."""
    failed = [f"device {device}: {problem}" for device, problem in problems.items() if problem is not None]
    if failed:
        raise AttemptFailedError("; ".join(failed))
