"""All parameters of a model in one flat float32 buffer, each at a multiple of 128, tied ones once."""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from learner.directions import BLOCK_ELEMENTS
from learner.errors import ModelError


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one parameter lies in the flat buffer; offset and count in elements."""

    name: str
    shape: tuple[int, ...]
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Slots in order of name, so that module order does not decide which element of z a weight gets."""

    slots: tuple[Slot, ...]
    num_elements: int
    """Length of the flat buffer, padding included."""

    @classmethod
    def of(cls, model: torch.nn.Module) -> "Layout":
        """Lay out the unique parameters of `model`; ModelError if one is not float32."""
        slots: list[Slot] = []
        offset = 0
        for name, parameter in sorted(model.named_parameters(), key=lambda item: item[0]):
            if parameter.dtype != torch.float32:
                raise ModelError(
                    f"parameter {name} is {parameter.dtype}; allowed torch.float32; use a "
                    "checkpoint that is not quantized"
                )
            slots.append(Slot(name, tuple(parameter.shape), offset, parameter.numel()))
            offset += -(-parameter.numel() // BLOCK_ELEMENTS) * BLOCK_ELEMENTS
        return cls(tuple(slots), offset)

    @property
    def num_parameters(self) -> int:
        """Weights, padding not counted."""
        return sum(slot.count for slot in self.slots)

    def view(self, buffer: torch.Tensor, slot: Slot) -> torch.Tensor:
        """The part of a flat buffer that holds one parameter, in its shape."""
        return buffer[slot.offset : slot.offset + slot.count].view(slot.shape)


def flatten(model: torch.nn.Module, layout: Layout, device: torch.device) -> torch.Tensor:
    """Copy the model's parameters into a new flat buffer, float32 [num_elements], padding zero."""
    buffer = torch.zeros(layout.num_elements, device=device)
    parameters = dict(model.named_parameters())
    for slot in layout.slots:
        layout.view(buffer, slot).copy_(parameters[slot.name].detach())
    return buffer


def point_parameters_at(model: torch.nn.Module, layout: Layout, buffer: torch.Tensor) -> None:
    """Make every parameter of the model a view into `buffer`; tied parameters stay tied."""
    parameters = dict(model.named_parameters())
    for slot in layout.slots:
        parameters[slot.name].requires_grad_(False)
        parameters[slot.name].data = layout.view(buffer, slot)


def fingerprint(layout: Layout, buffer: torch.Tensor) -> str:
    """SHA-256 (hex) over names, shapes and bytes of all parameters; padding does not count."""
    digest = hashlib.sha256()
    values = buffer.cpu().numpy()
    for slot in layout.slots:
        digest.update(json.dumps([slot.name, slot.shape]).encode() + b"\n")
        digest.update(np.ascontiguousarray(values[slot.offset : slot.offset + slot.count], "<f4").data)
    return digest.hexdigest()


def save(layout: Layout, buffer: torch.Tensor, path: Path) -> None:
    """Write the parameters as safetensors with Hugging Face names; the file appears whole or not at all."""
    values = buffer.cpu()
    tensors = {slot.name: layout.view(values, slot).numpy() for slot in layout.slots}
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, metadata={"format": "pt"})
        _sync(partial)
        os.replace(partial, path)
        _sync(path.parent)
    except OSError as err:
        with suppress(OSError):
            partial.unlink()
        raise ModelError(f"cannot save weights to {path}: {err}; choose a writable folder with space left") from err


def load(layout: Layout, path: Path) -> torch.Tensor:
    """Read what `save` wrote into a new CPU buffer; ModelError unless names, shapes and types agree."""
    if not path.is_file():
        raise ModelError(f"weights file {path} does not exist; give the path of a file written by save_weights")
    buffer = torch.zeros(layout.num_elements)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            _check_names(path, set(file.keys()), layout.slots)
            for slot in layout.slots:
                values: NDArray[np.float32] = file.get_tensor(slot.name)
                if values.shape != slot.shape or values.dtype != np.float32:
                    raise ModelError(
                        f"weights file {path}: {slot.name} is {values.dtype} "
                        f"{list(values.shape)}; this model needs "
                        f"float32 {list(slot.shape)}; load weights of the same model"
                    )
                layout.view(buffer, slot).copy_(torch.from_numpy(values))
    except (safetensors.SafetensorError, OSError) as err:
        raise ModelError(
            f"weights file {path} is not valid safetensors: {err}; save it again or restore a copy"
        ) from err
    return buffer


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
