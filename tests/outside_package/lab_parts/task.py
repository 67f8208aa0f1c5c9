"""A task: short sentences of praise and blame, made instead of read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from learner.tasks.templates import Row, Split, Template

WORDS = {"bad": ("awful", "boring", "dull", "weak"), "good": ("superb", "moving", "funny", "clever")}
THINGS = ("film", "story", "cast", "plot", "script", "ending", "music", "humour")


class Sentences(Template):
    """Whether a word is praise; its entry point names this class, so it needs no decorator."""

    name = "sentences"
    prompt = "{text} It was"
    verbalizer: Mapping[str, str] = {"bad": " terrible", "good": " great"}

    def rows(self, path: str, split: Split) -> Iterator[Row]:
        """The first six things to learn from, the others to be judged by; `task.path` is not needed."""
        for thing in THINGS[:6] if split == "train" else THINGS[6:]:
            for label, words in WORDS.items():
                for word in words:
                    yield {"text": f"the {thing} is {word} .", "label": label}
