"""The directory of a comparison: what is in it, and how far each method got.

config.toml · methods/NAME.jsonl · checkpoints/NAME.safetensors · pairzero/ (a run directory) · results.json ·
loss_by_time.png
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TypeVar

import msgspec
import tomli_w
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from learner.pruning.parts import Parts
from testbed.config.files import from_toml
from testbed.config.schema import RunConfig
from testbed.errors import RunDirectoryError
from testbed.jcpba.place import is_comparison
from testbed.jcpba.records import Comparison, MethodRound, Point
from testbed.results import files
from testbed.results.directory import free_place, without_none

R = TypeVar("R", bound=msgspec.Struct)
_FOLDERS = ("methods", "checkpoints")


class ComparisonDirectory:
    """Paths, readers and writers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.initial = path / "initial.json"
        self.results = path / "results.json"
        self.picture = path / "loss_by_time.png"
        self.pairzero = path / "pairzero"
        self.remedy = f"free some space and continue with --resume {path}"

    @classmethod
    def create(cls, out: Path | None, config: RunConfig) -> ComparisonDirectory:
        """A new one; raises RunDirectoryError where something is already."""
        path = out if out is not None else free_place(config.experiment.name)
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise RunDirectoryError(
                    f"--out {path}: exists and is not empty; choose another, remove it, or continue it with --resume "
                    f"{path}"
                )
        except OSError as err:
            raise RunDirectoryError(f"--out {path}: cannot be made: {files.reason(err)}; choose another place") from err
        made = cls(path)
        for folder in (path, *(path / name for name in _FOLDERS)):
            files.make_folder(folder, remedy="choose another place with --out")
        files.write(made.config, tomli_w.dumps(without_none(msgspec.to_builtins(config))), remedy=made.remedy)
        return made

    @classmethod
    def open(cls, path: Path) -> ComparisonDirectory:
        """One to be continued. Raises RunDirectoryError."""
        if not is_comparison(path):
            raise RunDirectoryError(f"{path}: no comparison (config.toml and methods/ expected); check the path")
        opened = cls(path)
        for name in _FOLDERS:
            files.make_folder(path / name, remedy=opened.remedy)
        return opened

    def read_config(self) -> RunConfig:
        """As it was resolved."""
        return from_toml(self.config)

    # ---- one method

    def rounds_file(self, method: str) -> Path:
        """Its rounds, one JSON object a line."""
        return self.path / "methods" / f"{method}.jsonl"

    def checkpoint(self, method: str) -> Path:
        """Its weights after the rounds that its metadata counts."""
        return self.path / "checkpoints" / f"{method}.safetensors"

    def begin(self, method: str, parts: Parts) -> list[MethodRound]:
        """Load a method's last checkpoint into the model, and cut its rounds to it; none: from the beginning.

        Raises RunDirectoryError for files that do not fit each other.
        """
        file, checkpoint = self.rounds_file(method), self.checkpoint(method)
        if not checkpoint.exists():
            files.write(file, b"", remedy=self.remedy)
            return []
        num_rounds = _load(checkpoint, parts)
        lines = files.read(file).splitlines()[:num_rounds]
        try:
            rounds = [msgspec.json.decode(line, type=MethodRound) for line in lines]
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise _damaged(file, str(err), checkpoint) from err
        if [each.round for each in rounds] != list(range(num_rounds)):
            raise _damaged(file, f"{len(rounds)} rounds where {num_rounds} are needed", checkpoint)
        files.write(file, b"".join(line + b"\n" for line in lines), remedy=self.remedy)
        return rounds

    def append(self, method: str, record: MethodRound) -> None:
        """Add one round."""
        files.append(self.rounds_file(method), msgspec.json.encode(record) + b"\n", remedy=self.remedy)

    def keep(self, method: str, parts: Parts, num_rounds: int) -> None:
        """Keep the weights after so many rounds, whole or not at all."""
        tensors = {f"{n}": p.detach().cpu().contiguous() for n, p in enumerate(parts.trained)}

        def write(path: Path) -> None:
            save_file(tensors, path, metadata={"rounds": str(num_rounds)})

        files.write_with(self.checkpoint(method), write, remedy=self.remedy)

    # ---- all of them

    def read_initial(self) -> Point | None:
        """How good the untouched model is, where that was found out."""
        if not self.initial.exists():
            return None
        return _decoded(self.initial, Point)

    def write_initial(self, point: Point) -> None:
        """Keep it, as evaluation takes time."""
        files.write(self.initial, msgspec.json.encode(point) + b"\n", remedy=self.remedy)

    def write_results(self, comparison: Comparison, picture: bytes) -> None:
        """results.json and its picture."""
        text = json.dumps(msgspec.to_builtins(comparison), indent=1, ensure_ascii=False) + "\n"
        files.write(self.picture, picture, remedy=self.remedy)
        files.write(self.results, text, remedy=self.remedy)

    def has_begun_pairzero(self) -> bool:
        """Whether pAirZero's run can be resumed; what was cut off before its journal is removed."""
        if (self.pairzero / "journal.bin").exists():
            return True
        shutil.rmtree(self.pairzero, ignore_errors=True)
        return False


def read_comparison(path: Path) -> Comparison:
    """results.json of a comparison. Raises RunDirectoryError."""
    return _decoded(path / "results.json", Comparison)


def _load(checkpoint: Path, parts: Parts) -> int:
    """The weights of a checkpoint into the model; returns how many rounds they come after."""
    try:
        with safe_open(checkpoint, framework="pt") as opened:
            num_rounds = int(opened.metadata()["rounds"])
            with torch.no_grad():
                for number, parameter in enumerate(parts.trained):
                    parameter.copy_(opened.get_tensor(str(number)))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as err:
        raise RunDirectoryError(
            f"{checkpoint}: cannot be read as weights of this model ({err}); remove it, and the method begins anew"
        ) from err
    return num_rounds


def _decoded(path: Path, kind: type[R]) -> R:
    data = files.read(path, remedy="is this a comparison?")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise RunDirectoryError(f"{path}: not a file of this toolkit ({err}); remove it, or restore a copy") from err


def _damaged(file: Path, what: str, checkpoint: Path) -> RunDirectoryError:
    return RunDirectoryError(f"{file}: {what}; remove it and {checkpoint}, and the method begins anew")
