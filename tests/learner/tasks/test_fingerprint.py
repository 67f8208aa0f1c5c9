"""A task's fingerprint is of all that decides batches and evaluation, and of nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from learner.tasks.digest import Digest
from learner.tasks.task import Task

MakeTask = Callable[..., Task]


def test_equal_tasks_have_equal_fingerprints_wherever_they_lie(make_task: MakeTask, reviews_dir: Path, tmp_path: Path):
    there = shutil.copytree(reviews_dir, tmp_path / "there")
    first = make_task().fingerprint()
    assert len(first) == 64
    assert make_task().fingerprint() == first == make_task(path=str(there)).fingerprint()


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 6},
        {"num_devices": 4},
        {"num_train": 59},
        {"num_test": 29},
        {"max_tokens": 8},
        {"partition": "dirichlet"},
        {"prompt": "{text} very It was"},
        {"verbalizer": {"1": " great", "0": " terrible"}},
        {"verbalizer": {"0": " bad", "1": " great"}},
    ],
)
def test_whatever_decides_a_batch_is_in_it(make_task: MakeTask, changed: dict[str, Any]):
    assert make_task(**changed).fingerprint() != make_task().fingerprint()


def test_neighbours_of_a_task_are_other_tasks(make_task: MakeTask):
    task = make_task()
    first = task.fingerprint()
    for neighbour in (task.without_last(0), task.exchanged(task.shard(0)[:1], int(task.shard(1)[0]))):
        assert neighbour.fingerprint() != first == task.fingerprint()


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        row = {"question": "is the film good", "answer": "very good"}
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for _ in range(4)))
    return tmp_path


def test_a_completion_is_judged_by_answers_and_vocabulary_too(
    make_task: MakeTask, questions: Path, word_tokenizer: PreTrainedTokenizerFast
):
    settings = {"path": str(questions), "template": "gsm8k"}
    first = make_task(**settings).fingerprint()
    assert make_task(**settings).fingerprint() == first
    assert make_task(**settings, max_new_tokens=7).fingerprint() != first
    rows = (questions / "test.jsonl").read_text()
    (questions / "test.jsonl").write_text(rows.replace("very good", "very  good", 1))  # the same tokens
    assert make_task(**settings).fingerprint() != first
    (questions / "test.jsonl").write_text(rows)
    plain = json.loads(word_tokenizer.backend_tokenizer.to_str())
    words = plain["model"]["vocab"]
    words["cold"], words["grim"] = words["grim"], words["cold"]  # which stand in no example
    other = PreTrainedTokenizerFast(
        tokenizer_object=type(word_tokenizer.backend_tokenizer).from_str(json.dumps(plain)),
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="</s>",
        bos_token="</s>",
    )
    assert make_task(**settings, tokenizer=other).fingerprint() != first


def test_plain_text_has_one_too(make_task: MakeTask, tmp_path: Path):
    (tmp_path / "train.txt").write_text("the film was very good and the plot bright\n" * 9)
    (tmp_path / "test.txt").write_text("the film was dull\n" * 9)
    settings = {"path": str(tmp_path), "template": "text", "max_tokens": 8}
    first = make_task(**settings).fingerprint()
    assert make_task(**settings).fingerprint() == first
    (tmp_path / "test.txt").write_text("the film was dull\n" * 8 + "the film was cold\n")
    assert make_task(**settings).fingerprint() != first


def test_a_digest_tells_apart_what_only_runs_together_alike():
    def of(*steps: tuple[str, Any]) -> str:
        digest = Digest()
        for name, values in steps:
            if isinstance(values, np.ndarray):
                digest.array(name, values, "<i8")
            else:
                digest.words(name, values)
        return digest.hex()

    seen = [
        of(("a", ["b", "c"])),
        of(("a", ["bc"])),
        of(("a", ["b"]), ("a", ["c"])),
        of(("a", np.array([1, 2]))),
        of(("a", np.array([[1, 2]]))),
        of(("a", np.array([1])), ("a", np.array([2]))),
        of(("b", np.array([1, 2]))),
        of(),
    ]
    assert len(set(seen)) == len(seen)
    assert of(("a", np.array([1, 2], np.int32))) == of(("a", np.array([1, 2], ">i8"))) == seen[3]
    assert of(("a", np.array([[1, 2], [3, 4]]).T)) == of(("a", np.array([[1, 3], [2, 4]])))
