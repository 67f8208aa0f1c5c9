"""Low-rank adapters by peft: begun from counters instead of torch's generator, so that every host has the same, or
read from a directory that peft or `save_adapters` wrote (arXiv 2106.09685).
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from learner.config import LoraSettings
from learner.errors import ModelError
from learner.kernels.philox import philox4x32

_SETTINGS = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_NAME = "default"
"""What peft calls an adapter that has no name."""
_PREFIX = "base_model.model."
"""Of peft's names in files, before those of the model."""


def add_adapters(model: Any, settings: LoraSettings, *, base: str) -> None:
    """Put adapters into the model's linear layers; only their weights require a gradient afterwards.

    base: what the model was loaded from, as `save_adapters` shall write it.
    """
    peft = _peft()
    config = peft.LoraConfig(
        base_model_name_or_path=base,
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
    for number, (name, parameter) in enumerate(_train_adapters_only(model)):
        with torch.no_grad():
            parameter.copy_(_uniform(settings.seed, number, parameter) if ".lora_A." in name else torch.zeros(()))


def is_adapter(directory: Path) -> bool:
    """Whether a directory holds adapters beside no model; ModelError if it holds both, for then both may be meant."""
    if not (directory / _SETTINGS).is_file():
        return False
    if whole := sorted([*directory.glob("model*.safetensors"), *directory.glob("pytorch_model*.bin")]):
        raise ModelError(
            f"model directory {directory} holds an adapter ({_SETTINGS}) beside a whole model ({whole[0].name}); "
            f"allowed one of them; move {_SETTINGS} and the adapter's weights to a folder of their own"
        )
    return True


def base_of(directory: Path) -> str:
    """What the adapters of a directory belong to, as `model.path` takes it; ModelError if they are none of ours."""
    file = directory / _SETTINGS
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        kind, base = settings["peft_type"], settings["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ModelError(f"{file} cannot be read: {_short(err)}; save the adapter again") from err
    unknown = [
        f"{key} = {settings[key]!r}"
        for key, allowed in (("bias", "none"), ("modules_to_save", None), ("use_dora", False))
        if settings.get(key) not in (allowed, None, [])
    ]
    if kind != "LORA" or unknown:
        found = ", ".join([f"peft_type = {kind!r}", *unknown])
        raise ModelError(
            f'{file} has {found}; allowed peft_type "LORA", all else of which stays as it was; merge the adapter into '
            "its model with peft's merge_and_unload, and save that"
        )
    if not isinstance(base, str) or not base:
        raise ModelError(f"{file} names no base_model_name_or_path; write the path or name of the model there")
    if (beside := directory / base).is_dir():
        base = str(beside)
    if Path(base).is_dir() and is_adapter(Path(base)):
        raise ModelError(f"{file} names {base}, itself an adapter; merge that one into its model, and name the result")
    return base


def load_adapters(model: Any, directory: Path, *, base: str) -> None:
    """Put the adapters of a directory into the model they belong to; only their weights require a gradient then."""
    peft = _peft()
    try:
        config = peft.LoraConfig.from_pretrained(str(directory))
        config.base_model_name_or_path, config.lora_dropout, config.inference_mode = base, 0.0, False
        peft.inject_adapter_in_model(config, model)
        read = load_file(directory / _WEIGHTS)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as err:
        raise ModelError(f"cannot load the adapter of {directory}: {_short(err)}; save it again") from err
    adapters = {_name_in_file(name): parameter for name, parameter in _train_adapters_only(model)}
    wrong = sorted(
        key
        for key in read.keys() | adapters
        if key not in read or key not in adapters or read[key].shape != adapters[key].shape
    )
    if wrong:
        raise ModelError(
            f"the adapter of {directory} does not fit its model {base}: {len(wrong)} tensors missing, unknown or of "
            f"another shape, first {wrong[0]}; correct base_model_name_or_path in {_SETTINGS}"
        )
    with torch.no_grad():
        for key, parameter in adapters.items():
            parameter.copy_(read[key])


def save_adapters(model: Any, directory: Path) -> bool:
    """Write a model's adapters as peft does; False, and nothing, for a model without."""
    if (config := getattr(model, "peft_config", {}).get(_NAME)) is None:
        return False
    directory.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(directory))
    tensors = {_name_in_file(name): p.detach().cpu().contiguous() for name, p in _adapters(model)}
    save_file(tensors, directory / _WEIGHTS, metadata={"format": "pt"})
    return True


def scalings(model: Any) -> dict[str, float]:
    """alpha / rank, or what else the products of adapters are multiplied by, by module; empty without adapters."""
    found = {name: getattr(module, "scaling", None) for name, module in model.named_modules()}
    return {name: factors[_NAME] for name, factors in found.items() if isinstance(factors, dict) and _NAME in factors}


def _peft() -> Any:
    try:
        import peft  # optional, and slow to import
    except ImportError as err:
        raise ModelError(
            "adapters need the package peft, which is not installed; run pip install 'airzero-testbed[lora]', or "
            "leave model.lora out and name a whole model to train all weights"
        ) from err
    return peft


def _adapters(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    return sorted((name, p) for name, p in model.named_parameters() if ".lora_" in name)


def _train_adapters_only(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    """The adapters by name, after all else was frozen."""
    adapters = _adapters(model)
    trained = {id(parameter) for _, parameter in adapters}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    model.eval()
    return adapters


def _name_in_file(name: str) -> str:
    return _PREFIX + name.replace(f".{_NAME}", "")


def _short(err: BaseException) -> str:
    return (str(err).strip() or type(err).__name__).splitlines()[0].rstrip(".;: ")


def _uniform(seed: int, number: int, like: torch.Tensor) -> torch.Tensor:
    """Uniform on ±√3 / √(columns), unit gain; bits depend on seed, number of the adapter and element only."""
    block = torch.arange(-(-like.numel() // 4), dtype=torch.int64)
    words = philox4x32((seed & 0xFFFFFFFF, seed >> 32), (block, torch.zeros_like(block), number, 3))
    integers = words.reshape(-1)[: like.numel()].numpy() - (1 << 31)
    bound = math.sqrt(3.0 / like.shape[1])
    return torch.from_numpy((integers * (bound / (1 << 31))).astype(np.float32)).view(like.shape)
