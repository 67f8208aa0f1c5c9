"""Tasks by name: the package's own, and those that somebody registers."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from learner.config import ModelConfig, TaskConfig
from learner.errors import TaskError
from learner.tasks import registry
from learner.tasks.registry import BUILT_IN, names, register, template, template_of
from learner.tasks.task import Task
from learner.tasks.templates import Row, Split, Template
from learner.zo.evaluation import evaluate
from learner.zo.replica import Replica


@pytest.fixture(autouse=True)
def _only_the_packages_own_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_templates", dict(registry._templates))


class Films(Template):
    """A task as a lab writes it: its own rows, prompt and words."""

    name = "films"
    prompt = "{text} and {year} was"
    verbalizer = {"bad": " awful", "good": " superb"}  # noqa: RUF012

    def rows(self, path: str, split: Split) -> Iterator[Row]:
        for n in range(8 if split == "train" else 4):
            yield {"text": f"the film {path}", "year": "warm", "label": ("bad", "good")[n % 2]}


class Echo(Template):
    """A completion task with its own score; it reads files as others do."""

    name = "echo"
    kind = "completion"
    metric = "sameness"

    def score(self, made: str, answer: str) -> float:
        return 0.25


def test_a_registered_task_with_its_own_rows_is_learnt_and_evaluated_by_name(
    word_tokenizer: PreTrainedTokenizerFast, model_dirs: dict[str, Path]
) -> None:
    assert register(Films) is Films
    assert names() == (*BUILT_IN, "films")
    task = Task(TaskConfig(template="films", path="story"), word_tokenizer, num_devices=2, seed=0)
    assert (task.num_train, task.num_test) == (8, 4)
    assert (task.train_source, task.test_source) == ("films:train", "films:test")
    assert [word_tokenizer.decode(token) for token in task.class_tokens] == ["awful", "superb"]
    (first, *_) = task.batch(0, 0, 4).input_ids
    assert word_tokenizer.decode(first).startswith("the film story and warm was")
    found = evaluate(Replica.load(ModelConfig(path=str(model_dirs["opt"]))), task)
    assert (found.metric_name, found.metric, found.num_examples) == ("accuracy", 0.5, 4)  # one prompt, two labels


def test_a_registered_task_may_score_completions_its_own_way(
    tmp_path: Path, word_tokenizer: PreTrainedTokenizerFast, model_dirs: dict[str, Path]
) -> None:
    register(Echo())  # an instance is as good
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "the film", "label": "film"}\n' * 2)
    task = Task(TaskConfig(template="echo", path=str(tmp_path)), word_tokenizer, num_devices=1, seed=0)
    found = evaluate(Replica.load(ModelConfig(path=str(model_dirs["opt"]))), task)
    assert (found.metric_name, found.metric, found.accuracy) == ("sameness", 0.25, None)


def test_what_the_configuration_says_comes_before_what_a_registered_task_says() -> None:
    register(Films)
    found = template_of(TaskConfig(template="films", prompt="{text} it was", text_key="other"))
    assert (found.prompt, found.text_key, dict(found.verbalizer)) == ("{text} it was", "other", Films.verbalizer)
    assert template("films").prompt == Films.prompt


def test_an_unknown_template_is_answered_with_all_names_and_the_nearest() -> None:
    register(Films)
    for call in (lambda: template("filns"), lambda: template_of(TaskConfig(template="filns"))):
        with pytest.raises(TaskError) as caught:
            call()
        assert str(caught.value) == (
            "task.template: got 'filns'; allowed: sst2, rte, boolq, yahoo_answers, banking77, squad, squad_v2, gsm8k, "
            "text, films; did you mean 'films'?"
        )


def test_the_same_class_may_come_twice_and_no_other_takes_its_name() -> None:
    register(Films)
    register(type("Films", (Template,), {**vars(Films), "text_key": "body"}))  # a notebook cell that runs again
    assert template("films").text_key == "body"
    with pytest.raises(TaskError, match=r"the name 'sst2' belongs to learner\.tasks\.templates\.Sst2; choose another"):
        register(type("Mine", (Films,), {"name": "sst2"}))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"name": "Not A Word"}, "its name is 'Not A Word'; allowed a word of small letters"),
        ({"kind": "clasification"}, "allowed: classification, completion, text; did you mean 'classification'?"),
        ({"prompt": "no place"}, "task template Mine.prompt 'no place' has 0 times {text}; allowed once"),
        ({"verbalizer": {"0": " bad"}}, "task template Mine.verbalizer has 1 labels; at least 2 are needed"),
    ],
)
def test_a_task_that_cannot_be_is_refused_when_it_is_registered(facts: dict[str, object], expected: str) -> None:
    with pytest.raises(TaskError) as caught:
        register(type("Mine", (Films,), {"name": "mine", **facts}))
    assert expected in str(caught.value)
    assert "mine" not in names()


def test_a_class_without_a_name_is_refused() -> None:
    with pytest.raises(TaskError, match=r'its name is None; allowed a word of small letters; write name = "mine"'):
        register(type("Mine", (Template,), {}))


def _rows(make: Callable[[Split], Iterable[Row]]) -> None:
    register(type("Mine", (Films,), {"name": "mine", "rows": lambda self, path, split: make(split)}))


def _cannot_open(split: Split) -> Iterable[Row]:
    return [{"text": line} for line in Path("nowhere").open()]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda split: [], "mine:train is empty; at least one example is needed"),
        (lambda split: [{"text": "a"}], "mine:train:0: no key 'label', found ['text']; set task.label_key"),
        (lambda split: [{"text": 1, "label": "bad", "year": "a"}], "mine:train:0: malformed row, 'text' is 1"),
        (_cannot_open, "mine:train: cannot read rows for task.path 'embedded': "),
    ],
)
def test_rows_that_are_not_examples_are_explained(
    make: Callable[[Split], Iterable[Row]], expected: str, word_tokenizer: PreTrainedTokenizerFast
) -> None:
    _rows(make)
    with pytest.raises(TaskError) as caught:
        Task(TaskConfig(template="mine"), word_tokenizer, num_devices=1, seed=0)
    assert expected in str(caught.value)


def test_a_mistake_in_a_labs_own_rows_is_not_swallowed(word_tokenizer: PreTrainedTokenizerFast) -> None:
    _rows(lambda split: 1 / 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(ZeroDivisionError):
        Task(TaskConfig(template="mine"), word_tokenizer, num_devices=1, seed=0)
