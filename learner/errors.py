"""What can go wrong in the learner.

    LearnerError            root: catch this one
    ├── ModelError          a model, its weights or its arithmetic
    ├── SettingsError       a value that a configuration record does not allow; also a ValueError
    └── TaskError           a data set, template, prompt, verbalizer or partition

Every text is one line that says what happened, what was got, what is allowed, and what to do.
"""

import difflib
from collections.abc import Iterable


class LearnerError(Exception):
    """Root of the learner's errors; raised itself only for arguments that belong to no leaf."""


class ModelError(LearnerError):
    """A model cannot be loaded, saved or computed with."""


class SettingsError(LearnerError, ValueError):
    """A configuration record was given a value that it does not allow; msgspec adds the path when it converts."""


class TaskError(LearnerError):
    """A task cannot be read, encoded, partitioned or scored."""


def one_of(words: Iterable[str], got: object) -> str:
    """All words of a closed list, and the nearest to what was got: "allowed: iid, dirichlet; did you mean 'iid'?"."""
    words = list(words)
    near = difflib.get_close_matches(got, words, n=1) if isinstance(got, str) else []
    return f"allowed: {', '.join(words)}" + (f"; did you mean {near[0]!r}?" if near else "")
