"""What can become of a run directory's files: bits, bytes, records, whole files, settings, all drawn.

Each damage takes a history and returns an image with the truth that it must not make anybody forget; None where the
draw comes to nothing. In ``DECIDING`` is every file that decides what a resumed run does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tomli_w

from benchmarks.faults.disk import Image
from benchmarks.faults.histories import History, State, Truth

Damaged: TypeAlias = tuple[Image, Truth] | None
Damage: TypeAlias = Callable[[np.random.Generator, History, Sequence[History]], Damaged]

DECIDING = {"journal.bin": 0.6, "rounds.jsonl": 0.1, "summary.json": 0.1, "config.toml": 0.1, "run.json": 0.1}
"""File name → how often it is the one that is damaged, of those that are there."""
LEDGER = ("journal.bin", "rounds.jsonl", "summary.json")
SETTINGS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("experiment.ground_truth", (True, False)),
    ("experiment.privacy.dp_epsilon", (0.5, 4.9, 5.1, 50.0)),
    ("experiment.privacy.dp_delta", (1e-5, 0.02, 0.5)),
    ("experiment.privacy.receiver_noise", ("trusted", "untrusted")),
    ("experiment.privacy.num_colluders", (0, 1)),
    ("experiment.privacy.accountant", ("exact", "zcdp", "paper", "rdp", "pld")),
    ("experiment.privacy.artificial_noise_std", (0.0, 1.0)),
    ("experiment.privacy.level", ("client", "example")),
    ("experiment.privacy.batch_rate", (0.01, 0.5)),
    ("experiment.privacy.adjacency", ("replace", "remove")),
    ("experiment.learner.clip", (6.0, 120.0)),
    ("experiment.learner.num_queries", (2, 4)),
    ("experiment.schedule.name", ("static", "online", "full", "reversed")),
    ("experiment.scheme.name", ("coherent", "digital", "energy", "sign")),
    ("experiment.scheme.alignment.name", ("min_k", "truncated")),
    ("rig.air.csi", ("genie", "estimated")),
    ("rig.air.level", ("symbol", "sample")),
    ("rig.num_devices", (3, 5)),
    ("rig.backend", ("pluto", "virtual")),
)
"""What somebody might edit in config.toml between two resumes."""


def undamaged(rng: np.random.Generator, history: History, others: Sequence[History]) -> Damaged:
    """The control: nothing has happened."""
    state = _any_state(rng, history)
    return state.image, state.truth


def flipped_bits(rng: np.random.Generator, history: History, others: Sequence[History]) -> Damaged:
    """One to four bits anywhere in a file."""
    state = _any_state(rng, history)
    name = _any_file(rng, state.image)
    data = bytearray(state.image[name])
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return _with(state, name, bytes(data))


def truncated(rng: np.random.Generator, history: History, others: Sequence[History]) -> Damaged:
    """A file ends at any byte."""
    state = _any_state(rng, history)
    name = _any_file(rng, state.image)
    return _with(state, name, state.image[name][: int(rng.integers(len(state.image[name])))])


def overwritten(rng: np.random.Generator, history: History, others: Sequence[History]) -> Damaged:
    """A block of a file, at its end more often than elsewhere, holds zeros or what nobody wrote."""
    state = _any_state(rng, history)
    name = _any_file(rng, state.image)
    data = state.image[name]
    length = min(len(data), int(rng.choice([1, 4, 16, 64, 512])))
    start = len(data) - length if rng.random() < 0.3 else int(rng.integers(len(data) - length + 1))
    block = bytes(length) if rng.random() < 0.5 else rng.bytes(length)
    return _with(state, name, data[:start] + block + data[start + length :])


def extended(rng: np.random.Generator, history: History, others: Sequence[History]) -> Damaged:
    """Zeros, or what nobody wrote, behind a file."""
    state = _any_state(rng, history)
    name = _any_file(rng, state.image)
    length = int(rng.integers(1, 200))
    return _with(state, name, state.image[name] + (bytes(length) if rng.random() < 0.5 else rng.bytes(length)))


def last_record_torn(rng: np.random.Generator, history: History, others: Sequence[History]) -> Damaged:
    """The journal's last record, which had been on disk, is whole up to some byte; then zeros, noise, or nothing."""
    state = _any_state(rng, history)
    data = state.image["journal.bin"]
    if not data:
        return None
    start = max((end for end in history.journal_ends if end < len(data)), default=0)
    cut = int(rng.integers(start, len(data)))
    left = len(data) - cut
    return _with(state, "journal.bin", data[:cut] + (b"", bytes(left), rng.bytes(left))[int(rng.integers(3))])


def records_moved(rng: np.random.Generator, history: History, others: Sequence[History]) -> Damaged:
    """Records of the journal are removed, doubled, swapped, written again at the end, or another run's."""
    state = _any_state(rng, history)
    records = _records(history, state)
    if len(records) < 3:
        return None
    first, second = (int(n) for n in sorted(rng.choice(np.arange(1, len(records)), 2, replace=False)))
    kind = rng.choice(["removed", "cut out", "doubled", "swapped", "again", "foreign"])
    if kind == "removed":
        del records[first]
    elif kind == "cut out":
        del records[first:second]
    elif kind == "doubled":
        records.insert(first, records[first])
    elif kind == "swapped":
        records[first], records[second] = records[second], records[first]
    elif kind == "again":
        records += records[first:second]
    else:
        other = others[int(rng.integers(len(others)))]
        foreign = _records(other, other.states[-1])
        if other is history or len(foreign) < 2:
            return None
        records[first] = foreign[int(rng.integers(1, len(foreign)))]
    return _with(state, "journal.bin", b"".join(records))


def files_removed(rng: np.random.Generator, history: History, others: Sequence[History]) -> Damaged:
    """One file is gone, or empty."""
    state = _any_state(rng, history)
    name = _any_file(rng, state.image)
    if rng.random() < 0.3:
        return _with(state, name, b"")
    return {n: data for n, data in state.image.items() if n != name}, state.truth


def several(rng: np.random.Generator, history: History, others: Sequence[History]) -> Damaged:
    """Two or three damages of a kind that no tool does on purpose."""
    damaged: Damaged = undamaged(rng, history, others)
    for _ in range(int(rng.integers(2, 4))):
        assert damaged is not None
        damage = (flipped_bits, truncated, overwritten, extended, last_record_torn)[int(rng.integers(5))]
        now = History(history.config, [State(*damaged)])
        damaged = damage(rng, now, others) or damaged
    return damaged


def put_back(rng: np.random.Generator, history: History, others: Sequence[History]) -> Damaged:
    """Some files, though not all that show how far the run got, are those of an earlier moment."""
    if len(history.states) < 2:
        return None
    earlier, later = sorted(int(n) for n in rng.choice(len(history.states), 2, replace=False))
    was, state = history.states[earlier], history.states[later]
    names = {"journal.bin"} | {name for name in DECIDING if rng.random() < 0.5}
    image = {name: data for name, data in state.image.items() if name not in names}
    image |= {name: data for name, data in was.image.items() if name in names}
    if image == state.image or any(_same_ledger(image, past.image) for past in history.states[:later]):
        return None  # nobody can see the second: all is as it once was
    return image, state.truth


def settings_edited(rng: np.random.Generator, history: History, others: Sequence[History]) -> Damaged:
    """config.toml says something else of what a claim rests on."""
    state = _any_state(rng, history)
    key, values = SETTINGS[int(rng.integers(len(SETTINGS)))]
    return _with(state, "config.toml", edited(state.image["config.toml"], key, values[int(rng.integers(len(values)))]))


def edited(config: bytes, key: str, value: object) -> bytes:
    """config.toml with another value for one dotted key."""
    tree = tomllib.loads(config.decode())
    *sections, name = key.split(".")
    table = tree
    for section in sections:
        table = table.setdefault(section, {})
    table[name] = value
    return tomli_w.dumps(tree).encode()


def _any_state(rng: np.random.Generator, history: History) -> State:
    return history.states[int(rng.integers(len(history.states)))]


def _any_file(rng: np.random.Generator, image: Image) -> str:
    names = [name for name in DECIDING if image.get(name)]
    weights = np.array([DECIDING[name] for name in names])
    return str(rng.choice(names, p=weights / weights.sum()))


def _records(history: History, state: State) -> list[bytes]:
    """What each append has added to the journal; what it began with is the first."""
    data = state.image["journal.bin"]
    ends = [end for end in history.journal_ends if end <= len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _with(state: State, name: str, data: bytes) -> Damaged:
    if state.image.get(name) == data:
        return None
    return {**state.image, name: data}, state.truth


def _same_ledger(image: Image, other: Image) -> bool:
    return all(image.get(name) == other.get(name) for name in LEDGER)


DAMAGES: dict[str, Damage] = {
    "undamaged": undamaged,
    "bits flipped": flipped_bits,
    "truncated": truncated,
    "overwritten": overwritten,
    "extended": extended,
    "last record torn": last_record_torn,
    "records moved": records_moved,
    "file removed": files_removed,
    "several damages": several,
    "put back": put_back,
    "settings edited": settings_edited,
}
