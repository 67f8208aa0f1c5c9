"""Crashes and full disks at any call of the writers, while a run begins, goes on or is resumed; and double starts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np

from benchmarks.faults.damages import edited
from benchmarks.faults.disk import HOWS, Disk, How, Image, Stopped, close_all_in, image_of, restore, writing_to
from benchmarks.faults.histories import History, Player, Truth, begun
from benchmarks.faults.judge import Verdict, forgotten_by, judged
from testbed.failures import EXPECTED
from testbed.planning.terms import terms_of
from testbed.results import files
from testbed.rounds.resume import resume

Crash: TypeAlias = Callable[[np.random.Generator, History, Path], Verdict]


def begins(rng: np.random.Generator, history: History, folder: Path) -> Verdict:
    """A run that has come to a stop while it began, and in half of the cases is to promise more when it goes on."""
    truth = Truth(terms_of(history.config))

    def act() -> None:
        begun(history.config, folder / "run").journal.close()

    image = _faulty(rng, folder / "run", act, most=25)
    if rng.random() < 0.5 and "config.toml" in image and "journal.bin" in image:
        image["config.toml"] = edited(image["config.toml"], "experiment.privacy.dp_epsilon", 500.0)
    return judged(restore(image, folder / "again"), truth)


def goes_on(rng: np.random.Generator, history: History, folder: Path) -> Verdict:
    """A resumed run that has come to a stop in one of its next rounds."""
    state = history.states[int(rng.integers(len(history.states)))]
    run = restore(state.image, folder / "run")
    players: list[Player] = []

    def act() -> None:
        session = resume(run)
        with session.journal:
            players.append(Player(session, state.truth, rng))
            players[0].play(int(rng.integers(1, 4)))
            if rng.random() < 0.2:
                players[0].finish()

    image = _faulty(rng, run, act, most=40)
    return judged(restore(image, folder / "again"), players[0].truth if players else state.truth)


def is_resumed(rng: np.random.Generator, history: History, folder: Path) -> Verdict:
    """A run that has come to a stop while it was resumed, from a journal with a tail that a crash left."""
    state = history.states[int(rng.integers(len(history.states)))]
    later = history.states[-1].image["journal.bin"]
    ends = [end for end in history.journal_ends if end > len(state.image["journal.bin"])]
    tail = later[len(state.image["journal.bin"]) : int(rng.integers(ends[0])) if ends else None]
    image = {**state.image, "journal.bin": state.image["journal.bin"] + tail}
    run = restore(image, folder / "run")
    image = _faulty(rng, run, lambda: resume(run).journal.close(), most=15)
    return judged(restore(image, folder / "again"), state.truth)


def ground_truth_switched(rng: np.random.Generator, history: History, folder: Path) -> Verdict:
    """A run that is resumed with ground_truth = true, sends something, and is resumed without it again."""
    state = history.states[int(rng.integers(len(history.states)))]
    run = restore(state.image, folder / "run")
    config = run / "config.toml"
    as_it_was = config.read_bytes()
    config.write_bytes(edited(as_it_was, "experiment.ground_truth", True))
    try:
        session = resume(run)
    except EXPECTED as err:
        return Verdict("refused", str(err))
    with session.journal:
        player = Player(session, state.truth, rng)
        player.play(int(rng.integers(1, 4)))
    config.write_bytes(edited(as_it_was, "experiment.ground_truth", False))
    return judged(run, player.truth)


def starts_twice(rng: np.random.Generator, history: History, folder: Path) -> Verdict:
    """A run that goes on while another thread resumes it, by this name or another, or begins one in its place."""
    return _started_twice(rng, history, folder, replaced=())


def starts_twice_after_a_restore(rng: np.random.Generator, history: History, folder: Path) -> Verdict:
    """As `starts_twice`, but a tool has meanwhile put a file in its own place: same contents, not the same file."""
    names = [name for name in ("journal.bin", "config.toml") if rng.random() < 0.6]
    return _started_twice(rng, history, folder, replaced=names)


def _started_twice(rng: np.random.Generator, history: History, folder: Path, *, replaced: Sequence[str]) -> Verdict:
    state = history.states[int(rng.integers(len(history.states)))]
    run = restore(state.image, folder / "run")
    (folder / "link").symlink_to(run)
    place = run if rng.random() < 0.5 else folder / "link"
    begins_anew = bool(rng.random() < 0.2)
    second: list[str] = []

    def start() -> None:
        with suppress(*EXPECTED):
            session = begun(history.config, place) if begins_anew else resume(place)
            session.journal.close()
            second.append("opened")

    try:
        session = resume(run)
    except EXPECTED as err:
        return Verdict("refused", f"although undamaged: {err}")
    with session.journal:
        player = Player(session, state.truth, rng)
        player.play(int(rng.integers(2)))
        for name in replaced:
            if (run / name).exists():
                files.write(run / name, (run / name).read_bytes())
        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        known = len(session.journal.records)
        with suppress(*EXPECTED):
            player.play(1)
        if second and len(session.journal.records) > known:
            return Verdict("refund", "two sessions write one run, and both send its next round")
        if forgotten := forgotten_by(session, player.truth):
            return Verdict("refund", f"after a second start: {forgotten}")
    return judged(run, player.truth)


def _faulty(rng: np.random.Generator, run: Path, act: Callable[[], None], *, most: int) -> Image:
    """What is on disk after something was done on a faulty one."""
    how: How = HOWS[int(rng.integers(len(HOWS)))]
    disk = Disk(run, rng, at=int(rng.integers(most)), how=how)
    with writing_to(disk), suppress(Stopped, *EXPECTED):
        act()
    close_all_in(run)
    return disk.image if disk.image is not None else image_of(run)


CRASHES: dict[str, Crash] = {
    "crash at the beginning": begins,
    "crash in a round": goes_on,
    "crash in a resume": is_resumed,
    "ground truth switched": ground_truth_switched,
    "started twice": starts_twice,
    "started twice, restored": starts_twice_after_a_restore,
}
