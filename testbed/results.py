"""The run directory: what a run leaves behind, and who reads it back.

config.toml · run.json · rounds.jsonl · journal.bin · summary.json · report.html · plots/ · captures/ · checkpoints/
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli_w

from testbed.config import RunConfig, to_plain
from testbed.config_files import from_toml
from testbed.errors import RunDirectoryError
from testbed.journal import Status

R = TypeVar("R", bound=msgspec.Struct)
_PACKAGES = ("airzero-testbed", "torch", "transformers", "numpy", "scipy", "pyzmq", "msgspec")
_MIN_FREE_BYTES = 32 * 2**20


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
    airtime_s: float = 0.0
    uplink_bits_per_device: int | None = None
    learner_s: float = 0.0
    radio_s: float = 0.0
    control_s: float = 0.0
    wall_s: float = 0.0


class InitialEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The untouched model on the test split."""

    loss: float
    metric: float
    num_examples: int


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """run.json: what produced the run, for whoever wants to reproduce it."""

    run_id: str
    started: str
    seed: int
    num_parameters: int
    initial_fingerprint: str
    versions: dict[str, str]
    host: dict[str, str]
    git: str | None
    command: list[str]
    final_fingerprint: str | None = None
    initial_evaluation: InitialEvaluation | None = None


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
    rounds_asked: int
    metric_name: str
    metric_initial: float | None
    metric_final: float | None
    """Mean of the last three evaluations."""
    metric_last: float | None
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


class RunDirectory:
    """Paths and writers of one run directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.info = path / "run.json"
        self.rounds = path / "rounds.jsonl"
        self.journal = path / "journal.bin"
        self.summary = path / "summary.json"
        self.report = path / "report.html"
        self.plots = path / "plots"
        self.captures = path / "captures"
        self.initial_weights = path / "checkpoints" / "initial.safetensors"
        self.final_weights = path / "checkpoints" / "final.safetensors"

    @classmethod
    def create(cls, out: Path | None, config: RunConfig) -> RunDirectory:
        """Make a new run directory; an existing one with anything in it is refused, never overwritten."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = out if out is not None else Path("runs") / f"{stamp}-{config.experiment.name}"
        for serial in range(2, 1000):
            if out is not None or not path.exists():
                break
            path = Path("runs") / f"{stamp}-{config.experiment.name}-{serial}"
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise RunDirectoryError(
                    f"--out {path}: exists and is not empty; "
                    f"choose another, remove it, or continue it with --resume {path}"
                )
            for directory in (path, path / "plots", path / "captures", path / "checkpoints"):
                directory.mkdir(parents=True, exist_ok=True)
            free_bytes = shutil.disk_usage(path).free
        except OSError as err:
            raise RunDirectoryError(f"--out {path}: cannot be made: {err.strerror}; choose another place") from err
        if free_bytes < _MIN_FREE_BYTES:
            raise RunDirectoryError(
                f"--out {path}: {free_bytes / 2**20:.0f} MiB free, at least {_MIN_FREE_BYTES // 2**20} MiB needed; "
                "free some space or choose another disk"
            )
        run = cls(path)
        run.write(run.config, tomli_w.dumps(_without_none(to_plain(config))))
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run directory. Raises RunDirectoryError if ``path`` is none."""
        run = cls(path)
        if not run.config.is_file() or not run.journal.is_file():
            raise RunDirectoryError(f"{path}: no run directory (config.toml and journal.bin expected); check the path")
        return run

    def read_config(self) -> RunConfig:
        """The resolved configuration."""
        return from_toml(self.config)

    def read_info(self) -> RunInfo:
        """run.json."""
        return self._decode(self.info, RunInfo)

    def read_summary(self) -> Summary | None:
        """summary.json, or None if the run did not get that far."""
        return self._decode(self.summary, Summary) if self.summary.exists() else None

    def read_rounds(self) -> list[RoundRecord]:
        """rounds.jsonl; a last line that a crash cut short is left out."""
        records: list[RoundRecord] = []
        if self.rounds.exists():
            for line in self.rounds.read_bytes().splitlines():
                try:
                    records.append(msgspec.json.decode(line, type=RoundRecord))
                except msgspec.DecodeError:
                    break
        return records

    @staticmethod
    def _decode(path: Path, kind: type[R]) -> R:
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except OSError as err:
            raise RunDirectoryError(f"{path}: cannot be read: {err.strerror}; is this a run directory?") from err
        except msgspec.DecodeError as err:
            raise RunDirectoryError(f"{path}: not a file of this toolkit: {err}") from err

    def write(self, path: Path, text: str) -> None:
        """Write a file whole or not at all."""
        partial = path.with_name(path.name + ".partial")
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
        except OSError as err:
            raise RunDirectoryError(f"{path}: {err.strerror}; free some space and run again") from err

    def write_json(self, path: Path, record: msgspec.Struct) -> None:
        """Write a record as indented JSON."""
        self.write(path, json.dumps(msgspec.to_builtins(record), indent=2, ensure_ascii=False) + "\n")

    def rewrite_rounds(self, records: Iterable[RoundRecord]) -> None:
        """Replace rounds.jsonl, when a resumed run has repaired it."""
        self.write(self.rounds, "".join(msgspec.json.encode(r).decode() + "\n" for r in records))

    def append_round(self, record: RoundRecord) -> None:
        """Add one line to rounds.jsonl."""
        try:
            with self.rounds.open("ab") as file:
                file.write(msgspec.json.encode(record) + b"\n")
        except OSError as err:
            raise RunDirectoryError(
                f"{self.rounds}: {err.strerror}; earlier rounds are safe: free some space and continue with --resume"
            ) from err


def nmse_db(estimate: Sequence[float], truth: Sequence[float]) -> float | None:
    """10 log10(|e|²/|p̄|²) over the queries of one round; None where p̄ is zero or the error is."""
    error = sum((a - b) ** 2 for a, b in zip(estimate, truth, strict=True))
    power = sum(b**2 for b in truth)
    return 10 * math.log10(error / power) if error > 0 and power > 0 else None


def pooled_nmse_db(records: Iterable[RoundRecord]) -> float | None:
    """10 log10(Σ|e|²/Σ|p̄|²) over all rounds that have both."""
    error = power = 0.0
    for record in records:
        if record.estimate and record.true_mean:
            error += sum((a - b) ** 2 for a, b in zip(record.estimate, record.true_mean, strict=True))
            power += sum(b**2 for b in record.true_mean)
    return 10 * math.log10(error / power) if error > 0 and power > 0 else None


def median(values: Iterable[float | None]) -> float | None:
    """The median of what is known."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def versions() -> dict[str, str]:
    """Versions of what computes the results."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def host() -> dict[str, str]:
    """What machine this is, as far as it can change bits."""
    cpu = platform.processor() or "unknown"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:
        pass
    return {"system": platform.platform(), "cpu": cpu, "cores": str(os.cpu_count() or 0)}


def git_revision() -> str | None:
    """The toolkit's commit, with ``-dirty`` if it was changed; None outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def new_run_info(config: RunConfig, *, run_id: str, num_parameters: int, fingerprint: str) -> RunInfo:
    """run.json of a run that starts now."""
    return RunInfo(
        run_id=run_id,
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        seed=config.experiment.seed,
        num_parameters=num_parameters,
        initial_fingerprint=fingerprint,
        versions=versions(),
        host=host(),
        git=git_revision(),
        command=sys.argv,
    )


def _without_none(value: Any) -> Any:
    """TOML has no null: leave those keys out."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
