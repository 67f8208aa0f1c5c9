"""Medians of interleaved runs, and peaks of live tensor memory: of the GPU once CUDA is in use, else of the host."""

import gc
import random
import statistics
import time
from collections.abc import Callable, Collection

import torch
from torch.profiler import ProfilerActivity, profile

Action = Callable[[], object]


def interleaved_medians_s(
    actions: dict[str, Action], *, num_runs: int, close: Collection[str] = (), turns: int = 5
) -> dict[str, float]:
    """Median seconds of each action; all take turns, so that a slow minute of the machine hits all of them.

    The order of turns is drawn anew in each run: what ran before leaves caches and memory in its own state. Actions
    that are `close` to each other take several turns in each run, for a ratio near 1 needs more of them.
    """
    order = random.Random(1)
    times: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        action()
    in_turn = [(name, action) for name, action in actions.items() for _ in range(turns if name in close else 1)]
    for _ in range(num_runs):
        for name, action in order.sample(in_turn, len(in_turn)):
            started = time.perf_counter()
            action()
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def live_bytes() -> int:
    """Bytes of all tensor storages that exist now, each once."""
    gc.collect()
    if torch.cuda.is_initialized():
        return torch.cuda.memory_allocated()
    storages = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), torch.Tensor) and thing.device.type != "meta":
            storage = thing.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def peak_bytes(action: Action, *, elsewhere_bytes: int = 0) -> int:
    """Most bytes of tensors alive at once during an action, temporaries inside operators included.

    elsewhere_bytes: what is alive but has nothing to do with the action.
    """
    action()  # what stays alive after a first call (optimizer state, gradients) counts as there before
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
        action()
        return torch.cuda.max_memory_allocated() - elsewhere_bytes
    before = live_bytes() - elsewhere_bytes
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        action()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    level = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        level += event.nbytes()
        highest = max(highest, level)
    return before + highest
