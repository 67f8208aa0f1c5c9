"""How good a completion is, 0 to 1, against one accepted answer."""

import re
import string
from collections import Counter

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


def _words(text: str) -> list[str]:
    plain = text.lower().translate(str.maketrans("", "", string.punctuation))
    return [word for word in plain.split() if word not in ("a", "an", "the")]
