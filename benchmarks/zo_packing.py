"""Work of a zeroth-order step on real sentences, against forwards over nothing but their tokens.

python -m benchmarks.zo_packing [--model smollm2-135m] [--sst2 DIR] [--threads 2] [--runs 7]

Batches are 5 devices x 8 sentences of SST-2 with a prompt. `tokens_computed_over_needed` counts positions that the
model is run at over tokens of the examples, for each device by itself and for all together; the worse one counts.
`step_over_packed_forwards` is a step (scalars and update) over two plain forwards of as many tokens at the best rate
that full rows of any length tried here reach, by this code's inference or by plain torch with the weights in that type.
Medians of ratios of interleaved turns in this process. The last line is one JSON object.
"""

import argparse
import itertools
import json
import random
import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure import Action, interleaved_medians_s
from benchmarks.zo_step import SCALE, has_bf16_units
from learner.config import ModelConfig, TaskConfig
from learner.errors import ModelError
from learner.models.load import load_model
from learner.tasks.batches import AnyBatch, Batch, merge
from learner.tasks.packing import needed_tokens
from learner.tasks.task import Task
from learner.zo.replica import Replica

SST2_DIR = Path(__file__).parents[2] / "shared" / "data" / "sst2"
PROMPT, VERBALIZER = "Review: {text}\nSentiment:", {"0": " negative", "1": " positive"}
NUM_DEVICES, BATCH_SIZE = 5, 8
ROWS = ((16, 64), (8, 128), (4, 256), (2, 512))
"""Full rows [R, L] of which the best rate is taken."""


def loaded(path: str, dtype: str, **options: Any) -> Replica:
    """The model, or a word on where it comes from."""
    try:
        return Replica.load(ModelConfig(path=path, compute_dtype=dtype), **options)  # type: ignore[arg-type]
    except ModelError as err:
        raise SystemExit(
            f"{err}\nSmolLM2-135M is fetched by `testbed fetch smollm2`; or name a model: --model PATH"
        ) from err


def count_tokens(replica: Replica, rounds: list[list[AnyBatch]]) -> dict[str, float]:
    """Computed over needed tokens of all rounds, for each device by itself, all together, and each example alone."""
    computed = {"each_device": 0, "all_devices": 0}
    needed = 0
    for batches in rounds:
        needed += sum(int(needed_tokens(batch).sum()) for batch in batches)
        computed["each_device"] += sum(replica.packed(batch).num_tokens for batch in batches)
        computed["all_devices"] += replica.packed(merge(batches)).num_tokens
    padded = sum(batch.input_ids.numel() for batches in rounds for batch in batches)
    return {name: value / needed for name, value in {**computed, "padded": padded}.items()}


def forwards(replica: Replica, path: str, dtype: str) -> Iterator[tuple[str, int, Action]]:
    """Plain forwards over full rows: name, tokens, action."""
    model, _ = load_model(ModelConfig(path=path, dtype=dtype))  # type: ignore[arg-type]
    for rows, length in ROWS:
        ids = torch.randint(model.config.vocab_size, (rows, length), generator=torch.Generator().manual_seed(1))
        batch = Batch(ids, torch.full((rows,), length - 1), torch.zeros(rows, dtype=torch.int64), torch.tensor([0, 1]))

        @torch.inference_mode()
        def plain(ids: torch.Tensor = ids) -> object:
            return model.base_model(input_ids=ids, use_cache=False)

        yield f"inference {rows}x{length}", ids.numel(), partial(replica.class_logits, [batch])
        yield f"torch {rows}x{length}", ids.numel(), plain


def step_ratios(path: str, dtype: str, *, rounds: list[list[AnyBatch]], threads: int, runs: int) -> dict[str, float]:
    """Medians of step over two forwards, by how the devices are computed."""
    together, each = (loaded(path, dtype, num_threads=threads, batch_devices=shared) for shared in (True, False))
    seeds = itertools.count()

    def step(replica: Replica, batches: list[AnyBatch], **private: Any) -> None:
        seed = next(seeds)
        found = replica.scalars(batches, seed=seed, num_queries=1, perturbation_scale=SCALE, **private)
        replica.update(seed, [float(np.float32(1e-9 * found.projected_gradients.mean()))])

    plain = {name: (count, action) for name, count, action in forwards(together, path, dtype)}
    tried = interleaved_medians_s({name: action for name, (_, action) in plain.items()}, num_runs=2)
    rates = {name: plain[name][0] / seconds for name, seconds in tried.items()}
    print(dtype, "tokens/s of plain forwards:", {name: round(rate) for name, rate in rates.items()}, flush=True)
    best = max(rates, key=lambda name: rates[name])
    count, forward = plain[best]
    ways = {
        "step": lambda batches: step(together, batches),
        "each_device": lambda batches: step(each, batches),
        "each_example": lambda batches: step(each, batches, example_clip=1.0, normaliser=BATCH_SIZE),
    }
    order, ratios = random.Random(1), {name: list[float]() for name in ways}
    for turn in range(runs + 1):
        batches = rounds[turn % len(rounds)]
        needed = sum(int(needed_tokens(batch).sum()) for batch in batches)
        actions = {name: partial(way, batches) for name, way in ways.items()} | {"forward": forward}
        seconds = {}
        for name in order.sample(list(actions), len(actions)):
            started = time.perf_counter()
            actions[name]()
            seconds[name] = time.perf_counter() - started
        print(dtype, turn, {name: round(value, 3) for name, value in seconds.items()}, flush=True)
        for name in ways if turn else ():  # the first turn warms up
            ratios[name].append(seconds[name] / (2 * needed * seconds["forward"] / count))
    return {name: statistics.median(values) for name, values in ratios.items()}


def main() -> None:
    """Print every ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m", metavar="PATH")
    parser.add_argument("--sst2", default=str(SST2_DIR), metavar="DIR", help="train.tsv, dev.tsv and test.tsv of SST-2")
    parser.add_argument("--dtype", action="append", choices=("bfloat16", "float32"), help="default: all that are fast")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    replica = loaded(arguments.model, "float32", num_threads=arguments.threads)
    config = TaskConfig(path=arguments.sst2, prompt=PROMPT, verbalizer=VERBALIZER)
    task = Task(config, replica.tokenizer, num_devices=NUM_DEVICES, seed=1)
    rounds = [[task.batch(device, n, BATCH_SIZE) for device in range(NUM_DEVICES)] for n in range(50)]
    tokens = count_tokens(replica, rounds)
    print("tokens computed over needed:", {name: round(value, 3) for name, value in tokens.items()}, flush=True)
    results = {"tokens_computed_over_needed": max(tokens["each_device"], tokens["all_devices"])}
    results |= {f"tokens_computed_over_needed_{name}": value for name, value in tokens.items()}
    evaluated = task.test_batches(64)
    needed = sum(int(needed_tokens(batch).sum()) for batch in evaluated)
    results["evaluation_tokens_over_needed"] = sum(replica.packed(batch).num_tokens for batch in evaluated) / needed
    del replica
    found = {}
    for dtype in arguments.dtype or (["bfloat16"] if has_bf16_units("cpu") else []) + ["float32"]:
        ratios = step_ratios(arguments.model, dtype, rounds=rounds, threads=arguments.threads, runs=arguments.runs)
        found[dtype] = ratios["step"]
        results |= {f"{dtype}_{name}_over_packed_forwards": value for name, value in ratios.items()}
    results["step_over_packed_forwards"] = max(found.values())
    print(json.dumps(results))


if __name__ == "__main__":
    main()
