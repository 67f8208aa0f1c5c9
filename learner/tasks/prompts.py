"""Turn examples into prompts, answers and tokens, and verbalizer words into the tokens that are scored."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learner.config import TaskConfig
from learner.errors import TaskError
from learner.tasks.batches import PAD_MULTIPLE, Encoded
from learner.tasks.registry import template_of
from learner.tasks.rows import Example

Tokens = NDArray[np.int32]
_PROMPTS_AT_ONCE = 8192
_NOBODYS = Example(text="A text", label="", place="")


class PromptEncoder:
    """Encodes examples of one task with one tokenizer."""

    def __init__(self, config: TaskConfig, tokenizer: Any) -> None:
        """TaskError if the task's template does not do."""
        template = template_of(config)
        self._template = template
        self._limit = template.max_tokens
        self._tokenizer = tokenizer
        self._unknown: int | None = tokenizer.unk_token_id
        self._closing = set(tokenizer.all_special_ids) - {self._unknown}
        self._classes = {label: index for index, label in enumerate(template.verbalizer)}
        pad: int | None = tokenizer.pad_token_id
        self._pad = pad if pad is not None and pad < tokenizer.vocab_size else 0
        self.words = self._words() if template.kind == "classification" else []
        """Tokens of each verbalizer word as it follows a prompt: [C], none the beginning of another."""
        self._after_prompt = max(map(len, self.words), default=1) - 1

    def _words(self) -> list[list[int]]:
        """The text before them is nobody's: what all examples are scored by must not depend on one of them."""
        prompt = self._prompt(_NOBODYS, _NOBODYS.text)
        stem = self._tokens([prompt])[0]
        words: list[list[int]] = []
        for label, word in self._template.verbalizer.items():
            where = f"task.verbalizer[{label!r}] = {word!r}"
            whole = self._tokens([prompt + word])[0]
            if whole[: len(stem)] != stem or len(whole) == len(stem):
                raise TaskError(
                    f"{where} does not become tokens of its own after the prompt {self._template.prompt!r}; "
                    "begin the word with a space, and do not end the prompt with one"
                )
            tokens = whole[len(stem) :]
            if self._unknown in tokens:
                raise TaskError(f"{where} is unknown to the model's tokenizer; choose a word of its vocabulary")
            for other, known in zip(self._template.verbalizer.values(), words, strict=False):
                shorter = min(len(tokens), len(known))
                if tokens[:shorter] == known[:shorter]:
                    is_same = len(tokens) == len(known)
                    how = "becomes the same tokens as" if is_same else "begins with or is the beginning of"
                    raise TaskError(
                        f"{where} {how} {other!r}, so that one could never win; choose other words"
                        + ("" if is_same else ", or end all of them alike, with a full stop for example")
                    )
            words.append(tokens)
        return words

    def encode(self, examples: Sequence[Example]) -> Encoded:
        """Tokens, lengths and class indices of all examples; TaskError for a label outside the verbalizer."""
        if self._template.kind == "text":
            return self._windows(examples)
        is_completion = self._template.kind == "completion"
        labels = np.array([0 if is_completion else self._class_index(example) for example in examples], np.int64)
        endings = [self._ending(example) for example in examples] if is_completion else []
        self._check_lengths(examples, endings)
        reserved = [len(ending) for ending in endings] or [self._after_prompt] * len(examples)
        rows, num_shortened = self._fitted(examples, reserved)
        starts = np.array([len(row) for row in rows], np.int64)
        if not starts.all():
            raise TaskError(
                f"{examples[int(np.argmin(starts))].place}: the prompt has no tokens; "
                "write words around {text} in task.prompt"
            )
        return self._padded(
            [np.append(row, ending) for row, ending in zip(rows, endings, strict=True)] if is_completion else rows,
            labels,
            starts if is_completion else None,
            num_shortened,
        )

    def prompts(self, examples: Sequence[Example], reserved: Sequence[int]) -> list[list[int]]:
        """Tokens of each prompt, shortened so that `reserved` more tokens fit."""
        return [row.tolist() for row in self._fitted(examples, reserved)[0]]

    def _fitted(self, examples: Sequence[Example], reserved: Sequence[int]) -> tuple[list[Tokens], int]:
        """The same, and how many had to be shortened."""
        rows = self._many_tokens(self._prompt(example, example.text) for example in examples)
        long = [n for n, (row, kept) in enumerate(zip(rows, reserved, strict=True)) if len(row) + kept > self._limit]
        for n in long:
            rows[n] = np.array(self._shorten(examples[n], self._limit - reserved[n]), np.int32)
        return rows, len(long)

    def vocabulary(self) -> list[tuple[str, int]]:
        """Every token with its number, by name."""
        return sorted(self._tokenizer.get_vocab().items())

    def decode(self, tokens: Sequence[int]) -> str:
        """The text that tokens stand for."""
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def _ending(self, example: Example) -> Tokens:
        """The answer's tokens and the end token, without the tokenizer's opening."""
        answer: list[int] = self._tokenizer(" " + example.label, add_special_tokens=False, verbose=False)["input_ids"]
        end = self._tokenizer.eos_token_id
        return np.array(answer if end is None else [*answer, end], np.int32)

    def _check_lengths(self, examples: Sequence[Example], endings: Sequence[Tokens]) -> None:
        """Refuse answers above half of max_tokens: a target that lost its end would teach something else."""
        longest = max(range(len(endings)), key=lambda n: len(endings[n]), default=0)
        num_long = sum(len(ending) > self._limit // 2 for ending in endings)
        if num_long:
            num_tokens = len(endings[longest])
            raise TaskError(
                f"{num_long} of {len(endings)} answers have more tokens than half of task.max_tokens = {self._limit}, "
                f"and none is cut; the longest is {examples[longest].place} with {num_tokens}; set task.max_tokens to "
                f"{2 * num_tokens} or more, or remove long answers"
            )

    def _windows(self, examples: Sequence[Example]) -> Encoded:
        """All texts, one after the other, cut into windows of max_tokens; each token is predicted but the first."""
        stream = np.concatenate(self._many_tokens(example.text + "\n" for example in examples))
        rows = [stream[start : start + self._limit] for start in range(0, len(stream), self._limit)]
        rows = [row for row in rows if len(row) > 1]
        if not rows:
            raise TaskError(f"{examples[0].place}: the text has fewer than 2 tokens; give more text")
        return self._padded(rows, np.zeros(len(rows), np.int64), np.ones(len(rows), np.int64))

    def _padded(
        self,
        rows: list[Tokens],
        labels: NDArray[np.int64],
        starts: NDArray[np.int64] | None,
        num_shortened: int = 0,
    ) -> Encoded:
        lengths = np.array([len(row) for row in rows], np.int64)
        width = min(-(-int(lengths.max()) // PAD_MULTIPLE) * PAD_MULTIPLE, self._limit)
        tokens = np.full((len(rows), width), self._pad, np.int32)
        for n, row in enumerate(rows):
            tokens[n, : len(row)] = row
        return Encoded(tokens, lengths, labels, starts, num_shortened)

    def _class_index(self, example: Example) -> int:
        if example.label not in self._classes:
            raise TaskError(
                f"{example.place}: label {example.label!r} is outside the verbalizer; "
                f"allowed {list(self._classes)}; "
                "add it to task.verbalizer, or remove the row (a TSV file has no header)"
            )
        return self._classes[example.label]

    def _prompt(self, example: Example, text: str) -> str:
        values = {"text": text, **dict(example.columns)}
        return re.sub(r"\{(\w+)\}", lambda slot: values.get(slot[1], slot[0]), self._template.prompt)

    def _tokens(self, prompts: list[str]) -> list[list[int]]:
        """Encode, with the tokenizer's opening special tokens but none at the end, where the word goes."""
        rows: list[list[int]] = self._tokenizer(prompts, return_attention_mask=False, verbose=False)["input_ids"]
        for row in rows:
            while len(row) > 1 and row[-1] in self._closing:
                row.pop()
        return rows

    def _many_tokens(self, prompts: Iterable[str]) -> list[Tokens]:
        """The same of any number, so many at once that what a tokenizer makes beside them stays small."""
        prompts, rows = iter(prompts), []
        while some := list(islice(prompts, _PROMPTS_AT_ONCE)):
            rows += [np.array(row, np.int32) for row in self._tokens(some)]
        return rows

    def _shorten(self, example: Example, limit: int) -> list[int]:
        """Drop as few words from the text's beginning as make it fit; of one long word, characters."""

        def tokens_from(start: int) -> list[int]:
            return self._tokens([self._prompt(example, example.text[start:])])[0]

        starts = [match.start() for match in re.finditer(r"\S+", example.text)]
        if len(tokens_from(starts[-1])) > limit:
            starts = list(range(starts[-1], len(example.text) + 1))
        low, high = 0, len(starts) - 1  # the last start is taken to fit; find the first that does
        while low < high:
            middle = (low + high) // 2
            fits = len(tokens_from(starts[middle])) <= limit
            low, high = (low, middle) if fits else (middle + 1, high)
        row = tokens_from(starts[low])
        if len(row) > limit:
            raise TaskError(
                f"task.prompt {self._template.prompt!r} takes {len(row)} tokens without a sentence; "
                f"allowed task.max_tokens = {limit}; shorten the prompt or raise max_tokens"
            )
        return row
