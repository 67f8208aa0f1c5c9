"""Read labelled rows from the Hugging Face hub, where the package datasets is installed."""

import re

from learner.errors import TaskError
from learner.tasks.rows import Examples, Layout

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(:[\w.-]+)?")
_EVALUATION_NAMES = ("test", "validation", "dev", "val")


def read_hub(name: str, layout: Layout) -> Examples:
    """Read the splits of a data set ("name" or "name:subset"); TaskError says what it lacks."""
    try:
        import datasets  # optional, and slow to import
    except ImportError as err:
        raise TaskError(
            f"task.path {name!r} is no local file, and a data set of the Hugging Face hub "
            "needs the package datasets; "
            "run pip install 'airzero-testbed[hub]', or give a local file"
        ) from err
    try:
        splits = datasets.load_dataset(*name.split(":"))
    except (OSError, ValueError, RuntimeError, KeyError) as err:
        reason = (str(err).strip() or type(err).__name__).splitlines()[0].rstrip(". ")
        raise TaskError(
            f"task.path {name!r} is no local file, and could not be fetched from the "
            f"Hugging Face hub: {reason}; "
            "check the name and the network, or give a local file"
        ) from err
    if "train" not in splits:
        raise TaskError(
            f"data set {name} has no split train, only {sorted(splits)}; choose another or give local files"
        )
    train = layout.numbered(splits["train"], f"{name}:train")
    for split in _EVALUATION_NAMES:
        if split in splits:
            test = layout.numbered(splits[split], f"{name}:{split}")
            if {example.label for example in test.examples} != {"-1"}:  # the hub's mark for labels that are kept secret
                return Examples.of(train, test)
    raise TaskError(
        f"data set {name} has no labelled evaluation split among {sorted(splits)}; expected one of "
        f"{', '.join(_EVALUATION_NAMES)}; give local files"
    )
