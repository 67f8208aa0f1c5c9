"""While weights are perturbed, nothing can read them unperturbed: the parameters point at NaN instead.

A function that torch does not hand over (scripted, compiled, called by pointer) then gives NaN, which is an error, and
at load a `Watch` names it. The values are kept aside for those who perturb them, and come back afterwards.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from learner.errors import ModelError


class Covers:
    """One NaN for every parameter, seen in its own shape, type and place."""

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        self.name_of: dict[int, str] = {}
        """By the address of the NaN."""
        self._covered = []
        with torch.inference_mode(False):
            for name, parameter in parameters.items():
                nan = torch.full((1,), torch.nan, dtype=parameter.dtype, device=parameter.device)
                self.name_of[nan.data_ptr()] = name
                self._covered.append((parameter, nan.expand(parameter.shape)))

    def put(self) -> dict[int, torch.Tensor]:
        """Cover all parameters; returns their values by the parameter's id."""
        values = {id(parameter): parameter.data for parameter, _ in self._covered}
        for parameter, cover in self._covered:
            parameter.data = cover
        return values

    def take_off(self, values: Mapping[int, torch.Tensor]) -> None:
        """Point the parameters at their values again."""
        for parameter, _ in self._covered:
            parameter.data = values[id(parameter)]


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuse every operation that reads a cover; ModelError says which, and of which parameter."""

    def __init__(self, covers: Covers) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._name_of = covers.name_of

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch for every operation on tensors, whoever makes it."""
        with torch._C.DisableTorchFunction():  # else the sweep would answer for what is looked at here
            for value in () if func.is_view else tree_leaves((args, kwargs)):
                name = self._name_of.get(_address(value)) if isinstance(value, torch.Tensor) else None
                if name is not None:
                    raise ModelError(
                        f"the model reads the weight {name} by {func.name()} where it cannot be perturbed (scripted, "
                        "mapped or foreign code); only models whose layers call torch's functions can be trained; "
                        "choose another implementation of this model"
                    )
            return func(*args, **(kwargs or {}))


def _address(tensor: torch.Tensor) -> int:
    """Of the memory behind a tensor; 0 if there is none of its own (it is sparse, or wraps another)."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0
