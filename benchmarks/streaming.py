"""Memory, fetches and time of steps whose weights stay in host memory, against steps on weights that lie on the device.

python -m benchmarks.streaming [--device cuda] [--threads 2] [--runs 5]

The shape is OPT-125M with random weights. On the CPU the "device" is memory beside the master copy: bytes and fetches
are those of any device, while seconds tell what copies and hooks cost and nothing about a bus. The last line is one
JSON object.
"""

import argparse
import json
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.measure import Action, interleaved_medians_s, live_bytes, peak_bytes
from benchmarks.opt_125m import as_text, make_batch, make_model
from learner.tasks.batches import AnyBatch
from learner.zo.replica import Replica
from learner.zo.streaming.weights import StreamedWeights

SHAPE, SHORT = (8, 64), (4, 32)
NUM_DEVICES, NUM_QUERIES = 5, 2
MIB = 2**20


def step(replica: Replica, batches: list[AnyBatch], num_queries: int = 1) -> None:
    """Scalars and an update."""
    found = replica.scalars(batches, seed=1, num_queries=num_queries, perturbation_scale=1e-3)
    replica.update(1, [float(np.float32(1e-9 * value)) for value in found.projected_gradients[0]])


def peaks(replica: Replica, *, elsewhere_bytes: int) -> dict[str, int]:
    """Bytes on the device of steps of two kinds."""
    batch = make_batch(*SHAPE)
    kinds: dict[str, Action] = {
        "labels": lambda: step(replica, [batch]),
        "text": lambda: step(replica, [as_text(batch)]),
    }
    return {name: peak_bytes(action, elsewhere_bytes=elsewhere_bytes) for name, action in kinds.items()}


def of_a_round(replica: Replica, weights: StreamedWeights) -> dict[str, float]:
    """What several devices and queries share, and what waits meanwhile."""
    held_bytes = 0

    def watched() -> Any:
        nonlocal held_bytes
        held_bytes = max(held_bytes, sum(each.num_bytes for each in weights.steps.passes))
        return original()

    step(replica, devices(), NUM_QUERIES)
    original = weights.steps.next_passes
    weights.transfers.fetches.clear()
    fetched_bytes = weights.transfers.num_fetched_bytes
    with patch.object(weights.steps, "next_passes", watched):
        step(replica, devices(), NUM_QUERIES)
    fetched_bytes = weights.transfers.num_fetched_bytes - fetched_bytes
    return {
        "fetches_per_block_and_round": max(weights.transfers.fetches.values()),
        "fetched_bytes_per_round_over_model": fetched_bytes / sum(p.nbytes for p in replica.model.parameters()),
        "waiting_bytes_over_block": held_bytes / weights.steps.most_bytes,
    }


def devices() -> list[AnyBatch]:
    """A batch of each hosted device."""
    return [make_batch(*SHORT, seed=k) for k in range(NUM_DEVICES)]


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    make = partial(Replica, tokenizer=None, num_threads=arguments.threads, device=device)

    torch.empty(0, device=device)  # once CUDA is in use, bytes are of the device
    elsewhere = live_bytes()
    streamed = make(make_model(), is_streamed=True)
    model_bytes = sum(parameter.nbytes for parameter in streamed.model.parameters())
    on_host_bytes = 0 if device.type == "cuda" else model_bytes  # counted, and not on the device
    through = peaks(streamed, elsewhere_bytes=elsewhere + on_host_bytes)
    weights = streamed._weights
    assert isinstance(weights, StreamedWeights)
    places_bytes = weights.transfers.num_bytes
    shared = of_a_round(streamed, weights)
    elsewhere = live_bytes()
    resident = make(make_model())
    whole = peaks(resident, elsewhere_bytes=elsewhere)
    for name, value in through.items():
        print(
            f"{name}: {value / MIB:.0f} MiB on the device, {whole[name] / MIB:.0f} MiB with weights there", flush=True
        )
    print(f"two blocks: {places_bytes / MIB:.0f} MiB; model: {model_bytes / MIB:.0f} MiB", flush=True)

    batch = make_batch(*SHAPE)
    actions: dict[str, Action] = {
        "streamed": lambda: step(streamed, [batch]),
        "resident": lambda: step(resident, [batch]),
        "streamed round": lambda: step(streamed, devices(), NUM_QUERIES),
        "resident round": lambda: step(resident, devices(), NUM_QUERIES),
    }
    seconds = interleaved_medians_s(actions, num_runs=arguments.runs)
    print({name: round(value, 4) for name, value in seconds.items()}, flush=True)
    results = {
        "device_mib_over_model": through["labels"] / model_bytes,
        "device_mib_over_model_text": through["text"] / model_bytes,
        "resident_mib_over_model": whole["labels"] / model_bytes,
        "two_blocks_over_model": places_bytes / model_bytes,
        **shared,
        "step_over_resident_step": seconds["streamed"] / seconds["resident"],
        "round_over_resident_round": seconds["streamed round"] / seconds["resident round"],
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
