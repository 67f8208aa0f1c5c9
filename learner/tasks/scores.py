"""How good a completion is, 0 to 1, against one accepted answer."""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from operator import eq

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def word_f1(made: str, answer: str) -> float:
    """Harmonic mean of precision and recall over words, without case, punctuation and articles."""
    found, wanted = _words(made), _words(answer)
    if not found or not wanted:
        return float(found == wanted)
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted))


def words_agree(made: str, answer: str) -> float:
    """1 if both are the same words, without case, punctuation and articles."""
    return float(_words(made) == _words(answer))


def final_number_agrees(made: str, answer: str) -> float:
    """1 if both end in the same number."""
    found, wanted = _NUMBER.findall(made.replace("$", "")), _NUMBER.findall(answer)
    return float(bool(found and wanted) and float(found[-1].replace(",", "")) == float(wanted[-1].replace(",", "")))


SCORES: Mapping[str, Callable[[str, str], float]] = {
    "f1": word_f1,
    "exact_match": words_agree,
    "answer_accuracy": final_number_agrees,
}
"""Metrics of completions by name, of one completion and one accepted answer."""


def accuracy(found: Sequence[int], wanted: Sequence[int]) -> float:
    """Share of right answers, of class indices [N] each."""
    return sum(map(eq, found, wanted)) / len(wanted)


def macro_f1(found: Sequence[int], wanted: Sequence[int]) -> float:
    """F1 of each class, 2 TP / (2 TP + FP + FN), averaged over the classes that are found or wanted anywhere."""
    both = Counter(found) + Counter(wanted)
    right = Counter(each for each, other in zip(found, wanted, strict=True) if each == other)
    return sum(2 * right[each] / both[each] for each in both) / len(both)


CLASS_SCORES: Mapping[str, Callable[[Sequence[int], Sequence[int]], float]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
}
"""Metrics of classes by name, of the classes found and those wanted."""


def _words(text: str) -> list[str]:
    plain = text.lower().translate(str.maketrans("", "", string.punctuation))
    return [word for word in plain.split() if word not in ("a", "an", "the")]
