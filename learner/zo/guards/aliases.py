"""Tensors of a model that share memory with a trained parameter without being it."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from learner.errors import ModelError

Place = tuple[str, int, int, int]
"""Device, address of the memory, first and last byte in it"""


def check_aliases(model: torch.nn.Module, trained: Mapping[str, torch.nn.Parameter]) -> None:
    """ModelError if another parameter, buffer or attribute of a module sees a trained parameter's memory.

    It would keep the former values when the parameter is moved, perturbed or updated.
    """
    owners: dict[tuple[str, int], list[tuple[str, int, int]]] = {}
    for name, parameter in trained.items():
        where, first, last = _place(parameter)
        for other, begin, end in owners.get(where, []):
            if first < end and begin < last:
                raise _error(name, other)
        owners.setdefault(where, []).append((name, first, last))
    known = {id(parameter) for parameter in trained.values()}
    for name, tensor in tensors_of(model):
        if id(tensor) in known or not tensor.numel() or tensor.layout != torch.strided or tensor.is_meta:
            continue
        where, first, last = _place(tensor)
        for other, begin, end in owners.get(where, []):
            if first < end and begin < last:
                raise _error(name, other)


def tensors_of(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters, buffers and attributes, also in lists and dicts."""
    for prefix, module in model.named_modules():
        held = {**vars(module), **module._parameters, **module._buffers}
        for name, value in held.items():
            if name not in ("_parameters", "_buffers", "_modules"):
                for tensor in _leaves(value):
                    yield f"{prefix}.{name}".lstrip("."), tensor


def _leaves(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)


def _place(tensor: torch.Tensor) -> tuple[tuple[str, int], int, int]:
    extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    first = int(tensor.storage_offset()) * tensor.element_size()
    where = str(tensor.device), tensor.untyped_storage().data_ptr()
    return where, first, first + int(extent) * tensor.element_size()


def _error(name: str, other: str) -> ModelError:
    return ModelError(
        f"{name} shares memory with the trained weight {other}, but is another tensor; allowed only the same "
        "parameter under several names (tied weights); tie them as one parameter, or clone one of them"
    )
