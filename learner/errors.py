"""What can go wrong in the learner.

    LearnerError            root: catch this one
    ├── ModelError          a model, its weights or its arithmetic
    └── TaskError           a data set, prompt, verbalizer or partition

Every text is one line that says what happened, what was got, what is allowed, and what to do.
"""


class LearnerError(Exception):
    """Root of the learner's errors; raised itself only for arguments that belong to neither leaf."""


class ModelError(LearnerError):
    """A model cannot be loaded, saved or computed with."""


class TaskError(LearnerError):
    """A task cannot be read, encoded, partitioned or scored."""
