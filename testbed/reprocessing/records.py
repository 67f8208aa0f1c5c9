"""What came of reprocessing, as reprocessed.json and reprocessed-SCHEME.json hold it."""

from __future__ import annotations

import msgspec

from testbed.measurement.records import Direction, Interval


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is written."""


class ProbeAgain(Record, frozen=True):
    """One recording of a probe, sounded again."""

    file: str
    device: int | None = None
    direction: Direction | None = None
    capture: int | None = None
    """Its number among the link's captures."""
    spoilt: str | None = None
    """saturated, too weak or truncated: what the other figures are not to be trusted for."""
    problem: str | None = None
    """Why there is no figure."""
    gain_db: Interval | None = None
    cfo_hz: Interval | None = None
    snr_db: float | None = None
    recorded_gain_db: Interval | None = None
    """What measurement.json says of the link, from all its captures; so are the next two."""
    recorded_cfo_hz: Interval | None = None
    recorded_snr_db: float | None = None


class ProbesAgain(Record, frozen=True):
    """reprocessed.json."""

    started: str
    """When the measurement was."""
    recordings: tuple[ProbeAgain, ...]
    versions: dict[str, str] = {}


class PayloadAgain(Record, frozen=True):
    """One recorded round, estimated again. Vectors have one entry per query."""

    file: str
    round: int | None = None
    problem: str | None = None
    """Why the recording could not be looked at."""
    recorded: tuple[float, ...] | None = None
    """The estimate that the run used; null where it used none."""
    estimate: tuple[float, ...] | None = None
    """The new one; null where it is rejected."""
    rejected: str | None = None
    """Why the new one must not be used."""
    error_std: tuple[float, ...] | None = None
    """As the receiver predicts it."""
    truth: tuple[float, ...] | None = None
    """What a perfect round estimates, where it is known and is of the same kind as the new estimate."""
    nmse_db: float | None = None
    """Of the new estimate."""
    recorded_nmse_db: float | None = None


class PayloadsAgain(Record, frozen=True):
    """reprocessed-SCHEME.json."""

    run_id: str
    scheme: str
    """Whose receiver it was."""
    run_scheme: str
    rounds: tuple[PayloadAgain, ...]
    nmse_db: float | None
    """Pooled over the rounds that have all three: both estimates and the truth."""
    recorded_nmse_db: float | None
    """Of the recorded estimates, over the same rounds."""
    num_same: int
    """Rounds in which both estimates are equal, bit for bit, or both are none."""
    num_same_sign: int
    """Rounds in which the signs of both are, of every query; what a mean and a majority can be compared by."""
    num_compared: int
    remarks: tuple[str, ...] = ()
    versions: dict[str, str] = {}
