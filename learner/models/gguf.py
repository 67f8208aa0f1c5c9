"""Models in one GGUF file: read by transformers and the package gguf, dequantised once, kept in the cache."""

import io
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from learner.errors import ModelError
from learner.models.store import checksum, making, stored

_CONVERSION_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ImportError,
    AssertionError,
    EOFError,
    struct.error,
    SafetensorError,
)


def converted(file: Path) -> Path:
    """The Hugging Face directory, in float32, of a GGUF file; made at first use. ModelError."""
    name = f"gguf-{checksum(file)[:24]}"
    return stored(name) or convert(file, name)


def convert(file: Path, name: str) -> Path:
    """Dequantise a GGUF file into the cache under a name, over what is there, with a bar on a terminal. ModelError."""
    if find_spec("gguf") is None:
        raise ModelError(
            f"{file.name} is a GGUF file, which takes the package gguf; run pip install 'airzero-testbed[gguf]'"
        )
    with making(name, source=f"{file.name}, sha256 {checksum(file)}") as folder:
        try:
            model, tokenizer = _read(file)
        except _CONVERSION_ERRORS as err:
            cause = (str(err).strip() or type(err).__name__).splitlines()[0].rstrip(". ")
            raise ModelError(
                f"cannot convert {file}: {cause}; allowed: a whole GGUF file of a causal model that transformers "
                f"{transformers.__version__} knows; fetch it again, or convert it elsewhere"
            ) from err
        with _bars_on_a_terminal():
            model.save_pretrained(folder, max_shard_size="1TB")
            tokenizer.save_pretrained(folder)
    made = stored(name)
    assert made is not None
    return made


def _read(file: Path) -> tuple[Any, Any]:
    """Model and tokenizer, the model without what says that it was quantised."""
    with _bars_on_a_terminal():
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
        read = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32)
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = type(read)(config)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    return model, tokenizer


@contextmanager
def _bars_on_a_terminal() -> Iterator[None]:
    """Elsewhere transformers' progress bars, some of which know no switch, go nowhere."""
    with nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO()):
        yield
