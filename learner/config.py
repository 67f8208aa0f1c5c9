"""What an experiment may say about model, task and learning; no torch here, so that commands start fast."""

from functools import cache
from numbers import Number
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from learner.errors import SettingsError, one_of

PositiveFloat = Annotated[float, msgspec.Meta(gt=0)]
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
NonEmptyStr = Annotated[str, msgspec.Meta(min_length=1)]

DirectionKind = Literal["rademacher", "gaussian"]
TaskKind = Literal["classification", "completion", "text"]
Metric = Literal["accuracy", "macro_f1", "f1", "exact_match", "answer_accuracy", "perplexity"]
Estimator = Literal["two_sided", "one_sided"]
FloatType = Literal["float32", "bfloat16", "float16"]

EMBEDDED = "embedded"
"""The `path` of the model and of the reviews that come with the package."""
EMBEDDED_NUM_TRAIN = 2000
"""How many of those reviews there are to learn from."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the learner's records: what the annotations allow holds from Python as it does from TOML."""

    def __post_init__(self) -> None:
        """Hold each value as TOML would have given it (1.0 for 1, a tuple for a list); else SettingsError."""
        for name, annotation in _annotations(type(self)).items():
            given = getattr(self, name)
            plain = given.item() if isinstance(given, Number) and hasattr(given, "item") else given  # of numpy
            try:
                msgspec.structs.force_setattr(self, name, msgspec.convert(plain, annotation))
            except msgspec.ValidationError as err:
                allowed = _allowed(annotation, given, str(err))
                raise SettingsError(f"{type(self).__name__}.{name}: got {given!r}; {allowed}") from err


@cache
def _annotations(record: type[Settings]) -> dict[str, Any]:
    return get_type_hints(record, include_extras=True)


def _allowed(annotation: Any, given: object, text: str) -> str:
    """What is allowed instead, all words of a closed list; `text` is what msgspec says."""
    for part in (annotation, *get_args(annotation)):
        if get_origin(part) is Literal:
            return one_of(get_args(part), given)
    wanted, _, where = text.removeprefix("Expected ").partition(" - at ")
    return f"allowed: {wanted.partition(', got ')[0]}" + (f" at {where}" if where else "")


class LoraSettings(Settings, frozen=True):
    """Low-rank adapters: W + (alpha / rank) B A, B = 0 and A uniform from the seed, so that all hosts agree."""

    rank: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 8
    """Rows of A."""
    alpha: PositiveFloat = 16.0
    """Scale, before division by the rank."""
    target_modules: tuple[NonEmptyStr, ...] = ()
    """Names of the linear layers that get adapters ("q_proj", "v_proj"); peft's choice for the model if empty."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    """Seed of A."""


class ModelConfig(Settings, frozen=True):
    """Which causal language model is fine-tuned, and where it computes."""

    path: NonEmptyStr = EMBEDDED
    """ "embedded", a local Hugging Face directory, or one of a LoRA adapter, which is trained further; a GGUF file
    (dequantised once, extra gguf), "smollm2-135m" after `testbed fetch smollm2`, or a name on the Hugging Face hub."""
    dtype: FloatType = "float32"
    """Element type in which the weights are kept and updated; 16-bit updates are rounded stochastically."""
    compute_dtype: FloatType | None = None
    """Element type of the arithmetic; that of the weights if absent. bfloat16 beside float32 weights is fast."""
    device: NonEmptyStr = "cpu"
    """A torch device ("cpu", "cuda", "cuda:1"); "auto": spread over all GPUs by accelerate; "stream:cuda": for a model
    larger than the GPU, weights stay in host memory and pass through it (generation then fetches them once a token)."""
    lora: LoraSettings | None = None
    """Train low-rank adapters (package peft) instead of all weights."""


class TaskConfig(Settings, frozen=True):
    """What is learnt: labels (the word that follows a prompt), completions of a prompt, or plain text."""

    path: NonEmptyStr = EMBEDDED
    """ "embedded" reviews, a directory with train.* and test.* (or dev.*, val.*) as .tsv, .jsonl, .json, .csv, .txt
    (also .gz) or .parquet, or that save_to_disk made, one such file (split 80/20 by seed), or a data set name on the
    Hugging Face hub ("name" or "name:subset")."""
    template: NonEmptyStr = "sst2"
    """How rows are read, asked and scored; the keys below override it. "sst2", "rte", "boolq", "yahoo_answers",
    "banking77", "squad", "squad_v2", "gsm8k", "text" (learner/tasks/templates.py), or one that was registered."""
    prompt: Annotated[str, msgspec.Meta(pattern=r"\{text\}")] | None = None
    """What the model reads; {text} stands for the column text_key, any other {name} for the column of that name."""
    verbalizer: Annotated[dict[str, str], msgspec.Meta(min_length=2)] | None = None
    """Label as written in the data -> the word that the model should say, of one token or several; class indices follow
    this order."""
    text_key: NonEmptyStr | None = None
    """Key (JSONL, hub) or column (CSV) of the text."""
    label_key: NonEmptyStr | None = None
    """Key (JSONL, hub) or column (CSV) of the label or answer."""
    metric: Metric | None = None
    """How answers are judged; the template's own if absent. Classes: "accuracy", "macro_f1"; completions: "f1" of
    words, "exact_match", "answer_accuracy" of the last number; plain text: "perplexity"."""
    max_tokens: Annotated[int, msgspec.Meta(ge=4, le=4096)] | None = None
    """Longest encoded example; the template's if absent (gsm8k 1024, others 64). Longer texts lose their beginning; an
    answer is never cut, but refused above half of it."""
    max_new_tokens: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    """Longest completion at evaluation; the template's if absent (gsm8k 512, others 32)."""
    num_train: PositiveInt | None = None
    """Training examples to keep, drawn by seed; all of them if absent."""
    num_validation: PositiveInt | None = None
    """Training examples, drawn by seed, that nobody trains on: they choose the best round. None if absent."""
    num_test: PositiveInt | None = None
    """Evaluation examples to keep, drawn by seed; all of them if absent."""
    partition: Literal["iid", "dirichlet"] = "iid"
    """How examples are dealt to devices: evenly at random, or each class by shares drawn from a Dirichlet law."""
    dirichlet_alpha: PositiveFloat = 0.5
    """Concentration of that law: the smaller, the more one-sided the devices."""


class LearnerConfig(Settings, frozen=True):
    """Zeroth-order fine-tuning: how scalars are computed and applied."""

    learning_rate: PositiveFloat = 1e-4
    """η of w ← w − η p̂ z (docs/method.md §1)."""
    perturbation_scale: PositiveFloat = 1e-3
    """μ of w ± μ z (docs/method.md eq 7)."""
    batch_size: PositiveInt = 16
    """Examples per device and round."""
    num_queries: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 1
    """Directions per round, one scalar each."""
    estimator: Estimator = "two_sided"
    """``two_sided``: [F(w + μz) − F(w − μz)] / 2μ, 2Q forwards a round. ``one_sided``: [F(w + μz) − F(w)] / μ, Q + 1
    forwards (docs/method.md §1.1)."""
    direction: DirectionKind = "rademacher"
    """Distribution of z: signs (least variance), or the Gaussian-like binomial of learner/zo/directions.py."""
    clip: Annotated[float, msgspec.Meta(ge=1e-6, le=1e9)] = 100.0
    """γ: p_k is clipped to ±γ before transmission (docs/method.md §1)."""
    num_threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    """CPU threads of one learner host."""
    batch_devices: bool = False
    """One forward for all hosted devices: faster on a GPU, but scalars then depend on who shares a host."""
    fingerprint_every: PositiveInt = 50
    """Rounds between two comparisons of the weights' fingerprints."""
