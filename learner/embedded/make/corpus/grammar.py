"""A small random grammar: patterns with slots, words with a polarity, and a held-out part of both."""

import enum
import functools
import random
import re
from collections.abc import Mapping

from . import negative, neutral, phrases, positive, templates
from .inflection import adverb, gerund, past, third_person

NEGATIVE, POSITIVE = 0, 1
HELD_OUT_EVERY = 3


class Wording(enum.Enum):
    """Which part of the sentiment words and patterns a text may use."""

    ALL = "all"
    SEEN = "seen"
    HELD_OUT = "held_out"


def _plural(noun: str) -> str:
    last = noun.rpartition("_")[2]
    if last.endswith(("s", "sh", "ch", "x")):
        return noun + "es"
    if last.endswith("y") and last[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def _unique(words: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _opinions(of: object) -> dict[str, tuple[str, ...]]:
    lists: dict[str, list[str]] = {name: getattr(of, name) for name in dir(of) if name.isupper()}
    transitive, intransitive = lists["FILM_VERBS_TRANSITIVE"], lists["FILM_VERBS_INTRANSITIVE"]
    opinions = lists["OPINION_VERBS"]
    words = {
        "adj": lists["ADJECTIVES"],
        "verdict": lists["VERDICTS"],
        "quality": lists["QUALITIES"],
        "things": lists["THINGS"],
        "delight": transitive,
        "delights": [third_person(verb) for verb in transitive],
        "delighted": [past(verb) for verb in transitive],
        "shine": intransitive,
        "shines": [third_person(verb) for verb in intransitive],
        "love": opinions,
        "loved": [past(verb) for verb in opinions],
        "feeling": lists["FEELINGS"],
        "adv": [adverb(base) for base in lists["ADVERBS_FROM"]],
        "predicate": lists["PREDICATES"],
        "does": lists["VERB_PHRASES"],
        "comment": lists["COMMENTS"],
    }
    return {name: _unique(entries) for name, entries in words.items()}


OPINIONS: tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]] = (
    _opinions(negative),
    _opinions(positive),
)
"""Sentiment words by slot, negative then positive."""

PLAIN: Mapping[str, tuple[str, ...]] = {
    "film": _unique(neutral.FILMS),
    "films": _unique(neutral.FILM_PLURALS),
    "product": _unique(neutral.PRODUCTS),
    "aspect": _unique(neutral.ASPECTS),
    "aspects": _unique(neutral.ASPECT_PLURALS),
    "paspect": _unique(neutral.PRODUCT_ASPECTS),
    "person": _unique(neutral.PEOPLE),
    "character": _unique(neutral.CHARACTERS),
    "characters": _unique(neutral.CHARACTER_PLURALS),
    "padj": _unique(neutral.PERSON_ADJECTIVES),
    "nadj": _unique(neutral.SETTING_ADJECTIVES),
    "place": _unique(neutral.PLACES),
    "time": _unique(neutral.TIMES),
    "theme": _unique(neutral.THEMES),
    "noun": _unique(neutral.NOUNS),
    "nouns": _unique([_plural(noun) for noun in neutral.NOUNS]),
    "verb": _unique(neutral.VERBS),
    "verb_s": _unique([third_person(verb) for verb in neutral.VERBS]),
    "verb_ed": _unique([past(verb) for verb in neutral.VERBS]),
    "verb_ing": _unique([gerund(verb) for verb in neutral.VERBS]),
    "done": _unique(neutral.DONE),
    "degree": _unique(neutral.DEGREES),
    "hedge": _unique(neutral.HEDGES),
    "name": _unique(neutral.NAMES),
    "number": _unique(neutral.NUMBERS),
    "audience": _unique(neutral.AUDIENCES),
    "happens": _unique(neutral.PLOT_VERBS_PLAIN),
    **phrases.NEUTRAL,
}
"""Words and phrases without an opinion, by slot."""


def family(word: str) -> str:
    """Inflections share their first letters and are held out together: ``bore``, ``bored``, ``boring`` → ``bor``."""
    return word[:3]


@functools.cache
def _held_out_families() -> frozenset[str]:
    families = sorted({family(word) for words in OPINIONS for entries in words.values() for word in entries})
    random.Random(0).shuffle(families)
    return frozenset(families[::HELD_OUT_EVERY])


@functools.cache
def sentiment_words(wording: Wording = Wording.ALL) -> frozenset[str]:
    """Return the one-word sentiment entries of one part of the lexicon."""
    singles = {w for words in OPINIONS for entries in words.values() for w in entries if "_" not in w}
    if wording is Wording.ALL:
        return frozenset(singles)
    held_out = _held_out_families()
    return frozenset(w for w in singles if (family(w) in held_out) == (wording is Wording.HELD_OUT))


@functools.cache
def choices(slot: str, polarity: int, wording: Wording) -> tuple[str, ...]:
    """Return what may fill a slot: words, phrases or patterns."""
    if slot in PLAIN:
        return PLAIN[slot]
    if slot in OPINIONS[polarity]:
        held_out = _held_out_families()
        entries = OPINIONS[polarity][slot]
        return tuple(
            w for w in entries if wording is Wording.ALL or (family(w) in held_out) == (wording is Wording.HELD_OUT)
        )
    patterns = templates.CLAUSES.get(slot) or templates.REVIEWS[slot]
    return tuple(
        pattern.lstrip("+-")
        for pattern in patterns
        if pattern[0] != ("+" if polarity == NEGATIVE else "-")
        and (wording is Wording.ALL or is_held_out(pattern) == (wording is Wording.HELD_OUT))
    )


def _bare(pattern: str) -> str:
    return pattern.lstrip("+-").rstrip(" .!")


@functools.cache
def _held_out_patterns() -> frozenset[str]:
    first_index: dict[str, int] = {}
    for patterns in (*templates.REVIEWS.values(), *templates.CLAUSES.values()):
        for index, pattern in enumerate(patterns):
            first_index.setdefault(_bare(pattern), index)
    return frozenset(bare for bare, index in first_index.items() if index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1)


def is_held_out(pattern: str) -> bool:
    """Every third pattern is kept for the test split, under whatever polarity and wherever it occurs again."""
    return _bare(pattern) in _held_out_patterns()


_SLOT = re.compile(r"\{(!?)(\w+)\}")


def pick(rng: random.Random, options: tuple[str, ...], skew: float = 1.0) -> str:
    """Choose by a rule that no Python version changes; a skew above 1 prefers the common words, which come first."""
    return options[int(rng.random() ** skew * len(options))]


def fill(pattern: str, polarity: int, wording: Wording, rng: random.Random, skew: float = 1.0) -> str:
    """Fill the slots of a pattern, again and again until none is left; returns tokens separated by spaces."""

    def expand(match: re.Match[str]) -> str:
        meant = 1 - polarity if match[1] else polarity
        return fill(pick(rng, choices(match[2], meant, wording), skew), meant, wording, rng, skew)

    return _SLOT.sub(expand, pattern).replace("_", " ")


def render(tokens: str) -> str:
    """Turn spaced tokens into a written sentence: "a" or "an", no space before a comma, a capital first."""
    text = re.sub(r"\ban? (?=(\w))", lambda m: "an " if m[1] in "aeiou" else "a ", tokens)
    text = re.sub(r" (?=[.,;:!?)])| (?='(?:s|m|re|ve|ll|d)\b)|(?<=\() ", "", text)
    text = re.sub(r"\bi\b", "I", text)
    return re.sub(r"(?:^|(?<=[.!?] ))[a-z]", lambda m: m[0].upper(), text)
