"""The records of a run directory: one round, the run, its summary."""

from __future__ import annotations

from typing import Literal

import msgspec

from testbed.results.journal import Status

FORMAT = 2
"""Of a run directory. 1 is that of airzero-testbed 0.1.0; raised when a file gets what earlier versions refuse."""


class RoundRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of rounds.jsonl. Vectors have one entry per query; what is not known is null."""

    round: int
    seed: int
    scheme: str
    status: Status
    attempt: int
    """Transmissions that this round took."""
    reason: str | None = None
    """Why it was retried, skipped or rejected."""
    estimate: tuple[float, ...] | None = None
    """p̂, the access point's estimate of the mean scalar."""
    received: tuple[tuple[float, float], ...] | None = None
    """y, real and imaginary part of each query's superposed payload after the matched filter."""
    true_mean: tuple[float, ...] | None = None
    """Mean of the clipped, un-noised scalars (ground truth only)."""
    nmse_db: float | None = None
    predicted_error_std: float | None = None
    """Standard deviation of p̂ (query 0) that the access point predicts from its noise estimate."""
    symbol_snr_db: float | None = None
    gain: float | None = None
    artificial_noise_std: float = 0.0
    rho_spent: float | None = None
    """zCDP leak of this round, all attempts; null where none can be stated."""
    epsilon_spent: float | None = None
    """ε at the experiment's δ of everything so far; null where no claim is made."""
    loss: float | None = None
    """Mean training loss of the devices (ground truth only)."""
    eval_loss: float | None = None
    metric: float | None = None
    """Test accuracy after this round, where it was evaluated."""
    validation_loss: float | None = None
    """On the validation split, where there is one; it decides which round is the best."""
    validation_metric: float | None = None
    airtime_s: float = 0.0
    uplink_bits_per_device: int | None = None
    learner_s: float = 0.0
    radio_s: float = 0.0
    control_s: float = 0.0
    wall_s: float = 0.0
    capture: Literal["kept", "left out"] | None = None
    """What became of the recorded payload; ``left out`` beyond results.max_capture_mib, null if none was due."""
    absent: tuple[int, ...] = ()
    """Devices that took no part, as their host was late or gone; weak ones that kept silent by plan are not among
    them."""
    evaluated_by: int = 0
    """Hosts whose evaluations of this round agreed; 0 where there was none, or an earlier version did not record it."""
    evaluated_here: bool = False
    """Whether the access point's own process was that host."""

    @property
    def is_used(self) -> bool:
        """Whether its estimate was applied."""
        return self.status in ("ok", "retried")


class InitialEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The untouched model on the test split."""

    loss: float
    metric: float
    metric_name: str = "accuracy"
    num_examples: int
    evaluated_by: int = 0
    """As in RoundRecord."""
    evaluated_here: bool = False


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """run.json: what produced the run, for whoever wants to reproduce it."""

    format: int = 1
    """Of the directory, see FORMAT."""
    run_id: str
    started: str
    seed: int
    num_parameters: int
    initial_fingerprint: str
    versions: dict[str, str]
    host: dict[str, str]
    git: str | None
    command: list[str]
    rebuilt_fingerprint: str | None = None
    """Of the final weights, which the access point rebuilt from the journal; null of a run that has not ended."""
    final_fingerprint: str | None = None
    """Of live weights of hosts that were compared with them at the end and were the same; null if none were. (Earlier
    versions: of the final weights, compared or not.)"""
    verified_devices: tuple[int, ...] | None = None
    """Devices whose hosts' live weights those were; null if the run has not ended, or nobody recorded it."""
    not_verified: str | None = None
    """Which devices' weights were not verified at the end, and why; null if all were."""
    failure: str | None = None
    """Why the run could not go on; null if it ended, or was cut off."""
    architecture_fingerprint: str | None = None
    """Of the model without its weights."""
    data_fingerprint: str | None = None
    """Of the data that every host must have, as the first one that joined had it."""
    initial_evaluation: InitialEvaluation | None = None

    @property
    def ended_with(self) -> str | None:
        """Fingerprint of the final weights; None of a run that has not ended."""
        return self.rebuilt_fingerprint or self.final_fingerprint


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """summary.json: the run in one object. Sums are over all rounds, medians over the rounds that were used."""

    name: str
    scheme: str
    air_level: str
    csi: str
    schedule: str
    num_devices: int
    num_parameters: int
    seed: int
    rounds_ok: int
    """Rounds whose estimate was applied (first attempt or a retry)."""
    rounds_total: int
    """Rounds played, used or not."""
    rounds_asked: int
    metric_name: str
    metric_initial: float | None
    metric_final: float | None
    """Mean of the last three evaluations."""
    metric_last: float | None
    best_round: int | None = None
    """That of the least validation loss, whose weights are checkpoints/best.safetensors; null without such a split."""
    metric_best: float | None = None
    """On the test split, after that round."""
    num_test: int | None
    nmse_db_median: float | None
    nmse_db_pooled: float | None
    """10 log10(Σ|e|²/Σ|p̄|²) over all rounds."""
    symbol_snr_db_median: float | None
    airtime_s: float
    payload_symbols_per_round: int
    uplink_bits_per_device: int | None
    """Sum over the run; null for analog schemes."""
    wall_s: float
    learner_s: float
    radio_s: float
    control_s: float
    ground_truth: bool
    privacy: str
    """What may be claimed, in words."""
    rho_spent: float | None
    epsilon_spent: float | None
    dp_delta: float
    stopped: str
    """Why the run ended."""
    final_fingerprint: str | None
    """As in RunInfo, and so are the next three."""
    rebuilt_fingerprint: str | None = None
    verified_devices: tuple[int, ...] | None = None
    not_verified: str | None = None
    evaluation: str = ""
    """Who evaluated the model and whether anybody checked, in words; empty where nobody recorded it."""
    evaluations_unverified: int = 0
    """Evaluations by one host in another process, which no second one agreed with."""
    backend: str = ""
    """Kind of radio; empty in summaries of earlier versions."""
    rig: str = ""
    """Its description."""
    base: str = ""
    """Experiment and rig of the toolkit that the run is compared with; empty in summaries of earlier versions."""
    differs: tuple[str, ...] = ()
    """Every key with another value than there, as after --set."""
    git: str | None = None
    """As in RunInfo."""
    rounds_retried: int = 0
    """Of those that were used, rounds that took more than one attempt."""
    rounds_skipped: int = 0
    rounds_rejected: int = 0
    rounds_silent: int = 0
    """Rounds in which the plan was that nobody transmits."""
    rounds_partial: int = 0
    """Of those that were used, rounds in which a device took no part because its host was late or gone."""
    troubles: tuple[str, ...] = ()
    """Why rounds were retried, skipped or rejected, the most frequent reasons first, with their counts."""
    warnings: tuple[str, ...] = ()
    """What a reader must not miss."""
    captures_kept: int = 0
    captures_left_out: int = 0
    """Beyond results.max_capture_mib."""
