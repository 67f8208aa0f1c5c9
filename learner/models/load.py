"""Load a causal language model and its tokenizer: embedded, local, or from the Hugging Face hub."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from learner.config import EMBEDDED, ModelConfig
from learner.errors import ModelError
from learner.models.adapters import add_adapters, base_of, is_adapter, load_adapters
from learner.models.gguf import converted
from learner.models.hub import is_cached, not_reached
from learner.models.kinds import check_kind, check_sentencepiece, quantisation, quantised
from learner.models.packages import fetched

EMBEDDED_DIR = Path(__file__).parents[1] / "embedded"
_WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_STREAMED = "stream:"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_LOADING_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    ImportError,
    SafetensorError,
)


def load_model(config: ModelConfig) -> tuple[Any, Any]:
    """Load (model, tokenizer): on the CPU unless device is "auto", eval mode, never with code from the checkpoint.

    Every weight of the model must be in the checkpoint; ModelError says what is missing or unreadable. Of an adapter's
    directory, the base model with these adapters. Beside adapters, frozen weights are kept in the type of the
    arithmetic.
    """
    device_of(config)
    directory = Path(config.path).expanduser()
    if directory.is_dir() and is_adapter(directory):
        model, tokenizer = _load_adapted(config, directory)
    else:
        model, tokenizer = _load_whole(config)
        if config.lora is not None:
            add_adapters(model, config.lora, base=str(directory.absolute()) if directory.exists() else config.path)
    for parameter in model.parameters():
        if not parameter.requires_grad and parameter.is_floating_point():
            parameter.data = parameter.data.to(compute_dtype_of(config))
    return model, tokenizer


def _load_adapted(config: ModelConfig, directory: Path) -> tuple[Any, Any]:
    if config.lora is not None:
        raise ModelError(
            f"model.path {directory} is an adapter, and model.lora asks for another; leave model.lora out to go on "
            "with this one, or set model.path to its base model"
        )
    base = base_of(directory)
    try:
        model, tokenizer = _load_whole(msgspec.structs.replace(config, path=base))
    except ModelError as err:
        raise ModelError(
            f"the base model of {directory}, base_model_name_or_path in its adapter_config.json: {err}"
        ) from err
    load_adapters(model, directory, base=base)
    if any((directory / name).is_file() for name in _TOKENIZER_FILES):
        with _quiet_transformers():
            tokenizer = _load_tokenizer(str(directory), is_local=True)
        _check_vocabulary(str(directory), model, tokenizer)
    return model, tokenizer


def _load_whole(config: ModelConfig) -> tuple[Any, Any]:
    name, is_local = _locate(config.path)
    with _quiet_transformers():
        if not is_local and (err := not_reached(name)) is not None:
            if not is_cached(name):
                raise _loading_error("configuration", name, is_local, err) from err
            is_local = True
        try:
            settings = AutoConfig.from_pretrained(name, local_files_only=is_local, trust_remote_code=False)
        except _LOADING_ERRORS as err:
            raise _loading_error("configuration", name, is_local, err) from err
        check_kind(name, settings)
        tokenizer = _load_tokenizer(name, is_local=is_local)
        try:
            model, info = AutoModelForCausalLM.from_pretrained(
                name,
                local_files_only=is_local,
                trust_remote_code=False,
                output_loading_info=True,
                **{_dtype_argument(): getattr(torch, config.dtype)},
                **({"device_map": "auto"} if config.device == "auto" else {}),
            )
        except _LOADING_ERRORS as err:
            if method := quantisation(settings):
                raise quantised(name, method, _first_line(err)) from err
            raise _loading_error("model", name, is_local, err) from err
    _check_complete(name, info)
    model.eval()
    _check_vocabulary(name, model, tokenizer)
    return model, tokenizer


def _load_tokenizer(name: str, *, is_local: bool) -> Any:
    try:
        return AutoTokenizer.from_pretrained(name, local_files_only=is_local, trust_remote_code=False)
    except _LOADING_ERRORS as err:
        if is_local:
            check_sentencepiece(Path(name))
        raise _loading_error("tokenizer", name, is_local, err) from err


def compute_dtype_of(config: ModelConfig) -> torch.dtype:
    """The element type of the arithmetic."""
    dtype: torch.dtype = getattr(torch, config.compute_dtype or config.dtype)
    return dtype


def is_streamed(config: ModelConfig) -> bool:
    """Whether weights stay in host memory and pass through the device."""
    return config.device.startswith(_STREAMED)


def device_of(config: ModelConfig) -> torch.device:
    """The torch device on which a configuration computes; ModelError if torch has none of that name."""
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(config.device.removeprefix(_STREAMED))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as err:
        raise ModelError(
            f"model.device is {config.device!r}, which torch {torch.__version__} cannot use "
            f"({_first_line(err)}); "
            'allowed "cpu", or "cuda" and "stream:cuda" with a CUDA build and a GPU; set model.device = "cpu"'
        ) from err
    return device


def _locate(path: str) -> tuple[str, bool]:
    """Turn `model.path` into (what transformers loads, whether that is a local directory)."""
    if path == EMBEDDED:
        _check_directory(EMBEDDED_DIR)
        return str(EMBEDDED_DIR), True
    if (known := fetched(path)) is not None:
        return str(known), True
    directory = Path(path).expanduser()
    if directory.is_file() and directory.suffix == ".gguf":
        return str(converted(directory)), True
    if directory.exists():
        _check_directory(directory)
        return str(directory), True
    if not _HUB_NAME.fullmatch(path):
        raise ModelError(
            f'model.path {path!r} does not exist; allowed "embedded", a Hugging Face directory, a .gguf file, '
            '"smollm2-135m", or a hub name such as "facebook/opt-125m"; correct the path'
        )
    return path, False


def _check_directory(directory: Path) -> None:
    if not directory.is_dir():
        raise ModelError(
            f"model.path {directory} is a file; allowed a directory in Hugging Face format, or a .gguf file; name its "
            "folder"
        )
    config = directory / "config.json"
    if not config.is_file():
        raise ModelError(f"model directory {directory} has no config.json; save the model there with save_pretrained")
    try:
        json.loads(config.read_text(encoding="utf-8"))
    except ValueError as err:
        raise ModelError(f"{config} is not valid JSON: {err}; save the model again with save_pretrained") from err
    if not any(next(directory.glob(pattern), None) for pattern in _WEIGHT_PATTERNS):
        raise ModelError(
            f"model directory {directory} has no weights; expected model.safetensors; "
            "save the model there with save_pretrained"
        )
    if not any((directory / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelError(
            f"model directory {directory} has no tokenizer; expected tokenizer.json; "
            "save the tokenizer there with save_pretrained"
        )


def _loading_error(part: str, name: str, is_local: bool, err: BaseException) -> ModelError:
    if is_local:
        return ModelError(
            f"cannot load the {part} from {name}: {_first_line(err)}; save it again with "
            "save_pretrained, or fetch it anew"
        )
    return ModelError(
        f"model.path {name!r} is no local directory, and the {part} could not be fetched "
        "from the Hugging Face hub: "
        f"{_first_line(err)}; check the name and the network, or run `hf download {name} "
        "--local-dir DIR` where there "
        "is a network and set model.path to that DIR"
    )


def _check_complete(name: str, info: dict[str, Any]) -> None:
    """Refuse weights that transformers would silently draw at random."""
    missing = sorted(info.get("missing_keys", ()))
    mismatched = sorted(str(key) for key in info.get("mismatched_keys", ()))
    if missing or mismatched:
        example = (missing + mismatched)[0]
        raise ModelError(
            f"weights of {name} are incomplete: {len(missing)} tensors missing, "
            f"{len(mismatched)} of another shape, "
            f"first {example}; all must be there; save the whole causal language model with save_pretrained"
        )


def _check_vocabulary(name: str, model: Any, tokenizer: Any) -> None:
    num_rows = model.get_input_embeddings().weight.shape[0]
    num_tokens = max(tokenizer.get_vocab().values(), default=-1) + 1  # with the added ones, wherever they begin
    if num_tokens > num_rows:
        raise ModelError(
            f"tokenizer of {name} has {num_tokens} tokens, its model only {num_rows} embeddings; use the tokenizer "
            "that the model was trained with, or call resize_token_embeddings on the model and save it again"
        )


def _dtype_argument() -> str:
    """transformers 4.56 renamed `torch_dtype` to `dtype`."""
    major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
    return "dtype" if (major, minor) >= (4, 56) else "torch_dtype"


def _first_line(err: BaseException) -> str:
    return (str(err).strip() or type(err).__name__).splitlines()[0].rstrip(".;: ")


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers' warnings and progress bars off stderr while loading; our errors say what matters."""
    settings = transformers.utils.logging
    verbosity, had_bars = settings.get_verbosity(), settings.is_progress_bar_enabled()
    settings.set_verbosity(settings.CRITICAL)
    settings.disable_progress_bar()
    try:
        yield
    finally:
        settings.set_verbosity(verbosity)
        if had_bars:
            settings.enable_progress_bar()
