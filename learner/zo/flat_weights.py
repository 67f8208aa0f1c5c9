"""Trainable parameters in flat buffers (one per device and type), each at a multiple of 128, tied ones once."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file

from learner.errors import ModelError
from learner.zo.directions import BLOCK_ELEMENTS, FLOAT_TYPES, Update, apply_updates
from learner.zo.guards.aliases import check_aliases


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one parameter lies; offset (the global index of its first element) and count in elements."""

    name: str
    shape: tuple[int, ...]
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Run:
    """Slots that are neighbours, padding included, in one buffer: `values` [n] begins at the global index `first`."""

    first: int
    values: torch.Tensor


class FlatWeights:
    """The parameters of a model that are trained, moved into flat buffers of which the model keeps views.

    They are computed with where they lie; `StreamedWeights` overrides what says so.
    """

    is_streamed = False

    def __init__(self, model: torch.nn.Module) -> None:
        """Take over the parameters that require a gradient; ModelError if one is not a float type.

        Slots are in order of name, so that neither module order nor placement decides which element of z a weight gets.
        """
        trained = sorted((name, p) for name, p in model.named_parameters() if p.requires_grad)
        check_aliases(model, dict(trained))
        self.slots = tuple(_slots(trained))
        self.num_elements = sum(_padded(slot.count) for slot in self.slots)
        self.parameters: dict[str, torch.nn.Parameter] = dict(trained)
        self.slot_of = {id(parameter): slot for slot, (_, parameter) in zip(self.slots, trained, strict=True)}
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self.runs = tuple(self._move())
        self._frozen_digest = _digest_frozen(model, self.slot_of)

    @property
    def num_parameters(self) -> int:
        """Trained weights, padding not counted."""
        return sum(slot.count for slot in self.slots)

    def _move(self) -> Iterator[Run]:
        """Fill one buffer per device and type, freeing each parameter's own memory at once."""
        groups: dict[tuple[torch.device, torch.dtype], list[Slot]] = {}
        for slot in self.slots:
            parameter = self.parameters[slot.name]
            groups.setdefault((parameter.device, parameter.dtype), []).append(slot)
        for (device, dtype), slots in groups.items():
            buffer = torch.zeros(sum(_padded(slot.count) for slot in slots), dtype=dtype, device=device)
            place, begun = 0, (slots[0].offset, 0)
            for slot in slots:
                if slot.offset - begun[0] != place - begun[1]:  # a parameter of another device lies between
                    yield Run(begun[0], buffer[begun[1] : place])
                    begun = (slot.offset, place)
                view = buffer[place : place + slot.count].view(slot.shape)
                view.copy_(self.parameters[slot.name].detach())
                self.parameters[slot.name].data = view
                place += _padded(slot.count)
            yield Run(begun[0], buffer[begun[1] : place])

    def in_step(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        """What jobs return that make forward passes, one after the other where nothing is won by more."""
        return [job() for job in jobs]

    def begin_pass(self) -> None:
        """A forward pass begins."""

    def end_pass(self) -> None:
        """It is over."""

    def device_of(self, parameter: torch.Tensor) -> torch.device:
        """Where a parameter takes part in a computation."""
        return parameter.device

    def stored(self, parameter: torch.Tensor) -> torch.Tensor:
        """A parameter up to date, wherever it lies."""
        return parameter

    def at_hand(self, parameter: torch.Tensor) -> torch.Tensor:
        """A parameter where it is computed with."""
        return parameter

    def rows(self, parameter: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Rows start … stop−1 of a matrix where they are computed with, until rows are asked for again."""
        return parameter[start:stop]

    def settle(self, slots: Sequence[Slot] | None = None) -> None:
        """Make updates that wait, of these slots or of all; here none ever waits."""

    def update(self, updates: Sequence[Update], *, num_threads: int) -> None:
        """w ← w − coefficient · z for all updates in order, in one pass over the weights."""
        for run in self.runs:
            apply_updates(run.values, run.first, updates, num_threads=num_threads)

    def fingerprint(self) -> str:
        """SHA-256 (hex) over names, shapes and bytes of all trained parameters (and of the frozen ones, if any)."""
        digest = hashlib.sha256(self._frozen_digest)
        for slot in self.slots:
            _add_to_digest(digest, slot.name, self.parameters[slot.name])
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write the trained parameters as safetensors with Hugging Face names; the file appears whole or not at all."""
        tensors = {slot.name: self.parameters[slot.name].detach().cpu() for slot in self.slots}
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, partial, metadata={"format": "pt"})
            _sync(partial)
            os.replace(partial, path)
            _sync(path.parent)
        except (OSError, safetensors.SafetensorError) as err:
            with suppress(OSError):
                partial.unlink()
            raise ModelError(f"cannot save weights to {path}: {err}; choose a writable folder with space left") from err

    def load(self, path: Path) -> None:
        """Read what `save` wrote; on a ModelError (names, shapes or types disagree) nothing has changed."""
        if not path.is_file():
            raise ModelError(f"weights file {path} does not exist; give the path of a file written by save_weights")
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                _check_names(path, set(file.keys()), self.slots)
                tensors = {slot.name: file.get_tensor(slot.name) for slot in self.slots}
        except (safetensors.SafetensorError, OSError) as err:
            raise ModelError(
                f"weights file {path} is not valid safetensors: {err}; save it again or restore a copy"
            ) from err
        for slot in self.slots:
            values, wanted = tensors[slot.name], self.parameters[slot.name]
            if values.shape != wanted.shape or values.dtype != wanted.dtype:
                raise ModelError(
                    f"weights file {path}: {slot.name} is {_type_name(values)} {list(values.shape)}; this model needs "
                    f"{_type_name(wanted)} {list(wanted.shape)}; load weights of the same model and dtype"
                )
        for slot in self.slots:
            self.parameters[slot.name].copy_(tensors[slot.name])


def _padded(count: int) -> int:
    return -(-count // BLOCK_ELEMENTS) * BLOCK_ELEMENTS


def _slots(named: Sequence[tuple[str, torch.nn.Parameter]]) -> Iterator[Slot]:
    offset = 0
    for name, parameter in named:
        if parameter.dtype not in FLOAT_TYPES:
            raise ModelError(
                f"parameter {name} is {parameter.dtype}; allowed float32, bfloat16, float16; use a checkpoint that is "
                "not quantized"
            )
        if parameter.device.type == "meta":
            raise ModelError(
                f"parameter {name} was left on disk or unplaced; weights must be in memory; use a smaller model, more "
                "devices, or a 16-bit model.dtype"
            )
        yield Slot(name, tuple(parameter.shape), offset, parameter.numel())
        offset += _padded(parameter.numel())


def _type_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _add_to_digest(digest: Any, name: str, tensor: torch.Tensor) -> None:
    header: list[Any] = [name, list(tensor.shape)]
    if tensor.dtype != torch.float32:
        header.append(_type_name(tensor))
    digest.update(json.dumps(header).encode() + b"\n")
    digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)


def _digest_frozen(model: torch.nn.Module, trained: dict[int, Slot]) -> bytes:
    digest = hashlib.sha256()
    frozen = sorted((name, p) for name, p in model.named_parameters() if id(p) not in trained)
    for name, parameter in frozen:
        _add_to_digest(digest, name, parameter)
    return digest.digest() if frozen else b""


def _check_names(path: Path, names: set[str], slots: Sequence[Slot]) -> None:
    wanted = {slot.name for slot in slots}
    if names != wanted:
        missing, extra = sorted(wanted - names), sorted(names - wanted)
        raise ModelError(
            f"weights file {path} does not fit this model: {len(missing)} tensors missing {missing[:2]}, "
            f"{len(extra)} unknown {extra[:2]}; load weights of the same model"
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
