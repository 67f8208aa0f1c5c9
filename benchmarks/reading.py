"""How long a million lines take, and how much memory beyond the text itself.

python -m benchmarks.reading [--lines 1000000] [--forms tsv jsonl csv parquet]

Each form of file is written once, read in a process of its own, and then made into a task for five devices with the
embedded model's tokenizer: prompts encoded, examples dealt. Seconds, and MiB at the peak above what the process had
before and above the size of the text. The last line is JSON.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from learner.config import ModelConfig, TaskConfig
from learner.models.load import load_model
from learner.tasks.reading.sources import read_examples
from learner.tasks.task import Task

_NUM_TEST = 100
_WORDS = (
    "a",
    "fine",
    "dull",
    "film",
    "that",
    "never",
    "says",
    "much",
    "about",
    "its",
    "quiet",
    "people",
    "and",
    "music",
)


def _sentences(num: int, *, seed: int) -> Iterator[tuple[str, int]]:
    """Sentences of 5 to 30 words, as long as those of SST-2."""
    draw = np.random.default_rng(seed)
    for _ in range(num):
        words = draw.integers(0, len(_WORDS), size=draw.integers(5, 31))
        yield " ".join(_WORDS[word] for word in words), int(words[0] % 2)


def _write_tsv(path: Path, rows: Sequence[tuple[str, int]]) -> None:
    path.write_text("".join(f"{text}\t{label}\n" for text, label in rows))


def _write_jsonl(path: Path, rows: Sequence[tuple[str, int]]) -> None:
    path.write_text("".join(json.dumps({"sentence": text, "label": label}) + "\n" for text, label in rows))


def _write_csv(path: Path, rows: Sequence[tuple[str, int]]) -> None:
    path.write_text("sentence,label\n" + "".join(f"{text},{label}\n" for text, label in rows))


def _write_parquet(path: Path, rows: Sequence[tuple[str, int]]) -> None:
    texts, labels = zip(*rows, strict=True)
    pyarrow.parquet.write_table(pyarrow.table({"sentence": texts, "label": labels}), path)


FORMS: dict[str, Callable[[Path, Sequence[tuple[str, int]]], None]] = {
    "tsv": _write_tsv,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _present_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _read(directory: Path, text_mib: float, answers: object) -> None:
    _, tokenizer = load_model(ModelConfig())
    config = TaskConfig(path=str(directory))
    before, started = _present_mib(), time.perf_counter()
    num = len(read_examples(config, seed=1).train)
    read_s, read_mib = time.perf_counter() - started, _peak_mib() - before - text_mib
    started = time.perf_counter()
    task = Task(config, tokenizer, num_devices=5, seed=1)
    task_s, task_mib = time.perf_counter() - started, _peak_mib() - before - text_mib
    assert num == sum(len(task.shard(device)) for device in range(5))
    answers.put((read_s, read_mib, task_s, task_mib))  # type: ignore[attr-defined]


def measured(form: str, num_lines: int) -> dict[str, float]:
    """Of one form of file: seconds, and MiB beyond the text."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        rows = list(_sentences(num_lines, seed=1))
        FORMS[form](directory / f"train.{form}", rows)
        FORMS[form](directory / f"test.{form}", rows[:_NUM_TEST])
        text_mib = sum(len(text) for text, _ in rows) / 2**20
        apart = multiprocessing.get_context("spawn")
        answers = apart.Queue()
        process = apart.Process(target=_read, args=(directory, text_mib, answers), daemon=True)
        process.start()
        read_s, read_mib, task_s, task_mib = answers.get()
        process.join()
    return {
        f"read_s_{form}": read_s,
        f"read_mib_beyond_text_{form}": read_mib,
        f"task_s_{form}": task_s,
        f"task_mib_beyond_text_{form}": task_mib,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000, help="so many lines of each form")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS), help="of file")
    asked = parser.parse_args(arguments)
    found: dict[str, float] = {"lines": asked.lines}
    for form in asked.forms:
        found |= measured(form, asked.lines)
        print(form, {name: round(value, 1) for name, value in found.items() if name.endswith(form)}, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
