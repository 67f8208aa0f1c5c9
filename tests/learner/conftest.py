"""Tiny random models, a word tokenizer and a small task, made once and loaded the way users load theirs."""


# os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: tests never use a network

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from learner.config import ModelConfig, TaskConfig
from learner.tasks.task import Task
from learner.zo.replica import Replica

torch.set_num_threads(1)  # what one learner host uses; more threads of several test processes fight for the cores

GOOD = ["good", "superb", "lovely", "bright", "warm"]
BAD = ["bad", "dull", "awful", "grim", "cold"]
FILLER = ["a", "the", "film", "is", "was", "and", "very", "story", "acting", "plot", "it", "this", "of"]
WORDS = ["<pad>", "</s>", "<unk>", *GOOD, *BAD, *FILLER, "It", "terrible", "great"]
VOCABULARY_SIZE = 50  # more rows than words, as hub models have


def _models() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    size = {"vocab_size": VOCABULARY_SIZE, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    opt = {**size, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 40, "max_position_embeddings": 64}
    llama = {**size, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2}
    return {
        "opt": OPTForCausalLM(OPTConfig(**opt, hidden_size=24, word_embed_proj_dim=24)),
        "opt_projected": OPTForCausalLM(OPTConfig(**opt, hidden_size=24, word_embed_proj_dim=16)),
        "gpt2": GPT2LMHeadModel(GPT2Config(**size, n_embd=24, n_layer=2, n_head=2, n_positions=64)),
        "llama": LlamaForCausalLM(
            LlamaConfig(**llama, num_attention_heads=2, max_position_embeddings=64, tie_word_embeddings=False)
        ),
        "qwen3": Qwen3ForCausalLM(
            Qwen3Config(
                **llama,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=12,
                max_position_embeddings=64,
                tie_word_embeddings=True,
            )
        ),
    }


@pytest.fixture(scope="session")
def word_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token="</s>", bos_token="</s>"
    )


@pytest.fixture(scope="session")
def model_dirs(tmp_path_factory: pytest.TempPathFactory, word_tokenizer: PreTrainedTokenizerFast) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for name, model in _models().items():
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))  # initial weights are too small to tell words apart
        model.save_pretrained(root / name)
        word_tokenizer.save_pretrained(root / name)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="session", params=["opt", "opt_projected", "gpt2", "llama", "qwen3"])
def any_model_dir(request: pytest.FixtureRequest, model_dirs: dict[str, Path]) -> Path:
    return model_dirs[request.param]


@pytest.fixture
def replica(model_dirs: dict[str, Path]) -> Replica:
    return Replica.load(ModelConfig(path=str(model_dirs["opt"])))


@pytest.fixture(scope="session")
def reviews_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 training and 30 evaluation sentences of 3 to 12 words."""
    directory = tmp_path_factory.mktemp("reviews")
    for name, count, shift in (("train", 60, 0), ("test", 30, 7)):
        rows = []
        for n in range(count):
            words = [FILLER[(n * 5 + j + shift) % len(FILLER)] for j in range(2 + (n * 7 + shift) % 10)]
            tone = (BAD, GOOD)[n % 2][(n // 2 + shift) % 5]
            rows.append(f"{' '.join([*words, tone])}\t{n % 2}\n")
        (directory / f"{name}.tsv").write_text("".join(rows), encoding="utf-8")
    return directory


@pytest.fixture(scope="session")
def make_task(reviews_dir: Path, word_tokenizer: PreTrainedTokenizerFast) -> Callable[..., Task]:
    def make(*, num_devices: int = 3, seed: int = 5, tokenizer: object = None, **settings: object) -> Task:
        config = TaskConfig(**{"path": str(reviews_dir), **settings})  # type: ignore[arg-type]
        return Task(config, tokenizer or word_tokenizer, num_devices=num_devices, seed=seed)

    return make
