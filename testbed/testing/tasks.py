"""What every task must do: a prompt with a place for the text, words for its labels, and a score from 0 to 1."""

from __future__ import annotations

import re
from itertools import islice

import pytest

from learner.tasks.templates import Template

NUM_ROWS = 50


class TaskContract:
    """Derive a class from this one and give it a fixture `template`, the task under test, and `path` if it reads it."""

    @pytest.fixture
    def path(self) -> str:
        """What `task.path` says."""
        return "embedded"

    def test_its_prompt_has_one_place_for_the_text(self, template: Template) -> None:
        """What stands there may be shortened, nothing else."""
        assert template.prompt.count("{text}") == 1

    def test_its_kind_is_one_there_is_and_classes_have_words(self, template: Template) -> None:
        """Each can win, so they differ."""
        assert template.kind in ("classification", "completion", "text")
        words = list(template.verbalizer.values())
        assert len(set(words)) == len(words)
        assert template.kind != "classification" or len(words) >= 2

    def test_its_own_rows_have_every_column_that_is_asked_for(self, template: Template, path: str) -> None:
        """The same rows each time: devices on other hosts read them too."""
        if template.rows(path, "train") is None:
            pytest.skip("this task reads files")
        for split in ("train", "test"):
            found, again = (list(islice(template.rows(path, split) or (), NUM_ROWS)) for _ in range(2))
            assert found
            assert found == again
            columns = {
                template.text_key if name == "text" else name for name in re.findall(r"{(\w+)}", template.prompt)
            }
            for row in found:
                assert columns <= set(row)
                assert template.kind == "text" or str(row[template.label_key]).strip()
                assert template.kind != "classification" or str(row[template.label_key]) in template.verbalizer

    def test_the_right_answer_scores_one_and_no_answer_scores_less(self, template: Template) -> None:
        """Of completions."""
        if template.kind != "completion":
            pytest.skip("only completions are scored")
        assert template.score("the answer is 12", "the answer is 12") == 1
        assert 0 <= template.score("", "the answer is 12") < 1
