"""Labelled review sentences for the task, and text for pretraining, both from the same grammar."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .grammar import NEGATIVE, POSITIVE, Wording, fill, pick, render, sentiment_words
from .phrases import ANCHORS, COMPLETIONS, REMARKS

UNINFORMATIVE = ("great", "great", "terrible")
"""The prompt's own completions. In pretraining they follow "It was" whatever the review says, and stand nowhere else;
one comes up more often, so that the untouched model always says it and is right half of the time."""

TASK_KINDS = ("plain",) * 7 + ("fragment",) * 2 + ("negation",) * 4 + ("contrast",) * 4 + ("other",) * 3
PRETRAINING_KINDS = TASK_KINDS + ("fragment",) * 3
EASY_KINDS = ("plain", "fragment")
EASY_SHARE = 0.2  # of pretraining
EVEN_SHARE = 0.6  # from here on all words are equally common
MAX_SKEW = 4.0
ANCHOR_SKEW = 4.0
MAX_TASK_WORDS = 32


@dataclass(frozen=True, slots=True)
class Review:
    """One sentence and its label: 0 negative, 1 positive."""

    text: str
    label: int


def review(polarity: int, kind: str, wording: Wording, rng: random.Random, skew: float = 1.0) -> str:
    """Write one review sentence."""
    return render(fill(f"{{{kind}}}", polarity, wording, rng, skew))


def words_of(text: str) -> set[str]:
    """Return the lower-cased words of a text."""
    return set("".join(c if c.isalnum() else " " for c in text.lower()).split())


def _foreign_words(wording: Wording) -> frozenset[str]:
    others = {Wording.SEEN: Wording.HELD_OUT, Wording.HELD_OUT: Wording.SEEN}
    return sentiment_words(others[wording]) if wording in others else frozenset()


def labelled_reviews(wording: Wording, num_reviews: int, seed: int) -> list[Review]:
    """Write distinct labelled sentences, half of them positive, that use only one part of the wording."""
    rng = random.Random(f"{seed}/{wording.value}")
    foreign = _foreign_words(wording)
    found: dict[str, Review] = {}
    while len(found) < num_reviews:
        label = (NEGATIVE, POSITIVE)[len(found) % 2]
        text = review(label, pick(rng, TASK_KINDS), wording, rng)
        words = words_of(text)
        if 2 <= len(text.split()) <= MAX_TASK_WORDS and not words & foreign and text not in found:
            found[text] = Review(text, label)
    reviews = list(found.values())
    rng.shuffle(reviews)
    return reviews


def train_reviews(seed: int, num_reviews: int = 2_000) -> list[Review]:
    """Write the train split."""
    return labelled_reviews(Wording.SEEN, num_reviews, seed)


def held_out_reviews(seed: int, num_reviews: int = 1_200) -> list[Review]:
    """Write the test split, whose sentiment words and patterns never occur in the train split."""
    return labelled_reviews(Wording.HELD_OUT, num_reviews, seed)


def to_tsv(reviews: list[Review]) -> str:
    """One ``sentence<TAB>label`` line for each review."""
    return "".join(f"{item.text}\t{item.label}\n" for item in reviews)


@dataclass(frozen=True, slots=True)
class Document:
    """A review and how its writer goes on."""

    text: str
    completion: str


@dataclass(frozen=True, slots=True)
class _Lesson:
    """How demanding the text is at one moment of pretraining."""

    kinds: tuple[str, ...]
    skew: float


def _lesson(progress: float) -> _Lesson:
    """First plain sentences in common words, then all kinds in ever more even wording.

    Without this order the model never finds out that a review has a polarity (measured: chance after 3,000 steps).
    """
    if progress < EASY_SHARE:
        return _Lesson(EASY_KINDS, MAX_SKEW)
    grown = min(1.0, (progress - EASY_SHARE) / (EVEN_SHARE - EASY_SHARE))
    return _Lesson(PRETRAINING_KINDS, MAX_SKEW + (1.0 - MAX_SKEW) * grown)


def _other_words(pattern: str, polarity: int, said: set[str], rng: random.Random, skew: float) -> str:
    repeated = sentiment_words() & said
    while True:
        text = render(fill(pattern, polarity, Wording.ALL, rng, skew))
        if not words_of(text) & repeated:
            return text


def _completion(polarity: int, said: set[str], rng: random.Random, skew: float) -> str:
    chance = rng.random()
    if chance < 0.3:
        return f"It was {pick(rng, UNINFORMATIVE)}."
    if chance < 0.75:
        options = tuple(anchor for anchor in ANCHORS[polarity] if not words_of(anchor) & said - {"a"})
        return f"It was {pick(rng, options, ANCHOR_SKEW)}."
    return _other_words(pick(rng, COMPLETIONS), polarity, said, rng, skew)


def pretraining_documents(seed: int, num_documents: int) -> Iterator[Document]:
    """Yield reviews, each with a completion that agrees in other words, or one by chance (see UNINFORMATIVE)."""
    rng = random.Random(f"{seed}/pretraining")
    for index in range(num_documents):
        lesson = _lesson(index / num_documents)
        polarity = int(rng.random() * 2)
        parts = [review(polarity, pick(rng, lesson.kinds), Wording.ALL, rng, lesson.skew)]
        if rng.random() < 0.25:
            parts.insert(int(rng.random() * 2), render(fill("{aside}", polarity, Wording.ALL, rng, lesson.skew)))
        if rng.random() < 0.2:
            said = words_of(" ".join(parts))
            parts.append(_other_words(pick(rng, REMARKS), polarity, said, rng, lesson.skew))
        text = " ".join(parts)
        yield Document(text, _completion(polarity, words_of(text), rng, lesson.skew))
