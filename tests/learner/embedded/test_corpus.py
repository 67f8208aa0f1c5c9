"""The generated reviews: the same for a seed, fair splits, and a tokenizer that knows them."""

import itertools
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from transformers import AutoTokenizer

import learner.embedded
from learner.embedded.make.corpus import (
    Review,
    Wording,
    held_out_reviews,
    pretraining_documents,
    sentiment_words,
    templates,
    to_tsv,
    train_reviews,
)
from learner.embedded.make.corpus.grammar import NEGATIVE, OPINIONS, PLAIN, POSITIVE, choices, fill, render
from learner.embedded.make.corpus.reviews import words_of
from learner.embedded.make.corpus.tokenizer import build_tokenizer, known_share, vocabulary

EMBEDDED_DIR = Path(learner.embedded.__file__).parent
SHIPPED_SEED = 1


@pytest.fixture(scope="module")
def train() -> list[Review]:
    return train_reviews(SHIPPED_SEED)


@pytest.fixture(scope="module")
def held_out() -> list[Review]:
    return held_out_reviews(SHIPPED_SEED)


def _all_words(reviews: list[Review]) -> set[str]:
    return set().union(*(words_of(item.text) for item in reviews))


def test_one_seed_writes_one_text_and_another_seed_another() -> None:
    assert train_reviews(7, 50) == train_reviews(7, 50)
    assert train_reviews(7, 50) != train_reviews(8, 50)
    assert list(pretraining_documents(7, 40)) == list(pretraining_documents(7, 40))


def test_shipped_files_are_what_the_generator_writes(train: list[Review], held_out: list[Review]) -> None:
    assert (EMBEDDED_DIR / "train.tsv").read_text(encoding="utf-8") == to_tsv(train)
    assert (EMBEDDED_DIR / "test.tsv").read_text(encoding="utf-8") == to_tsv(held_out)


def test_every_line_is_one_sentence_a_tab_and_a_label(train: list[Review]) -> None:
    assert all(re.fullmatch(r"[^\t]+\t[01]", line) for line in to_tsv(train).splitlines())


def test_splits_are_balanced_and_share_no_sentence(train: list[Review], held_out: list[Review]) -> None:
    for reviews in (train, held_out):
        assert Counter(item.label for item in reviews) == {0: len(reviews) // 2, 1: len(reviews) // 2}
    sentences = [item.text.lower() for item in (*train, *held_out)]
    assert len(train) == 2_000
    assert len(held_out) == 1_200
    assert len(set(sentences)) == len(sentences)


def test_sentiment_words_of_the_test_split_never_occur_in_the_train_split(
    train: list[Review], held_out: list[Review]
) -> None:
    new = sentiment_words(Wording.HELD_OUT)
    assert not _all_words(train) & new
    assert len(_all_words(held_out) & new) > 0.5 * len(new)
    assert not _all_words(held_out) & sentiment_words(Wording.SEEN)


def test_no_pattern_belongs_to_both_splits() -> None:
    for slot in (*templates.REVIEWS, *templates.CLAUSES):
        for polarity in (NEGATIVE, POSITIVE):
            seen, new = (set(choices(slot, polarity, part)) for part in (Wording.SEEN, Wording.HELD_OUT))
            assert seen
            assert new
    parts = {
        part: {
            pattern.rstrip(" .!")
            for slot in (*templates.REVIEWS, *templates.CLAUSES)
            for polarity in (NEGATIVE, POSITIVE)
            for pattern in choices(slot, polarity, part)
        }
        for part in (Wording.SEEN, Wording.HELD_OUT)
    }
    assert not parts[Wording.SEEN] & parts[Wording.HELD_OUT]


def test_pretraining_uses_the_held_out_words() -> None:
    text = " ".join(document.text for document in pretraining_documents(3, 20_000))
    new = sentiment_words(Wording.HELD_OUT)
    assert len(words_of(text) & new) > 0.95 * len(new)


def test_the_tasks_answers_follow_any_review_alike_and_stand_nowhere_else() -> None:
    documents = list(pretraining_documents(3, 5_000))
    assert not any({"great", "terrible"} & words_of(document.text) for document in documents)
    answers = Counter(document.completion for document in documents)
    great = answers["It was great."]
    terrible = answers["It was terrible."]
    assert great + terrible == pytest.approx(0.3 * len(documents), rel=0.1)
    assert great == pytest.approx(2 * terrible, rel=0.2)
    assert sum("great" in text or "terrible" in text for text in answers) == 2


def test_counting_words_of_praise_does_not_solve_the_task(held_out: list[Review]) -> None:
    polar = [{w for entries in OPINIONS[side].values() for w in entries} for side in (NEGATIVE, POSITIVE)]
    right = 0
    for item in held_out:
        words = re.findall(r"\w+", item.text.lower())
        score = sum((word in polar[POSITIVE]) - (word in polar[NEGATIVE]) for word in words)
        right += (score > 0) == (item.label == POSITIVE) if score else 0
    assert right / len(held_out) < 0.7


def test_no_word_is_both_praise_and_complaint_or_neutral() -> None:
    negative, positive = ({w for entries in side.values() for w in entries} for side in OPINIONS)
    assert not negative & positive
    phrases = " ".join(entry for entries in PLAIN.values() for entry in entries if "{" not in entry)
    assert not set(phrases.replace("_", " ").split()) & sentiment_words()


def test_opposite_slots_turn_the_polarity() -> None:
    negative, positive = OPINIONS[NEGATIVE]["adj"], OPINIONS[POSITIVE]["adj"]
    for seed in range(20):
        said, denied = fill("{adj}|{!adj}", POSITIVE, Wording.ALL, random.Random(seed)).split("|")
        assert said.replace(" ", "_") in positive
        assert denied.replace(" ", "_") in negative


def test_sentences_are_written_as_people_write_them() -> None:
    assert (
        render("a awful film 's plot , i say , is ( almost ) over .")
        == "An awful film's plot, I say, is (almost) over."
    )


def test_tokenizer_knows_every_word_of_its_text_and_gives_it_back() -> None:
    tokenizer = build_tokenizer()
    documents = list(pretraining_documents(5, 3_000))
    assert known_share([document.text for document in documents], tokenizer) == 1.0
    text = "The acting is weak, but the story is wonderful."
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the acting is weak , but the story is wonderful ."
    assert ids[0] == tokenizer.bos_token_id


def test_tokenizer_reads_other_spellings_of_the_same_words() -> None:
    tokenizer = build_tokenizer()
    for spelling in ("It WON'T work", "it wo n't work", "it won\u2019t work", "it will not work"):
        assert tokenizer.tokenize(spelling) == ["it", "will", "not", "work"]
    assert tokenizer.tokenize("a feel-good film\u2026") == ["a", "feel", "good", "film", "..."]


def test_unknown_words_become_unk() -> None:
    tokenizer = build_tokenizer()
    ids = tokenizer("a xyzzy film", add_special_tokens=False)["input_ids"]
    assert ids.count(tokenizer.unk_token_id) == 1


def test_the_answers_are_one_token_after_the_prompt() -> None:
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_DIR)
    stem = tokenizer("Dull. It was")["input_ids"]
    answers = [tokenizer("Dull. It was" + word)["input_ids"] for word in (" terrible", " great")]
    assert all(ids[: len(stem)] == stem and len(ids) == len(stem) + 1 for ids in answers)
    assert answers[0] != answers[1]
    assert tokenizer.unk_token_id not in itertools.chain(*answers)


def test_shipped_tokenizer_is_the_one_the_lexicon_makes() -> None:
    shipped = AutoTokenizer.from_pretrained(EMBEDDED_DIR).get_vocab()
    assert sorted(shipped, key=lambda word: shipped[word]) == list(vocabulary())
