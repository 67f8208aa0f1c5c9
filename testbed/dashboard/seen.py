"""What the page reads of a round; of a private run, fewer fields: what is not read cannot be shown.

Fields are those of `testbed.results.records.RoundRecord` with the same names; that record itself is slow to import.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class PublicRound(msgspec.Struct, frozen=True, gc=False):
    """Of any run: plans, channels, counts, and evaluations on the test split, which is public (docs/threat_model.md).

    Times of the learner are left out: they tell how many examples a secret batch has.
    """

    round: int
    status: str
    reason: str | None = None
    symbol_snr_db: float | None = None
    gain: float | None = None
    rho_spent: float | None = None
    epsilon_spent: float | None = None
    eval_loss: float | None = None
    metric: float | None = None
    airtime_s: float | None = None
    radio_s: float | None = None
    control_s: float | None = None
    absent: tuple[int, ...] = ()


class LaboratoryRound(PublicRound, frozen=True, gc=False):
    """Of a run whose devices reveal their scalars (``ground_truth``), of which no privacy is claimed."""

    received: msgspec.Raw = msgspec.Raw(b"null")
    """Not decoded: of many rounds only the last ones' symbols are drawn."""
    nmse_db: float | None = None
    loss: float | None = None
    validation_loss: float | None = None
    learner_s: float | None = None


Seen: TypeAlias = PublicRound

WITHHELD = (
    "training and validation loss, NMSE",
    "payload symbols, and samples that hold them",
    "learner time, which tells how large a secret batch is",
)
"""Of private runs, in words."""


def kind_of(*, private: bool) -> type[PublicRound]:
    """What may be read."""
    return PublicRound if private else LaboratoryRound


_SYMBOLS = msgspec.json.Decoder(tuple[tuple[float, float], ...] | None)


def symbols_of(received: bytes) -> tuple[tuple[float, float], ...]:
    """Payload symbols, real and imaginary parts, of a round's `received`; none where there are none."""
    try:
        return _SYMBOLS.decode(received) or ()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()


class Reader:
    """Decodes lines, and counts those that are none."""

    def __init__(self, *, private: bool) -> None:
        self._decoder = msgspec.json.Decoder(kind_of(private=private))
        self.num_unreadable = 0

    def read(self, lines: bytes) -> list[Seen]:
        """The rounds on these lines."""
        try:
            return self._decoder.decode_lines(lines)
        except (msgspec.DecodeError, UnicodeDecodeError):
            found = []
            for line in lines.splitlines():
                try:
                    found.append(self._decoder.decode(line))
                except (msgspec.DecodeError, UnicodeDecodeError):
                    self.num_unreadable += bool(line.strip())
            return found
