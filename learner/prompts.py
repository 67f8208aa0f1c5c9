"""Turn sentences into prompts and tokens, and verbalizer words into the tokens that are scored."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from learner.batches import PAD_MULTIPLE, Encoded
from learner.config import TaskConfig
from learner.data import Example
from learner.errors import TaskError

_SLOT = "{text}"


class PromptEncoder:
    """Encodes examples of one task with one tokenizer."""

    def __init__(self, config: TaskConfig, tokenizer: Any) -> None:
        """Check prompt and verbalizer; TaskError says which does not do."""
        if config.prompt.count(_SLOT) != 1:
            raise TaskError(
                f"task.prompt {config.prompt!r} has {config.prompt.count(_SLOT)} times "
                f"{_SLOT}; allowed once; "
                f'write it like "{_SLOT} It was"'
            )
        if len(config.verbalizer) < 2:
            raise TaskError(
                f"task.verbalizer has {len(config.verbalizer)} labels; at least 2 are needed; add the missing labels"
            )
        self._config = config
        self._tokenizer = tokenizer
        self._unknown: int | None = tokenizer.unk_token_id
        self._closing = set(tokenizer.all_special_ids) - {self._unknown}
        self._classes = {label: index for index, label in enumerate(config.verbalizer)}
        pad: int | None = tokenizer.pad_token_id
        self._pad = pad if pad is not None and pad < tokenizer.vocab_size else 0

    def class_tokens(self, text: str) -> list[int]:
        """First token of each verbalizer word as it follows the prompt around `text`: [C], all different."""
        prompt = self._prompt(text)
        stem = self._tokens([prompt])[0]
        tokens: list[int] = []
        for label, word in self._config.verbalizer.items():
            where = f"task.verbalizer[{label!r}] = {word!r}"
            whole = self._tokens([prompt + word])[0]
            if whole[: len(stem)] != stem or len(whole) == len(stem):
                raise TaskError(
                    f"{where} does not become tokens of its own after the prompt {self._config.prompt!r}; "
                    "begin the word with a space, and do not end the prompt with one"
                )
            token = whole[len(stem)]
            if token == self._unknown:
                raise TaskError(f"{where} is unknown to the model's tokenizer; choose a word of its vocabulary")
            if token in tokens:
                other = list(self._config.verbalizer.values())[tokens.index(token)]
                raise TaskError(
                    f"{where} and {other!r} begin with the same token {token}; each word "
                    "must begin differently; "
                    "choose other words"
                )
            tokens.append(token)
        return tokens

    def encode(self, examples: Sequence[Example]) -> Encoded:
        """Tokens, lengths and class indices of all examples; TaskError for a label outside the verbalizer."""
        labels = np.array([self._class_index(example) for example in examples], np.int64)
        rows = self._tokens([self._prompt(example.text) for example in examples])
        limit = self._config.max_tokens
        rows = [row if len(row) <= limit else self._shorten(e.text) for row, e in zip(rows, examples, strict=True)]
        lengths = np.array([len(row) for row in rows], np.int64)
        if not lengths.all():
            raise TaskError(
                f"{examples[int(np.argmin(lengths))].place}: the prompt has no tokens; "
                f"write words around {_SLOT} in task.prompt"
            )
        width = min(-(-int(lengths.max()) // PAD_MULTIPLE) * PAD_MULTIPLE, limit)
        tokens = np.full((len(rows), width), self._pad, np.int32)
        for n, row in enumerate(rows):
            tokens[n, : len(row)] = row
        return Encoded(tokens, lengths, labels)

    def _class_index(self, example: Example) -> int:
        if example.label not in self._classes:
            raise TaskError(
                f"{example.place}: label {example.label!r} is outside the verbalizer; "
                f"allowed {list(self._classes)}; "
                "add it to task.verbalizer, or remove the row (a TSV file has no header)"
            )
        return self._classes[example.label]

    def _prompt(self, text: str) -> str:
        return self._config.prompt.replace(_SLOT, text)

    def _tokens(self, prompts: list[str]) -> list[list[int]]:
        """Encode, with the tokenizer's opening special tokens but none at the end, where the word goes."""
        rows: list[list[int]] = self._tokenizer(prompts, return_attention_mask=False, verbose=False)["input_ids"]
        for row in rows:
            while len(row) > 1 and row[-1] in self._closing:
                row.pop()
        return rows

    def _shorten(self, text: str) -> list[int]:
        """Drop as few words from the text's beginning as make it fit; of one long word, characters."""
        limit = self._config.max_tokens
        starts = [match.start() for match in re.finditer(r"\S+", text)]
        if not self._fits(text[starts[-1] :]):
            starts = list(range(starts[-1], len(text) + 1))
        low, high = 0, len(starts) - 1  # the last start is taken to fit; find the first that does
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._fits(text[starts[middle] :]) else (middle + 1, high)
        row = self._tokens([self._prompt(text[starts[low] :])])[0]
        if len(row) > limit:
            raise TaskError(
                f"task.prompt {self._config.prompt!r} takes {len(row)} tokens without a sentence; "
                f"allowed task.max_tokens = {limit}; shorten the prompt or raise max_tokens"
            )
        return row

    def _fits(self, text: str) -> bool:
        return len(self._tokens([self._prompt(text)])[0]) <= self._config.max_tokens
