"""Which causal language models are probed exactly: all types of the installed transformers, against float64.

python -m benchmarks.causal_models [TYPE …] > docs/causal_models.md      (about 4 minutes on one core)

Every type is built small from its configuration class, with random weights. Losses at w + μz and w − μz, both signs
together (24 tokens) and one after the other (672 tokens), are compared with those of a float64 copy whose weights
really are w ± μz, z made by plain numpy; then the same in bfloat16 arithmetic beside float32 weights.
"""

import argparse
import copy
import importlib.util
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from learner.errors import LearnerError
from learner.tasks.batches import TextBatch
from learner.zo import example_losses
from learner.zo.replica import Replica

TYPES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
EXACT = "exact"
SEED, SCALE = 7, 1e-2
SHAPES = ((2, 12), (4, 168))
"""Examples and tokens: both signs together, and one after the other."""
_MOST_PARAMETERS = 8_000_000
_SECONDS = 45
_OUTCOMES = {
    EXACT: "exact",
    "refused": "refused",
    "WRONG": "wrong",
    "CRASHED": "crashed",
    "not built": "not built small",
    "no computation": "without a computation to compare with, or too slow",
}
_NO_BLAS_IN_COMMON = {torch.float32: 2e-4, torch.bfloat16: 8e-2}
"""Tolerance of a loss in nats; losses are about 5."""
_SMALL = {
    **dict.fromkeys(("vocab_size",), 100),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embed_dim", "emb_dim"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "d_ff", "decoder_ffn_dim", "encoder_ffn_dim"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "num_local_experts", "num_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok"), 2),
    **dict.fromkeys(("head_dim", "state_size"), 8),
    **dict.fromkeys(("max_position_embeddings", "n_positions"), 256),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 24),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 8),
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads"), 2),
    **{"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0},
}
_OTHERWISE: dict[str, dict[str, Any]] = {
    "falcon": {"head_dim": None},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "bamba": {"mamba_n_heads": 8, "mamba_d_head": 8, "attn_layer_indices": [1]},
    "granitemoehybrid": {"mamba_n_heads": 8, "mamba_d_head": 8, "layer_types": ["mamba", "attention"]},
    "prophetnet": {"num_hidden_layers": None, "num_encoder_layers": 2, "num_decoder_layers": 2},
    "reformer": {"is_decoder": True},
    "falcon_h1": {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_ssm": 64, "mamba_d_state": 8},
    "codegen": {"rotary_dim": 8},
    **{
        kind: {"head_dim": None, "num_key_value_heads": 4}
        for kind in ("axk2", "deepseek_v2", "deepseek_v3", "glm4_moe_lite", "longcat_flash", "minicpm3", "youtu")
    },
    "gptj": {"rotary_dim": 8},
}


def small_model(kind: str) -> Any:
    """A model of this type with few, random weights; raises whatever its classes raise."""
    configuration = CONFIG_MAPPING[kind]
    default = configuration()
    settings = {name: value for name, value in _SMALL.items() if hasattr(default, name)} | _OTHERWISE.get(kind, {})
    inner = getattr(default, "text_config", None)
    if inner is not None and not isinstance(inner, dict):
        small = {name: value for name, value in _SMALL.items() if hasattr(inner, name)}
        settings["text_config"] = {"model_type": inner.model_type, **small}
    config = configuration(**{name: value for name, value in settings.items() if value is not None})
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in AutoModelForCausalLM.from_config(config).parameters())
    if count > _MOST_PARAMETERS:
        raise ValueError(f"{count:,} parameters however small its text part")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # initial weights are too small to matter
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def batch_of(num_examples: int, num_tokens: int) -> TextBatch:
    """Texts of which everything behind the first token is predicted."""
    ids = (torch.arange(num_examples * num_tokens) * 37 % 97 + 2).view(num_examples, num_tokens)
    return TextBatch(ids, torch.ones(num_examples, dtype=torch.int64), torch.full((num_examples,), num_tokens))


def moved(model: Any, amplitude: float) -> Any:
    """A float64 copy whose trained weights are w + amplitude · z."""
    other, offset = copy.deepcopy(model).double(), 0
    with torch.no_grad():
        for _, parameter in sorted((name, p) for name, p in other.named_parameters() if p.requires_grad):
            z = _oracle().direction(SEED, 0, np.arange(offset, offset + parameter.numel()))
            parameter.add_(amplitude * torch.from_numpy(z).double().view(parameter.shape))
            offset += -(-parameter.numel() // 128) * 128
    return other


@torch.inference_mode()
def plain_losses(model: Any, batch: TextBatch) -> np.ndarray:
    """[B], mean over the predicted tokens."""
    logits = model(input_ids=batch.input_ids, use_cache=False).logits.double()
    nll = torch.nn.functional.cross_entropy(logits[:, :-1].mT, batch.input_ids[:, 1:], reduction="none")
    return nll.mean(dim=1).numpy()


def expected_losses(model: Any, dtype: torch.dtype = torch.float64) -> list[np.ndarray]:
    """[2, B] of every shape, at w + μz and w − μz."""
    sides = [moved(model, sign * float(np.float32(SCALE))).to(dtype) for sign in (1, -1)]
    for side in sides:
        for set_implementation in ("set_attn_implementation", "set_experts_implementation"):
            with suppress(Exception):  # fused ones know no float64
                getattr(side, set_implementation)("eager")
    return [np.stack([plain_losses(side, batch_of(*shape)) for side in sides]) for shape in SHAPES]


def verdict(model: Any, expected: list[np.ndarray], dtype: torch.dtype = torch.float32) -> str:
    """`exact`, "refused: reason", or what is wrong: "WRONG: …" or an error that nobody foresaw."""
    try:
        with _swept():
            replica = Replica(model, None, compute_dtype=dtype)
            for shape, wanted in zip(SHAPES, expected, strict=True):
                found = replica.scalars([batch_of(*shape)], seed=SEED, num_queries=1, perturbation_scale=SCALE)
                halves = found.example_projections[0][:, 0] * float(np.float32(SCALE))
                off = [abs(float(found.loss[0]) - wanted.mean()), np.abs(halves - (wanted[0] - wanted[1]) / 2).max()]
                if not max(off) <= _NO_BLAS_IN_COMMON[dtype]:
                    return f"WRONG: losses of {shape[0]} × {shape[1]} tokens are off by {max(off):.1e} nats"
    except LearnerError as err:
        return f"refused: {err}"
    return EXACT


@contextmanager
def _swept() -> Iterator[None]:
    """Tiny models are swept as if they were large."""
    before = example_losses.is_small
    example_losses.is_small = lambda *_: False
    try:
        yield
    finally:
        example_losses.is_small = before


_loaded: list[Any] = []


def _oracle() -> Any:
    """Directions in plain numpy, those of the tests."""
    if not _loaded:
        path = Path(__file__).parents[1] / "tests" / "learner" / "zo" / "philox_oracle.py"
        spec = importlib.util.spec_from_file_location("philox_oracle", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _loaded.append(module)
    return _loaded[0]


def _tried(action: Callable[[], Any]) -> tuple[Any, str | None]:
    """What an action gives, or one line on why it gives nothing."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {_SECONDS} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(_SECONDS)
    try:
        return action(), None
    except Exception as err:  # noqa: BLE001  whatever other people's classes raise
        text = " ".join(str(err).split())
        return None, f"{type(err).__name__}: {text[:90]}"
    finally:
        signal.alarm(0)


def row(kind: str) -> tuple[str, str]:
    """What the table says of a type, in float32 and in bfloat16 arithmetic."""
    model, reason = _tried(lambda: small_model(kind))
    if model is None:
        return f"not built small ({reason})", ""
    expected, reason = _tried(lambda: expected_losses(model))
    if expected is None:  # code with limits of float32 written into it
        expected, _ = _tried(lambda: expected_losses(model, torch.float32))
    if expected is None or not all(np.isfinite(each).all() for each in expected):
        return f"no computation to compare with ({reason or 'not finite'})", ""
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        text, reason = _tried(lambda dtype=dtype: verdict(copy.deepcopy(model), expected, dtype))
        slow = reason is not None and reason.startswith("TimeoutError")
        found.append(text or (f"no computation ({reason})" if slow else f"CRASHED: {reason}"))
    return found[0], found[1]


def page(rows: dict[str, tuple[str, str]]) -> str:
    """The table, in Markdown."""
    counts = [
        f"{sum(found[n].startswith(word) for found in rows.values())} {meaning}"
        for n in (0, 1)
        for word, meaning in _OUTCOMES.items()
    ]
    half = len(_OUTCOMES)
    lines = [
        "# Causal models: exact, or refused",
        "",
        "Made by `python -m benchmarks.causal_models > docs/causal_models.md` with transformers "
        f"{transformers.__version__}: {len(rows)} types,",
        "built small from their configuration classes, with random weights. *exact*: losses at w ± μz, μ = 0.01,",
        "both signs together and one after the other, equal those of a float64 copy whose weights really are w ± μz,",
        "within 2e-4 nats (float32) or 0.08 nats (bfloat16 arithmetic beside float32 weights); code that cannot run in",
        "float64 is compared with float32.",
        "",
        f"float32: {', '.join(counts[:half])}.",
        f"bfloat16 arithmetic: {', '.join(counts[half:])}.",
        "",
        "| type | float32 | bfloat16 arithmetic |",
        "|---|---|---|",
        *(f"| `{kind}` | {_cell(found[0])} | {_cell(found[1])} |" for kind, found in sorted(rows.items())),
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*", default=TYPES)
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity(transformers.utils.logging.CRITICAL)
    torch.set_num_threads(1)
    rows = {}
    for kind in parser.parse_args().types:
        rows[kind] = row(kind)
        print(kind, rows[kind], file=sys.stderr, flush=True)
    print(page(rows))


if __name__ == "__main__":
    main()
