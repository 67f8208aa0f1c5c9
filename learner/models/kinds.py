"""Models that are none of ours: told by their configuration, before anything of them is loaded."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

from learner.errors import ModelError

_SENTENCEPIECE_FILES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")


def check_kind(name: str, settings: Any) -> None:
    """Refuse what is no causal language model, and weights in a format that transformers would skip. ModelError."""
    if settings.is_encoder_decoder or type(settings) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        what = "an encoder-decoder" if settings.is_encoder_decoder else "no language model that transformers continues"
        raise ModelError(
            f"{name} is of type {settings.model_type!r}, {what}; only causal (decoder) language models can be "
            "fine-tuned; choose one such as OPT, GPT-2 or Llama"
        )
    method = quantisation(settings)
    if method is not None and not any(known.startswith(method) for known in AUTO_QUANTIZATION_CONFIG_MAPPING):
        raise quantised(name, method, "transformers knows no such method")


def quantisation(settings: Any) -> str | None:
    """The method by which a checkpoint is quantised, None if it is not."""
    found = getattr(settings, "quantization_config", None)
    if found is None:
        return None
    given = found.get("quant_method") if isinstance(found, dict) else getattr(found, "quant_method", None)
    return str(getattr(given, "value", given) or "of no name")


def quantised(name: str, method: str, cause: str) -> ModelError:
    """The error for quantised weights that cannot be loaded."""
    return ModelError(
        f"the weights of {name} are quantised (quant_method {method!r}), and cannot be loaded: {cause}; allowed float "
        "weights, or a .gguf file, which is dequantised; set model.path to the model from which these were made"
    )


def keep_unscaled(model: Any) -> None:
    """RWKV in evaluation mode divides weights by powers of two at its first forward pass, and activations after every
    ``rescale_every`` layers, so that float16 does not overflow: the same function without either, up to rounding.
    """
    if getattr(model.config, "rescale_every", 0):
        model.config.rescale_every = 0


def check_sentencepiece(directory: Path) -> None:
    """Refuse a tokenizer that only sentencepiece can read where that is missing. ModelError."""
    found = next((name for name in _SENTENCEPIECE_FILES if (directory / name).is_file()), None)
    if found is None or (directory / "tokenizer.json").is_file() or find_spec("sentencepiece") is not None:
        return
    raise ModelError(
        f"the tokenizer of {directory} is {found} without a tokenizer.json, which takes the package sentencepiece; run "
        "pip install sentencepiece protobuf, or put the model's tokenizer.json there"
    )
