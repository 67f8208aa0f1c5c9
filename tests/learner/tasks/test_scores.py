"""Scores of completions and of classes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.config import TaskConfig
from learner.tasks.registry import template_of
from learner.tasks.scores import accuracy, final_number_agrees, macro_f1, word_f1, words_agree


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("The film.", "film", 1.0),
        ("a good film", "film", 2 / 3),
        ("plot", "film", 0.0),
        ("", "", 1.0),
        ("good good", "good", 2 / 3),
    ],
)
def test_f1_counts_shared_words_without_articles_case_and_punctuation(text: str, answer: str, expected: float) -> None:
    assert word_f1(text, answer) == pytest.approx(expected)


def test_answers_in_numbers_compare_the_last_one() -> None:
    assert final_number_agrees("so 3 + 4 = $1,000.", "x #### 1000") == 1
    assert final_number_agrees("so 3", "x #### 4") == final_number_agrees("none", "#### 4") == 0


def test_the_same_words_agree_whatever_their_case_articles_and_punctuation() -> None:
    assert words_agree("The Film.", "a film") == 1
    assert words_agree("film story", "story film") == words_agree("", "film") == 0


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_macro_f1_is_the_mean_over_classes_of_precision_and_recall(pairs: list[tuple[int, int]]) -> None:
    found, wanted = zip(*pairs, strict=True)
    scores = []
    for each in sorted({*found, *wanted}):
        hits = sum(f == w == each for f, w in pairs)
        precision = hits / max(1, sum(f == each for f, _ in pairs))
        recall = hits / max(1, sum(w == each for _, w in pairs))
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    assert macro_f1(found, wanted) == pytest.approx(sum(scores) / len(scores))


def test_who_always_says_the_common_class_is_seen_by_macro_f1() -> None:
    wanted = [0] * 9 + [1]
    assert accuracy([0] * 10, wanted) == 0.9
    assert macro_f1([0] * 10, wanted) == pytest.approx((18 / 19) / 2)


def test_a_task_may_be_judged_by_another_metric_of_its_kind() -> None:
    by_f1, by_match = (template_of(TaskConfig(template="squad", metric=metric)) for metric in (None, "exact_match"))
    assert (by_f1.metric, by_f1.score("good film", "film")) == ("f1", pytest.approx(2 / 3))
    assert (by_match.metric, by_match.score("good film", "film")) == ("exact_match", 0)
    assert template_of(TaskConfig(metric="macro_f1")).metric == "macro_f1"
    assert template_of(TaskConfig(metric="accuracy")).metric == "accuracy"
    assert template_of(TaskConfig(template="squad")).metric == "f1"
