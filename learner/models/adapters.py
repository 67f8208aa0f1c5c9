"""Low-rank adapters by peft, begun from counters instead of torch's generator, so that every host has the same."""

import math
from typing import Any

import numpy as np
import torch

from learner.config import LoraSettings
from learner.errors import ModelError
from learner.kernels.philox import philox4x32


def add_adapters(model: Any, settings: LoraSettings) -> None:
    """Put adapters into the model's linear layers; only their weights require a gradient afterwards."""
    try:
        import peft  # optional, and slow to import
    except ImportError as err:
        raise ModelError(
            "model.lora needs the package peft, which is not installed; run pip install 'airzero-testbed[lora]', or "
            "leave model.lora out to train all weights"
        ) from err
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=list(settings.target_modules) or None,
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )
    try:
        peft.inject_adapter_in_model(config, model)
    except ValueError as err:
        names = sorted({n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)})
        raise ModelError(
            f"model.lora.target_modules {list(settings.target_modules)} do not fit this model; "
            f"allowed names of its linear layers, {names}; correct the list"
        ) from err
    adapters = sorted((name, p) for name, p in model.named_parameters() if ".lora_" in name)
    trained = {id(parameter) for _, parameter in adapters}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    for number, (name, parameter) in enumerate(adapters):
        with torch.no_grad():
            parameter.copy_(_uniform(settings.seed, number, parameter) if ".lora_A." in name else 0)
    model.eval()


def _uniform(seed: int, number: int, like: torch.Tensor) -> torch.Tensor:
    """Uniform on ±√3 / √(columns), unit gain; bits depend on seed, number of the adapter and element only."""
    block = torch.arange(-(-like.numel() // 4), dtype=torch.int64)
    words = philox4x32((seed & 0xFFFFFFFF, seed >> 32), (block, torch.zeros_like(block), number, 3))
    integers = words.reshape(-1)[: like.numel()].numpy() - (1 << 31)
    bound = math.sqrt(3.0 / like.shape[1])
    return torch.from_numpy((integers * (bound / (1 << 31))).astype(np.float32)).view(like.shape)
