"""Why logits are not finite: damaged weights, or a type too narrow for weights or arithmetic."""

from typing import Any

import torch

from learner.errors import ModelError

_WIDER = 'set model.compute_dtype = "bfloat16", or "float32" (and model.dtype, where that is "float16")'


def not_finite(model: Any, dtype: torch.dtype) -> ModelError:
    """The error for a model whose logits are not finite in the arithmetic of ``dtype``."""
    bad = {name: p for name, p in model.named_parameters() if not bool(torch.isfinite(p).all())}
    if dtype == torch.float16 and not any(bool(torch.isnan(p).any()) for p in bad.values()):
        what = f"{len(bad)} of its weights, first {next(iter(bad))}, and" if bad else "its weights are finite, but"
        return ModelError(
            f"the model's logits are not finite: {what} the arithmetic in float16 may exceed "
            f"{torch.finfo(dtype).max:.0f}, its largest number; {_WIDER}"
        )
    if bad:
        return ModelError(
            f"the model's logits are not finite; its weights are damaged, first {next(iter(bad))}; fetch or save them "
            "again"
        )
    return ModelError(
        f"the model's logits are not finite in {str(dtype).removeprefix('torch.')}, though its weights are; choose "
        "another model or checkpoint"
    )
