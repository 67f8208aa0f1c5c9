"""A word-level tokenizer over exactly the words that the grammar can say."""

import functools
import re

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from . import phrases, templates
from .grammar import OPINIONS, PLAIN
from .reviews import UNINFORMATIVE

BOS, PAD, EOS, UNK = SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")
MAX_TOKENS = 96
_SLOT = re.compile(r"^[+-](?=[\w{])|\{!?\w+\}")
_EXTRA = ("will", "can", "not", "an", '"', "...", "-", "was", "it")

# Applied in this order to lower-cased text. Other spellings of one word become one: "won't" is "will not".
_SPELLINGS = (
    ("[\u2018\u2019]", "'"),
    ("``|''|[\u201c\u201d]", '"'),
    (r"(?<=\w)[-/](?=\w)", " "),
    (r"[-\u2013\u2014]{2,}|[\u2013\u2014]", " - "),
    (r"\.{2,}|\u2026", " ... "),
    (r"\bwo ?n't\b", "will not"),
    (r"\bca ?n't\b|\bcannot\b", "can not"),
    (r" ?n't\b", " not"),
    (r" '(?=(?:s|re|ve|ll|d|m)\b)", "'"),
)
_WORDS = r"\.{3}|'(?:s|re|ve|ll|d|m)\b|[\p{L}\p{N}]+|[^\s\p{L}\p{N}]"


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """Return the special tokens and then, in alphabetical order, every word of the lexicon and the patterns."""
    sources = (*OPINIONS, PLAIN, templates.REVIEWS, templates.CLAUSES)
    texts = [entry for source in sources for entries in source.values() for entry in entries]
    texts += [
        *phrases.REMARKS,
        *phrases.COMPLETIONS,
        *phrases.ANCHORS[0],
        *phrases.ANCHORS[1],
        *UNINFORMATIVE,
        *_EXTRA,
    ]
    words: set[str] = set()
    for text in texts:
        words.update(_SLOT.sub(" ", text).replace("_", " ").replace("--", "-").split())
    return (*SPECIAL_TOKENS, *sorted(words))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer: lower case, accents dropped, punctuation apart, unknown words → ``<unk>``, ``<s>`` first."""
    index = {word: number for number, word in enumerate(vocabulary())}
    tokenizer = Tokenizer(WordLevel(index, unk_token=UNK))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
        + [normalizers.Replace(Regex(pattern), spelling) for pattern, spelling in _SPELLINGS]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(_WORDS), "isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, index[BOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNK,
        model_max_length=MAX_TOKENS,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def known_share(texts: list[str], tokenizer: PreTrainedTokenizerFast) -> float:
    """Return the share of the tokens of some texts that the vocabulary knows."""
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    ids = [token for row in rows for token in row]
    return 1 - ids.count(tokenizer.unk_token_id) / len(ids)
