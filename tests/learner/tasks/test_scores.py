"""Scores of completions."""

import pytest

from learner.tasks.scores import final_number_agrees, word_f1, words_agree


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
