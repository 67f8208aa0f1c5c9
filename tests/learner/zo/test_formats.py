"""Data sets in their own formats, plain text, non-IID devices and adapters."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig, PreTrainedTokenizerFast

from learner.config import LoraSettings, ModelConfig, TaskConfig
from learner.errors import ModelError, TaskError
from learner.tasks.batches import Batch, TextBatch
from learner.tasks.sampling import partition_dirichlet
from learner.tasks.task import Task
from learner.zo.evaluation import evaluate
from learner.zo.replica import Replica

RTE_DIR = Path(__file__).parents[4] / "shared" / "data" / "rte"
ROWS = {
    "rte": [
        {"premise": "good film", "hypothesis": "the film is good", "label": "entailment"},
        {"premise": "bad film", "hypothesis": "the film is good", "label": "not_entailment"},
    ],
    "boolq": [
        {"passage": "good film", "question": "is it good", "answer": True},
        {"passage": "bad film", "question": "is it good", "answer": False},
    ],
    "yahoo_answers": [
        {"question_title": "good film", "topic": 7},
        {"question_title": "dull acting", "topic": 2},
    ],
    "squad": [
        {"context": "the film is good", "question": "what is good", "answers": {"text": ["film", "the film"]}},
        {"context": "the plot is dull", "question": "what is dull", "answers": {"text": ["plot"]}},
    ],
    "gsm8k": [
        {"question": "good film and dull plot", "answer": "it is good #### 2"},
        {"question": "the story", "answer": "a story #### 1,000"},
    ],
}


@pytest.fixture
def word_task(tmp_path: Path, word_tokenizer: PreTrainedTokenizerFast) -> Callable[..., Task]:
    words = {token for rows in ROWS.values() for row in rows for token in json.dumps(row).split()}
    assert words

    def make(template: str, **settings: object) -> Task:
        for name in ("train", "test"):
            lines = [json.dumps(row) + "\n" for row in ROWS[template]]
            (tmp_path / f"{name}.jsonl").write_text("".join(lines))
        config = TaskConfig(path=str(tmp_path), template=template, **settings)  # type: ignore[arg-type]
        return Task(config, word_tokenizer, num_devices=1, seed=0)

    return make


@pytest.mark.parametrize(
    ("template", "verbalizer", "prompt"),
    [
        ("rte", {"entailment": " good", "not_entailment": " bad"}, "the film is good"),
        ("boolq", {"True": " good", "False": " bad"}, "it good"),
        ("yahoo_answers", {"7": " good", "2": " bad"}, "film"),
    ],
)
def test_rows_with_several_columns_become_prompts_and_classes(
    word_task: Callable[..., Task],
    word_tokenizer: PreTrainedTokenizerFast,
    template: str,
    verbalizer: dict[str, str],
    prompt: str,
) -> None:
    task = word_task(template, verbalizer=verbalizer)
    batch = task.batch(0, 0, 2)
    assert isinstance(batch, Batch)
    assert sorted(batch.labels.tolist()) == [0, 1]
    first = batch.input_ids[batch.labels.tolist().index(0)]
    assert prompt in word_tokenizer.decode(first)


@pytest.mark.parametrize("template", ["squad", "gsm8k"])
def test_completions_predict_the_answer_and_the_end_and_nothing_else(
    word_task: Callable[..., Task], word_tokenizer: PreTrainedTokenizerFast, template: str
) -> None:
    batch = word_task(template).batch(0, 0, 2)
    assert isinstance(batch, TextBatch)
    rows, _, targets = batch.scored()
    answers = [word_tokenizer.decode(targets[rows == n]).split() for n in range(2)]
    assert all(answer[-1] == "</s>" for answer in answers)
    expected = {"squad": [["film"], ["plot"]], "gsm8k": [["it", "is", "good"], ["a", "story"]]}[template]
    assert all(any(answer[: len(words)] == words for answer in answers) for words in expected)


def test_long_contexts_are_shortened_and_leave_the_answer(
    word_task: Callable[..., Task], word_tokenizer: PreTrainedTokenizerFast
) -> None:
    batch = word_task("squad", max_tokens=12).batch(0, 0, 2)
    assert isinstance(batch, TextBatch)
    assert batch.stops.max() <= 12
    assert {word_tokenizer.decode(i[int(s)]) for i, s in zip(batch.input_ids, batch.starts, strict=True)} == {
        "film",
        "plot",
    }


@pytest.mark.parametrize("template", ["squad", "gsm8k"])
def test_completions_are_evaluated_by_what_the_model_writes(
    word_task: Callable[..., Task], model_dirs: dict[str, Path], template: str
) -> None:
    replica = Replica.load(ModelConfig(path=str(model_dirs["opt"])))
    task = word_task(template, max_new_tokens=3)
    found = evaluate(replica, task)
    assert found.metric_name == {"squad": "f1", "gsm8k": "answer_accuracy"}[template]
    assert 0 <= found.metric <= 1
    assert found.num_examples == 2
    prompt, _ = task.test_prompts()[0]
    made = replica.generate([prompt], max_new_tokens=1)[0]
    logits = replica.model(input_ids=torch.tensor([prompt])).logits[0, -1]
    assert made == [int(logits.argmax())]


def test_plain_text_is_cut_into_windows_and_scored_by_perplexity(
    tmp_path: Path, model_dirs: dict[str, Path], word_tokenizer: PreTrainedTokenizerFast
) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.txt").write_text("the film is good\n\n" * 30)
    config = TaskConfig(path=str(tmp_path), template="text", max_tokens=16)
    task = Task(config, word_tokenizer, num_devices=2, seed=0)
    assert task.num_train == task.num_test == 8  # 120 words in windows of 16
    replica = Replica.load(ModelConfig(path=str(model_dirs["opt"])))
    found = evaluate(replica, task)
    ids = [batch.input_ids for batch in task.test_batches(1)]
    lengths = [int(batch.stops[0]) for batch in task.test_batches(1) if isinstance(batch, TextBatch)]
    with torch.inference_mode():
        nll = [
            torch.nn.functional.cross_entropy(
                replica.model(input_ids=row[:, :n]).logits[0, :-1], row[0, 1:n], reduction="sum"
            )
            for row, n in zip(ids, lengths, strict=True)
        ]
    expected = math.exp(float(sum(nll)) / sum(n - 1 for n in lengths))
    assert (found.metric_name, found.metric) == ("perplexity", pytest.approx(expected, rel=1e-4))


@given(
    seed=st.integers(0, 2**64 - 1),
    num_devices=st.integers(1, 12),
    labels=st.lists(st.integers(0, 4), min_size=12, max_size=200),
    alpha=st.floats(0.05, 100),
)
def test_dirichlet_partitions_deal_out_everything_once_and_leave_nobody_empty(
    seed: int, num_devices: int, labels: list[int], alpha: float
) -> None:
    shards = partition_dirichlet(seed, np.array(labels), num_devices, alpha=alpha)
    assert sorted(np.concatenate(shards).tolist()) == list(range(len(labels)))
    assert min(map(len, shards)) >= 1


def test_small_alpha_gives_one_sided_devices_and_large_alpha_even_ones() -> None:
    labels = np.arange(4000) % 4

    def skew(alpha: float) -> float:
        shards = partition_dirichlet(1, labels, 5, alpha=alpha)
        counts = np.array([np.bincount(labels[shard], minlength=4) for shard in shards])
        return float((counts / 200 - 1).std())

    assert skew(0.1) > 1 > 0.1 > skew(1000)


def test_text_has_no_classes_to_partition_by(word_task: Callable[..., Task]) -> None:
    with pytest.raises(TaskError, match=r"task\.partition is \"dirichlet\", the template 'squad' has no classes"):
        word_task("squad", partition="dirichlet")


def test_a_missing_column_of_the_prompt_is_named(tmp_path: Path, word_tokenizer: PreTrainedTokenizerFast) -> None:
    (tmp_path / "train.jsonl").write_text('{"premise": "a", "label": "entailment"}\n')
    (tmp_path / "test.jsonl").write_text('{"premise": "a", "label": "entailment"}\n')
    with pytest.raises(TaskError, match=r"train.jsonl:1: no key 'hypothesis', found \['label', 'premise'\]"):
        Task(TaskConfig(path=str(tmp_path), template="rte"), word_tokenizer, num_devices=1, seed=0)


@pytest.mark.skipif(not RTE_DIR.is_dir(), reason=f"no RTE in {RTE_DIR}")
def test_the_whole_of_rte_becomes_a_task(word_tokenizer: PreTrainedTokenizerFast) -> None:
    words = {"entailment": " good", "not_entailment": " bad"}
    config = TaskConfig(path=str(RTE_DIR), template="rte", max_tokens=256, verbalizer=words)
    task = Task(config, word_tokenizer, num_devices=5, seed=0)
    assert (task.num_train, task.num_test) == (2490, 277)


@pytest.mark.filterwarnings("ignore")  # of packages that peft imports
@pytest.mark.parametrize("name", ["opt", "gpt2", "llama"])
def test_adapters_are_all_that_is_trained_and_begin_the_same_on_every_host(
    model_dirs: dict[str, Path], name: str, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    modules = ("c_attn",) if name == "gpt2" else ("q_proj", "v_proj")
    config = ModelConfig(path=str(model_dirs[name]), lora=LoraSettings(rank=2, target_modules=modules))
    torch.manual_seed(1)
    replica = Replica.load(config)
    torch.manual_seed(2)
    other = Replica.load(config)
    plain = Replica.load(ModelConfig(path=str(model_dirs[name])))
    assert replica.fingerprint() == other.fingerprint()
    assert 0 < replica.num_parameters < plain.num_parameters / 5
    assert all(".lora_" in key for key in replica.weights())
    ids = torch.arange(32).reshape(2, 16)
    batch = Batch(ids, torch.tensor([15, 15]), torch.tensor([0, 1]), torch.tensor([4, 5]))
    np.testing.assert_allclose(replica.class_logits([batch])[0], plain.class_logits([batch])[0], atol=1e-5)  # B = 0
    start = replica.losses([batch])[0].mean()
    for seed in range(100):
        found = replica.scalars([batch], seed=seed, num_queries=1, perturbation_scale=1e-2)
        replica.update(seed, [float(np.float32(2e-3 * found.projected_gradients[0, 0]))])
    assert replica.losses([batch])[0].mean() < start
    replica.save_weights(tmp_path / "adapters.safetensors")
    other.load_weights(tmp_path / "adapters.safetensors")
    assert other.fingerprint() == replica.fingerprint()


@pytest.mark.filterwarnings("ignore")
def test_adapters_of_layers_that_are_not_there_are_refused(model_dirs: dict[str, Path]) -> None:
    pytest.importorskip("peft")
    with pytest.raises(ModelError, match=r"target_modules \['nothing'\] do not fit this model; allowed .*'q_proj'"):
        Replica.load(ModelConfig(path=str(model_dirs["opt"]), lora=LoraSettings(target_modules=("nothing",))))


@pytest.mark.parametrize(
    "own",
    [
        {"num_beams": 3},
        {"repetition_penalty": 5.0},
        {"do_sample": True, "temperature": 9.0},
        {"no_repeat_ngram_size": 1},
        {"min_new_tokens": 4},
        {"suppress_tokens": list(range(3, 30))},
        {"forced_eos_token_id": 1},
        {"max_length": 3},
    ],
)
def test_completions_are_greedy_whatever_the_model_says_of_generation(
    model_dirs: dict[str, Path], own: dict[str, object]
) -> None:
    replica = Replica.load(ModelConfig(path=str(model_dirs["opt"])))
    prompt = expected = [3, 9, 17]
    for _ in range(4):
        with torch.inference_mode():
            expected = [*expected, int(replica.model(input_ids=torch.tensor([expected])).logits[0, -1].argmax())]
    settings = GenerationConfig(eos_token_id=None, **own)
    replica.model.generation_config = settings
    assert replica.generate([prompt], max_new_tokens=4) == [expected[3:]]
    assert replica.model.generation_config is settings


def test_an_answer_is_never_cut_but_refused(word_task: Callable[..., Task]) -> None:
    message = r"1 of 2 answers have more .* task.max_tokens = 10, .* is \S+:2 with 6; set task.max_tokens to 12 or more"
    rows = [{"question": "film", "answer": "good"}, {"question": "film", "answer": "a very good film it"}]
    ROWS["gsm8k"], kept = rows, ROWS["gsm8k"]
    try:
        with pytest.raises(TaskError, match=message):
            word_task("gsm8k", max_tokens=10)
        assert word_task("gsm8k").template.max_tokens == 1024
    finally:
        ROWS["gsm8k"] = kept


def test_weights_that_are_no_numbers_have_no_accuracy(
    make_task: Callable[..., Task], model_dirs: dict[str, Path]
) -> None:
    replica = Replica.load(ModelConfig(path=str(model_dirs["opt"])))
    for parameter in replica.model.parameters():
        parameter.data.fill_(math.nan)
    with pytest.raises(ModelError, match="is nan; the weights have diverged"):
        evaluate(replica, make_task())
