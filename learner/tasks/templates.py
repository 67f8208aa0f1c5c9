"""What a task is: how rows become prompts, and how answers are scored; no torch here, so that names are known at once.

A task of one's own is a class like those below, with `register` (learner/tasks/registry.py) above it.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from learner.config import TaskKind
from learner.tasks.scores import final_number_agrees, word_f1, words_agree

Split = Literal["train", "test"]
Row = Mapping[str, object]
"""One example by name of column: text as `str`, a label as `str` or `int`; of a completion, also a list of answers."""


class Template:
    """How a row is read, asked and scored; what a subclass leaves out is that of plain two-column data."""

    name: str
    """What `task.template` calls it."""
    kind: TaskKind = "classification"
    """classification: the word after the prompt; completion: the answer after it; text: every token."""
    prompt: str = "{text}"
    """{text} stands for the column `text_key`, any other {name} for the column of that name."""
    verbalizer: Mapping[str, str] = {}
    """Label as written -> word that the model should say; needed for classification only."""
    text_key: str = "text"
    label_key: str = "label"
    max_tokens: int = 64
    """Longest encoded example, unless `task.max_tokens` says so."""
    max_new_tokens: int = 32
    """Longest completion at evaluation, unless `task.max_new_tokens` says so."""
    metric: str = "accuracy"
    """What the score is called: accuracy, or the mean of `score`; of plain text always the perplexity."""

    def rows(self, path: str, split: Split) -> Iterable[Row] | None:
        """Rows of a split, where `task.path` means something else than files or a data set of the hub (None)."""
        return None

    def score(self, made: str, answer: str) -> float:
        """How good a completion is, 0 to 1, against one accepted answer; here, whether the words are the same."""
        return words_agree(made, answer)


class Sst2(Template):
    """Reviews, bad or good."""

    name = "sst2"
    prompt = "{text} It was"
    verbalizer: Mapping[str, str] = {"0": " terrible", "1": " great"}
    text_key = "sentence"


class Rte(Template):
    """Whether a premise entails a hypothesis."""

    name = "rte"
    prompt = "{text}\nQuestion: {hypothesis} Yes or No?\nAnswer:"
    verbalizer: Mapping[str, str] = {"entailment": " Yes", "not_entailment": " No"}
    text_key = "premise"


class BoolQ(Template):
    """Yes-or-no questions about a passage."""

    name = "boolq"
    prompt = "{text}\nQuestion: {question}?\nAnswer:"
    verbalizer: Mapping[str, str] = {"True": " Yes", "False": " No"}
    text_key = "passage"
    label_key = "answer"


class YahooAnswers(Template):
    """Topics of questions, numbered in this order."""

    name = "yahoo_answers"
    prompt = "{text}\nTopic:"
    verbalizer: Mapping[str, str] = {
        "0": " Society",
        "1": " Science",
        "2": " Health",
        "3": " Education",
        "4": " Computers",
        "5": " Sports",
        "6": " Business",
        "7": " Entertainment",
        "8": " Family",
        "9": " Politics",
    }
    text_key = "question_title"
    label_key = "topic"


class Squad(Template):
    """Answers that stand in a passage."""

    name = "squad"
    kind = "completion"
    prompt = "{text}\nQuestion: {question}\nAnswer:"
    text_key = "context"
    label_key = "answers"
    metric = "f1"

    def score(self, made: str, answer: str) -> float:
        """F1 over words."""
        return word_f1(made, answer)


class Gsm8k(Template):
    """Sums whose last number is the answer."""

    name = "gsm8k"
    kind = "completion"
    prompt = "Question: {text}\nAnswer:"
    text_key = "question"
    label_key = "answer"
    metric = "answer_accuracy"
    max_tokens = 1024
    max_new_tokens = 512

    def score(self, made: str, answer: str) -> float:
        """Whether both end in the same number."""
        return final_number_agrees(made, answer)


class PlainText(Template):
    """Text, one token after the other."""

    name = "text"
    kind = "text"
    metric = "perplexity"
